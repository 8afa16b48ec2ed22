//! How much: token buckets, several taken together or not at all.
//!
//! A bucket holds at most `burst` tokens and refills continuously at its rate. In any interval
//! of length *t* it grants at most `burst + rate·t`. All arithmetic is in whole numbers, so a
//! promised wait is exact: see [`bucket`] for the law and [`MemoryStore`] for the store.

mod bucket;
mod charge;
mod failures;
mod memory;
mod quota;
mod table;

pub(crate) use bucket::{MAX_TAGS, Standing, Wait};
pub(crate) use charge::{Balance, Charge, Charges};
pub(crate) use failures::Failures;
pub(crate) use quota::{Quota, parse_duration, parse_rate};

pub(crate) use memory::MemoryStore;

use std::num::NonZeroU32;
use std::sync::Arc;

/// A limit of the policy: one bucket for each value of its key.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) name: Arc<str>,
    /// What tells buckets apart, in the order of the policy.
    pub(crate) per: Vec<KeyPart>,
    /// The quota of those without a plan first, then one for each plan.
    pub(crate) quotas: Vec<PlanQuota>,
}

/// The quota of one plan.
#[derive(Clone, Debug)]
pub(crate) struct PlanQuota {
    /// `None` for the quota of clients without a plan, or with one that the limit does not name.
    pub(crate) plan: Option<Box<str>>,
    /// The rate as it stands in the policy.
    pub(crate) rate: Box<str>,
    pub(crate) quota: Quota,
}

/// One part of a bucket's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyPart {
    Client,
    Address,
    Rule,
    Global,
    Claim(Box<str>),
    Header(http::HeaderName),
}

impl KeyPart {
    /// The part as it stands in the policy.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Client => "client".into(),
            Self::Address => "address".into(),
            Self::Rule => "rule".into(),
            Self::Global => "global".into(),
            Self::Claim(name) => format!("claim:{name}"),
            Self::Header(name) => format!("header:{name}"),
        }
    }
}

impl Limit {
    /// The index of the quota that holds for a client with `plan`.
    pub(crate) fn quota_of(&self, plan: Option<&str>) -> usize {
        plan.and_then(|plan| {
            self.quotas.iter().position(|quota| quota.plan.as_deref() == Some(plan))
        })
        .unwrap_or(0)
    }

    /// Whether a bucket of this limit belongs to something that was proven.
    pub(crate) fn needs_principal(&self) -> bool {
        self.per.iter().any(|part| matches!(part, KeyPart::Client | KeyPart::Claim(_)))
    }

    pub(crate) fn needs_address(&self) -> bool {
        self.per.contains(&KeyPart::Address)
    }
}

/// One token.
pub(crate) const ONE: NonZeroU32 = NonZeroU32::MIN;
