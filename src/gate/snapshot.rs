//! What a reload replaces, whole: a policy in force, and what is made of it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use http::Response;
use http::header::{ALLOW, AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use metrics::{SharedString, gauge};

use super::ends::Ends;
use super::observe::{Observer, Request};
use super::status::StoreStatus;
use crate::address::{Address, AddressPolicy, ClientAddress};
use crate::ask::Ask;
use crate::credential::CredentialPolicy;
use crate::decision::{Caller, Decision, Judge, Refused, StillProven, Trace};
use crate::denial::{Denial, Media, RETRY_AFTER_MS, Registry, Renderer, SHOULD_RETRY, Served};
use crate::limit::{
    Buckets, Charges, FailureStore, Failures, MemoryStore, RedisStore, Servers, Settle,
    StoreSettings, adopt_shared, scripts_in_cluster,
};
use crate::policy::{Fault, Policy, Rule};
use crate::principal::Principal;
use crate::time::{Clock, Moment};
use crate::verify::key_store::{KeyBackend, LastingKeys, RuntimeKeys};
use crate::verify::{LastingRemoteKeys, LastingTokens, Revocations, TokenCache, TokenPolicy};

/// A policy in force. A request ends with the one that it began with.
pub(crate) struct Snapshot {
    pub(crate) policy: Policy,
    pub(crate) warnings: Arc<[Fault]>,
    pub(crate) voice: Arc<Voice>,
    /// The keys that the policy does not hold.
    pub(super) keys: RuntimeKeys,
    tokens: Arc<TokenCache>,
    revocations: Revocations,
    _counted: Counted,
}

/// How many snapshots are in memory: the one in force, and those that requests still end with.
#[derive(Clone, Debug, Default)]
struct Count(Arc<AtomicUsize>);

/// One of them.
struct Counted(Count);

impl Count {
    fn one(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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
    keys: LastingRemoteKeys,
    /// What the application has revoked.
    pub(super) revocations: Revocations,
    /// Streams that wait for the end of their credential.
    pub(super) ends: Arc<Ends>,
    /// Whether bodies of responses end with the credential.
    pub(super) ends_bodies: bool,
    /// Where keys are looked up that the policy does not hold.
    runtime_keys: LastingKeys,
    snapshots: Count,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<Observer>,
}

impl Lasting {
    pub(crate) fn new(clock: Arc<dyn Clock>, observer: Arc<Observer>) -> Self {
        let (store, failures, tokens, served, keys, snapshots) = Default::default();
        let (revocations, runtime_keys) = (Revocations::new(), LastingKeys::default());
        let ends = Arc::new(Ends::new(clock.clone(), revocations.clone()));
        Self {
            store,
            shared: Arc::default(),
            is_serving: false,
            failures,
            tokens,
            served,
            keys,
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
    fn buckets(&self, policy: &Policy) -> Buckets {
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

    /// Looks keys up in `backend`, in place of the memory of this process.
    pub(crate) fn with_keys(self, backend: Option<KeyBackend>) -> Self {
        Self { runtime_keys: backend.map_or(self.runtime_keys, LastingKeys::of), ..self }
    }

    /// Sees to it that the keys of a policy are fetched, which is about to be put in force.
    pub(super) fn start_keys(&self, policy: &Policy) {
        self.keys.start(&policy.issuers, &self.clock);
    }
}

/// How a policy is answered by: what an admission keeps of its snapshot, so that an open stream
/// keeps neither the keys nor the rules of a policy that was replaced.
pub(crate) struct Voice {
    pub(crate) renderer: Renderer,
    address: AddressPolicy,
    /// Which headers of a request decide about its response.
    pub(super) vary: HeaderValue,
    /// The policy's limits, and where their buckets are.
    pub(super) buckets: Buckets,
    failures: Option<Failures>,
    pub(super) ends: Arc<Ends>,
    pub(super) ends_bodies: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<Observer>,
}

impl Snapshot {
    /// Puts a policy in force. Buckets that were there before are kept.
    pub(crate) fn new(
        mut policy: Policy,
        registry: Registry,
        warnings: Vec<Fault>,
        lasting: &Lasting,
    ) -> Self {
        let Lasting { failures, tokens, served, revocations, snapshots, .. } = lasting.clone();
        let Lasting { ends, ends_bodies, clock, observer, .. } = lasting.clone();
        let buckets = lasting.buckets(&policy);
        let keys = lasting.runtime_keys.adopt(&policy.key_cache, policy.key_place.as_ref(), &clock);
        policy.looks_keys_up |= keys.may_fail();
        let failures =
            policy.failures.map(|quota| Failures::adopt(&failures, quota, policy.max_buckets));
        if let Some(failures) = &failures {
            failures.forget(clock.steady());
        }
        let cache = if policy.issuers.is_empty() { 0 } else { policy.tokens.cache };
        let tokens = tokens.adopt(&TokenPolicy { cache, ..policy.tokens }, &policy.issuers);
        let voice = Voice {
            renderer: Renderer::new(&policy, registry, served),
            address: policy.address.clone(),
            vary: vary_by_credential(&policy.credential),
            buckets,
            failures,
            ends,
            ends_bodies,
            clock,
            observer,
        };
        Self {
            policy,
            warnings: warnings.into(),
            voice: Arc::new(voice),
            keys,
            tokens,
            revocations,
            _counted: snapshots.one(),
        }
    }

    /// The headers that hold credentials.
    pub(super) fn credential_headers(&self) -> Vec<HeaderName> {
        let credential = &self.policy.credential;
        let mut names = vec![AUTHORIZATION, credential.key_header.clone()];
        names.extend(credential.token_headers.iter().cloned());
        names
    }

    /// The headers of responses that scripts want to read.
    pub(super) fn exposed_headers(&self) -> Vec<HeaderName> {
        let mut names = vec![WWW_AUTHENTICATE, RETRY_AFTER, RETRY_AFTER_MS, SHOULD_RETRY, ALLOW];
        names.extend(self.voice.renderer.rate_limit().names());
        names
    }

    /// Decides about a request. Nobody is told of it.
    pub(crate) fn decide(&self, ask: &Ask<'_>, trace: &mut impl Trace) -> Decision {
        self.as_judge().decide(ask, trace)
    }

    /// Whether a caller that was proven before still is.
    pub(super) fn still_proven(
        &self,
        caller: &Principal,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        self.as_judge().still_proven(caller, moment)
    }

    /// Proves a credential that the application has read elsewhere than in a header.
    pub(super) fn prove_text(
        &self,
        rule: &Rule,
        text: &str,
        address: Option<ClientAddress>,
        ask: &Ask<'_>,
    ) -> Result<Principal, Refused> {
        self.as_judge().prove_text(rule, text, address, ask)
    }

    fn as_judge(&self) -> Judge<'_> {
        Judge {
            policy: &self.policy,
            keys: &self.keys,
            tokens: &self.tokens,
            revocations: &self.revocations,
            buckets: &self.voice.buckets,
            failures: self.voice.failures.as_ref(),
        }
    }
}

impl Voice {
    /// Settles charges of an admitted request once more: takes more, looks, or gives back.
    pub(super) fn settle(&self, charges: &mut Charges, how: Settle) {
        self.buckets.settle_late(charges, how, self.clock.steady());
    }

    /// Charges a failed attempt to an address.
    pub(super) fn charge_failure(&self, address: Address) {
        if let Some(failures) = &self.failures {
            failures.charge(self.address.bucket(address), self.clock.steady());
        }
    }

    /// Answers with a denial, and observes that it did.
    pub(super) fn deny(
        &self,
        denial: &Denial,
        caller: &Caller,
        request: &Request<'_>,
        media: Media,
    ) -> Response<Body> {
        self.observer.denied(&self.renderer, denial, caller, request);
        self.renderer.render(denial, media)
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

/// Responses to keys in a header of their own are not protected from shared caches as those to
/// `Authorization` are (RFC 9111 section 3.5): name both.
fn vary_by_credential(policy: &CredentialPolicy) -> HeaderValue {
    let names = [AUTHORIZATION.as_str(), policy.key_header.as_str()].into_iter();
    let tokens = policy.token_headers.iter().map(HeaderName::as_str);
    let names: Vec<&str> = names.chain(tokens).collect();
    // INVARIANT: names of headers are valid in a header.
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("buckets", &self.voice.buckets).finish_non_exhaustive()
    }
}

impl Lasting {
    /// Tells the metrics how many buckets, snapshots and revocations there are; `listed` are those of the
    /// policy in force.
    pub(super) fn gauge(&self, listed: usize) {
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

impl fmt::Debug for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lasting").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_varies_by_every_header_that_may_hold_a_credential() {
        let names = |header: &str, tokens: &[&'static str]| {
            let policy = CredentialPolicy {
                key_header: header.parse().unwrap(),
                token_headers: tokens.iter().map(|name| HeaderName::from_static(name)).collect(),
                ..CredentialPolicy::default()
            };
            vary_by_credential(&policy).to_str().unwrap().to_owned()
        };
        assert_eq!(names("x-api-key", &[]), "authorization, x-api-key");
        assert_eq!(names("x-key", &["x-token"]), "authorization, x-key, x-token");
    }
}
