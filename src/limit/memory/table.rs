//! The buckets of one limit, their bound, and the search for those that are full.
//!
//! A table outlives the policies that name its limit. Requests of an old policy may run beside those
//! of a new one, so a slot says which quota it was last used under: quotas are numbered by the
//! table, and a number keeps its meaning as long as the table lives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use super::super::bucket::{Bucket, Change, Kept, QuotaId};
use super::super::quota::Quota;
use super::super::{KeyPart, PlanQuota};
use super::shard::{OVERFLOW, Shard};
use crate::time::{AtomicSteady, MICROS, Steady};

/// The number of shards: small enough that sweeping one is short, and many enough that threads
/// seldom meet.
pub(super) const SHARDS: usize = 256;

/// A shard is searched for full buckets at most once in this time.
const SWEEP_EVERY: u64 = MICROS;

/// All shards are searched once in this time, whether or not there is room.
const ROUND_EVERY: u64 = 600 * MICROS;

/// How many buckets one request looks through, at most, to find room for its own.
const SWEEP_BUDGET: usize = 4096;

/// The next table is told from all others by this number.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// The buckets of one limit.
pub(super) struct Table {
    /// Shards of several tables are locked in the order of these.
    pub(super) serial: u64,
    /// What tells its buckets apart.
    pub(super) per: Vec<KeyPart>,
    quotas: RwLock<Quotas>,
    shards: Box<[Padded]>,
    count: AtomicUsize,
    max_buckets: AtomicUsize,
    /// The next shard to search for full buckets.
    cursor: AtomicUsize,
    /// When the next round of that search may begin where there is no room.
    rest_until: AtomicSteady,
    /// When all shards are searched next, even if there is room.
    round_due: AtomicSteady,
}

/// All quotas that its buckets are or were used under. They are only added to, and each is
/// there once, so policies that alternate between few quotas add few.
#[derive(Default)]
struct Quotas {
    list: Vec<PlansQuota>,
    ids: HashMap<PlansQuota, QuotaId>,
}

/// The quota of a plan; of those without a plan where that is `None`.
type PlansQuota = (Option<Box<str>>, Quota);

/// Alone on its line of memory, so that threads at neighbours do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Padded(Mutex<Shard>);

impl Table {
    pub(super) fn new(per: &[KeyPart]) -> Self {
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            per: per.to_vec(),
            quotas: RwLock::default(),
            shards: std::iter::repeat_with(Padded::default).take(SHARDS).collect(),
            count: AtomicUsize::new(0),
            max_buckets: AtomicUsize::new(usize::MAX),
            cursor: AtomicUsize::new(0),
            rest_until: AtomicSteady::default(),
            round_due: AtomicSteady::new(Steady::from_micros(ROUND_EVERY)),
        }
    }

    /// Never more buckets than this, but for those that are there already.
    pub(super) fn set_bound(&self, max_buckets: usize) {
        self.max_buckets.store(max_buckets, Ordering::Relaxed);
    }

    /// The numbers of these quotas.
    pub(super) fn number(&self, quotas: &[PlanQuota]) -> Box<[(QuotaId, Quota)]> {
        let mut known = self.quotas.write().unwrap_or_else(PoisonError::into_inner);
        let number = |quota: &PlanQuota| (known.number(&quota.plan, quota.quota), quota.quota);
        quotas.iter().map(number).collect()
    }

    /// Reads a bucket under the quota `id` of a policy, at `now`.
    pub(super) fn open<'q>(
        &self,
        kept: Option<&Kept>,
        (id, quota): &'q (QuotaId, Quota),
        now: Steady,
    ) -> Bucket<'q> {
        match kept {
            None => Bucket::full(quota, now),
            Some(kept) if kept.quota == *id => Bucket::read(kept, quota, now),
            Some(kept) => self.open_restated(kept, *id, quota, now),
        }
    }

    #[cold]
    fn open_restated<'q>(
        &self,
        kept: &Kept,
        id: QuotaId,
        quota: &'q Quota,
        now: Steady,
    ) -> Bucket<'q> {
        let known = self.quotas.read().unwrap_or_else(PoisonError::into_inner);
        let ((last_plan, last), (plan, _)) = (known.of(kept.quota), known.of(id));
        let change = if last_plan == plan { Change::Policy } else { Change::Plan };
        Bucket::read(kept, last, now).restated(quota, change)
    }

    /// The index of the shard that holds this key: by its high bits, since slots go by the low
    /// ones.
    pub(super) fn shard_of(&self, key: u64) -> usize {
        // In range: as many bits as the number of shards has.
        (key >> (u64::BITS - SHARDS.ilog2())) as usize
    }

    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // Nothing panics while a shard is changed, so one that a panic left is as good as any.
        self.shards[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where somebody holds the shard.
    fn try_lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        match self.shards[shard].0.try_lock() {
            Ok(shard) => Some(shard),
            Err(TryLockError::Poisoned(shard)) => Some(shard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What is kept of a bucket; of the overflow bucket, where there is no room for its own.
    pub(super) fn kept(&self, key: u64) -> Option<Kept> {
        let overflow = || if self.is_at_bound() { self.own(OVERFLOW) } else { None };
        self.own(key).or_else(overflow)
    }

    /// What is kept of a bucket itself; nothing where it is full, or there is no room for it.
    pub(super) fn own(&self, key: u64) -> Option<Kept> {
        self.lock(self.shard_of(key)).get(key)
    }

    /// Makes room for one more bucket in a shard, which the caller has locked; whether there is.
    pub(super) fn reserve(&self, shard: &mut Shard, now: Steady) -> bool {
        if shard.is_crowded() {
            self.sweep(shard, now);
        }
        if self.is_at_bound() {
            self.sweep(shard, now);
            if now >= self.rest_until.load() {
                self.reclaim(now);
            }
        }
        let max_buckets = self.max_buckets.load(Ordering::Relaxed);
        let is_reserved = self.count.fetch_add(1, Ordering::Relaxed) < max_buckets;
        if !is_reserved {
            self.give_up();
        }
        is_reserved
    }

    /// Gives up what was reserved.
    pub(super) fn give_up(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Drops the full buckets of a shard, where it is time to look again.
    fn sweep(&self, shard: &mut Shard, now: Steady) {
        if now >= shard.sweep_at {
            shard.sweep_at = now.plus_micros(SWEEP_EVERY);
            self.drop_full(shard, now);
        }
    }

    /// One step of the search for full buckets in all shards. Those that are locked, by this
    /// request too, are passed over.
    pub(super) fn reclaim(&self, now: Steady) {
        let mut looked_at = 0;
        while looked_at < SWEEP_BUDGET {
            let at = self.cursor.fetch_add(1, Ordering::Relaxed) % SHARDS;
            if let Some(mut shard) = self.try_lock(at) {
                looked_at += shard.len() + 1;
                self.drop_full(&mut shard, now);
            }
            if at + 1 == SHARDS {
                self.rest_until.store(now.plus_micros(SWEEP_EVERY));
                self.round_due.store(now.plus_micros(ROUND_EVERY));
                return;
            }
        }
    }

    /// When all shards are searched next, even if there is room.
    pub(super) fn round_due(&self) -> Steady {
        self.round_due.load()
    }

    /// The overflow bucket has a place of its own, which is never counted or given back.
    fn drop_full(&self, shard: &mut Shard, now: Steady) {
        let known = self.quotas.read().unwrap_or_else(PoisonError::into_inner);
        let is_kept =
            |key: u64, kept: &Kept| key == OVERFLOW || !kept.is_full(&known.of(kept.quota).1, now);
        self.count.fetch_sub(shard.retain(is_kept), Ordering::Relaxed);
    }

    fn is_at_bound(&self) -> bool {
        self.count() >= self.max_buckets.load(Ordering::Relaxed)
    }

    /// The number of buckets, without that of overflow.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }

    #[cfg(test)]
    pub(super) fn known_quotas(&self) -> usize {
        self.quotas.read().unwrap().list.len()
    }
}

impl Quotas {
    fn number(&mut self, plan: &Option<Box<str>>, quota: Quota) -> QuotaId {
        let entry = (plan.clone(), quota);
        if let Some(id) = self.ids.get(&entry) {
            return *id;
        }
        // Lossless: four thousand million quotas do not fit into memory.
        let id = QuotaId(self.list.len() as u32);
        self.list.push(entry.clone());
        self.ids.insert(entry, id);
        id
    }

    /// INVARIANT: every id that is kept was made by [`number`](Self::number), and none is removed.
    fn of(&self, id: QuotaId) -> &PlansQuota {
        &self.list[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_shards_have_a_place() {
        let table = Table::new(&[]);
        assert_eq!((table.shard_of(0), table.shard_of(u64::MAX)), (0, SHARDS - 1));
    }

    #[test]
    fn a_shard_that_a_panic_left_is_as_good_as_any() {
        let table = Table::new(&[]);
        table.lock(3).put(7, Kept::default());
        let left = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _held = table.lock(3);
                    panic!("on purpose");
                })
                .join()
        });
        assert!(left.is_err());
        assert_eq!(table.try_lock(3).and_then(|shard| shard.get(7)), Some(Kept::default()));
        assert_eq!(table.lock(3).get(7), Some(Kept::default()));
    }
}
