//! How the charges of one request are settled.

use std::sync::MutexGuard;

use smallvec::SmallVec;

use super::super::bucket::{Bucket, Kept, QuotaId, Standing};
use super::super::bucket_id::BucketId;
use super::super::charge::{Balance, Charge, Charges, Settle, Settled};
use super::super::quota::Quota;
use super::shard::{OVERFLOW, Shard};
use super::table::Table;
use super::{LimitInForce, Tables};
use crate::time::Steady;

impl Tables {
    /// How the buckets stood when the charges were settled.
    pub(crate) fn balance(&self, charges: &Charges) -> Balance {
        let standing = |charge: &Charge| {
            let (_, quota) = self.of(charge).quota(charge);
            (*charge, Standing::of(charge.missing, quota, charge.cost))
        };
        Balance(charges.iter().map(standing).collect())
    }

    /// What is kept of a bucket: of the overflow bucket, where there is no room for its own.
    pub(in super::super) fn kept(&self, limit: usize, bucket: BucketId) -> Option<Kept> {
        self.0.limits[limit].table.kept(bucket.0)
    }

    /// Whether a bucket has a place of its own.
    pub(in super::super) fn has_own(&self, limit: usize, bucket: BucketId) -> bool {
        self.0.limits[limit].table.own(bucket.0).is_some()
    }

    /// Takes as much from the bucket of a charge that it is short of at least so many units.
    #[cfg(any(test, feature = "redis"))]
    pub(in super::super) fn lower(&self, charge: &Charge, missing: u64, now: Steady) {
        let limit = self.of(charge);
        let (table, quota) = (&*limit.table, limit.quota(charge));
        let mut shard = table.lock(table.shard_of(charge.bucket.0));
        let kept = shard.get(charge.bucket.0);
        let mut bucket = table.open(kept.as_ref(), quota, now);
        if missing.min(quota.1.capacity()) <= bucket.missing() {
            return;
        }
        bucket.lower(missing);
        let is_placed = kept.is_some() || charge.bucket == BucketId(OVERFLOW);
        // Where there is no room the overflow bucket decides.
        if is_placed || table.reserve(&mut shard, now) {
            shard.put(charge.bucket.0, bucket.keep(quota.0));
        }
    }

    fn of(&self, charge: &Charge) -> &LimitInForce {
        &self.0.limits[charge.limit as usize]
    }

    pub(super) fn look(&self, charges: &mut Charges, now: Steady) -> Settled {
        let mut settled = Settled::Granted;
        for charge in &mut charges.list {
            let limit = self.of(charge);
            let kept = limit.table.kept(charge.bucket.0);
            let mut bucket = limit.table.open(kept.as_ref(), limit.quota(charge), now);
            charge.missing = bucket.missing();
            if !bucket.take(charge.cost) {
                settled = Settled::Refused;
            }
        }
        settled
    }

    /// The common case: one limit, and a client that has a bucket. `None` where it is another one.
    #[inline]
    pub(super) fn settle_known(
        &self,
        charges: &mut Charges,
        how: Settle,
        now: Steady,
    ) -> Option<Settled> {
        let [charge] = &mut charges.list[..] else { return None };
        let limit = self.of(charge);
        let (table, quota) = (&*limit.table, limit.quota(charge));
        let mut shard = table.lock(table.shard_of(charge.bucket.0));
        let kept = shard.get_mut(charge.bucket.0)?;
        let mut bucket = table.open(Some(kept), quota, now);
        let settled = apply(&mut bucket, how, charge.cost);
        if is_changed(charge, settled, Some(kept), quota.0) {
            *kept = bucket.keep(quota.0);
        }
        charge.missing = bucket.missing();
        Some(settled)
    }

    /// Applies every charge under the locks of all shards concerned, or none.
    #[inline(never)]
    pub(super) fn settle_any(&self, charges: &mut Charges, how: Settle, now: Steady) -> Settled {
        // Terminates: each turn sends one more charge to an overflow bucket, which always has a place.
        loop {
            let mut opened = self.open(charges, now);
            let is_granted = |(bucket, charge): (&mut Opened<'_>, &Charge)| {
                apply(&mut bucket.bucket, how, charge.cost) == Settled::Granted
            };
            let settled = if opened.buckets.iter_mut().zip(charges.iter()).all(is_granted) {
                // Also for a cost of 0: where there is no place, the overflow bucket decides.
                if how != Settle::GiveBack
                    && let Some(unplaced) = opened.reserve(charges, now)
                {
                    charges.list[unplaced].bucket = BucketId(OVERFLOW);
                    continue;
                }
                Settled::Granted
            } else {
                for bucket in &mut opened.buckets {
                    bucket.bucket = bucket.table.open(bucket.kept.as_ref(), bucket.quota, now);
                }
                Settled::Refused
            };
            let is_reserved = settled == Settled::Granted && how != Settle::GiveBack;
            opened.keep(charges, settled, is_reserved);
            return settled;
        }
    }

    /// Locks the shards of all charges, and reads their buckets.
    ///
    /// Shards are locked in the order of tables and shards, each once, so that two requests never
    /// wait for each other in a circle, even if they are of two policies.
    fn open<'t>(&'t self, charges: &Charges, now: Steady) -> OpenedAll<'t> {
        let place = |charge: &Charge| {
            let table = &*self.of(charge).table;
            (table.serial, table.shard_of(charge.bucket.0))
        };
        let mut order: SmallVec<[(ShardPlace, usize); 2]> =
            charges.iter().map(place).enumerate().map(|(index, place)| (place, index)).collect();
        order.sort_unstable();
        let mut shards: SmallVec<[MutexGuard<'t, Shard>; 2]> = SmallVec::new();
        let mut shard_of: SmallVec<[usize; 2]> = SmallVec::from_elem(0, order.len());
        let mut last = None;
        for (place, index) in order {
            if last != Some(place) {
                shards.push(self.of(&charges.list[index]).table.lock(place.1));
                last = Some(place);
            }
            shard_of[index] = shards.len() - 1;
        }
        let open = |(charge, shard): (&Charge, usize)| {
            let limit = self.of(charge);
            let (table, quota) = (&*limit.table, limit.quota(charge));
            let kept = shards[shard].get(charge.bucket.0);
            let bucket = table.open(kept.as_ref(), quota, now);
            Opened { table, quota, shard, kept, bucket }
        };
        let buckets = charges.iter().zip(shard_of).map(open).collect();
        OpenedAll { shards, buckets }
    }

    /// One step of the regular search for full buckets, in the first table where it is due, so
    /// that none stays for long, even where a limit is not used any more.
    #[inline]
    pub(super) fn search_if_due(&self, now: Steady) {
        if now >= self.0.round_due.load() {
            self.search(now);
        }
    }

    #[cold]
    fn search(&self, now: Steady) {
        let tables = || self.0.limits.iter().map(|limit| &limit.table);
        if let Some(table) = tables().find(|table| now >= table.round_due()) {
            table.reclaim(now);
        }
        let next =
            tables().map(|table| table.round_due()).min().unwrap_or(Steady::from_micros(u64::MAX));
        self.0.round_due.store(next);
    }
}

impl LimitInForce {
    fn quota(&self, charge: &Charge) -> &(QuotaId, Quota) {
        &self.quotas[charge.quota as usize]
    }
}

/// A table's serial number, and the index of one of its shards.
type ShardPlace = (u64, usize);

/// The buckets of one request, and the shards that hold them, locked.
struct OpenedAll<'t> {
    shards: SmallVec<[MutexGuard<'t, Shard>; 2]>,
    /// In the order of the charges.
    buckets: SmallVec<[Opened<'t>; 2]>,
}

struct Opened<'t> {
    table: &'t Table,
    quota: &'t (QuotaId, Quota),
    /// Index of its shard.
    shard: usize,
    kept: Option<Kept>,
    bucket: Bucket<'t>,
}

impl OpenedAll<'_> {
    /// Reserves a place for every bucket that has none; otherwise the index of the first charge
    /// that finds none, and nothing is reserved.
    fn reserve(&mut self, charges: &Charges, now: Steady) -> Option<usize> {
        for (index, (bucket, charge)) in self.buckets.iter().zip(charges.iter()).enumerate() {
            if bucket.needs_place(charge)
                && !bucket.table.reserve(&mut self.shards[bucket.shard], now)
            {
                let before = self.buckets.iter().zip(charges.iter()).take(index);
                before
                    .filter(|(bucket, charge)| bucket.needs_place(charge))
                    .for_each(|(bucket, _)| bucket.table.give_up());
                return Some(index);
            }
        }
        None
    }

    /// Keeps what has changed, and notes how the buckets stand.
    fn keep(&mut self, charges: &mut Charges, settled: Settled, is_reserved: bool) {
        for (opened, charge) in self.buckets.iter().zip(&mut charges.list) {
            charge.missing = opened.bucket.missing();
            let quota = opened.quota.0;
            if opened.kept.is_none() && opened.bucket.is_full() {
                // It equals one that was never used.
                if is_reserved && opened.needs_place(charge) {
                    opened.table.give_up();
                }
            } else if is_changed(charge, settled, opened.kept.as_ref(), quota) {
                self.shards[opened.shard].put(charge.bucket.0, opened.bucket.keep(quota));
            }
        }
    }
}

impl Opened<'_> {
    /// The overflow bucket has a place of its own.
    fn needs_place(&self, charge: &Charge) -> bool {
        self.kept.is_none() && charge.bucket != BucketId(OVERFLOW)
    }
}

/// Whether a charge leaves its bucket other than it was. One that is refused under another quota
/// than before does: its wait is counted under this one from now on.
fn is_changed(charge: &Charge, settled: Settled, kept: Option<&Kept>, quota: QuotaId) -> bool {
    let is_taken = settled == Settled::Granted && charge.cost > 0;
    is_taken || kept.is_some_and(|kept| kept.quota != quota)
}

fn apply(bucket: &mut Bucket<'_>, how: Settle, cost: u32) -> Settled {
    match how {
        Settle::Take if !bucket.take(cost) => return Settled::Refused,
        Settle::Take | Settle::Look => {}
        Settle::Owe => bucket.owe(cost),
        Settle::GiveBack => bucket.give_back(cost),
    }
    Settled::Granted
}
