//! What the proof of a token leaves.

use std::borrow::Cow;

use super::fingerprint::Fingerprint;
use super::key_set::KeyVersion;
use crate::claims::text;
use crate::principal::Principal;
use crate::time::Wall;

/// A token that was proven.
#[derive(Clone, Debug)]
pub(crate) struct ProvenToken {
    pub(crate) principal: Principal,
    /// When it ends, leeway included.
    pub(crate) ends: Wall,
    /// Unix seconds of `exp`.
    pub(crate) expires: u64,
    /// Unix seconds of `iat`, rounded down.
    #[cfg_attr(not(test), allow(dead_code, reason = "read where tokens are revoked"))]
    pub(crate) issued_at: Option<u64>,
    pub(super) issuer: ProvenBy,
    /// About how much memory it takes.
    pub(super) bytes: u32,
}

impl ProvenToken {
    /// The token's id, where it has one.
    #[cfg_attr(not(test), allow(dead_code, reason = "read where tokens are revoked"))]
    pub(crate) fn jti(&self) -> Option<Cow<'_, str>> {
        self.principal.claims()?.get("jti").and_then(text)
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
