//! How often an address may fail to prove a credential.
//!
//! Guessing keys is slowed by the address it comes from: each failed authentication takes a
//! token from the address's bucket, and while there is none the address waits. A second bucket of the same
//! size bounds what an address that waits may ask of others: signatures, queries, fetches.
//!
//! Both are kept in the memory of this process, whatever store the limits have: a round trip for
//! each guess would be an attack of its own. They have bounds of their own, so that no flood of a
//! limit touches them.

use std::sync::Arc;

use super::bucket_id::{BucketName, Parts};
use super::memory::{MemoryStore, Tables};
use super::{Charge, Charges, KeyPart, Limit, PlanQuota, Quota, Settle, Settled, Wait};
use crate::address::Address;
use crate::time::Steady;

/// The index of the failures among the tables.
const FAILED: usize = 0;

/// The index of what an address that waits asks for.
const ATTEMPTS: usize = 1;

/// The failure buckets of a policy, two for each address.
#[derive(Clone, Debug)]
pub(crate) struct Failures {
    store: Arc<MemoryStore>,
    tables: Tables,
}

/// Microseconds until one more is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MustWait(pub(crate) u64);

impl Failures {
    /// The buckets of `store`, which holds nothing else and lives as long as the process, under the
    /// quota of a policy. Each of the two tables has at most `max_buckets`.
    pub(crate) fn adopt(store: &Arc<MemoryStore>, quota: Quota, max_buckets: usize) -> Self {
        let limit = |name: &str| {
            let quota = PlanQuota { plan: None, rate: "".into(), quota };
            Limit::new(name.into(), vec![KeyPart::Address], vec![quota], max_buckets)
        };
        let tables = store.adopt(&[limit("failures"), limit("attempts")]).tables;
        Self { store: store.clone(), tables }
    }

    /// Whether there is a token for one more failure of `address`. Takes none.
    pub(crate) fn check(&self, address: Address, now: Steady) -> Result<(), MustWait> {
        let bucket = self.store.bucket(&Of(address));
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
    #[allow(dead_code, reason = "for the pipeline that judges addresses that wait")]
    pub(crate) fn take_attempt(&self, address: Address, now: Steady) -> Result<(), MustWait> {
        self.take(ATTEMPTS, address, now)
    }

    fn take(&self, table: usize, address: Address, now: Steady) -> Result<(), MustWait> {
        self.settle(&mut charge(table, self.store.bucket(&Of(address)), 1), now)
    }

    fn settle(&self, charges: &mut Charges, now: Steady) -> Result<(), MustWait> {
        match self.store.settle(&self.tables, charges, Settle::Take, now) {
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
    fn nobody_guesses_for_free_at_the_bound() {
        let failures = failures(1);
        failures.charge(address(1), at(0));
        for n in 2..5 {
            assert!(failures.check(address(n), at(0)).is_ok());
            failures.charge(address(n), at(0));
        }
        assert!(failures.check(address(9), at(0)).is_err(), "they share one bucket");
        assert!(failures.check(address(1), at(0)).is_ok(), "which is not this one's");
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
