//! One key that signatures are checked with, and what may be wrong with it.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use jsonwebtoken::Algorithm;

use super::fingerprint::Fingerprint;

/// One key, ready for each algorithm that it may be used with.
pub(super) struct VerifyingKey {
    pub(super) id: Option<Box<str>>,
    pub(super) ready: Vec<(Algorithm, Check)>,
    /// Over the key itself.
    pub(super) fingerprint: Option<Fingerprint>,
}

pub(super) enum Check {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// What is wrong with a file of keys.
#[derive(Clone, Debug)]
pub(crate) enum KeyTrouble {
    /// The key or the file cannot be used at all, and what to do.
    Refused(String, &'static str),
    /// One key of a set cannot be used and was skipped.
    Skipped(String),
}

impl VerifyingKey {
    pub(super) fn check(&self, algorithm: Algorithm) -> Option<&Check> {
        self.ready.iter().find(|(ready, _)| *ready == algorithm).map(|(_, check)| check)
    }
}

impl Check {
    pub(super) fn passes(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.ready.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("VerifyingKey").field("id", &self.id).field("for", &algorithms).finish()
    }
}
