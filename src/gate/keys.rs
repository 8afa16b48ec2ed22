//! Keys that an application hands out while the gate runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Gate;
use crate::verify::NewApiKey;
use crate::verify::key_store::{
    ApiKeyRecord, ApiKeyRecordBuilder, KeyDigest, KeyStoreError, RuntimeKeys,
};

/// The keys that can be changed while the gate runs; made by [`Tollgate::keys`](crate::Tollgate::keys).
///
/// They are in the store that the policy names (`[api_keys] store`) or that
/// [`TollgateBuilder::key_store`](crate::TollgateBuilder::key_store) was given; where there is none,
/// in the memory of this process, and lost when it ends. A change counts from the next request in this
/// process, and within 3 s in others that share the store.
///
/// Keys of the policy and its files come first, and are changed there: an id or a key that the policy
/// has is refused here. Where a reload brings one that is here already, the policy's counts.
///
/// ```
/// use tollgate::Tollgate;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let gate = Tollgate::builder()
///     .policy("version = 1\n[api_keys]\n[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\n")
///     .build()
///     .await?;
/// let keys = gate.keys();
/// let issued = keys.issue("acme-1", "acme", |key| key.scopes(["orders:read"])).await?;
/// let shown_once = issued.key().reveal(); // to its owner, and never again
/// # assert!(shown_once.starts_with("tg_"));
/// keys.revoke("acme-1").await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Keys {
    gate: Arc<Gate>,
}

/// A key that was made just now.
#[derive(Debug)]
pub struct IssuedKey {
    key: NewApiKey,
    record: ApiKeyRecord,
}

impl IssuedKey {
    /// The key itself: it is nowhere else, so show it to its owner now.
    #[must_use]
    pub fn key(&self) -> &NewApiKey {
        &self.key
    }

    /// What is stored of it.
    #[must_use]
    pub fn record(&self) -> &ApiKeyRecord {
        &self.record
    }
}

impl Keys {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    /// Adds a key whose text was made elsewhere.
    ///
    /// # Errors
    ///
    /// When the id or the key is known already, in the store or in the policy, or the store cannot
    /// be reached.
    pub async fn insert(&self, record: ApiKeyRecord) -> Result<(), KeyStoreError> {
        self.check_policy(record.id(), Some(record.digest()))?;
        let keys = self.keys();
        match keys.store()?.insert(record.clone()).await {
            Ok(()) => keys.put(record),
            Err(error) => return Err(self.failed(&keys, &record, error)),
        }
        Ok(())
    }

    /// Makes a key for `client` and adds it; `terms` says what it may be used for. It begins with the
    /// policy's `api_keys.prefix`.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); and when the record is not valid, or the system gives no random
    /// bytes.
    pub async fn issue(
        &self,
        id: impl Into<String>,
        client: impl Into<String>,
        terms: impl FnOnce(ApiKeyRecordBuilder) -> ApiKeyRecordBuilder,
    ) -> Result<IssuedKey, KeyStoreError> {
        let key = self.new_key()?;
        let record = terms(ApiKeyRecord::builder(id, client, key.key_digest())).build()?;
        self.insert(record.clone()).await?;
        Ok(IssuedKey { key, record })
    }

    /// The key with this id; `None` where no key of the store has it.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    pub async fn find(&self, id: &str) -> Result<Option<ApiKeyRecord>, KeyStoreError> {
        let keys = self.keys();
        let found = keys.store()?.find(id.into()).await?;
        Ok(found.map(|record| keys.with_last_use(record)))
    }

    /// At most `most` keys of the store whose ids come after `after`, by their bytes, in that order;
    /// from the first where it is `None`. Revoked and expired keys are among them; those of the
    /// policy are not.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    pub async fn list(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<ApiKeyRecord>, KeyStoreError> {
        let keys = self.keys();
        let records = keys.store()?.list(after.map(Into::into), most).await?;
        Ok(records.into_iter().map(|record| keys.with_last_use(record)).collect())
    }

    /// Takes a key back for good. To revoke one twice is no error.
    ///
    /// # Errors
    ///
    /// When no key of the store has this id, it is one of the policy's, or the store cannot be
    /// reached.
    pub async fn revoke(&self, id: &str) -> Result<(), KeyStoreError> {
        self.check_policy(id, None)?;
        let keys = self.keys();
        keys.put(keys.store()?.revoke(id.into()).await?);
        Ok(())
    }

    /// Puts `record` in place of the one with its id: another plan, other scopes. The key itself
    /// stays.
    ///
    /// # Errors
    ///
    /// When no key of the store has its id, the digest is another, the key is revoked, it is one of
    /// the policy's, or the store cannot be reached.
    pub async fn update(&self, record: ApiKeyRecord) -> Result<(), KeyStoreError> {
        self.check_policy(record.id(), None)?;
        let keys = self.keys();
        match keys.store()?.update(record.clone()).await {
            Ok(()) => keys.put(record),
            Err(error) => return Err(self.failed(&keys, &record, error)),
        }
        Ok(())
    }

    /// Makes a key that takes the place of the key `id`, for the same client and with the same terms;
    /// the old one goes on for `overlap`, unless it expires sooner. The new one expires when the old one
    /// was to, unless it is [updated](Self::update); its id is that of the old one with a number behind
    /// it: `acme` is followed by `acme-2`, that by `acme-3`.
    ///
    /// # Errors
    ///
    /// When no key of the store has this id, the key is revoked or has expired, it is one of the
    /// policy's, or the store cannot be reached.
    pub async fn rotate(&self, id: &str, overlap: Duration) -> Result<IssuedKey, KeyStoreError> {
        self.check_policy(id, None)?;
        let keys = self.keys();
        let store = keys.store()?;
        let old = store.find(id.into()).await?;
        let old = old.ok_or_else(|| KeyStoreError::Unknown { id: id.into() })?;
        let now = self.gate.lasting.clock.wall();
        if old.expires().is_some_and(|end| end <= now) {
            return Err(KeyStoreError::Expired { id: id.into() });
        }
        let ends = now.plus(overlap);
        let mut next = old.id().to_owned();
        loop {
            next = successor_of(&next);
            let key = self.new_key()?;
            let record = old.succeeded_by(&next, key.key_digest())?;
            let replaced = match self.check_policy(&next, Some(record.digest())) {
                Ok(()) => store.replace(id.into(), record.clone(), ends).await,
                Err(taken) => Err(taken),
            };
            match replaced {
                Ok(old) => {
                    keys.put(old);
                    keys.put(record.clone());
                    return Ok(IssuedKey { key, record });
                }
                // A key that was replaced twice has two successors.
                Err(KeyStoreError::IdTaken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the store now when keys were last used. It is told once a minute by itself: call this before
    /// the process ends, once the server has stopped, so that the last minute is not lost.
    ///
    /// ```
    /// # async fn end(gate: tollgate::Tollgate, listener: tokio::net::TcpListener, app: axum::Router) {
    /// # let stop = std::future::ready(());
    /// # #[cfg(any())]
    /// axum::serve(listener, app).with_graceful_shutdown(stop).await;
    /// if let Err(error) = gate.keys().flush().await {
    ///     eprintln!("{error}");
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached. What it was not told of is kept.
    pub async fn flush(&self) -> Result<(), KeyStoreError> {
        self.keys().flush().await
    }

    fn new_key(&self) -> Result<NewApiKey, KeyStoreError> {
        Ok(NewApiKey::generate(&self.gate.snapshot().policy().credential.prefix)?)
    }

    fn keys(&self) -> RuntimeKeys {
        self.gate.snapshot().grounds.keys.clone()
    }

    /// What the store did not say may have been done.
    fn failed(
        &self,
        keys: &RuntimeKeys,
        record: &ApiKeyRecord,
        error: KeyStoreError,
    ) -> KeyStoreError {
        if matches!(error, KeyStoreError::Unavailable(_)) {
            keys.forget(&record.digest());
        }
        error
    }

    /// What the policy holds is not changed here.
    fn check_policy(&self, id: &str, new: Option<KeyDigest>) -> Result<(), KeyStoreError> {
        let snapshot = self.gate.snapshot();
        let keys = &snapshot.policy().keys;
        match new {
            None if keys.has_id(id) => Err(KeyStoreError::OfPolicy { id: id.into() }),
            Some(_) if keys.has_id(id) => Err(KeyStoreError::IdTaken { id: id.into() }),
            Some(digest) if keys.find(&digest).is_some() => Err(KeyStoreError::DigestTaken),
            _ => Ok(()),
        }
    }
}

/// The id of the key that follows one: with the next number behind it.
fn successor_of(id: &str) -> String {
    let numbered = id.rsplit_once('-').and_then(|(name, number)| {
        // Longer ones are years, dates and the like.
        let is_number = !number.starts_with('0') && number.len() < 4;
        is_number.then(|| number.parse::<u32>().ok()).flatten().map(|number| (name, number))
    });
    match numbered {
        Some((name, number)) => format!("{name}-{}", number.saturating_add(1)),
        None => format!("{id}-2"),
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_next_number() {
        for (id, next) in [
            ("acme", "acme-2"),
            ("acme-2", "acme-3"),
            ("acme-9", "acme-10"),
            ("acme-x", "acme-x-2"),
            ("acme-01", "acme-01-2"),
            ("acme-999", "acme-1000"),
            ("billing-2026", "billing-2026-2"),
            ("acme-20261126", "acme-20261126-2"),
            ("acme-99999999999", "acme-99999999999-2"),
            ("2", "2-2"),
        ] {
            assert_eq!(successor_of(id), next);
        }
    }
}
