//! Laws of the bucket.

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
