//! What was revoked before its end: tokens, API keys, all of a client, all of an issuer.
//!
//! A set in memory, which is asked after everything else of a credential was proven, and after every
//! hit of the cache. It never waits: whoever has a list elsewhere feeds [`Revocations`] in the
//! background.

mod revocation;
mod revocations;
mod set;
#[cfg(test)]
mod tests;

pub use revocation::Revocation;
pub use revocations::Revocations;
pub(crate) use set::RevokedSet;
#[cfg(test)]
pub(super) use set::token_id;

use crate::principal::{KeyRecord, Proven};

/// All that is revoked now: what the policy lists, and what the application told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revoked<'r> {
    pub(crate) listed: &'r RevokedSet,
    pub(crate) told: &'r Revocations,
}

impl Revoked<'_> {
    #[inline]
    pub(crate) fn has_token(self, token: &Proven) -> bool {
        self.listed.has_token(token) || self.told.has(|set| set.has_token(token))
    }

    #[inline]
    pub(crate) fn has_key(self, key: &KeyRecord) -> bool {
        self.listed.has_key(key) || self.told.has(|set| set.has_key(key))
    }
}
