//! What is said about the credentials that are accepted: in documents, sentences and challenges.

use std::sync::Arc;

use http::HeaderValue;
use serde::Serialize;

/// What is said about the credentials that are accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) json: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) challenges: Vec<HeaderValue>,
}

impl Accepted {
    /// Whether anything is accepted.
    pub(super) fn any(&self) -> bool {
        !self.text.is_empty()
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
pub(super) struct CredentialForms<'p> {
    pub(super) realm: &'p str,
    pub(super) key_header: &'p str,
    pub(super) keys_as_bearer: bool,
}

impl CredentialForms<'_> {
    pub(super) fn accepted(&self, (keys, tokens): (bool, bool)) -> Accepted {
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
pub(super) fn quoted(challenge: String) -> HeaderValue {
    HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"))
}
