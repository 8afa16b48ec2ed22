//! What outlives every policy of a gate.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{SharedString, gauge};

use super::counters;
use super::ends::Ends;
use super::observe::Observer;
use super::status::StoreStatus;
use crate::denial::Served;
use crate::limit::{
    Buckets, FailureStore, Failures, MemoryStore, RedisStore, Servers, StoreSettings, adopt_shared,
    scripts_in_cluster,
};
use crate::policy::Policy;
use crate::time::Clock;
use crate::verify::key_store::{KeyBackend, LastingKeys, RuntimeKeys};
use crate::verify::{LastingRemoteKeys, LastingTokens, Revocations, TokenCache, TokenPolicy};

/// What outlives every policy: buckets, the clock, and who is told.
#[derive(Clone)]
pub(crate) struct Lasting {
    store: Arc<MemoryStore>,
    /// The shared store of the policy in force, where it has one.
    shared: Arc<Mutex<Option<Arc<RedisStore>>>>,
    /// Whether requests are judged: otherwise no store is asked.
    pub(super) is_serving: bool,
    /// Failures have a store of their own, so that no limit can fill it.
    failures: Arc<FailureStore>,
    tokens: LastingTokens,
    /// Whether the handbook is served.
    pub(super) served: Served,
    remote_keys: LastingRemoteKeys,
    /// What the application has revoked.
    pub(super) revocations: Revocations,
    /// Streams that wait for the end of their credential.
    pub(super) ends: Arc<Ends>,
    /// Whether bodies of responses end with the credential.
    pub(super) ends_bodies: bool,
    /// Where keys are looked up that the policy does not hold.
    runtime_keys: LastingKeys,
    snapshots: SnapshotCount,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<Observer>,
}

impl Lasting {
    pub(crate) fn new(clock: Arc<dyn Clock>, observer: Arc<Observer>) -> Self {
        let (store, failures, tokens, served, remote_keys, snapshots) = Default::default();
        let (revocations, runtime_keys) = (Revocations::new(), LastingKeys::default());
        let ends = Arc::new(Ends::new(clock.clone(), revocations.clone()));
        Self {
            store,
            shared: Arc::default(),
            is_serving: false,
            failures,
            tokens,
            served,
            remote_keys,
            revocations,
            ends,
            ends_bodies: false,
            runtime_keys,
            snapshots,
            clock,
            observer,
        }
    }

    /// With a set of revocations that the application made.
    pub(super) fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.ends = Arc::new(Ends::new(self.clock.clone(), revocations.clone()));
        self.revocations = revocations;
        self
    }

    /// The limits of a policy that comes into force, where it says that their buckets are. A shared store
    /// stays connected as long as the policies lead to it.
    pub(super) fn buckets(&self, policy: &Policy) -> Buckets {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let (StoreSettings::Redis(settings), true) = (&policy.store, self.is_serving)
            && let Some(limits) = adopt_shared(&mut shared, &policy.limits, settings)
        {
            if matches!(settings.servers, Servers::Cluster(_)) {
                log_spread_rules(policy);
            }
            return Buckets::Shared(limits);
        }
        *shared = None;
        let adopted = self.store.adopt(&policy.limits);
        for limit in &adopted.renewed {
            tracing::warn!(
                target: "tollgate", limit = &**limit,
                "the limit counts for another `per` now: its buckets are new, and full"
            );
        }
        Buckets::Memory(self.store.clone(), adopted.tables)
    }

    /// How the store of the buckets is: each of its servers.
    pub(super) fn store_status(&self) -> Vec<StoreStatus> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            None => vec![StoreStatus::memory("buckets")],
            Some(store) => store
                .status()
                .into_iter()
                .map(|server| StoreStatus {
                    version: server.version,
                    ..StoreStatus::of("buckets", "redis", server.age, server.failure)
                })
                .collect(),
        }
    }

    /// The failures of addresses, as this policy counts them; `None` where it does not.
    pub(super) fn failures(&self, policy: &Policy) -> Option<Failures> {
        let failures = Failures::adopt(&self.failures, policy.failures?, policy.max_buckets);
        failures.forget(self.clock.steady());
        Some(failures)
    }

    /// The proven tokens. Those of issuers that stayed as they were are kept.
    pub(super) fn tokens(&self, policy: &Policy) -> Arc<TokenCache> {
        let cache = if policy.issuers.is_empty() { 0 } else { policy.tokens.cache };
        self.tokens.adopt(&TokenPolicy { cache, ..policy.tokens }, &policy.issuers)
    }

    /// Where keys are looked up that this policy does not hold.
    pub(super) fn keys(&self, policy: &Policy) -> RuntimeKeys {
        self.runtime_keys.adopt(&policy.key_cache, policy.key_place.as_ref(), &self.clock)
    }

    /// Counts a snapshot for as long as it is kept.
    pub(super) fn count_snapshot(&self) -> CountedSnapshot {
        self.snapshots.one()
    }

    /// Looks keys up in `backend`, in place of the memory of this process.
    pub(crate) fn with_keys(self, backend: Option<KeyBackend>) -> Self {
        Self { runtime_keys: backend.map_or(self.runtime_keys, LastingKeys::of), ..self }
    }

    /// Sees to it that the keys of a policy are fetched, which is about to be put in force.
    pub(super) fn start_keys(&self, policy: &Policy) {
        self.remote_keys.start(policy.issuers.remote_keys(), &self.clock);
    }

    /// Tells the metrics how many buckets, snapshots and revocations there are; `listed` are those of the
    /// policy in force.
    pub(super) fn gauge(&self, listed: usize) {
        counters::describe();
        let snapshots = self.snapshots.0.load(Ordering::Relaxed);
        gauge!("tollgate_snapshots").set(snapshots as f64);
        for (limit, count) in self.store.counts() {
            gauge!("tollgate_buckets", "limit" => SharedString::from(limit)).set(count as f64);
        }
        gauge!("tollgate_failure_buckets").set(self.failures.count() as f64);
        let told = self.revocations.len() as f64;
        gauge!("tollgate_revocations", "source" => "application").set(told);
        gauge!("tollgate_revocations", "source" => "policy").set(listed as f64);
        self.runtime_keys.gauge();
    }
}

/// How many snapshots are in memory: the one in force, and those that requests still end with.
#[derive(Clone, Debug, Default)]
struct SnapshotCount(Arc<AtomicUsize>);

/// One of them.
pub(super) struct CountedSnapshot(SnapshotCount);

impl SnapshotCount {
    fn one(&self) -> CountedSnapshot {
        self.0.fetch_add(1, Ordering::Relaxed);
        CountedSnapshot(self.clone())
    }
}

impl Drop for CountedSnapshot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says which rules a cluster cannot decide about in one step.
fn log_spread_rules(policy: &Policy) {
    for rule in policy.rules.iter() {
        let limits = rule.limits.iter().map(|of| &policy.limits[of.limit]);
        let scripts = scripts_in_cluster(limits);
        if scripts > 1 {
            tracing::info!(
                target: "tollgate", rule = &*rule.name, scripts,
                "the limits of the rule lie in different slots of the cluster: each is taken by a script \
                 of its own, at the same time. None grants more than its quota; where one refuses, what \
                 the others took is given back, and for that moment may be missed by others"
            );
        }
    }
}

impl fmt::Debug for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lasting").field("store", &self.store).finish_non_exhaustive()
    }
}
