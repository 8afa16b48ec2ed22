//! A connection that is fit for decisions: made, tried, and with the script on its server.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};

use super::away::Away;
use super::dial::Client;
use super::key::Key;
use super::script::{Operation, Record, Reply, SCRIPT, Terms, read_replies};
use crate::limit::Quota;

/// How long it may take to make a connection, and to put the script on the server.
const TIME_OUT: Duration = Duration::from_secs(1);

/// A connection, and what was learnt of its server.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    /// Name and version, where the user may ask for them.
    pub(super) version: Option<String>,
}

/// Why there is none.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) away: Away,
    /// In the words of the client or the server; no secret is in them.
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn of(error: &RedisError) -> Self {
        Self { away: Away::of(error), detail: error.to_string() }
    }

    pub(super) fn new(away: Away, detail: &str) -> Self {
        Self { away, detail: detail.into() }
    }
}

/// Connects, puts the script on the server, and takes a token from a bucket that nobody has: within
/// the deadline, as every decision has to be.
pub(super) async fn connect(
    client: &Client,
    probe: &Key,
    sha: &str,
    deadline: Duration,
) -> Result<Connected, Failure> {
    let mut connection = client.dial(TIME_OUT).await?;
    // A server that does not let us is asked by EVAL, once.
    let mut load = redis::cmd("SCRIPT");
    let loaded = send(&mut connection, load.arg("LOAD").arg(SCRIPT)).await;
    if let Err(error) = &loaded
        && Away::of(error) != Away::NotPermitted
    {
        return Err(Failure::of(error));
    }
    let version = version(&mut connection).await;
    let mut records = Vec::new();
    probing().write(&mut records);
    // Twice: the first call may pay for what is loaded lazily.
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let begun = Instant::now();
        let reply = settle(&mut connection, sha, &[&probe.name], &records, false).await;
        took = begun.elapsed();
        let reply = match reply {
            Err(error) if Away::of(&error) == Away::Moving => {
                // It answers; it only does not have the slot of the probe, or not any more.
                continue;
            }
            reply => reply.map_err(|error| Failure::of(&error))?,
        };
        match reply.as_deref() {
            Some([Reply::Granted(_) | Reply::Refused(_)]) => {}
            Some([Reply::Broken]) => {
                return Err(Failure::new(Away::Broken, "the key of the probe holds no bucket"));
            }
            _ => return Err(Failure::new(Away::Unintelligible, "no reply of the script")),
        }
    }
    if took > deadline {
        let detail = format!("a decision took {} ms", took.as_millis());
        return Err(Failure { away: Away::Late, detail });
    }
    connection.set_response_timeout(deadline);
    Ok(Connected { connection, version })
}

/// Settles the charges of these records; `None` where the reply is not one to them.
///
/// A server that has lost the script is sent it, once: it has done nothing then. Nothing else is
/// tried again, since it may have been done. `is_asking` where the slot is on its way to the server.
pub(super) async fn settle(
    connection: &mut MultiplexedConnection,
    sha: &str,
    keys: &[&[u8]],
    records: &[u8],
    is_asking: bool,
) -> Result<Option<Vec<Reply>>, RedisError> {
    let mut reply = ask(connection, command("EVALSHA", sha, keys, records), is_asking).await;
    if reply.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT")) {
        reply = ask(connection, command("EVAL", SCRIPT, keys, records), is_asking).await;
    }
    Ok(match reply? {
        Value::BulkString(bytes) => read_replies(&bytes, keys.len()),
        _ => None,
    })
}

/// `ASKING` holds for the command that follows it, so both are sent in one piece.
async fn ask(
    connection: &mut MultiplexedConnection,
    command: Cmd,
    is_asking: bool,
) -> Result<Value, RedisError> {
    if !is_asking {
        return send(connection, &command).await;
    }
    let mut both = redis::pipe();
    both.cmd("ASKING").add_command(command);
    let mut last = Value::Nil;
    for reply in connection.send_packed_commands(&both, 0, 2).await? {
        last = reply.extract_error()?;
    }
    Ok(last)
}

async fn send(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, RedisError> {
    connection.send_packed_command(command).await?.extract_error()
}

fn command(name: &str, script: &str, keys: &[&[u8]], records: &[u8]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(*key);
    }
    command.arg(records);
    command
}

/// A million tokens a second: the key is gone after a few milliseconds.
fn probing() -> Record {
    const MILLION: std::num::NonZeroU32 = std::num::NonZeroU32::new(1_000_000).unwrap();
    const SECOND: std::num::NonZeroU64 = std::num::NonZeroU64::new(1_000_000).unwrap();
    // INVARIANT: one token a microsecond is well in range.
    let quota = Quota::new(MILLION, SECOND, MILLION).unwrap_or_else(|_| unreachable!());
    Record { operation: Operation::Take, following: 0, terms: Terms::new(quota, None), cost: 1 }
}

/// `redis 7.0.15`, `valkey 8.1.0`.
async fn version(connection: &mut MultiplexedConnection) -> Option<String> {
    let info = send(connection, redis::cmd("INFO").arg("server")).await.ok()?;
    let info = match info {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } => text,
        _ => return None,
    };
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().chars().take(32).collect::<String>())
    };
    if let Some(version) = field("valkey_version") {
        return Some(format!("valkey {version}"));
    }
    field("redis_version").map(|version| format!("redis {version}"))
}
