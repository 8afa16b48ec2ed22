//! Where buckets are: in the memory of this process, or on a server that others share.

use std::sync::Arc;

use super::memory::{MemoryStore, Tables};
use super::redis::{Settling, SharedLimits};
use super::settlement::Taken;
use super::{Balance, BucketName, Charge, Charges, Settle, Settled};
use crate::time::Steady;

/// The limits of a policy in force, and the store of their buckets.
#[derive(Debug)]
pub(crate) enum Buckets {
    Memory(Arc<MemoryStore>, Tables),
    Shared(SharedLimits),
}

impl Buckets {
    /// Adds a charge of the bucket that is kept for `name`, by the indices of its limit and quota.
    #[inline]
    pub(crate) fn charge(
        &self,
        charges: &mut Charges,
        limit: usize,
        quota: usize,
        name: &impl BucketName,
        cost: u32,
    ) {
        match self {
            Self::Memory(store, _) => {
                charges.push(Charge::new(limit, quota, store.bucket(name), cost));
            }
            Self::Shared(limits) => limits.charge(charges, limit, quota, name, cost),
        }
    }

    /// Takes every charge, or none.
    #[inline]
    pub(crate) fn take(&self, charges: &mut Charges, now: Steady) -> Taken<Settling> {
        match self {
            Self::Memory(store, tables) => match store.settle(tables, charges, Settle::Take, now) {
                Settled::Granted => Taken::Granted,
                Settled::Refused => Taken::Refused,
            },
            Self::Shared(limits) => limits.take(charges),
        }
    }

    /// Settles charges of an admitted request once more: takes more, looks, or gives back. This
    /// never waits; a shared store is told in the background, and a look is at what it said last.
    pub(crate) fn settle_late(&self, charges: &mut Charges, how: Settle, now: Steady) {
        match self {
            Self::Memory(store, tables) => {
                // Neither a debt nor a look is ever refused.
                let _settled = store.settle(tables, charges, how, now);
            }
            Self::Shared(limits) => limits.settle(charges, how),
        }
    }

    /// How the buckets stood when the charges were settled.
    pub(crate) fn balance(&self, charges: &Charges) -> Balance {
        match self {
            Self::Memory(_, tables) => tables.balance(charges),
            Self::Shared(limits) => limits.balance(charges),
        }
    }
}
