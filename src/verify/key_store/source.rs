//! What a database of keys does for the gate.

use std::pin::Pin;

use super::changes::KeyChanges;
use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::record::ApiKeyRecord;
use crate::time::Wall;

/// What a source or store answers with, in time.
pub type KeyFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Looks keys up in a place of its own: a database, a service.
///
/// The gate keeps what it looked up in memory, positive and negative answers alike, for 3 s unless
/// `[api_keys.cache] max_age` of the policy says otherwise, so a source needs no cache. It asks for
/// one key once at a time, however many requests wait for it; never for a text that is not a key by its
/// form and check digits, nor for a key of the policy. Answers that take too long count as failures,
/// and their futures are dropped: a source must bear that.
///
/// ```
/// use std::collections::HashMap;
/// use tollgate::keys::{ApiKeyRecord, KeyDigest, KeyFuture, KeySource, KeySourceError};
///
/// struct Pool(HashMap<KeyDigest, String>);
///
/// impl Pool {
///     async fn client_of(&self, digest: KeyDigest) -> std::io::Result<Option<String>> {
///         Ok(self.0.get(&digest).cloned()) // SELECT client FROM api_keys WHERE digest = $1
///     }
/// }
///
/// impl KeySource for Pool {
///     fn look_up(
///         &self,
///         digest: KeyDigest,
///     ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
///         Box::pin(async move {
///             let Some(client) = self.client_of(digest).await.map_err(KeySourceError::new)? else {
///                 return Ok(None);
///             };
///             let record = ApiKeyRecord::builder(client.clone(), client, digest).build();
///             record.map(Some).map_err(KeySourceError::new)
///         })
///     }
/// }
/// # let _ = tollgate::Tollgate::builder().key_source(Pool(HashMap::new()));
/// ```
pub trait KeySource: Send + Sync + 'static {
    /// The key with this digest; `None` where there is none. A key that is revoked or has expired is
    /// found, and says so.
    ///
    /// # Errors
    ///
    /// When the source cannot say. Requests with keys that are not in memory are then answered with
    /// `key_source_unavailable`, 503.
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>>;

    /// What kind of source it is, for `Tollgate::status()` and metrics: `postgres`, `vault`.
    fn kind(&self) -> &'static str {
        "custom"
    }

    /// Tells of changes for as long as the gate lives; the gate drops the future with its last
    /// handle. A source that tells of them is asked less: what is in memory is asked for again only
    /// where it changed. See [`KeyChanges`].
    ///
    /// It is expected to reconnect by itself. Where it ends, as it does at once unless it is written,
    /// keys in memory are looked up again as they grow old.
    fn follow(&self, changes: KeyChanges) -> KeyFuture<'_, ()> {
        drop(changes);
        Box::pin(std::future::ready(()))
    }
}

/// A source whose keys can be changed, for [`Tollgate::keys`](crate::Tollgate::keys) and the command
/// `tollgate key`.
///
/// Each method does all that it says in one step, or nothing. Records are the store's alone: the gate
/// checks ids and digests against those of the policy before it calls.
pub trait KeyStore: KeySource {
    /// Adds a key.
    ///
    /// # Errors
    ///
    /// [`IdTaken`](KeyStoreError::IdTaken), [`DigestTaken`](KeyStoreError::DigestTaken), or
    /// [`Unavailable`](KeyStoreError::Unavailable).
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>>;

    /// Adds keys: all of them, or none. `tollgate key import` does it with a whole table.
    ///
    /// Unless it is written, they are added one after the other, and those before the first that
    /// cannot be added stay.
    ///
    /// # Errors
    ///
    /// [`SomeTaken`](KeyStoreError::SomeTaken) or [`Unavailable`](KeyStoreError::Unavailable).
    fn insert_all(&self, records: Vec<ApiKeyRecord>) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            for (at, record) in records.into_iter().enumerate() {
                self.insert(record).await.map_err(|error| match error {
                    KeyStoreError::IdTaken { .. } | KeyStoreError::DigestTaken => {
                        KeyStoreError::SomeTaken { at: vec![at] }
                    }
                    other => other,
                })?;
            }
            Ok(())
        })
    }

    /// The key with this id.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](KeyStoreError::Unavailable).
    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>>;

    /// At most `most` keys whose ids come after `after`, by their bytes, in that order; from the first
    /// where it is `None`. Revoked and expired keys are among them.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](KeyStoreError::Unavailable).
    fn list(
        &self,
        after: Option<String>,
        most: usize,
    ) -> KeyFuture<'_, Result<Vec<ApiKeyRecord>, KeyStoreError>>;

    /// Takes a key back for good, and returns it as it is now. To revoke one twice is no error.
    ///
    /// # Errors
    ///
    /// [`Unknown`](KeyStoreError::Unknown) or [`Unavailable`](KeyStoreError::Unavailable).
    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>>;

    /// Puts `record` in place of the one with its id: another plan, other scopes.
    ///
    /// # Errors
    ///
    /// [`Unknown`](KeyStoreError::Unknown); [`Revoked`](KeyStoreError::Revoked), since a
    /// revoked key stays so; [`OtherDigest`](KeyStoreError::OtherDigest), since the record is
    /// of the same key; or [`Unavailable`](KeyStoreError::Unavailable).
    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>>;

    /// Adds `successor`, and lets the key `id` [end](ApiKeyRecord::ending_at) at `ends`; returns
    /// that key as it is now.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); and [`Unknown`](KeyStoreError::Unknown) or
    /// [`Revoked`](KeyStoreError::Revoked) for `id`.
    fn replace(
        &self,
        id: String,
        successor: ApiKeyRecord,
        ends: Wall,
    ) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>>;

    /// Notes when keys were last used, once a minute and before the process ends
    /// ([`Keys::flush`](crate::keys::Keys::flush)), at most 1,000 at a time. What is older than what
    /// the store knows changes nothing; a digest that it does not know is skipped. Unless it is
    /// written, nothing is noted.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached: it is told the next time.
    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        drop(used);
        Box::pin(std::future::ready(Ok(())))
    }
}
