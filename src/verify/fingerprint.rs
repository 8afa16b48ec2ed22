//! Tells whether two issuers are the same, without keeping what they are made of.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;

/// A digest over settings and keys. Equal parts have equal fingerprints, within one process.
///
/// It is keyed anew in each process, so that it can be kept and compared, and tells nothing about
/// a secret among the parts.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Fingerprint([u8; 16]);

/// `None` where the system gives no random bytes: then no two fingerprints are equal.
static KEY: LazyLock<Option<hmac::Key>> =
    LazyLock::new(|| hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok());

impl Fingerprint {
    /// `None` where the system gives no random bytes.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Option<Self> {
        let mut context = hmac::Context::with_key(KEY.as_ref()?);
        for part in parts {
            // The length in front: where one part ends and the next begins is part of what is told.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().first_chunk().copied().map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_by_content_and_length() {
        let of = |parts: &[&str]| Fingerprint::of(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        for other in [&["a", "bc"][..], &["abc"], &["ab", "c", ""], &["ab", "d"], &[]] {
            assert_ne!(of(&["ab", "c"]), of(other), "{other:?}");
        }
        assert!(of(&[]).is_some());
    }
}
