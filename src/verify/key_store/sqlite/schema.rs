//! The tables, created and migrated.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::verify::key_store::error::KeySourceError;

/// What brings the schema from each version to the next one.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// Sees to it that the tables are there, and not of a later version than this program knows. Several
/// processes may do it at once.
pub(super) fn ensure(connection: &mut Connection, may_create: bool) -> Result<(), KeySourceError> {
    let failed = |error| KeySourceError::new(format!("the tables cannot be created: {error}"));
    let wanted = MIGRATIONS.len();
    if version(connection).map_err(failed)? == wanted {
        return Ok(());
    }
    // Whoever is second waits, and finds it done.
    let write =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&write).map_err(failed)?;
    if found > wanted {
        return Err(KeySourceError::new(format!(
            "its tables have version {found}, and this program knows versions up to {wanted}: \
             update the program"
        )));
    }
    if found == 0 && !may_create {
        return Err(KeySourceError::new("its tables are gone"));
    }
    for migration in MIGRATIONS.iter().skip(found) {
        write.execute_batch(migration).map_err(failed)?;
    }
    let note = format!(
        "CREATE TABLE IF NOT EXISTS tollgate_key_schema (version INTEGER NOT NULL) STRICT;
         DELETE FROM tollgate_key_schema;
         INSERT INTO tollgate_key_schema (version) VALUES ({wanted});"
    );
    write.execute_batch(&note).and_then(|()| write.commit()).map_err(failed)
}

/// The version of the tables that are there; 0 where there are none.
fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let is_there: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'tollgate_key_schema')",
        [],
        |row| row.get(0),
    )?;
    if !is_there {
        return Ok(0);
    }
    let sql = "SELECT version FROM tollgate_key_schema";
    let version: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(version.and_then(|version| usize::try_from(version).ok()).unwrap_or_default())
}
