//! Buckets that several processes share, on a server of Redis or Valkey, or a cluster of them.
//!
//! # One decision
//!
//! 1. [`key`] names the bucket of each charge.
//! 2. Where the store has said that a charge cannot be there yet, the request is refused without asking
//!    ([`heard`]).
//! 3. Otherwise all charges go to the server that has them ([`link`], [`shard`]), in one [`script`], with
//!    those of other requests that wait. The arithmetic is that of memory, by the server's clock.
//! 4. [`settling`] waits for the answer. In a cluster, charges whose keys lie in different slots are several
//!    scripts at the same time; where one refuses, what the others took is given back.
//! 5. A server that fails or is late is left alone for a while ([`breaker`]); nobody waits for it then.
//!    Each limit does what its `on_store_failure` says: this process's share of the quota, in buckets of
//!    its own; a refusal with `limiter_unavailable`; or nothing.
//! 6. When it answers again it is debited with what was spent meanwhile ([`ledger`]).
//!
//! # What is promised
//!
//! - In any interval of length *t* the store grants at most `burst + rate·t`, whoever asks. A request that is
//!   decided late by the deadline *D* counts for a moment before, so at the servers it is
//!   `burst + rate·(t + D)`.
//! - No decision waits longer than the deadline.
//! - What may have been charged is never charged again: of a call that failed or was late, nothing is
//!   repeated. A request that is given up after its charges were sent is charged.
//! - Charges after the work, and what is given back, are sent in the background. They wait in the queue of
//!   their server, which is bounded; what does not fit, or was under way when a server failed, is lost
//!   and counted. A debt is at most 256 bursts, and at most 2^53 units.
//! - Failures of addresses are counted in the memory of each process.

mod away;
mod breaker;
mod connect;
mod dial;
mod heard;
mod key;
mod ledger;
mod limits;
mod link;
mod meters;
mod redirect;
mod script;
mod settling;
mod shard;
#[cfg(test)]
mod test_server;

pub(crate) use limits::SharedLimits;
pub(crate) use meters::describe_metrics;
pub(crate) use settling::{Far, Settling};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use super::memory::MemoryStore;
use super::{Limit, RedisSettings, Servers};
use crate::time::{AtomicSteady, Clock as _, MICROS, Steady};
use heard::Heard;
use key::Namer;
use link::Link;
use shard::State;

/// The way to shared buckets, with what this process knows of them. It lives as long as the policies
/// that lead to the same buckets.
pub(crate) struct RedisStore {
    settings: RedisSettings,
    namer: Arc<Namer>,
    link: Link,
    is_cluster: bool,
    heard: Heard,
    /// The shares of this process, for while the store is away. Their clock is the store's, like all
    /// here.
    local: MemoryStore,
    /// When the log may say again that a bucket is none.
    alarm_at: AtomicSteady,
}

/// How one server of the store is.
pub(crate) struct ServerStatus {
    /// Name and version, where they are known.
    pub(crate) version: Option<String>,
    /// Since when it has not answered; `None` where it never did.
    pub(crate) age: Option<Duration>,
    /// Why it is not asked.
    pub(crate) failure: Option<String>,
}

/// The limits of a policy, in the store that its settings lead to. The store that is open stays connected
/// where it is that one.
pub(crate) fn adopt_shared(
    open: &mut Option<Arc<RedisStore>>,
    limits: &[Limit],
    settings: &RedisSettings,
) -> Option<SharedLimits> {
    let store = match open.take() {
        Some(store) if store.settings.leads_to_the_buckets_of(settings) => store,
        _ => RedisStore::open(settings),
    };
    let adopted = store.adopt(limits, settings);
    *open = Some(store);
    Some(adopted)
}

impl RedisStore {
    /// Begins to connect. Nothing waits for that: until the store answers, each limit does what its
    /// `on_store_failure` says.
    fn open(settings: &RedisSettings) -> Arc<Self> {
        let namer = Arc::new(Namer::new(&settings.prefix, settings.hash_key.as_ref()));
        let sha = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, script::SCRIPT.as_bytes());
        let sha = sha.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Arc::new(Self {
            settings: settings.clone(),
            link: Link::open(settings, &namer, sha),
            namer,
            is_cluster: matches!(settings.servers, Servers::Cluster(_)),
            heard: Heard::new(),
            local: MemoryStore::default(),
            alarm_at: AtomicSteady::default(),
        })
    }

    fn now(&self) -> Steady {
        self.link.common.clock.steady()
    }

    /// How each server is.
    pub(crate) fn status(&self) -> Vec<ServerStatus> {
        let topology = self.link.topology();
        if topology.shards.is_empty() {
            let failure = topology.failure.as_ref().map_or_else(
                || "the servers of the cluster are not known yet".to_owned(),
                |failure| format!("{}: {}", failure.away, failure.detail),
            );
            return vec![ServerStatus { version: None, age: None, failure: Some(failure) }];
        }
        let status = |shard: &Arc<shard::Shard>| {
            let health = shard.health().clone();
            let failure = match (shard.state(), &health.failure) {
                (State::Asked, _) => None,
                (_, Some(failure)) => Some(format!("{}: {}", failure.away, failure.detail)),
                (State::Starting | State::LeftAlone, None) => {
                    Some("it has not answered yet".to_owned())
                }
            };
            let age = health.answered.map(|answered| answered.elapsed());
            ServerStatus { version: health.version, age, failure }
        };
        topology.shards.iter().map(status).collect()
    }

    /// Says loudly that what a key holds is no bucket: another program writes there, or a fault of ours.
    /// At most once in ten seconds.
    fn alarm(&self, limit: &str, key: &key::Key) {
        let now = self.now();
        if now < self.alarm_at.load() {
            return;
        }
        self.alarm_at.store(now.plus_micros(10 * MICROS));
        tracing::error!(
            target: "tollgate", limit, key = %String::from_utf8_lossy(&key.name),
            "a key of the store holds something that is no bucket, and is left as it is: the limit does \
             what its `on_store_failure` says. See who else writes to keys of the prefix, then delete \
             the key"
        );
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}
