//! How often an address may fail to prove a credential.
//!
//! Guessing keys is slowed by the address it comes from: each failed authentication takes a
//! token from the address's bucket, and while there is none the address waits, whatever it
//! presents. What failed last stands in the bucket's tag.

use std::net::IpAddr;

use super::memory::{Charge, ChargeKey, MemoryStore};
use super::quota::Quota;
use super::{ONE, Wait};

/// The failure buckets, one for each address.
#[derive(Debug)]
pub(crate) struct Failures {
    store: MemoryStore,
}

/// An address that has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyFailures {
    /// Microseconds until one more attempt is judged.
    pub(crate) wait: u64,
    /// The number that [`Failures::charge`] was called with last.
    pub(crate) last: usize,
}

impl Failures {
    /// `kinds` is the number of different failures.
    pub(crate) fn new(quota: Quota, kinds: usize, max_buckets: usize) -> Self {
        Self { store: MemoryStore::new(std::iter::once(vec![quota; kinds]), max_buckets) }
    }

    /// Whether the address may try.
    ///
    /// An address without a bucket has not failed. Where failures filled the store, that may be
    /// wrong for some; but the overflow bucket is nobody's own, and is not held against them.
    pub(crate) fn check(&self, address: IpAddr, now: u64) -> Result<(), TooManyFailures> {
        let key = self.store.key(address);
        let Some(last) = self.store.tag(0, key) else { return Ok(()) };
        match self.store.peek(&[charge(key, last)], now)[0].wait {
            Wait::None => Ok(()),
            Wait::Micros(wait) => Err(TooManyFailures { wait, last }),
            // INVARIANT: one token is never above a burst of at least one.
            Wait::Never => Ok(()),
        }
    }

    /// Notes that an attempt from `address` failed, as `kind`.
    pub(crate) fn charge(&self, address: IpAddr, kind: usize, now: u64) {
        // An attempt that ran beside the one that took the last token has nothing to take.
        let _none_left = self.store.take(&[charge(self.store.key(address), kind)], now);
    }
}

fn charge(key: ChargeKey, kind: usize) -> Charge {
    Charge { limit: 0, quota: kind, key, cost: ONE }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;

    #[test]
    fn an_address_waits_after_its_burst_and_hears_what_failed_last() {
        let (six, three) = (NonZeroU64::new(6_000_000).unwrap(), NonZeroU32::new(3).unwrap());
        let quota = Quota::new(ONE, six, three).unwrap();
        let failures = Failures::new(quota, 8, 10);
        let (bad, good) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for kind in [0, 5, 2] {
            assert!(failures.check(bad, 0).is_ok());
            failures.charge(bad, kind, 0);
        }
        let waits = failures.check(bad, 1).unwrap_err();
        assert_eq!((waits.last, waits.wait), (2, 5_999_999));
        assert!(failures.check(good, 1).is_ok());
        assert!(failures.check(bad, 5_999_999).is_err());
        assert!(failures.check(bad, 6_000_000).is_ok());
    }
}
