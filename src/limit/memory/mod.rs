//! The embedded store: buckets of this process, in memory.
//!
//! A bucket is a slot of three words: a keyed 64-bit hash of what it is kept for (the key is drawn
//! anew for each process), the moment at which it will be full, and the quota it was last used
//! under. Several buckets are taken as one: all of them, or none.

mod settle;
mod shard;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::bucket::QuotaId;
use super::bucket_id::{BucketId, BucketName, Kind, Parts};
use super::charge::{Charges, Settle, Settled};
use super::{Limit, Quota};
use crate::principal::Principal;
use crate::time::{AtomicSteady, Steady};
use shard::FIRST_KEY;
use table::Table;

/// Token buckets in the memory of this process: see [the module](super) for what it promises.
///
/// It lives as long as the process, and its tables as long as a policy names their limits:
/// see [`adopt`](Self::adopt).
#[derive(Default)]
pub(crate) struct MemoryStore {
    hasher: ahash::RandomState,
    /// By the name of the limit.
    tables: Mutex<HashMap<Arc<str>, Arc<Table>>>,
}

/// The limits of one policy, in its order: their tables, and their quotas. Kept by what keeps the policy.
#[derive(Clone)]
pub(crate) struct Tables(Arc<InForce>);

struct InForce {
    limits: Box<[LimitInForce]>,
    /// When the first of the tables is searched for full buckets, even if there is room.
    round_due: AtomicSteady,
}

struct LimitInForce {
    table: Arc<Table>,
    /// In the order of the limit's quotas.
    quotas: Box<[(QuotaId, Quota)]>,
}

/// What became of the tables when a policy came into force.
pub(crate) struct Adopted {
    pub(crate) tables: Tables,
    /// Limits whose buckets are new and full, though a limit of that name was in force: their
    /// `per` is another.
    pub(crate) renewed: Vec<Arc<str>>,
}

impl MemoryStore {
    /// Takes over the limits of a policy. Where a limit of the same name and the same `per` was
    /// in force before, its buckets are kept, and restated where its quotas changed; others are
    /// new and full.
    ///
    /// Requests of the policy before may go on beside those of the new one.
    pub(crate) fn adopt<'l>(&self, limits: impl IntoIterator<Item = &'l Limit>) -> Adopted {
        let mut known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut renewed, mut next) = (Vec::new(), HashMap::new());
        let mut adopt = |limit: &Limit| {
            let table = match known.remove(&limit.name) {
                Some(table) if table.per == limit.per => table,
                other => {
                    renewed.extend(other.map(|_| limit.name.clone()));
                    Arc::new(Table::new(&limit.per))
                }
            };
            table.set_bound(limit.max_buckets);
            next.insert(limit.name.clone(), table.clone());
            LimitInForce { quotas: table.number(&limit.quotas), table }
        };
        let limits = limits.into_iter().map(&mut adopt).collect();
        // The buckets of limits that no policy names go with the last request that uses them.
        *known = next;
        let tables = Tables(Arc::new(InForce { limits, round_due: AtomicSteady::default() }));
        Adopted { tables, renewed }
    }

    /// How many buckets each limit in force has, by its name.
    pub(crate) fn counts(&self) -> Vec<(Arc<str>, usize)> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, table)| (name.clone(), table.count())).collect()
    }

    /// The bucket that is kept for `name`: a keyed hash of its parts, moved past the two reserved
    /// keys.
    #[inline]
    pub(crate) fn bucket(&self, name: &impl BucketName) -> BucketId {
        let mut parts = HashedParts(self.hasher.build_hasher());
        name.write(&mut parts);
        BucketId(parts.0.finish().max(FIRST_KEY))
    }

    /// Settles every charge, or none. Afterwards each knows how its bucket stands
    /// ([`Tables::balance`]), and which of them there was no room for: those name the overflow
    /// bucket of their limit.
    #[inline]
    pub(crate) fn settle(
        &self,
        tables: &Tables,
        charges: &mut Charges,
        how: Settle,
        now: Steady,
    ) -> Settled {
        if charges.is_empty() || how == Settle::GiveBack && !charges.taken {
            return Settled::Granted;
        }
        if how == Settle::Look {
            return tables.look(charges, now);
        }
        tables.search_if_due(now);
        let settled = tables
            .settle_known(charges, how, now)
            .unwrap_or_else(|| tables.settle_any(charges, how, now));
        match how {
            Settle::Take => charges.taken = settled == Settled::Granted,
            Settle::GiveBack => charges.taken = false,
            Settle::Owe | Settle::Look => {}
        }
        settled
    }
}

/// Hashes the parts of a bucket's name as they come.
struct HashedParts(ahash::AHasher);

impl Parts for HashedParts {
    fn part(&mut self, kind: Kind, bytes: &[u8]) {
        self.0.write_u64((kind as u64) << 56 | bytes.len() as u64);
        self.0.write(bytes);
    }

    /// What tells clients apart is a digest, made when the client was proven: no other part meets it, so
    /// it needs no kind before it.
    fn client(&mut self, client: &Principal) {
        client.identity().hash(&mut self.0);
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(tables.iter().map(|(name, table)| (name, table.count()))).finish()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.limits.iter().map(|limit| limit.table.count())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::store_laws::{TestedStore, charges, limit, limits, quota, store_laws};
    use super::super::{KeyPart, PlanQuota};
    use super::shard::OVERFLOW;
    use super::*;
    use crate::time::MICROS;

    store_laws!(MemoryStore);

    fn store() -> MemoryStore {
        MemoryStore::default()
    }

    fn takes_one(store: &MemoryStore, tables: &Tables, client: u64, now: u64) -> bool {
        let mut charges = charges(store, [(0, 1)], client);
        TestedStore::settle(store, tables, &mut charges, Settle::Take, now) == Settled::Granted
    }

    fn table(tables: &Tables, limit: usize) -> &Table {
        &tables.0.limits[limit].table
    }

    #[test]
    fn what_takes_nothing_leaves_no_bucket_behind() {
        let store = store();
        let tables = TestedStore::adopt(&store, &limits(&[1, 1], 100));
        for costs in [[(0, 2), (1, 1)], [(0, 0), (1, 0)]] {
            for how in [Settle::Take, Settle::Look] {
                let mut charges = charges(&store, costs, 1);
                let _settled = TestedStore::settle(&store, &tables, &mut charges, how, 0);
                assert_eq!((table(&tables, 0).len(), table(&tables, 1).len()), (0, 0));
            }
        }
    }

    #[test]
    fn a_bucket_is_lowered_and_never_filled() {
        let store = store();
        let tables = TestedStore::adopt(&store, &limits(&[10], 2));
        let one = charges(&store, [(0, 1)], 1).list[0];
        let at = Steady::from_micros;
        let takes =
            |client, now| (0..20).filter(|_| takes_one(&store, &tables, client, now)).count();
        tables.lower(&one, 7 * MICROS, at(0));
        tables.lower(&one, 4 * MICROS, at(0));
        tables.lower(&one, 0, at(0));
        assert_eq!(takes(1, 0), 3, "one token is gained in a second");
        tables.lower(&one, u64::MAX, at(0));
        assert_eq!(takes(1, 2 * MICROS), 2, "empty at most");
        // A full bucket stays as none, and where there is no room the overflow bucket decides.
        let (two, three) =
            (charges(&store, [(0, 1)], 2).list[0], charges(&store, [(0, 1)], 3).list[0]);
        tables.lower(&two, 0, at(0));
        assert_eq!(table(&tables, 0).len(), 1);
        tables.lower(&two, MICROS, at(0));
        tables.lower(&three, MICROS, at(0));
        assert_eq!(table(&tables, 0).count(), 2);
    }

    #[test]
    fn memory_is_bounded_and_the_limit_still_holds() {
        let store = store();
        let tables = TestedStore::adopt(&store, &limits(&[3], 10));
        for client in 0..10 {
            assert!(takes_one(&store, &tables, client, 0));
        }
        // Ten buckets, none full: new clients share one bucket of three tokens.
        let admitted = (10..10_000).filter(|client| takes_one(&store, &tables, *client, 0));
        assert_eq!(admitted.count(), 3);
        let mut unplaced = charges(&store, [(0, 1)], 10_000);
        let settled = TestedStore::settle(&store, &tables, &mut unplaced, Settle::Take, 0);
        assert_eq!(settled, Settled::Refused);
        let later = "what is charged later goes to the same bucket";
        assert_eq!(unplaced.list[0].bucket, BucketId(OVERFLOW), "{later}");
        assert_eq!(table(&tables, 0).count(), 10);
        assert_eq!(table(&tables, 0).len(), 11, "ten and the overflow bucket");
        // Those who have a bucket are not affected.
        for client in 0..10 {
            assert!(takes_one(&store, &tables, client, 0));
        }
        // When the buckets are full again they make room.
        let later = 100 * MICROS;
        let admitted = (20..40).filter(|client| takes_one(&store, &tables, *client, later));
        assert!(admitted.count() > 3);
        assert!(table(&tables, 0).count() <= 10);
    }

    #[test]
    fn a_flood_of_one_limit_leaves_the_others_their_room() {
        let store = store();
        let tables =
            TestedStore::adopt(&store, &[limit("flooded", &[1], 10), limit("other", &[1], 10)]);
        assert!((0..10).all(|client| takes_one(&store, &tables, client, 0)));
        assert_eq!((10..100).filter(|client| takes_one(&store, &tables, *client, 0)).count(), 1);
        for client in 0..10 {
            let mut other = charges(&store, [(1, 1)], client);
            let settled = TestedStore::settle(&store, &tables, &mut other, Settle::Take, 0);
            assert_eq!(settled, Settled::Granted, "{client}");
        }
    }

    #[test]
    fn full_buckets_are_dropped_before_a_shard_grows() {
        let store = store();
        let tables = TestedStore::adopt(&store, &limits(&[1], 1_000_000));
        for client in 0..1_000_000_u64 {
            // A thousand new clients a second, whose buckets are full again after one.
            assert!(takes_one(&store, &tables, client, client * 1_000));
        }
        assert!(table(&tables, 0).count() < 20_000, "{store:?}");
        assert_eq!(table(&tables, 0).count(), table(&tables, 0).len());
    }

    #[test]
    fn a_limit_that_nobody_uses_any_more_is_searched_too() {
        let store = store();
        let tables = TestedStore::adopt(&store, &limits(&[1, 1], 1_000_000));
        assert!((0..10_000).all(|client| takes_one(&store, &tables, client, 0)));
        for step in 0..1_000 {
            let mut other = charges(&store, [(1, 1)], step);
            let _settled =
                TestedStore::settle(&store, &tables, &mut other, Settle::Take, 601 * MICROS + step);
        }
        assert_eq!(table(&tables, 0).len(), 0);
    }

    #[test]
    fn a_limit_keeps_its_buckets_as_long_as_its_name_and_its_key() {
        let store = store();
        let per_address = |name: &str| {
            let quota = PlanQuota { plan: None, rate: "".into(), quota: quota(1, MICROS, 1) };
            Limit::new(name.into(), vec![KeyPart::Address], vec![quota], 100)
        };
        let names =
            |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let in_force = || {
            let mut names: Vec<Arc<str>> =
                store.counts().into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        };
        let first = store.adopt([&limit("one", &[1], 100), &limit("two", &[1], 100)]);
        assert_eq!(names(&in_force()), ["one", "two"]);
        assert!(takes_one(&store, &first.tables, 7, 0));

        let moved = store.adopt([&limit("three", &[1], 100), &limit("one", &[1], 100)]);
        assert_eq!(names(&in_force()), ["one", "three"]);
        assert_eq!(moved.renewed.len(), 0);
        let mut second = charges(&store, [(1, 1)], 7);
        let settled = TestedStore::settle(&store, &moved.tables, &mut second, Settle::Take, 0);
        assert_eq!(settled, Settled::Refused, "at another place of the policy");

        let renewed = store.adopt([&per_address("one")]);
        assert_eq!(names(&renewed.renewed), ["one"]);
        assert_eq!(names(&in_force()), ["one"]);
        assert!(takes_one(&store, &renewed.tables, 7, 0), "new and full");
        assert!(!takes_one(&store, &first.tables, 7, 0), "the old policy has its own");
    }

    #[test]
    fn policies_that_alternate_add_no_quotas() {
        let store = store();
        for turn in 0..5_000 {
            let bursts = [[10, 20], [20, 10], [15, 20]][turn % 3];
            let tables = TestedStore::adopt(&store, &[limit("one", &bursts, 100)]);
            assert!(table(&tables, 0).known_quotas() <= 5);
            let _taken = takes_one(&store, &tables, 7, turn as u64);
        }
    }

    #[test]
    fn a_lower_bound_keeps_the_buckets_that_are_there() {
        let store = store();
        let before = TestedStore::adopt(&store, &[limit("one", &[2], 100)]);
        assert!((0..50).all(|client| takes_one(&store, &before, client, 0)));
        let after = TestedStore::adopt(&store, &[limit("one", &[2], 10)]);
        assert!((0..50).all(|client| takes_one(&store, &after, client, 0)));
        assert!((0..50).all(|client| !takes_one(&store, &after, client, 0)));
        assert_eq!((50..90).filter(|client| takes_one(&store, &after, *client, 0)).count(), 2);
    }

    #[test]
    fn ten_thousand_plans_have_a_quota_each() {
        let store = store();
        let bursts: Vec<u32> = (1..=10_000).collect();
        let limit = limit("one", &bursts, 100);
        let tables = TestedStore::adopt(&store, std::slice::from_ref(&limit));
        for plan in [1, 64, 65, 999, 9_999] {
            let index = limit.quota_of(Some(&format!("plan-{plan}")));
            assert_eq!(limit.quotas[index].quota.burst(), plan + 1);
            let mut charges = charges(&store, [(0, 1)], 70_000 + u64::from(plan));
            charges.list[0].quota = index as u32;
            let settled = TestedStore::settle(&store, &tables, &mut charges, Settle::Take, 0);
            assert_eq!(settled, Settled::Granted);
            assert_eq!(tables.balance(&charges).get(0).unwrap().remaining, plan);
        }
        assert_eq!(limit.quota_of(Some("plan-10000")), 0, "a plan that the limit does not name");
    }
}
