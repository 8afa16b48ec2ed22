//! The log, as a global subscriber gets it: a process of its own, since a process has one.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::IntoResponse;
use axum::routing::get;
use http::Request;
use serde_json::{Value, json};
use tollgate::{Category, Denial, DenialCode, NewApiKey, Scoped, Tollgate, scope};
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

scope!(Write_ = "orders:write");

static WRONG: DenialCode =
    DenialCode::new("wrong_colour", Category::Authorization).with_title("Wrong colour");

/// What was written, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    /// The one line that holds this text.
    fn of(&self, part: &str) -> String {
        let lines = self.take();
        let mut found = lines.iter().filter(|line| line.contains(part));
        let line = found.next().unwrap_or_else(|| panic!("no line has {part:?}: {lines:#?}"));
        assert_eq!(found.next(), None, "one line only");
        line.clone()
    }
}

async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap_or_default()
}

/// One test, since a process has one global subscriber.
#[tokio::test]
async fn the_log_has_a_line_for_each_instance() {
    let lines = Lines::default();
    tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).init();

    let key = NewApiKey::generate("tg").unwrap();
    let policy = format!(
        "version = 1\n[api_keys]\n[[api_keys.key]]\nid = \"billing-1\"\nclient = \"billing\"\n\
         digest = \"{}\"\nscopes = [\"orders:read\"]\n\
         [[rule]]\nname = \"read\"\npath = \"/orders/{{id}}\"\nmethods = [\"GET\"]\nscopes = [\"orders:read\"]\n\
         [[rule]]\nname = \"write\"\npath = \"/orders/{{id}}\"\nmethods = [\"PUT\"]\nscopes = [\"orders:read\", \"orders:write\"]\n\
         [[rule]]\nname = \"dark\"\npath = \"/dark/{{id}}\"\nmode = \"shadow\"\nroles = [\"admin\"]\n\
         [[rule]]\nname = \"own\"\npath = \"/own\"\npublic = true\n",
        key.digest()
    );
    let gate = Tollgate::builder().policy(policy).build().await.unwrap();
    // Both make documents of denials that nobody was sent, before the first real one.
    tollgate::openapi::apply(&gate, &mut json!({"paths": {"/orders/{id}": {"get": {}}}})).unwrap();
    let catalogue = gate.catalogue();
    let said = lines.take();
    assert!(said.iter().all(|line| line.contains("WARN")), "nothing was denied: {said:?}");

    let span = axum::middleware::from_fn(
        async |request: axum::extract::Request, next: axum::middleware::Next| {
            use tracing::Instrument as _;
            let empty = tracing::field::Empty;
            let span =
                tracing::info_span!("request", client = empty, rule = empty, instance = empty);
            next.run(request).instrument(span).await
        },
    );
    let app = Router::new()
        .route("/own", get(async || -> Denial { Denial::new(&WRONG) }))
        .route(
            "/orders/{id}",
            get(async || {
                tracing::info!(target: "app", "served");
                "ok"
            })
            .put(async |_: Scoped<Write_>| "ok".into_response()),
        )
        .fallback(async || "ok")
        .layer(gate.layer())
        .layer(span);
    let app = catalogue.merge(app);
    let header = [("x-api-key", key.reveal()), ("x-request-id", "req-77")];

    // The address of the peer is not known here: said once.
    send(&app, "GET", "/orders/1?card=planted", &header).await;
    let first = lines.take();
    assert_eq!(first.iter().filter(|line| line.contains("address of the peer")).count(), 1);
    let served = first.iter().find(|line| line.contains("served")).unwrap();
    assert!(served.contains("client=\"billing\"") && served.contains("rule=\"read\""), "{served}");

    let denied = send(&app, "PUT", "/orders/17?card=planted", &header).await;
    assert_eq!(denied["code"], "insufficient_scope");
    let line = lines.of(denied["instance"].as_str().unwrap());
    for part in [
        "INFO",
        "tollgate: denied",
        "code=\"insufficient_scope\"",
        "method=\"PUT\"",
        "path=\"/orders/{id}\"",
        "rule=\"write\"",
        "client=\"billing\"",
        "key_id=\"billing-1\"",
        "detail=\"The API key billing-1 lacks a scope that is needed here.\"",
        "\\\"missing_scopes\\\":[\\\"orders:write\\\"]",
        "request_id=\"req-77\"",
    ] {
        assert!(line.contains(part), "{part} is in {line}");
    }
    assert!(line.contains("instance=urn:uuid:") && line.contains("request{"), "{line}");
    assert!(!line.contains("planted") && !line.contains(key.reveal()), "{line}");

    // Where no rule covers the path, it is written as it came: bounded and escaped.
    let long = format!("/nowhere/%1b{}", "x".repeat(2000));
    let denied = send(&app, "GET", &format!("{long}?card=planted"), &[]).await;
    let line = lines.of(denied["instance"].as_str().unwrap());
    assert!(line.contains("path=\"/nowhere/%1bxxx") && line.contains('…'), "{line}");
    assert!(line.len() < 1200 && !line.contains("planted"), "{line}");

    // In shadow mode the line says as much.
    send(&app, "GET", "/dark/1", &header).await;
    let line = lines.of("shadow mode");
    for part in ["insufficient_role", "path=\"/dark/{id}\"", "required_roles", "admin", "req-77"] {
        assert!(line.contains(part), "{part} is in {line}");
    }

    // A code that was not registered is sent, and said once.
    for expected in [1, 0, 0] {
        let denied = send(&app, "GET", "/own", &[]).await;
        assert_eq!(denied["code"], "wrong_colour");
        let said = lines.take();
        let errors = said.iter().filter(|line| line.contains("not registered"));
        assert_eq!(errors.filter(|line| line.contains("ERROR")).count(), expected, "{said:?}");
    }

    // An extractor where no gate ran is our own fault, loudly.
    let bare = Router::new().route("/", get(async |_: Scoped<Write_>| "ok"));
    let denied = send(&bare, "GET", "/", &[]).await;
    let line = lines.of(denied["instance"].as_str().unwrap());
    assert!(line.contains("ERROR") && line.contains("add `.layer(gate.layer())`"), "{line}");
}
