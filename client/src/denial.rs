//! The document as a type.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    AcceptedCredential, AcceptedIssuer, Action, Actor, Category, Code, LimitState,
    PresentedCredential, seconds,
};

/// Why a request was refused: the body of the response (RFC 9457).
///
/// The first fifteen members may stand in any denial; each of the others belongs to the codes that
/// it speaks of. `None` and an empty list mean that the document does not have the member. An API
/// that tells as little as it can leaves out `detail` and nearly all that follows `instance`.
///
/// [`parse`](Self::parse) reads it from a response. It is an error whose message is for people, so
/// that it can be returned with `?`. See the module docs for an example.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Denial {
    /// The address of the page about the code, `type` in the document. It ends with the code, and
    /// may be relative to the address of the request.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// What happened, in a few words that are the same for every denial of this code.
    pub title: String,
    /// The status of the response, from 400 to 599. Decide by `code` and `category`: many APIs
    /// answer every denial with 403.
    pub status: u16,
    /// The stable name of the reason.
    pub code: Code,
    /// What kind of reason it is: what to fall back on for a code that you do not know.
    pub category: Category,
    /// What happened to this request, in a sentence for people. Every fact in it is also a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next, in sentences for the developer of the client.
    pub remedy: String,
    /// What has to be done. [`advice`](Self::advice) follows it.
    pub action: Action,
    /// Who does it.
    pub actor: Actor,
    /// What the rule that refused asks for: the address of its entry in the API's handbook. It may be
    /// relative to the address of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The address to ask for help at, quoting `instance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// How long to wait before the same request may succeed: whole seconds, at least one. It is
    /// that of the header `Retry-After` (RFC 9110 section 10.2.3) where the body has none. See
    /// [`retry_delay`](Self::retry_delay).
    #[serde(
        serialize_with = "seconds::optional::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
    /// Names this one denial, as `urn:uuid:…`. The server's log knows it under the same name.
    pub instance: String,
    /// The rule of the API's policy that decided. Only systems for tests tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,

    /// The credentials that are accepted here, and where each is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_credentials: Vec<AcceptedCredential>,
    /// Where credentials were found in the request, one entry for each; never their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub presented: Vec<PresentedCredential>,
    /// The first check of the key's form that failed: `empty`, `prefix` (of another environment?),
    /// `length` (cut off?), `characters` or `check_digits` (misspelt?); others may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_check: Option<String>,
    /// What keys of this environment begin with, before the `_`; a key that is unknown has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_prefix: Option<String>,
    /// How many characters a key has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_length: Option<u64>,
    /// The public name of the API key, which was proven. It is not a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When the credential expired (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<String>,
    /// From when on the credential is good (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// What the server's clock said, to compare your own with (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<String>,
    /// How large a token may be, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Whose tokens are accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_issuers: Vec<AcceptedIssuer>,
    /// What `alg` of a token may be, for its issuer (RFC 7515 section 4.1.1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_algorithms: Vec<String>,
    /// What `aud` of a token may be: one of these is enough (RFC 7519 section 4.1.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected_audience: Vec<String>,
    /// What `typ` in the header of a token may be (RFC 7515 section 4.1.9).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected_type: Vec<String>,
    /// The claim of the token that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// In which way the claim does not match: `absent`, `different` or `api_key`; others may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// What the token seems to be instead: `id_token`; others may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<String>,
    /// The scopes that are needed here, all of them (RFC 6749 section 3.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// Those of the required scopes that the credential does not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// Scopes of which at least one is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_scopes: Vec<String>,
    /// The scopes that the credential holds. Only systems for tests tell them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted_scopes: Vec<String>,
    /// Roles of which the caller needs at least one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_roles: Vec<String>,
    /// The address that the server saw the request come from. Behind a proxy or NAT it is the
    /// outer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The ranges of addresses that are allowed (CIDR). Only systems for tests tell them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_addresses: Vec<String>,
    /// The methods that the path is open for; equal to the header `Allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_methods: Vec<String>,
    /// The code of what failed now, where the address has to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Code>,
    /// How many tokens this request takes from each limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Every limit of this request, longest wait first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitState>,

    /// What has no field above, or is not of its type.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

impl Denial {
    /// A member by its name: of a newer server, of a code of the API itself, or one that has a field
    /// too. `None` where it is absent, or is not of this type.
    ///
    /// ```
    /// # use tollgate_client::Denial;
    /// # fn tell(denial: &Denial) {
    /// if denial.code == "order_shipped" {
    ///     println!("shipped on {:?}", denial.member::<String>("shipped_on"));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn member<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        if let Some(member) = self.other.get(name) {
            return T::deserialize(member).ok();
        }
        let document = serde_json::to_value(self).ok()?;
        T::deserialize(document.get(name)?).ok()
    }

    /// The names of the members that have no field, or are not of its type.
    pub fn other_members(&self) -> impl Iterator<Item = &str> {
        self.other.keys().map(String::as_str)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.remedy)
    }
}

impl Error for Denial {}
