//! What requests are judged by.

use crate::limit::{Buckets, Failures};
use crate::policy::Policy;
use crate::verify::key_store::RuntimeKeys;
use crate::verify::{Revocations, Revoked, TokenCache};

/// What requests are judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'s> {
    pub(crate) policy: &'s Policy,
    /// The keys that the policy does not hold.
    pub(crate) keys: &'s RuntimeKeys,
    pub(crate) tokens: &'s TokenCache,
    /// What the application has revoked.
    pub(crate) revocations: &'s Revocations,
    /// The policy's limits, and where their buckets are.
    pub(crate) buckets: &'s Buckets,
    /// `None` where failures are not counted.
    pub(crate) failures: Option<&'s Failures>,
}

impl Judge<'_> {
    /// All that is revoked now.
    pub(super) fn revoked(&self) -> Revoked<'_> {
        Revoked { listed: &self.policy.revoked, told: self.revocations }
    }
}
