//! What the operator is told of decisions: a line in the log for each denial ([`log_line`](super::log_line)), counters
//! ([`counters`]), fields of the current span, and what is wrong with the way the gate is mounted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashSet;
use http::{HeaderMap, HeaderName};
use metrics::counter;
use tracing::{Span, field};

use super::counters;
use super::log_line::{Request, bounded, is_heard, log};
use crate::ask::Ask;
use crate::decision::{Caller, Decision, Outcome, Step};
use crate::denial::{Code, Denial, Draft, Reason, Renderer};
use crate::policy::{Counters, Mode, Rule};
use crate::principal::Principal;

/// Tells the log and the counters. It lives as long as the process does.
#[derive(Debug)]
pub(crate) struct Observer {
    /// The header in which another layer puts the id of the request.
    request_id: HeaderName,
    missing_peer: Once,
    preflight: Once,
    forwarded: Once,
    /// Codes that were not registered, each of which is said once.
    unregistered: DashSet<&'static str>,
    /// Rules whose handlers charge their limits in an odd way, each of which is said once.
    odd_charges: DashSet<Arc<str>>,
    /// Of the requests that no rule covers.
    unruled: Counters,
}

/// Something that is said once.
#[derive(Debug, Default)]
struct Once(AtomicBool);

impl Once {
    fn is_first(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    fn was_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Observer {
    pub(crate) fn new(request_id: HeaderName) -> Self {
        counters::describe();
        let (missing_peer, preflight, forwarded, unruled) = Default::default();
        let (unregistered, odd_charges) = Default::default();
        Self { request_id, missing_peer, preflight, forwarded, unregistered, odd_charges, unruled }
    }

    /// The id of a request, where another layer gave it one and somebody reads the log.
    #[inline]
    pub(super) fn request_id(&self, headers: &HeaderMap) -> Option<String> {
        if is_heard() { self.find_request_id(headers) } else { None }
    }

    #[inline(never)]
    fn find_request_id(&self, headers: &HeaderMap) -> Option<String> {
        let id = headers.get(&self.request_id)?.to_str().ok()?;
        Some(bounded(id))
    }

    #[inline]
    pub(super) fn request<'r>(&self, ask: &Ask<'r>) -> Request<'r> {
        Request { method: ask.method, path: ask.path, id: self.request_id(ask.headers) }
    }

    /// Whether the log is to have each step of a decision: at the level `trace`.
    pub(super) fn wants_steps(&self) -> bool {
        tracing::enabled!(target: "tollgate", tracing::Level::TRACE)
    }

    pub(super) fn steps(&self, steps: &[Step]) {
        for step in steps {
            tracing::trace!(target: "tollgate", "{step}");
        }
    }

    /// What every decision is observed for.
    #[inline]
    pub(super) fn decided(&self, decision: &Decision) {
        let rule = decision.rule();
        let is_judged = !matches!(decision.outcome, Outcome::Preflight(_));
        if is_judged && rule.is_some() && decision.caller.address.is_none() {
            self.peer_is_missing();
        }
        if is_heard() {
            record(rule, decision.caller.principal.as_ref());
        }
    }

    #[cold]
    fn peer_is_missing(&self) {
        if self.missing_peer.is_first() {
            tracing::error!(
                target: "tollgate",
                "the address of the peer is not known: serve the app with \
                 `into_make_service_with_connect_info::<SocketAddr>()`. Until then rules that need \
                 the address answer `decision_failed`, and failed attempts are not counted"
            );
        }
    }

    /// A request was admitted.
    pub(super) fn admitted(&self, rule: &Rule) {
        rule.counters.admitted(|| counters::admitted(&rule.name)).increment(1);
    }

    /// A request was denied.
    pub(super) fn denied(
        &self,
        renderer: &Renderer,
        draft: &Draft,
        caller: &Caller,
        request: &Request<'_>,
    ) {
        self.count(draft, Mode::Enforce);
        self.say_unregistered(renderer, draft);
        if is_heard() {
            Span::current().record("instance", field::display(draft.instance.urn()));
            log(renderer, draft, caller, request, Mode::Enforce);
        }
    }

    /// A rule in shadow mode would have denied a request.
    pub(super) fn would_deny(
        &self,
        renderer: &Renderer,
        draft: &Draft,
        caller: &Caller,
        request: &Request<'_>,
    ) {
        self.count(draft, Mode::Shadow);
        if is_heard() {
            log(renderer, draft, caller, request, Mode::Shadow);
        }
    }

    /// The credential of a stream that is open has ended.
    pub(super) fn ended(&self, denial: &Denial, rule: &Rule, caller: &Caller) {
        counter!("tollgate_ended_total", "code" => denial.code().to_owned()).increment(1);
        let principal = caller.principal.as_ref();
        tracing::info!(
            target: "tollgate",
            code = denial.code(),
            rule = &*rule.name,
            client = principal.map(Principal::client),
            key_id = principal.and_then(Principal::key_id),
            issuer = principal.and_then(Principal::issuer),
            instance = %denial.draft().instance.urn(),
            "the credential of an open stream has ended"
        );
    }

    /// A CORS preflight was denied, which no browser can help.
    pub(super) fn preflight_denied(&self) {
        if self.preflight.is_first() {
            tracing::error!(
                target: "tollgate",
                "a CORS preflight was denied: put the CORS layer outside of the gate (after it, with \
                 `Router::layer`), where it answers preflights; if it has to be inside, write \
                 `[cors] preflights = \"pass\"` in the policy. Further ones are not reported"
            );
        }
    }

    /// A request came by a proxy, and the policy reads the peer's address alone.
    #[cold]
    pub(super) fn forwarded_ignored(&self) {
        if self.forwarded.is_first() {
            tracing::error!(
                target: "tollgate",
                "requests carry headers of a proxy (`X-Forwarded-For`, `Forwarded` or the like), and \
                 `source = \"peer\"` reads none of them: every client behind that proxy counts as \
                 one address. If the proxy is yours, set `[address]` in the policy: `source` to the \
                 header it sends, and `trusted` to its addresses. If the server is reached directly, \
                 clients send these headers themselves, and nothing needs to change"
            );
        }
    }

    /// Whether a request came by a proxy while the peer's address alone was read.
    pub(super) fn has_ignored_forwarded(&self) -> bool {
        self.forwarded.was_said()
    }

    /// A handler charges one number to limits whose tokens are different things.
    pub(super) fn charged_unlike_limits(&self, rule: &Rule) {
        if self.odd_charges.insert(rule.name.clone()) {
            tracing::error!(
                target: "tollgate", rule = &*rule.name,
                "a handler charges one number to limits that have different costs: use \
                 Admission::charge_to with the name of the limit that is meant"
            );
        }
    }

    /// A handler charges a limit that its rule does not have.
    pub(super) fn charged_to_unknown(&self, rule: &Rule, limit: &str) {
        if self.odd_charges.insert(rule.name.clone()) {
            tracing::error!(
                target: "tollgate", rule = &*rule.name, limit = %bounded(limit),
                "a handler charges a limit that its rule does not have: nothing was charged. Add it \
                 to `limits` of the rule"
            );
        }
    }

    fn count(&self, draft: &Draft, mode: Mode) {
        let rule = draft.rule.as_ref();
        let counters = rule.map_or(&self.unruled, |rule| &rule.counters);
        let make = || counters::denied(rule, draft.code(), mode);
        let kept = draft.known_code().and_then(|code| {
            let index = 2 * code as usize + usize::from(mode == Mode::Shadow);
            counters.denied(index, 2 * Code::COUNT, make)
        });
        match kept {
            Some(counter) => counter.increment(1),
            None => make().increment(1),
        }
    }

    fn say_unregistered(&self, renderer: &Renderer, draft: &Draft) {
        match &draft.reason {
            Reason::Code(row)
                if renderer.registry.find(row.code).is_none()
                    && self.unregistered.insert(row.code) =>
            {
                tracing::error!(
                    target: "tollgate", code = row.code,
                    "a handler answers with a code that is not registered: add it with \
                     TollgateBuilder::code, so that pages and documents have it"
                );
            }
            Reason::Named(name) if renderer.registry.find(name).is_none() => tracing::error!(
                target: "tollgate", code = %bounded(name),
                instance = %draft.instance.urn(),
                "a handler answered with a code that the policy does not declare: add it as \
                 [[denial.code]]. The client gets `decision_failed`"
            ),
            _ => {}
        }
    }
}

/// Tells the span of the request what was decided.
fn record(rule: Option<&Arc<Rule>>, principal: Option<&Principal>) {
    let span = Span::current();
    if let Some(principal) = principal {
        span.record("client", principal.client());
    }
    if let Some(rule) = rule {
        span.record("rule", &*rule.name);
    }
}

/// An extractor of the gate ran where the gate did not.
pub(super) fn gate_did_not_run(denial: &Denial, extractor: &str) {
    tracing::error!(
        target: "tollgate",
        code = denial.code(),
        extractor,
        instance = %denial.draft().instance.urn(),
        "the gate did not run before this handler: add `.layer(gate.layer())` after its route"
    );
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn what_is_said_once_is_said_once() {
        let once = Once::default();
        assert_eq!([once.is_first(), once.is_first(), once.is_first()], [true, false, false]);
    }

    #[test]
    fn a_request_id_is_of_the_header_that_was_named() {
        // Somebody has to read the log.
        let _reads = tracing::subscriber::set_default(Reader);
        tracing::callsite::rebuild_interest_cache();
        let observer = Observer::new(HeaderName::from_static("x-trace"));
        let id = |name: &'static str, value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(name, http::HeaderValue::from_bytes(value).unwrap());
            observer.request_id(&headers)
        };
        assert_eq!(id("x-trace", b"abc").as_deref(), Some("abc"));
        assert_eq!(id("x-trace", b"a\"b").as_deref(), Some("a\\\"b"), "escaped");
        assert_eq!(id("x-trace", b"\xff"), None, "not text");
        assert_eq!(id("x-request-id", b"abc"), None);
    }

    /// A subscriber that hears everything and writes nothing.
    struct Reader;

    impl tracing::Subscriber for Reader {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn max_level_hint(&self) -> Option<LevelFilter> {
            Some(LevelFilter::ERROR)
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
}
