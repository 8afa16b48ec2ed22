//! Tells of changes: those that triggers numbered since the last look.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::connection::{Connections, Open, error};
use crate::verify::key_store::changes::KeyChanges;
use crate::verify::key_store::error::KeySourceError;

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// What the last look found.
struct Look {
    open: Open,
    /// The number of the last change.
    last: i64,
    /// SQLite's own count, which grows with every change that another connection makes.
    data_version: i64,
    seen: Seen,
}

enum Seen {
    Nothing,
    /// Texts of digests.
    Changed(Vec<String>),
    /// More than is known: the numbers begin anew, or some are gone.
    Anything,
}

pub(super) async fn follow(connections: Arc<Connections>, changes: KeyChanges) {
    loop {
        // Where it fails, look-ups fail too, and those are reported.
        if let Ok(mut look) = blocking(connections.clone(), begin).await {
            changes.begun();
            loop {
                tokio::time::sleep(PAUSE).await;
                let now = changes.now();
                let next = |connections: Arc<Connections>| again(&connections, look);
                match blocking(connections.clone(), next).await {
                    Ok(found) => look = found,
                    Err(_) => break,
                }
                tell(&look.seen, &changes);
                changes.complete_until(now);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn blocking(
    connections: Arc<Connections>,
    work: impl FnOnce(Arc<Connections>) -> Result<Look, KeySourceError> + Send + 'static,
) -> Result<Look, KeySourceError> {
    let done = spawn_blocking(move || work(connections)).await;
    done.map_err(|_| KeySourceError::new("the program is ending"))?
}

fn tell(seen: &Seen, changes: &KeyChanges) {
    match seen {
        Seen::Nothing => {}
        Seen::Changed(digests) => {
            // Nobody can present a key with a digest that is none.
            let digests = digests.iter().filter_map(|digest| digest.parse().ok());
            digests.for_each(|digest| changes.changed(digest));
        }
        Seen::Anything => changes.all_changed(),
    }
}

fn begin(connections: Arc<Connections>) -> Result<Look, KeySourceError> {
    let open = connections.take()?;
    // In this order: what changes in between is told of twice, and nothing is missed.
    let data_version = data_version(&open).map_err(error)?;
    let last = last_number(&open).map_err(error)?;
    Ok(Look { open, last, data_version, seen: Seen::Nothing })
}

fn again(connections: &Connections, look: Look) -> Result<Look, KeySourceError> {
    if !connections.is_current(&look.open) {
        return Err(KeySourceError::new("the file was replaced"));
    }
    let version = data_version(&look.open).map_err(error)?;
    if version == look.data_version {
        return Ok(Look { seen: Seen::Nothing, ..look });
    }
    let last = last_number(&look.open).map_err(error)?;
    let found = changes_after(&look.open, look.last).map_err(error)?;
    let newest = found.last().map_or(last, |(number, _)| *number);
    let is_whole = match found.first() {
        Some((first, _)) => *first == look.last + 1,
        None => last == look.last,
    };
    let seen = match is_whole {
        true if found.is_empty() => Seen::Nothing,
        true => Seen::Changed(found.into_iter().map(|(_, digest)| digest).collect()),
        false => Seen::Anything,
    };
    Ok(Look { last: newest, data_version: version, seen, ..look })
}

/// The numbers of later changes, in order, and the digests that they concern.
fn changes_after(open: &Open, last: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = open.connection.prepare_cached(
        "SELECT number, digest FROM tollgate_key_changes WHERE number > ?1 ORDER BY number",
    )?;
    statement.query_map([last], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn data_version(open: &Open) -> rusqlite::Result<i64> {
    open.connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// The number of the last change that was ever made.
fn last_number(open: &Open) -> rusqlite::Result<i64> {
    let sql =
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'tollgate_key_changes'";
    open.connection.query_row(sql, [], |row| row.get(0))
}
