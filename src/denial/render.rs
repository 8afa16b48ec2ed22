//! Writes a denial: status, headers and the document of RFC 9457.

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use uuid::fmt::Urn;

use super::accepted::{Accepted, quoted};
use super::catalogue::{self, CATALOGUE, RATE_LIMITED};
use super::code::{Challenge, DenialCode};
use super::document::{CodeName, Denial, Detail, Draft, Fact};
use super::form::{Composed, Forms, LimitsShape, Shape, Values};
use super::json::{Hole, Json, Written};
use super::media::Media;
use super::rate_limit::RateLimitWriter;
use super::registry::Registry;
use super::template::Text;
use super::value;
use crate::credential::{CredentialPolicy, Kinds};
use crate::limit::{Charge, Standing, Wait};
use crate::policy::{DenialPolicy, Disclosure, Policy, StatusMode};

/// The scopes of a challenge are cut at this length: a header that is too long is lost as a whole.
const MAX_CHALLENGE: usize = 2000;

/// Members that only `disclosure = "detailed"` shows.
const DETAILED: &[&str] = &["granted_scopes", "allowed_addresses", "rule"];

/// Writes denials as a policy says.
#[derive(Debug)]
pub(crate) struct Renderer {
    policy: DenialPolicy,
    pub(crate) registry: Registry,
    pub(crate) rate_limit: RateLimitWriter,
    /// What comes before the code in `type`.
    docs: Box<str>,
    /// By the kinds that are accepted, in the order of [`Kinds::ALL`].
    accepted: [Accepted; 4],
    /// The challenges with an error, by the error.
    errors: [(&'static str, HeaderValue); 2],
    forms: Forms,
}

impl Renderer {
    pub(crate) fn new(policy: &Policy, registry: Registry) -> Self {
        let rate_limit = RateLimitWriter::new(policy.denial.ratelimit_headers, &policy.limits);
        Self::with(policy.denial.clone(), registry, rate_limit, &policy.credential)
    }

    /// For denials that no gate sees: as a policy without `[denial]` says.
    pub(crate) fn without_gate() -> Self {
        let policy = DenialPolicy::default();
        let rate_limit = RateLimitWriter::new(policy.ratelimit_headers, &[]);
        Self::with(policy, Registry::default(), rate_limit, &CredentialPolicy::default())
    }

    fn with(
        policy: DenialPolicy,
        registry: Registry,
        rate_limit: RateLimitWriter,
        credentials: &CredentialPolicy,
    ) -> Self {
        let docs = format!("{}/", policy.docs.as_deref().unwrap_or("/errors")).into();
        let accepted = Kinds::ALL.map(|kinds| Accepted::of(kinds, credentials, &policy.realm));
        let errors = ["invalid_request", "invalid_token"].map(|error| {
            (error, quoted(format!("Bearer realm=\"{}\", error=\"{error}\"", policy.realm)))
        });
        Self { policy, registry, rate_limit, docs, accepted, errors, forms: Forms::new() }
    }

    /// Writes a denial out.
    pub(crate) fn render(&self, denial: &Denial, media: Media) -> Response<Body> {
        let draft = denial.draft();
        let code = self.code(draft);
        let Some(code) = code else {
            tracing::error!(
                target: "tollgate", instance = %draft.instance.urn(), code = denial.code(),
                "a handler answered with a code that is not registered: add it with \
                 TollgateBuilder::code or [[denial.code]]"
            );
            return self.write(
                &Denial::new(&catalogue::DECISION_FAILED).with_instance_of(denial),
                &catalogue::DECISION_FAILED,
                media,
            );
        };
        self.write(denial, code, media)
    }

    /// The code that a client sees for this denial, at the policy's disclosure.
    pub(crate) fn shown<'s>(&'s self, denial: &'s Denial) -> &'s DenialCode {
        let code = self.code(denial.draft()).unwrap_or(&catalogue::DECISION_FAILED);
        if self.policy.disclosure == Disclosure::Minimal { code.group() } else { code }
    }

    fn code<'s>(&'s self, draft: &'s Draft) -> Option<&'s DenialCode> {
        match &draft.code {
            CodeName::Row(code) => Some(code),
            CodeName::Named(name) => self.registry.find(name),
        }
    }

    fn write(&self, denial: &Denial, code: &DenialCode, media: Media) -> Response<Body> {
        let draft = denial.draft();
        let minimal = self.policy.disclosure == Disclosure::Minimal;
        let shown = if minimal { code.group() } else { code };
        let status = self.status(shown);
        // A wait would tell an address that fails from one that is merely unknown.
        let retry_after = draft.retry_after.filter(|_| !minimal || shown.retryable);

        let mut buffer = [0; Urn::LENGTH];
        let instance: &str = draft.instance.urn().encode_lower(&mut buffer);
        let document =
            Document { renderer: self, draft, shown, status, instance, retry_after, minimal };
        if media != Media::Document {
            return document.compose().told_as(media).into_response();
        }
        match document.shape() {
            Some(shape) => self.forms.fill(shape, &document, || document.compose()),
            None => document.compose().into_response(),
        }
    }

    fn status(&self, code: &DenialCode) -> StatusCode {
        let fault_of_ours = code.category == super::Category::Server;
        match self.policy.status {
            StatusMode::Uniform if !fault_of_ours => StatusCode::FORBIDDEN,
            // A code that was not registered was not checked either.
            _ => StatusCode::from_u16(code.standard_status)
                .ok()
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::FORBIDDEN),
        }
    }

    /// Challenges, one for each field line, Bearer first (RFC 9110 section 11.6.1).
    fn challenge(&self, draft: &Draft, code: &DenialCode, headers: &mut HeaderMap) {
        let mut add = |challenge| {
            headers.append(WWW_AUTHENTICATE, challenge);
        };
        match code.challenge {
            Challenge::None => {}
            Challenge::Accepted => {
                let accepted = self.accepted(draft);
                accepted.iter().flat_map(|accepted| &accepted.challenges).cloned().for_each(add);
            }
            Challenge::ApiKey => {
                let accepted = &self.accepted[Kinds::ApiKey as usize];
                accepted.challenges.last().cloned().into_iter().for_each(add)
            }
            Challenge::Bearer(error) => {
                let challenge = self.errors.iter().find(|(known, _)| *known == error);
                challenge.map(|(_, challenge)| challenge.clone()).into_iter().for_each(add);
            }
            Challenge::Scope if draft.challenge_scopes.is_empty() => {}
            Challenge::Scope => {
                let mut scopes = String::new();
                for scope in &draft.challenge_scopes {
                    if scopes.len() + scope.as_str().len() > MAX_CHALLENGE {
                        break;
                    }
                    scopes += if scopes.is_empty() { "" } else { " " };
                    scopes += scope.as_str();
                }
                let realm = &self.policy.realm;
                add(quoted(format!(
                    "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{scopes}\""
                )));
            }
        }
    }

    fn accepted(&self, draft: &Draft) -> Option<&Accepted> {
        draft.accepted.map(|kinds| &self.accepted[kinds as usize])
    }
}

/// A denial on its way to JSON.
struct Document<'d> {
    renderer: &'d Renderer,
    draft: &'d Draft,
    shown: &'d DenialCode,
    status: StatusCode,
    instance: &'d str,
    retry_after: Option<u64>,
    minimal: bool,
}

impl Document<'_> {
    /// The form that the document has in common with others; `None` where it stands alone.
    fn shape(&self) -> Option<Shape> {
        let tells_rule = self.renderer.policy.disclosure == Disclosure::Detailed;
        if !self.minimal && tells_rule {
            return None;
        }
        let own_words = !matches!(self.draft.detail, Detail::Row)
            || self.draft.remedy.is_some()
            || self.draft.retryable.is_some();
        let has_facts = !self.draft.members.is_empty();
        let variant = match self.draft.variant {
            _ if self.minimal => 0,
            // What a handler makes of a row is not what the gate makes of it.
            Some(variant) => 1 + variant,
            None if own_words => return None,
            None if has_facts => return self.limits_shape().map(Shape::Limits),
            None => 0,
        };
        // What a handler refuses tells how the limits stand, too.
        let has_fields = !self.draft.balance.is_empty() || self.draft.allow.is_some();
        if !self.minimal && has_fields {
            return None;
        }
        let is_row = |row: &&DenialCode| std::ptr::eq(*row, self.shown);
        let kinds = self.draft.accepted.map_or(0, |kinds| 1 + kinds as usize);
        let facts = [self.names_accepted(), self.retry_after.is_some()];
        let bits = (facts.into_iter())
            .fold(usize::from(variant) << 3 | kinds, |bits, fact| bits << 1 | usize::from(fact));
        CATALOGUE.iter().position(is_row).map(|row| Shape::Plain { row, bits })
    }

    /// What rate-limited requests must have in common to be told the same, but for numbers.
    fn limits_shape(&self) -> Option<LimitsShape> {
        let [(_, Fact::Number(cost)), (_, Fact::Limits)] = &self.draft.members[..] else {
            return None;
        };
        if !std::ptr::eq(self.shown, &RATE_LIMITED) {
            return None;
        }
        let balance = &self.draft.balance;
        let rank = |wait: Wait| match wait {
            Wait::None => 0,
            // How many others wait less long decides about the order of the items.
            _ => 1 + balance.iter().filter(|(_, other)| other.wait < wait).count() as u8,
        };
        let state = |(charge, standing): &(Charge, Standing)| {
            (charge.limit, charge.quota, rank(standing.wait))
        };
        Some((*cost, balance.iter().map(state).collect()))
    }

    fn compose(&self) -> Composed {
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        self.renderer.challenge(self.draft, self.shown, &mut headers);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, value::number(seconds));
        }
        if !self.minimal {
            if let Some(allow) = &self.draft.allow {
                headers.insert(ALLOW, allow.clone());
            }
            self.renderer.rate_limit.write(&self.draft.balance, &mut headers);
        }
        Composed { status: self.status, headers, written: self.to_json() }
    }

    fn to_json(&self) -> Written {
        let (policy, shown) = (&self.renderer.policy, self.shown);
        let member = |name: &str, text: &mut Text<'_>| self.speak(name, text);
        let remedy = self.draft.remedy.filter(|_| !self.minimal).unwrap_or(shown.remedy);
        let retryable = self.draft.retryable.filter(|_| !self.minimal).unwrap_or(shown.retryable);

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
            json.text("detail", |text| match &self.draft.detail {
                Detail::Literal(literal) => text.push(literal),
                Detail::Template(template) => text.fill(template, &member),
                Detail::Row if shown.detail.is_empty() => text.push(shown.title),
                Detail::Row => text.fill(shown.detail, &member),
            });
        }
        json.text("remedy", |text| text.fill(remedy, &member));
        if let Some(support) = &policy.support {
            json.text("support", |text| text.push(support));
        }
        json.raw("retryable", if retryable { "true" } else { "false" });
        if let Some(seconds) = self.retry_after {
            json.changing("retry_after", Hole::RetryAfter, seconds);
        }
        json.text("instance", |text| text.changing(Hole::Instance, self.instance));
        let accepted = self.renderer.accepted(self.draft).filter(|_| self.names_accepted());
        if let Some(accepted) = accepted {
            json.raw("accepted_credentials", &accepted.json);
        }
        for (name, fact) in self.facts() {
            json.fact(name, |json| self.write(fact, json));
        }
        let rule = self.draft.rule.as_ref().filter(|_| policy.disclosure == Disclosure::Detailed);
        if let Some(rule) = rule {
            json.text("rule", |text| text.push(&rule.name));
        }
        json.close()
    }

    /// The members of this code that may be seen.
    fn facts(&self) -> impl Iterator<Item = (&str, &Fact)> {
        let detailed = self.renderer.policy.disclosure == Disclosure::Detailed;
        let is_shown = move |name: &str| detailed || !DETAILED.contains(&name);
        (self.draft.members.iter())
            .filter(move |(name, _)| !self.minimal && is_shown(name))
            .map(|(name, fact)| (name.as_ref(), fact))
    }

    fn names_accepted(&self) -> bool {
        self.draft.names_accepted && !self.minimal && self.draft.accepted.is_some()
    }

    /// Writes the value of a member; whether there is any.
    fn write(&self, fact: &Fact, json: &mut Json) -> bool {
        match fact {
            Fact::Text(text) => json.quoted(|to| to.push(text)),
            Fact::Number(number) => json.bytes(itoa::Buffer::new().format(*number).as_bytes()),
            Fact::Json { json: written, .. } => json.bytes(written.as_bytes()),
            Fact::Texts(texts) => {
                return json.items(texts.iter(), |text, json| json.quoted(|to| to.push(text)));
            }
            Fact::Items { items, .. } => {
                return json.items(items.iter(), |item, json| json.bytes(item.as_bytes()));
            }
            Fact::Limits => return self.renderer.rate_limit.write_items(&self.draft.balance, json),
        }
        true
    }

    /// Writes a member as it reads in a sentence; whether there is any.
    fn speak(&self, name: &str, text: &mut Text<'_>) -> bool {
        match name {
            "retry_after" => self.retry_after.is_some_and(|seconds| {
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
            "accepted_credentials" if self.names_accepted() => {
                self.renderer.accepted(self.draft).is_some_and(|accepted| {
                    text.push(&accepted.text);
                    true
                })
            }
            _ => self.facts().find(|(held, _)| *held == name).is_some_and(|(_, fact)| {
                match fact {
                    Fact::Text(held) => text.push(held),
                    Fact::Number(number) => text.number(*number),
                    Fact::Texts(texts) => text.list(texts.iter().map(String::as_str)),
                    Fact::Json { text: held, .. } | Fact::Items { text: held, .. } => {
                        text.push(held)
                    }
                    Fact::Limits => self.renderer.rate_limit.speak(&self.draft.balance, text),
                }
                true
            }),
        }
    }
}

impl Values for Document<'_> {
    fn instance(&self) -> &str {
        self.instance
    }

    fn number(&self, hole: Hole) -> u64 {
        let standing = |index| self.draft.balance.get(index);
        match hole {
            // Text, which is filled in by itself.
            Hole::Instance => 0,
            Hole::RetryAfter => self.retry_after.unwrap_or(0),
            Hole::Remaining(index) => standing(index).map_or(0, |held| held.remaining.into()),
            Hole::Reset(index) => standing(index).and_then(|held| held.wait.seconds()).unwrap_or(0),
        }
    }

    fn header(&self, name: &HeaderName) -> Option<HeaderValue> {
        if *name == RETRY_AFTER {
            return self.retry_after.map(value::number);
        }
        self.renderer.rate_limit.changing(name, &self.draft.balance)
    }
}
