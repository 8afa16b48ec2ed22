//! CORS preflights: judged like any request, unless the policy lets them pass; and what handlers
//! that they reach may learn.

use axum::Router;
use axum::routing::{any, get};
use http::{Method, StatusCode};
use tollgate::{Admission, ApiKey, ManualClock, Principal, Scoped, Tollgate, scope};
use tower::ServiceBuilder;
use tower_http::cors::{Any, CorsLayer};

use super::log::Log;
use super::support::{self, Server, key};

scope!(Read = "read");

const RULES: &str = r#"
[[limit]]
name  = "few"
rate  = "1/hour"
burst = 2
per   = ["client"]

[[limit]]
name  = "few-public"
rate  = "1/hour"
burst = 2
per   = ["address"]

[[rule]]
name   = "all"
path   = "/all/{*rest}"
limits = ["few"]

[[rule]]
name    = "orders"
methods = ["GET", "PUT"]
path    = "/orders/{id}"
limits  = ["few"]

[[rule]]
name    = "mine"
methods = ["GET"]
path    = "/orders/mine"

[[rule]]
name   = "public"
path   = "/public"
public = true
limits = ["few-public"]
"#;

async fn gated(cors: &str) -> (Tollgate, ManualClock, String) {
    let (key, entry) = key("key", "billing", "scopes = [\"read\"]");
    let (gate, clock) =
        support::gate(&format!("version = 1\n{cors}\n[api_keys]\n{entry}\n{RULES}")).await;
    (gate, clock, key)
}

const PASS: &str = "[cors]\npreflights = \"pass\"\n";

async fn preflight(server: &Server, path: &str, method: &str) -> support::Answer {
    let asked = [("origin", "https://app.example.com"), ("access-control-request-method", method)];
    server.call(Method::OPTIONS, path, &asked).await
}

/// Every handler that there may be behind a preflight: routes with `any`, and the fallback.
fn app(gate: &Tollgate) -> Router {
    Router::new()
        .route("/all/principal", any(async |caller: Principal| caller.client().to_owned()))
        .route(
            "/all/option",
            any(async |caller: Option<Principal>| format!("{}", caller.is_some())),
        )
        .route("/all/admission", any(async |admission: Admission| admission.rule().to_owned()))
        .route("/all/scoped", any(async |caller: Scoped<Read>| caller.client().to_owned()))
        .route("/all/key", any(async |caller: ApiKey| caller.id().to_owned()))
        .route("/orders/{id}", get(async || "get"))
        .route(
            "/public",
            any(async |admission: Admission, caller: Option<Principal>| {
                admission.charge(100);
                format!("{} {}", admission.rule(), caller.is_some())
            }),
        )
        .fallback(async || "fallback")
        .layer(gate.layer())
}

#[tokio::test]
async fn by_default_preflights_are_judged_like_any_request() {
    for cors in ["", "[cors]\n", "[cors]\npreflights = \"judge\"\n"] {
        let (gate, clock, _) = gated(cors).await;
        let server = support::serve(app(&gate), clock).await;
        for (path, method, code) in [
            ("/all/principal", "GET", "credentials_missing"),
            ("/all/option", "GET", "credentials_missing"),
            ("/all/nothing", "GET", "credentials_missing"),
            ("/orders/7", "GET", "method_not_allowed"),
            ("/nowhere", "GET", "no_matching_rule"),
        ] {
            assert_eq!(preflight(&server, path, method).await.code(), code, "{path}");
        }
        assert_eq!(preflight(&server, "/public", "GET").await.text, "public false");
    }
}

#[tokio::test]
async fn outside_of_the_gate_cors_answers_them() {
    let (gate, clock, key) = gated("").await;
    let cors = CorsLayer::new().allow_origin(Any).allow_headers(gate.credential_headers());
    let around = ServiceBuilder::new().layer(cors).layer(gate.layer());
    let app = Router::new().route("/orders/{id}", get(async || "get")).layer(around);
    let server = support::serve(app, clock).await;
    for _ in 0..5 {
        assert_eq!(preflight(&server, "/orders/7", "GET").await.status, StatusCode::OK);
    }
    let admitted = server.get("/orders/7", &[("x-api-key", &key)]).await;
    assert!(admitted.line("ratelimit").unwrap().starts_with("\"few\";r=1;"));
}

#[tokio::test]
async fn those_with_a_rule_pass_to_a_cors_layer_inside_and_cost_nothing() {
    let (gate, clock, key) = gated(PASS).await;
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]);
    let app =
        Router::new().route("/orders/{id}", get(async || "get")).layer(cors).layer(gate.layer());
    let server = support::serve(app, clock).await;
    for method in ["GET", "HEAD", "PUT"] {
        for _ in 0..5 {
            let answer = preflight(&server, "/orders/7", method).await;
            assert_eq!(answer.status, StatusCode::OK, "{method}");
            assert_eq!(answer.line("access-control-allow-methods").unwrap(), "GET");
            assert_eq!(answer.line("ratelimit"), None);
        }
    }
    for (path, method, code) in [
        ("/orders/7", "DELETE", "method_not_allowed"),
        ("/orders/mine%2F", "GET", "no_matching_rule"),
        ("/orders/%6Dine", "GET", "no_matching_rule"),
        ("/orders//7", "GET", "no_matching_rule"),
        ("/nowhere", "GET", "no_matching_rule"),
        ("/orders/7", "TRACE", "method_not_allowed"),
    ] {
        assert_eq!(preflight(&server, path, method).await.code(), code, "{method} {path}");
    }
    let admitted = server.get("/orders/7", &[("x-api-key", &key)]).await;
    assert!(admitted.line("ratelimit").unwrap().starts_with("\"few\";r=1;"));
}

#[tokio::test]
async fn what_is_no_preflight_is_judged() {
    let (gate, clock, _) = gated(PASS).await;
    let server = support::serve(app(&gate), clock).await;
    let origin = ("origin", "https://app.example.com");
    let asks = ("access-control-request-method", "GET");
    for headers in [
        &[][..],
        &[origin],
        &[asks],
        &[origin, ("access-control-request-method", "")],
        &[origin, ("access-control-request-method", "G ET")],
        &[origin, ("access-control-request-method", "GET, PUT")],
        &[origin, asks, asks],
    ] {
        let answer = server.call(Method::OPTIONS, "/all/x", headers).await;
        assert_eq!(answer.code(), "credentials_missing", "{headers:?}");
    }
    let get = server.get("/all/x", &[origin, asks]).await;
    assert_eq!(get.code(), "credentials_missing");
}

#[tokio::test]
async fn the_log_says_once_what_to_do_about_a_denied_preflight() {
    let log = Log::listen();
    let (gate, clock, _) = gated("").await;
    let server = support::serve(app(&gate), clock).await;
    assert_eq!(server.call(Method::OPTIONS, "/nowhere", &[]).await.code(), "no_matching_rule");
    assert!(!log.take().contains("preflight"), "it is none");
    for path in ["/nowhere", "/nowhere", "/orders/7", "/all/x"] {
        assert_eq!(preflight(&server, path, "GET").await.status, StatusCode::FORBIDDEN);
    }
    let lines = log.take();
    assert_eq!(lines.matches("a CORS preflight was denied").count(), 1, "{lines}");
    assert!(lines.contains("put the CORS layer outside of the gate"), "{lines}");
    assert!(lines.contains("[cors] preflights = \"pass\""), "{lines}");
    assert_eq!(lines.matches(" denied ").count(), 4, "{lines}");
}

/// No CORS layer stands inside: the handler is reached by a request that nobody judged.
#[tokio::test]
async fn extractors_refuse_a_preflight_that_passed_and_the_log_says_why() {
    let log = Log::listen();
    let (gate, clock, key) = gated(PASS).await;
    let server = support::serve(app(&gate), clock).await;
    for path in ["/all/principal", "/all/option", "/all/admission", "/all/scoped", "/all/key"] {
        let answer = preflight(&server, path, "GET").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "credentials_missing"),
            "{path}"
        );
        assert!(!answer.lines("www-authenticate").is_empty(), "{path}");
        assert_eq!(answer.line("ratelimit"), None);
        let lines = log.take();
        assert!(!lines.contains("did not run") && !lines.contains("ERROR"), "{lines}");
        assert!(lines.contains("no CORS layer inside of the gate answered it"), "{lines}");
        assert!(lines.contains("rule=\"all\""), "{lines}");
    }
    // On a public rule nobody is known, and nothing is taken.
    for _ in 0..5 {
        assert_eq!(preflight(&server, "/public", "PUT").await.text, "public false");
    }
    assert!(server.get("/public", &[]).await.status.is_success());
    // A handler that asks nothing is reached: so it says in the README.
    assert_eq!(preflight(&server, "/all/nothing", "GET").await.text, "fallback");
    assert_eq!(server.get("/all/key", &[("x-api-key", &key)]).await.text, "key");
}
