//! Example responses: each is what a client would be sent.
//!
//! They are made from decisions about requests to the small API of [`stage`](super::stage), and
//! show denials as the policy in force does. Codes that this release cannot provoke are written without a request.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, Response};
use serde_json::Value;

use super::Api;
use super::json::Json;
use super::stage::{Call, PARTNER, SIGNED_OUT, Stage, at_once, in_seconds};
use crate::denial::{Code, Denial, DenialCode, Media};
use crate::policy::Disclosure;

/// A response, and the request that it answers.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    /// The head of the request; credentials are described, not shown.
    pub(crate) request: Option<String>,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Json,
}

impl Example {
    /// The response as it goes over the wire, the body spread over lines.
    pub(crate) fn response(&self) -> String {
        let mut text = format!("HTTP/1.1 {} {}\n", self.status, self.reason);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\n");
        }
        text + "\n" + &self.body.pretty()
    }
}

/// The examples, in the order of the codes.
pub(super) fn all(api: &Api<'_>) -> Vec<(String, Example)> {
    let stages = (Stage::new(api, api.denial.disclosure), Stage::new(api, Disclosure::Minimal));
    let (Some(standard), Some(minimal)) = stages else { return Vec::new() };
    let example = |(at, code): (usize, &&DenialCode)| {
        let stage = if code.is_group() { &minimal } else { &standard };
        let example = match code.known {
            Some(known) => of_row(api, stage, known, at),
            None => of_application(api, code),
        };
        Some((code.code.to_owned(), example?))
    };
    api.codes.iter().enumerate().filter_map(example).collect()
}

fn of_row(api: &Api<'_>, stage: &Stage, code: Code, at: usize) -> Option<Example> {
    let Some(vector) = vector(stage, code) else {
        return Example::of(stage.write(&unprovoked(code)), None);
    };
    // Failures are counted for each address, so every example comes from one of its own.
    let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, u8::try_from(at).unwrap_or(0) + 1));
    let key_header = api.key_header();
    let mut request =
        format!("{} {} HTTP/1.1\nHost: api.example.com\n", vector.method, vector.path);
    let mut headers = Vec::new();
    for Sent { header, value, shown } in vector.sent {
        let header = header.unwrap_or(key_header);
        request += &format!("{}: {shown}\n", written(header));
        headers.push((header.to_owned(), value));
    }
    let from = (!vector.without_address).then_some(address);
    let call = Call { method: vector.method, path: vector.path, headers, from };
    for _ in 1..vector.times {
        stage.answer(&call);
    }
    Example::of(stage.answer(&call)?, Some(request))
}

/// The denial of a code that no request leads to, in this release or on this stage.
fn unprovoked(code: Code) -> Denial {
    let denial = Denial::new(code.row());
    if code.row().retryable { denial.retry_after(Duration::from_secs(5)) } else { denial }
}

/// Members of its own that its example does not have stand in its sentences by their names.
fn of_application(api: &Api<'_>, code: &DenialCode) -> Option<Example> {
    let mut denial = Denial::named(code.code.to_owned());
    denial.draft_mut().own = code.example.own();
    Example::of(api.snapshot?.voice.renderer.render(&denial, Media::Document), None)
}

impl Example {
    fn of(response: Response<Body>, request: Option<String>) -> Option<Self> {
        let (head, body) = response.into_parts();
        let body = at_once(to_bytes(body, usize::MAX))?.ok()?;
        let mut body = Json::parse(std::str::from_utf8(&body).ok()?);
        body.set("instance", INSTANCE);
        let mut headers: Vec<(String, String)> = (head.headers.iter())
            // It counts the body as it is sent, which is laid out here.
            .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
            .filter_map(|(name, value)| Some((written(name.as_str()), value.to_str().ok()?.into())))
            .collect();
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        headers.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
        let reason = head.status.canonical_reason().unwrap_or_default();
        Some(Self { request, status: head.status.as_u16(), reason, headers, body })
    }
}

/// Stands for the id that each denial has of its own.
const INSTANCE: &str = "urn:uuid:0f9d6a4e-52c1-4b7e-9a3d-6c1e8f2b7d05";

/// Headers as they are usually written, in the order of examples.
const ORDER: [&str; 15] = [
    "Authorization",
    "WWW-Authenticate",
    "Retry-After",
    "retry-after-ms",
    "x-should-retry",
    "Allow",
    "RateLimit-Policy",
    "RateLimit",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Content-Type",
    "Cache-Control",
    "Vary",
    "X-Content-Type-Options",
];

/// The name of a header as it is usually written.
pub(super) fn written(name: &str) -> String {
    let known = ORDER.iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map_or_else(|| name.to_owned(), |known| (*known).to_owned())
}

/// A request that is denied with a certain code.
struct Vector {
    method: Method,
    path: &'static str,
    sent: Vec<Sent>,
    times: usize,
    without_address: bool,
}

struct Sent {
    /// `None` for the header of API keys.
    header: Option<&'static str>,
    value: String,
    /// What stands in the example in its place.
    shown: String,
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
fn vector(stage: &Stage, code: Code) -> Option<Vector> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_catalogue_has_a_real_example() {
        let api = Api::any();
        let examples = all(&api);
        assert_eq!(examples.len(), DenialCode::catalogue().len());
        for (code, example) in &examples {
            assert_eq!(example.body.get("code").and_then(Json::text), Some(code.as_str()));
            let unprovoked = ["key_source_unavailable", "limiter_unavailable"];
            let is_provoked =
                !unprovoked.contains(&code.as_str()) && code != "temporarily_unavailable";
            assert_eq!(example.request.is_some(), is_provoked, "{code}");
        }
        let again = all(&api);
        for ((code, one), (_, other)) in examples.iter().zip(&again) {
            assert_eq!(one.response(), other.response(), "{code} is the same each time");
        }
    }

    #[test]
    fn examples_look_as_the_policy_says() {
        let policy = "version = 1\n[denial]\nstatus = \"standard\"\ndisclosure = \"detailed\"\n\
             docs = \"https://docs.example.com\"\nsupport = \"https://help.example.com\"\n\
             realm = \"shop\"\nratelimit_headers = \"legacy\"\n[[denial.code]]\ncode = \"out_of_stock\"\n\
             title = \"Out of stock\"\ncategory = \"authorization\"\nremedy = \"Order later.\"\n\
             [api_keys]\nheader = \"x-shop-key\"\nprefix = \"shop\"\n";
        let gate = at_once(crate::Tollgate::builder().policy(policy).build()).unwrap().unwrap();
        let snapshot = gate.gate().current();
        let api = Api::of(&snapshot);
        let shown = |code: &str| {
            let found = api.examples().iter().find(|(of, _)| of == code);
            let (_, example) = found.unwrap_or_else(|| panic!("{code}"));
            example.request.clone().unwrap_or_default() + &example.response()
        };
        let scope = shown("insufficient_scope");
        assert!(scope.contains("\"granted_scopes\"") && scope.contains("403 Forbidden"));
        let key = shown("api_key_malformed");
        assert!(key.starts_with("GET /orders HTTP/1.1\nHost: api.example.com\nx-shop-key: <the"));
        for part in ["401 Unauthorized", "realm=\"shop\"", "\"expected_prefix\": \"shop\""] {
            assert!(key.contains(part), "{part}: {key}");
        }
        assert!(key.contains("https://docs.example.com/api_key_malformed"));
        assert!(shown("rate_limited").contains("\nX-RateLimit-Remaining: 0\n"));
        assert!(shown("access_denied").contains("\"support\": \"https://help.example.com\""));
        assert!(shown("out_of_stock").contains("\"remedy\": \"Order later.\""));
    }
}
