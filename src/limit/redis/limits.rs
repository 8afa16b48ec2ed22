//! The limits of a policy whose buckets are shared.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::RedisStore;
use super::key::LimitName;
use super::script::Terms;
use crate::limit::bucket::Standing;
use crate::limit::charge::{Balance, Charge, Charges};
use crate::limit::memory::Tables;
use crate::limit::{Limit, OnStoreFailure, Quota, RedisSettings};

/// The limits of one policy, in its order, and the store that has their buckets.
#[derive(Clone)]
pub(crate) struct SharedLimits(pub(super) Arc<InForce>);

pub(super) struct InForce {
    pub(super) store: Arc<RedisStore>,
    pub(super) limits: Box<[SharedLimit]>,
    /// The limits at this process's share.
    pub(super) shares: Tables,
}

pub(super) struct SharedLimit {
    /// No other limit that came into force in this process has it: so what was heard before a reload is
    /// forgotten.
    pub(super) id: u32,
    pub(super) name: Arc<str>,
    pub(super) key: LimitName,
    pub(super) on_failure: OnStoreFailure,
    /// In the order of the limit's quotas, as are the shares.
    pub(super) terms: Box<[Terms]>,
    pub(super) shares: Box<[Share]>,
}

/// This process's share of a quota.
pub(super) struct Share {
    pub(super) quota: Quota,
    /// Whether it is less than one token of burst: then its one token has to be gained first.
    pub(super) begins_empty: bool,
}

/// The next limit that comes into force.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl RedisStore {
    /// Takes over the limits of a policy. Buckets on the server are kept; where quotas changed they are
    /// restated when they are used next.
    pub(super) fn adopt(
        self: &Arc<Self>,
        limits: &[Limit],
        settings: &RedisSettings,
    ) -> SharedLimits {
        self.link.common.set_deadline(settings.deadline);
        let nodes = settings.nodes;
        let share = |quota: &Quota| Share {
            // Where a share cannot be counted the policy has no use for it: it is refused otherwise.
            quota: quota.share_of(nodes).unwrap_or(*quota),
            begins_empty: quota.burst() < nodes.get(),
        };
        let limit = |limit: &Limit| SharedLimit {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: limit.name.clone(),
            key: LimitName::of(limit),
            on_failure: limit.on_store_failure,
            terms: limit
                .quotas
                .iter()
                .map(|quota| Terms::new(quota.quota, quota.plan.as_deref()))
                .collect(),
            shares: limit.quotas.iter().map(|quota| share(&quota.quota)).collect(),
        };
        let shared: Box<[SharedLimit]> = limits.iter().map(limit).collect();
        let shares: Vec<Limit> = limits
            .iter()
            .map(|limit| {
                let mut limit = limit.clone();
                for quota in &mut limit.quotas {
                    quota.quota = share(&quota.quota).quota;
                }
                limit
            })
            .collect();
        let shares = self.local.adopt(&shares).tables;
        SharedLimits(Arc::new(InForce { store: self.clone(), limits: shared, shares }))
    }
}

impl SharedLimits {
    pub(super) fn of(&self, charge: &Charge) -> &SharedLimit {
        &self.0.limits[charge.limit as usize]
    }

    pub(super) fn terms(&self, charge: &Charge) -> &Terms {
        &self.of(charge).terms[charge.quota as usize]
    }

    pub(super) fn share(&self, charge: &Charge) -> &Share {
        &self.of(charge).shares[charge.quota as usize]
    }

    /// How the buckets stood when the charges were settled.
    pub(crate) fn balance(&self, charges: &Charges) -> Balance {
        let standing = |charge: &Charge| {
            let quota = self.terms(charge).quota();
            (*charge, Standing::of(charge.missing, quota, charge.cost))
        };
        charges.iter().map(standing).collect()
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.limits.iter().map(|limit| &limit.name)).finish()
    }
}
