//! The status of a denial is the one that the rule which refused says; where no rule covers the
//! request, the policy's. The rest of the answer is the same.

use axum::Router;
use axum::routing::any;
use http::Method;
use serde_json::Value;
use tollgate::{Category, Denial, DenialCode, Tollgate, openapi};

use super::support::{Answer, Server, bearer, gate, issuer, key, serve};

static ORDER_LOCKED: DenialCode =
    DenialCode::new("order_locked", Category::Authorization).with_status(409);

const MARKDOWN: [(&str, &str); 1] = [("accept", "text/markdown")];

/// A policy whose rules each have these lines.
fn policy(of_policy: &str, of_rules: &str) -> (String, String) {
    let (key, entry) = key("one", "billing", "");
    let text = format!(
        r#"version = 1
[denial]
{of_policy}
[[denial.code]]
code = "order_gone"
title = "Order gone"
category = "authorization"
status = 410
remedy = "Take another."
[failures]
rate = "1/hour"
burst = 1
[api_keys]
{entry}
{}
[[limit]]
name = "one-a-day"
rate = "1/day"
per = ["global"]
[[rule]]
name = "orders"
methods = ["GET"]
path = "/orders"
scopes = ["orders:read"]
{of_rules}
[[rule]]
name = "open"
path = "/open"
public = true
limits = ["one-a-day"]
{of_rules}
[[rule]]
name = "handler"
path = "/handler/{{code}}"
public = true
{of_rules}
"#,
        issuer()
    );
    (text, key)
}

async fn server(of_policy: &str, of_rules: &str) -> (Server, String) {
    let (policy, key) = policy(of_policy, of_rules);
    let (gate, clock) = gate(&policy).await;
    let handler = async |axum::extract::Path(code): axum::extract::Path<String>| match &*code {
        "named" => Denial::named("order_gone"),
        "unregistered" => Denial::named("nobody_declared"),
        _ => Denial::new(&ORDER_LOCKED),
    };
    let app = Router::new()
        .route("/handler/{code}", any(handler))
        .fallback(|| async { "ok" })
        .layer(gate.layer());
    (serve(app, clock).await, key)
}

/// The answers of one server, from first to last.
async fn answers(server: &Server, key: &str) -> Vec<(&'static str, Answer)> {
    let get = |path: &'static str| server.get(path, &[]);
    let with =
        |name, value: String| async move { server.get("/orders", &[(name, value.as_str())]).await };
    let two = [("x-api-key", key), ("authorization", "Bearer x.y.z")];
    let mut answers = vec![
        ("credentials_missing", get("/orders").await),
        ("credentials_multiple", server.get("/orders", &two).await),
        ("api_key_malformed", with("x-api-key", "tg_x".into()).await),
        ("too_many_failures", with("x-api-key", "tg_y".into()).await),
        ("insufficient_scope", with("x-api-key", key.into()).await),
        ("token_expired", with("authorization", bearer(|claims| claims["exp"] = 9.into())).await),
        ("order_locked", get("/handler/locked").await),
        ("order_gone", get("/handler/named").await),
        ("decision_failed", get("/handler/unregistered").await),
        ("no_matching_rule", get("/nowhere").await),
        ("method_not_allowed", server.call(Method::PUT, "/orders", &[]).await),
    ];
    get("/open").await;
    answers.push(("rate_limited", get("/open").await));
    answers
}

/// What is left of an answer without what differs from one denial, and one key, to the next.
fn bare(answer: &Answer) -> (Value, Vec<String>) {
    let mut document = answer.json();
    for name in ["instance", "status", "retry_after", "limits"] {
        document.as_object_mut().unwrap().remove(name);
    }
    (document, answer.lines("www-authenticate"))
}

#[tokio::test]
async fn the_rule_that_refused_decides_about_the_status() {
    let by_cause = [401, 400, 401, 429, 403, 401, 409, 410, 503, 403, 405, 429];
    let uniform = by_cause.map(|status| if status == 503 { 503 } else { 403 });
    let mut first: Vec<(Value, Vec<String>)> = Vec::new();
    for of_policy in ["", "status = \"uniform\"", "status = \"standard\""] {
        for of_rules in ["", "status = \"uniform\"", "status = \"standard\""] {
            let (server, key) = server(of_policy, of_rules).await;
            let is_standard = |lines: &str| lines.contains("standard");
            let rules = if of_rules.is_empty() { of_policy } else { of_rules };
            for (at, (code, answer)) in answers(&server, &key).await.into_iter().enumerate() {
                let label = format!("{code}, policy {of_policy:?}, rules {of_rules:?}");
                assert_eq!(answer.code(), code, "{label}");
                let is_unruled = matches!(code, "no_matching_rule" | "method_not_allowed");
                let mode = if is_unruled { of_policy } else { rules };
                let expected = if is_standard(mode) { by_cause[at] } else { uniform[at] };
                assert_eq!(answer.status, expected, "{label}");
                assert_eq!(answer.json()["status"], expected, "{label}");
                match first.get(at) {
                    Some(first) => assert_eq!(bare(&answer), *first, "{label}: the rest is equal"),
                    None => first.push(bare(&answer)),
                }
            }
        }
    }
}

#[tokio::test]
async fn at_minimal_the_group_has_the_status_that_the_rule_says() {
    for (of_rules, status) in [("", 403), ("status = \"standard\"", 401)] {
        let (server, _) = server("disclosure = \"minimal\"", of_rules).await;
        let answer = server.get("/orders", &[("x-api-key", "tg_x")]).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, "invalid_credentials"));
        let nowhere = server.get("/nowhere", &[]).await;
        assert_eq!((nowhere.status.as_u16(), &*nowhere.code()), (403, "access_denied"));
    }
}

/// The policy of a gate whose rules differ.
async fn mixed() -> Tollgate {
    let (text, _) = policy("", "");
    let text = text.replace("path = \"/orders\"", "path = \"/orders\"\nstatus = \"standard\"");
    gate(&text).await.0
}

#[tokio::test]
async fn what_client_developers_are_handed_says_so_rule_by_rule() {
    let gate = mixed().await;
    let mut document = serde_json::json!({
        "openapi": "3.1.0", "info": {"title": "x", "version": "1"},
        "paths": {"/orders": {"get": {}, "put": {}}, "/open": {"get": {}}, "/nowhere": {"get": {}}},
    });
    openapi::apply(&gate, &mut document).unwrap();
    let statuses = |path: &str, method: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        responses.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(statuses("/orders", "get"), "400 401 403 429 431 503");
    assert_eq!(statuses("/orders", "put"), "403", "no rule covers it: the policy's");
    assert_eq!(statuses("/open", "get"), "403 503");
    let components = document["components"]["responses"].as_object().unwrap();
    let names: Vec<&str> = components.keys().map(String::as_str).collect();
    let all = ["400", "401", "403", "409", "410", "429", "431", "503"];
    let all: Vec<String> = all.iter().map(|status| format!("Denied{status}")).collect();
    assert!(names.iter().all(|name| all.contains(&(*name).to_owned())), "{names:?}");
    assert!(!names.contains(&"Denied405"), "{names:?}");

    let app = gate.catalogue();
    let server = serve(app, tollgate::ManualClock::at(super::support::NOW)).await;
    let markdown = server.get("/errors/handbook", &MARKDOWN).await.text;
    let told: Vec<&str> =
        markdown.lines().filter(|line| line.starts_with("- Status of denials")).collect();
    let expected = [
        "- Status of denials: 400, 401, 403, 429, 431, 503",
        "- Status of denials: 403, 503",
        "- Status of denials: 403, 503",
    ];
    assert_eq!(told, expected);
    let html = server.get("/errors/handbook", &[("accept", "text/html")]).await.text;
    assert_eq!(html.matches("<dt>Status of denials</dt>").count(), 3);
    for (code, statuses) in [
        ("token_expired", "Status 403, or 401 where the status tells the cause;"),
        ("method_not_allowed", "Status 403;"),
        ("insufficient_scope", "Status 403;"),
    ] {
        let page = server.get(&format!("/errors/{code}"), &MARKDOWN).await.text;
        assert!(page.contains(statuses), "{code}: {page}");
    }
    let json = [("accept", "application/json")];
    let page = server.get("/errors/token_expired", &json).await.json();
    assert_eq!((&page["status"], &page["status_by_cause"]), (&403.into(), &401.into()));
}

#[tokio::test]
async fn where_all_rules_agree_examples_and_pages_have_their_status() {
    let (text, _) = policy("", "status = \"standard\"");
    let gate = gate(&text).await.0;
    let app = gate.catalogue();
    let server = serve(app, tollgate::ManualClock::at(super::support::NOW)).await;
    let json = [("accept", "application/json")];
    for (code, status) in
        [("token_expired", 401), ("rate_limited", 429), ("method_not_allowed", 403)]
    {
        let page = server.get(&format!("/errors/{code}"), &json).await.json();
        assert_eq!(page["status"], status, "{code}");
        assert_eq!(page["example"]["status"], status, "{code}");
        assert_eq!(page["example"]["body"]["status"], status, "{code}");
    }
    let markdown = server.get("/errors/handbook", &MARKDOWN).await.text;
    assert!(!markdown.contains("Status of denials"), "the pages of codes say it");
}
