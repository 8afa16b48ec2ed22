//! Keys in a database of Postgres, from version 13 on.
//!
//! Statements are not prepared and hold nothing between them, so that poolers in front of the server
//! do no harm. None is waited for longer than two seconds ([`server`]); while the server does not
//! answer, it is asked now and then only, and everybody else is told so at once. Changes are written
//! down by a trigger ([`schema`]), so that others who write to the table are noticed too; [`follow`]
//! reads of them.

mod address;
mod follow;
mod schema;
mod server;

use std::fmt;
use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};

use address::PostgresAddress;
use server::{Lease, Server};

use super::changes::KeyChanges;
use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::place::StorePlace;
use super::record::ApiKeyRecord;
use super::row::{LAST_SECOND, OddRow, OddRows, Row, seconds};
use super::source::{KeyFuture, KeySource, KeyStore};
use crate::time::Wall;

/// Keys in a database of Postgres.
pub(crate) struct PostgresKeys {
    server: Arc<Server>,
    odd: OddRows,
}

/// A value of a statement, and its type.
type Value<'v> = (&'v (dyn ToSql + Sync), Type);

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
            let digest: String = held.try_get(0)?;
            Err(match held.try_get(1)? {
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

/// Moments become whole seconds, and infinite ones the first and the last.
fn select(rest: &str) -> String {
    let moment = |column: &str| {
        format!(
            "floor(extract(epoch FROM least(greatest({column}, to_timestamp(0)), \
             to_timestamp({LAST_SECOND}))))::int8"
        )
    };
    // `least` and `greatest` pass over NULL, which has to stay.
    let kept = |column: &str| format!("CASE WHEN {column} IS NOT NULL THEN {} END", moment(column));
    format!(
        "SELECT id, client, digest, scopes, roles, plan, addresses, {}, {}, revoked, {} \
         FROM tollgate_api_keys {rest}",
        kept("not_before"),
        kept("expires"),
        kept("last_used")
    )
}

fn read(row: &tokio_postgres::Row) -> Result<ApiKeyRecord, OddRow> {
    let id: String = row.try_get(0).unwrap_or_default();
    let odd = |what: &str| OddRow { id: id.clone(), trouble: format!("its {what} cannot be read") };
    let row = Row {
        id: id.clone(),
        client: row.try_get(1).map_err(|_| odd("client"))?,
        digest: row.try_get(2).map_err(|_| odd("digest"))?,
        scopes: row.try_get(3).map_err(|_| odd("scopes"))?,
        roles: row.try_get(4).map_err(|_| odd("roles"))?,
        plan: row.try_get(5).map_err(|_| odd("plan"))?,
        addresses: row.try_get(6).map_err(|_| odd("addresses"))?,
        not_before: row.try_get(7).map_err(|_| odd("start"))?,
        expires: row.try_get(8).map_err(|_| odd("end"))?,
        revoked: row.try_get(9).map_err(|_| odd("`revoked`"))?,
        last_used: row.try_get(10).map_err(|_| odd("last use"))?,
    };
    row.record()
}

async fn execute(
    lease: &Lease<'_>,
    sql: &str,
    values: &[Value<'_>],
) -> Result<u64, KeySourceError> {
    let values: Vec<Value<'_>> =
        values.iter().map(|(value, kind)| (*value, kind.clone())).collect();
    lease.execute_typed(sql, &values).await.map_err(|cause| lease.error(cause))
}

/// The row with this id. Only what concerns the server is an error of the outer kind.
async fn find(
    lease: &Lease<'_>,
    id: &str,
    locking: &str,
) -> Result<Option<Result<ApiKeyRecord, OddRow>>, KeySourceError> {
    let found = lease
        .query_typed_opt(&select(&format!("WHERE id = $1 {locking}")), &[(&id, Type::TEXT)])
        .await
        .map_err(|cause| lease.error(cause))?;
    Ok(found.map(|row| read(&row)))
}

/// Adds a row, unless its id or its digest is there. The outer error is the server's.
async fn insert(
    lease: &Lease<'_>,
    record: &ApiKeyRecord,
) -> Result<Result<(), KeyStoreError>, KeySourceError> {
    let values = Values::of(record);
    let sql = "INSERT INTO tollgate_api_keys (id, client, digest, scopes, roles, plan, addresses, \
               not_before, expires, revoked, last_used) VALUES ($1, $2, $3, $4, $5, $6, $7, \
               to_timestamp($8::float8), to_timestamp($9::float8), $10, to_timestamp($11::float8)) \
               ON CONFLICT DO NOTHING";
    if execute(lease, sql, &values.all()).await? == 1 {
        return Ok(Ok(()));
    }
    let taken = find(lease, record.id(), "").await?;
    Ok(Err(match taken {
        Some(_) => KeyStoreError::IdTaken { id: record.id().to_owned() },
        None => KeyStoreError::DigestTaken,
    }))
}

/// Puts a record in place of the row with its id, where that is of the same key and not revoked; how
/// many rows that were.
async fn put(lease: &Lease<'_>, record: &ApiKeyRecord) -> Result<u64, KeySourceError> {
    let values = Values::of(record);
    let sql = "UPDATE tollgate_api_keys SET client = $2, scopes = $4, roles = $5, plan = $6, \
               addresses = $7, not_before = to_timestamp($8::float8), \
               expires = to_timestamp($9::float8), revoked = $10, \
               last_used = greatest(last_used, to_timestamp($11::float8)) \
               WHERE id = $1 AND digest = $3 AND NOT revoked";
    execute(lease, sql, &values.all()).await
}

/// In a transaction. The outer error is the server's.
async fn replace(
    lease: &Lease<'_>,
    id: String,
    successor: &ApiKeyRecord,
    ends: Wall,
) -> Result<Result<ApiKeyRecord, KeyStoreError>, KeySourceError> {
    let old = match find(lease, &id, "FOR UPDATE").await? {
        None => return Ok(Err(KeyStoreError::Unknown { id })),
        Some(Err(odd)) => return Ok(Err(odd.into())),
        Some(Ok(old)) if old.is_revoked() => return Ok(Err(KeyStoreError::Revoked { id })),
        Some(Ok(old)) => old,
    };
    if let Err(taken) = insert(lease, successor).await? {
        return Ok(Err(taken));
    }
    let old = old.ending_at(ends);
    put(lease, &old).await?;
    Ok(Ok(old))
}

/// The values of a row, in the order of the columns.
struct Values {
    id: String,
    client: String,
    digest: String,
    scopes: Vec<String>,
    roles: Vec<String>,
    plan: Option<String>,
    addresses: Vec<String>,
    not_before: Option<f64>,
    expires: Option<f64>,
    revoked: bool,
    last_used: Option<f64>,
}

impl Values {
    fn of(record: &ApiKeyRecord) -> Self {
        // Whole seconds up to the year 9999 are exact.
        let moment = |moment: Option<Wall>| moment.map(|at| seconds(at) as f64);
        Self {
            id: record.id().to_owned(),
            client: record.client().to_owned(),
            digest: record.digest().to_string(),
            scopes: record.scopes().iter().map(|scope| scope.as_str().to_owned()).collect(),
            roles: record.roles().map(str::to_owned).collect(),
            plan: record.plan().map(str::to_owned),
            addresses: record.addresses().collect(),
            not_before: moment(record.not_before()),
            expires: moment(record.expires()),
            revoked: record.is_revoked(),
            last_used: moment(record.last_used()),
        }
    }

    fn all(&self) -> [Value<'_>; 11] {
        [
            (&self.id, Type::TEXT),
            (&self.client, Type::TEXT),
            (&self.digest, Type::TEXT),
            (&self.scopes, Type::TEXT_ARRAY),
            (&self.roles, Type::TEXT_ARRAY),
            (&self.plan, Type::TEXT),
            (&self.addresses, Type::TEXT_ARRAY),
            (&self.not_before, Type::FLOAT8),
            (&self.expires, Type::FLOAT8),
            (&self.revoked, Type::BOOL),
            (&self.last_used, Type::FLOAT8),
        ]
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
}
