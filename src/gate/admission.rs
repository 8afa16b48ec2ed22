//! What an admitted request carries to its handler.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, VARY};

use super::pipeline::{Caller, Gate};
use crate::credential::CredentialPolicy;
use crate::denial::{Denial, Scene};
use crate::limit::{Balance, Charges};
use crate::policy::{Rule, RuleId};
use crate::principal::Principal;

/// An admitted request: the rule that admitted it, and how its limits stand.
///
/// ```
/// use tollgate::Admission;
///
/// async fn summarize(admission: Admission, text: String) -> String {
///     let (summary, tokens_used) = (text[..text.len().min(10)].to_owned(), 128);
///     admission.charge(tokens_used); // known only now
///     summary
/// }
/// # let _: axum::Router = axum::Router::new().route("/summary", axum::routing::post(summarize));
/// ```
#[derive(Clone, Debug)]
pub struct Admission(Arc<Passage>);

#[derive(Debug)]
struct Passage {
    gate: Arc<Gate>,
    rule: RuleId,
    caller: Caller,
    charges: Charges,
    /// Whether more was taken after the request was admitted.
    charged_late: AtomicBool,
    /// What a rule in shadow mode would have answered.
    shadow: Option<Denial>,
}

/// How a limit stands for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitBalance<'a> {
    /// The limit's name in the policy.
    pub limit: &'a str,
    /// Whole tokens left in the client's bucket, after this request.
    pub remaining: u32,
}

impl Admission {
    pub(super) fn new(
        gate: &Arc<Gate>,
        rule: RuleId,
        caller: Caller,
        charges: Charges,
        shadow: Option<Denial>,
    ) -> Self {
        let charged_late = AtomicBool::new(false);
        let gate = gate.clone();
        Self(Arc::new(Passage { gate, rule, caller, charges, charged_late, shadow }))
    }

    /// The name of the rule that admitted the request.
    pub fn rule(&self) -> &str {
        &self.found_rule().name
    }

    /// The limits of the rule, as they stood when the request was admitted.
    pub fn limits(&self) -> impl Iterator<Item = LimitBalance<'_>> {
        let name = |limit| self.0.gate.renderer.rate_limit.name(limit);
        self.0.gate.balance(&self.0.charges).into_iter().map(move |(charge, standing)| {
            LimitBalance { limit: name(charge.limit), remaining: standing.remaining }
        })
    }

    /// The code that a rule in shadow mode would have denied the request with.
    pub fn shadow(&self) -> Option<&str> {
        self.0.shadow.as_ref().map(Denial::code)
    }

    /// Takes `tokens` more from every limit of the rule, for work whose cost shows only when it
    /// is done: bytes sent, rows read, tokens of a language model.
    ///
    /// The work is done, so this never fails: where a bucket holds less, it is left in debt,
    /// and the client waits until the debt is refilled. If it is called before the response
    /// is returned, the RateLimit fields tell of it. 0 takes nothing.
    pub fn charge(&self, tokens: u32) {
        let Some(cost) = NonZeroU32::new(tokens) else { return };
        self.0.gate.charge(&self.0.charges, cost);
        self.0.charged_late.store(true, Ordering::Release);
    }

    /// Who called; `None` where the request was let in without a credential, and on public rules.
    pub fn principal(&self) -> Option<&Principal> {
        self.0.caller.principal.as_ref()
    }

    /// A denial of the handler, with what is known of the request: its rule, and the limits that
    /// were taken when it was admitted.
    pub(super) fn own(&self, denial: Denial) -> Denial {
        let is_placed = denial.draft().rule.is_some();
        let mut denial = if is_placed { denial } else { self.scene().place(denial) };
        denial.draft_mut().balance = self.balance();
        denial
    }

    /// How the limits stand, with what was charged late.
    fn balance(&self) -> Balance {
        let Passage { gate, charges, charged_late, .. } = &*self.0;
        if charged_late.load(Ordering::Acquire) {
            gate.balance_now(charges)
        } else {
            gate.balance(charges)
        }
    }

    fn found_rule(&self) -> &Arc<Rule> {
        &self.0.gate.policy.rules[self.0.rule]
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.0.caller
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    /// Why there is no principal, where the rule asks for one and lets all pass.
    pub(super) fn shadow_denial(&self) -> Option<&Denial> {
        self.0.shadow.as_ref()
    }

    pub(super) fn is_public(&self) -> bool {
        self.found_rule().demands().is_none()
    }

    pub(super) fn scene(&self) -> Scene<'_> {
        Scene { policy: &self.0.gate.policy, rule: self.found_rule() }
    }

    /// Completes the handler's response: RateLimit fields, and which headers it depends on.
    pub(super) fn complete<B>(&self, response: &mut Response<B>) {
        let passage = &self.0;
        let headers = response.headers_mut();
        let rate_limit = &passage.gate.renderer.rate_limit;
        if rate_limit.writes_fields() {
            rate_limit.write(&self.balance(), headers);
        }
        if !self.is_public() {
            headers.append(VARY, passage.gate.vary.clone());
        }
    }
}

/// Responses to keys in a header of their own are not protected from shared caches as those to
/// `Authorization` are (RFC 9111 section 3.5): name both.
pub(super) fn vary_by_credential(policy: &CredentialPolicy) -> HeaderValue {
    let (key, tokens) = (&policy.key_header, &policy.token_headers);
    let names = [AUTHORIZATION]
        .iter()
        .chain([key])
        .chain(tokens)
        .map(HeaderName::as_str)
        .collect::<Vec<_>>();
    // INVARIANT: names of headers are valid in a header.
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}
