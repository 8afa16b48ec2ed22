//! What the store said of buckets last, so that clients who have to wait are refused without a call.
//!
//! A call reads a bucket at a moment between its beginning and its end. Since then others can only
//! have taken more, and it refills no faster than its rate. So it holds at most what it held, with what it
//! gained since the call *began*: where even that is not enough, the store would refuse too. A
//! promised wait is counted from the *end* of the call, and so is never too short.
//!
//! What is given back breaks this: here it is forgotten at once; what another process gives back is seen
//! when the promised time has passed. A bucket that was heard of under another quota counts as
//! unheard, and every policy that comes into force begins with nothing.

use quick_cache::sync::Cache;

use crate::limit::{BucketId, Quota};
use crate::time::Steady;

/// So many buckets are remembered, those that are used most.
const MOST: usize = 65_536;

/// This process's clock may run faster than the server's, by less than one part in so many.
const DRIFT: u64 = 1_000;

/// A limit that came into force, and one of its buckets.
type Place = (u32, u64);

/// What was heard last.
pub(super) struct Heard(Cache<Place, Said>);

/// What the store said of a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Index of the quota in its limit.
    pub(super) quota: u32,
    /// Units short of full.
    pub(super) missing: u64,
    /// When the call began.
    pub(super) asked: Steady,
    /// When it ended.
    pub(super) heard: Steady,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    pub(super) fn note(&self, limit: u32, bucket: BucketId, said: Said) {
        self.0.insert((limit, bucket.0), said);
    }

    /// What was said of a bucket under the quota with this index.
    pub(super) fn of(&self, limit: u32, bucket: BucketId, quota: u32) -> Option<Said> {
        self.0.get(&(limit, bucket.0)).filter(|said| said.quota == quota)
    }

    pub(super) fn forget(&self, limit: u32, bucket: BucketId) {
        self.0.remove(&(limit, bucket.0));
    }
}

impl Said {
    /// The least that the bucket can be short of at `now`, unless something was given back.
    pub(super) fn least(&self, quota: &Quota, now: Steady) -> u64 {
        let elapsed = now.micros().saturating_sub(self.asked.micros());
        self.after(quota, elapsed.saturating_add(elapsed / DRIFT))
    }

    /// What it is short of at `now`, if nobody else took from it.
    pub(super) fn likely(&self, quota: &Quota, now: Steady) -> u64 {
        self.after(quota, now.micros().saturating_sub(self.heard.micros()))
    }

    fn after(&self, quota: &Quota, elapsed: u64) -> u64 {
        self.missing.saturating_sub(elapsed.saturating_mul(quota.tokens()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::store_laws::quota;
    use crate::time::MICROS;

    fn at(micros: u64) -> Steady {
        Steady::from_micros(micros)
    }

    #[test]
    fn a_refusal_is_never_false_and_a_promise_never_too_short() {
        let quota = quota(1, MICROS, 5);
        let said = Said { quota: 0, missing: 5 * MICROS, asked: at(100), heard: at(900) };
        // Wherever between both moments the server read it, and for as long as that takes to refill.
        for read in [100, 500, 900] {
            for now in (900..6 * MICROS).step_by(100_003) {
                let truly = (5 * MICROS).saturating_sub(now - read);
                assert!(said.least(&quota, at(now)) <= truly);
                assert!(said.likely(&quota, at(now)) >= truly);
            }
        }
    }

    #[test]
    fn another_quota_was_not_heard_of() {
        let heard = Heard::new();
        let said = Said { quota: 1, missing: 7, asked: at(0), heard: at(0) };
        heard.note(3, BucketId(9), said);
        assert!(heard.of(3, BucketId(9), 1).is_some());
        assert!(heard.of(3, BucketId(9), 0).is_none() && heard.of(4, BucketId(9), 1).is_none());
        heard.forget(3, BucketId(9));
        assert!(heard.of(3, BucketId(9), 1).is_none());
    }
}
