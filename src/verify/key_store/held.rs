//! A key of a store that is held in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::record::ApiKeyRecord;
use super::terms::own_bytes;
use crate::principal::{KeyRecord, Terms};
use crate::scope::ScopeHierarchy;
use crate::time::{Steady, Wall};

/// A key as its source knew it at a moment.
#[derive(Debug)]
pub(crate) struct HeldKey {
    record: ApiKeyRecord,
    /// The same with the scopes that are implied by a policy.
    implied: ArcSwapOption<Implied>,
    /// When the source was asked.
    pub(super) as_of: Steady,
    /// Whether it has changed since then.
    outdated: AtomicBool,
    /// Unix seconds of the last use; 0 for none.
    used: AtomicU64,
    /// The last use that the store was told of.
    noted: AtomicU64,
}

#[derive(Debug)]
struct Implied {
    by: Arc<ScopeHierarchy>,
    key: Arc<KeyRecord>,
}

impl HeldKey {
    pub(super) fn new(record: ApiKeyRecord, as_of: Steady) -> Self {
        let known = AtomicU64::new(record.last_used().map_or(0, Wall::seconds));
        let used = AtomicU64::new(known.load(Ordering::Relaxed));
        let (implied, outdated) = Default::default();
        Self { record, implied, as_of, outdated, used, noted: known }
    }

    /// With the uses of the one that it takes the place of.
    pub(super) fn after(self, former: &Self) -> Self {
        for (mine, theirs) in [(&self.used, &former.used), (&self.noted, &former.noted)] {
            mine.fetch_max(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self
    }

    pub(super) fn outdate(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    pub(super) fn record(&self) -> &ApiKeyRecord {
        &self.record
    }

    /// The key, with the scopes that the policy in force says are implied by its own.
    pub(crate) fn key(&self, hierarchy: &Arc<ScopeHierarchy>) -> Arc<KeyRecord> {
        if hierarchy.is_empty() {
            return self.record.key().clone();
        }
        if let Some(implied) = &*self.implied.load()
            && Arc::ptr_eq(&implied.by, hierarchy)
        {
            return implied.key.clone();
        }
        // Another policy is in force than when the key was used last.
        let key = implying(self.record.key(), hierarchy);
        let implied = Implied { by: hierarchy.clone(), key: key.clone() };
        self.implied.store(Some(Arc::new(implied)));
        key
    }

    /// Notes that the key was used.
    pub(crate) fn note_used(&self, now: Wall) {
        // Most requests come in the same second as one before them.
        if self.used.load(Ordering::Relaxed) < now.seconds() {
            self.used.store(now.seconds(), Ordering::Relaxed);
        }
    }

    pub(super) fn last_used(&self) -> Option<Wall> {
        let used = self.used.load(Ordering::Relaxed);
        (used != 0).then(|| Wall::from_seconds(used))
    }

    /// The last use, where the store has not been told of it. It counts as told from now on.
    pub(super) fn take_unnoted(&self) -> Option<Wall> {
        let used = self.used.load(Ordering::Relaxed);
        (self.noted.swap(used, Ordering::Relaxed) < used).then(|| Wall::from_seconds(used))
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        /// The record and the entry, with what allocations take beside.
        const FIXED: usize = 400;
        let key = self.record.key();
        (FIXED + key.id.len() + key.client.len() + own_bytes(&key.terms)) as u64
    }
}

/// The same key, with the scopes that its own imply.
pub(crate) fn implying(key: &Arc<KeyRecord>, hierarchy: &ScopeHierarchy) -> Arc<KeyRecord> {
    if hierarchy.is_empty() {
        return key.clone();
    }
    let scopes = key.terms.scopes.clone().implying(hierarchy, |_| true);
    Arc::new(key.with_terms(Arc::new(Terms { scopes, ..(*key.terms).clone() })))
}

#[cfg(test)]
mod tests {
    use super::super::KeyDigest;
    use super::*;
    use crate::scope::Scope;

    fn held(scopes: &[&str]) -> HeldKey {
        let builder = ApiKeyRecord::builder("id", "client", KeyDigest::of(b"key"));
        let record = builder.scopes(scopes.iter().copied()).build().unwrap();
        HeldKey::new(record, Steady::default())
    }

    fn hierarchy(rows: &[(&str, &str)]) -> Arc<ScopeHierarchy> {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let rows = rows.iter().map(|(scope_, implied)| (scope(scope_), vec![scope(implied)]));
        Arc::new(ScopeHierarchy::new(&rows.collect()).unwrap())
    }

    #[test]
    fn scopes_are_implied_by_the_policy_in_force() {
        let held = held(&["admin"]);
        let implies = |hierarchy: &Arc<ScopeHierarchy>, scope: &str| {
            held.key(hierarchy).terms.scopes.contains(scope)
        };
        let (none, read) = (hierarchy(&[]), hierarchy(&[("admin", "read")]));
        let write = hierarchy(&[("admin", "write")]);
        assert!(!implies(&none, "read"));
        assert!(implies(&read, "read") && !implies(&read, "write"));
        assert!(Arc::ptr_eq(&held.key(&read), &held.key(&read)), "it is made once");
        assert!(implies(&write, "write") && !implies(&write, "read"), "after a reload");
        assert!(!implies(&none, "write"));
        assert!(implies(&read, "admin"));
    }

    #[test]
    fn a_use_is_noted_once() {
        let at = Wall::from_seconds;
        let key = held(&[]);
        assert_eq!((key.last_used(), key.take_unnoted()), (None, None));
        key.note_used(at(100));
        key.note_used(at(90));
        let key = held(&[]).after(&key);
        assert_eq!(key.last_used(), Some(at(100)), "and is kept with the next record");
        assert_eq!(key.take_unnoted(), Some(at(100)));
        assert_eq!(held(&[]).after(&key).take_unnoted(), None);
        key.note_used(at(101));
        assert_eq!(key.take_unnoted(), Some(at(101)));
    }
}
