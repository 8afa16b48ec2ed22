//! What is said about the credentials that are accepted: in documents, sentences and challenges.

use std::sync::Arc;

use http::HeaderValue;
use serde::Serialize;

use crate::credential::{CredentialPolicy, Kinds, Sent, Way};

/// What is said about the credentials that are accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) json: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) challenges: Vec<HeaderValue>,
}

/// An item of the member `accepted_credentials`.
#[derive(Serialize)]
struct AcceptedForm<'f> {
    kind: &'static str,
    #[serde(rename = "in")]
    place: &'static str,
    name: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'f str>,
}

impl<'f> AcceptedForm<'f> {
    fn of(way: &'f Way) -> Self {
        let kind = if way.credential.is_key() { "api_key" } else { "token" };
        Self { kind, place: "header", name: &way.header, scheme: way.scheme.as_deref() }
    }
}

impl Accepted {
    /// What is said where credentials of these kinds are accepted.
    pub(super) fn of(kinds: Kinds, policy: &CredentialPolicy, realm: &str) -> Self {
        let ways = policy.ways(kinds);
        let forms: Vec<_> = ways.iter().map(AcceptedForm::of).collect();
        // INVARIANT: text is always serializable.
        let json = serde_json::to_string(&forms).unwrap_or_default();
        let (keys, tokens): (Vec<&Way>, _) = ways.iter().partition(|way| way.credential.is_key());
        let lists: Vec<String> =
            [sentence("an API key", "key", &keys), sentence("a token", "token", &tokens)]
                .into_iter()
                .flatten()
                .collect();
        let between = if kinds == Kinds::Both { "; together with " } else { ", or " };
        let text = lists.join(between);
        Self { json: json.into(), text: text.into(), challenges: challenges(&ways, policy, realm) }
    }
}

/// Each way to send a credential, in words.
fn sentence(article: &str, word: &str, ways: &[&Way]) -> Option<String> {
    let text = |(at, way): (usize, &&Way)| {
        let article = if at == 0 { format!("{article} ") } else { String::new() };
        match (&way.scheme, way.credential, &*way.header) {
            (_, Sent::ApiKeyInBasic, _) => {
                format!("{article}as the user name or the password of `Authorization: Basic`")
            }
            (Some(scheme), _, _) => format!("{article}as `Authorization: {scheme} <{word}>`"),
            (None, _, "authorization") => format!("{article}as `Authorization: <{word}>`"),
            (None, _, header) => format!("{article}in {header}"),
        }
    };
    let texts: Vec<String> = ways.iter().enumerate().map(text).collect();
    (!texts.is_empty()).then(|| texts.join(", or "))
}

/// One challenge for each kind and place, Bearer first (RFC 9110 section 11.6.1). There is none for
/// `Basic`: a browser would ask people for a password.
fn challenges(ways: &[Way], policy: &CredentialPolicy, realm: &str) -> Vec<HeaderValue> {
    let mut challenges = Vec::new();
    if ways.iter().any(|way| way.scheme.as_deref() == Some("Bearer")) {
        challenges.push(quoted(format!("Bearer realm=\"{realm}\"")));
    }
    for way in ways.iter().filter(|way| way.credential == Sent::Token && way.scheme.is_none()) {
        challenges.push(quoted(format!("Bearer realm=\"{realm}\", header=\"{}\"", way.header)));
    }
    if ways.iter().any(|way| way.credential.is_key()) {
        let header = &policy.key_header;
        challenges.push(quoted(format!("ApiKey realm=\"{realm}\", header=\"{header}\"")));
    }
    challenges
}

/// INVARIANT: realm, header names and scopes are printable ASCII without quotes and
/// backslashes, by the checks of the policy.
pub(super) fn quoted(challenge: String) -> HeaderValue {
    HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"))
}
