//! Writes the document of a denial member by member (RFC 9457), and its headers.

use std::borrow::Cow;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use super::accepted::{Accepted, quoted};
use super::catalogue::DenialCode;
use super::document::{Draft, seconds_of};
use super::facts::Facts;
use super::json::Json;
use super::own::Fact;
use super::properties::Challenge;
use super::response::{Composed, RETRY_AFTER_MS, SHOULD_RETRY};
use super::settings::Settings;
use super::template::Text;
use super::written::{Hole, Written};
use crate::credential::Kinds;
use crate::policy::Disclosure;

/// The scopes of a challenge are cut at this length: a header that is too long is lost as a whole.
pub(super) const MAX_CHALLENGE: usize = 1700;

/// `error_description` is cut at this length.
pub(super) const MAX_DESCRIPTION: usize = 200;

/// Members that only `disclosure = "detailed"` shows.
const DETAILED: &[&str] = &["granted_scopes", "allowed_addresses", "rule"];

/// SDKs wait as long by themselves, in milliseconds.
const PATIENCE: u64 = 60_000;

/// A denial on its way to JSON.
pub(super) struct Document<'d> {
    pub(super) settings: &'d Settings,
    pub(super) draft: &'d Draft,
    pub(super) facts: Facts,
    pub(super) shown: &'d DenialCode,
    pub(super) accepted: Option<&'d Accepted>,
    pub(super) status: StatusCode,
    pub(super) instance: &'d str,
    pub(super) minimal: bool,
}

impl Document<'_> {
    pub(super) fn compose(&self) -> Composed {
        let written = self.to_json();
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        self.challenge(&written, &mut headers);
        if let Some(millis) = self.facts.wait {
            headers.insert(RETRY_AFTER, seconds_of(millis).into());
            headers.insert(RETRY_AFTER_MS, millis.into());
        }
        headers.insert(SHOULD_RETRY, should_retry(self.is_retryable(), self.facts.wait));
        if !self.minimal {
            if let Some(allow) = &self.facts.allow {
                headers.insert(ALLOW, allow.clone());
            }
            self.settings.rate_limit.write(self.draft.balance(), &mut headers);
        }
        Composed { status: self.status, headers, written }
    }

    /// Challenges, one for each field line, Bearer first (RFC 9110 section 11.6.1).
    fn challenge(&self, written: &Written, headers: &mut HeaderMap) {
        let mut add = |challenge| {
            headers.append(WWW_AUTHENTICATE, challenge);
        };
        let realm = &self.settings.policy.realm;
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
                let keys = &self.settings.accepted(Kinds::ApiKey).challenges;
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
            demands.map(|demands| self.settings.known.needed_scopes(demands))
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
        let (policy, shown) = (&self.settings.policy, self.shown);
        let member = |name: &str, text: &mut Text<'_>| self.say(name, text);
        let remedy = self.facts.remedy.unwrap_or(shown.remedy);
        let (action, actor) = self.facts.action.unwrap_or((shown.action, shown.actor));

        let mut json = Json::open();
        json.text("type", |text| {
            text.push(&self.settings.docs);
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
        if let Some(rule) = self.settings.help(self.draft, shown) {
            json.text("help", |text| {
                text.push(&self.settings.docs);
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

    pub(super) fn write_detail(&self, json: &mut Json) {
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
        let detailed = self.settings.policy.disclosure == Disclosure::Detailed;
        let is_shown = move |name: &str| detailed || !DETAILED.contains(&name);
        let members = self.facts.members.iter();
        members.filter(move |(name, _)| is_shown(name)).map(|(name, fact)| (*name, fact))
    }

    /// The credentials that the document lists as accepted, if it lists them.
    fn named_as_accepted(&self) -> Option<&Accepted> {
        self.accepted.filter(|_| self.facts.names_accepted)
    }

    /// Writes the value of a member; whether there is any.
    pub(super) fn write(&self, fact: &Fact, json: &mut Json) -> bool {
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
                return self.settings.rate_limit.write_items(self.draft.balance(), json);
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
            "support" => self.settings.policy.support.as_ref().is_some_and(|support| {
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
                        self.settings.rate_limit.say(balance, text, |text| self.say_address(text));
                    }
                }
                true
            }),
        }
    }

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
pub(super) fn as_fragment(name: &str) -> Cow<'_, str> {
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
pub(super) fn should_retry(is_retryable: bool, wait: Option<u64>) -> HeaderValue {
    let is_short = wait.is_some_and(|millis| millis <= PATIENCE);
    HeaderValue::from_static(if is_retryable && is_short { "true" } else { "false" })
}
