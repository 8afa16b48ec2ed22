//! Extractors: what handlers learn, and that every one of them fails closed.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use serde::Deserialize;
use tollgate::{
    Admission, ApiKey, Category, Claims, Denial, DenialCode, Principal, Scoped, Tollgate, scope,
};

use super::support::{self, Answer, Server, bearer, issuer, key};

scope!(Read = "orders:read");
scope!(Write = "orders:write");

static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
    .with_title("Order locked")
    .with_detail("The order is locked by {locked_by}.")
    .with_remedy("Ask {locked_by} to release it.")
    .with_status(409);

#[derive(Deserialize)]
struct Tenant {
    tenant: String,
}

fn policy(entry: &str) -> String {
    format!(
        r#"version = 1
[denial]
status = "standard"
realm = "orders"
[[denial.code]]
code = "order_frozen"
title = "Order frozen"
category = "limit"
remedy = "Wait {{retry_after}} s."
retryable = true
[api_keys]
{entry}
{}
[[limit]]
name = "slow"
rate = "1/minute"
burst = 10
per = ["client"]
[[rule]]
name = "all"
path = "/{{*rest}}"
limits = ["slow"]
[[rule]]
name = "write"
path = "/by-rule"
scopes = ["orders:write"]
[[rule]]
name = "public"
path = "/public/{{*rest}}"
public = true
[[rule]]
name = "shadow"
path = "/shadow"
mode = "shadow"
roles = ["admin"]
"#,
        issuer()
    )
}

fn app(gate: &Tollgate) -> Router {
    let frozen = || async {
        Denial::named("order_frozen")
            .retry_after(std::time::Duration::from_millis(1500))
            .into_response()
    };
    Router::new()
        .route(
            "/who",
            get(|p: Principal| async move { format!("{} {}", p.client(), p.credential()) }),
        )
        .route("/maybe", get(maybe))
        .route("/public/maybe", get(maybe))
        .route("/public/who", get(|p: Principal| async move { p.client().to_owned() }))
        .route("/read", get(|p: Scoped<Read>| async move { p.client().to_owned() }))
        .route("/both", get(|_: Scoped<(Read, Write)>| async { "both" }))
        .route("/by-extractor", get(|_: Scoped<Write>| async { "never" }))
        .route("/by-rule", get(|| async { "never" }))
        .route("/key", get(|k: ApiKey| async move { k.id().to_owned() }))
        .route("/tenant", get(|Claims(c): Claims<Tenant>| async move { c.tenant }))
        .route("/charge", post(charge))
        .route("/locked", get(|| async { Denial::new(&ORDER_LOCKED).member("locked_by", "Eve") }))
        .route("/frozen", get(frozen))
        .route("/unknown-code", get(|| async { Denial::named("no_such_code") }))
        .route("/shadow", get(|a: Admission| async move { a.shadow().unwrap_or("-").to_owned() }))
        .layer(gate.layer())
}

async fn maybe(principal: Option<Principal>) -> String {
    principal.map_or("nobody".into(), |principal| principal.client().to_owned())
}

async fn charge(admission: Admission) -> String {
    admission.charge(7);
    let limits: Vec<String> =
        admission.limits().map(|l| format!("{}={}", l.limit, l.remaining)).collect();
    format!("{} {}", admission.rule(), limits.join(" "))
}

async fn server() -> (Server, String) {
    let (reader, entry) = key("reader", "billing", "scopes = [\"orders:read\"]");
    let clock = tollgate::ManualClock::at(support::NOW);
    let gate = Tollgate::builder().policy(policy(&entry)).clock(clock.clone()).code(&ORDER_LOCKED);
    let gate = gate.build().await.unwrap();
    (support::serve(app(&gate), clock).await, reader)
}

/// Body and headers without what names the occurrence.
fn strip(answer: &Answer) -> (u16, String, Vec<String>) {
    let instance = answer.json()["instance"].as_str().unwrap().to_owned();
    let names = ["www-authenticate", "content-type", "cache-control", "x-content-type-options"];
    let headers = names.iter().flat_map(|name| answer.lines(name)).collect();
    (answer.status.as_u16(), answer.text.replace(&instance, "-"), headers)
}

#[tokio::test]
async fn handlers_learn_who_called() {
    let (server, reader) = server().await;
    let token = bearer(|claims| claims["tenant"] = "acme".into());
    let (key, token) = (("x-api-key", reader.as_str()), ("authorization", token.as_str()));
    for (path, header, expected) in [
        ("/who", key, "billing api_key"),
        ("/who", token, "mobile token"),
        ("/maybe", key, "billing"),
        ("/public/maybe", key, "nobody"),
        ("/read", key, "billing"),
        ("/key", key, "reader"),
        ("/tenant", token, "acme"),
    ] {
        let answer = server.get(path, &[header]).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, expected), "{path}");
    }
}

#[tokio::test]
async fn a_scope_is_refused_alike_by_rule_and_extractor() {
    let (server, reader) = server().await;
    for header in [("x-api-key", reader.clone()), ("authorization", bearer(|_| {}))] {
        let header = [(header.0, header.1.as_str())];
        let by_rule = server.get("/by-rule", &header).await;
        let by_extractor = server.get("/by-extractor", &header).await;
        assert_eq!(by_rule.code(), "insufficient_scope");
        assert_eq!(strip(&by_rule), strip(&by_extractor));
    }
    let both = server.get("/both", &[("x-api-key", &reader)]).await.json();
    assert_eq!(both["required_scopes"], serde_json::json!(["orders:read", "orders:write"]));
    assert_eq!(both["missing_scopes"], serde_json::json!(["orders:write"]));
}

#[tokio::test]
async fn extractors_of_the_other_kind_say_what_is_accepted() {
    let (server, reader) = server().await;
    let by_key = server.get("/tenant", &[("x-api-key", &reader)]).await;
    let by_token = server.get("/key", &[("authorization", &bearer(|_| {}))]).await;
    for (answer, kind) in [(by_key, "token"), (by_token, "api_key")] {
        assert_eq!(answer.code(), "credentials_unsupported");
        let accepted = answer.json()["accepted_credentials"].clone();
        assert!(accepted.as_array().unwrap().iter().all(|form| form["kind"] == kind), "{accepted}");
    }
    let missing = server.get("/tenant", &[("authorization", &bearer(|_| {}))]).await;
    assert_eq!(
        (missing.code(), missing.json()["claim"].clone()),
        ("token_claim_missing".into(), "tenant".into())
    );
    let wrong =
        server.get("/tenant", &[("authorization", &bearer(|c| c["tenant"] = 7.into()))]).await;
    assert_eq!(
        (wrong.code(), wrong.json()["claim"].clone()),
        ("token_claim_invalid".into(), "tenant".into())
    );
}

#[tokio::test]
async fn without_the_gate_every_extractor_denies() {
    let app = Router::new()
        .route("/principal", get(|_: Principal| async { "open" }))
        .route("/optional", get(|_: Option<Principal>| async { "open" }))
        .route("/scoped", get(|_: Scoped<Read>| async { "open" }))
        .route("/key", get(|_: ApiKey| async { "open" }))
        .route("/claims", get(|_: Claims<Tenant>| async { "open" }))
        .route("/admission", get(|_: Admission| async { "open" }));
    let server = support::serve(app, tollgate::ManualClock::at(0)).await;
    for path in ["/principal", "/optional", "/scoped", "/key", "/claims", "/admission"] {
        let answer = server.get(path, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (503, "decision_failed"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_principal_on_a_public_rule_is_a_mistake_of_ours() {
    let (server, reader) = server().await;
    let answer = server.get("/public/who", &[("x-api-key", &reader)]).await;
    assert_eq!(answer.code(), "decision_failed");
}

#[tokio::test]
async fn handlers_deny_in_the_same_document() {
    let (server, reader) = server().await;
    let locked = server.get("/locked", &[("x-api-key", &reader)]).await;
    assert_eq!((locked.status.as_u16(), locked.code().as_str()), (409, "order_locked"));
    assert_eq!(locked.json()["detail"], "The order is locked by Eve.");
    assert_eq!(locked.json()["remedy"], "Ask Eve to release it.");
    assert_eq!(locked.json()["locked_by"], "Eve");
    assert_eq!(locked.line("cache-control").unwrap(), "no-store");
    assert!(locked.line("ratelimit").is_some(), "the request was admitted and charged");

    let frozen = server.get("/frozen", &[("x-api-key", &reader)]).await;
    assert_eq!((frozen.status.as_u16(), frozen.code().as_str()), (429, "order_frozen"));
    assert_eq!(frozen.json()["remedy"], "Wait 2 s.");
    assert_eq!(
        (frozen.line("retry-after").as_deref(), frozen.json()["retryable"].as_bool()),
        (Some("2"), Some(true))
    );

    let unknown = server.get("/unknown-code", &[("x-api-key", &reader)]).await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (503, "decision_failed"));
}

#[tokio::test]
async fn a_cost_known_after_the_work_is_charged() {
    let (server, reader) = server().await;
    let answer = server.call(Method::POST, "/charge", &[("x-api-key", &reader)]).await;
    assert_eq!(answer.text, "all slow=2", "the balance of now, after the charge");
    assert_eq!(answer.line("ratelimit").unwrap(), "\"slow\";r=2;t=480", "and after the work");
    let answer = server.call(Method::POST, "/charge", &[("x-api-key", &reader)]).await;
    assert_eq!(answer.line("ratelimit").unwrap(), "\"slow\";r=0;t=420", "in debt by six");
    let limited = server.get("/who", &[("x-api-key", &reader)]).await;
    assert_eq!(
        (limited.code().as_str(), limited.line("retry-after").as_deref()),
        ("rate_limited", Some("420"))
    );
}

#[tokio::test]
async fn a_rule_in_shadow_mode_lets_pass_and_tells_the_handler() {
    let (server, reader) = server().await;
    let missing = server.get("/shadow", &[]).await;
    let role = server.get("/shadow", &[("x-api-key", &reader)]).await;
    assert_eq!((missing.status, missing.text.as_str()), (StatusCode::OK, "credentials_missing"));
    assert_eq!((role.status, role.text.as_str()), (StatusCode::OK, "insufficient_role"));
}

#[tokio::test]
async fn codes_of_the_application_must_not_clash() {
    static TAKEN: DenialCode = DenialCode::new("rate_limited", Category::Limit);
    static ODD: DenialCode = DenialCode::new("Odd", Category::Limit);
    static STATUS: DenialCode = DenialCode::new("odd_status", Category::Limit).with_status(200);
    for code in [&TAKEN, &ODD, &STATUS] {
        let error = Tollgate::builder().policy("version = 1").code(code).build().await.unwrap_err();
        assert!(
            error.faults().iter().any(|fault| fault.file() == "code of the application"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_rewritten_denial_keeps_nothing_that_was_said_of_another_body() {
    let (reader, entry) = key("reader", "billing", "");
    let (gate, clock) = support::gate(&policy(&entry)).await;
    let compressed = |mut response: axum::response::Response| async {
        for (name, value) in [("content-encoding", "gzip"), ("etag", "\"a\""), ("x-mine", "kept")] {
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        response
    };
    let app = Router::new()
        .route("/locked", get(|| async { Denial::named("order_frozen") }))
        .layer(axum::middleware::map_response(compressed))
        .layer(gate.layer());
    let server = support::serve(app, clock).await;
    let answer = server.get("/locked", &[("x-api-key", &reader)]).await;
    assert_eq!(answer.code(), "order_frozen");
    assert_eq!((answer.line("content-encoding"), answer.line("etag")), (None, None));
    assert_eq!(answer.line("x-mine").as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_charge_without_any_limit_is_nothing_however_long_the_server_runs() {
    let policy = "version = 1\n[failures]\nenabled = false\n\
        [[rule]]\nname = \"all\"\npath = \"/work\"\npublic = true\n";
    let (gate, clock) = support::gate(policy).await;
    let work = async |admission: Admission| admission.charge(7);
    let app = Router::new().route("/work", get(work)).layer(gate.layer());
    let server = support::serve(app, clock).await;
    for _ in 0..3 {
        assert_eq!(server.get("/work", &[]).await.status, StatusCode::OK);
        server.clock.advance(std::time::Duration::from_secs(601));
    }
}

/// What is kept of denials that are alike is kept apart from what a handler makes of a row.
#[tokio::test]
async fn a_handlers_denial_changes_nothing_in_those_of_the_gate() {
    let (key, entry) = key("k", "shop", "");
    let policy = format!(
        "version = 1\n[api_keys]\n{entry}\n{}\n[[rule]]\nname = \"all\"\npath = \"/{{*rest}}\"\n",
        issuer()
    );
    let (gate, clock) = support::gate(&policy).await;
    let mut app = Router::new();
    let rows = ["token_too_large", "token_issuer_unknown"];
    for row in rows {
        let code = DenialCode::catalogue().iter().find(|code| code.code() == row).unwrap();
        app = app.route(&format!("/{row}"), get(async || Denial::new(code)));
    }
    let server = support::serve(app.layer(gate.layer()), clock).await;
    for row in rows {
        // Without a body: one without the members of its code does not fit the schema.
        let answer = server.call(Method::HEAD, &format!("/{row}"), &[("x-api-key", &key)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let large = format!("Bearer {}", "a".repeat(9000));
    let answer = server.get("/a", &[("authorization", &large)]).await;
    assert_eq!(answer.json()["max_bytes"], 8192);
    let elsewhere = bearer(|claims| claims["iss"] = "https://else.example.com/".into());
    let answer = server.get("/a", &[("authorization", &elsewhere)]).await;
    assert!(answer.json()["accepted_issuers"][0]["iss"].is_string(), "{answer:?}");
}
