//! A set that was fetched, and the version that tells it from others.

use std::sync::atomic::{AtomicU64, Ordering};

use super::KeySet;
use crate::verify::fingerprint::Fingerprint;

/// A set that was fetched.
#[derive(Debug)]
pub(in crate::verify) struct FetchedKeys {
    pub(super) keys: KeySet,
    pub(super) version: KeyVersion,
    pub(super) fingerprint: Option<Fingerprint>,
    /// As it was fetched, for an issuer whose algorithms change.
    pub(super) text: Vec<u8>,
}

/// Names the keys of an issuer at a time. Other keys have another version; those of a fixed set
/// never change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::verify) struct KeyVersion(u64);

impl KeyVersion {
    pub(super) const FIXED: Self = Self(0);

    /// A version that no other keys of this process have, whatever their issuer.
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
