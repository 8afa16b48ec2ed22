//! The keys that were read so far, and what must not be used twice among them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::checks::{check_word, parse_cidr, parse_scope};
use super::often::Often;
use super::plain_key::{PlainKey, strings_of};
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::Place;
use crate::policy::warning::Warning;
use crate::principal::{KeyRecord, Terms};
use crate::scope::{ScopeHierarchy, Scopes};
use crate::time::Wall;
use crate::verify::KeyRecords;
use crate::verify::key_store::{KeyDigest, is_name, is_word};

/// The keys that were read.
#[derive(Default)]
pub(super) struct LoadedKeys {
    /// Which scopes imply others.
    hierarchy: Arc<ScopeHierarchy>,
    /// Those in force: what is the same now is shared with them.
    known: Option<Arc<KeyRecords>>,
    records: KeyRecords,
    /// What entries with faults have, which are no records.
    faulty: Names,
    /// The plans of the keys, and where they are written.
    plans: HashMap<Arc<str>, Often<()>, ahash::RandomState>,
    /// Shared by the keys that have equal ones.
    terms: HashSet<Arc<Terms>>,
    /// The same by how plain entries write them.
    written: HashMap<Box<str>, Written, ahash::RandomState>,
    /// Shared by the keys of one client.
    clients: HashSet<Arc<str>, ahash::RandomState>,
    expired: Often<Arc<str>>,
    long_lived: Often<Arc<str>>,
}

#[derive(Default)]
struct Names {
    ids: HashSet<String>,
    digests: HashSet<[u8; 32]>,
}

#[derive(Clone)]
struct Written {
    terms: Arc<Terms>,
    plan: Option<Arc<str>>,
}

/// The keys when all are read.
pub(super) struct AllKeys {
    pub(super) records: KeyRecords,
    pub(super) plans: Vec<KeyPlan>,
    /// The terms of all keys, each once.
    pub(super) terms: HashSet<Arc<Terms>>,
}

/// A plan of keys.
pub(super) struct KeyPlan {
    pub(super) name: Arc<str>,
    pub(super) uses: Often<()>,
}

/// What an entry says of a key, checked.
pub(super) struct WholeKey {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) digest: [u8; 32],
    pub(super) terms: Terms,
    pub(super) not_before: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) revoked: bool,
}

impl LoadedKeys {
    /// `known` are the keys in force.
    pub(super) fn new(hierarchy: &Arc<ScopeHierarchy>, known: Option<&Arc<KeyRecords>>) -> Self {
        Self { hierarchy: hierarchy.clone(), known: known.cloned(), ..Self::default() }
    }

    /// Makes room for so many more keys.
    pub(super) fn reserve(&mut self, more: usize) {
        self.records.reserve(more);
    }

    /// Whether an entry before has this id.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.records.has_id(id) || self.faulty.ids.contains(id)
    }

    /// Whether an entry before has this digest.
    pub(super) fn has_digest(&self, digest: &[u8; 32]) -> bool {
        self.records.find(digest).is_some() || self.faulty.digests.contains(digest)
    }

    /// Remembers what an entry has that is no whole key.
    pub(super) fn add_faulty(&mut self, id: Option<String>, digest: Option<[u8; 32]>) {
        self.faulty.ids.extend(id);
        self.faulty.digests.extend(digest);
    }

    /// Notes where a plan is written.
    pub(super) fn add_plan(&mut self, plan: &str, place: impl FnOnce() -> Place) {
        if let Some(uses) = self.plans.get_mut(plan) {
            uses.add(|| (), place);
        } else {
            self.plans.entry(plan.into()).or_default().add(|| (), place);
        }
    }

    /// Notes a key that has expired, and one whose end is so far ahead that it may be a slip.
    pub(super) fn add_end(
        &mut self,
        id: &str,
        expires: u64,
        now: Option<Wall>,
        place: impl FnOnce() -> Place,
    ) {
        let Some(now) = now.map(Wall::seconds) else { return };
        if expires <= now {
            self.expired.add(|| id.into(), place);
        } else if expires - now > LONG_LIFE {
            self.long_lived.add(|| id.into(), place);
        }
    }

    /// Adds a key. One whose id or digest is used already is reported by the caller.
    pub(super) fn add(&mut self, key: WholeKey) {
        let WholeKey { id, client, digest, terms, not_before, expires, revoked } = key;
        let scopes = terms.scopes.implying(&self.hierarchy, |_| true);
        let terms = shared(&mut self.terms, Arc::new(Terms { scopes, ..terms }));
        let client = self.client(&client);
        let record = KeyRecord::new(id, client, digest, terms)
            .with_validity(not_before, expires)
            .with_revoked(revoked);
        // One that is there already is a fault, and the policy is refused.
        let _twice = self.records.insert(Arc::new(record));
    }

    /// Adds a key whose entry is plain; `place` makes a place of what is written there. False where
    /// something may be wrong with it: then nothing was added.
    pub(super) fn add_plain(
        &mut self,
        key: &PlainKey<'_>,
        now: Option<Wall>,
        place: impl Fn(Range<usize>) -> Place,
    ) -> bool {
        let Ok(digest) = key.digest.parse::<KeyDigest>() else { return false };
        let digest = *digest.as_bytes();
        let times = (key.not_before.as_ref(), key.expires.as_ref());
        let is_never_valid =
            matches!(times, (Some(from), Some(until)) if from.value >= until.value);
        if is_never_valid || !is_name(key.id) || !is_word(key.client) {
            return false;
        }
        if !self.faulty.ids.is_empty() && self.faulty.ids.contains(key.id)
            || !self.faulty.digests.is_empty() && self.faulty.digests.contains(&digest)
        {
            return false;
        }
        let known = self.known.as_ref().and_then(|known| known.find(&digest)).cloned();
        let written = self.terms_as_written(key, known.as_deref());
        let Some(Written { terms, plan }) = written else { return false };
        let (not_before, expires) = (times.0.map(|at| at.value), times.1.map(|at| at.value));
        let is_same = |known: &Arc<KeyRecord>| {
            (*known.id == *key.id && *known.client == *key.client)
                && (known.not_before() == not_before.filter(|from| *from != 0))
                && (known.expires() == expires && known.revoked == key.revoked)
                && (Arc::ptr_eq(&known.terms, &terms) || known.terms == terms)
        };
        let record = known.filter(is_same).unwrap_or_else(|| {
            let client = self.client(key.client);
            let record = KeyRecord::new(key.id, client, digest, terms)
                .with_validity(not_before, expires)
                .with_revoked(key.revoked);
            Arc::new(record)
        });
        if self.records.insert(record).is_err() {
            return false;
        }
        if let (Some(plan), Some(written)) = (plan, &key.plan) {
            self.add_plan(&plan, || place(written.span.clone()));
        }
        if let Some(expires) = times.1.filter(|_| !key.revoked) {
            self.add_end(key.id, expires.value, now, || place(expires.span.clone()));
        }
        true
    }

    /// The terms of a plain entry; those of `known`, where they are equal. `None` where something is wrong
    /// with them.
    fn terms_as_written(
        &mut self,
        key: &PlainKey<'_>,
        known: Option<&KeyRecord>,
    ) -> Option<Written> {
        let plan = key.plan.as_ref().map(|plan| plan.value);
        // None of them has a NUL.
        let text = [key.scopes, key.roles, key.addresses, plan.unwrap_or("\0")].join("\0");
        if let Some(written) = self.written.get(&*text) {
            return Some(written.clone());
        }
        if plan.is_some_and(|plan| !is_name(plan)) {
            return None;
        }
        let scopes = strings_of(key.scopes).map(parse_scope).collect::<Result<Scopes, _>>().ok()?;
        let roles = strings_of(key.roles).map(|role| check_word(role).map(Into::into));
        let addresses = strings_of(key.addresses).map(parse_cidr);
        let terms = Terms {
            scopes: scopes.implying(&self.hierarchy, |_| true),
            roles: roles.collect::<Result<_, _>>().ok()?,
            plan: plan.map(Into::into),
            addresses: addresses.collect::<Result<_, _>>().ok()?,
        };
        let terms = match known {
            Some(known) if *known.terms == terms => known.terms.clone(),
            _ => Arc::new(terms),
        };
        let written = Written { terms: shared(&mut self.terms, terms), plan: plan.map(Into::into) };
        if self.written.len() == MOST_WRITTEN {
            self.written.clear();
        }
        self.written.insert(text.into(), written.clone());
        Some(written)
    }

    fn client(&mut self, client: &str) -> Arc<str> {
        match self.clients.get(client) {
            Some(known) => known.clone(),
            None => {
                let client = Arc::<str>::from(client);
                self.clients.insert(client.clone());
                client
            }
        }
    }

    /// All keys; what is said of many of them together is said now.
    pub(super) fn finish(self, faults: &Faults) -> AllKeys {
        for (end, others) in self.expired.iter() {
            let expired = Warning::ExpiredKey { key: end.value.clone(), others };
            faults.push(Fault::warning(&end.place, &expired));
        }
        for (end, others) in self.long_lived.iter() {
            let long_lived = Warning::LongLivedKey { key: end.value.clone(), others };
            faults.push(Fault::warning(&end.place, &long_lived));
        }
        let plans = self.plans.into_iter().map(|(name, uses)| KeyPlan { name, uses }).collect();
        AllKeys { records: self.records, plans, terms: self.terms }
    }
}

/// Two years, one of them a leap year: a key that is valid for longer is a warning.
const LONG_LIFE: u64 = 731 * 24 * 60 * 60;

/// Keys whose terms are all different are read as fast without.
const MOST_WRITTEN: usize = 10_000;

/// The one of these that equals `value`.
fn shared<T: ?Sized + Eq + std::hash::Hash>(known: &mut HashSet<Arc<T>>, value: Arc<T>) -> Arc<T> {
    if let Some(held) = known.get(&value) {
        return held.clone();
    }
    known.insert(value.clone());
    value
}
