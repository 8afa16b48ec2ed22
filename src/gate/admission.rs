//! What an admitted request carries to its handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::header::VARY;
use http::{Method, Response};

use super::ends::Ends;
use super::log_line::Request;
use super::voice::Voice;
use crate::credential::CredentialError;
use crate::decision::{Caller, Refused};
use crate::denial::{Category, Denial, Media, Reason};
use crate::limit::{Balance, Charges, Settle};
use crate::policy::Rule;
use crate::principal::Principal;
use crate::time::Wall;

/// An admitted request: the rule that admitted it, and the balance of its limits.
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
pub struct Admission(pub(super) Arc<Passage>);

pub(super) struct Passage {
    pub(super) voice: Arc<Voice>,
    pub(super) rule: Arc<Rule>,
    pub(super) method: Method,
    request_id: Option<String>,
    /// The form in which the client would rather have a denial.
    media: Media,
    pub(super) caller: Caller,
    charges: Charges,
    /// Whether more was taken after the request was admitted.
    charged_late: AtomicBool,
    /// What a rule in shadow mode would have answered.
    shadow: Option<Denial>,
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage")
            .field("rule", &self.rule.name)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// The balance of a limit for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitBalance<'a> {
    /// The limit's name in the policy.
    pub limit: &'a str,
    /// Whole tokens left in the client's bucket.
    pub remaining: u32,
    /// What its tokens are, as the policy's `unit` says: `requests` where it says nothing.
    pub unit: &'a str,
    /// Whether clients are told of this limit. One with `published = false` is for the server's own
    /// eyes: keep it out of responses.
    pub published: bool,
}

impl Admission {
    #[inline]
    pub(super) fn new(
        voice: Arc<Voice>,
        rule: Arc<Rule>,
        request: Request<'_>,
        media: Media,
        caller: Caller,
        charges: Charges,
        shadow: Option<Denial>,
    ) -> Self {
        Self(Arc::new(Passage {
            voice,
            rule,
            method: request.method.clone(),
            request_id: request.id,
            media,
            caller,
            charges,
            charged_late: AtomicBool::new(false),
            shadow,
        }))
    }

    /// The name of the rule that admitted the request.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.0.rule.name
    }

    /// The limits of the rule, with their balance as it is now: on a connection that stays open,
    /// it changes.
    pub fn limits(&self) -> impl Iterator<Item = LimitBalance<'_>> {
        let limits = self.0.voice.renderer.rate_limit();
        self.balance_now().into_iter().map(move |(charge, standing)| LimitBalance {
            limit: limits.name(charge.limit),
            remaining: standing.remaining,
            unit: limits.unit(charge.limit),
            published: limits.publishes(charge.limit),
        })
    }

    /// The code that a rule in shadow mode would have denied the request with.
    pub fn shadow(&self) -> Option<&str> {
        self.0.shadow.as_ref().map(Denial::code)
    }

    /// Takes `tokens` more from every limit of the rule, for work whose cost is known only when it
    /// is done: bytes sent, rows read, tokens of a language model.
    ///
    /// The work is done, so this never fails: where a bucket holds less, it is left in debt,
    /// and the client waits until the debt is refilled. If it is called before the response
    /// is returned, the RateLimit fields include it. 0 takes nothing.
    ///
    /// Where the limits of the rule have different costs their tokens are different things, and one
    /// number for all of them is probably not meant: the log says so once for each rule. Use
    /// [`charge_to`](Self::charge_to) there.
    pub fn charge(&self, tokens: u32) {
        let Passage { voice, rule, charges, .. } = &*self.0;
        let limits = rule.limits_of(self.principal());
        let first = limits.first().map(|limit| limit.cost);
        if limits.iter().any(|limit| Some(limit.cost) != first) {
            voice.observer.charged_unlike_limits(rule);
        }
        self.owe(charges.late(None, tokens), tokens);
    }

    /// Takes `tokens` more from one limit of the rule, as [`charge`](Self::charge) does from all:
    /// where a limit counts what is known only after the work.
    ///
    /// ```
    /// use tollgate::Admission;
    ///
    /// async fn complete(admission: Admission, prompt: String) -> String {
    ///     let (answer, tokens_used) = (prompt, 420);
    ///     admission.charge_to("tokens", tokens_used);
    ///     answer
    /// }
    /// # let _: axum::Router = axum::Router::new().route("/complete", axum::routing::post(complete));
    /// ```
    ///
    /// A client that the limit's `exempt` spares is not charged, nor is one that other limits of the rule
    /// count (`anonymous_limits`). A limit that the rule does not have
    /// is charged nothing, and the log says so, as an error.
    pub fn charge_to(&self, limit: &str, tokens: u32) {
        let Passage { voice, rule, charges, .. } = &*self.0;
        let name = |index: u32| voice.renderer.rate_limit().name(index);
        // Lossless: a policy does not hold as many limits as would not fit.
        let limits = rule.limits.iter().chain(rule.anonymous_limits.iter().flatten());
        let mut indices = limits.map(|of| of.limit as u32);
        match indices.find(|index| name(*index) == limit) {
            Some(index) => self.owe(charges.late(Some(index), tokens), tokens),
            None => voice.observer.charged_to_unknown(rule, limit),
        }
    }

    fn owe(&self, mut charges: Charges, tokens: u32) {
        if tokens == 0 {
            return;
        }
        self.0.voice.settle(&mut charges, Settle::Owe);
        self.0.charged_late.store(true, Ordering::Release);
    }

    /// Who called; `None` where the request was let in without a credential, and on public rules.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.caller.principal.as_ref()
    }

    pub(super) fn ends(&self) -> &Arc<Ends> {
        &self.0.voice.ends
    }

    /// Whether the body of the response ends with the credential.
    pub(super) fn ends_body(&self) -> bool {
        self.0.voice.ends_bodies && self.principal().is_some()
    }

    /// The credential has ended: what a new request would be answered. It is observed.
    pub(super) fn has_ended(&self, refused: Refused, now: Wall) -> Denial {
        let Passage { voice, rule, caller, .. } = &*self.0;
        let denial = Denial::of(refused, Some(rule.clone()), caller, now);
        voice.observer.ended(&denial, rule, caller);
        denial
    }

    /// Adds to a denial of the handler what is known of the request: its rule and its caller.
    pub(super) fn place(&self, mut denial: Denial) -> Denial {
        let Passage { voice, rule, caller, .. } = &*self.0;
        let draft = denial.draft_mut();
        if draft.rule.is_none() {
            draft.rule = Some(rule.clone());
            draft.principal.clone_from(&caller.principal);
            draft.kind = caller.principal.as_ref().map(Principal::credential);
            draft.now = voice.clock.wall();
        }
        denial
    }

    /// Answers with a denial of the handler, as the gate answers with its own.
    pub(super) fn deny(&self, denial: Denial) -> Response<Body> {
        let mut denial = self.place(denial);
        let Passage { voice, caller, charges, charged_late, .. } = &*self.0;
        if denial.draft().own.counts_as_failure
            && let Some(address) = caller.address
        {
            voice.charge_failure(address.counted());
        }
        // What is our own fault costs the client nothing; a code that nobody declared is one.
        let code = voice.renderer.code(denial.draft());
        if code.is_none_or(|code| code.category == Category::Server) {
            voice.settle(&mut charges.clone(), Settle::GiveBack);
            charged_late.store(true, Ordering::Release);
        }
        denial.draft_mut().balance = self.balance();
        self.0.voice.deny(denial.draft(), &self.0.caller, &self.request(), self.0.media)
    }

    /// The balance when the request was admitted, with what was charged late.
    fn balance(&self) -> Balance {
        match self.0.charged_late.load(Ordering::Acquire) {
            true => self.balance_now(),
            false => self.0.voice.buckets.balance(&self.0.charges),
        }
    }

    fn balance_now(&self) -> Balance {
        let Passage { voice, charges, .. } = &*self.0;
        let mut charges = charges.clone();
        voice.settle(&mut charges, Settle::Look);
        voice.buckets.balance(&charges)
    }

    /// What the log says of the request.
    pub(super) fn request(&self) -> Request<'_> {
        Request { method: &self.0.method, path: &self.0.rule.path, id: self.0.request_id.clone() }
    }

    /// Why there is no principal, where the rule asks for one and lets all pass.
    pub(super) fn shadow_denial(&self) -> Option<&Denial> {
        self.0.shadow.as_ref()
    }

    fn is_public(&self) -> bool {
        self.0.rule.demands().is_none()
    }

    /// Completes the handler's response: RateLimit fields, and which headers it depends on.
    pub(super) fn complete(&self, response: &mut Response<Body>) {
        let voice = &self.0.voice;
        let headers = response.headers_mut();
        let rate_limit = voice.renderer.rate_limit();
        if rate_limit.writes_fields() {
            rate_limit.write(&self.balance(), headers);
        }
        if !self.is_public() {
            headers.append(VARY, voice.vary.clone());
        }
    }
}

/// A CORS preflight that passed the gate unjudged: what extractors find in place of an admission.
#[derive(Clone, Debug)]
pub(super) struct PassedPreflight {
    /// Of nobody, with nothing taken.
    admission: Admission,
}

impl PassedPreflight {
    /// `rule` covers the request that the preflight asks for.
    pub(super) fn new(
        voice: Arc<Voice>,
        rule: Arc<Rule>,
        request: Request<'_>,
        media: Media,
    ) -> Self {
        let (caller, charges) = Default::default();
        Self { admission: Admission::new(voice, rule, request, media, caller, charges, None) }
    }

    /// What a handler learns that is reached nevertheless, because no CORS layer answered before it:
    /// on a public rule that nobody is known and nothing was taken. On others the credential is
    /// missing, since a preflight has none.
    pub(super) fn admission(&self) -> Result<&Admission, Denial> {
        if self.admission.is_public() {
            return Ok(&self.admission);
        }
        let missing = Reason::Refused(CredentialError::Missing.into());
        Err(self.admission.place(Denial::because_of(missing)).because(
            "a CORS preflight passed unjudged (`[cors] preflights = \"pass\"`), and reached a handler \
             that asks for its caller: no CORS layer inside of the gate answered it",
        ))
    }

    pub(super) fn deny(&self, denial: Denial) -> Response<Body> {
        self.admission.deny(denial)
    }
}
