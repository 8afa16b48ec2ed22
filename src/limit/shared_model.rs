//! Random schedules of processes that share a bucket, in virtual time, against the formulas of
//! `docs/shared-limits.md`: every interval between two grants, in exact numbers.
//!
//! A few thousand schedules run with the tests. For a million:
//!
//! ```text
//! SCHEDULES=1000000 cargo test --all-features --lib shared_model -- --nocapture
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroU64};

use super::bucket::{Bucket, Kept, QuotaId};
use super::quota::Quota;
use super::store_settings::OnStoreFailure;
use crate::time::Steady;

/// Numbers that look random, and are the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// A limit, and where it is shared.
#[derive(Debug)]
struct Setting {
    quota: Quota,
    share: Quota,
    /// As `nodes` says.
    nodes: u32,
    /// Microseconds.
    deadline: u64,
    on_failure: OnStoreFailure,
    /// One in so many decisions is refused by another limit, in another slot; 0 for none.
    refused_elsewhere: u64,
}

/// A bucket that is kept between two moments.
#[derive(Default)]
struct Cell(Option<Kept>);

impl Cell {
    /// Before its first use it is full, or empty.
    fn empty(quota: &Quota, now: u64) -> Self {
        let mut bucket = Bucket::full(quota, Steady::from_micros(now));
        assert!(bucket.take(quota.burst()));
        Self(Some(bucket.keep(QuotaId::default())))
    }

    fn settle<T>(
        &mut self,
        quota: &Quota,
        now: u64,
        settle: impl FnOnce(&mut Bucket<'_>) -> T,
    ) -> T {
        let now = Steady::from_micros(now);
        let mut bucket = match &self.0 {
            Some(kept) => Bucket::read(kept, quota, now),
            None => Bucket::full(quota, now),
        };
        let settled = settle(&mut bucket);
        self.0 = Some(bucket.keep(QuotaId::default()));
        settled
    }
}

/// One process.
#[derive(Default)]
struct Node {
    share: Cell,
    /// Tokens that were spent from the share and the store has not been told of.
    spent: u32,
    /// What the bucket was short of when the store last answered, and when that was.
    heard: Option<(u64, u64)>,
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    /// A request comes to a process.
    Comes { node: usize, cost: u32 },
    /// The charge of a request reaches the store.
    Reaches { node: usize, cost: u32, sent: u64, reply_takes: u64 },
    /// The deadline of a request that was not answered.
    GivesUp { node: usize, cost: u32 },
    /// What was taken, and another limit refused, is given back.
    GivesBack { cost: u32 },
    /// What was spent meanwhile reaches the store.
    Debit { tokens: u32 },
    /// The store loses all that it held.
    Loses,
}

/// A request that was admitted.
#[derive(Clone, Copy, Debug)]
struct Grant {
    at: u64,
    cost: u32,
    /// The process, where it was taken from its share.
    local: Option<usize>,
}

struct Run {
    setting: Setting,
    store: Cell,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// From and until when each process cannot reach the store.
    cut: Vec<(usize, u64, u64)>,
    grants: Vec<Grant>,
    losses: Vec<u64>,
    /// Tokens that are taken and will be given back: now, and at most.
    to_give_back: (u64, u64),
}

/// Far from zero, so that nothing depends on it.
const START: u64 = 1_000_000_000;

impl Setting {
    fn any(random: &mut Random) -> Self {
        let burst = 1 + if random.one_in(3) { random.below(6) } else { random.below(40) };
        let tokens = 1 + random.below(4);
        let period = 1 + random.below(40_000);
        let nodes = 1 + random.below(6);
        let number = |number: u64| NonZeroU32::new(u32::try_from(number).unwrap()).unwrap();
        let period = NonZeroU64::new(period).unwrap();
        let quota = Quota::new(number(tokens), period, number(burst)).unwrap();
        Self {
            quota,
            share: quota.share_of(number(nodes)).unwrap(),
            nodes: u32::try_from(nodes).unwrap(),
            deadline: random.below(20_000),
            on_failure: match random.one_in(3) {
                true => OnStoreFailure::Closed,
                false => OnStoreFailure::LocalShare,
            },
            refused_elsewhere: match random.one_in(4) {
                true => 1 + random.below(6),
                false => 0,
            },
        }
    }

    /// Whether so many units of the whole quota, in `length` microseconds, are within the bound.
    /// `cut_off` processes took from their shares, the store lost all `losses` times, and so many tokens
    /// were at most taken that were given back later.
    ///
    /// Returns what was granted and what may be, both times `nodes`.
    fn bound(
        &self,
        tokens: u64,
        length: u64,
        cut_off: usize,
        losses: usize,
        given_back: u64,
    ) -> (u128, u128) {
        let wide = |number: u64| u128::from(number);
        let (quota, nodes) = (&self.quota, u128::from(self.nodes));
        let capacity = wide(quota.capacity());
        let granted = wide(tokens) * wide(quota.period()) * nodes;
        let refilled = wide(quota.tokens()) * wide(length + self.deadline);
        let strict = capacity + refilled + wide(given_back) * wide(quota.period());
        let lost = capacity * losses as u128;
        // A share: its burst, and a part of the rate.
        let burst = wide(self.share.burst().into()) * wide(quota.period()) * nodes;
        let share = burst + wide(quota.tokens()) * wide(length);
        (granted, (strict + lost) * nodes + share * cut_off as u128)
    }
}

impl Run {
    fn any(random: &mut Random) -> Self {
        let setting = Setting::any(random);
        let in_use = 1 + usize::try_from(random.below(setting.nodes.into())).unwrap();
        let refill = setting.quota.capacity() / setting.quota.tokens() + 1;
        let span = (refill * 2).max(setting.deadline * 3).max(10);
        let mut cut = Vec::new();
        for node in 0..in_use {
            for _ in 0..random.below(3) {
                let from = START + random.below(span);
                // Together or one by one.
                let from = if random.one_in(2) { START + span / 3 } else { from };
                cut.push((node, from, from + random.below(span)));
            }
        }
        let is_small = setting.share.burst() > setting.quota.burst() / setting.nodes;
        let node = |_| match is_small {
            true => Node { share: Cell::empty(&setting.share, START), ..Node::default() },
            false => Node::default(),
        };
        let nodes = (0..in_use).map(node).collect();
        let (store, queue, grants, losses) = Default::default();
        let (sequence, to_give_back) = (0, (0, 0));
        let mut run =
            Self { setting, store, nodes, queue, sequence, cut, grants, losses, to_give_back };
        let costs = 1 + random.below(3) * random.below(u64::from(run.setting.quota.burst()));
        let mut at = START;
        for _ in 0..8 + random.below(50) {
            // Crowds, and pauses in which much is refilled.
            at += match random.below(4) {
                0 => random.below(span),
                1 => random.below(span / 8 + 1),
                _ => random.below(2),
            };
            let node = usize::try_from(random.below(in_use as u64)).unwrap();
            let cost = u32::try_from(1 + random.below(costs)).unwrap();
            run.push(at, Event::Comes { node, cost });
        }
        for _ in 0..random.below(3) * random.below(2) {
            let at = START + random.below(at - START + 1);
            run.losses.push(at);
            run.push(at, Event::Loses);
        }
        run
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    fn is_cut(&self, node: usize, at: u64) -> bool {
        self.cut.iter().any(|(cut, from, until)| *cut == node && (*from..*until).contains(&at))
    }

    fn play(&mut self, random: &mut Random) {
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            match event {
                Event::Comes { node, cost } => self.ask(now, node, cost, random),
                Event::Reaches { node, cost, sent, reply_takes } => {
                    let quota = &self.setting.quota;
                    let (is_granted, missing) = self
                        .store
                        .settle(quota, now, |bucket| (bucket.take(cost), bucket.missing()));
                    let answered = now + reply_takes;
                    let elsewhere = self.setting.refused_elsewhere;
                    if is_granted && elsewhere > 0 && random.one_in(elsewhere) {
                        let (at_once, most) = &mut self.to_give_back;
                        *at_once += u64::from(cost);
                        *most = (*most).max(*at_once);
                        let back = answered + random.below(self.setting.deadline + 1);
                        self.push(back, Event::GivesBack { cost });
                        continue;
                    }
                    let is_late = answered > sent + self.setting.deadline;
                    if is_late || self.is_cut(node, answered) {
                        self.push(sent + self.setting.deadline, Event::GivesUp { node, cost });
                        continue;
                    }
                    self.nodes[node].heard = Some((missing, answered));
                    if is_granted {
                        self.grants.push(Grant { at: answered, cost, local: None });
                    }
                    let spent = std::mem::take(&mut self.nodes[node].spent);
                    if spent > 0 {
                        self.push(answered + random.below(100), Event::Debit { tokens: spent });
                    }
                }
                Event::GivesUp { node, cost } => self.fall_back(now, node, cost),
                Event::GivesBack { cost } => {
                    self.to_give_back.0 -= u64::from(cost);
                    let quota = &self.setting.quota;
                    self.store.settle(quota, now, |bucket| bucket.give_back(cost));
                }
                Event::Debit { tokens } => {
                    let quota = &self.setting.quota;
                    // As far as they are there.
                    self.store.settle(quota, now, |bucket| while_there(bucket, tokens));
                }
                Event::Loses => self.store = Cell::default(),
            }
        }
    }

    /// A process asks the store, unless it thinks that this is of no use.
    fn ask(&mut self, now: u64, node: usize, cost: u32, random: &mut Random) {
        let deadline = self.setting.deadline;
        if self.is_cut(node, now) && random.one_in(2) {
            return self.fall_back(now, node, cost);
        }
        let way = |random: &mut Random| match random.below(4) {
            0 => random.below(deadline + 1),
            1 => random.below(deadline * 2 + 1),
            2 => deadline,
            _ => 0,
        };
        let (there, reply_takes) = (way(random), way(random));
        if self.is_cut(node, now + there) {
            self.push(now + deadline, Event::GivesUp { node, cost });
        } else {
            self.push(now + there, Event::Reaches { node, cost, sent: now, reply_takes });
        }
    }

    fn fall_back(&mut self, now: u64, node: usize, cost: u32) {
        if self.setting.on_failure == OnStoreFailure::Closed {
            return;
        }
        let (quota, share) = (&self.setting.quota, &self.setting.share);
        let of = &mut self.nodes[node];
        // A share begins with no more than the whole bucket was heard to hold.
        let least = of.heard.map_or(0, |(missing, at)| {
            let missing = missing.saturating_sub(now.saturating_sub(at) * quota.tokens());
            let left = u128::from(quota.capacity() - missing) * u128::from(share.period());
            let left = left / u128::from(quota.period());
            share.capacity().saturating_sub(u64::try_from(left).unwrap())
        });
        let is_granted = of.share.settle(share, now, |bucket| {
            bucket.lower(least);
            bucket.take(cost)
        });
        if is_granted {
            of.spent += cost;
            self.grants.push(Grant { at: now, cost, local: Some(node) });
        }
    }

    /// The tightest interval: what was granted in it, of what may be.
    fn tightest(&mut self) -> f64 {
        self.grants.sort_by_key(|grant| grant.at);
        let mut tightest = 0.0_f64;
        for (from, first) in self.grants.iter().enumerate() {
            let (mut tokens, mut local) = (0, 0_u64);
            for last in &self.grants[from..] {
                tokens += u64::from(last.cost);
                local |= last.local.map_or(0, |node| 1 << node);
                let reach = first.at.saturating_sub(self.setting.deadline)..=last.at;
                let losses = self.losses.iter().filter(|at| reach.contains(at)).count();
                let cut_off = local.count_ones() as usize;
                let (granted, most) = self.setting.bound(
                    tokens,
                    last.at - first.at,
                    cut_off,
                    losses,
                    self.to_give_back.1,
                );
                assert!(granted <= most, "{tokens} tokens from {first:?} to {last:?}");
                tightest = tightest.max(granted as f64 / most as f64);
            }
        }
        tightest
    }
}

fn while_there(bucket: &mut Bucket<'_>, tokens: u32) {
    for _ in 0..tokens {
        if !bucket.take(1) {
            break;
        }
    }
}

#[test]
fn no_schedule_grants_more_than_the_formulas() {
    let schedules = std::env::var("SCHEDULES").ok().and_then(|count| count.parse().ok());
    let schedules: u64 = schedules.unwrap_or(3_000);
    let (mut grants, mut local, mut strict_tightest, mut tightest) = (0, 0, 0.0_f64, 0.0_f64);
    for seed in 0..schedules {
        let mut random = Random(seed);
        let mut run = Run::any(&mut random);
        run.play(&mut random);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.tightest()));
        let found = found.unwrap_or_else(|_| panic!("seed {seed}: {:?}", run.setting));
        let of_share = run.grants.iter().filter(|grant| grant.local.is_some()).count();
        grants += run.grants.len();
        local += of_share;
        tightest = tightest.max(found);
        if of_share == 0 {
            strict_tightest = strict_tightest.max(found);
        }
    }
    println!(
        "{schedules} schedules, {grants} grants, {local} of them from shares; no violation; \
         tightest interval {tightest:.4} of its bound, without shares {strict_tightest:.4}"
    );
    // A schedule that is far from every bound would prove nothing.
    assert!(strict_tightest > 0.99, "{strict_tightest}");
    assert!(tightest > 0.99 && local * 20 > grants, "{tightest}, {local} of {grants}");
}
