//! What decisions rest on, from one reload to the next.

use std::sync::Arc;

use crate::policy::Policy;
use crate::verify::key_store::RuntimeKeys;
use crate::verify::{Revocations, Revoked, TokenCache};

/// A policy, and what proves callers beside it.
pub(crate) struct Grounds {
    pub(crate) policy: Policy,
    /// The keys that the policy does not hold.
    pub(crate) keys: RuntimeKeys,
    pub(crate) tokens: Arc<TokenCache>,
    /// What the application has revoked.
    pub(crate) revocations: Revocations,
}

impl Grounds {
    /// All that is revoked now.
    pub(super) fn revoked(&self) -> Revoked<'_> {
        Revoked { listed: &self.policy.revoked, told: &self.revocations }
    }
}
