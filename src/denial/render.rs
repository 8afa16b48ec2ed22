//! Writes a denial: status, headers and the document of RFC 9457.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde::Serialize;

use super::catalogue;
use super::code::{Challenge, DenialCode};
use super::document::{CodeName, Denial, Detail, Draft, Fact};
use super::rate_limit::RateLimitWriter;
use super::registry::Registry;
use super::template::fill;
use crate::policy::{DenialPolicy, Disclosure, Policy, StatusMode};

/// A document stays below this, so that it fits wherever it is read.
const MAX_BODY: usize = 4096;

/// Detail and remedy are cut at this length, and a list in them well before.
const MAX_SENTENCE: usize = 800;
const MAX_LIST: usize = 200;

/// The scopes of a challenge are cut at this length: a header that is too long is lost as a whole.
const MAX_CHALLENGE: usize = 2000;

/// Members that only `disclosure = "detailed"` shows.
const DETAILED: &[&str] = &["granted_scopes", "allowed_addresses", "rule"];

/// Writes denials as a policy says.
#[derive(Debug)]
pub(crate) struct Renderer {
    policy: DenialPolicy,
    registry: Registry,
    pub(crate) rate_limit: RateLimitWriter,
    /// What comes before the code in `type`.
    docs: Box<str>,
    /// By the kinds that are accepted: keys in bit 0, tokens in bit 1.
    accepted: [Accepted; 4],
}

/// What is said about the credentials that are accepted.
#[derive(Debug)]
struct Accepted {
    json: Arc<str>,
    text: Arc<str>,
    challenges: Vec<HeaderValue>,
}

impl Renderer {
    pub(crate) fn new(policy: &Policy, registry: Registry) -> Self {
        let forms = Forms {
            realm: &policy.denial.realm,
            key_header: policy.credential.key_header.as_str(),
            keys_as_bearer: policy.credential.keys_as_bearer,
        };
        let rate_limit = RateLimitWriter::new(policy.denial.ratelimit_headers, &policy.limits);
        Self::with(policy.denial.clone(), registry, rate_limit, &forms)
    }

    /// For denials that no gate sees: as a policy without `[denial]` says.
    pub(crate) fn without_gate() -> Self {
        let policy = DenialPolicy::default();
        let rate_limit = RateLimitWriter::new(policy.ratelimit_headers, &[]);
        let realm = policy.realm.clone();
        let forms = Forms { realm: &realm, key_header: "x-api-key", keys_as_bearer: false };
        Self::with(policy, Registry::default(), rate_limit, &forms)
    }

    fn with(
        policy: DenialPolicy,
        registry: Registry,
        rate_limit: RateLimitWriter,
        forms: &Forms<'_>,
    ) -> Self {
        let docs = format!("{}/", policy.docs.as_deref().unwrap_or("/errors")).into();
        let accepted = [(false, false), (true, false), (false, true), (true, true)];
        Self {
            policy,
            registry,
            rate_limit,
            docs,
            accepted: accepted.map(|kinds| forms.accepted(kinds)),
        }
    }

    /// Writes a denial out.
    pub(crate) fn render(&self, denial: &Denial) -> Response<Body> {
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
            );
        };
        self.write(denial, code)
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

    fn write(&self, denial: &Denial, code: &DenialCode) -> Response<Body> {
        let draft = denial.draft();
        let minimal = self.policy.disclosure == Disclosure::Minimal;
        let shown = if minimal { code.group() } else { code };
        let status = self.status(shown);
        // A wait would tell an address that fails from one that is merely unknown.
        let retry_after = draft.retry_after.filter(|_| !minimal || shown.retryable);

        let body =
            Document { renderer: self, draft, shown, status, retry_after, minimal }.to_json();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for challenge in self.challenges(draft, shown) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if !minimal {
            if let Some(allow) = &draft.allow {
                headers.insert(ALLOW, allow.clone());
            }
            if let Some(fields) = &draft.rate_limit {
                fields.clone().insert_into(headers);
            }
        }
        response
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
    fn challenges(&self, draft: &Draft, code: &DenialCode) -> Vec<HeaderValue> {
        let realm = &self.policy.realm;
        match code.challenge {
            Challenge::None => Vec::new(),
            Challenge::Accepted => self.accepted(draft).challenges.clone(),
            Challenge::ApiKey => self.accepted[1].challenges.last().cloned().into_iter().collect(),
            Challenge::Bearer(error) => {
                vec![quoted(format!("Bearer realm=\"{realm}\", error=\"{error}\""))]
            }
            Challenge::Scope if draft.challenge_scopes.is_empty() => Vec::new(),
            Challenge::Scope => {
                let scopes = join_within(
                    draft.challenge_scopes.iter().map(|scope| scope.as_str()),
                    " ",
                    MAX_CHALLENGE,
                );
                vec![quoted(format!(
                    "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{scopes}\""
                ))]
            }
        }
    }

    fn accepted(&self, draft: &Draft) -> &Accepted {
        let (keys, tokens) = draft.accepted;
        &self.accepted[usize::from(keys) + 2 * usize::from(tokens)]
    }
}

/// A denial on its way to JSON.
struct Document<'d> {
    renderer: &'d Renderer,
    draft: &'d Draft,
    shown: &'d DenialCode,
    status: StatusCode,
    retry_after: Option<u64>,
    minimal: bool,
}

impl Document<'_> {
    fn to_json(&self) -> Vec<u8> {
        let (policy, shown) = (&self.renderer.policy, self.shown);
        let instance = self.draft.instance.urn().to_string();
        let member = |name: &str| self.sentence(name, &instance);
        let remedy = match self.draft.remedy.filter(|_| !self.minimal) {
            Some(remedy) => fill(remedy, &member),
            None => fill(shown.remedy, &member),
        };
        let remedy = cut(&remedy, MAX_SENTENCE);
        let retryable = self.draft.retryable.filter(|_| !self.minimal).unwrap_or(shown.retryable);

        let mut json = Json(Vec::with_capacity(1024));
        json.open();
        json.joined("type", &self.renderer.docs, shown.code);
        json.text("title", shown.title);
        json.raw("status", self.status.as_str());
        json.text("code", shown.code);
        json.text("category", shown.category.as_str());
        if let Some(detail) = self.detail(&member) {
            json.text("detail", cut(&detail, MAX_SENTENCE));
        }
        json.text("remedy", remedy);
        if let Some(support) = &policy.support {
            json.text("support", support);
        }
        json.raw("retryable", if retryable { "true" } else { "false" });
        if let Some(seconds) = self.retry_after {
            json.raw("retry_after", &seconds.to_string());
        }
        json.text("instance", &instance);
        let accepted = self.renderer.accepted(self.draft);
        if self.names_accepted() {
            json.raw("accepted_credentials", &accepted.json);
        }
        for (name, fact) in self.facts() {
            json.fact(name, fact);
        }
        if let Some(rule) =
            self.draft.rule.as_ref().filter(|_| policy.disclosure == Disclosure::Detailed)
        {
            json.fact("rule", &Fact::Text(Cow::Owned(rule.name.to_string())));
        }
        json.close()
    }

    fn detail(&self, member: &dyn Fn(&str) -> Option<Cow<'static, str>>) -> Option<String> {
        if self.minimal {
            return None;
        }
        match &self.draft.detail {
            Detail::Literal(text) => Some(text.clone()),
            Detail::Template(template) => Some(fill(template, member)),
            Detail::Row if self.shown.detail.is_empty() => Some(format!("{}.", self.shown.title)),
            Detail::Row => Some(fill(self.shown.detail, member)),
        }
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
        self.draft.names_accepted && !self.minimal && self.draft.accepted != (false, false)
    }

    /// A member as it reads in a sentence.
    fn sentence(&self, name: &str, instance: &str) -> Option<Cow<'static, str>> {
        match name {
            "retry_after" => self.retry_after.map(|seconds| Cow::Owned(seconds.to_string())),
            "support" => {
                self.renderer.policy.support.as_ref().map(|uri| Cow::Owned(uri.to_string()))
            }
            "instance" => Some(Cow::Owned(instance.to_owned())),
            "accepted_credentials" if self.names_accepted() => {
                Some(Cow::Owned(self.renderer.accepted(self.draft).text.to_string()))
            }
            _ => self.facts().find(|(held, _)| *held == name).map(|(_, fact)| fact.sentence()),
        }
    }
}

impl Fact {
    /// The fact in a sentence. Of a list that is long, the first items and how many more.
    fn sentence(&self) -> Cow<'static, str> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string().into(),
            Self::Texts(texts) => {
                let mut shown = join_within(texts.iter().map(String::as_str), ", ", MAX_LIST);
                let left =
                    texts.len() - shown.matches(", ").count() - usize::from(!shown.is_empty());
                if left > 0 {
                    shown += &format!(" and {left} more");
                }
                shown.into()
            }
            Self::Json { text, .. } | Self::Items { text, .. } => {
                Cow::Owned(cut(text, MAX_LIST).to_owned())
            }
        }
    }
}

/// Joins as many of the texts as stay within `most` bytes, the first in any case.
fn join_within<'t>(texts: impl Iterator<Item = &'t str>, between: &str, most: usize) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() {
            if joined.len() + between.len() + text.len() > most {
                break;
            }
            joined += between;
        }
        joined += text;
    }
    joined
}

/// The text, cut at a character if it is longer than `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// An object that is being written, member by member.
struct Json(Vec<u8>);

impl Json {
    fn open(&mut self) {
        self.0.push(b'{');
    }

    fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.string(name);
        self.0.push(b':');
    }

    fn string(&mut self, text: &str) {
        // INVARIANT: a string is always serializable, and a Vec takes all that is written.
        let _ = serde_json::to_writer(&mut self.0, text);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    /// A text in two parts, of characters that need no escape.
    fn joined(&mut self, name: &str, first: &str, second: &str) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(first.as_bytes());
        self.0.extend_from_slice(second.as_bytes());
        self.0.push(b'"');
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Writes a member, unless the document would become too large: the members that every
    /// denial has come first. Of an array, as many items are written as there is room for.
    fn fact(&mut self, name: &str, fact: &Fact) {
        let before = self.0.len();
        match fact {
            Fact::Text(text) => self.text(name, text),
            Fact::Number(number) => self.raw(name, &number.to_string()),
            Fact::Json { json, .. } => self.raw(name, json),
            Fact::Texts(texts) => {
                let quoted =
                    texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string());
                return self.items(name, quoted);
            }
            Fact::Items { items, .. } => return self.items(name, items.iter()),
        }
        if self.0.len() + 1 >= MAX_BODY {
            self.0.truncate(before);
        }
    }

    fn items(&mut self, name: &str, items: impl Iterator<Item = impl AsRef<str>>) {
        let start = self.0.len();
        self.name(name);
        self.0.push(b'[');
        let first = self.0.len();
        for item in items {
            let comma = if self.0.len() > first { "," } else { "" };
            if self.0.len() + item.as_ref().len() + 4 >= MAX_BODY {
                break;
            }
            self.0.extend_from_slice(comma.as_bytes());
            self.0.extend_from_slice(item.as_ref().as_bytes());
        }
        if self.0.len() == first {
            self.0.truncate(start);
        } else {
            self.0.push(b']');
        }
    }
}

/// An item of the member `accepted_credentials`.
#[derive(Serialize)]
struct AcceptedForm<'f> {
    kind: &'static str,
    #[serde(rename = "in")]
    place: &'static str,
    name: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'static str>,
}

/// How credentials may be sent.
struct Forms<'p> {
    realm: &'p str,
    key_header: &'p str,
    keys_as_bearer: bool,
}

impl Forms<'_> {
    fn accepted(&self, (keys, tokens): (bool, bool)) -> Accepted {
        let Self { realm, key_header, keys_as_bearer } = *self;
        let form = |kind, name, scheme| AcceptedForm { kind, place: "header", name, scheme };
        let (mut forms, mut texts, mut challenges) = (Vec::new(), Vec::new(), Vec::new());
        if tokens || (keys && keys_as_bearer) {
            challenges.push(quoted(format!("Bearer realm=\"{realm}\"")));
        }
        if keys {
            forms.push(form("api_key", key_header, None));
            forms.push(form("api_key", "authorization", Some("ApiKey")));
            texts.push(format!("an API key in {key_header}, or as `Authorization: ApiKey <key>`"));
            challenges.push(quoted(format!("ApiKey realm=\"{realm}\", header=\"{key_header}\"")));
            if keys_as_bearer {
                forms.push(form("api_key", "authorization", Some("Bearer")));
                texts.push("as `Authorization: Bearer <key>`".into());
            }
        }
        if tokens {
            forms.push(form("token", "authorization", Some("Bearer")));
            texts.push("a token as `Authorization: Bearer <token>`".into());
        }
        // INVARIANT: text is always serializable.
        let json = serde_json::to_string(&forms).unwrap_or_default();
        Accepted { json: json.into(), text: texts.join(", or ").into(), challenges }
    }
}

/// INVARIANT: realm, header names and scopes are printable ASCII without quotes and
/// backslashes, by the checks of the policy.
fn quoted(challenge: String) -> HeaderValue {
    HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"))
}
