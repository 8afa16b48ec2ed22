//! What rules are checked against.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::keys::Keys;
use super::limits::LoadedLimit;
use crate::verify::Issuers;

/// What rules are checked against: the rest of the policy, as far as it could be read.
pub(super) struct RuleContext<'a> {
    pub(super) limits: &'a [LoadedLimit],
    pub(super) keys: &'a Keys,
    pub(super) takes_keys: bool,
    pub(super) takes_tokens: bool,
    pub(super) issuers: &'a Issuers,
    /// Whether all issuers could be read; otherwise it is not known what they grant.
    pub(super) issuers_whole: bool,
    /// The scopes that keys grant.
    pub(super) granted: BTreeSet<&'a str>,
    /// The roles that keys grant.
    pub(super) granted_roles: BTreeSet<&'a str>,
    /// Whether all keys could be read; otherwise it is not known what they grant.
    pub(super) keys_whole: bool,
    /// Whether all limits could be read.
    pub(super) limits_whole: bool,
    /// Whether the names of all limits could be read.
    pub(super) limit_names_known: bool,
    /// Whether failures are counted.
    pub(super) counts_failures: bool,
    /// How many processes share the buckets; `None` where they are in memory.
    pub(super) nodes: Option<NonZeroU32>,
}
