//! Keys that are added while the gate runs, in the memory of this process.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::held::HeldKey;
use super::record::ApiKeyRecord;
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::{Steady, Wall};

/// Keys in memory. They are lost when the process ends.
///
/// It is what [`Tollgate::keys`](crate::Tollgate::keys) changes where the policy has no store.
#[derive(Default)]
pub(crate) struct MemoryKeys {
    /// Whether a key was ever added: most gates have none.
    is_used: AtomicBool,
    by_digest: DashMap<KeyDigest, Arc<HeldKey>, ahash::RandomState>,
    /// Held while keys are changed.
    by_id: Mutex<BTreeMap<Box<str>, KeyDigest>>,
}

impl MemoryKeys {
    /// The key with this digest.
    pub(crate) fn get(&self, digest: &KeyDigest) -> Option<Arc<HeldKey>> {
        // Whoever was told that a key was added sees it.
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        self.by_digest.get(digest).map(|held| held.clone())
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.by_digest.len()
    }

    fn record(&self, digest: &KeyDigest) -> Option<ApiKeyRecord> {
        let held = self.get(digest)?;
        let mut record = held.record().clone();
        if let Some(used) = held.last_used() {
            record.note_used(used);
        }
        Some(record)
    }

    fn ids(&self) -> MutexGuard<'_, BTreeMap<Box<str>, KeyDigest>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        ids: &mut BTreeMap<Box<str>, KeyDigest>,
        record: ApiKeyRecord,
    ) -> Result<(), KeyStoreError> {
        let digest = record.digest();
        if ids.contains_key(record.id()) {
            return Err(KeyStoreError::IdTaken { id: record.id().into() });
        }
        if self.by_digest.contains_key(&digest) {
            return Err(KeyStoreError::DigestTaken);
        }
        ids.insert(record.id().into(), digest);
        self.by_digest.insert(digest, hold(record));
        self.is_used.store(true, Ordering::Release);
        Ok(())
    }

    fn find_in(
        &self,
        ids: &BTreeMap<Box<str>, KeyDigest>,
        id: &str,
    ) -> Result<ApiKeyRecord, KeyStoreError> {
        let found = ids.get(id).and_then(|digest| self.record(digest));
        found.ok_or_else(|| KeyStoreError::Unknown { id: id.into() })
    }

    fn put(&self, record: ApiKeyRecord) {
        let digest = record.digest();
        let held = HeldKey::new(record, Steady::default());
        let held = match self.get(&digest) {
            Some(former) => held.after(&former),
            None => held,
        };
        self.by_digest.insert(digest, Arc::new(held));
    }
}

fn hold(record: ApiKeyRecord) -> Arc<HeldKey> {
    Arc::new(HeldKey::new(record, Steady::default()))
}

impl KeySource for MemoryKeys {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(ready(Ok(self.record(&digest))))
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

impl KeyStore for MemoryKeys {
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move { self.add(&mut self.ids(), record) })
    }

    fn insert_all(&self, records: Vec<ApiKeyRecord>) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            let mut ids = self.ids();
            let (mut new_ids, mut new_digests) = (HashSet::new(), HashSet::new());
            let is_taken = |record: &ApiKeyRecord| {
                let (id, digest) = (record.id().to_owned(), record.digest());
                let is_known = ids.contains_key(&*id) || self.by_digest.contains_key(&digest);
                is_known | !new_ids.insert(id) | !new_digests.insert(digest)
            };
            let taken: Vec<bool> = records.iter().map(is_taken).collect();
            let at: Vec<usize> = (0..taken.len()).filter(|at| taken[*at]).collect();
            if !at.is_empty() {
                return Err(KeyStoreError::SomeTaken { at });
            }
            records.into_iter().try_for_each(|record| self.add(&mut ids, record))
        })
    }

    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(async move { Ok(self.find_in(&self.ids(), &id).ok()) })
    }

    fn list(
        &self,
        after: Option<String>,
        most: usize,
    ) -> KeyFuture<'_, Result<Vec<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(async move {
            let ids = self.ids();
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let digests = ids.range::<str, _>((start, Bound::Unbounded)).take(most);
            Ok(digests.filter_map(|(_, digest)| self.record(digest)).collect())
        })
    }

    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(async move {
            let ids = self.ids();
            let record = self.find_in(&ids, &id)?.revoked();
            self.put(record.clone());
            Ok(record)
        })
    }

    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            let ids = self.ids();
            let id = record.id();
            let old = self.find_in(&ids, id)?;
            if old.is_revoked() {
                return Err(KeyStoreError::Revoked { id: id.into() });
            }
            if old.digest() != record.digest() {
                return Err(KeyStoreError::OtherDigest { id: id.into() });
            }
            self.put(record);
            Ok(())
        })
    }

    fn replace(
        &self,
        id: String,
        successor: ApiKeyRecord,
        ends: Wall,
    ) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(async move {
            let mut ids = self.ids();
            let old = self.find_in(&ids, &id)?;
            if old.is_revoked() {
                return Err(KeyStoreError::Revoked { id });
            }
            self.add(&mut ids, successor)?;
            let old = old.ending_at(ends);
            self.put(old.clone());
            Ok(old)
        })
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        Box::pin(async move {
            for (digest, at) in used {
                if let Some(held) = self.get(&digest) {
                    held.note_used(at);
                }
            }
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKeys").field("keys", &self.by_digest.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;

    #[tokio::test]
    async fn memory_keeps_to_the_laws_of_stores() {
        laws::holds(&MemoryKeys::default()).await;
    }
}
