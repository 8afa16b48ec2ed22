//! Writes a denial: status, headers and the document of RFC 9457.

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
use super::code::{Challenge, DenialCode};
use super::document::{Denial, Draft, Fact};
use super::form::{Composed, Forms, Shape, Values};
use super::json::{Hole, Json, Written};
use super::media::Media;
use super::rate_limit::{RateLimitWriter, decimal};
use super::registry::Registry;
use super::template::Text;
use crate::credential::{CredentialPolicy, Kinds};
use crate::policy::{DenialPolicy, Disclosure, Policy, StatusMode};

/// The scopes of a challenge are cut at this length: a header that is too long is lost as a whole.
const MAX_CHALLENGE: usize = 1700;

/// `error_description` is cut at this length.
const MAX_DESCRIPTION: usize = 200;

/// Members that only `disclosure = "detailed"` shows.
const DETAILED: &[&str] = &["granted_scopes", "allowed_addresses", "rule"];

/// Writes denials as a policy says.
#[derive(Debug)]
pub(crate) struct Renderer {
    policy: DenialPolicy,
    pub(crate) registry: Registry,
    pub(crate) rate_limit: RateLimitWriter,
    known: Known,
    /// What comes before the code in `type`.
    docs: Box<str>,
    /// By the kinds that are accepted, in the order of [`Kinds::ALL`].
    accepted: [Accepted; 4],
    forms: Forms,
}

impl Renderer {
    pub(crate) fn new(policy: &Policy, registry: Registry) -> Self {
        let rate_limit = RateLimitWriter::new(policy.denial.ratelimit_headers, &policy.limits);
        let known = Known::of(policy);
        Self::with(policy.denial.clone(), registry, rate_limit, known, &policy.credential)
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
        Self { policy, registry, rate_limit, known, docs, accepted, forms: Forms::default() }
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
        let form = self.forms.get(shape, draft.rule.as_ref(), &self.known, compose)?;
        let mut buffer = [0; Urn::LENGTH];
        let instance = draft.instance.urn().encode_lower(&mut buffer);
        Some(form.fill(&Changing { renderer: self, draft, instance }))
    }

    /// Writes the document member by member.
    pub(super) fn compose(&self, draft: &Draft, code: &DenialCode) -> Composed {
        let minimal = self.is_minimal();
        let shown = if minimal { code.group() } else { code };
        let mut facts = self.known.explain(draft);
        // Why it was denied with this code is the gate's to say; what a handler adds comes first.
        facts.retry_after = draft.own.retry_after.or(facts.retry_after);
        if draft.own.retry_after.is_some() {
            facts.retryable = Some(true);
        }
        facts.members.extend(draft.own.members.iter().cloned());
        if minimal {
            // A wait would tell an address that fails from one that is merely unknown.
            let retry_after = facts.retry_after.filter(|_| shown.retryable);
            facts = Facts { retry_after, ..Facts::default() };
        }
        let mut buffer = [0; Urn::LENGTH];
        let instance: &str = draft.instance.urn().encode_lower(&mut buffer);
        let accepted = self.accepted(self.known.accepted(draft));
        let status = self.status(shown);
        let document =
            Document { renderer: self, draft, facts, shown, accepted, status, instance, minimal };
        document.compose()
    }

    #[cfg(test)]
    pub(super) fn forms_kept(&self) -> usize {
        self.forms.len()
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
        if let Some(seconds) = document.facts.retry_after {
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
        if let Some(seconds) = self.facts.retry_after {
            headers.insert(RETRY_AFTER, decimal(seconds));
        }
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
        let bearer = |error: &str| {
            let description = self.description(written);
            format!(
                "Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{description}\""
            )
        };
        match self.shown.challenge {
            Challenge::None => {}
            Challenge::Accepted => {
                let challenges = self.accepted.iter().flat_map(|accepted| &accepted.challenges);
                challenges.cloned().for_each(add);
            }
            Challenge::ApiKey => {
                let keys = &self.renderer.accepted[Kinds::ApiKey as usize].challenges;
                keys.last().cloned().into_iter().for_each(add);
            }
            Challenge::Bearer(error) => add(quoted(bearer(error))),
            Challenge::Scope if self.facts.challenge_scopes.is_empty() => {}
            Challenge::Scope => {
                let mut scopes = String::new();
                for scope in &self.facts.challenge_scopes {
                    if scopes.len() + scope.as_str().len() > MAX_CHALLENGE {
                        break;
                    }
                    scopes += if scopes.is_empty() { "" } else { " " };
                    scopes += scope.as_str();
                }
                add(quoted(format!("{}, scope=\"{scopes}\"", bearer("insufficient_scope"))));
            }
        }
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
        let retryable = self.facts.retryable.unwrap_or(shown.retryable);

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
        if let Some(support) = &policy.support {
            json.text("support", |text| text.push(support));
        }
        json.raw("retryable", if retryable { "true" } else { "false" });
        if let Some(seconds) = self.facts.retry_after {
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
            "retry_after" => self.facts.retry_after.is_some_and(|seconds| {
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
            _ => self.members().find(|(held, _)| *held == name).is_some_and(|(_, fact)| {
                match fact {
                    Fact::Text(held) => text.push(held),
                    Fact::Number(number) => text.number(*number),
                    Fact::Texts(texts) => text.list(texts.iter().map(String::as_str)),
                    Fact::Json { text: held, .. } | Fact::Items { text: held, .. } => {
                        text.push(held)
                    }
                    Fact::Limits => self.renderer.rate_limit.say(self.draft.balance(), text),
                }
                true
            }),
        }
    }
}

/// What changes from one denial of a form to the next.
struct Changing<'d> {
    renderer: &'d Renderer,
    draft: &'d Draft,
    instance: &'d str,
}

impl Values for Changing<'_> {
    fn instance(&self) -> &str {
        self.instance
    }

    fn number(&self, hole: Hole) -> u64 {
        let standing = |index| self.draft.balance().get(index);
        match hole {
            // Text, which is filled in by itself.
            Hole::Instance => 0,
            Hole::RetryAfter => self.draft.wait().unwrap_or(0),
            Hole::Remaining(index) => standing(index).map_or(0, |held| held.remaining.into()),
            Hole::Reset(index) => standing(index).and_then(|held| held.wait.seconds()).unwrap_or(0),
        }
    }

    fn header(&self, name: &HeaderName) -> Option<HeaderValue> {
        if *name == RETRY_AFTER {
            return self.draft.wait().map(decimal);
        }
        self.renderer.rate_limit.changing(name, self.draft.balance())
    }
}
