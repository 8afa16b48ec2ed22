//! What the proof of a token leaves.

use std::sync::Arc;

use super::fingerprint::Fingerprint;
use super::key_set::KeyVersion;
use crate::principal::{Principal, Proven};

/// A token that was proven.
#[derive(Clone, Debug)]
pub(crate) struct ProvenToken {
    pub(crate) proven: Arc<Proven>,
    pub(super) issuer: ProvenBy,
    /// About how much memory it takes.
    pub(super) bytes: u32,
}

impl ProvenToken {
    /// Who it was proven to be.
    pub(crate) fn into_principal(self) -> Principal {
        Principal::of_token(self.proven)
    }
}

/// Which issuer proved a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProvenBy {
    /// Its place among the issuers at that time.
    pub(super) index: u32,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) keys: KeyVersion,
}
