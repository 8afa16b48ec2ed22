//! Writes a denial: status, headers and the document of RFC 9457.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use uuid::fmt::Urn;

use super::accepted::{Accepted, quoted};
use super::catalogue::Code;
use super::cause::{Facts, Known};
use super::code::{Action, Actor};
use super::code::{Challenge, DenialCode};
use super::document::{Denial, Draft, Fact, seconds_of};
use super::form::{Composed, FormKey, Forms, Shape, Values};
use super::json::Json;
use super::media::Media;
use super::rate_limit::{RateLimitWriter, decimal};
use super::registry::Registry;
use super::template::Text;
use super::written::{Hole, Written};
use crate::credential::{CredentialPolicy, Kinds};
use crate::policy::{DenialPolicy, Disclosure, Policy, StatusMode};

/// The scopes of a challenge are cut at this length: a header that is too long is lost as a whole.
const MAX_CHALLENGE: usize = 1700;

/// `error_description` is cut at this length.
const MAX_DESCRIPTION: usize = 200;

/// Members that only `disclosure = "detailed"` shows.
const DETAILED: &[&str] = &["granted_scopes", "allowed_addresses", "rule"];

/// The wait in milliseconds, and whether a client should send the request again by itself: headers
/// that generated SDKs read.
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// SDKs wait as long by themselves, in milliseconds.
const PATIENCE: u64 = 60_000;

/// Whether the handbook is served by the application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served(Arc<AtomicBool>);

impl Served {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes denials as a policy says.
#[derive(Debug)]
pub(crate) struct Renderer {
    policy: DenialPolicy,
    pub(crate) registry: Registry,
    pub(crate) rate_limit: RateLimitWriter,
    known: Known,
    /// What comes before the code in `type`.
    docs: Box<str>,
    /// Whether the handbook is there too, where `docs` does not say where it is.
    served: Served,
    /// By the kinds that are accepted, in the order of [`Kinds::ALL`].
    accepted: [Accepted; 4],
    forms: Forms,
}

impl Renderer {
    pub(crate) fn new(policy: &Policy, registry: Registry, served: Served) -> Self {
        let rate_limit = RateLimitWriter::new(policy.denial.ratelimit_headers, &policy.limits);
        let known = Known::of(policy);
        let renderer =
            Self::with(policy.denial.clone(), registry, rate_limit, known, &policy.credential);
        Self { served, ..renderer }
    }

    /// For denials that no gate sees: as a policy without `[denial]` says.
    pub(crate) fn without_gate() -> Self {
        let policy = DenialPolicy::default();
        let rate_limit = RateLimitWriter::new(policy.ratelimit_headers, &[]);
        let credentials = CredentialPolicy::default();
        Self::with(policy, Registry::default(), rate_limit, Known::nothing(), &credentials)
    }

    fn with(
        policy: DenialPolicy,
        registry: Registry,
        rate_limit: RateLimitWriter,
        known: Known,
        credentials: &CredentialPolicy,
    ) -> Self {
        let docs = format!("{}/", policy.docs.as_deref().unwrap_or("/errors")).into();
        let accepted = Kinds::ALL.map(|kinds| Accepted::of(kinds, credentials, &policy.realm));
        let (served, forms) = Default::default();
        Self { policy, registry, rate_limit, known, docs, served, accepted, forms }
    }

    /// Writes a denial out. One with a code that the policy does not declare is `decision_failed`.
    pub(crate) fn render(&self, denial: &Denial, media: Media) -> Response<Body> {
        let Some(code) = self.code(denial.draft()) else {
            return self.write(&denial.unregistered(), Code::DecisionFailed.row(), media);
        };
        self.write(denial, code, media)
    }

    /// The code of a denial; `None` where the policy does not declare it.
    pub(crate) fn code<'s>(&'s self, draft: &Draft) -> Option<&'s DenialCode> {
        match draft.reason.row() {
            Ok(row) => Some(row),
            Err(name) => self.registry.find(name),
        }
    }

    /// The code that a client sees for this denial, at the policy's disclosure.
    pub(crate) fn shown(&self, denial: &Denial) -> &DenialCode {
        let code = self.code(denial.draft()).unwrap_or(Code::DecisionFailed.row());
        if self.is_minimal() { code.group() } else { code }
    }

    fn is_minimal(&self) -> bool {
        self.policy.disclosure == Disclosure::Minimal
    }

    fn write(&self, denial: &Denial, code: &DenialCode, media: Media) -> Response<Body> {
        let draft = denial.draft();
        if media == Media::Document
            && let Some(response) = self.fill(draft, code)
        {
            return response;
        }
        let composed = self.compose(draft, code);
        match media {
            Media::Document => composed.into_response(),
            media => composed.in_media(media).into_response(),
        }
    }

    /// The response by the form that others of its kind have; `None` where it has none.
    pub(super) fn fill(&self, draft: &Draft, code: &DenialCode) -> Option<Response<Body>> {
        if self.policy.disclosure == Disclosure::Detailed {
            return None;
        }
        let minimal = self.is_minimal().then_some(code.group);
        let shape = Shape::of(draft, &self.known, minimal)?;
        let compose = |sample: &Denial| {
            let code = self.code(sample.draft()).unwrap_or(code);
            self.compose(sample.draft(), code)
        };
        let (helps, mode) = (self.help(draft, code).is_some(), self.mode(draft));
        let key = FormKey { shape, helps, mode };
        let form = self.forms.get(key, draft.rule.as_ref(), &self.known, compose)?;
        let mut buffer = [0; Urn::LENGTH];
        let instance = draft.instance.urn().encode_lower(&mut buffer);
        let is_retryable = form.is_retryable();
        Some(form.fill(&Changing { renderer: self, draft, instance, is_retryable }))
    }

    /// The rule whose entry in the handbook helps with a denial.
    fn help<'d>(&self, draft: &'d Draft, code: &DenialCode) -> Option<&'d str> {
        let is_there = self.policy.docs.is_some() || self.served.get();
        let is_told = is_there && !self.is_minimal() && code.code != "method_not_allowed";
        let rule = draft.rule.as_ref().filter(|rule| is_told && rule.listed)?;
        Some(&rule.name)
    }

    /// Writes the document member by member.
    pub(super) fn compose(&self, draft: &Draft, code: &DenialCode) -> Composed {
        let minimal = self.is_minimal();
        let shown = if minimal { code.group() } else { code };
        let mut facts = self.known.explain(draft);
        // Why it was denied with this code is the gate's to say; what a handler adds comes first.
        facts.wait = draft.own.wait.or(facts.wait);
        if draft.own.wait.is_some() {
            facts.retryable = Some(true);
            facts.action = Some((Action::Wait, Actor::Client));
        }
        facts.members.extend(draft.own.members.iter().cloned());
        if minimal {
            // A wait would tell an address that fails from one that is merely unknown.
            let wait = facts.wait.filter(|_| shown.retryable);
            facts = Facts { wait, ..Facts::default() };
        }
        let mut buffer = [0; Urn::LENGTH];
        let instance: &str = draft.instance.urn().encode_lower(&mut buffer);
        let accepted = self.accepted(self.known.accepted(draft));
        let status = status_of(shown, self.mode(draft));
        let document =
            Document { renderer: self, draft, facts, shown, accepted, status, instance, minimal };
        document.compose()
    }

    #[cfg(test)]
    pub(super) fn forms_kept(&self) -> usize {
        self.forms.len()
    }

    /// The mode of the rule that refused; where none covers the request, the policy's.
    fn mode(&self, draft: &Draft) -> StatusMode {
        draft.rule.as_ref().map_or(self.policy.status, |rule| rule.status_mode(&self.policy))
    }

    fn accepted(&self, kinds: Option<Kinds>) -> Option<&Accepted> {
        kinds.map(|kinds| &self.accepted[kinds as usize])
    }

    /// What the log says of a denial beside its code: `detail`, the members as JSON, and the cause.
    pub(crate) fn evidence(&self, denial: &Denial) -> Evidence {
        let draft = denial.draft();
        let code = self.code(draft).unwrap_or(Code::DecisionFailed.row());
        let mut facts = self.known.explain(draft);
        facts.members.extend(draft.own.members.iter().cloned());
        let cause = match facts.cause.is_empty() {
            true => draft.own.cause.clone().into_owned(),
            false => std::mem::take(&mut facts.cause).into_owned(),
        };
        let accepted = self.accepted(self.known.accepted(draft));
        let document = Document {
            renderer: self,
            draft,
            facts,
            shown: code,
            accepted,
            status: StatusCode::FORBIDDEN,
            instance: "",
            minimal: false,
        };
        let mut members = Json::open();
        if let Some(seconds) = document.facts.wait.map(seconds_of) {
            members.raw("retry_after", itoa::Buffer::new().format(seconds));
        }
        for (name, fact) in &document.facts.members {
            members.fact(name, |json| document.write(fact, json));
        }
        let mut detail = Json::open();
        document.write_detail(&mut detail);
        let text = |written: Written| String::from_utf8(written.bytes).unwrap_or_default();
        let detail = serde_json::from_str::<serde_json::Value>(&text(detail.close()));
        let detail = detail.ok().and_then(|detail| Some(detail["detail"].as_str()?.to_owned()));
        Evidence { detail: detail.unwrap_or_default(), members: text(members.close()), cause }
    }
}

/// The status of a code in this mode.
fn status_of(code: &DenialCode, mode: StatusMode) -> StatusCode {
    // A code that was not registered was not checked either.
    StatusCode::from_u16(code.status_in(mode))
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::FORBIDDEN)
}

/// What the log says of a denial beside its code.
pub(crate) struct Evidence {
    pub(crate) detail: String,
    /// The members of this code, as JSON.
    pub(crate) members: String,
    pub(crate) cause: String,
}

/// A denial on its way to JSON.
struct Document<'d> {
    renderer: &'d Renderer,
    draft: &'d Draft,
    facts: Facts,
    shown: &'d DenialCode,
    accepted: Option<&'d Accepted>,
    status: StatusCode,
    instance: &'d str,
    minimal: bool,
}

impl Document<'_> {
    fn compose(&self) -> Composed {
        let written = self.to_json();
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        self.challenge(&written, &mut headers);
        if let Some(millis) = self.facts.wait {
            headers.insert(RETRY_AFTER, decimal(seconds_of(millis)));
            headers.insert(RETRY_AFTER_MS, decimal(millis));
        }
        headers.insert(SHOULD_RETRY, should_retry(self.is_retryable(), self.facts.wait));
        if !self.minimal {
            if let Some(allow) = &self.facts.allow {
                headers.insert(ALLOW, allow.clone());
            }
            self.renderer.rate_limit.write(self.draft.balance(), &mut headers);
        }
        Composed { status: self.status, headers, written }
    }

    /// Challenges, one for each field line, Bearer first (RFC 9110 section 11.6.1).
    fn challenge(&self, written: &Written, headers: &mut HeaderMap) {
        let mut add = |challenge| {
            headers.append(WWW_AUTHENTICATE, challenge);
        };
        let realm = &self.renderer.policy.realm;
        let scope = self.scope_of_challenge();
        let bearer = |error: &str| {
            let description = self.description(written);
            quoted(format!(
                "Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{description}\"{scope}"
            ))
        };
        match self.shown.challenge {
            Challenge::None => {}
            Challenge::Accepted => {
                let challenges = self.accepted.iter().flat_map(|accepted| &accepted.challenges);
                for challenge in challenges {
                    let text = challenge.to_str().unwrap_or_default();
                    match text.starts_with("Bearer ") && !scope.is_empty() {
                        true => add(quoted(format!("{text}{scope}"))),
                        false => add(challenge.clone()),
                    }
                }
            }
            Challenge::ApiKey => {
                let keys = &self.renderer.accepted[Kinds::ApiKey as usize].challenges;
                keys.last().cloned().into_iter().for_each(add);
            }
            Challenge::Bearer(error) => add(bearer(error)),
            Challenge::Scope if scope.is_empty() => {}
            Challenge::Scope => add(bearer("insufficient_scope")),
        }
    }

    /// The parameter of a challenge for tokens that says which scopes are needed (RFC 6750
    /// section 3), with a comma before it; empty where none is.
    fn scope_of_challenge(&self) -> String {
        let of_rule = || {
            let demands = self.draft.rule.as_ref().and_then(|rule| rule.demands());
            let demands = demands.filter(|demands| {
                self.shown.challenge.names_scopes() && demands.kinds.has_tokens()
            });
            demands.map(|demands| self.renderer.known.needed_scopes(demands))
        };
        let needed = self.facts.challenge_scopes.clone().or_else(of_rule).unwrap_or_default();
        let mut scopes = String::new();
        for scope in &needed {
            if scopes.len() + scope.as_str().len() > MAX_CHALLENGE {
                break;
            }
            scopes += if scopes.is_empty() { "" } else { " " };
            scopes += scope.as_str();
        }
        if scopes.is_empty() { scopes } else { format!(", scope=\"{scopes}\"") }
    }

    fn is_retryable(&self) -> bool {
        self.facts.retryable.unwrap_or(self.shown.retryable)
    }

    /// What happened, in the characters that `error_description` may have (RFC 6750 section 3):
    /// many clients read the header alone.
    fn description(&self, written: &Written) -> String {
        let detail = written.detail.clone().and_then(|span| written.bytes.get(span));
        let detail = detail.and_then(|json| serde_json::from_slice::<String>(json).ok());
        let text = detail.unwrap_or_else(|| self.shown.title.to_owned());
        let plain = |letter: char| match letter {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => letter,
            _ => '?',
        };
        text.chars().map(plain).take(MAX_DESCRIPTION).collect()
    }

    fn to_json(&self) -> Written {
        let (policy, shown) = (&self.renderer.policy, self.shown);
        let member = |name: &str, text: &mut Text<'_>| self.say(name, text);
        let remedy = self.facts.remedy.unwrap_or(shown.remedy);
        let (action, actor) = self.facts.action.unwrap_or((shown.action, shown.actor));

        let mut json = Json::open();
        json.text("type", |text| {
            text.push(&self.renderer.docs);
            text.push(shown.code);
        });
        json.text("title", |text| text.push(shown.title));
        json.raw("status", self.status.as_str());
        json.text("code", |text| text.push(shown.code));
        json.text("category", |text| text.push(shown.category.as_str()));
        if !self.minimal {
            self.write_detail(&mut json);
        }
        json.text("remedy", |text| text.fill(remedy, &member));
        json.text("action", |text| text.push(action.as_str()));
        json.text("actor", |text| text.push(actor.as_str()));
        if let Some(rule) = self.renderer.help(self.draft, shown) {
            json.text("help", |text| {
                text.push(&self.renderer.docs);
                text.push("handbook#");
                text.changing(Hole::Rule, &as_fragment(rule));
            });
        }
        if let Some(support) = &policy.support {
            json.text("support", |text| text.push(support));
        }
        json.raw("retryable", if self.is_retryable() { "true" } else { "false" });
        if let Some(seconds) = self.facts.wait.map(seconds_of) {
            json.changing("retry_after", Hole::RetryAfter, seconds);
        }
        json.text("instance", |text| text.changing(Hole::Instance, self.instance));
        if let Some(accepted) = self.named_as_accepted() {
            json.raw("accepted_credentials", &accepted.json);
        }
        for (name, fact) in self.members() {
            json.fact(name, |json| self.write(fact, json));
        }
        let rule = self.draft.rule.as_ref().filter(|_| policy.disclosure == Disclosure::Detailed);
        if let Some(rule) = rule {
            json.text("rule", |text| text.push(&rule.name));
        }
        json.close()
    }

    fn write_detail(&self, json: &mut Json) {
        let member = |name: &str, text: &mut Text<'_>| self.say(name, text);
        json.detail(|text| match (&self.draft.own.detail, self.facts.detail) {
            (Some(own), _) => text.push(own),
            (None, Some(template)) => text.fill(template, &member),
            (None, None) if self.shown.detail.is_empty() => text.push(self.shown.title),
            (None, None) => text.fill(self.shown.detail, &member),
        });
    }

    /// The members of this code that may be seen.
    fn members(&self) -> impl Iterator<Item = (&'static str, &Fact)> {
        let detailed = self.renderer.policy.disclosure == Disclosure::Detailed;
        let is_shown = move |name: &str| detailed || !DETAILED.contains(&name);
        let members = self.facts.members.iter();
        members.filter(move |(name, _)| is_shown(name)).map(|(name, fact)| (*name, fact))
    }

    /// The credentials that the document lists as accepted, if it lists them.
    fn named_as_accepted(&self) -> Option<&Accepted> {
        self.accepted.filter(|_| self.facts.names_accepted)
    }

    /// Writes the value of a member; whether there is any.
    fn write(&self, fact: &Fact, json: &mut Json) -> bool {
        match fact {
            Fact::Text(text) => json.quoted(|to| to.push(text)),
            Fact::Number(number) => json.bytes(itoa::Buffer::new().format(*number).as_bytes()),
            Fact::Changing(hole, text) => json.quoted(|to| to.changing(*hole, text)),
            Fact::Json { json: written, .. } => json.bytes(written.as_bytes()),
            Fact::Texts(texts) => {
                return json.items(texts.iter(), |text, json| json.quoted(|to| to.push(text)));
            }
            Fact::Items { items, .. } => {
                return json.items(items.iter(), |item, json| json.bytes(item.as_bytes()));
            }
            Fact::Limits => {
                return self.renderer.rate_limit.write_items(self.draft.balance(), json);
            }
        }
        true
    }

    /// Writes a member as it reads in a sentence; whether there is any.
    fn say(&self, name: &str, text: &mut Text<'_>) -> bool {
        match name {
            "retry_after" => self.facts.wait.map(seconds_of).is_some_and(|seconds| {
                text.changing(Hole::RetryAfter, itoa::Buffer::new().format(seconds));
                true
            }),
            "support" => self.renderer.policy.support.as_ref().is_some_and(|support| {
                text.push(support);
                true
            }),
            "instance" => {
                text.changing(Hole::Instance, self.instance);
                true
            }
            "accepted_credentials" => self.named_as_accepted().is_some_and(|accepted| {
                text.push(&accepted.text);
                true
            }),
            _ if self.facts.told.is_some_and(|(told, _)| told == name) => {
                self.facts.told.is_some_and(|(_, number)| {
                    text.number(number);
                    true
                })
            }
            _ => self.members().find(|(held, _)| *held == name).is_some_and(|(_, fact)| {
                match fact {
                    Fact::Changing(hole, held) => text.changing(*hole, held),
                    Fact::Text(held) => text.push(held),
                    Fact::Number(number) => text.number(*number),
                    Fact::Texts(texts) => text.list(texts.iter().map(String::as_str)),
                    Fact::Json { text: held, .. } | Fact::Items { text: held, .. } => {
                        text.push(held)
                    }
                    Fact::Limits => {
                        let balance = self.draft.balance();
                        self.renderer.rate_limit.say(balance, text, |text| self.say_address(text));
                    }
                }
                true
            }),
        }
    }
}

impl Document<'_> {
    /// The address, in brackets behind its name.
    fn say_address(&self, text: &mut Text<'_>) {
        if let Some((_, Fact::Changing(hole, address))) =
            self.members().find(|(name, _)| *name == "address")
        {
            text.push(" (");
            text.changing(*hole, address);
            text.push(")");
        }
    }
}

/// The name of a rule as the fragment of a URI (RFC 3986 section 3.5).
fn as_fragment(name: &str) -> Cow<'_, str> {
    let must_be_encoded =
        |c: char| matches!(c, '#' | '%' | '<' | '>' | '[' | ']' | '^' | '`' | '{' | '|' | '}');
    if !name.contains(must_be_encoded) {
        return name.into();
    }
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match must_be_encoded(c) {
            true => text += &format!("%{:02X}", u32::from(c)),
            false => text.push(c),
        }
    }
    text.into()
}

/// What `x-should-retry` says.
fn should_retry(is_retryable: bool, wait: Option<u64>) -> HeaderValue {
    let is_short = wait.is_some_and(|millis| millis <= PATIENCE);
    HeaderValue::from_static(if is_retryable && is_short { "true" } else { "false" })
}

/// What changes from one denial of a form to the next.
struct Changing<'d> {
    renderer: &'d Renderer,
    draft: &'d Draft,
    instance: &'d str,
    /// Whether the form says that the request may be repeated.
    is_retryable: bool,
}

impl Values for Changing<'_> {
    fn instance(&self) -> &str {
        self.instance
    }

    fn number(&self, hole: Hole) -> u64 {
        let standing = |index| self.draft.balance().get(index);
        match hole {
            // Text, which is filled in by itself.
            Hole::Instance | Hole::KeyId | Hole::Address | Hole::Rule => 0,
            Hole::RetryAfter => self.draft.wait().map_or(0, seconds_of),
            Hole::Remaining(index) => standing(index).map_or(0, |held| held.remaining.into()),
            Hole::Reset(index) => standing(index).and_then(|held| held.wait.seconds()).unwrap_or(0),
        }
    }

    fn text(&self, hole: Hole) -> Option<Cow<'_, str>> {
        match hole {
            Hole::KeyId => Some(self.draft.key_id().into()),
            Hole::Address => Some(
                self.draft.address.map(|address| address.to_string()).unwrap_or_default().into(),
            ),
            Hole::Rule => {
                Some(as_fragment(self.draft.rule.as_deref().map_or("", |rule| &rule.name)))
            }
            Hole::Instance | Hole::RetryAfter | Hole::Remaining(_) | Hole::Reset(_) => None,
        }
    }

    fn header(&self, name: &HeaderName) -> Option<HeaderValue> {
        if *name == RETRY_AFTER {
            return self.draft.wait().map(seconds_of).map(decimal);
        }
        if *name == RETRY_AFTER_MS {
            return self.draft.wait().map(decimal);
        }
        if *name == SHOULD_RETRY {
            return Some(should_retry(self.is_retryable, self.draft.wait()));
        }
        self.renderer.rate_limit.changing(name, self.draft.balance())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::to_bytes;
    use serde_json::Value;

    use super::*;
    use crate::decision::Refused;
    use crate::denial::Category;
    use crate::limit::{Charge, Standing, Wait};
    use crate::policy::{Faults, Refusal, ScopeGap, Sources, load};
    use crate::principal::CredentialKind;
    use crate::time::Wall;
    use crate::verify::KeyError;

    static LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization);

    fn renderer(denial: &str) -> Renderer {
        let text = format!("version = 1\n[denial]\nrealm = \"orders\"\n{denial}\n");
        let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
        Renderer::new(&policy, Registry::default(), Served::default())
    }

    /// The head and the document of a response.
    fn read(response: Response<Body>) -> (StatusCode, HeaderMap, Value) {
        let (head, body) = response.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(to_bytes(body, usize::MAX)).unwrap();
        (head.status, head.headers, serde_json::from_slice(&body).unwrap())
    }

    fn render(renderer: &Renderer, denial: &Denial) -> (StatusCode, HeaderMap, Value) {
        read(renderer.render(denial, Media::Document))
    }

    fn unknown_key() -> Denial {
        Denial::of(KeyError::Unknown.into(), None, None, Wall::from_seconds(0))
    }

    /// A token without these scopes.
    fn out_of_scope(scopes: impl Iterator<Item = String>) -> Denial {
        let required: Arc<[_]> = scopes.map(|scope| scope.parse().unwrap()).collect();
        let gap = ScopeGap::of(&required, &Arc::default(), |_| false).unwrap();
        let refused = Refusal::Scope(gap).into();
        let mut denial = Denial::of(refused, None, None, Wall::from_seconds(0));
        denial.draft_mut().kind = Some(CredentialKind::Token);
        denial
    }

    #[test]
    fn a_code_of_nobody_is_a_fault_of_the_server_under_the_same_instance() {
        let denial = Denial::named("nobody_declared").detail("Order 7 is locked.");
        let (status, _, document) = render(&renderer(""), &denial);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(document["code"], "decision_failed");
        assert_eq!(document["instance"], denial.instance());
        assert!(!document.to_string().contains("Order 7"), "{document}");
    }

    #[test]
    fn minimal_shows_the_group_and_nothing_of_the_handler() {
        let renderer = renderer("disclosure = \"minimal\"");
        let (_, _, document) = render(&renderer, &unknown_key());
        assert_eq!(document["code"], renderer.shown(&unknown_key()).code());
        assert_ne!(document["code"], "api_key_unknown");
        let own = Denial::new(&LOCKED).detail("Order 7 is locked.").member("order", 7);
        let (_, _, document) = render(&renderer, &own);
        assert_eq!((document.get("detail"), document.get("order")), (None, None), "{document}");
        let evidence = renderer.evidence(&own);
        assert_eq!(evidence.detail, "Order 7 is locked.", "the log has all of it");
        assert_eq!(evidence.members, "{\"order\":7}");
    }

    #[test]
    fn what_a_handler_adds_takes_the_place_of_what_the_code_says() {
        let own = Denial::new(&LOCKED).detail("Order 7 is locked.").member("order", 7);
        let (_, headers, document) =
            render(&renderer(""), &own.retry_after(std::time::Duration::from_millis(1500)));
        assert_eq!(document["detail"], "Order 7 is locked.");
        assert_eq!((&document["order"], &document["retry_after"]), (&7.into(), &2.into()));
        assert_eq!(document["retryable"], true, "since it says when");
        assert_eq!(headers[RETRY_AFTER], "2");
        let (_, headers, document) = render(&renderer(""), &Denial::new(&LOCKED));
        assert_eq!((&document["retryable"], headers.get(RETRY_AFTER)), (&false.into(), None));
    }

    /// No policy is taken in which a cost is above a burst, of a plan either; a store that holds
    /// less than the policy says could still refuse so.
    #[test]
    fn what_can_never_fit_is_to_be_stopped() {
        let renderer =
            renderer("[[limit]]\nname = \"points\"\nrate = \"1/minute\"\nper = [\"client\"]");
        let standing = Standing { remaining: 1, wait: Wait::Never, full_in: 0 };
        for _ in 0..2 {
            let balance = std::iter::once((Charge::sample(0, 0, 5), standing)).collect();
            let denial = Denial::of(Refused::Limits(balance), None, None, Wall::from_seconds(0));
            let (_, headers, document) = render(&renderer, &denial);
            assert_eq!(
                (&document["action"], &document["actor"]),
                (&"stop".into(), &"client".into())
            );
            assert_eq!(document["retryable"], false);
            assert_eq!(document.get("retry_after"), None);
            assert_eq!(document["cost"], 5);
            assert_eq!(document["limits"][0].get("reset"), None, "never");
            assert_eq!(headers[SHOULD_RETRY], "false");
            assert!(!headers.contains_key(RETRY_AFTER) && !headers.contains_key(RETRY_AFTER_MS));
            assert!(document["detail"].as_str().unwrap().starts_with("The request takes 5, and "));
        }
    }

    #[test]
    fn a_description_has_the_characters_that_a_challenge_may_have() {
        let renderer = renderer("status = \"standard\"");
        let denial = out_of_scope(std::iter::once("a".into()))
            .detail("\"Größe\" \\ \n".to_owned() + &"x".repeat(400));
        let (status, headers, _) = render(&renderer, &denial);
        assert_eq!(status, StatusCode::FORBIDDEN);
        let challenge = headers[WWW_AUTHENTICATE].to_str().unwrap();
        let (_, rest) = challenge.split_once("error_description=\"").unwrap();
        let (description, _) = rest.split_once('"').unwrap();
        assert!(description.starts_with("'Gr??e' / ?xx"), "{description}");
        assert_eq!(description.len(), MAX_DESCRIPTION);
    }

    #[test]
    fn scopes_that_are_too_many_for_a_header_are_cut_between_two() {
        let names = || (0..400).map(|number| format!("scope-{number}"));
        let (_, headers, document) = render(&renderer(""), &out_of_scope(names()));
        let challenge = headers[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Bearer realm=\"orders\", error=\"insufficient_scope\""));
        let scopes = challenge.split_once("scope=\"").expect(challenge).1.trim_end_matches('"');
        let known: Vec<String> = names().collect();
        assert!(scopes.split(' ').all(|scope| known.contains(&scope.to_owned())), "{scopes}");
        assert!((MAX_CHALLENGE - 20..=MAX_CHALLENGE + 10).contains(&scopes.len()));
        let remedy = document["remedy"].as_str().unwrap();
        assert!(remedy.contains(" more. Then repeat"), "the others are counted: {remedy}");
    }

    #[test]
    fn no_denial_is_cached_or_sniffed() {
        for denial in [unknown_key(), Denial::new(&LOCKED), Denial::named("nobody_declared")] {
            for renderer in [renderer(""), renderer("disclosure = \"minimal\"")] {
                let (_, headers, _) = render(&renderer, &denial);
                assert_eq!(headers[CACHE_CONTROL], "no-store");
                assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
                assert_eq!(headers[VARY], "accept");
            }
        }
    }
}
