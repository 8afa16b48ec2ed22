//! From the error of a stage to a code and the facts.

use std::sync::Arc;

use http::{HeaderValue, Method};
use serde::Serialize;

use super::catalogue as codes;
use super::code::DenialCode;
use super::document::{Denial, Fact};
use crate::credential::{CredentialError, KeyFault, Place, Unsupported};
use crate::limit::{Balance, TooManyFailures, Wait};
use crate::policy::{NoRule, Policy, Refusal, Rule};
use crate::principal::{CredentialKind, Principal};
use crate::time::{MICROS, rfc3339, seconds_up};
use crate::verify::{ClaimFault, Issuer, KeyError, KeyRecord, TokenError, algorithm_name};

/// What a denial is made from, beside the error.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'s> {
    pub(crate) policy: &'s Policy,
    pub(crate) rule: &'s Arc<Rule>,
}

/// The codes of credentials that were presented and proved nothing. They count against the
/// address they came from; their place in this list is their number there.
pub(crate) static PROVED_NOTHING: [&DenialCode; 8] = [
    &codes::API_KEY_MALFORMED,
    &codes::API_KEY_UNKNOWN,
    &codes::TOKEN_MALFORMED,
    &codes::TOKEN_TOO_LARGE,
    &codes::TOKEN_ALGORITHM_NOT_ALLOWED,
    &codes::TOKEN_ISSUER_UNKNOWN,
    &codes::TOKEN_KEY_UNKNOWN,
    &codes::TOKEN_SIGNATURE_INVALID,
];

impl Denial {
    /// No rule covers the request.
    pub(crate) fn no_rule(reason: NoRule) -> Self {
        match reason {
            NoRule::Path => Self::new(&codes::NO_MATCHING_RULE),
            NoRule::Method(allowed) => {
                let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                let allow = HeaderValue::try_from(names.join(", ")).ok();
                let mut denial =
                    Self::new(&codes::METHOD_NOT_ALLOWED).texts("allowed_methods", names);
                denial.draft_mut().allow = allow;
                denial
            }
        }
    }

    /// The gate, or the way it is mounted, is at fault.
    pub(crate) fn decision_failed(cause: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::new(&codes::DECISION_FAILED).because(cause)
    }

    /// The number of this failure in [`PROVED_NOTHING`], where it is one.
    pub(crate) fn proved_nothing(&self) -> Option<u32> {
        let at = PROVED_NOTHING.iter().position(|row| row.code == self.code());
        at.map(|at| at as u32)
    }

    /// Lists the credentials that are accepted.
    fn naming_accepted(mut self) -> Self {
        self.draft_mut().names_accepted = true;
        self
    }

    /// The same occurrence under another code.
    pub(super) fn with_instance_of(mut self, other: &Self) -> Self {
        self.draft_mut().instance = other.draft().instance;
        self.draft_mut().rule.clone_from(&other.draft().rule);
        self
    }
}

impl Scene<'_> {
    fn deny(&self, code: &'static DenialCode) -> Denial {
        self.place(Denial::new(code))
    }

    /// Tells a denial where it happened: the rule, and what that accepts.
    pub(crate) fn place(&self, mut denial: Denial) -> Denial {
        let draft = denial.draft_mut();
        draft.rule = Some(self.rule.clone());
        if let Some(demands) = self.rule.demands() {
            let (keys, tokens) = (self.policy.takes_keys, !self.policy.issuers.is_empty());
            draft.accepted = match (demands.api_key && keys, demands.token && tokens) {
                // Nothing is configured that could be accepted: say what would be.
                (false, false) => (demands.api_key, demands.token),
                accepted => accepted,
            };
        }
        denial
    }

    pub(crate) fn credential(&self, error: CredentialError) -> Denial {
        match error {
            CredentialError::Missing => self.deny(&codes::CREDENTIALS_MISSING).naming_accepted(),
            CredentialError::Unsupported(why) => self.unsupported(why),
            CredentialError::Multiple(places) => {
                let header = self.policy.credential.key_header.as_str();
                let form = |place: &Place| match place {
                    Place::KeyHeader => Presented { place: "header", name: header, scheme: None },
                    Place::Authorization(scheme) => Presented {
                        place: "header",
                        name: "authorization",
                        scheme: scheme.map(|scheme| scheme.as_str()),
                    },
                };
                let text = |place: &Place| match place {
                    Place::KeyHeader => header.to_owned(),
                    Place::Authorization(None) => "authorization".to_owned(),
                    Place::Authorization(Some(scheme)) => {
                        format!("authorization ({})", scheme.as_str())
                    }
                };
                let text = places.iter().take(8).map(text).collect::<Vec<_>>().join(", ");
                let forms = places.iter().map(form).collect::<Vec<_>>();
                let presented = Fact::items(&forms, text);
                self.deny(&codes::CREDENTIALS_MULTIPLE)
                    .naming_accepted()
                    .fact("presented", presented)
            }
        }
    }

    pub(crate) fn unsupported(&self, why: Unsupported) -> Denial {
        let (variant, detail, cause) = match why {
            Unsupported::Scheme => (
                0,
                "The scheme of the Authorization header is not one that is understood here.",
                "the scheme of Authorization is unknown",
            ),
            Unsupported::Kind(CredentialKind::ApiKey) => {
                (1, "An API key is not accepted here.", "an API key was presented")
            }
            Unsupported::Kind(CredentialKind::Token) => {
                (2, "A bearer token is not accepted here.", "a bearer token was presented")
            }
            Unsupported::KeyAsBearer => (
                3,
                "An API key was sent as a bearer token, and keys are not accepted in this form.",
                "an API key was presented as a bearer token, and api_keys.bearer is off",
            ),
        };
        (self.deny(&codes::CREDENTIALS_UNSUPPORTED).naming_accepted())
            .template(detail)
            .variant(variant)
            .because(cause)
    }

    pub(crate) fn key(&self, error: KeyError, now: u64) -> Denial {
        let about = |code, key: &KeyRecord| {
            self.deny(code).naming_accepted().text("key_id", key.id.to_string()).because(format!(
                "key {} of client {}",
                key.id,
                key.principal.client()
            ))
        };
        let server_time = || rfc3339(now / MICROS);
        match error {
            KeyError::Malformed(fault) => self.malformed_key(fault),
            KeyError::Unknown => self.deny(&codes::API_KEY_UNKNOWN).naming_accepted(),
            KeyError::Revoked(key) => about(&codes::API_KEY_REVOKED, &key),
            KeyError::Expired(key, at) => about(&codes::API_KEY_EXPIRED, &key)
                .text("expired_at", rfc3339(at))
                .text("server_time", server_time()),
            KeyError::NotYetValid(key, from) => about(&codes::API_KEY_NOT_YET_VALID, &key)
                .text("valid_from", rfc3339(from))
                .text("server_time", server_time())
                .wait(seconds_up(from.saturating_mul(MICROS).saturating_sub(now))),
            KeyError::AddressNotAllowed(key, address) => {
                about(&codes::API_KEY_ADDRESS_NOT_ALLOWED, &key)
                    .text("address", address.to_string())
                    .texts("allowed_addresses", &key.addresses)
            }
            KeyError::AddressUnknown => self.address_unknown(),
        }
    }

    fn malformed_key(&self, fault: KeyFault) -> Denial {
        let format = self.policy.keys.format();
        let detail = match fault {
            KeyFault::Empty => "The API key is empty.",
            KeyFault::Prefix => {
                "The API key does not begin with {expected_prefix}_: it is of another environment, or no key."
            }
            KeyFault::Length => {
                "The API key does not have {expected_length} characters: it was cut off, or something was added."
            }
            KeyFault::Characters => "The API key holds characters that no key has.",
            KeyFault::CheckDigits => "The check digits of the API key do not fit: it is misspelt.",
        };
        let mut denial = self
            .deny(&codes::API_KEY_MALFORMED)
            .naming_accepted()
            .template(detail)
            .text("failed_check", fault.as_str())
            .variant(fault as u8)
            .because(fault.as_str());
        if let Some(prefix) = format.expected_prefix() {
            denial = denial.text("expected_prefix", prefix.to_owned());
        }
        if let Some(length) = format.expected_length() {
            denial = denial.number("expected_length", length as u64);
        }
        denial
    }

    pub(crate) fn token(&self, error: TokenError, now: u64) -> Denial {
        let server_time = || rfc3339(now / MICROS);
        let wait = error.wait_seconds();
        match error {
            TokenError::TooLarge { max_bytes } => {
                let max_bytes = max_bytes as u64;
                self.deny(&codes::TOKEN_TOO_LARGE).number("max_bytes", max_bytes).variant(0)
            }
            TokenError::Malformed(cause) => {
                self.deny(&codes::TOKEN_MALFORMED).naming_accepted().because(cause)
            }
            TokenError::IssuerUnknown => self.accepting_issuers(&codes::TOKEN_ISSUER_UNKNOWN, None),
            TokenError::KeyUnknown(issuer) => self
                .accepting_issuers(&codes::TOKEN_KEY_UNKNOWN, Some(&issuer))
                .because(of_issuer(&issuer)),
            TokenError::SignatureInvalid(issuer) => self
                .accepting_issuers(&codes::TOKEN_SIGNATURE_INVALID, Some(&issuer))
                .because(of_issuer(&issuer)),
            TokenError::AlgorithmNotAllowed(issuer) => {
                let names = issuer.algorithms.iter().map(|algorithm| algorithm_name(*algorithm));
                self.deny(&codes::TOKEN_ALGORITHM_NOT_ALLOWED)
                    .texts("accepted_algorithms", names)
                    .because(of_issuer(&issuer))
            }
            TokenError::Expired { at } => self
                .deny(&codes::TOKEN_EXPIRED)
                .text("expired_at", rfc3339(at))
                .text("server_time", server_time()),
            TokenError::NotYetValid { from, .. } => self
                .deny(&codes::TOKEN_NOT_YET_VALID)
                .text("valid_from", rfc3339(from))
                .text("server_time", server_time())
                .wait(wait.unwrap_or(1)),
            TokenError::AudienceMismatch { issuer, claim, looks_like_id_token } => looks_like(
                self.deny(&codes::TOKEN_AUDIENCE_MISMATCH)
                    .texts("expected_audience", issuer.audiences.names())
                    .text("claim", claim.to_string())
                    .because(of_issuer(&issuer)),
                looks_like_id_token,
            ),
            TokenError::TypeMismatch { issuer, looks_like_id_token } => looks_like(
                self.deny(&codes::TOKEN_TYPE_MISMATCH)
                    .texts("expected_type", &issuer.types)
                    .because(of_issuer(&issuer)),
                looks_like_id_token,
            ),
            TokenError::ProofRequired(issuer) => {
                self.deny(&codes::TOKEN_PROOF_REQUIRED).because(of_issuer(&issuer))
            }
            TokenError::ClaimMissing { claim, looks_like_id_token } => looks_like(
                self.deny(&codes::TOKEN_CLAIM_MISSING).text("claim", claim.to_string()),
                looks_like_id_token,
            ),
            TokenError::ClaimInvalid { claim, why } => self
                .deny(&codes::TOKEN_CLAIM_INVALID)
                .text("claim", claim.to_string())
                .template(about_claim(why))
                .because(format!("{why:?}")),
        }
    }

    /// Lists all issuers, or the one that the token names.
    fn accepting_issuers(&self, code: &'static DenialCode, named: Option<&Issuer>) -> Denial {
        let all = || self.policy.issuers.iter().map(AsRef::as_ref);
        let items: Vec<AcceptedIssuer<'_>> = match named {
            Some(issuer) => AcceptedIssuer::of(issuer).collect(),
            None => all().flat_map(AcceptedIssuer::of).collect(),
        };
        let text = |issuer: &AcceptedIssuer<'_>| match issuer.obtain {
            Some(obtain) => format!("{} (see {obtain})", issuer.iss),
            None => issuer.iss.to_owned(),
        };
        let text = items.iter().take(8).map(text).collect::<Vec<_>>().join(" or ");
        let mut denial = self.deny(code);
        if !items.is_empty() {
            denial = denial.fact("accepted_issuers", Fact::items(&items, text));
        }
        // Where there are several, the token decides which of them is named.
        if named.is_none() || all().nth(1).is_none() { denial.variant(0) } else { denial }
    }

    pub(crate) fn refusal(&self, refusal: Refusal, principal: Option<&Principal>) -> Denial {
        match (refusal, self.rule.demands()) {
            (Refusal::AddressUnknown, _) => self.address_unknown(),
            (Refusal::Address(address), _) => self
                .deny(&codes::ADDRESS_NOT_ALLOWED)
                .text("address", address.to_string())
                .texts("allowed_addresses", &self.rule.addresses),
            (Refusal::Scope, Some(demands)) => {
                let missing = principal.map(|principal| demands.missing_scopes(principal));
                self.insufficient_scope(
                    principal,
                    demands.scopes.clone(),
                    missing.unwrap_or_default().into_iter().cloned().collect(),
                    demands.any_scopes.clone(),
                )
            }
            (Refusal::Role, Some(demands)) => {
                self.deny(&codes::INSUFFICIENT_ROLE).texts("required_roles", &demands.roles)
            }
            (Refusal::Claim { claim, mismatch }, _) => self
                .deny(&codes::CLAIM_MISMATCH)
                .text("claim", claim.to_string())
                .text("mismatch", mismatch.as_str()),
            (refusal, None) => self.place(Denial::decision_failed(format!(
                "a public rule refused a principal: {refusal:?}"
            ))),
        }
    }

    /// Both the rule and the extractor [`Scoped`](crate::Scoped) refuse with this.
    pub(crate) fn insufficient_scope(
        &self,
        principal: Option<&Principal>,
        required: Vec<crate::scope::Scope>,
        missing: Vec<crate::scope::Scope>,
        any: Vec<crate::scope::Scope>,
    ) -> Denial {
        let granted: Vec<String> = principal
            .map_or_else(Vec::new, |p| p.scopes().iter().map(ToString::to_string).collect());
        let mut denial = self
            .deny(&codes::INSUFFICIENT_SCOPE)
            .texts("required_scopes", &required)
            .texts("missing_scopes", missing)
            .texts("any_scopes", &any)
            .texts("granted_scopes", granted);
        if principal.is_some_and(|principal| principal.credential() == CredentialKind::Token) {
            denial.draft_mut().challenge_scopes = required.into_iter().chain(any).collect();
        }
        denial
    }

    pub(crate) fn rate_limited(&self, balance: Balance) -> Denial {
        let cost = u64::from(self.rule.cost.get());
        let mut denial =
            self.deny(&codes::RATE_LIMITED).number("cost", cost).fact("limits", Fact::Limits);
        let wait = balance.wait();
        let draft = denial.draft_mut();
        draft.balance = balance;
        if wait == Wait::Never {
            draft.retryable = Some(false);
            draft.remedy = Some(
                "A request of cost {cost} never fits into {limits}: ask for less at once, or for a larger plan.",
            );
            return denial;
        }
        denial.wait(wait.seconds().unwrap_or(1))
    }

    pub(crate) fn too_many_failures(&self, failures: TooManyFailures) -> Denial {
        let last = PROVED_NOTHING.get(failures.last as usize).map_or("", |row| row.code);
        self.deny(&codes::TOO_MANY_FAILURES)
            .text("last_failure", last)
            .wait(seconds_up(failures.wait))
    }

    /// The decision needs the client's address, and the server does not know it.
    pub(crate) fn address_unknown(&self) -> Denial {
        self.place(Denial::decision_failed(
            "the rule needs the client's address, and the server does not tell it: serve the app \
             with `into_make_service_with_connect_info::<SocketAddr>()`",
        ))
    }
}

/// An item of the member `presented`.
#[derive(Serialize)]
struct Presented<'p> {
    #[serde(rename = "in")]
    place: &'static str,
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'static str>,
}

/// An item of the member `accepted_issuers`.
#[derive(Serialize)]
struct AcceptedIssuer<'i> {
    iss: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    obtain: Option<&'i str>,
}

impl<'i> AcceptedIssuer<'i> {
    /// One for each name of the issuer.
    fn of(issuer: &'i Issuer) -> impl Iterator<Item = Self> {
        issuer.iss.names().map(|iss| Self { iss, obtain: issuer.obtain.as_deref() })
    }
}

/// What is wrong with a claim, in a sentence.
fn about_claim(why: ClaimFault) -> &'static str {
    match why {
        ClaimFault::NotATime => {
            "The claim {claim} of the token is not a number: a time is a JSON number of seconds since 1970."
        }
        ClaimFault::OutOfRange => {
            "The claim {claim} of the token is not a time from 1970 to 9999, in seconds since 1970."
        }
        ClaimFault::Milliseconds => {
            "The claim {claim} of the token looks like milliseconds: a time is in seconds since 1970."
        }
        ClaimFault::Lifetime => {
            "The claim {claim} of the token is further ahead than tokens may live here."
        }
        ClaimFault::NotAnAudience => {
            "The claim {claim} of the token is neither text nor an array of texts."
        }
        ClaimFault::NotAClient => {
            "The claim {claim} of the token is neither text nor a whole number."
        }
        ClaimFault::Empty => "The claim {claim} of the token is empty.",
        ClaimFault::NotScopes => {
            "The claim {claim} of the token is not a list of scopes: text with spaces between, or an array of texts."
        }
        ClaimFault::NotRoles => {
            "The claim {claim} of the token is neither text, nor an array of texts, nor an object."
        }
        ClaimFault::NotAPlan => "The claim {claim} of the token is not text.",
        ClaimFault::NotAccepted => {
            "The claim {claim} of the token does not have a value that is accepted from its issuer."
        }
        ClaimFault::NotAsTheHandlerAsks => {
            "The claim {claim} of the token does not have the type that is needed here."
        }
    }
}

fn looks_like(denial: Denial, id_token: bool) -> Denial {
    if id_token { denial.text("looks_like", "id_token") } else { denial }
}

fn of_issuer(issuer: &Issuer) -> String {
    format!("issuer {}", issuer.name)
}
