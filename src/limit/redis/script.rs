//! The script that settles charges on the server: what it is sent, and what it replies.
//!
//! One text for every policy, so that a server keeps one script. Numbers are sent and replied as
//! packed bytes: to read and write them as text would cost the server more than the arithmetic.

use aws_lc_rs::digest::{SHA256, digest};

use crate::limit::Quota;

/// The text of the script; it says what it takes and replies.
pub(super) const SCRIPT: &str = include_str!("script.lua");

/// What is done to a bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// Take the cost, if all charges of the decision can be taken.
    Take = 1,
    /// Take the cost, leaving a debt where it is not there.
    Owe = 2,
    /// Put the cost back; the bucket is never more than full.
    GiveBack = 3,
    /// Take the cost, as far as it is there: for what was spent while the store was away.
    Debit = 4,
}

/// A quota as the script takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    quota: Quota,
    /// What is kept with a bucket, so that it can be restated when its quota changes.
    kept: [u8; 20],
}

/// One charge as the script takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) operation: Operation,
    /// How many charges of the same decision follow this one.
    pub(super) following: u8,
    pub(super) terms: Terms,
    /// Tokens.
    pub(super) cost: u32,
}

/// How a charge went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// The decision was granted. This is what the bucket is short of now, in units of its quota.
    Granted(u64),
    /// The decision was refused, and nothing was taken: by this charge, or by another one. This is
    /// what the bucket is short of.
    Refused(u64),
    /// What the key holds is no bucket. Nothing was done by the whole decision.
    Broken,
}

impl Terms {
    /// Of the quota of `plan`; of those without a plan where that is `None`.
    pub(super) fn new(quota: Quota, plan: Option<&str>) -> Self {
        let plan = plan.map_or([0; 4], |plan| {
            let digest = digest(&SHA256, plan.as_bytes());
            // INVARIANT: SHA-256 has 32 bytes.
            digest.as_ref().first_chunk().copied().unwrap_or_default()
        });
        let mut kept = [0; 20];
        // Lossless: a quota has at most 2^21 tokens in lowest terms.
        kept[..4].copy_from_slice(&(quota.tokens() as u32).to_le_bytes());
        kept[4..12].copy_from_slice(&double(quota.period()));
        kept[12..16].copy_from_slice(&quota.burst().to_le_bytes());
        kept[16..].copy_from_slice(&plan);
        Self { quota, kept }
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }
}

impl Record {
    /// In bytes.
    pub(super) const LENGTH: usize = 42;

    /// Adds the bytes of the record.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let Terms { quota, kept } = &self.terms;
        let units = |tokens: u32| u64::from(tokens).saturating_mul(quota.period());
        to.extend([self.operation as u8, self.following]);
        to.extend(&kept[..4]);
        // What is beyond exact range is beyond every capacity too, and rounding keeps that.
        to.extend(double(units(self.cost)));
        to.extend(double(quota.capacity()));
        to.extend(kept);
    }
}

/// What the script replied, in the order of the charges; `None` where it is not a reply to so many.
pub(super) fn read_replies(bytes: &[u8], charges: usize) -> Option<Vec<Reply>> {
    let (replies, rest) = bytes.as_chunks::<8>();
    let is_whole = rest.is_empty() && replies.len() == charges;
    is_whole.then(|| replies.iter().map(|reply| Reply::of(f64::from_le_bytes(*reply))).collect())
}

impl Reply {
    fn of(reply: f64) -> Self {
        // Lossless: whole numbers of at most 2^53.
        match reply {
            missing if missing >= 0.0 => Self::Granted(missing as u64),
            refused if refused >= -EXACT - 1.0 => Self::Refused((-1.0 - refused) as u64),
            _ => Self::Broken,
        }
    }
}

/// 2^53: whole numbers up to this are exact in double precision.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn double(number: u64) -> [u8; 8] {
    (number as f64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::{NonZeroU32, NonZeroU64};

    use proptest::prelude::*;

    use super::super::test_server::TestServer;
    use super::*;
    use crate::limit::bucket::{Bucket, Change, Kept, QuotaId};
    use crate::time::{MICROS, Steady};

    fn quota(tokens: u32, period: u64, burst: u32) -> Quota {
        let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
        Quota::new(tokens, NonZeroU64::new(period).unwrap(), burst).unwrap()
    }

    /// The script with a clock that is its second argument, and without an end of keys, which goes
    /// by the clock of the server.
    fn script_on_a_clock() -> String {
        let replaced = [
            (
                "local call, decode, encode, format = redis.call,",
                "local function call(name, key, value)\n\
                 if name == 'SET' then return redis.call('SET', key, value) end\n\
                 return redis.call(name, key)\nend\n\
                 local _, decode, encode, format = nil,",
            ),
            ("local time = call('TIME')\n", ""),
            ("time[1] * 1000000 + time[2]", "tonumber(ARGV[2])"),
        ];
        replaced.into_iter().fold(SCRIPT.to_owned(), |script, (from, to)| {
            assert!(script.contains(from), "{from}");
            script.replace(from, to)
        })
    }

    /// The buckets of the same decisions in memory.
    #[derive(Default)]
    struct Model {
        kept: HashMap<u8, Kept>,
    }

    impl Model {
        fn open<'q>(
            &self,
            quotas: &'q [(u8, Quota)],
            key: u8,
            index: usize,
            now: u64,
        ) -> Bucket<'q> {
            let now = Steady::from_micros(now);
            let (plan, quota) = &quotas[index];
            let Some(kept) = self.kept.get(&key) else { return Bucket::full(quota, now) };
            let (last_plan, last) = &quotas[kept.quota.0 as usize];
            let bucket = Bucket::read(kept, last, now);
            match plan == last_plan {
                _ if (plan, quota) == (last_plan, last) => bucket,
                true => bucket.restated(quota, Change::Policy),
                false => bucket.restated(quota, Change::Plan),
            }
        }

        fn settle(
            &mut self,
            quotas: &[(u8, Quota)],
            operation: Operation,
            charges: &[(u8, usize, u32)],
            now: u64,
        ) -> Vec<Reply> {
            let mut buckets: Vec<_> = charges
                .iter()
                .map(|(key, index, _)| self.open(quotas, *key, *index, now))
                .collect();
            let before = buckets.clone();
            let mut is_granted = true;
            for (bucket, (_, _, cost)) in buckets.iter_mut().zip(charges) {
                match operation {
                    Operation::Take => is_granted &= bucket.take(*cost),
                    Operation::Owe => bucket.owe(*cost),
                    Operation::GiveBack => bucket.give_back(*cost),
                    Operation::Debit => bucket.debit(*cost),
                }
            }
            let settled = if is_granted { &buckets } else { &before };
            for (bucket, (key, index, cost)) in settled.iter().zip(charges) {
                let is_restated = self
                    .kept
                    .get(key)
                    .is_some_and(|kept| quotas[kept.quota.0 as usize] != quotas[*index]);
                if is_granted && *cost > 0 || is_restated {
                    self.kept.insert(*key, bucket.keep(QuotaId(*index as u32)));
                }
            }
            let reply = |bucket: &Bucket<'_>| match is_granted {
                true => Reply::Granted(bucket.missing()),
                false => Reply::Refused(bucket.missing()),
            };
            settled.iter().map(reply).collect()
        }
    }

    prop_compose! {
        fn any_quota()(plan in 0_u8..3, tokens in 1_u32..200, period in 1_u64..10_000_000, burst in 1_u32..60)
            -> (u8, Quota) { (plan, quota(tokens, period, burst)) }
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            8 => Just(Operation::Take),
            1 => Just(Operation::Owe),
            1 => Just(Operation::GiveBack),
            1 => Just(Operation::Debit),
        ]
    }

    /// A decision: what is done, to distinct buckets under one of the quotas each, at what cost.
    type Decision = (Operation, Vec<(u8, usize, u32)>);

    fn any_decision() -> impl Strategy<Value = Decision> {
        let charges = proptest::collection::btree_map(0_u8..4, (0_usize..5, 0_u32..12), 1..4);
        (any_operation(), charges).prop_map(|(operation, charges)| {
            let charge = |(key, (quota, cost))| (key, quota, cost);
            (operation, charges.into_iter().map(charge).collect())
        })
    }

    fn run(
        server: &mut TestServer,
        script: &str,
        quotas: &[(u8, Quota)],
        decisions: &[Decision],
        now: u64,
    ) -> Vec<Reply> {
        let (mut keys, mut records) = (Vec::new(), Vec::new());
        for (operation, charges) in decisions {
            for (place, (key, index, cost)) in charges.iter().enumerate() {
                let (plan, quota) = &quotas[*index];
                let plan = (*plan > 0).then(|| format!("plan-{plan}"));
                let terms = Terms::new(*quota, plan.as_deref());
                let following = (charges.len() - 1 - place) as u8;
                Record { operation: *operation, following, terms, cost: *cost }.write(&mut records);
                keys.push(format!("bucket-{key}"));
            }
        }
        let mut command = redis::cmd("EVALSHA");
        command.arg(script).arg(keys.len()).arg(&keys).arg(records).arg(now);
        let reply: Vec<u8> = command.query(server.connection()).unwrap();
        read_replies(&reply, keys.len()).unwrap()
    }

    /// The script and the memory of this process count alike: several buckets at once, several
    /// decisions in a call, plans and policies that change, and the clock.
    #[test]
    fn lua_counts_as_rust_does() {
        let mut server = TestServer::start();
        let script: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(script_on_a_clock())
            .query(server.connection())
            .unwrap();
        let server = std::cell::RefCell::new(server);
        let pause = prop_oneof![Just(0_u64), 0_u64..100, 0_u64..100_000, 0..300 * MICROS];
        let call = (pause, proptest::collection::vec(any_decision(), 1..5));
        let steps = proptest::collection::vec(call, 1..80);
        let quotas = proptest::collection::vec(any_quota(), 5);
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() };
        let counted = std::cell::Cell::new(0);
        proptest!(config, |(quotas in quotas, steps in steps, start in 0_u64..1 << 51)| {
            let mut server = server.borrow_mut();
            redis::cmd("FLUSHALL").exec(server.connection()).unwrap();
            let (mut model, mut now) = (Model::default(), start);
            for (pause, decisions) in steps {
                now += pause;
                let expected: Vec<Reply> = decisions
                    .iter()
                    .flat_map(|(operation, charges)| model.settle(&quotas, *operation, charges, now))
                    .collect();
                let replies = run(&mut server, &script, &quotas, &decisions, now);
                prop_assert_eq!(replies, expected, "{:?} at {}", decisions, now);
                counted.set(counted.get() + decisions.len());
            }
        });
        assert!(counted.get() > 20_000, "{counted:?}");
    }

    fn take(quota: Quota, cost: u32) -> Vec<u8> {
        let (operation, terms) = (Operation::Take, Terms::new(quota, None));
        let mut records = Vec::new();
        Record { operation, following: 0, terms, cost }.write(&mut records);
        records
    }

    fn takes(server: &mut TestServer, quota: Quota, cost: u32) -> Reply {
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(1).arg("one").arg(take(quota, cost));
        let reply: Vec<u8> = command.query(server.connection()).unwrap();
        read_replies(&reply, 1).unwrap()[0]
    }

    #[test]
    fn a_bucket_is_kept_until_it_is_full_and_no_longer() {
        let mut server = TestServer::start();
        let quota = quota(1, 10 * MICROS, 5);
        assert_eq!(takes(&mut server, quota, 2), Reply::Granted(20 * MICROS));
        let left: i64 = redis::cmd("PTTL").arg("one").query(server.connection()).unwrap();
        assert!((10_000..=20_001).contains(&left), "{left}");
        let Reply::Granted(missing) = takes(&mut server, quota, 3) else { panic!() };
        assert!(missing <= 50 * MICROS);
        let Reply::Refused(missing) = takes(&mut server, quota, 1) else { panic!() };
        let left: i64 = redis::cmd("PTTL").arg("one").query(server.connection()).unwrap();
        assert!(left * 1000 >= missing as i64 - 10_000_000, "{left} {missing}");
        // Nothing was taken by a cost of 0, which leaves nothing behind.
        redis::cmd("FLUSHALL").exec(server.connection()).unwrap();
        assert_eq!(takes(&mut server, quota, 0), Reply::Granted(0));
        let keys: u64 = redis::cmd("DBSIZE").query(server.connection()).unwrap();
        assert_eq!(keys, 0);
    }

    #[test]
    fn what_is_no_bucket_is_said_and_left_as_it_is() {
        let mut server = TestServer::start();
        let quota = quota(1, MICROS, 5);
        let nan = [f64::NAN.to_le_bytes(), f64::NAN.to_le_bytes()].concat();
        let whole = |start: &[u8]| [start, &Terms::new(quota, None).kept].concat();
        let negative = [(1.0_f64).to_le_bytes(), (-5.0_f64).to_le_bytes()].concat();
        for value in [
            b"".to_vec(),
            b"12".to_vec(),
            vec![0xff; 36],
            vec![0; 40],
            whole(&nan),
            whole(&negative),
        ] {
            redis::cmd("SET").arg("one").arg(&value).exec(server.connection()).unwrap();
            assert_eq!(takes(&mut server, quota, 1), Reply::Broken, "{value:?}");
            let kept: Vec<u8> = redis::cmd("GET").arg("one").query(server.connection()).unwrap();
            assert_eq!(kept, value);
        }
        redis::cmd("DEL").arg("one").exec(server.connection()).unwrap();
        redis::cmd("LPUSH").arg("one").arg("x").exec(server.connection()).unwrap();
        assert_eq!(takes(&mut server, quota, 1), Reply::Broken);
    }

    /// A clock that was set back, or a value from far ahead, costs a client no more than a bucket.
    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let mut server = TestServer::start();
        let script = script_on_a_clock();
        let quota = quota(1, MICROS, 5);
        let mut at = |now: u64| {
            let mut command = redis::cmd("EVAL");
            command.arg(&script).arg(1).arg("one").arg(take(quota, 1)).arg(now);
            let reply: Vec<u8> = command.query(server.connection()).unwrap();
            read_replies(&reply, 1).unwrap()[0]
        };
        let hour = 3600 * MICROS;
        (0..5).for_each(|_| assert!(matches!(at(2 * hour), Reply::Granted(_))));
        assert_eq!(at(hour), Reply::Refused(5 * MICROS), "nothing is refilled by the step");
        assert_eq!(
            at(hour + MICROS),
            Reply::Granted(5 * MICROS),
            "and the bucket goes on from there"
        );
        assert_eq!(at(hour + 6 * MICROS), Reply::Granted(MICROS));
    }

    /// One decision takes all or none; a broken bucket refuses it whole.
    #[test]
    fn a_broken_bucket_takes_nothing_from_the_others() {
        let mut server = TestServer::start();
        let quotas = [(0, quota(1, 1000 * MICROS, 5))];
        let script: String =
            redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query(server.connection()).unwrap();
        redis::cmd("SET").arg("bucket-1").arg("x").exec(server.connection()).unwrap();
        let both = [(Operation::Take, vec![(0, 0, 1), (1, 0, 1)])];
        let replies = run(&mut server, &script, &quotas, &both, 0);
        assert_eq!(replies, [Reply::Refused(0), Reply::Broken]);
        let one = [(Operation::Take, vec![(0, 0, 1)])];
        assert_eq!(run(&mut server, &script, &quotas, &one, 0), [Reply::Granted(1000 * MICROS)]);
    }
}
