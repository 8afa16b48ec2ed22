//! How often an address may fail to prove a credential.
//!
//! Guessing keys is slowed by the address it comes from: each failed authentication takes a
//! token from the address's bucket, and while there is none the address waits. A second bucket of the same
//! size bounds what an address that waits may ask of others: signatures, queries, fetches, and looks at keys that
//! people choose.
//!
//! Keys that were proven in the last hour are remembered, so that an address that waits is never a
//! reason to refuse them. That matters for keys that people choose; those with check digits are
//! too long to be guessed, and are looked up as ever.
//!
//! All of it is kept in the memory of this process, whatever store the limits have: a round trip for
//! each guess would be an attack of its own. They have bounds of their own, so that no flood of a
//! limit touches them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;

use super::bucket_id::{BucketName, Parts};
use super::memory::{MemoryStore, Tables};
use super::{Charge, Charges, KeyPart, Limit, PlanQuota, Quota, Settle, Settled, Wait};
use crate::address::Address;
use crate::time::{MICROS, Steady};

/// The index of the failures among the tables.
const FAILED: usize = 0;

/// The index of what an address that waits asks for.
const ATTEMPTS: usize = 1;

/// How long a key is remembered that was proven, in microseconds.
const REMEMBERED: u64 = 3600 * MICROS;

/// How many keys are remembered at most. A key takes about 50 bytes.
const MOST_PROVEN: usize = 1_000_000;

/// How often the memory is looked through while it is full, in microseconds.
const FORGET_EVERY: u64 = 60 * MICROS;

/// What is known of failures, whatever the policy: it lives as long as the process.
#[derive(Debug, Default)]
pub(crate) struct FailureStore {
    buckets: MemoryStore,
    /// The digests of keys, with the moment at which each was proven last: at most [`MOST_PROVEN`].
    proven: DashMap<[u8; 32], AtomicU64, ahash::RandomState>,
    /// How many there are, or a few more.
    count: AtomicUsize,
    /// When those that are over were last forgotten, in microseconds.
    forgotten: AtomicU64,
}

impl FailureStore {
    /// How many buckets there are.
    pub(crate) fn count(&self) -> usize {
        self.buckets.counts().into_iter().map(|(_, count)| count).sum()
    }
}

/// The failure buckets of a policy, two for each address.
#[derive(Clone, Debug)]
pub(crate) struct Failures {
    store: Arc<FailureStore>,
    tables: Tables,
}

/// Microseconds until one more is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MustWait(pub(crate) u64);

impl Failures {
    /// What `store` knows, under the quota of a policy. Each of the two tables has at most
    /// `max_buckets`.
    pub(crate) fn adopt(store: &Arc<FailureStore>, quota: Quota, max_buckets: usize) -> Self {
        let limit = |name: &str| {
            let quota = PlanQuota { plan: None, rate: "".into(), quota };
            Limit::new(name.into(), vec![KeyPart::Address], vec![quota], max_buckets)
        };
        let tables = store.buckets.adopt(&[limit("failures"), limit("attempts")]).tables;
        Self { store: store.clone(), tables }
    }

    /// Whether `address` itself has failed too often. One without a bucket has not, also where no room
    /// is left for it: others that fill the table are no reason to let it wait.
    pub(crate) fn check_own(&self, address: Address, now: Steady) -> Result<(), MustWait> {
        let bucket = self.store.buckets.bucket(&Of(address));
        if !self.tables.has_own(FAILED, bucket) {
            return Ok(());
        }
        self.settle(&mut charge(FAILED, bucket, 0), now)
    }

    /// Whether there is a token for one more failure of `address`. Takes none. Addresses that there
    /// was no room for share one bucket: what is guessed from them is counted together.
    pub(crate) fn check(&self, address: Address, now: Steady) -> Result<(), MustWait> {
        let bucket = self.store.buckets.bucket(&Of(address));
        // Most addresses have never failed.
        match self.tables.kept(FAILED, bucket) {
            None => Ok(()),
            Some(_) => self.settle(&mut charge(FAILED, bucket, 0), now),
        }
    }

    /// Notes that an attempt from `address` failed.
    pub(crate) fn charge(&self, address: Address, now: Steady) {
        // An attempt that ran beside the one that took the last token has nothing to take.
        let _taken = self.take(FAILED, address, now);
    }

    /// Takes a token from the second bucket of an address that waits: for an attempt that memory
    /// alone does not prove.
    pub(crate) fn take_attempt(&self, address: Address, now: Steady) -> Result<(), MustWait> {
        self.take(ATTEMPTS, address, now)
    }

    /// Whether the key with this digest was proven in the last hour.
    pub(crate) fn remembers(&self, digest: &[u8; 32], now: Steady) -> bool {
        let proven = self.store.proven.get(digest);
        proven
            .is_some_and(|at| now.micros().saturating_sub(at.load(Ordering::Relaxed)) < REMEMBERED)
    }

    /// Notes that the key with this digest was proven. Where a million were in the last hour, one
    /// more is not remembered: while its address waits, it takes from the second bucket.
    pub(crate) fn remember(&self, digest: &[u8; 32], now: Steady) {
        if let Some(at) = self.store.proven.get(digest) {
            at.fetch_max(now.micros(), Ordering::Relaxed);
            return;
        }
        let store = &*self.store;
        if store.count.load(Ordering::Relaxed) >= MOST_PROVEN {
            let last = store.forgotten.load(Ordering::Relaxed);
            let is_due = now.micros().saturating_sub(last) >= FORGET_EVERY;
            // One of those who find it due does it.
            if is_due
                && store
                    .forgotten
                    .compare_exchange(last, now.micros(), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                self.forget(now);
            }
            if store.count.load(Ordering::Relaxed) >= MOST_PROVEN {
                return;
            }
        }
        if store.proven.insert(*digest, AtomicU64::new(now.micros())).is_none() {
            store.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets the keys that were not proven for an hour.
    pub(crate) fn forget(&self, now: Steady) {
        let is_recent =
            |at: &AtomicU64| now.micros().saturating_sub(at.load(Ordering::Relaxed)) < REMEMBERED;
        self.store.proven.retain(|_, at| {
            let is_kept = is_recent(at);
            if !is_kept {
                self.store.count.fetch_sub(1, Ordering::Relaxed);
            }
            is_kept
        });
    }

    fn take(&self, table: usize, address: Address, now: Steady) -> Result<(), MustWait> {
        self.settle(&mut charge(table, self.store.buckets.bucket(&Of(address)), 1), now)
    }

    fn settle(&self, charges: &mut Charges, now: Steady) -> Result<(), MustWait> {
        match self.store.buckets.settle(&self.tables, charges, Settle::Take, now) {
            Settled::Granted => Ok(()),
            Settled::Refused => match self.tables.balance(charges).wait() {
                Wait::Micros(wait) => Err(MustWait(wait)),
                // INVARIANT: one token is never above a burst of at least one.
                Wait::None | Wait::Never => Ok(()),
            },
        }
    }
}

fn charge(table: usize, bucket: super::BucketId, cost: u32) -> Charges {
    let mut charges = Charges::default();
    charges.push(Charge::new(table, 0, bucket, cost));
    charges
}

struct Of(Address);

impl BucketName for Of {
    fn write(&self, parts: &mut impl Parts) {
        parts.address(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;
    use crate::limit::ONE;

    fn quota(burst: u32) -> Quota {
        let (six, burst) = (NonZeroU64::new(6_000_000).unwrap(), NonZeroU32::new(burst).unwrap());
        Quota::new(ONE, six, burst).unwrap()
    }

    fn failures(max_buckets: usize) -> Failures {
        Failures::adopt(&Arc::default(), quota(3), max_buckets)
    }

    fn address(n: u8) -> Address {
        IpAddr::from([192, 0, 2, n]).into()
    }

    fn at(micros: u64) -> Steady {
        Steady::from_micros(micros)
    }

    #[test]
    fn an_address_waits_after_its_burst() {
        let failures = failures(10);
        let [bad, good] = [1, 2].map(address);
        for _ in 0..3 {
            assert!(failures.check(bad, at(0)).is_ok());
            failures.charge(bad, at(0));
        }
        assert_eq!(failures.check(bad, at(1)), Err(MustWait(5_999_999)));
        assert!(failures.check(good, at(1)).is_ok());
        assert!(failures.check(bad, at(5_999_999)).is_err());
        for _ in 0..5 {
            assert!(failures.check(bad, at(6_000_000)).is_ok(), "looking takes nothing");
        }
    }

    #[test]
    fn attempts_of_an_address_that_waits_have_a_bucket_of_their_own() {
        let failures = failures(10);
        (0..3).for_each(|_| failures.charge(address(1), at(0)));
        for _ in 0..3 {
            assert!(failures.take_attempt(address(1), at(0)).is_ok());
        }
        assert_eq!(failures.take_attempt(address(1), at(0)), Err(MustWait(6_000_000)));
        assert!(failures.take_attempt(address(2), at(0)).is_ok());
        assert!(failures.take_attempt(address(1), at(6_000_000)).is_ok());
    }

    #[test]
    fn a_key_is_remembered_for_an_hour_after_its_last_proof() {
        let (store, hour) = (Arc::default(), 3600 * MICROS);
        let failures = Failures::adopt(&store, quota(3), 10);
        let [one, other] = [[1; 32], [2; 32]];
        assert!(!failures.remembers(&one, at(0)));
        failures.remember(&one, at(0));
        failures.remember(&one, at(MICROS));
        // A request that came before another may note its proof after it.
        failures.remember(&one, at(0));
        failures.remember(&other, at(0));
        let reloaded = Failures::adopt(&store, quota(2), 10);
        assert!(reloaded.remembers(&one, at(hour)));
        assert!(!reloaded.remembers(&other, at(hour)));
        reloaded.forget(at(hour));
        assert_eq!(store.proven.len(), 1);
        assert!(!reloaded.remembers(&one, at(hour + MICROS)));
    }

    #[test]
    fn the_memory_of_proven_keys_is_bounded() {
        let (store, hour) = (Arc::default(), 3600 * MICROS);
        let failures = Failures::adopt(&store, quota(3), 10);
        let key = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..MOST_PROVEN {
            failures.remember(&key(number), at(number as u64));
        }
        let one_more = key(MOST_PROVEN);
        failures.remember(&one_more, at(2 * MICROS));
        assert!(!failures.remembers(&one_more, at(2 * MICROS)));
        assert!(failures.remembers(&key(7), at(2 * MICROS)), "the others are");
        failures.remember(&one_more, at(hour + MICROS));
        assert!(failures.remembers(&one_more, at(hour + MICROS)), "they are over by now");
        assert_eq!(store.proven.len(), 1);
        assert_eq!(store.count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nobody_guesses_for_free_at_the_bound() {
        let failures = failures(1);
        failures.charge(address(1), at(0));
        for n in 2..5 {
            assert!(failures.check(address(n), at(0)).is_ok());
            failures.charge(address(n), at(0));
        }
        assert!(failures.check(address(9), at(0)).is_err(), "they share one bucket");
        assert!(failures.check(address(1), at(0)).is_ok(), "which is not this one's");
        assert!(failures.check_own(address(9), at(0)).is_ok(), "and which it has no part in");
        for _ in 0..2 {
            failures.charge(address(1), at(0));
        }
        assert_eq!(failures.check_own(address(1), at(0)), Err(MustWait(6_000_000)));
    }

    #[test]
    fn failures_are_kept_when_the_policy_changes_their_quota() {
        let store = Arc::default();
        let before = Failures::adopt(&store, quota(3), 10);
        (0..3).for_each(|_| before.charge(address(1), at(0)));
        let after = Failures::adopt(&store, quota(2), 10);
        assert_eq!(
            after.check(address(1), at(0)),
            Err(MustWait(6_000_000)),
            "empty, and not in debt"
        );
        assert!(after.check(address(1), at(6_000_000)).is_ok());
    }
}
