//! What a reload replaces, whole: a policy in force, and what is made of it.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use http::header::{HeaderName, HeaderValue};

use super::observe::{Observer, Request};
use crate::ask::Ask;
use crate::decision::{Caller, Decision, Judge, Trace};
use crate::denial::{Denial, Media, Registry, Renderer};
use crate::limit::{Failures, MemoryStore};
use crate::policy::{Fault, Policy};
use crate::time::Clock;
use crate::verify::TokenCache;

/// A policy in force. A request ends with the one that it began with.
pub(crate) struct Snapshot {
    pub(crate) policy: Policy,
    pub(crate) warnings: Arc<[Fault]>,
    pub(crate) voice: Arc<Voice>,
    tokens: TokenCache,
    failures: Option<Failures>,
}

/// How a policy is answered by: what an admission keeps of its snapshot, so that an open stream
/// keeps neither the keys nor the rules of a policy that was replaced.
pub(crate) struct Voice {
    pub(crate) renderer: Renderer,
    /// Which headers of a request decide about its response.
    pub(super) vary: HeaderValue,
    pub(super) store: MemoryStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<Observer>,
}

impl Snapshot {
    pub(crate) fn new(
        policy: Policy,
        registry: Registry,
        clock: Arc<dyn Clock>,
        observer: Arc<Observer>,
        warnings: Vec<Fault>,
    ) -> Self {
        let (store, failures) =
            MemoryStore::of(&policy.limits, policy.failures, policy.max_buckets);
        let tokens =
            TokenCache::new(if policy.issuers.is_empty() { 0 } else { policy.token_cache });
        let voice = Voice {
            renderer: Renderer::new(&policy, registry),
            vary: vary_by_credential(&policy.credential.key_header),
            store,
            clock,
            observer,
        };
        Self { policy, warnings: warnings.into(), voice: Arc::new(voice), tokens, failures }
    }

    /// Decides about a request. Nobody is told of it.
    pub(crate) fn decide(&self, ask: &Ask<'_>, trace: &mut impl Trace) -> Decision {
        let judge = Judge {
            policy: &self.policy,
            tokens: &self.tokens,
            store: &self.voice.store,
            failures: self.failures.as_ref(),
        };
        judge.decide(ask, trace)
    }
}

impl Voice {
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

/// Responses to keys in a header of their own are not protected from shared caches as those to
/// `Authorization` are (RFC 9111 section 3.5): name both.
fn vary_by_credential(key_header: &HeaderName) -> HeaderValue {
    match key_header.as_str() {
        "x-api-key" => HeaderValue::from_static("authorization, x-api-key"),
        name => HeaderValue::try_from(format!("authorization, {name}"))
            .unwrap_or(HeaderValue::from_static("*")),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("store", &self.voice.store).finish_non_exhaustive()
    }
}
