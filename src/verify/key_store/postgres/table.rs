//! The table: its statements, and rows as records.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};

use super::server::Lease;
use crate::time::Wall;
use crate::verify::key_store::error::{KeySourceError, KeyStoreError};
use crate::verify::key_store::record::ApiKeyRecord;
use crate::verify::key_store::row::{LAST_SECOND, OddRow, Row, seconds};

/// A value of a statement, and its type.
pub(super) type Value<'v> = (&'v (dyn ToSql + Sync), Type);

/// Moments become whole seconds, and infinite ones the first and the last.
pub(super) fn select(rest: &str) -> String {
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

pub(super) fn read(row: &tokio_postgres::Row) -> Result<ApiKeyRecord, OddRow> {
    let id: String = row.try_get(0).unwrap_or_default();
    let odd = |what: &str| OddRow::new(&id, format!("its {what} cannot be read"));
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

pub(super) async fn execute(
    lease: &Lease<'_>,
    sql: &str,
    values: &[Value<'_>],
) -> Result<u64, KeySourceError> {
    let values: Vec<Value<'_>> =
        values.iter().map(|(value, kind)| (*value, kind.clone())).collect();
    lease.execute_typed(sql, &values).await.map_err(|cause| lease.error(cause))
}

/// The row with this id. Only what concerns the server is an error of the outer kind.
pub(super) async fn find(
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
pub(super) async fn insert(
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

/// Adds rows, in a transaction; the places of those whose ids or digests are there.
pub(super) async fn insert_all(
    lease: &Lease<'_>,
    records: &[ApiKeyRecord],
) -> Result<Vec<usize>, KeySourceError> {
    let sql = "INSERT INTO tollgate_api_keys (id, client, digest, scopes, roles, plan, addresses, \
               not_before, expires, revoked, last_used) \
               SELECT id, client, digest, scopes, roles, plan, addresses, to_timestamp(not_before), \
               to_timestamp(expires), revoked, to_timestamp(last_used) \
               FROM json_to_recordset($1::text::json) AS keys (id text, client text, digest text, \
               scopes text[], roles text[], plan text, addresses text[], not_before float8, \
               expires float8, revoked boolean, last_used float8) \
               ON CONFLICT DO NOTHING RETURNING digest";
    let mut taken = Vec::new();
    for (batch, records) in records.chunks(BATCH).enumerate() {
        let rows: Vec<serde_json::Value> =
            records.iter().map(|record| Values::of(record).json()).collect();
        let rows = serde_json::Value::from(rows).to_string();
        let values: [Value<'_>; 1] = [(&rows, Type::TEXT)];
        let added = timeout(BATCH_DEADLINE, lease.query_typed(sql, &values)).await;
        let added = added.map_err(|_| {
            lease.failed(KeySourceError::new("the server did not add the keys in time"))
        })?;
        let added = added.map_err(|cause| lease.error(cause))?;
        if added.len() == records.len() {
            continue;
        }
        let added = added.iter().map(|row| row.try_get(0));
        let mut added: HashSet<String> =
            added.collect::<Result<_, _>>().map_err(|cause| lease.error(cause))?;
        let mut is_taken = |record: &ApiKeyRecord| !added.remove(&record.digest().to_string());
        let places = records.iter().enumerate().filter(|(_, record)| is_taken(record));
        taken.extend(places.map(|(at, _)| batch * BATCH + at));
    }
    Ok(taken)
}

/// How many rows go to the server at once, and how long that may take: it may be busy, and nobody
/// waits who called the API.
const BATCH: usize = 1000;
const BATCH_DEADLINE: Duration = Duration::from_secs(30);

/// Puts a record in place of the row with its id, where that is of the same key and not revoked; how
/// many rows that were.
pub(super) async fn put(lease: &Lease<'_>, record: &ApiKeyRecord) -> Result<u64, KeySourceError> {
    let values = Values::of(record);
    let sql = "UPDATE tollgate_api_keys SET client = $2, scopes = $4, roles = $5, plan = $6, \
               addresses = $7, not_before = to_timestamp($8::float8), \
               expires = to_timestamp($9::float8), revoked = $10, \
               last_used = greatest(last_used, to_timestamp($11::float8)) \
               WHERE id = $1 AND digest = $3 AND NOT revoked";
    execute(lease, sql, &values.all()).await
}

/// In a transaction. The outer error is the server's.
pub(super) async fn replace(
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

    fn json(self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id, "client": self.client, "digest": self.digest, "scopes": self.scopes,
            "roles": self.roles, "plan": self.plan, "addresses": self.addresses,
            "not_before": self.not_before, "expires": self.expires, "revoked": self.revoked,
            "last_used": self.last_used,
        })
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
