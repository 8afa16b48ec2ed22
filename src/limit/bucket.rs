//! The arithmetic of one bucket: pure, exact, and one 64-bit word of state.
//!
//! What is stored is not the level but the moment at which the bucket will be full, counted
//! in the quota's units: `full_at`. With `now` in the same units,
//!
//! ```text
//! missing = max(0, full_at - now)            level = capacity - missing
//! take c:  missing + c·period <= capacity    full_at = now + missing + c·period
//! ```
//!
//! This is GCRA, the token bucket held in one number. A bucket whose `full_at` has passed is
//! full, and equal to one that was never there. Units are kept modulo the word: two moments
//! are compared by their difference, which is small beside the word for any bucket that is not
//! full. A bucket that nobody touches for half as long as the word takes to wrap (most of a day at
//! the fastest rate and with the most plans, years at usual ones) would be misread; full ones
//! are dropped long before.
//!
//! The low bits of the word carry a small *tag*: for a limit the plan whose
//! quota was used last, for the failures of an address what failed last. A client that comes
//! with another plan keeps the tokens it spent: they are restated in the other plan's units.

use std::num::NonZeroU32;

use super::quota::Quota;
use crate::time::MICROS;

/// Charges after the work may leave a debt of at most this many bursts.
const MAX_DEBT: u64 = 256;

/// No bucket is short of more units than this.
const MAX_MISSING: u64 = 1 << 56;

/// Quotas that one limit may have: six bits of the word, which leaves 58 for the moment.
pub(crate) const MAX_TAGS: usize = 64;

/// What a bucket's word means: its quotas, one for each tag.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    quotas: Vec<Quota>,
    /// How many low bits of the word hold the tag.
    tag_bits: u32,
}

/// A bucket at one moment, under one of its quotas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket<'q> {
    quota: &'q Quota,
    now: u64,
    missing: u64,
}

impl Reading {
    /// INVARIANT: at least one quota and at most [`MAX_TAGS`], kept by the policy's checks, so
    /// that the rest of a word holds any difference that occurs.
    pub(super) fn new(quotas: Vec<Quota>) -> Self {
        let tag_bits = quotas.len().next_power_of_two().trailing_zeros();
        Self { quotas, tag_bits }
    }

    pub(super) fn quota(&self, tag: u32) -> &Quota {
        &self.quotas[tag as usize]
    }

    /// Reads `word` under the quota `tag` at `now` microseconds. `None` is a bucket that was
    /// never used, which is full.
    pub(super) fn open(&self, word: Option<u64>, tag: u32, now: u64) -> Bucket<'_> {
        let quota = &self.quotas[tag as usize];
        let missing = match word {
            None => 0,
            Some(word) if self.tag(word) == tag => self.missing(word, now),
            Some(word) => {
                restate(self.missing(word, now), &self.quotas[self.tag(word) as usize], quota)
            }
        };
        Bucket { quota, now, missing }
    }

    /// The word of `bucket`, last used under the quota `tag`.
    pub(super) fn close(&self, bucket: &Bucket<'_>, tag: u32) -> u64 {
        let full_at = units(bucket.now, bucket.quota).wrapping_add(bucket.missing);
        (full_at << self.tag_bits) | u64::from(tag)
    }

    /// Whether the bucket is full at `now`, and so may be dropped.
    pub(super) fn is_full(&self, word: u64, now: u64) -> bool {
        self.missing(word, now) == 0
    }

    /// The tag of `word`. Lossless: at most six bits.
    pub(super) fn tag(&self, word: u64) -> u32 {
        (word & ((1 << self.tag_bits) - 1)) as u32
    }

    fn missing(&self, word: u64, now: u64) -> u64 {
        // Both sides are shifted up, so that the difference wraps where the word does.
        let now = units(now, &self.quotas[self.tag(word) as usize]) << self.tag_bits;
        let full_at = word >> self.tag_bits << self.tag_bits;
        let ahead = full_at.wrapping_sub(now) >> self.tag_bits;
        // The nearer half of the word lies ahead, the other has passed. A request may come with an
        // earlier moment than one that settled before it, and then sees a little more ahead than
        // a bucket can miss.
        let has_passed = ahead >> (u64::BITS - 1 - self.tag_bits) == 1;
        if has_passed { 0 } else { ahead.min(most_missing(&self.quotas[self.tag(word) as usize])) }
    }
}

impl Bucket<'_> {
    /// Takes `cost` tokens, where they are there.
    pub(super) fn take(&mut self, cost: NonZeroU32) -> bool {
        let missing = self.missing + self.units_of(cost);
        let granted = missing <= self.quota.capacity();
        if granted {
            self.missing = missing;
        }
        granted
    }

    /// Takes `cost` tokens, leaving a debt where they are not there.
    pub(super) fn charge(&mut self, cost: NonZeroU32) {
        let missing = self.missing.saturating_add(self.units_of(cost));
        self.missing = missing.min(most_missing(self.quota));
    }

    /// Units short of full; above the capacity when in debt.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// What a client is told about the bucket, which `cost` is to be taken from next.
    pub(super) fn standing(&self, cost: NonZeroU32) -> Standing {
        Standing::of(self.missing, self.quota, cost)
    }

    fn units_of(&self, cost: NonZeroU32) -> u64 {
        units_of(cost, self.quota)
    }
}

/// What is left in a bucket, and how long until there is more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Whole tokens in the bucket.
    pub(crate) remaining: u32,
    /// Until the cost is there.
    pub(crate) wait: Wait,
    /// Microseconds until the bucket is full.
    pub(crate) full_in: u64,
}

impl Standing {
    /// Of a bucket that misses so many units.
    pub(super) fn of(missing: u64, quota: &Quota, cost: NonZeroU32) -> Self {
        let capacity = quota.capacity();
        let needed = units_of(cost, quota);
        let wait = match (missing + needed).checked_sub(capacity) {
            _ if needed > capacity => Wait::Never,
            None | Some(0) => Wait::None,
            Some(short) => Wait::Micros(short.div_ceil(quota.tokens())),
        };
        Self {
            // Lossless: at most the burst.
            remaining: (capacity.saturating_sub(missing) / quota.period()) as u32,
            wait,
            full_in: missing.div_ceil(quota.tokens()),
        }
    }
}

/// In range: a cost is below 2^32 and a period at most 2^52 for a burst of one, so the
/// product is capped before it meets anything.
fn units_of(cost: NonZeroU32, quota: &Quota) -> u64 {
    u64::from(cost.get()).saturating_mul(quota.period()).min(MAX_MISSING)
}

/// How long until a cost is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Wait {
    /// It is there now.
    None,
    /// This many microseconds: not one less, and no more if nobody else takes tokens.
    Micros(u64),
    /// The cost is above the burst: it will never be there.
    Never,
}

impl Wait {
    /// The wait in seconds, rounded up; 0 for none, `None` for never.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Micros(micros) => Some(micros.div_ceil(MICROS)),
            Self::Never => None,
        }
    }
}

/// The units that a bucket can be short of, debt included.
fn most_missing(quota: &Quota) -> u64 {
    quota.capacity().saturating_mul(MAX_DEBT).min(MAX_MISSING)
}

/// A moment in a quota's units, modulo the word.
fn units(micros: u64, quota: &Quota) -> u64 {
    micros.wrapping_mul(quota.tokens())
}

/// The tokens missing under `from`, in units of `to`, rounded up.
fn restate(missing: u64, from: &Quota, to: &Quota) -> u64 {
    let restated =
        (u128::from(missing) * u128::from(to.period())).div_ceil(u128::from(from.period()));
    u64::try_from(restated).unwrap_or(u64::MAX).min(most_missing(to))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;
    use crate::limit::ONE;

    fn quota(tokens: u32, period: u64, burst: u32) -> Quota {
        let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
        Quota::new(tokens, NonZeroU64::new(period).unwrap(), burst).unwrap()
    }

    /// A bucket alone: its word, and the quotas that read it.
    struct Alone {
        reading: Reading,
        word: Option<u64>,
    }

    impl Alone {
        fn new(quotas: Vec<Quota>) -> Self {
            Self { reading: Reading::new(quotas), word: None }
        }

        fn take(&mut self, tag: u32, cost: NonZeroU32, now: u64) -> Result<Standing, Wait> {
            let mut bucket = self.reading.open(self.word, tag, now);
            if !bucket.take(cost) {
                return Err(bucket.standing(cost).wait);
            }
            self.word = Some(self.reading.close(&bucket, tag));
            Ok(bucket.standing(cost))
        }
    }

    fn cost(cost: u32) -> NonZeroU32 {
        NonZeroU32::new(cost).unwrap()
    }

    prop_compose! {
        fn any_quota()(tokens in 1_u32..100_000, period in 1_u64..10_000_000, burst in 1_u32..10_000)
            -> Quota { quota(tokens, period, burst) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// In any interval [a, b] at most burst + rate·(b - a) tokens are granted; checked for
        /// all pairs of grants, counted in units to stay exact.
        #[test]
        fn never_above_burst_plus_rate_times_time(
            quota in any_quota(), start in 0_u64..=u64::MAX / 2,
            steps in prop::collection::vec((0_u64..5_000_000, 1_u32..20), 1..120),
        ) {
            let mut bucket = Alone::new(vec![quota]);
            let (mut now, mut grants) = (start, Vec::new());
            for (pause, tokens) in steps {
                now += pause;
                if bucket.take(0, cost(tokens), now).is_ok() {
                    grants.push((now, u128::from(tokens) * u128::from(quota.period())));
                }
            }
            for from in 0..grants.len() {
                let mut granted = 0;
                for (at, units) in &grants[from..] {
                    granted += units;
                    let elapsed = u128::from(at - grants[from].0) * u128::from(quota.tokens());
                    prop_assert!(granted <= u128::from(quota.capacity()) + elapsed);
                }
            }
        }

        /// Refused with a wait: a tick before it is over the same cost is refused, and at its
        /// end it is granted.
        #[test]
        fn granted_at_the_promised_instant_and_not_before(
            quota in any_quota(), start in 0_u64..=u64::MAX / 2, tokens in 1_u32..10_000,
            spent in prop::collection::vec((0_u64..100_000, 1_u32..50), 0..60),
        ) {
            let tokens = cost(tokens.min(quota.burst()));
            let mut bucket = Alone::new(vec![quota]);
            let mut now = start;
            for (pause, spend) in spent {
                now += pause;
                let _ = bucket.take(0, cost(spend), now);
            }
            while bucket.take(0, tokens, now).is_ok() {}
            let Err(Wait::Micros(wait)) = bucket.take(0, tokens, now) else {
                return Err(TestCaseError::fail("a cost within the burst has a finite wait"));
            };
            prop_assert!(bucket.take(0, tokens, now + wait - 1).is_err());
            prop_assert!(bucket.take(0, tokens, now + wait).is_ok());
        }

        /// A bucket that is full carries no information: dropping it changes nothing.
        #[test]
        fn a_full_bucket_equals_one_never_used(quota in any_quota(), spend in 1_u32..100) {
            let mut bucket = Alone::new(vec![quota]);
            let _ = bucket.take(0, cost(spend.min(quota.burst())), 7);
            let full_in = bucket.reading.open(bucket.word, 0, 7).standing(ONE).full_in;
            let word = bucket.word.unwrap();
            prop_assert!(!bucket.reading.is_full(word, 7 + full_in - 1));
            prop_assert!(bucket.reading.is_full(word, 7 + full_in));
            prop_assert_eq!(
                bucket.reading.open(bucket.word, 0, 7 + full_in).standing(ONE),
                bucket.reading.open(None, 0, 7 + full_in).standing(ONE)
            );
        }

        /// Spent tokens survive a change of plan, to within the rounding of one unit.
        #[test]
        fn a_client_of_two_plans_has_one_bucket(
            small in any_quota(), large in any_quota(), spend in 1_u32..10_000, now in 0_u64..1 << 50,
        ) {
            let spend = spend.min(small.burst());
            let mut bucket = Alone::new(vec![small, large]);
            prop_assert!(bucket.take(0, cost(spend), now).is_ok());
            let seen = bucket.reading.open(bucket.word, 1, now).standing(ONE).remaining;
            prop_assert_eq!(seen, large.burst().saturating_sub(spend));
        }

        #[test]
        fn the_tag_is_kept(tags in 1_usize..=MAX_TAGS, tag in 0_u32..64, now in any::<u64>()) {
            let (tag, quota) = (tag % tags as u32, quota(3, 1_000_000, 10));
            let reading = Reading::new(vec![quota; tags]);
            let mut bucket = reading.open(None, tag, now);
            prop_assert!(bucket.take(cost(4)));
            let word = reading.close(&bucket, tag);
            prop_assert_eq!(reading.tag(word), tag);
            prop_assert_eq!(reading.open(Some(word), tag, now).standing(ONE).remaining, 6);
        }
    }

    #[test]
    fn a_cost_above_the_burst_never_passes() {
        let mut bucket = Alone::new(vec![quota(1, 1_000_000, 5)]);
        assert_eq!(bucket.take(0, cost(6), 0), Err(Wait::Never));
        assert_eq!(bucket.take(0, cost(u32::MAX), 0), Err(Wait::Never));
        assert!(bucket.take(0, cost(5), 0).is_ok());
    }

    /// Requests that run beside each other may come with moments in another order than they
    /// settle in.
    #[test]
    fn the_deepest_debt_stays_one_for_a_request_of_an_earlier_moment() {
        for quotas in [1, MAX_TAGS] {
            let slow = quota(1, MICROS, 10);
            let mut alone = Alone::new(vec![slow; quotas]);
            let now = 3_600 * MICROS;
            let mut bucket = alone.reading.open(None, 0, now);
            bucket.charge(cost(u32::MAX));
            alone.word = Some(alone.reading.close(&bucket, 0));
            for earlier in [now, now - 1, now - MICROS, now - 60 * MICROS, 0] {
                assert!(alone.take(0, ONE, earlier).is_err(), "{} earlier", now - earlier);
                assert!(!alone.reading.is_full(alone.word.unwrap(), earlier));
            }
        }
    }

    #[test]
    fn a_charge_after_the_work_leaves_a_debt_that_is_waited_off() {
        let reading = Reading::new(vec![quota(1, 1_000_000, 5)]);
        let mut bucket = reading.open(None, 0, 0);
        bucket.charge(cost(8));
        let standing = bucket.standing(ONE);
        assert_eq!((standing.remaining, standing.wait), (0, Wait::Micros(4_000_000)));
        assert_eq!(standing.full_in, 8_000_000);
        let word = reading.close(&bucket, 0);
        assert!(!reading.open(Some(word), 0, 3_999_999).take(ONE));
        assert!(reading.open(Some(word), 0, 4_000_000).take(ONE));
    }
}
