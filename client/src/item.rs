//! What the arrays of the document are made of. Members that a newer server adds to them are
//! kept, and written again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::seconds;

/// A way to send a credential that is accepted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AcceptedCredential {
    /// Which credential: `api_key` or `token`; others may be added.
    pub kind: String,
    /// Where it is sent: `header`; others may be added.
    #[serde(rename = "in")]
    pub place: String,
    /// The name of the header, in lower case.
    pub name: String,
    /// The scheme before the credential, as in `Authorization: Bearer <token>` (RFC 9110
    /// section 11.1). Without one the credential is the whole value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Where a credential was found in the request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PresentedCredential {
    /// Where it was sent: `header`; others may be added.
    #[serde(rename = "in")]
    pub place: String,
    /// The name of the header, in lower case.
    pub name: String,
    /// The scheme before the credential, where it is one that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AcceptedIssuer {
    /// What `iss` of the token is, byte by byte (RFC 7519 section 4.1.1).
    pub iss: String,
    /// The address where to get tokens; `None` where the API does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obtain: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// How a limit stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LimitState {
    /// The name of the limit.
    pub limit: String,
    /// What it is counted for: `client`, `address`, `rule`, `global`, `claim:<name>` or
    /// `header:<name>`, or several together.
    pub per: Vec<String>,
    /// How fast it refills, such as `100/minute`.
    pub rate: String,
    /// What is counted: `requests`; others may be added.
    pub unit: String,
    /// How much it holds when it is full: what can be spent at once. At least 1.
    pub quota: u64,
    /// How long it takes to fill, in whole seconds.
    #[serde(with = "seconds")]
    pub window: Duration,
    /// How much is left now.
    pub remaining: u64,
    /// In how long there is enough for this request, in whole seconds: zero when there is, `None`
    /// when there never will be.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub reset: Option<Duration>,
    #[serde(flatten)]
    other: Map<String, Value>,
}
