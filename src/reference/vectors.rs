//! Requests that are denied, one for each code.

use http::Method;
use serde_json::Value;

use super::stage::{PARTNER, SIGNED_OUT, Stage, in_seconds};
use crate::denial::Code;

/// A request that is denied with a certain code.
pub(super) struct Vector {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) sent: Vec<Sent>,
    pub(super) times: usize,
    pub(super) without_address: bool,
}

pub(super) struct Sent {
    /// `None` for the header of API keys.
    pub(super) header: Option<&'static str>,
    pub(super) value: String,
    /// What stands in the example in its place.
    pub(super) shown: String,
}

fn key(value: String, what: &str) -> Sent {
    Sent { header: None, value, shown: format!("<{what}>") }
}

fn bearer(token: &str, what: &str) -> Sent {
    let value = format!("Bearer {token}");
    Sent { header: Some("authorization"), value, shown: format!("Bearer <{what}>") }
}

fn call(method: Method, path: &'static str, sent: Vec<Sent>) -> Vector {
    Vector { method, path, sent, times: 1, without_address: false }
}

/// `None` for codes that no request leads to.
pub(super) fn vector(stage: &Stage, code: Code) -> Option<Vector> {
    let read = |sent| call(Method::GET, "/orders", vec![sent]);
    let claim = |name: &'static str, value: Value| stage.token(|_, claims| claims[name] = value);
    let good = || stage.token(|_, _| {});
    let good_token = || bearer(&good(), "a token");
    let unknown = || key(stage.key("unknown"), "an API key of another environment");
    Some(match code {
        Code::CredentialsMissing => call(Method::GET, "/orders", vec![]),
        Code::CredentialsMultiple => {
            let sent = vec![good_token(), key(stage.key("billing-2027"), "an API key")];
            call(Method::GET, "/orders", sent)
        }
        Code::CredentialsUnsupported => {
            let (value, shown) = match stage.takes_basic() {
                false => ("Basic Ym9iOnNlY3JldA==".into(), "Basic <name and password>".into()),
                true => ("Digest username=\"bob\"".into(), "Digest <parameters>".into()),
            };
            read(Sent { header: Some("authorization"), value, shown })
        }
        Code::ApiKeyMalformed => {
            let mut cut = stage.key("billing-2027");
            cut.truncate(24);
            read(key(cut, "the first half of an API key"))
        }
        Code::ApiKeyUnknown => read(key(stage.key("unknown"), "an API key that was deleted")),
        Code::ApiKeyExpired => read(key(stage.key("billing-2026"), "an API key of last year")),
        Code::ApiKeyNotYetValid => {
            read(key(stage.key("billing-2028"), "an API key for next month"))
        }
        Code::ApiKeyRevoked => read(key(stage.key("billing-lost"), "an API key that was lost")),
        Code::ApiKeyAddressNotAllowed => {
            read(key(stage.key("billing-office"), "an API key for the office alone"))
        }
        Code::TokenMalformed => {
            read(bearer("eyJhbGciOiJIUzI1NiJ9.eyJ", "a token that was cut off"))
        }
        Code::TokenTooLarge => read(bearer(&"a".repeat(9000), "a token of 9000 bytes")),
        Code::TokenAlgorithmNotAllowed => {
            let token = stage.token(|header, _| header["alg"] = "none".into());
            read(bearer(&token, "a token with the algorithm none"))
        }
        Code::TokenIssuerUnknown => {
            let token = claim("iss", "https://id.staging.example.com/".into());
            read(bearer(&token, "a token of another environment"))
        }
        Code::TokenKeyUnknown => {
            let token = stage.token(|header, claims| {
                header["alg"] = "ES256".into();
                header["kid"] = "2026".into();
                claims["iss"] = PARTNER.into();
            });
            read(bearer(&token, "a token signed with last year's key"))
        }
        Code::TokenSignatureInvalid => {
            let mut token = good();
            token.truncate(token.len() - 3);
            read(bearer(&(token + "AAA"), "a token that was changed"))
        }
        Code::TokenExpired | Code::InvalidCredentials => {
            read(bearer(&claim("exp", in_seconds(-600)), "a token that expired ten minutes ago"))
        }
        Code::TokenNotYetValid => {
            read(bearer(&claim("nbf", in_seconds(120)), "a token from a clock that is ahead"))
        }
        Code::TokenAudienceMismatch => {
            let token = stage.token(|_, claims| {
                claims["aud"] = "mobile-app".into();
                claims["nonce"] = "n-0S6_WzA2Mj".into();
            });
            read(bearer(&token, "an ID token"))
        }
        Code::TokenTypeMismatch => {
            let token = stage.token(|header, _| header["typ"] = "logout+jwt".into());
            read(bearer(&token, "a token for logging out"))
        }
        Code::TokenProofRequired => {
            let token = stage.token(|_, claims| {
                claims["cnf"] =
                    serde_json::json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"});
            });
            read(bearer(&token, "a token that is bound to a key of its client"))
        }
        Code::TokenClaimMissing => {
            let token = stage.token(|_, claims| {
                if let Some(claims) = claims.as_object_mut() {
                    claims.remove("sub");
                }
            });
            read(bearer(&token, "a token without sub"))
        }
        Code::TokenClaimInvalid => {
            read(bearer(&claim("exp", "tomorrow".into()), "a token whose exp is a word"))
        }
        Code::InsufficientScope | Code::AccessDenied => {
            let sent = bearer(&good(), "a token with the scope orders:read");
            call(Method::POST, "/orders", vec![sent])
        }
        Code::InsufficientRole => call(Method::POST, "/refunds", vec![good_token()]),
        Code::ClaimMismatch => call(Method::GET, "/acme/orders", vec![good_token()]),
        Code::AddressNotAllowed => call(Method::GET, "/back-office", vec![good_token()]),
        Code::NoMatchingRule => call(Method::GET, "/ordres", vec![good_token()]),
        Code::MethodNotAllowed => call(Method::DELETE, "/orders", vec![good_token()]),
        Code::RateLimited | Code::LimitExceeded => {
            let token = claim("sub", "busy-app".into());
            Vector { times: 6, ..read(bearer(&token, "a token, for the sixth time in a second")) }
        }
        Code::TooManyFailures => Vector { times: 4, ..read(unknown()) },
        Code::DecisionFailed => Vector { without_address: true, ..read(good_token()) },
        Code::TokenRevoked => {
            let token = claim("jti", SIGNED_OUT.into());
            read(bearer(&token, "a token of a session that was ended"))
        }
        Code::KeySourceUnavailable | Code::LimiterUnavailable | Code::TemporarilyUnavailable => {
            return None;
        }
    })
}
