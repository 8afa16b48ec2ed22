//! The table: its statements, and rows as records.

use rusqlite::OptionalExtension as _;

use super::connection::error;
use crate::time::Wall;
use crate::verify::key_store::error::KeyStoreError;
use crate::verify::key_store::record::ApiKeyRecord;
use crate::verify::key_store::row::{OddRow, Row, seconds};

pub(super) fn select(rest: &str) -> String {
    format!(
        "SELECT id, client, digest, scopes, roles, plan, addresses, not_before, expires, revoked, \
         last_used FROM tollgate_api_keys {rest}"
    )
}

pub(super) fn find(
    connection: &rusqlite::Connection,
    id: &str,
) -> rusqlite::Result<Option<Result<ApiKeyRecord, OddRow>>> {
    let mut statement = connection.prepare_cached(&select("WHERE id = ?1"))?;
    statement.query_row([id], read).optional()
}

/// The record of a row. Only what concerns the database is an error of the outer kind.
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<ApiKeyRecord, OddRow>> {
    let id: String = row.get(0)?;
    let odd = |trouble: String| OddRow::new(&id, trouble);
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
pub(super) fn insert(
    write: &rusqlite::Transaction<'_>,
    record: &ApiKeyRecord,
) -> Result<(), KeyStoreError> {
    let added = write
        .prepare_cached(
            "INSERT INTO tollgate_api_keys (id, client, digest, scopes, roles, plan, addresses, not_before, \
             expires, revoked, last_used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values(record))))
        .map_err(error)?;
    if added == 1 {
        return Ok(());
    }
    let taken: bool = write
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM tollgate_api_keys WHERE id = ?1)",
            [record.id()],
            |row| row.get(0),
        )
        .map_err(error)?;
    Err(if taken {
        KeyStoreError::IdTaken { id: record.id().to_owned() }
    } else {
        KeyStoreError::DigestTaken
    })
}

/// Adds rows; the places of those whose ids or digests are there.
pub(super) fn insert_all(
    write: &rusqlite::Transaction<'_>,
    records: &[ApiKeyRecord],
) -> Result<Vec<usize>, KeyStoreError> {
    let mut taken = Vec::new();
    for (at, record) in records.iter().enumerate() {
        match insert(write, record) {
            Ok(()) => {}
            Err(KeyStoreError::IdTaken { .. } | KeyStoreError::DigestTaken) => taken.push(at),
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Puts a record in place of the row with its id.
pub(super) fn put(
    write: &rusqlite::Transaction<'_>,
    record: &ApiKeyRecord,
) -> rusqlite::Result<()> {
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
