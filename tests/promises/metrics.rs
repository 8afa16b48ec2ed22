//! Admissions and denials are counted by the `metrics` facade, those in shadow mode too.

use std::collections::BTreeMap;

use axum::Router;
use http::Request;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::ServiceExt as _;

use super::support::{gate, key};

#[test]
fn admissions_and_denials_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    // The recorder is this thread's, so the runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(ask()));

    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels: Vec<String> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let count = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(value) => value.0 as u64,
            DebugValue::Histogram(_) => panic!("{key:?}"),
        };
        counted.insert(format!("{} {}", key.key().name(), labels.join(" ")), count);
    }
    let expected = [
        ("tollgate_admitted_total rule=on", 2),
        ("tollgate_denied_total code=credentials_missing mode=enforce rule=on", 1),
        ("tollgate_denied_total code=credentials_missing mode=shadow rule=dark", 3),
        ("tollgate_denied_total code=no_matching_rule mode=enforce", 1),
        ("tollgate_policy_revision ", 1),
    ];
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

async fn ask() {
    let (good, entry) = key("one", "billing", "");
    let policy = format!(
        "version = 1\n[api_keys]\n{entry}[[rule]]\nname = \"on\"\npath = \"/on\"\n\
         [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\n"
    );
    let (gate, _) = gate(&policy).await;
    // Its examples are denials that nobody was sent.
    tollgate::openapi::apply(&gate, &mut serde_json::json!({})).unwrap();
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    for (path, key, times) in
        [("/on", Some(&good), 2), ("/on", None, 1), ("/dark", None, 3), ("/nowhere", None, 1)]
    {
        for _ in 0..times {
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            if let Some(key) = key {
                request.headers_mut().insert("x-api-key", key.parse().unwrap());
            }
            app.clone().oneshot(request).await.unwrap();
        }
    }
}
