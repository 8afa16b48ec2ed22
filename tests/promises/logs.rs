//! The log has a line for each denial, whatever was done before.

use std::process::Command;

use axum::Router;
use axum::body::Body;
use http::Request;
use tower::ServiceExt as _;

use super::support::gate;

const POLICY: &str = "version = 1\n[api_keys]\n[[rule]]\nname = \"all\"\npath = \"/\"\n";

/// tracing remembers for each line of the source whether anybody reads it, by what was so when it was
/// first reached. So this is only seen in a process where nothing was logged before.
#[test]
fn denials_are_logged_after_documents_were_made() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logs::documents_then_a_denial", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("code=\"credentials_missing\""), "{log}");
    assert!(log.contains("instance=urn:uuid:"), "{log}");
    assert!(!log.contains("planted-secret"), "{log}");
}

#[tokio::test]
#[ignore = "a part of the test above, in a process of its own"]
async fn documents_then_a_denial() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let (gate, _) = gate(POLICY).await;
    let app = Router::new().fallback(async || "ok").layer(gate.layer());
    let app = gate.catalogue().merge(app);
    let request = Request::get("/?access_token=planted-secret").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 403);
}
