//! Each code of the catalogue is explained, provoked by a request, and answered in both status
//! modes alike.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tollgate::DenialCode;

use super::support::{
    self, Answer, NOW, Server, bearer, claims, header, key, token, token_of_text,
};

/// These are provoked where there is a store over the network: `shared_limits`.
const ELSEWHERE: [&str; 1] = ["limiter_unavailable"];

/// These stand in the place of others, at `disclosure = "minimal"`.
const GROUPS: [&str; 4] =
    ["invalid_credentials", "access_denied", "limit_exceeded", "temporarily_unavailable"];

/// Requests that are denied, each with the code it must provoke.
pub(super) struct Vectors {
    pub(super) policy: String,
    pub(super) requests: Vec<Vector>,
}

pub(super) struct Vector {
    pub(super) code: &'static str,
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    from: &'static str,
    times: usize,
}

fn vector(code: &'static str, path: &'static str, headers: &[(&'static str, &str)]) -> Vector {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Vector { code, method: Method::GET, path, headers, from: "127.0.0.1", times: 1 }
}

/// The requests, for a policy with this `[denial]`.
pub(super) fn vectors(denial: &str) -> Vectors {
    let (good, good_entry) = key("good", "billing", "scopes = [\"orders:read\"]");
    let (expired, expired_entry) = key("old", "billing", "expires = 2026-06-01T00:00:00Z");
    let (early, early_entry) = key("early", "billing", "not_before = 2027-02-01T00:00:00Z");
    let (revoked, revoked_entry) = key("gone", "billing", "revoked = true");
    let (bound, bound_entry) = key("bound", "billing", "addresses = [\"203.0.113.0/24\"]");
    let (unknown, _) = key("unknown", "nobody", "");
    let misspelt =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    let policy = format!(
        r#"version = 1
{denial}
[api_keys]
{good_entry}{expired_entry}{early_entry}{revoked_entry}{bound_entry}
{issuer}
obtain = "https://id.example.com/docs"
[[issuer]]
name = "down"
iss = "https://down.example.com/"
audiences = ["https://api.example.com"]
algorithms = ["EdDSA"]
keys = {{ jwks_url = "http://127.0.0.1:1/jwks.json" }}
[failures]
rate = "1/hour"
burst = 2
[[limit]]
name = "slow"
rate = "1/hour"
per = ["client"]
[[rule]]
name = "orders"
methods = ["GET"]
path = "/orders"
scopes = ["orders:read"]
[[rule]]
name = "write"
path = "/write"
scopes = ["orders:read", "orders:write"]
[[rule]]
name = "role"
path = "/role"
roles = ["admin"]
[[rule]]
name = "claim"
path = "/claim"
claims = {{ tenant = "acme" }}
[[rule]]
name = "inside"
path = "/inside"
addresses = ["10.0.0.0/8"]
[[rule]]
name = "slow"
path = "/slow"
limits = ["slow"]
[[revoked]]
jti = "signed-out"
[[rule]]
name = "tokens"
path = "/tokens"
credentials = ["token"]
"#,
        issuer = support::issuer(),
    );
    let good_token = bearer(|_| {});
    let with = |change: &dyn Fn(&mut Value)| bearer(change);
    let of_header = |header: Value| format!("Bearer {}", token(&header, &claims()));
    let twice = token_of_text(&header().to_string(), r#"{"iss":"a","x":{"a":1,"a":2}}"#);
    let large = format!("Bearer {}", "a".repeat(9000));
    let auth = "authorization";
    let mut of_down = claims();
    of_down["iss"] = "https://down.example.com/".into();
    let mut requests = vec![
        vector("credentials_missing", "/orders", &[]),
        vector("credentials_multiple", "/orders", &[("x-api-key", &good), (auth, &good_token)]),
        vector("credentials_unsupported", "/orders", &[(auth, "Basic dTpw")]),
        vector("credentials_unsupported", "/orders", &[(auth, &format!("Bearer {good}"))]),
        vector("credentials_unsupported", "/tokens", &[("x-api-key", &good)]),
        vector("api_key_malformed", "/orders", &[("x-api-key", "")]),
        vector("api_key_malformed", "/orders", &[("x-api-key", "sk_live_1")]),
        vector("api_key_malformed", "/orders", &[("x-api-key", &good[..40])]),
        vector(
            "api_key_malformed",
            "/orders",
            &[("x-api-key", &format!("{}-{}", &good[..10], &good[11..]))],
        ),
        vector("api_key_malformed", "/orders", &[("x-api-key", &misspelt)]),
        vector("api_key_unknown", "/orders", &[("x-api-key", &unknown)]),
        vector("api_key_expired", "/orders", &[("x-api-key", &expired)]),
        vector("api_key_not_yet_valid", "/orders", &[("x-api-key", &early)]),
        vector("api_key_revoked", "/orders", &[("x-api-key", &revoked)]),
        vector("api_key_address_not_allowed", "/orders", &[("x-api-key", &bound)]),
        vector("token_malformed", "/orders", &[(auth, "Bearer a.b")]),
        vector("token_malformed", "/orders", &[(auth, &format!("Bearer {twice}"))]),
        vector(
            "token_malformed",
            "/orders",
            &[(auth, &of_header(json!({"alg": "HS256", "typ": "JWT", "crit": ["b64"]})))],
        ),
        vector("token_too_large", "/orders", &[(auth, &large)]),
        vector(
            "token_issuer_unknown",
            "/orders",
            &[(auth, &with(&|c| c["iss"] = "https://evil.example".into()))],
        ),
        vector(
            "token_algorithm_not_allowed",
            "/orders",
            &[(auth, &of_header(json!({"alg": "none", "typ": "JWT"})))],
        ),
        vector(
            "token_signature_invalid",
            "/orders",
            &[(auth, &format!("{}A", &good_token[..good_token.len() - 2]))],
        ),
        vector(
            "key_source_unavailable",
            "/orders",
            &[(auth, &format!("Bearer {}", token(&json!({"alg": "EdDSA"}), &of_down)))],
        ),
        vector("token_expired", "/orders", &[(auth, &with(&|c| c["exp"] = (NOW - 31).into()))]),
        vector(
            "token_not_yet_valid",
            "/orders",
            &[(auth, &with(&|c| c["nbf"] = (NOW + 60).into()))],
        ),
        vector(
            "token_audience_mismatch",
            "/orders",
            &[(auth, &with(&|c| c["aud"] = "other".into()))],
        ),
        vector(
            "token_audience_mismatch",
            "/orders",
            &[(
                auth,
                &with(&|c| {
                    c["aud"] = "app".into();
                    c["nonce"] = "n".into();
                }),
            )],
        ),
        vector(
            "token_type_mismatch",
            "/orders",
            &[(auth, &of_header(json!({"alg": "HS256", "typ": "id+jwt"})))],
        ),
        vector(
            "token_proof_required",
            "/orders",
            &[(auth, &with(&|c| c["cnf"] = json!({"jkt": "x"})))],
        ),
        vector(
            "token_claim_missing",
            "/orders",
            &[(
                auth,
                &with(&|c| {
                    c.as_object_mut().unwrap().remove("exp");
                }),
            )],
        ),
        vector("token_claim_invalid", "/orders", &[(auth, &with(&|c| c["exp"] = "soon".into()))]),
        vector("token_revoked", "/orders", &[(auth, &with(&|c| c["jti"] = "signed-out".into()))]),
        vector("insufficient_scope", "/write", &[(auth, &good_token)]),
        vector("insufficient_scope", "/write", &[("x-api-key", &good)]),
        vector("insufficient_role", "/role", &[(auth, &good_token)]),
        vector("claim_mismatch", "/claim", &[(auth, &good_token)]),
        vector("address_not_allowed", "/inside", &[(auth, &good_token)]),
        vector("no_matching_rule", "/ordres", &[]),
        vector("method_not_allowed", "/orders", &[]),
        vector("rate_limited", "/slow", &[(auth, &good_token)]),
        vector("too_many_failures", "/orders", &[("x-api-key", &unknown)]),
        vector("decision_failed", "/forgotten", &[]),
    ];
    for vector in &mut requests {
        match vector.code {
            "method_not_allowed" => vector.method = Method::PUT,
            "rate_limited" => vector.times = 2,
            "too_many_failures" => vector.times = 3,
            _ => {}
        }
    }
    // Failures are counted for each address: every vector comes from one of its own.
    for (n, vector) in requests.iter_mut().enumerate() {
        vector.from = Box::leak(format!("127.0.1.{}", n + 1).into_boxed_str());
    }
    Vectors { policy, requests }
}

/// Serves the policy, with a route that was forgotten when the gate was mounted.
pub(super) async fn serve(policy: &str) -> Server {
    let (gate, clock) = support::gate(policy).await;
    let forgotten = |_: tollgate::Principal| async { "never" };
    let app = axum::Router::new()
        .route("/forgotten-elsewhere", axum::routing::get(|| async { "ok" }))
        .fallback(|| async { "ok" })
        .layer(gate.layer())
        .route("/forgotten", axum::routing::get(forgotten));
    support::serve(app, clock).await
}

pub(super) async fn provoke(server: &Server, vector: &Vector) -> Answer {
    let server = server.from(vector.from);
    let headers: Vec<(&str, &str)> =
        vector.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut answer = server.call(vector.method.clone(), vector.path, &headers).await;
    for _ in 1..vector.times {
        answer = server.call(vector.method.clone(), vector.path, &headers).await;
    }
    answer
}

#[tokio::test]
async fn each_code_is_explained_and_provoked() {
    let vectors = vectors("");
    let server = serve(&vectors.policy).await;
    let mut provoked = Vec::new();
    for vector in &vectors.requests {
        let answer = provoke(&server, vector).await;
        assert_eq!(answer.code(), vector.code, "{}: {answer:?}", vector.path);
        check_document(&answer);
        super::schema::check_strictness(&answer);
        provoked.push(vector.code);
    }
    for code in DenialCode::catalogue() {
        assert!(code.about().trim().len() > 40, "{} is explained", code.code());
        let elsewhere = ELSEWHERE.contains(&code.code()) || GROUPS.contains(&code.code());
        // No key set is configured here: see `a_key_that_the_set_does_not_hold`.
        let elsewhere = elsewhere || code.code() == "token_key_unknown";
        assert!(provoked.contains(&code.code()) != elsewhere, "{} is provoked", code.code());
    }
}

#[tokio::test]
async fn a_key_that_the_set_does_not_hold() {
    let policy = std::fs::read_to_string(support::root().join("config/tollgate.toml")).unwrap();
    let policy = policy
        .replace("\"keys.toml\"", "\"config/keys.toml\"")
        .replace("\"jwks.json\"", "\"config/jwks.json\"");
    let server = support::trial(&policy).await;
    let token = token(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "other"}), &claims());
    let answer = server.get("/orders", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(answer.code(), "token_key_unknown");
    check_document(&answer);
    assert_eq!(answer.json()["accepted_issuers"][0]["iss"], "https://id.example.com/");
}

/// What every document keeps to, whatever its code.
fn check_document(answer: &Answer) {
    let body = answer.json();
    let members = body.as_object().unwrap();
    assert_eq!(answer.line("content-type").unwrap(), "application/problem+json");
    assert_eq!(answer.line("cache-control").unwrap(), "no-store");
    assert_eq!(answer.line("x-content-type-options").unwrap(), "nosniff");
    assert_eq!(body["status"], answer.status.as_u16());
    assert_eq!(body["type"], format!("/errors/{}", answer.code()));
    for name in ["title", "category", "detail", "remedy", "action", "actor"] {
        assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {body}");
    }
    assert!(body["retryable"].is_boolean());
    assert!(body["instance"].as_str().unwrap().starts_with("urn:uuid:"));
    let wait = answer.line("retry-after").map(|text| text.parse::<u64>().unwrap());
    assert_eq!(body.get("retry_after").and_then(Value::as_u64), wait);
    assert!(wait.is_none_or(|wait| wait >= 1));
    let millis = answer.line("retry-after-ms").map(|text| text.parse::<u64>().unwrap());
    assert_eq!(millis.map(|millis| millis.div_ceil(1000)), wait, "{body}");
    let is_worth_it = body["retryable"] == true && millis.is_some_and(|millis| millis <= 60_000);
    assert_eq!(answer.line("x-should-retry").unwrap(), is_worth_it.to_string(), "{body}");
    assert!(answer.text.len() < 4096);
    for (name, value) in members {
        assert!(!value.is_null(), "{name} is absent rather than null");
        assert!(
            value.as_array().is_none_or(|list| !list.is_empty()),
            "{name} is absent rather than empty"
        );
    }
    for name in ["detail", "remedy"] {
        let text = body[name].as_str().unwrap();
        assert!(!text.contains(['{', '[', '}', ']']), "{name} is filled: {text}");
    }
    let challenges = answer.lines("www-authenticate");
    for challenge in &challenges {
        assert!(
            challenge.starts_with("Bearer realm=\"") || challenge.starts_with("ApiKey realm=\"")
        );
    }
    if answer.status == http::StatusCode::UNAUTHORIZED {
        assert!(!challenges.is_empty(), "RFC 9110 section 15.5.2: {body}");
    }
}

#[tokio::test]
async fn modes_differ_in_the_status_alone() {
    let statuses: BTreeMap<&str, u16> = [
        ("credentials_multiple", 400),
        ("token_too_large", 431),
        ("method_not_allowed", 405),
        ("rate_limited", 429),
        ("too_many_failures", 429),
        ("decision_failed", 503),
        ("key_source_unavailable", 503),
        ("api_key_address_not_allowed", 403),
        ("insufficient_scope", 403),
        ("insufficient_role", 403),
        ("claim_mismatch", 403),
        ("address_not_allowed", 403),
        ("no_matching_rule", 403),
    ]
    .into();
    let (uniform, standard) = (vectors(""), vectors("[denial]\nstatus = \"standard\""));
    let servers = (serve(&uniform.policy).await, serve(&standard.policy).await);
    for (one, other) in uniform.requests.iter().zip(&standard.requests) {
        let (first, second) = (provoke(&servers.0, one).await, provoke(&servers.1, other).await);
        let is_ours = ["decision_failed", "key_source_unavailable"].contains(&one.code);
        assert_eq!(first.status.as_u16(), if is_ours { 503 } else { 403 }, "{}", one.code);
        // The forgotten route is outside of the gate, so the mode does not reach it.
        let expected = statuses.get(one.code).copied().unwrap_or(401);
        assert_eq!(second.status.as_u16(), expected, "{}", one.code);
        let strip = |answer: &Answer| {
            let mut body = answer.json();
            let members = body.as_object_mut().unwrap();
            members.retain(|name, _| !["status", "instance"].contains(&name.as_str()));
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers.remove("content-length");
            (body, headers)
        };
        assert_eq!(strip(&first), strip(&second), "{}", one.code);
    }
}

#[tokio::test]
async fn members_of_each_code() {
    let vectors = vectors("");
    let server = serve(&vectors.policy).await;
    let table: &[(&str, &[&str])] = &[
        ("credentials_missing", &["accepted_credentials"]),
        ("credentials_multiple", &["accepted_credentials", "presented"]),
        (
            "api_key_malformed",
            &["accepted_credentials", "expected_length", "expected_prefix", "failed_check"],
        ),
        ("api_key_unknown", &["expected_prefix"]),
        ("api_key_expired", &["expired_at", "key_id", "server_time"]),
        ("api_key_not_yet_valid", &["key_id", "retry_after", "server_time", "valid_from"]),
        ("api_key_revoked", &["key_id"]),
        ("api_key_address_not_allowed", &["address", "key_id"]),
        ("token_malformed", &["accepted_credentials"]),
        ("token_too_large", &["max_bytes"]),
        ("token_issuer_unknown", &["accepted_issuers"]),
        ("token_algorithm_not_allowed", &["accepted_algorithms"]),
        ("token_signature_invalid", &["accepted_issuers"]),
        ("token_expired", &["expired_at", "server_time"]),
        ("token_not_yet_valid", &["retry_after", "server_time", "valid_from"]),
        ("token_type_mismatch", &["expected_type"]),
        ("token_proof_required", &[]),
        ("token_claim_missing", &["claim"]),
        ("token_claim_invalid", &["claim"]),
        ("token_revoked", &[]),
        ("insufficient_scope", &["missing_scopes", "required_scopes"]),
        ("insufficient_role", &["required_roles"]),
        ("claim_mismatch", &["claim", "mismatch"]),
        ("address_not_allowed", &["address"]),
        ("no_matching_rule", &[]),
        ("method_not_allowed", &["allowed_methods"]),
        ("rate_limited", &["cost", "limits", "retry_after"]),
        ("too_many_failures", &["last_failure", "retry_after"]),
        ("decision_failed", &[]),
    ];
    let base = [
        "type",
        "title",
        "status",
        "code",
        "category",
        "detail",
        "remedy",
        "action",
        "actor",
        "retryable",
        "instance",
    ];
    for (code, expected) in table {
        let vector = vectors.requests.iter().find(|vector| vector.code == *code).unwrap();
        let body = provoke(&server, vector).await.json();
        let own: Vec<&str> = body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|name| !base.contains(name))
            .collect();
        assert_eq!(own, *expected, "{code}");
    }
}
