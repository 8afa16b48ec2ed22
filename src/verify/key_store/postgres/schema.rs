//! The tables, created and migrated.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::error;
use crate::verify::key_store::error::KeySourceError;

/// What brings the schema from each version to the next one.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// The lock of those that create the tables: the first eight letters of the name, as a number.
const LOCK: i64 = 0x746f_6c6c_6761_7465;

/// Sees to it that the tables are there, and not of a later version than this program knows. Several
/// processes may do it at once.
pub(super) async fn ensure(client: &Client) -> Result<(), KeySourceError> {
    // Without a write: the server may be read-only, or the user have no rights to create.
    if check(version(client).await?)? {
        return Ok(());
    }
    client.batch_execute("BEGIN").await.map_err(error)?;
    let lock = [(&LOCK as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT8)];
    client.query_typed("SELECT pg_advisory_xact_lock($1)", &lock).await.map_err(error)?;
    let found = version(client).await?;
    if !check(found)? {
        for migration in MIGRATIONS.iter().skip(found) {
            client.batch_execute(migration).await.map_err(|cause| {
                KeySourceError::new(format!("the tables cannot be created: {}", error(cause)))
            })?;
        }
        let note = format!(
            "CREATE TABLE IF NOT EXISTS tollgate_key_schema (version integer NOT NULL);
             DELETE FROM tollgate_key_schema;
             INSERT INTO tollgate_key_schema (version) VALUES ({});",
            MIGRATIONS.len()
        );
        client.batch_execute(&note).await.map_err(error)?;
    }
    client.batch_execute("COMMIT").await.map_err(error)
}

/// Whether the tables are as this program wants them, or have to be migrated.
fn check(found: usize) -> Result<bool, KeySourceError> {
    let wanted = MIGRATIONS.len();
    if found <= wanted {
        return Ok(found == wanted);
    }
    Err(KeySourceError::new(format!(
        "its tables have version {found}, and this program knows versions up to {wanted}: update the \
         program"
    )))
}

/// The version of the tables that are there; 0 where there are none.
async fn version(client: &Client) -> Result<usize, KeySourceError> {
    // `to_regclass` may remember that there was none before the lock was waited for.
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'tollgate_key_schema' \
               AND pg_table_is_visible(oid))";
    let is_there: bool =
        client.query_typed_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(error)?;
    if !is_there {
        return Ok(0);
    }
    let row = client.query_typed_opt("SELECT version FROM tollgate_key_schema LIMIT 1", &[]).await;
    let Some(row) = row.map_err(error)? else { return Ok(0) };
    let version: i32 = row.try_get(0).map_err(error)?;
    Ok(usize::try_from(version).unwrap_or_default())
}
