//! Keys in a file of SQLite.
//!
//! Statements run on blocking threads, at most [`AT_ONCE`] of them, each on a connection that no other
//! uses meanwhile. The file is in WAL mode: readers wait for nobody, and writers for each other.
//! Changes are numbered by triggers ([`schema`]), so that others who write to the [`table`] are noticed
//! too; [`follow`] asks for them twice a second.

mod connection;
mod follow;
mod schema;
mod table;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::changes::KeyChanges;
use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::place::StorePlace;
use super::record::ApiKeyRecord;
use super::row::{OddRows, seconds};
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::Wall;
use connection::{Connections, error};
use table::{find, insert, insert_all, put, read, select};

/// Keys in a file of SQLite, which it creates where there is none.
pub(crate) struct SqliteKeys {
    connections: Arc<Connections>,
    odd: Arc<OddRows>,
}

impl SqliteKeys {
    /// Opens nothing yet: the first statement does.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { connections: Arc::new(Connections::new(path)), odd: Arc::default() }
    }
}

/// The store in this file.
pub(crate) fn place(path: PathBuf) -> Option<StorePlace> {
    let name = path.to_string_lossy().into_owned();
    Some(StorePlace::new("sqlite", name, move || Arc::new(SqliteKeys::new(path.clone()))))
}

impl KeySource for SqliteKeys {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(async move {
            let sql = select("WHERE digest = ?1");
            let found = self.connections.run(move |connection| {
                let mut statement = connection.prepare_cached(&sql).map_err(error)?;
                let row =
                    statement.query_row([digest.to_string()], read).optional().map_err(error)?;
                Ok::<_, KeySourceError>(row)
            });
            Ok(found.await?.and_then(|row| self.odd.skip(row)))
        })
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn follow(&self, changes: KeyChanges) -> KeyFuture<'_, ()> {
        Box::pin(follow::follow(self.connections.clone(), changes))
    }
}

impl KeyStore for SqliteKeys {
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            insert(&write, &record)?;
            Ok(write.commit().map_err(error)?)
        }))
    }

    fn insert_all(&self, records: Vec<ApiKeyRecord>) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            match insert_all(&write, &records)? {
                taken if taken.is_empty() => Ok(write.commit().map_err(error)?),
                at => Err(KeyStoreError::SomeTaken { at }),
            }
        }))
    }

    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let row = find(connection, &id).map_err(error)?;
            Ok(row.transpose()?)
        }))
    }

    fn list(
        &self,
        after: Option<String>,
        most: usize,
    ) -> KeyFuture<'_, Result<Vec<ApiKeyRecord>, KeyStoreError>> {
        let odd = self.odd.clone();
        Box::pin(self.connections.run(move |connection| {
            let mut records = Vec::new();
            let mut after = after.unwrap_or_default();
            // Rows that are skipped make a page no shorter: a short one is the last.
            while records.len() < most {
                let sql = select("WHERE id > ?1 ORDER BY id LIMIT ?2");
                let mut statement = connection.prepare_cached(&sql).map_err(error)?;
                let wanted = i64::try_from(most - records.len()).unwrap_or(i64::MAX);
                let page = statement.query_map(params![after, wanted], |row| {
                    Ok((row.get::<_, String>(0)?, read(row)?))
                });
                let page = page.and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
                let page = page.map_err(error)?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                let is_last = i64::try_from(page.len()).is_ok_and(|count| count < wanted);
                records.extend(page.into_iter().filter_map(|(_, row)| odd.skip(row)));
                if is_last {
                    break;
                }
            }
            Ok(records)
        }))
    }

    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            write
                .prepare_cached(
                    "UPDATE tollgate_api_keys SET revoked = 1 WHERE id = ?1 AND revoked <> 1",
                )
                .and_then(|mut statement| statement.execute([&id]))
                .map_err(error)?;
            let row = find(&write, &id).map_err(error)?;
            write.commit().map_err(error)?;
            Ok(row.ok_or(KeyStoreError::Unknown { id })??)
        }))
    }

    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            let held = write
                .query_row(
                    "SELECT digest, revoked FROM tollgate_api_keys WHERE id = ?1",
                    [record.id()],
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)),
                )
                .optional()
                .map_err(error)?;
            let id = record.id().to_owned();
            match held {
                None => Err(KeyStoreError::Unknown { id }),
                Some((_, true)) => Err(KeyStoreError::Revoked { id }),
                Some((digest, false)) if digest != record.digest().to_string() => {
                    Err(KeyStoreError::OtherDigest { id })
                }
                Some(_) => {
                    put(&write, &record).map_err(error)?;
                    Ok(write.commit().map_err(error)?)
                }
            }
        }))
    }

    fn replace(
        &self,
        id: String,
        successor: ApiKeyRecord,
        ends: Wall,
    ) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            let Some(old) = find(&write, &id).map_err(error)? else {
                return Err(KeyStoreError::Unknown { id });
            };
            let old = old?;
            if old.is_revoked() {
                return Err(KeyStoreError::Revoked { id });
            }
            insert(&write, &successor)?;
            let old = old.ending_at(ends);
            put(&write, &old).map_err(error)?;
            write.commit().map_err(error)?;
            Ok(old)
        }))
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = begin(connection)?;
            {
                let mut statement = write
                    .prepare_cached(
                        "UPDATE tollgate_api_keys SET last_used = ?2 \
                     WHERE digest = ?1 AND (last_used IS NULL OR last_used < ?2)",
                    )
                    .map_err(error)?;
                for (digest, at) in &used {
                    let noted = statement.execute(params![digest.to_string(), seconds(*at)]);
                    noted.map_err(error)?;
                }
            }
            write.commit().map_err(error)?;
            Ok(())
        }))
    }
}

/// Begins to write. What is not committed is taken back.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, KeySourceError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)
}

impl fmt::Debug for SqliteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteKeys").field("path", &self.connections.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_to_the_laws_of_stores() {
        let folder = tempfile::tempdir().unwrap();
        laws::holds(&SqliteKeys::new(folder.path().join("keys.db"))).await;
    }

    #[tokio::test]
    async fn tables_of_a_later_version_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        SqliteKeys::new(path.clone()).find("nobody".into()).await.unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("UPDATE tollgate_key_schema SET version = 99").unwrap();
        let refused = SqliteKeys::new(path).look_up(KeyDigest::of(b"key")).await.unwrap_err();
        assert!(refused.to_string().contains("version 99"), "{refused}");
    }

    #[test]
    fn many_may_open_a_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(format!("{round}.db"));
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        let connections = Connections::new(path.clone());
                        start.wait();
                        assert_eq!(connections.take().err().map(|error| error.to_string()), None);
                    });
                }
            });
        }
    }
}
