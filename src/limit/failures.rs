//! How often an address may fail to prove a credential.
//!
//! Guessing keys is slowed by the address it comes from: each failed authentication takes a
//! token from the address's bucket, and while there is none the address waits, whatever it
//! presents. What failed last stands in the bucket's tag.

use super::charge::{Charge, ChargeKey, Charges};
use super::memory::MemoryStore;
use super::{ONE, Wait};
use crate::address::Address;

/// The failure buckets, one for each address: a table of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    table: u32,
}

/// An address that has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyFailures {
    /// Microseconds until one more attempt is judged.
    pub(crate) wait: u64,
    /// The number that [`Failures::charge`] was called with last.
    pub(crate) last: u32,
}

impl Failures {
    /// `table` is the table of the store that has one quota for each kind of failure.
    pub(crate) fn new(table: u32) -> Self {
        Self { table }
    }

    /// Whether the address may try.
    pub(crate) fn check(
        &self,
        store: &MemoryStore,
        address: Address,
        now: u64,
    ) -> Result<(), TooManyFailures> {
        let key = store.key(address);
        let Some(last) = store.tag(self.table, key) else { return Ok(()) };
        match store.peek(&self.attempt(key, last), now).wait() {
            Wait::None => Ok(()),
            Wait::Micros(wait) => Err(TooManyFailures { wait, last }),
            // INVARIANT: one token is never above a burst of at least one.
            Wait::Never => Ok(()),
        }
    }

    /// Notes that an attempt from `address` failed, as `kind`.
    pub(crate) fn charge(&self, store: &MemoryStore, address: Address, kind: u32, now: u64) {
        // An attempt that ran beside the one that took the last token has nothing to take.
        let _taken = store.take(&mut self.attempt(store.key(address), kind), now);
    }

    fn attempt(&self, key: ChargeKey, kind: u32) -> Charges {
        let mut attempt = Charges::new(ONE);
        attempt.push(Charge { limit: self.table, quota: kind, key });
        attempt
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::{NonZeroU32, NonZeroU64};

    use super::super::quota::Quota;
    use super::*;

    fn store(max_buckets: usize) -> MemoryStore {
        let (six, three) = (NonZeroU64::new(6_000_000).unwrap(), NonZeroU32::new(3).unwrap());
        let quota = Quota::new(ONE, six, three).unwrap();
        MemoryStore::new(std::iter::once(vec![quota; 8]), max_buckets)
    }

    fn address(n: u8) -> Address {
        IpAddr::from([192, 0, 2, n]).into()
    }

    #[test]
    fn an_address_waits_after_its_burst_and_hears_what_failed_last() {
        let (store, failures) = (store(10), Failures::new(0));
        let [bad, good] = [1, 2].map(address);
        for kind in [0, 5, 2] {
            assert!(failures.check(&store, bad, 0).is_ok());
            failures.charge(&store, bad, kind, 0);
        }
        let waits = failures.check(&store, bad, 1).unwrap_err();
        assert_eq!((waits.last, waits.wait), (2, 5_999_999));
        assert!(failures.check(&store, good, 1).is_ok());
        assert!(failures.check(&store, bad, 5_999_999).is_err());
        assert!(failures.check(&store, bad, 6_000_000).is_ok());
    }

    #[test]
    fn nobody_guesses_for_free_when_the_store_is_full() {
        let (store, failures) = (store(1), Failures::new(0));
        failures.charge(&store, address(1), 0, 0);
        for n in 2..5 {
            assert!(failures.check(&store, address(n), 0).is_ok());
            failures.charge(&store, address(n), 1, 0);
        }
        assert!(failures.check(&store, address(9), 0).is_err(), "they share one bucket");
        assert!(failures.check(&store, address(1), 0).is_ok(), "which is not this one's");
    }
}
