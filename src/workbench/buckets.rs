//! Buckets alone.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::limit::{
    BucketName, Charge, Charges, KeyPart, Limit, MemoryStore, Parts, PlanQuota, Quota, Settle,
    Settled, Tables,
};
use crate::time::{Clock, SystemClock};

/// The buckets of one limit, without a gate in front: for measuring them.
#[derive(Debug)]
pub struct Buckets {
    store: MemoryStore,
    tables: Tables,
    clock: SystemClock,
}

/// A client as a limit by header names it.
struct Named<'n>(&'n str);

impl BucketName for Named<'_> {
    fn write(&self, parts: &mut impl Parts) {
        parts.header(self.0.as_bytes(), std::iter::empty());
    }
}

impl Buckets {
    /// Buckets that gain a token in each `period` and hold `burst`, at most `max_buckets` of
    /// them. `None` where these numbers make no quota.
    #[must_use]
    pub fn new(period: Duration, burst: u32, max_buckets: usize) -> Option<Self> {
        let period = NonZeroU64::new(u64::try_from(period.as_micros()).ok()?)?;
        let quota = Quota::new(NonZeroU32::MIN, period, NonZeroU32::new(burst)?).ok()?;
        let quota = PlanQuota { plan: None, rate: "".into(), quota };
        let limit = Limit::new("one".into(), vec![KeyPart::Global], vec![quota], max_buckets);
        let store = MemoryStore::default();
        let tables = store.adopt([&limit]).tables;
        Some(Self { store, tables, clock: SystemClock::new() })
    }

    /// Takes a token of the client's bucket; whether it was there.
    pub fn take(&self, client: &str) -> bool {
        let mut charges = Charges::default();
        charges.push(Charge::new(0, 0, self.store.bucket(&Named(client)), 1));
        let now = self.clock.steady();
        self.store.settle(&self.tables, &mut charges, Settle::Take, now) == Settled::Granted
    }
}
