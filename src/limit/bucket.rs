//! The arithmetic of one bucket: pure and exact.
//!
//! What is stored is not the level but the moment at which all that was spent will be refilled, counted
//! in the quota's units: `full_at`. With `now` in the same units,
//!
//! ```text
//! spent  = max(0, full_at - now)             level = capacity - spent
//! take c:  spent + c·period <= capacity      full_at = now + spent + c·period
//! ```
//!
//! This is GCRA, the token bucket held in one number. A bucket whose `full_at` has passed is
//! full, and equal to one that was never there. Units are kept modulo the word: two moments
//! are compared by their difference, of which one half of the word is ahead and the other has
//! passed. A bucket that nobody touches for half as long as the word takes to wrap (fifty days at
//! the fastest rate, years at usual ones) would be misread; full ones are dropped long before.
//!
//! # When the quota changes
//!
//! A bucket is restated in the units of the other quota; it is never refilled by that.
//!
//! 1. A client that comes with another plan keeps all that it spent, even if that is more than
//!    the other plan's burst.
//! 2. A policy that lowers the burst of a plan leaves the bucket at most empty: what was spent beyond
//!    the new burst is *forgiven*. That is kept beside the bucket, so that a later policy with the larger
//!    burst does not give it back. Debts of charges after the work are not forgiven.
//!
//! Tokens are never gained by rounding: all of it rounds against the client, what was spent by
//! less than one unit, what is forgiven by less than one token.

use super::quota::Quota;
use crate::time::{MICROS, Steady};

/// Charges after the work may leave a debt of at most this many bursts.
const MAX_DEBT: u64 = 256;

/// No bucket is read as short of more units than this: half of what is ahead of a moment, so
/// that a request of an earlier moment still reads it right.
const MAX_UNITS: u64 = 1 << 62;

/// No change of quotas leaves more units spent than this, so that there is room to take more.
const MAX_RESTATED: u64 = 1 << 61;

/// What is kept of a bucket from one request to the next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Kept {
    /// When all that was spent is refilled, in units of the quota, modulo the word.
    full_at: u64,
    /// The quota that it was last used under.
    pub(super) quota: QuotaId,
    /// Whole tokens of what was spent that a lower burst forgave.
    forgiven: u32,
}

/// A quota among all that the buckets of a table are or were used under.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct QuotaId(pub(super) u32);

/// Why a bucket has another quota than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The client came with another plan.
    Plan,
    /// The policy changed the quota of the plan.
    Policy,
}

/// A bucket at one moment, under one quota.
///
/// INVARIANT: what is forgiven was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket<'q> {
    quota: &'q Quota,
    now: Steady,
    /// Units spent and not refilled yet.
    spent: u64,
    /// Tokens of these.
    forgiven: u32,
}

impl Kept {
    /// Whether the bucket is full at `now`, under the quota that it was last used under, and so
    /// may be dropped.
    pub(super) fn is_full(&self, quota: &Quota, now: Steady) -> bool {
        self.spent(quota, now) == 0
    }

    fn spent(&self, quota: &Quota, now: Steady) -> u64 {
        let ahead = self.full_at.wrapping_sub(units(now, quota));
        // The nearer half of the word lies ahead, the other has passed. A request may come with an
        // earlier moment than one that settled before it, and then sees a little more ahead.
        if ahead >> (u64::BITS - 1) == 1 { 0 } else { ahead.min(MAX_UNITS) }
    }
}

impl<'q> Bucket<'q> {
    /// A full bucket, which is one that was never used.
    pub(super) fn full(quota: &'q Quota, now: Steady) -> Self {
        Self { quota, now, spent: 0, forgiven: 0 }
    }

    /// Reads what was kept under `quota`, at `now`.
    pub(super) fn read(kept: &Kept, quota: &'q Quota, now: Steady) -> Self {
        let mut bucket = Self { quota, now, spent: kept.spent(quota, now), forgiven: 0 };
        if kept.forgiven > 0 {
            bucket.forgive(kept.forgiven);
        }
        bucket
    }

    /// What is to be kept, under the quota's id.
    pub(super) fn keep(&self, quota: QuotaId) -> Kept {
        let full_at = units(self.now, self.quota).wrapping_add(self.spent);
        Kept { full_at, quota, forgiven: self.forgiven }
    }

    /// The same bucket under another quota.
    pub(super) fn restated<'t>(&self, to: &'t Quota, change: Change) -> Bucket<'t> {
        let from = self.quota;
        let spent = restate(self.spent, from, to);
        let mut bucket = Bucket { quota: to, now: self.now, spent, forgiven: 0 };
        let burst_beyond = |spent: u64| {
            u32::try_from(spent.saturating_sub(to.capacity()).div_ceil(to.period()))
                .unwrap_or(u32::MAX)
        };
        match change {
            Change::Plan => bucket.forgive(burst_beyond(spent).min(self.forgiven)),
            Change::Policy => {
                let debt = restate(self.missing().saturating_sub(from.capacity()), from, to);
                let beyond = burst_beyond(spent.saturating_sub(debt));
                // What is forgiven is whole tokens, and what is left of the burst is exact.
                let kept = spent.saturating_sub(debt).min(to.capacity()) + debt.min(spent);
                bucket.forgiven = beyond;
                bucket.spent = kept + bucket.forgiven_units();
            }
        }
        bucket
    }

    /// Takes `cost` tokens, where they are there. A cost of 0 takes nothing, and asks for one.
    pub(super) fn take(&mut self, cost: u32) -> bool {
        let granted = self.missing() + needed(cost, self.quota) <= self.quota.capacity();
        if granted {
            self.spent += units_of(cost, self.quota);
        }
        granted
    }

    /// Takes `cost` tokens, leaving a debt where they are not there.
    pub(super) fn owe(&mut self, cost: u32) {
        let missing = self.missing();
        let most = self.quota.capacity().saturating_mul(MAX_DEBT).min(MAX_RESTATED);
        let owed = missing.saturating_add(units_of(cost, self.quota)).min(most.max(missing));
        self.spent += owed - missing;
    }

    /// Takes `cost` tokens, as far as they are there.
    #[cfg(test)]
    pub(super) fn debit(&mut self, cost: u32) {
        let missing = self.missing();
        let most = self.quota.capacity().max(missing);
        self.spent += missing.saturating_add(units_of(cost, self.quota)).min(most) - missing;
    }

    /// Puts back `cost` tokens. The bucket is never more than full.
    pub(super) fn give_back(&mut self, cost: u32) {
        let missing = self.missing();
        self.spent -= units_of(cost, self.quota).min(missing);
    }

    /// Units short of full; above the capacity when in debt.
    pub(super) fn missing(&self) -> u64 {
        if self.forgiven == 0 { self.spent } else { self.spent - self.forgiven_units() }
    }

    /// Whether it equals a bucket that was never used.
    pub(super) fn is_full(&self) -> bool {
        self.spent == 0
    }

    /// What a client is told about the bucket, which `cost` is to be taken from next.
    #[cfg(test)]
    pub(super) fn standing(&self, cost: u32) -> Standing {
        Standing::of(self.missing(), self.quota, cost)
    }

    /// Forgives so many tokens, or all that was spent.
    fn forgive(&mut self, tokens: u32) {
        let most = self.spent.div_ceil(self.quota.period());
        self.forgiven = u32::try_from(most).map_or(tokens, |most| tokens.min(most));
        self.spent = self.spent.max(self.forgiven_units());
    }

    fn forgiven_units(&self) -> u64 {
        u64::from(self.forgiven).saturating_mul(self.quota.period()).min(MAX_UNITS)
    }
}

/// What is left in a bucket, and how long until there is more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Whole tokens in the bucket.
    pub(crate) remaining: u32,
    /// Until the cost is there; for a cost of 0, until one token is.
    pub(crate) wait: Wait,
    /// Microseconds until the bucket is full.
    pub(crate) full_in: u64,
}

impl Standing {
    /// Of a bucket that misses so many units.
    pub(super) fn of(missing: u64, quota: &Quota, cost: u32) -> Self {
        let capacity = quota.capacity();
        let needed = needed(cost, quota);
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

/// The units that have to be there. In range: a cost is below 2^32 and a period at most 2^52 for
/// a burst of one, so the product is capped before it meets anything.
fn needed(cost: u32, quota: &Quota) -> u64 {
    units_of(cost.max(1), quota)
}

fn units_of(cost: u32, quota: &Quota) -> u64 {
    u64::from(cost).saturating_mul(quota.period()).min(MAX_UNITS)
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

/// A moment in a quota's units, modulo the word.
fn units(moment: Steady, quota: &Quota) -> u64 {
    moment.micros().wrapping_mul(quota.tokens())
}

/// The tokens of so many units under `from`, in units of `to`, rounded up.
fn restate(spent: u64, from: &Quota, to: &Quota) -> u64 {
    let restated =
        (u128::from(spent) * u128::from(to.period())).div_ceil(u128::from(from.period()));
    u64::try_from(restated).unwrap_or(u64::MAX).min(MAX_RESTATED)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use proptest::prelude::*;

    use super::*;

    fn quota(tokens: u32, period: u64, burst: u32) -> Quota {
        let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
        Quota::new(tokens, NonZeroU64::new(period).unwrap(), burst).unwrap()
    }

    fn at(micros: u64) -> Steady {
        Steady::from_micros(micros)
    }

    /// A bucket alone, and the quotas of all plans at all times.
    struct Alone {
        /// Each with its plan.
        quotas: Vec<(u8, Quota)>,
        kept: Option<Kept>,
    }

    impl Alone {
        fn new(quota: Quota) -> Self {
            Self { quotas: vec![(0, quota)], kept: None }
        }

        /// At so many microseconds of steady time.
        fn read(&self, index: usize, micros: u64) -> Bucket<'_> {
            let now = at(micros);
            let (plan, quota) = &self.quotas[index];
            let Some(kept) = &self.kept else { return Bucket::full(quota, now) };
            let (last_plan, last_quota) = &self.quotas[kept.quota.0 as usize];
            let bucket = Bucket::read(kept, last_quota, now);
            match kept.quota.0 as usize == index {
                true => bucket,
                false if plan == last_plan => bucket.restated(quota, Change::Policy),
                false => bucket.restated(quota, Change::Plan),
            }
        }

        fn take(&mut self, index: usize, cost: u32, now: u64) -> Result<Standing, Wait> {
            let mut bucket = self.read(index, now);
            let granted = bucket.take(cost);
            let (kept, standing) = (bucket.keep(QuotaId(index as u32)), bucket.standing(cost));
            self.kept = Some(kept);
            if granted { Ok(standing) } else { Err(standing.wait) }
        }
    }

    prop_compose! {
        fn any_quota()(tokens in 1_u32..100_000, period in 1_u64..10_000_000, burst in 1_u32..10_000)
            -> Quota { quota(tokens, period, burst) }
    }

    prop_compose! {
        /// Quotas that differ much, and yet are spent and refilled in few steps.
        fn small_quota()(tokens in 1_u32..5, period in 1_u64..4_000_000, burst in 1_u32..30)
            -> Quota { quota(tokens, period, burst) }
    }

    /// How much more of `period · tokens` is granted than the bound allows, over all pairs of grants.
    fn stays_within(grants: &[(u64, u32)], burst: u32, rate: &Quota) -> Result<(), TestCaseError> {
        for from in 0..grants.len() {
            let mut granted = 0;
            for (at, tokens) in &grants[from..] {
                granted += u128::from(*tokens) * u128::from(rate.period());
                let elapsed = u128::from(at - grants[from].0) * u128::from(rate.tokens());
                prop_assert!(granted <= u128::from(burst) * u128::from(rate.period()) + elapsed);
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// In any interval [a, b] at most burst + rate·(b - a) tokens are granted; checked for
        /// all pairs of grants, counted in units to stay exact.
        #[test]
        fn never_above_burst_plus_rate_times_time(
            quota in any_quota(), start in 0_u64..=u64::MAX / 2,
            steps in prop::collection::vec((0_u64..5_000_000, 0_u32..20), 1..120),
        ) {
            let mut bucket = Alone::new(quota);
            let (mut now, mut grants) = (start, Vec::new());
            for (pause, tokens) in steps {
                now += pause;
                if bucket.take(0, tokens, now).is_ok() {
                    grants.push((now, tokens));
                }
            }
            stays_within(&grants, quota.burst(), &quota)?;
        }

        /// Whatever plans a client comes with, and however often the policy changes their quotas: it
        /// never gets more than the largest burst and the fastest rate of all allow.
        #[test]
        fn never_above_the_largest_quota_whatever_changes(
            first in prop::collection::vec(small_quota(), 3),
            steps in prop::collection::vec(
                (0_u64..3_000_000, 0_u8..3, 0_u32..6, prop::option::weighted(0.3, small_quota())), 1..150,
            ),
        ) {
            let quotas = (0..).zip(first).collect();
            let mut bucket = Alone { quotas, kept: None };
            let (mut in_force, mut now, mut grants) = ([0, 1, 2], 0, Vec::new());
            for (pause, plan, cost, change) in steps {
                now += pause;
                if let Some(quota) = change {
                    in_force[usize::from(plan)] = bucket.quotas.len();
                    bucket.quotas.push((plan, quota));
                }
                let index = in_force[usize::from(plan)];
                let before = bucket.read(index, now).missing();
                match bucket.take(index, cost, now) {
                    Ok(_) => grants.push((now, cost)),
                    Err(_) => prop_assert_eq!(bucket.read(index, now).missing(), before),
                }
            }
            let quotas = bucket.quotas.iter().map(|(_, quota)| quota);
            let burst = quotas.clone().map(Quota::burst).max().unwrap();
            let faster = |one: &&Quota, other: &&Quota| {
                (one.tokens() * other.period()).cmp(&(other.tokens() * one.period()))
            };
            stays_within(&grants, burst, quotas.max_by(faster).unwrap())?;
        }

        /// A change never refills: what is left is at most the new burst less what was spent.
        #[test]
        fn no_change_of_quotas_refills(
            quotas in prop::collection::vec(any_quota(), 2..6), by_plan: bool,
            spent in 0_u32..20_000, now in 0_u64..1 << 50,
        ) {
            let change = if by_plan { Change::Plan } else { Change::Policy };
            let mut bucket = Bucket::full(&quotas[0], at(now));
            bucket.take(spent.min(quotas[0].burst()));
            for quota in &quotas[1..] {
                let before = bucket.standing(1).remaining;
                let spent = bucket.quota.burst() - before;
                bucket = bucket.restated(quota, change);
                prop_assert!(bucket.standing(1).remaining <= quota.burst().saturating_sub(spent));
            }
        }

        /// To another quota and back, over and over: nothing is gained.
        #[test]
        fn back_and_forth_never_gains(
            one in any_quota(), other in any_quota(), now in 0_u64..1 << 50,
            spent in 0_u32..10_000, owed in 0_u32..10_000, by_plan in prop::collection::vec(any::<bool>(), 2..9),
        ) {
            let mut start = Bucket::full(&one, at(now));
            start.take(spent.min(one.burst()));
            start.owe(owed);
            let mut bucket = start;
            for by_plan in by_plan {
                let change = if by_plan { Change::Plan } else { Change::Policy };
                bucket = bucket.restated(&other, change).restated(&one, change);
                let kept = bucket.keep(QuotaId(0));
                bucket = Bucket::read(&kept, &one, at(now));
                prop_assert!(bucket.spent >= start.spent);
                // A debt that a larger burst covers is none any more when the burst is lowered again.
                prop_assert!(bucket.missing() >= start.missing().min(one.capacity()));
            }
            // All rounding together costs a few tokens at most, however often.
            prop_assert!(bucket.missing() <= start.missing() + 4 * one.period());
        }

        /// A lower burst leaves a bucket at most empty, and a debt as it was.
        #[test]
        fn a_policy_that_lowers_a_burst_leaves_a_bucket_at_most_empty(
            one in any_quota(), burst in 1_u32..10_000, spent in 0_u32..10_000, debt in 0_u32..100,
        ) {
            let mut bucket = Bucket::full(&one, at(7));
            bucket.take(spent.min(one.burst()));
            let missing = bucket.missing();
            let lower = quota(one.tokens() as u32, one.period(), burst);
            let lowered = bucket.restated(&lower, Change::Policy);
            prop_assert_eq!(lowered.missing(), missing.min(lower.capacity()));
            prop_assert!(lowered.spent >= missing);

            let mut bucket = Bucket::full(&one, at(7));
            bucket.owe(one.burst() + debt);
            let debt = bucket.missing() - one.capacity();
            let lowered = bucket.restated(&lower, Change::Policy);
            prop_assert_eq!(lowered.missing(), one.capacity().min(lower.capacity()) + debt);
        }

        /// Refused with a wait: a tick before it is over the same cost is refused, and at its
        /// end it is granted. Also where the quota has just changed.
        #[test]
        fn granted_at_the_promised_instant_and_not_before(
            before in any_quota(), quota in any_quota(), start in 0_u64..=u64::MAX / 2,
            tokens in 0_u32..10_000, plan in 0_u8..2,
            spent in prop::collection::vec((0_u64..100_000, 1_u32..50), 0..60),
        ) {
            let tokens = tokens.min(quota.burst());
            let mut bucket = Alone { quotas: vec![(0, before), (plan, quota)], kept: None };
            let mut now = start;
            for (pause, spend) in spent {
                now += pause;
                let _ = bucket.take(0, spend, now);
            }
            while bucket.take(1, tokens.max(1), now).is_ok() {}
            let wait = match bucket.take(1, tokens, now) {
                Err(Wait::Micros(wait)) => wait,
                other => return Err(TestCaseError::fail(format!("a cost within the burst: {other:?}"))),
            };
            prop_assert!(bucket.take(1, tokens, now + wait - 1).is_err());
            prop_assert!(bucket.take(1, tokens, now + wait).is_ok());
        }

        /// A bucket that is full carries no information: dropping it changes nothing.
        #[test]
        fn a_full_bucket_equals_one_never_used(quota in any_quota(), spend in 1_u32..100) {
            let mut bucket = Bucket::full(&quota, at(7));
            bucket.take(spend.min(quota.burst()));
            let (full_in, kept) = (bucket.standing(1).full_in, bucket.keep(QuotaId(0)));
            prop_assert!(!kept.is_full(&quota, at(7 + full_in - 1)));
            prop_assert!(kept.is_full(&quota, at(7 + full_in)));
            prop_assert_eq!(
                Bucket::read(&kept, &quota, at(7 + full_in)).standing(1),
                Bucket::full(&quota, at(7 + full_in)).standing(1)
            );
        }

        /// Spent tokens survive a change of plan, to within the rounding of one unit.
        #[test]
        fn a_client_of_two_plans_has_one_bucket(
            small in any_quota(), large in any_quota(), spend in 1_u32..10_000, now in 0_u64..1 << 50,
        ) {
            let spend = spend.min(small.burst());
            let mut bucket = Bucket::full(&small, at(now));
            prop_assert!(bucket.take(spend));
            let seen = bucket.restated(&large, Change::Plan).standing(1).remaining;
            prop_assert_eq!(seen, large.burst().saturating_sub(spend));
        }

        /// What is given back was as if never taken, and fills no bucket beyond its burst.
        #[test]
        fn given_back_is_as_if_never_taken(
            quota in any_quota(), spent in 0_u32..10_000, cost in 0_u32..10_000, later in 0_u64..1 << 30,
        ) {
            let mut start = Bucket::full(&quota, at(0));
            start.take(spent.min(quota.burst()));
            let mut bucket = start;
            if bucket.take(cost) {
                let mut bucket = Bucket::read(&bucket.keep(QuotaId(0)), &quota, at(later));
                bucket.give_back(cost);
                let untouched = Bucket::read(&start.keep(QuotaId(0)), &quota, at(later));
                prop_assert_eq!(bucket.missing(), untouched.missing());
            }
        }
    }

    #[test]
    fn a_cost_above_the_burst_never_passes() {
        let mut bucket = Alone::new(quota(1, 1_000_000, 5));
        assert_eq!(bucket.take(0, 6, 0), Err(Wait::Never));
        assert_eq!(bucket.take(0, u32::MAX, 0), Err(Wait::Never));
        assert!(bucket.take(0, 5, 0).is_ok());
    }

    #[test]
    fn a_cost_of_nothing_asks_for_a_whole_token_and_takes_none() {
        let mut bucket = Alone::new(quota(1, 1_000_000, 2));
        for _ in 0..5 {
            assert_eq!(bucket.take(0, 0, 0).unwrap().remaining, 2);
        }
        assert!(bucket.take(0, 2, 0).is_ok());
        assert_eq!(bucket.take(0, 0, 400_000), Err(Wait::Micros(600_000)));
        for _ in 0..5 {
            assert_eq!(bucket.take(0, 0, 1_000_000).unwrap().remaining, 1);
        }
    }

    #[test]
    fn what_a_lower_burst_forgave_does_not_come_back() {
        let [large, small] = [200, 100].map(|burst| quota(1, 1_000_000, burst));
        let mut bucket = Alone { quotas: vec![(0, large), (0, small)], kept: None };
        assert!(bucket.take(0, 150, 0).is_ok());
        assert_eq!(bucket.take(1, 1, 0), Err(Wait::Micros(1_000_000)), "empty, and not in debt");
        assert_eq!(bucket.take(1, 1, 1_000_000).unwrap().remaining, 0);
        assert_eq!(bucket.take(0, 0, 1_000_000).unwrap().remaining, 50, "150 less 1 and 1 more");
    }

    /// Requests that run beside each other may come with moments in another order than they
    /// settle in.
    #[test]
    fn the_deepest_debt_stays_one_for_a_request_of_an_earlier_moment() {
        for slow in [quota(1, MICROS, 10), quota(1, 1 << 52, 1), quota(1 << 21, 1_000_003, 10)] {
            let mut alone = Alone::new(slow);
            let now = 3_600 * MICROS;
            let mut bucket = alone.read(0, now);
            bucket.owe(u32::MAX);
            let kept = bucket.keep(QuotaId(0));
            alone.kept = Some(kept);
            // The fastest quota refills the deepest debt in a second or two, and is read right all the same.
            for earlier in [now, now - 1, now - MICROS, now - 60 * MICROS, 0] {
                assert!(alone.read(0, earlier).standing(1).wait > Wait::None, "{earlier}");
                assert!(!kept.is_full(&slow, at(earlier)));
            }
        }
    }

    #[test]
    fn a_charge_after_the_work_leaves_a_debt_that_is_waited_off() {
        let quota = quota(1, 1_000_000, 5);
        let mut bucket = Bucket::full(&quota, at(0));
        bucket.owe(8);
        let standing = bucket.standing(1);
        assert_eq!((standing.remaining, standing.wait), (0, Wait::Micros(4_000_000)));
        assert_eq!(standing.full_in, 8_000_000);
        let kept = bucket.keep(QuotaId(0));
        assert!(!Bucket::read(&kept, &quota, at(3_999_999)).take(1));
        assert!(Bucket::read(&kept, &quota, at(4_000_000)).take(1));
    }
}
