//! The embedded store: buckets of this process, in memory.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::Limit;
use super::bucket::{Bucket, Standing};
use super::charge::{Balance, Charge, ChargeKey, Charges};
use super::failures::Failures;
use super::quota::Quota;
use super::table::{FIRST_KEY, OVERFLOW, SHARDS, Shard, Table};
use crate::time::MICROS;

/// A shard is searched for full buckets at most once in this time.
const SWEEP_EVERY: u64 = MICROS;

/// All shards are searched once in this time, whether or not there is room.
const ROUND_EVERY: u64 = 600 * MICROS;

/// How many buckets one request looks through, at most, to find room for its own.
const SWEEP_BUDGET: usize = 4096;

/// Token buckets in the memory of this process.
///
/// A bucket is two words: a keyed 64-bit hash of what it is kept for (the key is drawn anew
/// for each process), and the moment at which it will be full. Several buckets are taken as
/// one: all of them, or none.
///
/// # Bound on memory
///
/// There are never more than `max_buckets` buckets (`[store]` of the policy; one million when
/// it is not set), over all limits and the failures of addresses together. A bucket that is full
/// says nothing and may be dropped; one that is not full is never dropped to make room. So when
/// the bound is reached:
///
/// 1. Full buckets are dropped. The store is searched at most once a second, in small steps, so
///    a flood of new clients cannot make it search for each of them.
/// 2. If that frees no place, new clients of a limit share that limit's *overflow bucket*,
///    which has the quota of one client. Clients that have a bucket are not affected.
///
/// The limit therefore holds for everybody, nobody is let in free, and what an attacker with
/// invented clients can spoil is the service to other new clients. `per = ["client"]` needs
/// proven clients; for limits on unproven keys (`address`, `header:<name>`) size the bound
/// with that in mind.
///
/// # What it does not do
///
/// Buckets are lost when the process ends: a restart gives every client a full bucket.
/// Several processes do not share them.
pub(crate) struct MemoryStore {
    tables: Box<[Table]>,
    count: AtomicUsize,
    max_buckets: usize,
    hasher: ahash::RandomState,
    /// The next shard to search when there is no room, counted over all tables.
    cursor: AtomicUsize,
    /// When the next round of that search may begin, in microseconds.
    rest_until: AtomicU64,
    /// When a round is due though there is room, so that no full bucket stays for long.
    round_due: AtomicU64,
}

impl Charge {
    fn table<'s>(&self, store: &'s MemoryStore) -> &'s Table {
        &store.tables[self.limit as usize]
    }
}

impl MemoryStore {
    /// A store with one table for each limit, given by its quotas.
    pub(crate) fn new(limits: impl Iterator<Item = Vec<Quota>>, max_buckets: usize) -> Self {
        let tables = limits.map(Table::new).collect();
        let hasher = ahash::RandomState::new();
        let (count, cursor, rest_until) = Default::default();
        let round_due = AtomicU64::new(ROUND_EVERY);
        Self { tables, count, max_buckets, hasher, cursor, rest_until, round_due }
    }

    /// A store for the limits of a policy, and for the failures of addresses where they are counted.
    pub(crate) fn of(
        limits: &[Limit],
        failures: Option<Quota>,
        max_buckets: usize,
    ) -> (Self, Option<Failures>) {
        let quotas = |limit: &Limit| limit.quotas.iter().map(|plan| plan.quota).collect();
        let counted = failures.iter().flat_map(|quota| [vec![*quota], vec![*quota]]);
        let store = Self::new(limits.iter().map(quotas).chain(counted), max_buckets);
        (store, failures.map(|_| Failures::new(limits.len() as u32)))
    }

    /// The key of the bucket that is kept for `parts`: a hash, which is none of the keys that
    /// tables keep for themselves.
    pub(crate) fn key<H: std::hash::Hash>(&self, parts: H) -> ChargeKey {
        ChargeKey(self.hasher.hash_one(parts).max(FIRST_KEY))
    }

    /// Takes every charge, or none; whether they were taken. Either way the charges know
    /// afterwards how their buckets stand, and which of them there was no room for: those name the
    /// overflow bucket of their limit.
    #[must_use]
    pub(crate) fn take(&self, charges: &mut Charges, now: u64) -> bool {
        self.settle(charges, now, |bucket, cost| bucket.take(cost))
    }

    /// Takes `cost` from every bucket, leaving a debt where there is not enough.
    pub(crate) fn charge(&self, charges: &Charges, cost: NonZeroU32, now: u64) {
        let mut charges = Charges { cost, list: charges.list.clone() };
        self.settle(&mut charges, now, |bucket, cost| {
            bucket.charge(cost);
            true
        });
    }

    /// How the buckets stood when they were settled.
    pub(crate) fn balance(&self, charges: &Charges) -> Balance {
        let standing = |(charge, missing): &(Charge, u64)| {
            let quota = charge.table(self).reading.quota(charge.quota);
            (*charge, Standing::of(*missing, quota, charges.cost))
        };
        Balance(charges.list.iter().map(standing).collect())
    }

    /// How the buckets stand, taking nothing.
    pub(crate) fn peek(&self, charges: &Charges, now: u64) -> Balance {
        let standing = |charge: &Charge| {
            let word = self.word(charge.limit, charge.key);
            let bucket = charge.table(self).reading.open(word, charge.quota, now);
            (*charge, bucket.standing(charges.cost))
        };
        Balance(charges.iter().map(standing).collect())
    }

    /// The word of a bucket; of the overflow bucket, where there is no room for its own.
    fn word(&self, limit: u32, key: ChargeKey) -> Option<u64> {
        let table = &self.tables[limit as usize];
        let word = |key: ChargeKey| table.lock(table.shard_of(key.0)).get(key.0);
        let is_full = || self.count.load(Ordering::Relaxed) >= self.max_buckets;
        word(key).or_else(|| if is_full() { word(ChargeKey(OVERFLOW)) } else { None })
    }

    /// Applies every charge under the locks of all shards concerned, or none.
    fn settle(
        &self,
        charges: &mut Charges,
        now: u64,
        apply: impl Fn(&mut Bucket<'_>, NonZeroU32) -> bool,
    ) -> bool {
        if charges.is_empty() {
            return true;
        }
        if now >= self.round_due.load(Ordering::Relaxed) {
            self.reclaim(now);
        }
        self.settle_known(charges, now, &apply)
            .unwrap_or_else(|| self.settle_any(charges, now, &apply))
    }

    /// The common case: one limit, and a client that has a bucket. `None` where it is another one.
    fn settle_known(
        &self,
        charges: &mut Charges,
        now: u64,
        apply: impl Fn(&mut Bucket<'_>, NonZeroU32) -> bool,
    ) -> Option<bool> {
        let [(charge, missing)] = &mut charges.list[..] else { return None };
        let table = charge.table(self);
        let key = charge.key.0;
        let mut shard = table.lock(table.shard_of(key));
        let word = shard.get_mut(key)?;
        let mut bucket = table.reading.open(Some(*word), charge.quota, now);
        let granted = apply(&mut bucket, charges.cost);
        if granted {
            *word = table.reading.close(&bucket, charge.quota);
        }
        *missing = bucket.missing();
        Some(granted)
    }

    fn settle_any(
        &self,
        charges: &mut Charges,
        now: u64,
        apply: impl Fn(&mut Bucket<'_>, NonZeroU32) -> bool,
    ) -> bool {
        // Ends: each turn sends one more charge to an overflow bucket, which is always housed.
        loop {
            let mut shards = Shards::lock(self, charges);
            let words: SmallVec<[Option<u64>; 2]> =
                charges.iter().map(|charge| shards.word(charge)).collect();
            let open = |(charge, word): (&Charge, &Option<u64>)| {
                charge.table(self).reading.open(*word, charge.quota, now)
            };
            let mut buckets: SmallVec<[Bucket<'_>; 2]> =
                charges.iter().zip(&words).map(open).collect();
            let granted = buckets.iter_mut().all(|bucket| apply(bucket, charges.cost));
            if !granted {
                buckets = charges.iter().zip(&words).map(open).collect();
            } else if let Some(homeless) = self.house(charges, &words, &mut shards, now) {
                charges.list[homeless].0.key = ChargeKey(OVERFLOW);
                continue;
            }
            for ((charge, missing), bucket) in charges.list.iter_mut().zip(&buckets) {
                *missing = bucket.missing();
                if granted {
                    shards.put(charge, charge.table(self).reading.close(bucket, charge.quota));
                }
            }
            return granted;
        }
    }

    /// Reserves a place for every bucket that is new; otherwise the index of the first charge
    /// that finds none, and nothing is reserved.
    fn house(
        &self,
        charges: &Charges,
        words: &[Option<u64>],
        shards: &mut Shards<'_>,
        now: u64,
    ) -> Option<usize> {
        let mut reserved = 0;
        for (index, (charge, word)) in charges.iter().zip(words).enumerate() {
            if word.is_some() || charge.key.0 == OVERFLOW {
                continue;
            }
            if shards.shard(charge).is_crowded() {
                shards.sweep(charge, now);
            }
            if self.count.load(Ordering::Relaxed) >= self.max_buckets {
                shards.sweep(charge, now);
                if now >= self.rest_until.load(Ordering::Relaxed) {
                    self.reclaim(now);
                }
            }
            if self.count.fetch_add(1, Ordering::Relaxed) >= self.max_buckets {
                self.count.fetch_sub(1 + reserved, Ordering::Relaxed);
                return Some(index);
            }
            reserved += 1;
        }
        None
    }

    /// One step of the search for full buckets in all shards. Those that are locked, by this
    /// request too, are passed over.
    fn reclaim(&self, now: u64) {
        // INVARIANT: there is a table, since something is charged in it.
        let shards = self.tables.len() * SHARDS;
        let mut looked_at = 0;
        while looked_at < SWEEP_BUDGET {
            let at = self.cursor.fetch_add(1, Ordering::Relaxed) % shards;
            let (table, shard) = (&self.tables[at / SHARDS], at % SHARDS);
            if let Some(mut shard) = table.try_lock(shard) {
                looked_at += shard.len() + 1;
                self.count.fetch_sub(table.drop_full(&mut shard, now), Ordering::Relaxed);
            }
            if at + 1 == shards {
                self.rest_until.store(now.saturating_add(SWEEP_EVERY), Ordering::Relaxed);
                self.round_due.store(now.saturating_add(ROUND_EVERY), Ordering::Relaxed);
                return;
            }
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buckets = self.count.load(Ordering::Relaxed);
        f.debug_struct("MemoryStore")
            .field("buckets", &buckets)
            .field("max_buckets", &self.max_buckets)
            .finish_non_exhaustive()
    }
}

/// A shard's limit and its index there.
type ShardPlace = (usize, usize);

type Guard<'s> = MutexGuard<'s, Shard>;

/// The locked shards of one request.
///
/// They are locked in the order of limit and shard, each once, so that two requests never
/// wait for each other in a circle.
struct Shards<'s> {
    store: &'s MemoryStore,
    guards: SmallVec<[(ShardPlace, Guard<'s>); 2]>,
}

impl<'s> Shards<'s> {
    fn lock(store: &'s MemoryStore, charges: &Charges) -> Self {
        let place =
            |charge: &Charge| (charge.limit as usize, charge.table(store).shard_of(charge.key.0));
        let mut places: SmallVec<[ShardPlace; 2]> = charges.iter().map(place).collect();
        places.sort_unstable();
        places.dedup();
        let lock =
            |(limit, shard): (usize, usize)| ((limit, shard), store.tables[limit].lock(shard));
        Self { store, guards: places.into_iter().map(lock).collect() }
    }

    /// INVARIANT: `charge` is one of those that `lock` was called with.
    fn shard(&mut self, charge: &Charge) -> &mut Shard {
        let wanted = (charge.limit as usize, charge.table(self.store).shard_of(charge.key.0));
        let at = self.guards.iter().position(|(place, _)| *place == wanted).unwrap_or(0);
        &mut self.guards[at].1
    }

    fn word(&mut self, charge: &Charge) -> Option<u64> {
        self.shard(charge).get(charge.key.0)
    }

    fn put(&mut self, charge: &Charge, word: u64) {
        self.shard(charge).put(charge.key.0, word);
    }

    /// Drops the full buckets of the charge's shard, where it is time to look again.
    fn sweep(&mut self, charge: &Charge, now: u64) {
        let store = self.store;
        let table = charge.table(store);
        let shard = self.shard(charge);
        if now < shard.sweep_at {
            return;
        }
        shard.sweep_at = now.saturating_add(SWEEP_EVERY);
        let freed = table.drop_full(shard, now);
        store.count.fetch_sub(freed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Barrier;

    use super::*;
    use crate::limit::{ONE, Wait};

    fn quota(tokens: u32, period: u64, burst: u32) -> Quota {
        let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
        Quota::new(tokens, NonZeroU64::new(period).unwrap(), burst).unwrap()
    }

    fn store(bursts: &[u32], max_buckets: usize) -> MemoryStore {
        MemoryStore::new(bursts.iter().map(|burst| vec![quota(1, MICROS, *burst)]), max_buckets)
    }

    /// The charges of a client, one for each of the limits.
    fn charges(store: &MemoryStore, limits: impl IntoIterator<Item = u32>, client: u64) -> Charges {
        let mut charges = Charges::new(ONE);
        let key = store.key(client);
        limits.into_iter().for_each(|limit| charges.push(Charge { limit, quota: 0, key }));
        charges
    }

    fn left(balance: Balance) -> Vec<u32> {
        balance.iter().map(|(_, standing)| standing.remaining).collect()
    }

    fn takes_one(store: &MemoryStore, client: u64, now: u64) -> bool {
        store.take(&mut charges(store, [0], client), now)
    }

    #[test]
    fn all_or_none() {
        let store = store(&[5, 2, 9], 100);
        let mut charges = charges(&store, 0..3, 7);
        for expected in [[4, 1, 8], [3, 0, 7]] {
            assert!(store.take(&mut charges, 0));
            assert_eq!(left(store.balance(&charges)), expected);
        }
        for _ in 0..5 {
            assert!(!store.take(&mut charges, 0));
            assert_eq!(left(store.balance(&charges)), [3, 0, 7], "a refused request takes nothing");
            assert_eq!(store.balance(&charges).wait(), Wait::Micros(MICROS));
        }
        assert!(store.take(&mut charges, MICROS));
        assert_eq!(left(store.balance(&charges)), [3, 0, 7]);
    }

    proptest::proptest! {
        /// Whatever the limits and costs: a request that one of them refuses changes none.
        #[test]
        fn all_or_none_is_a_law(
            bursts in proptest::collection::vec(1_u32..20, 1..6),
            steps in proptest::collection::vec((0_u64..3 * MICROS, 1_u32..8, 0_u64..3), 1..60),
        ) {
            let store = store(&bursts, 1000);
            let mut now = 0;
            for (pause, cost, client) in steps {
                now += pause;
                let cost = NonZeroU32::new(cost).unwrap();
                let mut charges = charges(&store, 0..bursts.len() as u32, client);
                charges.cost = cost;
                let before = left(store.peek(&charges, now));
                let taken = store.take(&mut charges, now);
                let fits = before.iter().all(|tokens| *tokens >= cost.get());
                proptest::prop_assert_eq!(taken, fits);
                let spent = if fits { cost.get() } else { 0 };
                let expected: Vec<u32> = before.iter().map(|tokens| tokens - spent).collect();
                proptest::prop_assert_eq!(&left(store.balance(&charges)), &expected);
                proptest::prop_assert_eq!(left(store.peek(&charges, now)), expected);
            }
        }
    }

    #[test]
    fn a_refused_request_leaves_no_bucket_behind() {
        let store = store(&[1], 100);
        let mut twice = charges(&store, [0], 1);
        twice.cost = NonZeroU32::new(2).unwrap();
        assert!(!store.take(&mut twice, 0));
        assert_eq!(store.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_limit_still_holds() {
        let store = store(&[3], 10);
        for client in 0..10 {
            assert!(takes_one(&store, client, 0));
        }
        // Ten buckets, none full: new clients share one bucket of three tokens.
        let admitted = (10..10_000).filter(|client| takes_one(&store, *client, 0));
        assert_eq!(admitted.count(), 3);
        let mut homeless = charges(&store, [0], 10_000);
        assert!(!store.take(&mut homeless, 0));
        let keys: Vec<ChargeKey> = homeless.iter().map(|charge| charge.key).collect();
        assert_eq!(keys, [ChargeKey(OVERFLOW)], "what is charged later goes to the same bucket");
        assert_eq!(store.count.load(Ordering::Relaxed), 10);
        assert_eq!(store.tables[0].len(), 11, "ten and the overflow bucket");
        // Those who have a bucket are not affected.
        for client in 0..10 {
            assert!(takes_one(&store, client, 0));
        }
        // When the buckets are full again they make room.
        let later = 100 * MICROS;
        let admitted = (20..40).filter(|client| takes_one(&store, *client, later));
        assert!(admitted.count() > 3);
        assert!(store.count.load(Ordering::Relaxed) <= 10);
    }

    #[test]
    fn full_buckets_are_dropped_before_a_shard_grows() {
        let store = store(&[1], 1_000_000);
        for client in 0..1_000_000_u64 {
            // A thousand new clients a second, whose buckets are full again after one.
            assert!(takes_one(&store, client, client * 1_000));
        }
        assert!(store.count.load(Ordering::Relaxed) < 20_000, "{store:?}");
        assert_eq!(store.count.load(Ordering::Relaxed), store.tables[0].len());
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let store = store(&[5_000, 3_000], 10);
        let barrier = Barrier::new(4);
        let admitted: usize = std::thread::scope(|scope| {
            let run = |flip: bool| {
                let (store, barrier) = (&store, &barrier);
                move || {
                    let mut charges = charges(store, if flip { [1, 0] } else { [0, 1] }, 1);
                    barrier.wait();
                    (0..4_000).filter(|_| store.take(&mut charges, 0)).count()
                }
            };
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(run(n % 2 == 0))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 3_000);
        assert_eq!(left(store.peek(&charges(&store, [0, 1], 1), 0)), [2_000, 0]);
    }
}
