//! Keys that are added while the gate runs, in the memory of this process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::record::ApiKeyRecord;
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::Wall;

/// Keys in memory. They are lost when the process ends.
///
/// It is what [`Tollgate::keys`](crate::Tollgate::keys) changes where the policy has no store.
#[derive(Default)]
pub(crate) struct MemoryKeys {
    /// Whether a key was ever added: most gates have none.
    is_used: AtomicBool,
    by_digest: DashMap<KeyDigest, ApiKeyRecord, ahash::RandomState>,
    /// Held while keys are changed.
    by_id: Mutex<BTreeMap<Box<str>, KeyDigest>>,
}

impl MemoryKeys {
    /// The key with this digest.
    pub(crate) fn get(&self, digest: &KeyDigest) -> Option<ApiKeyRecord> {
        // Whoever was told that a key was added sees it.
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        self.by_digest.get(digest).map(|record| record.clone())
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
        self.by_digest.insert(digest, record);
        self.is_used.store(true, Ordering::Release);
        Ok(())
    }

    fn find_in(
        &self,
        ids: &BTreeMap<Box<str>, KeyDigest>,
        id: &str,
    ) -> Result<ApiKeyRecord, KeyStoreError> {
        let found = ids.get(id).and_then(|digest| self.by_digest.get(digest));
        found.map(|record| record.clone()).ok_or_else(|| KeyStoreError::Unknown { id: id.into() })
    }

    fn put(&self, mut record: ApiKeyRecord) -> ApiKeyRecord {
        if let Some(used) = self.get(&record.digest()).and_then(|old| old.last_used()) {
            record.note_used(used);
        }
        self.by_digest.insert(record.digest(), record.clone());
        record
    }
}

impl KeySource for MemoryKeys {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(ready(Ok(self.get(&digest))))
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

impl KeyStore for MemoryKeys {
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move { self.add(&mut self.ids(), record) })
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
            Ok(digests.filter_map(|(_, digest)| self.get(digest)).collect())
        })
    }

    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(async move {
            let ids = self.ids();
            let record = self.find_in(&ids, &id)?;
            Ok(self.put(record.revoked()))
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
            Ok(self.put(old.ending_at(ends)))
        })
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        Box::pin(async move {
            for (digest, at) in used {
                if let Some(mut record) = self.by_digest.get_mut(&digest) {
                    record.note_used(at);
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
