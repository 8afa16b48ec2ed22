//! What every store promises, as functions over a [`TestedStore`], so that each store runs all of
//! them: [`store_laws!`].

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::time::{MICROS, Steady};

/// A store under test.
pub(crate) trait TestedStore: Sync {
    fn new() -> Self;
    fn adopt(&self, limits: &[Limit]) -> Tables;
    fn bucket(&self, client: u64) -> BucketId;
    /// At so many microseconds of steady time.
    fn settle(&self, tables: &Tables, charges: &mut Charges, how: Settle, micros: u64) -> Settled;
}

/// Runs all laws for a store.
macro_rules! store_laws {
    ($store:ty) => {
        mod laws {
            use super::super::super::store_laws;
            use super::*;

            #[test]
            fn several_limits_are_taken_all_or_none() {
                store_laws::several_limits_are_taken_all_or_none::<$store>();
            }

            #[test]
            fn each_charge_has_its_own_cost() {
                store_laws::each_charge_has_its_own_cost::<$store>();
            }

            #[test]
            fn a_debt_is_waited_off() {
                store_laws::a_debt_is_waited_off::<$store>();
            }

            #[test]
            fn what_was_taken_is_given_back_once() {
                store_laws::what_was_taken_is_given_back_once::<$store>();
            }

            #[test]
            fn threads_together_get_no_more_than_the_burst() {
                store_laws::threads_together_get_no_more_than_the_burst::<$store>();
            }

            #[test]
            fn requests_of_two_policies_share_the_buckets() {
                store_laws::requests_of_two_policies_share_the_buckets::<$store>();
            }

            #[test]
            fn a_change_of_plans_and_policies_never_refills() {
                store_laws::a_change_of_plans_and_policies_never_refills::<$store>();
            }

            proptest::proptest! {
                #[test]
                fn all_or_none_is_a_law(
                    bursts in proptest::collection::vec(1_u32..20, 1..6),
                    steps in proptest::collection::vec(store_laws::any_step(), 1..60),
                ) {
                    store_laws::all_or_none_is_a_law::<$store>(&bursts, &steps)?;
                }
            }
        }
    };
}
pub(crate) use store_laws;

pub(crate) fn quota(tokens: u32, period: u64, burst: u32) -> Quota {
    let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
    Quota::new(tokens, NonZeroU64::new(period).unwrap(), burst).unwrap()
}

/// A limit that gains a token a second, with a burst for those without a plan first, and then one
/// for each plan.
pub(crate) fn limit(name: &str, bursts: &[u32], max_buckets: usize) -> Limit {
    let plan = |(index, burst): (usize, &u32)| PlanQuota {
        plan: (index > 0).then(|| format!("plan-{index}").into()),
        rate: "".into(),
        quota: quota(1, MICROS, *burst),
    };
    let quotas = bursts.iter().enumerate().map(plan).collect();
    Limit::new(name.into(), vec![KeyPart::Client], quotas, max_buckets)
}

/// A limit of each burst.
pub(crate) fn limits(bursts: &[u32], max_buckets: usize) -> Vec<Limit> {
    let limit =
        |(index, burst): (usize, &u32)| limit(&format!("limit-{index}"), &[*burst], max_buckets);
    bursts.iter().enumerate().map(limit).collect()
}

/// What a client is charged by the limits at these places, at a cost for each.
pub(crate) fn charges(
    store: &impl TestedStore,
    costs: impl IntoIterator<Item = (usize, u32)>,
    client: u64,
) -> Charges {
    let mut charges = Charges::default();
    for (limit, cost) in costs {
        charges.push(Charge::new(limit, 0, store.bucket(client), cost));
    }
    charges
}

pub(crate) fn left(balance: &Balance) -> Vec<u32> {
    balance.iter().map(|(_, standing)| standing.remaining).collect()
}

fn takes(store: &impl TestedStore, tables: &Tables, charges: &mut Charges, now: u64) -> bool {
    store.settle(tables, charges, Settle::Take, now) == Settled::Granted
}

/// What is left, looking.
fn left_now(store: &impl TestedStore, tables: &Tables, charges: &Charges, now: u64) -> Vec<u32> {
    let mut charges = charges.clone();
    let _as_it_stands = store.settle(tables, &mut charges, Settle::Look, now);
    left(&tables.balance(&charges))
}

pub(crate) fn several_limits_are_taken_all_or_none<S: TestedStore>() {
    let store = S::new();
    let tables = store.adopt(&limits(&[5, 2, 9], 100));
    let mut charges = charges(&store, [(0, 1), (1, 1), (2, 1)], 7);
    for expected in [[4, 1, 8], [3, 0, 7]] {
        assert!(takes(&store, &tables, &mut charges, 0));
        assert_eq!(left(&tables.balance(&charges)), expected);
    }
    for _ in 0..5 {
        assert!(!takes(&store, &tables, &mut charges, 0));
        assert_eq!(left(&tables.balance(&charges)), [3, 0, 7], "a refused request takes nothing");
        assert_eq!(tables.balance(&charges).wait(), Wait::Micros(MICROS));
    }
    assert!(takes(&store, &tables, &mut charges, MICROS));
    assert_eq!(left(&tables.balance(&charges)), [3, 0, 7]);
}

pub(crate) fn each_charge_has_its_own_cost<S: TestedStore>() {
    let store = S::new();
    let tables = store.adopt(&limits(&[5, 10, 1], 100));
    let mut three = charges(&store, [(0, 1), (1, 4), (2, 0)], 7);
    for expected in [[4, 6, 1], [3, 2, 1]] {
        assert!(takes(&store, &tables, &mut three, 0));
        assert_eq!(left(&tables.balance(&three)), expected);
    }
    assert!(!takes(&store, &tables, &mut three, 0));
    let waits: Vec<Wait> =
        tables.balance(&three).iter().map(|(_, standing)| standing.wait).collect();
    assert_eq!(waits, [Wait::None, Wait::Micros(2 * MICROS), Wait::None]);
    assert!(takes(&store, &tables, &mut charges(&store, [(2, 1)], 7), 0));
    assert!(!takes(&store, &tables, &mut three, 2 * MICROS - 1), "not enough of the second");
    let mut nothing = charges(&store, [(2, 0)], 7);
    assert!(!takes(&store, &tables, &mut nothing, MICROS - 1), "a whole token has to be there");
    assert_eq!(tables.balance(&nothing).wait(), Wait::Micros(1));
    for _ in 0..3 {
        assert!(takes(&store, &tables, &mut nothing, MICROS), "and stays there");
    }
}

pub(crate) fn a_debt_is_waited_off<S: TestedStore>() {
    let store = S::new();
    let tables = store.adopt(&limits(&[5, 5], 100));
    let mut both = charges(&store, [(0, 1), (1, 1)], 7);
    assert!(takes(&store, &tables, &mut both, 0));
    let owed = store.settle(&tables, &mut both.late(Some(1), 7), Settle::Owe, 0);
    assert_eq!(owed, Settled::Granted);
    assert_eq!(left_now(&store, &tables, &both, 0), [4, 0]);
    assert!(!takes(&store, &tables, &mut both, 4 * MICROS - 1));
    assert!(takes(&store, &tables, &mut both, 4 * MICROS));
    let _owed = store.settle(&tables, &mut both.late(None, 2), Settle::Owe, 4 * MICROS);
    assert_eq!(left_now(&store, &tables, &both, 6 * MICROS), [4, 0], "from every limit");
}

pub(crate) fn what_was_taken_is_given_back_once<S: TestedStore>() {
    let store = S::new();
    let tables = store.adopt(&limits(&[5, 3], 100));
    let mut both = charges(&store, [(0, 2), (1, 3)], 7);
    let give_back = |charges: &mut Charges, now: u64| {
        assert_eq!(store.settle(&tables, charges, Settle::GiveBack, now), Settled::Granted);
    };
    give_back(&mut both, 0);
    assert!(takes(&store, &tables, &mut both, 0));
    assert_eq!(left_now(&store, &tables, &both, 0), [3, 0]);
    let mut refused = both.clone();
    assert!(!takes(&store, &tables, &mut refused, 0));
    give_back(&mut refused, 0);
    assert_eq!(left_now(&store, &tables, &both, 0), [3, 0], "nothing was taken");
    assert!(takes(&store, &tables, &mut charges(&store, [(0, 3)], 7), 0));
    give_back(&mut both, MICROS);
    assert_eq!(left_now(&store, &tables, &both, MICROS), [3, 3], "and never more than full");
    give_back(&mut both, MICROS);
    assert_eq!(left_now(&store, &tables, &both, MICROS), [3, 3], "once");
}

pub(crate) fn threads_together_get_no_more_than_the_burst<S: TestedStore>() {
    let store = S::new();
    let tables = store.adopt(&limits(&[5_000, 3_000], 10));
    // The limits of a policy in another order, as after a reload.
    let turned: Vec<Limit> = limits(&[5_000, 3_000], 10).into_iter().rev().collect();
    let turned = store.adopt(&turned);
    let barrier = Barrier::new(4);
    let admitted: usize = std::thread::scope(|scope| {
        let run = |n: usize| {
            let (store, barrier) = (&store, &barrier);
            let tables = if n < 2 { &tables } else { &turned };
            move || {
                let order = if n.is_multiple_of(2) { [(1, 1), (0, 1)] } else { [(0, 1), (1, 1)] };
                let mut charges = charges(store, order, 1);
                barrier.wait();
                (0..4_000).filter(|_| takes(store, tables, &mut charges, 0)).count()
            }
        };
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(run(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 3_000);
    assert_eq!(left_now(&store, &tables, &charges(&store, [(0, 1), (1, 1)], 1), 0), [2_000, 0]);
}

pub(crate) fn requests_of_two_policies_share_the_buckets<S: TestedStore>() {
    let store = S::new();
    let before = store.adopt(&[limit("one", &[10], 100)]);
    let mut charges = charges(&store, [(0, 8)], 7);
    assert!(takes(&store, &before, &mut charges, 0));
    let after = store.adopt(&[limit("one", &[3, 20], 100)]);
    charges.list[0].cost = 1;
    for _ in 0..3 {
        assert_eq!(left_now(&store, &before, &charges, 0), [2]);
        assert_eq!(left_now(&store, &after, &charges, 0), [0]);
        assert!(!takes(&store, &after, &mut charges, 0));
        assert_eq!(after.balance(&charges).wait(), Wait::Micros(MICROS), "empty, not in debt");
    }
    assert!(takes(&store, &before, &mut charges, 0));
    assert_eq!(left_now(&store, &before, &charges, 0), [1]);
    charges.list[0].quota = 1;
    assert_eq!(left_now(&store, &after, &charges, 0), [11], "another plan keeps what was spent");
}

pub(crate) fn a_change_of_plans_and_policies_never_refills<S: TestedStore>() {
    let store = S::new();
    let mut charges = charges(&store, [(0, 1)], 7);
    let mut granted = 0;
    for turn in 0..400_usize {
        let tables = store.adopt(&[limit("one", &[[10, 4, 7][turn % 3], [2, 9][turn % 2]], 100)]);
        for plan in 0..2 {
            charges.list[0].quota = plan;
            granted += u32::from(takes(&store, &tables, &mut charges, 0));
        }
    }
    assert_eq!(granted, 10, "the largest burst of all");
}

pub(crate) fn any_step() -> impl Strategy<Value = (u64, Vec<u32>, u64)> {
    (0_u64..3 * MICROS, proptest::collection::vec(0_u32..8, 6), 0_u64..3)
}

/// Whatever the limits and costs: a request that one of them refuses changes none.
pub(crate) fn all_or_none_is_a_law<S: TestedStore>(
    bursts: &[u32],
    steps: &[(u64, Vec<u32>, u64)],
) -> Result<(), TestCaseError> {
    let store = S::new();
    let tables = store.adopt(&limits(bursts, 1000));
    let mut now = 0;
    for (pause, costs, client) in steps {
        now += pause;
        let costs = &costs[..bursts.len()];
        let mut charges = charges(&store, costs.iter().copied().enumerate(), *client);
        let before = left_now(&store, &tables, &charges, now);
        let mut looked = charges.clone();
        let looked = store.settle(&tables, &mut looked, Settle::Look, now);
        let taken = store.settle(&tables, &mut charges, Settle::Take, now);
        let fits = before.iter().zip(costs).all(|(tokens, cost)| *tokens >= (*cost).max(1));
        prop_assert_eq!(taken == Settled::Granted, fits);
        prop_assert_eq!(looked, taken);
        let spent = |(tokens, cost): (&u32, &u32)| if fits { tokens - cost } else { *tokens };
        let expected: Vec<u32> = before.iter().zip(costs).map(spent).collect();
        prop_assert_eq!(&left(&tables.balance(&charges)), &expected);
        prop_assert_eq!(left_now(&store, &tables, &charges, now), expected);
    }
    Ok(())
}

/// A client by number.
pub(crate) struct Numbered(pub(crate) u64);

impl BucketName for Numbered {
    fn write(&self, parts: &mut impl Parts) {
        parts.rule(&self.0.to_string());
    }
}

impl TestedStore for MemoryStore {
    fn new() -> Self {
        Self::default()
    }

    fn adopt(&self, limits: &[Limit]) -> Tables {
        MemoryStore::adopt(self, limits).tables
    }

    fn bucket(&self, client: u64) -> BucketId {
        MemoryStore::bucket(self, &Numbered(client))
    }

    fn settle(&self, tables: &Tables, charges: &mut Charges, how: Settle, micros: u64) -> Settled {
        MemoryStore::settle(self, tables, charges, how, Steady::from_micros(micros))
    }
}
