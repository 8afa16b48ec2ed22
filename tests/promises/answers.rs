//! Every cause, with the answer that a client gets for it: short, and with no other cause's words.
//!
//! `tests/answers.txt` holds the answers. Run with `UPDATE=1` to write it anew, and read the
//! difference.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};
use tollgate::NewApiKey;

use super::support::{self, Answer, NOW, Server, bearer, claims, key, root, token};

/// A document is at most this long, lists left out where one of them is the cause.
const MOST: usize = 700;

/// A cause, and the request that has it.
pub(super) struct Cause {
    pub(super) name: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    times: usize,
}

pub(super) fn cause(
    name: &'static str,
    path: &'static str,
    headers: &[(&'static str, &str)],
) -> Cause {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Cause { name, method: Method::GET, path, headers, times: 1 }
}

const RULES: &str = r#"
[[revoked]]
jti = "signed-out"
[failures]
rate = "1/hour"
burst = 2
[[limit]]
name = "per-client"
rate = "10/minute"
burst = 5
per = ["client"]
[[limit]]
name = "per-address"
rate = "1/minute"
per = ["address"]
[[limit]]
name = "all-together"
rate = "1/minute"
per = ["global"]
[[limit]]
name = "per-device"
rate = "1/minute"
per = ["header:x-device", "rule"]
[[rule]]
name = "orders"
methods = ["GET", "POST"]
path = "/orders"
scopes = ["orders:read"]
[[rule]]
name = "write"
path = "/write"
scopes = ["orders:read", "orders:write"]
[[rule]]
name = "any"
path = "/any"
any_scopes = ["orders:write", "orders:admin"]
[[rule]]
name = "mixed"
path = "/mixed"
scopes = ["orders:write"]
any_scopes = ["billing:read", "billing:admin"]
[[rule]]
name = "role"
path = "/role"
roles = ["admin", "auditor"]
[[rule]]
name = "claim"
path = "/claim"
claims = { tenant = "acme" }
[[rule]]
name = "inside"
path = "/inside"
addresses = ["10.0.0.0/8"]
[[rule]]
name = "client"
path = "/per-client"
limits = ["per-client"]
[[rule]]
name = "costly"
path = "/costly"
limits = ["per-client"]
cost = 3
[[rule]]
name = "address"
path = "/per-address"
limits = ["per-address"]
[[rule]]
name = "together"
path = "/together"
limits = ["all-together"]
[[rule]]
name = "device"
path = "/device"
limits = ["per-device", "per-client"]
[[rule]]
name = "tokens"
path = "/tokens"
credentials = ["token"]
[[rule]]
name = "keys"
path = "/keys"
credentials = ["api_key"]
[[rule]]
name = "item"
path = "/items/{id}"
[[rule]]
name = "special"
path = "/items/special"
[[rule]]
name = "exact"
path = "/exact/{id}"
encoded_slashes = false
[[rule]]
name = "together-with"
path = "/both"
credentials = ["both"]
"#;

/// The policy, the causes in the order of the catalogue, and good keys.
pub(super) fn causes() -> (String, Vec<Cause>, Value) {
    let (good, good_entry) = key("billing-2027", "billing", "scopes = [\"orders:read\"]");
    let (expired, expired_entry) = key("billing-2026", "billing", "expires = 2026-06-01T00:00:00Z");
    let (early, early_entry) = key(
        "billing-2028",
        "billing",
        "not_before = 2027-02-01T00:00:00Z\nscopes = [\"orders:read\"]",
    );
    let (revoked, revoked_entry) = key("billing-lost", "billing", "revoked = true");
    let (bound, bound_entry) = key("billing-office", "billing", "addresses = [\"203.0.113.0/24\"]");
    let entries = [good_entry, expired_entry, early_entry, revoked_entry, bound_entry].concat();
    let policy = format!("version = 1\n[api_keys]\n{entries}{}{RULES}", support::issuer());

    let (unknown, _) = key("unknown", "nobody", "");
    let other = NewApiKey::generate("acme_test").unwrap().reveal().to_owned();
    let last = if good.ends_with('0') { '1' } else { '0' };
    let misspelt = format!("{}{last}", &good[..good.len() - 1]);
    let dashed = format!("{}-{}", &good[..10], &good[11..]);
    let by_key = |name, value: &str| cause(name, "/orders", &[("x-api-key", value)]);
    let auth = "authorization";
    let by_token = |name, value: &str| cause(name, "/orders", &[(auth, value)]);
    let claim = |change: &dyn Fn(&mut Value)| bearer(change);
    let with = |name: &'static str, value: Value| bearer(move |claims| claims[name] = value);
    let of_header = |header: Value| format!("Bearer {}", token(&header, &claims()));
    let valid = bearer(|_| {});
    let forged = format!("{}AAA", &valid[..valid.len() - 3]);
    let causes = vec![
        cause("credentials_missing", "/orders", &[]),
        cause("credentials_missing: both are needed", "/both", &[]),
        cause("credentials_missing: the token", "/both", &[("x-api-key", &good)]),
        cause("credentials_missing: the key", "/both", &[(auth, &valid)]),
        cause("credentials_multiple", "/orders", &[("x-api-key", &good), (auth, &valid)]),
        by_token("credentials_unsupported: scheme", "Basic dTpw"),
        cause("credentials_unsupported: a key", "/tokens", &[("x-api-key", &good)]),
        cause("credentials_unsupported: a token", "/keys", &[(auth, &valid)]),
        by_token("credentials_unsupported: a key as Bearer", &format!("Bearer {good}")),
        by_token("a key of another environment as Bearer", &format!("Bearer {other}")),
        by_key("api_key_malformed: empty", ""),
        by_key("api_key_malformed: another environment", &other),
        by_key("api_key_malformed: no key", "sk_live_1"),
        by_key("api_key_malformed: quoted", &format!("\"{good}\"")),
        by_key("api_key_malformed: Bearer before it", &format!("Bearer {good}")),
        by_key("api_key_malformed: $NAME", "$API_KEY"),
        by_key("api_key_malformed: {{name}}", "{{api_key}}"),
        by_key("api_key_malformed: <key>", "<your key>"),
        by_key("api_key_malformed: cut off", &good[..40]),
        by_key("api_key_malformed: characters", &dashed),
        by_key("api_key_malformed: misspelt", &misspelt),
        by_key("api_key_unknown", &unknown),
        by_key("api_key_expired", &expired),
        by_key("api_key_revoked", &revoked),
        by_key("api_key_not_yet_valid", &early),
        by_key("api_key_address_not_allowed", &bound),
        by_token("token_malformed", "Bearer a.b"),
        by_token("token_too_large", &format!("Bearer {}", "a".repeat(9000))),
        by_token("token_algorithm_not_allowed", &of_header(json!({"alg": "none"}))),
        by_token("token_issuer_unknown", &with("iss", "https://other.example/".into())),
        by_token("token_signature_invalid", &forged),
        by_token(
            "token_expired",
            &claim(&|claims| {
                claims["iat"] = (NOW - 4000).into();
                claims["exp"] = (NOW - 400).into();
            }),
        ),
        by_token("token_expired: made seconds ago", &with("exp", (NOW - 3300).into())),
        by_token("token_not_yet_valid", &with("nbf", (NOW + 90).into())),
        by_token("token_audience_mismatch", &with("aud", "other".into())),
        by_token(
            "token_audience_mismatch: ID token",
            &claim(&|claims| {
                claims["aud"] = "app".into();
                claims["nonce"] = "n".into();
            }),
        ),
        by_token("token_type_mismatch", &of_header(json!({"alg": "HS256", "typ": "id+jwt"}))),
        by_token("token_proof_required", &with("cnf", json!({"jkt": "x"}))),
        by_token("token_claim_missing", &with("sub", Value::Null)),
        by_token("token_claim_invalid", &with("exp", "soon".into())),
        by_token("token_revoked", &with("jti", "signed-out".into())),
        cause("insufficient_scope: all of, token", "/write", &[(auth, &valid)]),
        cause("insufficient_scope: all of, key", "/write", &[("x-api-key", &good)]),
        cause("insufficient_scope: one of, token", "/any", &[(auth, &valid)]),
        cause("insufficient_scope: one of, key", "/any", &[("x-api-key", &good)]),
        cause("insufficient_scope: both kinds, token", "/mixed", &[(auth, &valid)]),
        cause("insufficient_role", "/role", &[(auth, &valid)]),
        cause("claim_mismatch: absent", "/claim", &[(auth, &valid)]),
        cause("claim_mismatch: different", "/claim", &[(auth, &with("tenant", "other".into()))]),
        cause("claim_mismatch: api_key", "/claim", &[("x-api-key", &good)]),
        cause("address_not_allowed", "/inside", &[(auth, &valid)]),
        cause("no_matching_rule", "/ordres", &[]),
        cause("no_matching_rule: slash at the end", "/orders/", &[]),
        cause("no_matching_rule: empty segment", "//orders", &[]),
        cause("no_matching_rule: dot segment", "/items/../orders", &[]),
        cause("no_matching_rule: encoded slash", "/exact/a%2Fb", &[]),
        cause("no_matching_rule: encoded", "/%6Frders", &[]),
        cause("no_matching_rule: another rule", "/items/%73pecial", &[]),
        Cause {
            method: Method::DELETE,
            ..cause("method_not_allowed", "/orders", &[("x-api-key", &good)])
        },
        Cause { times: 6, ..cause("rate_limited: client", "/per-client", &[("x-api-key", &good)]) },
        Cause { times: 2, ..cause("rate_limited: cost", "/costly", &[(auth, &valid)]) },
        Cause { times: 2, ..cause("rate_limited: address", "/per-address", &[(auth, &valid)]) },
        Cause { times: 2, ..cause("rate_limited: all together", "/together", &[(auth, &valid)]) },
        Cause {
            times: 2,
            ..cause("rate_limited: header", "/device", &[(auth, &valid), ("x-device", "7")])
        },
        Cause { times: 3, ..by_key("too_many_failures", &unknown) },
        Cause { times: 5, ..by_token("too_many_failures: not looked at", &forged) },
        cause("decision_failed", "/forgotten", &[]),
    ];
    (policy, causes, json!({ "good": good }))
}

pub(super) async fn provoke(server: &Server, cause: &Cause) -> Answer {
    let headers: Vec<(&str, &str)> =
        cause.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut answer = server.call(cause.method.clone(), cause.path, &headers).await;
    for _ in 1..cause.times {
        answer = server.call(cause.method.clone(), cause.path, &headers).await;
    }
    answer
}

/// How long a document is, where its cause is no list: all of it. What is accepted instead is no cause.
fn without_causes(document: &Value) -> usize {
    let mut document = document.clone();
    let accepted = document.as_object_mut().unwrap().remove("accepted_credentials");
    let is_list = document.as_object().unwrap().values().any(Value::is_array);
    match accepted {
        Some(accepted) if !is_list => {
            document["accepted_credentials"] = accepted;
            document.to_string().len()
        }
        _ => without_lists(&document),
    }
}

/// How long a document is without its lists.
fn without_lists(document: &Value) -> usize {
    let members = document.as_object().unwrap().iter();
    let plain: serde_json::Map<String, Value> = members
        .filter(|(_, value)| !value.is_array())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::from(plain).to_string().len()
}

fn written(name: &str, answer: &Answer) -> String {
    let document = answer.json();
    let (all, plain) = (answer.text.len(), without_lists(&document));
    let mut text = format!("## {name}\n{all} bytes, {plain} without lists\n");
    for (name, value) in document.as_object().unwrap() {
        let is_told = !["type", "title", "status", "category", "instance"].contains(&name.as_str());
        if is_told {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    for name in ["www-authenticate", "retry-after", "retry-after-ms", "x-should-retry"] {
        for line in answer.lines(name) {
            let _ = writeln!(text, "{name}: {line}");
        }
    }
    text + "\n"
}

#[tokio::test]
async fn each_cause_has_its_own_short_answer() {
    let (policy, causes, _) = causes();
    let server = super::catalogue::serve(&policy).await;
    let (mut text, mut long) = (String::new(), Vec::new());
    for (at, cause) in causes.iter().enumerate() {
        // Failures and limits are counted for each address: every cause comes from one of its own.
        let server = server.from(&format!("127.0.4.{}", at + 1));
        let answer = provoke(&server, cause).await;
        assert_ne!(answer.status, 200, "{}", cause.name);
        text += &written(cause.name, &answer);
        if without_causes(&answer.json()) > MOST {
            long.push(cause.name);
        }
    }
    let path = root().join("tests/answers.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(long.is_empty(), "longer than {MOST} bytes: {long:?}");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "the answers changed: run with UPDATE=1, and read the difference");
}

/// `help` leads to the entry of the rule in the handbook, wherever that is.
#[tokio::test]
async fn help_leads_to_the_rule_in_the_handbook() {
    let rules = "[[rule]]\nname = \"orders\"\nmethods = [\"GET\"]\npath = \"/orders\"\n\
         [[rule]]\nname = \"staff#1\"\npath = \"/staff\"\n\
         [[rule]]\nname = \"hidden\"\npath = \"/hidden\"\nlisted = false\n";
    let (_, entry) = key("one", "one", "");
    let plain = format!("version = 1\n[api_keys]\n{entry}{rules}");
    let told = format!("{plain}[denial]\ndocs = \"https://docs.example.com/errors/\"\n");

    let (gate, clock) = support::gate(&plain).await;
    let app = axum::Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = support::serve(app.clone(), clock.clone()).await;
    let help = async |server: &Server, path: &str| {
        server.get(path, &[]).await.json().get("help").map(|help| help.as_str().unwrap().to_owned())
    };
    assert_eq!(help(&server, "/orders").await, None, "nobody serves a handbook");
    // Documents that were written before that have it now.
    let server = support::serve(gate.catalogue().merge(app), clock).await;
    assert_eq!(help(&server, "/orders").await.unwrap(), "/errors/handbook#orders");
    assert_eq!(help(&server, "/staff").await.unwrap(), "/errors/handbook#staff%231");
    assert_eq!(help(&server, "/hidden").await, None, "it is not in the handbook");
    assert_eq!(help(&server, "/nowhere").await, None);
    let put = server.call(Method::PUT, "/orders", &[]).await.json();
    assert_eq!((&put["code"], put.get("help")), (&json!("method_not_allowed"), None));
    let page = server.get("/errors/handbook", &[("accept", "text/html")]).await.text;
    assert!(page.contains("id=\"orders\"") && page.contains("id=\"staff#1\""), "{page}");

    let server = support::trial(&told).await;
    let expected = "https://docs.example.com/errors/handbook#orders";
    assert_eq!(help(&server, "/orders").await.unwrap(), expected);
}

/// What is our own fault costs nothing, a code that nobody declared included.
#[tokio::test]
async fn a_fault_of_ours_gives_back_what_was_taken() {
    let policy = "version = 1\n[[limit]]\nname = \"few\"\nrate = \"2/hour\"\nper = [\"address\"]\n\
         [[rule]]\nname = \"all\"\npath = \"/{*rest}\"\npublic = true\nlimits = [\"few\"]\n";
    let (gate, clock) = support::gate(policy).await;
    let undeclared = || async { Err::<(), _>(tollgate::Denial::named("nobody_declared_it")) };
    let no_caller = |_: tollgate::Principal| async { "never" };
    let app = axum::Router::new()
        .route("/undeclared", axum::routing::get(undeclared))
        .route("/no-caller", axum::routing::get(no_caller))
        .fallback(|| async { "ok" })
        .layer(gate.layer());
    let server = support::serve(app, clock).await;
    for path in ["/undeclared", "/no-caller"] {
        for _ in 0..3 {
            assert_eq!(server.get(path, &[]).await.code(), "decision_failed", "{path}");
        }
    }
    for expected in [200, 200, 403] {
        assert_eq!(server.get("/fine", &[]).await.status, expected);
    }
}

static ORDER_LOCKED: tollgate::DenialCode =
    tollgate::DenialCode::new("order_locked", tollgate::Category::Authorization)
        .with_title("Order locked")
        .with_detail("The order is locked by {locked_by}.")
        .example(|denial| denial.member("locked_by", "the warehouse").member("since_days", 3));

/// A code of the application is shown as its handlers send it, whether it is declared in code or
/// in the policy.
#[tokio::test]
async fn a_code_of_the_application_is_shown_with_its_members() {
    let rule = "version = 1\n[[rule]]\nname = \"all\"\npath = \"/locked\"\npublic = true\n";
    let declared = "[[denial.code]]\ncode = \"order_locked\"\ntitle = \"Order locked\"\n\
        category = \"authorization\"\ndetail = \"The order is locked by {locked_by}.\"\n\
        remedy = \"Ask the provider of the API what to do.\"\n\
        example = { locked_by = \"the warehouse\", since_days = 3 }\n";
    let in_code = tollgate::Tollgate::builder().policy(rule).code(&ORDER_LOCKED).build().await;
    let in_policy = tollgate::Tollgate::builder().policy(format!("{rule}{declared}")).build().await;
    let mut shown = Vec::new();
    for gate in [in_code.unwrap(), in_policy.unwrap()] {
        let locked = || async {
            let denial = tollgate::Denial::named("order_locked");
            Err::<(), _>(denial.member("locked_by", "the warehouse"))
        };
        let route = axum::routing::get(locked);
        let app = axum::Router::new().route("/locked", route).layer(gate.layer());
        let clock = tollgate::ManualClock::at(NOW);
        let server = support::serve(gate.catalogue().merge(app), clock).await;

        let denial = server.get("/locked", &[]).await.json();
        let page = denial["type"].as_str().unwrap();
        for accept in ["text/html", "text/markdown", "application/json"] {
            let text = server.get(page, &[("accept", accept)]).await.text;
            for part in ["locked by the warehouse", "locked_by", "since_days"] {
                assert!(text.contains(part), "{part} in {accept}: {text}");
            }
            shown.push(text);
        }
        let page = server.get(page, &[("accept", "application/json")]).await.json();
        assert_eq!(page["example"]["body"]["since_days"], 3);
        let schema = server.get("/errors/denial.schema.json", &[]).await.json();
        let members = &schema["$defs"]["order_locked"]["properties"];
        assert_eq!(members["locked_by"], json!({"type": "string"}));
        assert_eq!(members["since_days"], json!({"type": "integer"}));
        let document = server.get("/errors/openapi.json", &[]).await.json();
        let example = &document["components"]["schemas"]["OrderLockedDenial"]["examples"][0];
        assert_eq!(example["locked_by"], "the warehouse");
        let module = server.get("/errors/denial.ts", &[]).await.text;
        assert!(module.contains("  readonly locked_by?: string;\n"), "{module}");
        assert!(module.contains("  readonly since_days?: number;\n"), "{module}");
    }
    let (in_code, in_policy) = shown.split_at(3);
    assert_eq!(in_code, in_policy, "the pages are the same");
}

#[tokio::test]
async fn an_example_of_the_policy_keeps_its_values_and_their_order() {
    let policy = r#"version = 1
[[denial.code]]
code = "order_locked"
title = "Order locked"
category = "limit"
remedy = "Wait."
action = "stop"
actor = "owner"
[denial.code.example]
zone = "a \"b\" \u00e4"
count = 0x10
share = 0.25
open = true
on_day = 2026-11-20
parts = [1, { name = "x" }]
[[rule]]
name = "all"
path = "/locked"
public = true
"#;
    let (gate, clock) = support::gate(policy).await;
    let server = support::serve(gate.catalogue(), clock).await;
    let accept = [("accept", "application/json")];
    let page = server.get("/errors/order_locked", &accept).await.json();
    let body = &page["example"]["body"];
    assert_eq!((&body["action"], &body["actor"]), (&json!("stop"), &json!("owner")));
    let own = json!({
        "zone": "a \"b\" \u{e4}", "count": 16, "share": 0.25, "open": true, "on_day": "2026-11-20",
        "parts": [1, {"name": "x"}],
    });
    for (name, value) in own.as_object().unwrap() {
        assert_eq!(&body[name], value, "{name}");
    }
    let names: Vec<&str> = page["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["zone", "count", "share", "open", "on_day", "parts"]);
    let kinds: Vec<&str> = page["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["string", "integer", "number", "boolean", "string", "array"]);
}
