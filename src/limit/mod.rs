//! How much: token buckets, several taken together or not at all.
//!
//! A bucket holds at most `burst` tokens and refills continuously at its rate. In any interval
//! of length *t* it grants at most `burst + rate·t`. All arithmetic is in whole numbers, so a
//! promised wait is exact: see [`bucket`] for the law and [`MemoryStore`] for the store.
//!
//! # One request
//!
//! 1. [`MemoryStore::bucket`] hashes what a bucket is kept for, a [`BucketName`].
//! 2. A [`Charge`] for each limit of the rule, each at its own cost, makes the [`Charges`].
//! 3. [`MemoryStore::settle`] takes all of them, or none.
//! 4. [`Tables::balance`] says how the buckets stand now.
//! 5. After the work, [`Charges::late`] is settled by [`Settle::Owe`]; what a decision took that
//!    failed after all, by [`Settle::GiveBack`].
//!
//! # Bound on memory
//!
//! No limit has more than its `max_buckets` buckets, and neither have the failures of addresses. A
//! bucket that is full says nothing and may be dropped; one that is not full is never dropped
//! to make room. So when a limit's bound is reached:
//!
//! 1. Its full buckets are dropped. They are searched for at most once a second, in small steps, so
//!    a flood of new clients cannot make it search for each of them.
//! 2. If that frees no place, new clients of the limit share its *overflow bucket*, which has the
//!    quota of one client. Clients that have a bucket are not affected, nor are other limits.
//!
//! # When the policy changes
//!
//! [`MemoryStore::adopt`] keeps the buckets of limits whose name and `per` are as before. Where
//! their quotas changed, buckets are restated and never refilled.

mod bucket;
mod bucket_id;
mod charge;
mod failures;
mod memory;
mod quota;
#[cfg_attr(not(feature = "redis"), path = "no_redis.rs")]
mod redis;
#[cfg(test)]
mod shared_model;
mod slots;
mod store;
#[cfg(test)]
mod store_laws;
mod store_settings;

pub(crate) use bucket::{Standing, Wait};
pub(crate) use bucket_id::{BucketId, BucketName, Parts};
pub(crate) use charge::{Balance, Charge, Charges, Settle, Settled};
pub(crate) use failures::{FailureStore, Failures, MustWait};
pub(crate) use memory::{MemoryStore, Tables};
pub(crate) use quota::{Quota, parse_duration, parse_rate};
pub(crate) use redis::{RedisStore, Settling, adopt_shared, describe_metrics};
pub(crate) use slots::scripts_in_cluster;
pub(crate) use store::{Buckets, Settlement, Taken, Unavailable};
pub(crate) use store_settings::{OnStoreFailure, RedisSettings, Servers, StoreSettings};

use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::ClientAddress;
use crate::claims::ClaimPath;

/// A limit of the policy: one bucket for each value of its key.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) name: Arc<str>,
    /// What tells buckets apart, in the order of the policy.
    pub(crate) per: Vec<KeyPart>,
    /// The quota of those without a plan first, then one for each plan.
    pub(crate) quotas: Vec<PlanQuota>,
    /// Clients in these ranges are not counted.
    pub(crate) exempt: Vec<IpNet>,
    /// Whether clients are told of it.
    pub(crate) published: bool,
    /// What its tokens are: the quota unit of draft-ietf-httpapi-ratelimit-headers-11.
    pub(crate) unit: Box<str>,
    /// Never more buckets than this.
    pub(crate) max_buckets: usize,
    /// What happens while a shared store cannot be asked.
    pub(crate) on_store_failure: OnStoreFailure,
    /// The indices of the quotas of plans, in the order of the plans' names.
    by_plan: Box<[u32]>,
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
    Claim(ClaimPath),
    Header(http::HeaderName),
    /// A parameter of the rule's path.
    Path(Box<str>),
}

impl KeyPart {
    /// The part as it stands in the policy.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Client => "client".into(),
            Self::Address => "address".into(),
            Self::Rule => "rule".into(),
            Self::Global => "global".into(),
            Self::Claim(claim) => format!("claim:{}", claim.as_str()),
            Self::Header(name) => format!("header:{name}"),
            Self::Path(name) => format!("path:{name}"),
        }
    }
}

impl Limit {
    /// A limit that counts the requests of everybody, and that clients are told of.
    pub(crate) fn new(
        name: Arc<str>,
        per: Vec<KeyPart>,
        quotas: Vec<PlanQuota>,
        max_buckets: usize,
    ) -> Self {
        // Lossless: a policy does not hold as many plans as would not fit.
        let mut by_plan: Box<[u32]> = (1..quotas.len() as u32).collect();
        by_plan.sort_by_key(|index| &quotas[*index as usize].plan);
        let (exempt, published, unit) = (Vec::new(), true, REQUESTS.into());
        let on_store_failure = OnStoreFailure::default();
        Self { name, per, quotas, exempt, published, unit, max_buckets, on_store_failure, by_plan }
    }

    /// The index of the quota that holds for a client with `plan`.
    pub(crate) fn quota_of(&self, plan: Option<&str>) -> usize {
        let Some(plan) = plan else { return 0 };
        let name = |index: &u32| self.quotas[*index as usize].plan.as_deref();
        match self.by_plan.binary_search_by_key(&Some(plan), name) {
            Ok(at) => self.by_plan[at] as usize,
            Err(_) => 0,
        }
    }

    /// Whether a bucket of this limit belongs to something that was proven.
    pub(crate) fn needs_principal(&self) -> bool {
        self.per.iter().any(|part| matches!(part, KeyPart::Client | KeyPart::Claim(_)))
    }

    /// Whether a client at this address is not counted. A proxy whose header could not be read is no
    /// proof of where the client is, and neither is an address that proxies may share
    /// (`is_forwarded`: the request names another one, which the policy does not look at).
    #[inline]
    pub(crate) fn exempts(&self, address: Option<ClientAddress>, is_forwarded: bool) -> bool {
        !self.exempt.is_empty()
            && !is_forwarded
            && address.is_some_and(|address| address.check(&self.exempt).is_ok())
    }

    /// What its tokens are, where they are not requests.
    pub(crate) fn other_unit(&self) -> Option<&str> {
        (*self.unit != *REQUESTS).then_some(&*self.unit)
    }

    /// The parameters of the path that tell its buckets apart.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.per.iter().filter_map(|part| match part {
            KeyPart::Path(name) => Some(&**name),
            _ => None,
        })
    }

    pub(crate) fn needs_address(&self) -> bool {
        self.per.contains(&KeyPart::Address)
    }
}

/// The unit of a limit that states none.
pub(crate) const REQUESTS: &str = "requests";

/// One token.
pub(crate) const ONE: NonZeroU32 = NonZeroU32::MIN;
