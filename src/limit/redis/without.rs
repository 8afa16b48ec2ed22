//! What decides where the store does not: the `on_store_failure` of each limit.

use smallvec::SmallVec;

use super::far::Side;
use super::limits::SharedLimits;
use super::link::Way;
use super::meters::{self, Decided};
use crate::limit::bucket::{Standing, Wait};
use crate::limit::charge::{Charge, Charges, Settle, Settled};
use crate::limit::settlement::Unavailable;
use crate::limit::{OnStoreFailure, Quota};
use crate::time::Steady;

impl SharedLimits {
    /// Decides about the charges that the store did not decide about, each with the moment since when
    /// its server is away: as the `on_store_failure` of their limits says.
    pub(super) fn decide_without(
        &self,
        charges: &mut Charges,
        away: &[(usize, Steady)],
        now: Steady,
    ) -> Result<Settled, Unavailable> {
        if away.is_empty() {
            return Ok(Settled::Granted);
        }
        let of = |index: usize, charges: &Charges| self.of(&charges.list[index]).on_failure;
        if away.iter().any(|(index, _)| of(*index, charges) == OnStoreFailure::Closed) {
            meters::decided(Decided::Closed);
            return Err(Unavailable);
        }
        let (mut local, mut indices) = (Charges::default(), SmallVec::<[usize; 4]>::new());
        let mut empty_for = None;
        for (index, since) in away {
            let charge = charges.list[*index];
            match of(*index, charges) {
                OnStoreFailure::Open => {
                    meters::decided(Decided::Open);
                    charges.far[*index].side = Side::Nowhere;
                    charges.list[*index].missing = 0;
                }
                OnStoreFailure::LocalShare | OnStoreFailure::Closed => {
                    if let Some(wait) = self.begins_empty(&charge, *since, now) {
                        let missing = missing_for(wait, self.terms(&charge).quota(), charge.cost);
                        charges.list[*index].missing = missing;
                        empty_for = empty_for.max(Some(wait));
                    }
                    local.push(charge);
                    indices.push(*index);
                }
            }
        }
        let store = &self.0.store;
        if empty_for.is_none() {
            local.iter().for_each(|charge| self.lower_share(charge, now));
        }
        let settled = match empty_for {
            Some(_) => Settled::Refused,
            None => store.local.settle(&self.0.shares, &mut local, Settle::Take, now),
        };
        if empty_for.is_none() {
            for (index, charge) in indices.iter().zip(&local.list) {
                charges.far[*index].side = Side::Local(charge.bucket);
                charges.list[*index].missing = self.estimate(charge);
            }
        }
        if settled == Settled::Granted {
            away.iter().for_each(|(index, _)| self.note_spent(charges, *index));
        }
        if !indices.is_empty() {
            meters::decided(Decided::ByShare(settled));
        }
        Ok(settled)
    }

    /// Notes what was spent while the store is away.
    pub(super) fn note_spent(&self, charges: &Charges, index: usize) {
        let (store, charge) = (&self.0.store, &charges.list[index]);
        let key = &charges.far[index].key;
        if let Way::To(shard) = store.link.way(key.slot) {
            let (terms, share) = (self.terms(charge), self.share(charge));
            shard.ledger.note(key, terms, &share.quota, charge.cost, store.now());
        }
    }

    /// A share never holds more than the store last said of the whole bucket, with what that gained since:
    /// a client that was refused gets no burst when the store goes away.
    fn lower_share(&self, charge: &Charge, now: Steady) {
        let Some(said) = self.said(charge) else { return };
        let (quota, share) = (self.terms(charge).quota(), &self.share(charge).quota);
        let left = quota.capacity().saturating_sub(said.likely(quota, now));
        let left = u128::from(left) * u128::from(share.period()) / u128::from(quota.period());
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        let missing = share.capacity().saturating_sub(left);
        if missing > 0 {
            self.0.shares.lower(charge, missing, now);
        }
    }

    /// How long a share of less than one token still has to gain its first one, where nothing was taken
    /// from it since the store is away.
    fn begins_empty(&self, charge: &Charge, since: Steady, now: Steady) -> Option<u64> {
        let share = self.share(charge);
        let is_used = self.0.shares.kept(charge.limit as usize, charge.bucket).is_some();
        if !share.begins_empty || is_used {
            return None;
        }
        let first = share.quota.period().div_ceil(share.quota.tokens());
        let left = first.saturating_sub(now.micros().saturating_sub(since.micros()));
        (left > 0).then_some(left)
    }

    /// What the whole bucket would be short of, to stand as this process's share does.
    fn estimate(&self, local: &Charge) -> u64 {
        let (quota, share) = (self.terms(local).quota(), &self.share(local).quota);
        let standing = Standing::of(local.missing, share, local.cost);
        match standing.wait {
            Wait::None => {
                let left = u64::from(standing.remaining) * quota.period();
                quota.capacity().saturating_sub(left)
            }
            Wait::Micros(wait) => missing_for(wait, quota, local.cost),
            // Above the share, but the whole bucket may have it: soon, and never by the share.
            Wait::Never => missing_for(share.capacity() / share.tokens(), quota, local.cost),
        }
    }
}

/// What a bucket is short of from which a cost is there after so many microseconds.
fn missing_for(wait: u64, quota: &Quota, cost: u32) -> u64 {
    let needed = u64::from(cost.max(1)).saturating_mul(quota.period());
    let gained = wait.saturating_mul(quota.tokens());
    quota.capacity().saturating_sub(needed).saturating_add(gained)
}
