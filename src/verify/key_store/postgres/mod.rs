//! Keys in a database of Postgres, from version 13 on.
//!
//! Statements are not prepared and hold nothing between them, so that poolers in front of the server
//! do no harm. None is waited for longer than two seconds ([`server`]); while the server does not
//! answer, it is asked now and then only, and everybody else is told so at once. Changes are written
//! down by a trigger ([`schema`]), so that others who write to the [`table`] are noticed too; [`follow`]
//! reads of them.

mod address;
mod error;
mod follow;
mod schema;
mod server;
mod table;

use std::fmt;
use std::sync::Arc;

use tokio_postgres::types::Type;

use address::PostgresAddress;
use error::error;
use server::Server;
use table::{Value, execute, find, insert, insert_all, put, read, replace, select};

use super::changes::KeyChanges;
use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::place::StorePlace;
use super::record::ApiKeyRecord;
use super::row::{OddRows, seconds};
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::Wall;

/// Keys in a database of Postgres.
pub(crate) struct PostgresKeys {
    server: Arc<Server>,
    odd: OddRows,
}

impl PostgresKeys {
    /// Connects to nothing yet: the first statement does. At most `connections` are open at once, and
    /// one more for changes.
    pub(crate) fn new(address: PostgresAddress, connections: usize) -> Self {
        Self { server: Arc::new(Server::new(address, connections)), odd: OddRows::default() }
    }
}

/// The store at this URL, or what is wrong with the URL, without a part of it.
pub(crate) fn place(url: &str, connections: usize) -> Option<Result<StorePlace, &'static str>> {
    Some(PostgresAddress::parse(url).map(|address| {
        let name = format!("{} {connections}", address.digest());
        let open = move || -> Arc<dyn KeyStore> {
            Arc::new(PostgresKeys::new(address.clone(), connections))
        };
        StorePlace::new("postgres", name, open)
    }))
}

impl KeySource for PostgresKeys {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            let digest = digest.to_string();
            let found = lease
                .query_typed_opt(&select("WHERE digest = $1"), &[(&digest, Type::TEXT)])
                .await
                .map_err(|cause| lease.error(cause))?;
            lease.release();
            Ok(found.and_then(|row| self.odd.skip(read(&row))))
        }))
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn follow(&self, changes: KeyChanges) -> KeyFuture<'_, ()> {
        Box::pin(follow::follow(self.server.clone(), changes))
    }
}

impl KeyStore for PostgresKeys {
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            let added = insert(&lease, &record).await?;
            lease.release();
            added
        }))
    }

    fn insert_all(&self, records: Vec<ApiKeyRecord>) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            let lease = self.server.within(self.server.lease()).await?;
            let run = async |sql: &str| {
                lease.batch_execute(sql).await.map_err(|cause| lease.error(cause))
            };
            self.server.within(run("BEGIN")).await?;
            // What is left open is rolled back with its connection.
            let taken = insert_all(&lease, &records).await?;
            self.server.within(run(if taken.is_empty() { "COMMIT" } else { "ROLLBACK" })).await?;
            lease.release();
            if taken.is_empty() { Ok(()) } else { Err(KeyStoreError::SomeTaken { at: taken }) }
        })
    }

    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            let found = find(&lease, &id, "").await?;
            lease.release();
            Ok(found.transpose()?)
        }))
    }

    fn list(
        &self,
        after: Option<String>,
        most: usize,
    ) -> KeyFuture<'_, Result<Vec<ApiKeyRecord>, KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let mut records = Vec::new();
            let mut after = after.unwrap_or_default();
            let lease = self.server.lease().await?;
            // Rows that are skipped make a page no shorter: a short one is the last.
            while records.len() < most {
                let wanted = i64::try_from(most - records.len()).unwrap_or(i64::MAX);
                let page = lease
                    .query_typed(
                        &select("WHERE id > $1 ORDER BY id LIMIT $2"),
                        &[(&after, Type::TEXT), (&wanted, Type::INT8)],
                    )
                    .await
                    .map_err(|cause| lease.error(cause))?;
                let Some(last) = page.last() else { break };
                after = last.try_get(0).map_err(|cause| lease.error(cause))?;
                records.extend(page.iter().filter_map(|row| self.odd.skip(read(row))));
                if i64::try_from(page.len()).is_ok_and(|count| count < wanted) {
                    break;
                }
            }
            lease.release();
            Ok(records)
        }))
    }

    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            let sql = "UPDATE tollgate_api_keys SET revoked = true WHERE id = $1 AND NOT revoked";
            execute(&lease, sql, &[(&id, Type::TEXT)]).await?;
            let found = find(&lease, &id, "").await?;
            lease.release();
            Ok(found.ok_or(KeyStoreError::Unknown { id })??)
        }))
    }

    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            if put(&lease, &record).await? == 1 {
                lease.release();
                return Ok(());
            }
            let id = record.id().to_owned();
            let held = lease
                .query_typed_opt(
                    "SELECT digest, revoked FROM tollgate_api_keys WHERE id = $1",
                    &[(&id, Type::TEXT)],
                )
                .await
                .map_err(|cause| lease.error(cause))?;
            lease.release();
            let Some(held) = held else { return Err(KeyStoreError::Unknown { id }) };
            let digest: String = held.try_get(0).map_err(error)?;
            Err(match held.try_get(1).map_err(error)? {
                true => KeyStoreError::Revoked { id },
                false if digest != record.digest().to_string() => KeyStoreError::OtherDigest { id },
                false => KeySourceError::new("the key was changed meanwhile").into(),
            })
        }))
    }

    fn replace(
        &self,
        id: String,
        successor: ApiKeyRecord,
        ends: Wall,
    ) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        Box::pin(self.server.within(async move {
            let lease = self.server.lease().await?;
            let run = async |sql: &str| {
                lease.batch_execute(sql).await.map_err(|cause| lease.error(cause))
            };
            run("BEGIN").await?;
            let replaced = replace(&lease, id, &successor, ends).await?;
            run(if replaced.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
            lease.release();
            replaced
        }))
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        Box::pin(self.server.within(async move {
            let digests: Vec<String> = used.iter().map(|(digest, _)| digest.to_string()).collect();
            let moments: Vec<i64> = used.iter().map(|(_, at)| seconds(*at)).collect();
            let lease = self.server.lease().await?;
            // What somebody else is changing now is noted the next time: nobody waits for anybody.
            let sql = "UPDATE tollgate_api_keys SET last_used = to_timestamp(used.at::float8) \
                       FROM unnest($1::text[], $2::int8[]) AS used (digest, at), \
                            (SELECT id FROM tollgate_api_keys WHERE digest = ANY ($1::text[]) \
                             FOR UPDATE SKIP LOCKED) AS free \
                       WHERE tollgate_api_keys.digest = used.digest \
                         AND tollgate_api_keys.id = free.id \
                         AND (last_used IS NULL OR last_used < to_timestamp(used.at::float8))";
            let values: [Value<'_>; 2] =
                [(&digests, Type::TEXT_ARRAY), (&moments, Type::INT8_ARRAY)];
            execute(&lease, sql, &values).await?;
            lease.release();
            Ok(())
        }))
    }
}

impl fmt::Debug for PostgresKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresKeys(..)")
    }
}

#[cfg(test)]
#[path = "../../../../tests/promises/support/postgres.rs"]
#[allow(dead_code, reason = "the tests of promises use more of it")]
mod server_of_tests;

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::server_of_tests::Postgres;
    use super::*;

    fn store(url: &str) -> PostgresKeys {
        PostgresKeys::new(PostgresAddress::parse(url).unwrap(), 8)
    }

    #[tokio::test]
    async fn postgres_keeps_to_the_laws_of_stores() {
        let server = Postgres::start();
        laws::holds(&store(&server.database("laws"))).await;

        // The tables are made once, by whoever comes first.
        let url = server.database("race");
        let racers = (0..6).map(|_| {
            let store = store(&url);
            tokio::spawn(
                async move { store.find("nobody".into()).await.map(|found| found.is_none()) },
            )
        });
        for racer in racers.collect::<Vec<_>>() {
            assert_eq!(racer.await.unwrap(), Ok(true));
        }
        assert_eq!(server.sql("race", "SELECT version FROM tollgate_key_schema").unwrap(), "1");

        // Others write to the table, and not always well.
        let digest = KeyDigest::of(b"theirs");
        let insert = |columns: &str, values: &str| {
            let sql =
                format!("INSERT INTO tollgate_api_keys (id, client, {columns}) VALUES ({values})");
            server.sql("race", &sql)
        };
        insert(
            "digest, expires, not_before",
            &format!("'a', 'c', '{digest}', 'infinity', '-infinity'"),
        )
        .unwrap();
        let other = KeyDigest::of(b"odd");
        insert("digest, scopes", &format!("'b', 'c', '{other}', '{{\"a b\"}}'")).unwrap();
        let ended = KeyDigest::of(b"ended");
        insert("digest, expires", &format!("'d', 'c', '{ended}', '-infinity'")).unwrap();
        assert!(insert("digest", "'e', 'c', 'sha256:00'").is_err());
        let store = store(&url);
        let theirs = store.look_up(digest).await.unwrap().unwrap();
        assert_eq!(theirs.expires(), Some(Wall::from_seconds(253_402_300_799)));
        assert_eq!(theirs.not_before(), None);
        assert!(store.look_up(other).await.unwrap().is_none(), "a row that is not valid");
        assert_eq!(
            store.look_up(ended).await.unwrap().unwrap().expires(),
            Some(Wall::from_seconds(0))
        );
        let listed = store.list(None, 2).await.unwrap();
        assert_eq!(listed.iter().map(ApiKeyRecord::id).collect::<Vec<_>>(), ["a", "d"]);

        server.sql("race", "UPDATE tollgate_key_schema SET version = 99").unwrap();
        let refused = super::tests::store(&url).look_up(digest).await.unwrap_err();
        assert!(refused.to_string().contains("version 99"), "{refused}");
    }

    #[tokio::test]
    async fn the_rights_of_the_page_are_enough_and_lend_no_others() {
        let server = Postgres::start();
        let url = server.database("rights");
        store(&url).find("nobody".into()).await.unwrap();
        let sql = |sql: &str| server.sql("rights", sql);
        sql("CREATE ROLE app LOGIN;
             GRANT SELECT ON tollgate_api_keys, tollgate_key_changes, tollgate_key_schema TO app;
             GRANT INSERT, UPDATE, DELETE ON tollgate_api_keys TO app;
             GRANT DELETE ON tollgate_key_changes TO app;
             CREATE ROLE clerk LOGIN;
             GRANT SELECT, INSERT, UPDATE ON tollgate_api_keys TO clerk")
        .unwrap();
        laws::holds(&store(&url.replace("gate:", "app:"))).await;

        // The trigger has the rights of its owner: nobody else gets them, or hides a change.
        let changes = || sql("SELECT count(*) FROM public.tollgate_key_changes").unwrap();
        let before: u64 = changes().parse().unwrap();
        sql("SET ROLE clerk;
             CREATE TEMP TABLE tollgate_key_changes (xid xid8, at timestamptz, digest text);
             UPDATE tollgate_api_keys SET revoked = true WHERE id = 'used'")
        .unwrap();
        assert_eq!(changes(), (before + 1).to_string());
        let refused = sql("SET ROLE clerk;
             CREATE TEMP TABLE theirs (digest text);
             CREATE TRIGGER lent AFTER INSERT ON theirs
             FOR EACH ROW EXECUTE FUNCTION tollgate_key_changed()");
        assert!(refused.unwrap_err().contains("permission denied"));
    }

    #[tokio::test]
    async fn the_tables_are_in_the_schema_that_the_url_names() {
        let server = Postgres::start();
        let url = server.database("tenants");
        server.sql("tenants", "CREATE SCHEMA \"Tenant 7\"").unwrap();
        let option = "options=-csearch_path%3D%22Tenant%5C%207%22";
        let store = store(&format!("{url}?{option}"));
        let record = ApiKeyRecord::builder("a", "c", KeyDigest::of(b"a")).build().unwrap();
        store.insert(record).await.unwrap();
        let sql = "SELECT count(*) FROM \"Tenant 7\".tollgate_api_keys, \
                   \"Tenant 7\".tollgate_key_changes";
        assert_eq!(server.sql("tenants", sql).unwrap(), "1");
        assert!(server.sql("tenants", "SELECT 1 FROM public.tollgate_api_keys").is_err());
    }
}
