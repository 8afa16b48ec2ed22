//! Credentials that came by another way than a header, as a WebSocket's first message does: proven when
//! the handler asks, as a header's are.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use serde_json::json;
use tollgate::keys::{ApiKeyRecord, KeyDigest, KeyFuture, KeySource, KeySourceError};
use tollgate::{Admission, Denial, ManualClock, NewApiKey, Principal, Revocation, Tollgate};

use super::support::issuer::TestIssuer;
use super::support::{NOW, Server, bearer, gate, issuer, key, serve};

/// The header that stands for another way.
const SAID: &str = "x-said";

fn described(caller: &Principal) -> String {
    let scopes: Vec<String> = caller.scopes().iter().map(ToString::to_string).collect();
    format!("{} {} [{}]", caller.credential().as_str(), caller.client(), scopes.join(","))
}

async fn by_memory(admission: Admission, headers: HeaderMap) -> Result<String, Denial> {
    admission.verify(headers[SAID].to_str().unwrap()).map(|caller| described(&caller))
}

async fn by_source(admission: Admission, headers: HeaderMap) -> Result<String, Denial> {
    let text = headers[SAID].to_str().unwrap();
    admission.verify_and_wait(text).await.map(|caller| described(&caller))
}

async fn serve_gate(gate: &Tollgate, clock: ManualClock) -> Server {
    let app = Router::new().route("/wait", get(by_source)).fallback(by_memory);
    serve(app.layer(gate.layer()), clock).await
}

/// Who was proven, or the code.
async fn said(server: &Server, path: &str, text: &str) -> String {
    let answer = server.get(path, &[(SAID, text)]).await;
    if answer.status.is_success() { answer.text } else { answer.code() }
}

fn other_issuer(name: &str, more: &str) -> String {
    issuer().replace("\"main\"", &format!("\"{name}\"")).replace("id.", &format!("{name}.")) + more
}

const RULES: &str = "[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\n\
    [[rule]]\nname = \"wait\"\npath = \"/wait\"\npublic = true\n\
    [[rule]]\nname = \"maybe\"\npath = \"/maybe\"\ncredentials = [\"none\", \"token\"]\nissuers = [\"main\"]\n";

#[tokio::test]
async fn a_key_and_a_token_are_proven_as_those_of_headers_are() {
    let (good, entry) = key("good", "billing", "scopes = [\"read\"]");
    let (expired, old) = key("old", "billing", "expires = 2026-01-01T00:00:00Z");
    let (elsewhere, far) = key("far", "billing", "addresses = [\"203.0.113.0/24\"]");
    let issuers = format!("{}{}", issuer(), other_issuer("proxy", "header = \"x-proxy-jwt\"\n"));
    let policy = format!(
        "version = 1\n[failures]\nenabled = false\n[api_keys]\n{entry}{old}{far}{issuers}{RULES}"
    );
    let (gate, clock) = gate(&policy).await;
    let server = serve_gate(&gate, clock).await;
    let with_scheme = bearer(|_| {});
    let token = with_scheme.strip_prefix("Bearer ").unwrap();
    let of_proxy = bearer(|claims| claims["iss"] = json!("https://proxy.example.com/"));
    let of_nobody = bearer(|claims| claims["iss"] = json!("https://nobody.example.com/"));
    let late = bearer(|claims| claims["exp"] = json!(NOW - 100));
    let unknown = NewApiKey::generate("tg").unwrap();
    let of_test = NewApiKey::generate("test").unwrap();
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for path in ["/open", "/wait"] {
        for (text, expected) in [
            (good.as_str(), "api_key billing [read]"),
            (&format!("ApiKey {good}"), "api_key billing [read]"),
            (token, "token mobile [orders:read]"),
            (&with_scheme, "token mobile [orders:read]"),
            // It came in no header, so no header is the wrong one.
            (&of_proxy, "token mobile [orders:read]"),
            ("", "credentials_missing"),
            (&expired, "api_key_expired"),
            (&elsewhere, "api_key_address_not_allowed"),
            (unknown.reveal(), "api_key_unknown"),
            (of_test.reveal(), "api_key_malformed"),
            (&good[..20], "api_key_malformed"),
            ("hello", "token_malformed"),
            (&of_nobody, "token_issuer_unknown"),
            (&late, "token_expired"),
            (&forged, "token_signature_invalid"),
        ] {
            assert_eq!(said(&server, path, text).await, expected, "{path} {text}");
        }
    }
    // The rule says what it takes.
    for (text, expected) in [
        (token, "token mobile [orders:read]"),
        (&good, "credentials_unsupported"),
        (&of_proxy, "token_issuer_unknown"),
    ] {
        assert_eq!(said(&server, "/maybe", text).await, expected, "{text}");
    }
    // What is revoked is, from the next message on.
    gate.revocations().revoke(Revocation::of_api_key("good"));
    assert_eq!(said(&server, "/open", &good).await, "api_key_revoked");
}

#[tokio::test]
async fn guesses_are_counted_with_those_in_headers() {
    let (good, entry) = key("good", "billing", "");
    let policy = format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 2\n[api_keys]\n{entry}{}{RULES}\
         [[rule]]\nname = \"keys\"\npath = \"/keys\"\n",
        issuer()
    );
    let (gate, clock) = gate(&policy).await;
    let server = serve_gate(&gate, clock).await;
    let unknown = NewApiKey::generate("tg").unwrap();
    for _ in 0..2 {
        assert_eq!(said(&server, "/open", unknown.reveal()).await, "api_key_unknown");
    }
    let denied = server.get("/open", &[(SAID, unknown.reveal())]).await;
    assert_eq!(denied.code(), "too_many_failures");
    assert_eq!(denied.json()["last_failure"], "api_key_unknown");
    let denied = server.get("/keys", &[("x-api-key", unknown.reveal())]).await;
    assert_eq!(denied.code(), "too_many_failures", "in a header too");
    assert_eq!(said(&server, "/open", &good).await, "api_key billing []", "what proves itself");
    let other = server.from("127.0.0.2");
    assert_eq!(said(&other, "/open", unknown.reveal()).await, "api_key_unknown");
}

#[tokio::test]
async fn a_browser_sends_its_token_in_the_first_message() {
    let (gate, clock) = gate(&format!("version = 1\n{}{RULES}", issuer())).await;
    let serve_socket = |upgrade: WebSocketUpgrade, admission: Admission| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            while let Some(Ok(Message::Text(token))) = socket.recv().await {
                let answer = match admission.verify(&token) {
                    Ok(caller) => described(&caller),
                    Err(denial) => denial.code().to_owned(),
                };
                let _ = socket.send(Message::text(answer)).await;
            }
        })
    };
    let app = Router::new().fallback(get(serve_socket)).layer(gate.layer());
    let server = serve(app, clock).await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/open", server.address)).await.unwrap();
    let token = bearer(|_| {}).replace("Bearer ", "");
    for (text, expected) in [("no", "token_malformed"), (&token, "token mobile [orders:read]")] {
        socket.send(text.to_owned().into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_token_with_an_unknown_kid_asks_its_issuer() {
    let issuer = TestIssuer::start().await;
    let keys = issuer.keys(", at_start = \"wait\"");
    let policy = issuer.policy(&keys, "[failures]\nenabled = false") + RULES;
    let (gate, clock) = gate(&policy).await;
    let server = serve_gate(&gate, clock).await;
    // On a busy machine a fetch may take longer than one request waits for it.
    let waited = async |text: &str| {
        for _ in 0..2 {
            match said(&server, "/wait", text).await {
                outcome if outcome == "key_source_unavailable" => {}
                outcome => return outcome,
            }
        }
        said(&server, "/wait", text).await
    };
    let (proven, unknown) = ("token mobile [orders:read]", "token_key_unknown");
    assert_eq!(said(&server, "/open", &issuer.bearer("one", |_| {})).await, proven);
    assert_eq!(issuer.requests().len(), 1);

    issuer.publish(&["one", "two"]);
    let two = issuer.bearer("two", |_| {});
    let at_once = server.get("/open", &[(SAID, &two)]).await;
    assert_eq!((at_once.status.as_u16(), &*at_once.code()), (503, "key_source_unavailable"));
    assert_eq!(at_once.json()["retryable"], true);
    assert_eq!(waited(&two).await, proven, "by the fetch that the first call began");
    assert_eq!(said(&server, "/open", &two).await, proven);
    assert_eq!(issuer.requests().len(), 2);

    // Nobody has this key, and the set was fetched just now.
    let invented = issuer.bearer_as(Some("three"), "one", |_| {});
    for path in ["/open", "/wait"] {
        assert_eq!(said(&server, path, &invented).await, unknown, "{path}");
    }
    assert_eq!(issuer.requests().len(), 2, "an issuer is asked once in 30 s");
    server.clock.advance(Duration::from_secs(31));
    assert_eq!(waited(&invented).await, unknown);
    assert_eq!(issuer.requests().len(), 3);
    assert_eq!(said(&server, "/open", &invented).await, unknown);
}

/// A source that knows one key.
struct OneKey(ApiKeyRecord);

impl KeySource for OneKey {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(async move { Ok((digest == self.0.digest()).then(|| self.0.clone())) })
    }

    fn kind(&self) -> &'static str {
        "one"
    }
}

#[tokio::test]
async fn a_key_of_a_source_is_waited_for() {
    let key = NewApiKey::generate("tg").unwrap();
    let record = ApiKeyRecord::builder("one", "billing", key.key_digest()).build().unwrap();
    let clock = ManualClock::at(NOW);
    let gate = Tollgate::builder()
        .policy(
            format!("version = 1\n[failures]\nenabled = false\n[api_keys]\n{RULES}")
                .replace("issuers = [\"main\"]\n", "")
                .replace("\"token\"", "\"api_key\""),
        )
        .key_source(OneKey(record))
        .clock(clock.clone());
    let gate = gate.build().await.unwrap();
    let server = serve_gate(&gate, clock).await;
    let unknown = NewApiKey::generate("tg").unwrap();
    let at_once = server.get("/open", &[(SAID, key.reveal())]).await;
    assert_eq!((at_once.status.as_u16(), at_once.code().as_str()), (503, "key_source_unavailable"));
    assert_eq!(at_once.json()["retryable"], true);
    assert_eq!(said(&server, "/wait", key.reveal()).await, "api_key billing []");
    assert_eq!(said(&server, "/open", key.reveal()).await, "api_key billing []", "remembered");
    assert_eq!(said(&server, "/wait", unknown.reveal()).await, "api_key_unknown");
}
