//! Keys in a file of SQLite.
//!
//! Statements run on blocking threads, at most [`AT_ONCE`] of them, each on a connection that no other
//! uses meanwhile. The file is in WAL mode: readers wait for nobody, and writers for each other.
//! Changes are numbered by triggers ([`schema`]), so that others who write to the table are noticed
//! too; [`follow`] asks for them twice a second.

mod connection;
mod follow;
mod schema;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::changes::KeyChanges;
use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::place::StorePlace;
use super::record::ApiKeyRecord;
use super::row::{OddRow, OddRows, Row, seconds};
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::Wall;
use connection::Connections;

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
                let mut statement = connection.prepare_cached(&sql)?;
                let row = statement.query_row([digest.to_string()], read).optional()?;
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
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            insert(&write, &record)?;
            Ok(write.commit()?)
        }))
    }

    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let row = find(connection, &id)?;
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
                let mut statement = connection.prepare_cached(&sql)?;
                let wanted = i64::try_from(most - records.len()).unwrap_or(i64::MAX);
                let page = statement.query_map(params![after, wanted], |row| {
                    Ok((row.get::<_, String>(0)?, read(row)?))
                })?;
                let page = page.collect::<Result<Vec<_>, _>>()?;
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
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write
                .prepare_cached(
                    "UPDATE tollgate_api_keys SET revoked = 1 WHERE id = ?1 AND revoked <> 1",
                )?
                .execute([&id])?;
            let row = find(&write, &id)?;
            write.commit()?;
            Ok(row.ok_or(KeyStoreError::Unknown { id })??)
        }))
    }

    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let held = write
                .query_row(
                    "SELECT digest, revoked FROM tollgate_api_keys WHERE id = ?1",
                    [record.id()],
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)),
                )
                .optional()?;
            let id = record.id().to_owned();
            match held {
                None => Err(KeyStoreError::Unknown { id }),
                Some((_, true)) => Err(KeyStoreError::Revoked { id }),
                Some((digest, false)) if digest != record.digest().to_string() => {
                    Err(KeyStoreError::OtherDigest { id })
                }
                Some(_) => {
                    put(&write, &record)?;
                    Ok(write.commit()?)
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
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let Some(old) = find(&write, &id)? else { return Err(KeyStoreError::Unknown { id }) };
            let old = old?;
            if old.is_revoked() {
                return Err(KeyStoreError::Revoked { id });
            }
            insert(&write, &successor)?;
            let old = old.ending_at(ends);
            put(&write, &old)?;
            write.commit()?;
            Ok(old)
        }))
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        Box::pin(self.connections.run(move |connection| {
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut statement = write.prepare_cached(
                    "UPDATE tollgate_api_keys SET last_used = ?2 \
                     WHERE digest = ?1 AND (last_used IS NULL OR last_used < ?2)",
                )?;
                for (digest, at) in &used {
                    statement.execute(params![digest.to_string(), seconds(*at)])?;
                }
            }
            write.commit()?;
            Ok(())
        }))
    }
}

impl fmt::Debug for SqliteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteKeys").field("path", &self.connections.path()).finish_non_exhaustive()
    }
}

fn select(rest: &str) -> String {
    format!(
        "SELECT id, client, digest, scopes, roles, plan, addresses, not_before, expires, revoked, \
         last_used FROM tollgate_api_keys {rest}"
    )
}

fn find(
    connection: &rusqlite::Connection,
    id: &str,
) -> rusqlite::Result<Option<Result<ApiKeyRecord, OddRow>>> {
    let mut statement = connection.prepare_cached(&select("WHERE id = ?1"))?;
    statement.query_row([id], read).optional()
}

/// The record of a row. Only what concerns the database is an error of the outer kind.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<ApiKeyRecord, OddRow>> {
    let id: String = row.get(0)?;
    let odd = |trouble: String| OddRow { id: id.clone(), trouble };
    let list = |at: usize, name: &str| {
        let text: String = row.get(at).map_err(|_| odd(format!("its {name} are not text")))?;
        serde_json::from_str(&text)
            .map_err(|_| odd(format!("its {name} are not a JSON array of strings")))
    };
    let whole = || {
        Ok(Row {
            id: id.clone(),
            client: row.get(1).map_err(|_| odd("its client is not text".into()))?,
            digest: row.get(2).map_err(|_| odd("its digest is not text".into()))?,
            scopes: list(3, "scopes")?,
            roles: list(4, "roles")?,
            plan: row.get(5).map_err(|_| odd("its plan is not text".into()))?,
            addresses: list(6, "addresses")?,
            not_before: row
                .get(7)
                .map_err(|_| odd("its start is not a number of seconds".into()))?,
            expires: row.get(8).map_err(|_| odd("its end is not a number of seconds".into()))?,
            revoked: row.get(9).map_err(|_| odd("`revoked` is neither 0 nor 1".into()))?,
            last_used: row
                .get(10)
                .map_err(|_| odd("its last use is not a number of seconds".into()))?,
        })
    };
    Ok(whole().and_then(Row::record))
}

/// Adds a row, unless its id or its digest is there.
fn insert(write: &rusqlite::Transaction<'_>, record: &ApiKeyRecord) -> Result<(), KeyStoreError> {
    let added = write
        .prepare_cached(
            "INSERT INTO tollgate_api_keys (id, client, digest, scopes, roles, plan, addresses, not_before, \
             expires, revoked, last_used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values(record))))
        .map_err(connection::error)?;
    if added == 1 {
        return Ok(());
    }
    let taken: bool = write
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM tollgate_api_keys WHERE id = ?1)",
            [record.id()],
            |row| row.get(0),
        )
        .map_err(connection::error)?;
    Err(if taken {
        KeyStoreError::IdTaken { id: record.id().to_owned() }
    } else {
        KeyStoreError::DigestTaken
    })
}

/// Puts a record in place of the row with its id.
fn put(write: &rusqlite::Transaction<'_>, record: &ApiKeyRecord) -> rusqlite::Result<()> {
    let mut statement = write.prepare_cached(
        "UPDATE tollgate_api_keys SET client = ?2, digest = ?3, scopes = ?4, roles = ?5, plan = ?6, \
         addresses = ?7, not_before = ?8, expires = ?9, revoked = ?10, \
         last_used = max(coalesce(last_used, ?11), coalesce(?11, last_used)) WHERE id = ?1",
    )?;
    statement.execute(rusqlite::params_from_iter(values(record))).map(drop)
}

fn values(record: &ApiKeyRecord) -> [rusqlite::types::Value; 11] {
    use rusqlite::types::Value;

    let list = |texts: Vec<String>| Value::Text(serde_json::json!(texts).to_string());
    let moment =
        |moment: Option<Wall>| moment.map_or(Value::Null, |at| Value::Integer(seconds(at)));
    [
        Value::Text(record.id().to_owned()),
        Value::Text(record.client().to_owned()),
        Value::Text(record.digest().to_string()),
        list(record.scopes().iter().map(|scope| scope.as_str().to_owned()).collect()),
        list(record.roles().map(str::to_owned).collect()),
        record.plan().map_or(Value::Null, |plan| Value::Text(plan.to_owned())),
        list(record.addresses().collect()),
        moment(record.not_before()),
        moment(record.expires()),
        Value::Integer(record.is_revoked().into()),
        moment(record.last_used()),
    ]
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
