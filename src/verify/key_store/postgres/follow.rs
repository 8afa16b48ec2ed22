//! Tells of changes, by a connection of its own.
//!
//! Once a second, and whenever the server says that something changed (`LISTEN`), the table of changes
//! is asked for those that transactions made since the last look. A look is exact: it begins where the
//! oldest transaction was that the last look could not see, so no change is missed, in whatever order
//! transactions end. Notifications make it faster, and nothing relies on them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::address::Tls;
use super::error::error;
use super::server::{DEADLINE, Server, pause_after};
use crate::verify::key_store::changes::KeyChanges;
use crate::verify::key_store::error::KeySourceError;

/// The longest time from one look to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two looks that notifications ask for.
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// The pauses between attempts to connect.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// How many looks there are between two that also clear away what is old.
const LOOKS_PER_CLEARING: u32 = 600;

/// More changes than that at once are all changes.
const MOST_CHANGES: usize = 10_000;

pub(super) async fn follow(server: Arc<Server>, changes: KeyChanges) {
    let mut failures = 0;
    loop {
        let mut went_on = false;
        // Where it fails, look-ups fail too, and those are reported.
        let Err(cause) = session(&server, &changes, &mut went_on).await;
        tracing::debug!(target: "tollgate", error = %cause, "changes of keys are not heard of");
        failures = if went_on { 1 } else { failures + 1 };
        tokio::time::sleep(pause_after(failures, FIRST_RETRY, LONGEST_RETRY)).await;
    }
}

async fn session(
    server: &Server,
    changes: &KeyChanges,
    went_on: &mut bool,
) -> Result<std::convert::Infallible, KeySourceError> {
    // The tables are there after that.
    server.within(async { server.lease().await.map(super::server::Lease::release) }).await?;
    let config = &server.address.config;
    match server.tls().await? {
        Tls::Off => {
            let connected = timeout(DEADLINE, config.connect(NoTls)).await.map_err(late)?;
            let (client, connection) = connected.map_err(error)?;
            listen(client, connection, server, changes, went_on).await
        }
        Tls::On(tls) => {
            let connected = timeout(DEADLINE, config.connect(tls)).await.map_err(late)?;
            let (client, connection) = connected.map_err(error)?;
            listen(client, connection, server, changes, went_on).await
        }
    }
}

fn late(_: tokio::time::error::Elapsed) -> KeySourceError {
    KeySourceError::new("the server did not answer in time")
}

/// Drives the connection and looks, in one task.
async fn listen<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    server: &Server,
    changes: &KeyChanges,
    went_on: &mut bool,
) -> Result<std::convert::Infallible, KeySourceError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let woken = Notify::new();
    let drive = poll_fn(|cx: &mut Context<'_>| {
        loop {
            match ready!(connection.poll_message(cx)) {
                Some(Ok(AsyncMessage::Notification(_))) => woken.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(cause)) => return Poll::Ready(Err(error(cause))),
                None => {
                    return Poll::Ready(Err(KeySourceError::new(
                        "the server closed the connection",
                    )));
                }
            }
        }
    });
    let looks = look_on(&client, &woken, server, changes, went_on);
    let (mut drive, mut looks) = (pin!(drive), pin!(looks));
    poll_fn(|cx| match drive.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(ended),
        Poll::Pending => looks.as_mut().poll(cx),
    })
    .await
}

async fn look_on(
    client: &Client,
    woken: &Notify,
    server: &Server,
    changes: &KeyChanges,
    went_on: &mut bool,
) -> Result<std::convert::Infallible, KeySourceError> {
    // A pooler in front of the server may refuse it; then the looks alone find changes.
    let _ = timeout(DEADLINE, client.batch_execute("LISTEN tollgate_keys")).await.map_err(late)?;
    let mut seen = timeout(DEADLINE, first_unseen(client)).await.map_err(late)??;
    changes.begun();
    *went_on = true;
    let mut looks: u32 = 0;
    loop {
        if timeout(PAUSE, woken.notified()).await.is_ok() {
            tokio::time::sleep(LEAST_PAUSE).await;
        }
        let now = changes.now();
        let (next, digests) = timeout(DEADLINE, look(client, seen)).await.map_err(late)??;
        server.answered();
        if next < seen || digests.len() > MOST_CHANGES || digests.contains(&None) {
            // The server counts anew after it was restored; a table was emptied.
            changes.all_changed();
        } else {
            // A digest that is none is nobody's.
            let digests = digests.iter().flatten().filter_map(|digest| digest.parse().ok());
            digests.for_each(|digest| changes.changed(digest));
        }
        seen = next;
        changes.complete_until(now);
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_PER_CLEARING) {
            // Without the rights to do it, somebody else does.
            let old = "DELETE FROM tollgate_key_changes WHERE at < now() - interval '1 day'";
            let _ = timeout(DEADLINE, client.batch_execute(old)).await.map_err(late)?;
        }
    }
}

/// The first transaction whose changes may not be seen yet.
async fn first_unseen(client: &Client) -> Result<u64, KeySourceError> {
    let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
    let row = client.query_typed_one(sql, &[]).await.map_err(error)?;
    number(&row)
}

/// What changed in transactions from `seen` on, and where the next look begins. A `None` among the
/// digests stands for all keys.
async fn look(client: &Client, seen: u64) -> Result<(u64, Vec<Option<String>>), KeySourceError> {
    // One statement, so that both parts see the same. The first row is of no change.
    let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, NULL::text, false \
               UNION ALL (SELECT '0', digest, true FROM tollgate_key_changes \
               WHERE xid >= $1::text::xid8 LIMIT $2)";
    let most = i64::try_from(MOST_CHANGES + 1).unwrap_or(i64::MAX);
    let rows = client
        .query_typed(sql, &[(&seen.to_string(), Type::TEXT), (&most, Type::INT8)])
        .await
        .map_err(error)?;
    let mut next = None;
    let mut digests = Vec::new();
    for row in &rows {
        if row.try_get(2).map_err(error)? {
            digests.push(row.try_get(1).map_err(error)?);
        } else {
            next = Some(number(row)?);
        }
    }
    let next =
        next.ok_or_else(|| KeySourceError::new("the server said nothing of transactions"))?;
    Ok((next, digests))
}

fn number(row: &tokio_postgres::Row) -> Result<u64, KeySourceError> {
    let text: String = row.try_get(0).map_err(error)?;
    text.parse().map_err(|_| KeySourceError::new("the server's number of a transaction is not one"))
}
