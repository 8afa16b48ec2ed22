//! What the operator reads: one line in the log for each denial, under the same `instance`, and
//! counters.
//!
//! Here stands the true code and its cause, whatever the client is shown. Nothing that the
//! client sent is written, but for names that were proven.

use super::count;
use super::pipeline::Caller;
use crate::denial::{Denial, Renderer};
use crate::policy::{Mode, Rule};

/// A request was denied.
pub(super) fn denied(renderer: &Renderer, denial: &Denial, caller: &Caller) {
    count::denied(denial, Mode::Enforce);
    let draft = denial.draft();
    let shown = renderer.shown(denial);
    let principal = caller.principal.as_ref();
    // One macro for each level: tracing wants it at compile time.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                target: "tollgate",
                code = denial.code(),
                shown = shown.code(),
                rule = draft.rule.as_ref().map(|rule| &*rule.name),
                client = principal.map(|principal| principal.client()),
                key_id = principal.and_then(|principal| principal.key_id()),
                issuer = principal.and_then(|principal| principal.issuer()),
                address = caller.address.map(|address| tracing::field::display(address.counted())),
                cause = (!draft.cause.is_empty()).then_some(&*draft.cause),
                instance = %draft.instance.urn(),
                "denied"
            )
        };
    }
    if denial.category() == Some(crate::denial::Category::Server) {
        log!(error);
    } else {
        log!(info);
    }
}

/// A request was admitted.
pub(super) fn admitted(rule: &Rule) {
    count::admitted(&rule.name);
}

/// A rule in shadow mode would have denied a request.
pub(super) fn would_deny(denial: &Denial, caller: &Caller) {
    count::denied(denial, Mode::Shadow);
    let draft = denial.draft();
    let principal = caller.principal.as_ref();
    tracing::info!(
        target: "tollgate",
        code = denial.code(),
        rule = draft.rule.as_ref().map(|rule| &*rule.name),
        client = principal.map(|principal| principal.client()),
        key_id = principal.and_then(|principal| principal.key_id()),
        address = caller.address.map(|address| tracing::field::display(address.counted())),
        cause = (!draft.cause.is_empty()).then_some(&*draft.cause),
        instance = %draft.instance.urn(),
        "would be denied, but the rule is in shadow mode"
    );
}

/// The server does not tell the peer's address.
pub(super) fn missing_peer() {
    tracing::error!(
        target: "tollgate",
        "the address of the peer is not known: serve the app with \
         `into_make_service_with_connect_info::<SocketAddr>()`. Until then rules that need the \
         address answer `decision_failed`, and failed attempts are not counted"
    );
}

/// A request came by a proxy, and the policy reads the peer's address alone.
pub(super) fn unread_forwarded() {
    tracing::error!(
        target: "tollgate",
        "requests carry headers of a proxy (`X-Forwarded-For`, `Forwarded` or the like), and \
         `source = \"peer\"` reads none of them: every client behind that proxy counts as one \
         address. If the proxy is yours, set `[address]` in the policy: `source` to the header it \
         sends, and `trusted` to its addresses. If the server is reached directly, clients send \
         these headers themselves, and nothing needs to change"
    );
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
