//! What is revoked is refused from the next request on, and on connections that are open: by the
//! policy, by its file, and by the application.

use std::fs;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::any;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message as Frame;
use tollgate::{Admission, Denial, ManualClock, Revocation, Revocations, Tollgate, Wall};

use super::log::Log;
use super::support::{Answer, NOW, SECRET, Server, bearer, issuer, key, serve, trial};

/// No test waits so long unless it fails.
const LONG: Duration = Duration::from_secs(120);

/// Policy with the issuer `main`, whose clients may come with keys too.
fn policy(more: &str) -> String {
    format!("version = 1\n{}{more}\n[[rule]]\nname = \"all\"\npath = \"/all\"\n", issuer())
}

fn outcome(answer: &Answer) -> String {
    if answer.status == 200 { "ok".into() } else { answer.code() }
}

async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> String {
    outcome(&server.get(path, headers).await)
}

async fn with_token(server: &Server, token: &str) -> String {
    ask(server, "/all", &[("authorization", token)]).await
}

/// Each entry of a list, and what it makes of a token, of a token with other claims, and of a key.
#[tokio::test]
async fn an_entry_revokes_what_meets_all_of_its_conditions() {
    let (mallory, entry) = key("mallory-2026", "mallory", "");
    let (other, of_other) = key("other-2026", "other", "");
    let keys = format!("{entry}{of_other}");
    let token = bearer(|claims| {
        claims["sub"] = "mallory".into();
        claims["jti"] = "4f1c".into();
    });
    let nameless = bearer(|claims| {
        claims["sub"] = "mallory".into();
        claims.as_object_mut().unwrap().remove("iat");
    });
    // The entry; then the token of mallory at 08:00:00, the one without `iat` and `jti`, and the key.
    for (entry, expected) in [
        ("", ["ok", "ok", "ok"]),
        ("jti = \"4f1c\"", ["revoked", "ok", "ok"]),
        ("jti = \"4f1c\"\nissuer = \"main\"", ["revoked", "ok", "ok"]),
        ("jti = \"4f1c\"\nclient = \"other\"", ["ok", "ok", "ok"]),
        ("jti = \"4f1d\"", ["ok", "ok", "ok"]),
        ("client = \"mallory\"", ["revoked", "revoked", "revoked"]),
        ("client = \"mallory\"\nissuer = \"main\"", ["revoked", "revoked", "ok"]),
        ("issuer = \"main\"", ["revoked", "revoked", "ok"]),
        ("key_id = \"mallory-2026\"", ["ok", "ok", "revoked"]),
        ("key_id = \"mallory-2026\"\nclient = \"mallory\"", ["ok", "ok", "revoked"]),
        ("key_id = \"mallory-2026\"\nclient = \"other\"", ["ok", "ok", "ok"]),
        // Conditions of tokens never match a key, whatever else is written.
        ("key_id = \"mallory-2026\"\nissuer = \"main\"", ["ok", "ok", "ok"]),
        ("key_id = \"mallory-2026\"\nissued_before = 2030-01-01T00:00:00Z", ["ok", "ok", "ok"]),
        ("client = \"mallory\"\njti = \"4f1c\"", ["revoked", "ok", "ok"]),
        ("issued_before = 2027-01-15T08:00:00Z", ["ok", "revoked", "ok"]),
        ("issued_before = 2027-01-15T08:00:01Z", ["revoked", "revoked", "ok"]),
        ("issued_before = 2027-01-15T08:00:00.5Z", ["revoked", "revoked", "ok"]),
        (
            "issued_before = 2030-01-01T00:00:00Z\nclient = \"mallory\"",
            ["revoked", "revoked", "ok"],
        ),
        ("issued_before = 2030-01-01T00:00:00Z\nclient = \"other\"", ["ok", "ok", "ok"]),
    ] {
        let revoked = if entry.is_empty() { "" } else { "[[revoked]]\n" };
        let server = trial(&policy(&format!("{keys}{revoked}{entry}\n"))).await;
        let codes = expected.map(|word| word.replace("revoked", "token_revoked"));
        let of_key = expected[2].replace("revoked", "api_key_revoked");
        // Twice: the second time the token is remembered.
        for _ in 0..2 {
            assert_eq!(with_token(&server, &token).await, codes[0], "{entry}");
            assert_eq!(with_token(&server, &nameless).await, codes[1], "{entry}");
            assert_eq!(ask(&server, "/all", &[("x-api-key", &mallory)]).await, of_key, "{entry}");
        }
        assert_eq!(ask(&server, "/all", &[("x-api-key", &other)]).await, "ok", "{entry}");
    }
}

/// A number as `jti` is not as RFC 7519 has it, and its token can be revoked nevertheless.
#[tokio::test]
async fn a_jti_that_is_a_number_is_its_digits() {
    let server = trial(&policy("[[revoked]]\njti = \"17\"\n")).await;
    let token = |jti: Value| bearer(|claims| claims["jti"] = jti);
    for (jti, expected) in [
        (json!(17), "token_revoked"),
        (json!("17"), "token_revoked"),
        (json!(18), "ok"),
        (json!([17]), "ok"),
        (json!(null), "ok"),
    ] {
        assert_eq!(with_token(&server, &token(jti.clone())).await, expected, "{jti}");
    }
}

/// With a key and a token each is judged: the key first.
#[tokio::test]
async fn of_two_credentials_each_is_judged() {
    let (key, entry) = key("app-2026", "app", "");
    let token = bearer(|claims| claims["sub"] = "mallory".into());
    for (entries, expected) in [
        ("", "ok"),
        ("[[revoked]]\nclient = \"app\"\n", "api_key_revoked"),
        ("[[revoked]]\nclient = \"mallory\"\n", "token_revoked"),
        ("[[revoked]]\nclient = \"app\"\n[[revoked]]\nissuer = \"main\"\n", "api_key_revoked"),
    ] {
        let both = "[[rule]]\nname = \"both\"\npath = \"/both\"\ncredentials = [\"both\"]\n";
        let server = trial(&policy(&format!("{entry}{entries}{both}"))).await;
        let headers = [("authorization", &*token), ("x-api-key", &*key)];
        assert_eq!(ask(&server, "/both", &headers).await, expected, "{entries}");
    }
}

/// What is wrong with a credential by itself keeps its own code, and revocation comes before permission.
#[tokio::test]
async fn revocation_is_judged_last_of_a_token_and_is_no_failed_attempt() {
    let revoked = "[failures]\nrate = \"1/hour\"\nburst = 1\n[[revoked]]\nissuer = \"main\"\n\
                   [[rule]]\nname = \"scoped\"\npath = \"/scoped\"\nscopes = [\"nobody:has\"]\n";
    let server = trial(&policy(revoked)).await;
    for (change, expected) in [
        (json!({}), "token_revoked"),
        (json!({"exp": NOW - 3600}), "token_expired"),
        (json!({"aud": "https://other.example.com"}), "token_audience_mismatch"),
        (json!({"scope": 7}), "token_claim_invalid"),
        (json!({"roles": 7}), "token_claim_invalid"),
    ] {
        let token = bearer(|claims| {
            let all = claims.as_object_mut().unwrap();
            all.extend(change.as_object().unwrap().clone());
        });
        assert_eq!(with_token(&server, &token).await, expected, "{change}");
        let scoped = ask(&server, "/scoped", &[("authorization", &token)]).await;
        assert_eq!(scoped, expected, "{change}");
    }
    for _ in 0..5 {
        assert_eq!(with_token(&server, &bearer(|_| {})).await, "token_revoked", "it costs nothing");
    }
}

#[tokio::test]
async fn the_answer_is_that_of_the_catalogue() {
    let (key, entry) = key("billing-2026", "billing", "");
    let more =
        format!("[denial]\nstatus = \"standard\"\n{entry}[[revoked]]\nclient = \"billing\"\n");
    let server = trial(&policy(&more)).await;
    let log = Log::listen();
    let token = bearer(|claims| claims["sub"] = "billing".into());
    let answer = server.get("/all", &[("authorization", &token)]).await;
    assert_eq!(answer.status, 401);
    let body = answer.json();
    assert_eq!((&body["category"], &body["action"]), (&json!("token"), &json!("renew")));
    let challenge = &answer.lines("www-authenticate")[0];
    assert!(challenge.starts_with("Bearer realm=\"api\", error=\"invalid_token\""), "{challenge}");
    let line = log.take();
    assert!(line.contains("cause=\"a token of client billing by issuer main\""), "{line}");
    assert!(!answer.text.contains("billing"), "{}", answer.text);

    let answer = server.get("/all", &[("x-api-key", &key)]).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "api_key_revoked".into()));
    assert_eq!(answer.json()["key_id"], "billing-2026");
    assert!(log.take().contains("on a list of revocations"));
}

/// A gate in a folder, whose policy names a file of revocations.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(policy: &str, revoked: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("revoked.toml", revoked);
        folder.write("tollgate.toml", policy);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.0.path().join(name)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn open(&self, watch: bool) -> (Tollgate, ManualClock) {
        let clock = ManualClock::at(NOW);
        let path = self.path().join("tollgate.toml");
        let builder = Tollgate::builder().policy_file(path).clock(clock.clone()).watch(watch);
        (builder.build().await.unwrap(), clock)
    }
}

const FILE: &str = "[revocations]\nfile = \"revoked.toml\"\n";
const NONE: &str = "# nobody\n";

/// Three seconds where nothing else runs; a slow machine may take its time.
async fn until(what: impl AsyncFn() -> bool) {
    let all = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, all).await.expect("it never happens");
}

#[tokio::test]
async fn a_file_is_followed_and_refuses_on_connections_that_are_open() {
    let folder = Folder::new(&policy(FILE), NONE);
    let (gate, clock) = folder.open(true).await;
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(app, clock).await;
    let token = bearer(|claims| claims["jti"] = "4f1c".into());
    let by_http2 = async || outcome(&server.get_http2("/all", &[("authorization", &token)]).await);
    assert_eq!(by_http2().await, "ok");
    assert_eq!((gate.status().revocations.listed, gate.status().revocations.told), (0, 0));

    folder.write("revoked.toml", "[[revoked]]\njti = \"4f1c\"\n[[revoked]]\nclient = \"x\"\n");
    until(async || by_http2().await == "token_revoked").await;
    let status = gate.status();
    assert_eq!((status.revision.number, status.revocations.listed), (2, 2));
    let file = status.revocations.file.unwrap();
    let source = status.sources.iter().find(|source| source.name == file).unwrap();
    assert!(source.age_seconds.is_some(), "{source:?}");

    // Whole or not at all: a list with a fault leaves the one before in force.
    folder.write("revoked.toml", "[[revoked]]\nclient = \"y\"\n[[revoked]]\nclinet = \"x\"\n");
    until(async || gate.status().last_fault.is_some()).await;
    assert_eq!(by_http2().await, "token_revoked");
    assert_eq!(gate.status().revocations.listed, 2);

    folder.write("revoked.toml", NONE);
    until(async || by_http2().await == "ok").await;
}

/// A long list is read part by part: all of it counts, and a fault in it has its place.
#[tokio::test]
async fn a_long_list_is_taken_as_a_whole() {
    let list: String = (0..25_000).map(|n| format!("[[revoked]]\njti = \"{n}\"\n")).collect();
    let folder = Folder::new(&policy(FILE), &list);
    let (gate, clock) = folder.open(false).await;
    assert_eq!(gate.status().revocations.listed, 25_000);
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(app, clock).await;
    for (jti, expected) in
        [(0, "token_revoked"), (10_000, "token_revoked"), (24_999, "token_revoked"), (25_000, "ok")]
    {
        let token = bearer(|claims| claims["jti"] = jti.to_string().into());
        assert_eq!(with_token(&server, &token).await, expected, "{jti}");
    }
    folder.write("revoked.toml", &list.replace("jti = \"24000\"", "jit = \"24000\""));
    let error = gate.reload().await.unwrap_err();
    let [fault] = error.faults() else { panic!("{error}") };
    assert_eq!((fault.line(), fault.message()), (48_002, "unknown key `jit` in [[revoked]]"));
    assert!(fault.file().ends_with("revoked.toml"));
    assert_eq!(gate.status().revocations.listed, 25_000);
}

/// A proven token is remembered, and never longer than it counts.
#[tokio::test]
async fn what_is_remembered_is_hit_by_reload_key_change_and_revocation_at_once() {
    let token = bearer(|claims| claims["jti"] = "4f1c".into());
    let keys = || String::from_utf8(SECRET.to_vec()).unwrap();
    let with = |more: &str| {
        policy(more).replace("secret_env = \"TOLLGATE_TEST_SECRET\"", "secret_file = \"secret\"")
    };
    let folder = Folder::new(&with(FILE), NONE);
    folder.write("secret", &keys());
    folder.write("tollgate.toml", &with(FILE));
    let (gate, clock) = folder.open(false).await;
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(app, clock).await;
    let judged = async || with_token(&server, &token).await;
    let reload = async |name: &str, text: &str| {
        folder.write(name, text);
        gate.reload().await.unwrap();
    };
    for _ in 0..2 {
        assert_eq!(judged().await, "ok");
    }

    // Reload: what the issuer asks for has changed.
    let issuer = "required_claims = [\"tenant\"]\n[[rule]]\nname = \"all\"";
    reload("tollgate.toml", &with(FILE).replace("[revocations]", "[revocations] # moved\n")).await;
    assert_eq!(judged().await, "ok");
    let asks = with("").replace("[[rule]]\nname = \"all\"", issuer) + FILE;
    reload("tollgate.toml", &asks).await;
    assert_eq!(judged().await, "token_claim_missing");
    reload("tollgate.toml", &with(FILE)).await;
    assert_eq!(judged().await, "ok");

    // Another key.
    reload("secret", &"another secret of enough bytes...".repeat(2)).await;
    assert_eq!(judged().await, "token_signature_invalid");
    reload("secret", &keys()).await;
    assert_eq!(judged().await, "ok");

    // Revocation: by the file, and by the application without any reload.
    reload("revoked.toml", "[[revoked]]\njti = \"4f1c\"\n").await;
    assert_eq!(judged().await, "token_revoked");
    reload("revoked.toml", NONE).await;
    assert_eq!(judged().await, "ok");
    gate.revocations().revoke(Revocation::of_token("4f1c").issuer("main"));
    assert_eq!(judged().await, "token_revoked");
}

#[tokio::test]
async fn what_the_application_revokes_holds_at_the_next_request_and_through_reloads() {
    let (key, entry) = key("app-2026", "app", "");
    let folder = Folder::new(&policy(&format!("{entry}{FILE}")), NONE);
    let revocations = Revocations::new();
    revocations.replace([Revocation::of_client("before the gate")]);
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy_file(folder.path().join("tollgate.toml")).watch(false);
    let builder = builder.clock(clock.clone()).revocations(revocations.clone());
    let gate = builder.build().await.unwrap();
    /// Signs the caller out, everywhere.
    async fn sign_out(State(revocations): State<Revocations>, admission: Admission) {
        let client = admission.principal().unwrap().client();
        let before = Wall::from_seconds(NOW + 1);
        revocations.revoke(Revocation::of_client(client).issued_before(before));
    }
    let app = Router::new()
        .route("/all", any(sign_out))
        .with_state(revocations.clone())
        .fallback(|| async { "ok" })
        .layer(gate.layer());
    let server = serve(app, clock).await;

    let early = bearer(|claims| claims["sub"] = "before the gate".into());
    assert_eq!(with_token(&server, &early).await, "token_revoked");
    let token = bearer(|_| {});
    assert_eq!(with_token(&server, &token).await, "ok", "this request signs out");
    assert_eq!(with_token(&server, &token).await, "token_revoked");
    gate.reload().await.unwrap();
    assert_eq!(with_token(&server, &token).await, "token_revoked", "a reload does not touch it");
    server.clock.advance(Duration::from_secs(10));
    let later = bearer(|claims| claims["iat"] = (NOW + 5).into());
    assert_eq!(with_token(&server, &later).await, "ok", "signed in again");

    let status = gate.status().revocations;
    assert_eq!((status.listed, status.told), (0, 2), "the client signed out twice, by one entry");
    assert!(status.age_seconds.is_some());
    gate.revocations().revoke(Revocation::of_api_key("app-2026"));
    assert_eq!(ask(&server, "/all", &[("x-api-key", &key)]).await, "api_key_revoked");
    assert!(revocations.withdraw(&Revocation::of_api_key("app-2026")));
    assert_eq!(ask(&server, "/all", &[("x-api-key", &key)]).await, "ok");
}

/// A gate with a WebSocket at `/all` that says when and why its credential has ended.
async fn with_web_socket(gate: &Tollgate, clock: ManualClock) -> Server {
    async fn listen(mut socket: WebSocket, admission: Admission) {
        let mut ended = admission.ended();
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(message)) => drop(socket.send(message).await),
                    _ => return,
                },
                denial = &mut ended => {
                    let reason = denial.code().to_owned().into();
                    let frame = CloseFrame { code: close_code::POLICY, reason };
                    return drop(socket.send(Message::Close(Some(frame))).await);
                }
            }
        }
    }
    let upgrade = async |upgrade: WebSocketUpgrade, admission: Admission| -> Response {
        upgrade.on_upgrade(move |socket| listen(socket, admission))
    };
    serve(Router::new().route("/all", any(upgrade)).layer(gate.layer()), clock).await
}

/// A client at that socket.
struct Socket(
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
);

impl Socket {
    async fn open(server: &Server, header: &'static str, value: &str) -> Self {
        let mut request = format!("ws://{}/all", server.address).into_client_request().unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut socket = Self(socket);
        socket.echoes().await;
        socket
    }

    /// It is open: what is sent comes back.
    async fn echoes(&mut self) {
        use futures_util::SinkExt as _;
        self.0.send(Frame::text("there?")).await.unwrap();
        let answer = self.0.next().await.unwrap().unwrap();
        assert_eq!(answer.to_text().unwrap(), "there?");
    }

    /// The reason with which it is closed.
    async fn closed(mut self) -> String {
        let next = tokio::time::timeout(LONG, self.0.next()).await.expect("it stays open");
        match next {
            Some(Ok(Frame::Close(Some(frame)))) => frame.reason.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_open_web_socket_ends_with_its_credential() {
    let (one, entry) = key("one", "billing", "");
    let (two, other) = key("two", "shipping", "expires = 2027-01-15T09:00:00Z\n");
    let (kept, still) = key("kept", "kept", "");
    let all = |more: &str| policy(&format!("{entry}{other}{still}{FILE}{more}"));
    let folder = Folder::new(&all(""), NONE);
    let (gate, clock) = folder.open(false).await;
    let server = with_web_socket(&gate, clock.clone()).await;
    let token = |jti: &str| bearer(|claims| claims["jti"] = jti.into());
    let reload = async |name: &str, text: &str| {
        folder.write(name, text);
        gate.reload().await.unwrap();
    };
    let with = async |token: String| Socket::open(&server, "authorization", &token).await;
    let mut kept = Socket::open(&server, "x-api-key", &kept).await;

    let socket = with(token("by the file")).await;
    reload("revoked.toml", "[[revoked]]\njti = \"by the file\"\n").await;
    assert_eq!(socket.closed().await, "token_revoked");

    let socket = with(token("by the application")).await;
    gate.revocations().revoke(Revocation::of_token("by the application"));
    assert_eq!(socket.closed().await, "token_revoked");

    let socket = Socket::open(&server, "x-api-key", &one).await;
    gate.revocations().revoke(Revocation::of_api_key("one"));
    assert_eq!(socket.closed().await, "api_key_revoked");
    gate.revocations().replace([]);

    // A later policy counts: the key lives longer, and then ends.
    let mut socket = Socket::open(&server, "x-api-key", &two).await;
    reload("tollgate.toml", &all("").replace("T09:00:00Z", "T11:00:00Z")).await;
    clock.advance(Duration::from_secs(3600 + 1800));
    socket.echoes().await;
    let late = with(bearer(|claims| claims["exp"] = (NOW + 7200).into())).await;
    clock.advance(Duration::from_secs(1800 + 31));
    assert_eq!(late.closed().await, "token_expired");
    socket.echoes().await;
    clock.advance(Duration::from_secs(3600));
    assert_eq!(socket.closed().await, "api_key_expired");

    // By its own entry, and by being taken out.
    let socket = Socket::open(&server, "x-api-key", &one).await;
    let token = with(bearer(|claims| claims["exp"] = (NOW + 99_000).into())).await;
    let revoked = format!("{entry}revoked = true\n");
    reload("tollgate.toml", &all("").replace(&entry, &revoked)).await;
    assert_eq!(socket.closed().await, "api_key_revoked");
    reload("tollgate.toml", &all("")).await;
    let socket = Socket::open(&server, "x-api-key", &one).await;
    reload("tollgate.toml", &all("").replace(&entry, "")).await;
    assert_eq!(socket.closed().await, "api_key_unknown");
    reload("tollgate.toml", &all("").replace("name = \"main\"", "name = \"renamed\"")).await;
    assert_eq!(token.closed().await, "token_issuer_unknown");

    // Nothing of all that concerned this one.
    kept.echoes().await;
}

/// A key that was handed out while the gate runs, and taken back.
#[tokio::test]
async fn a_web_socket_ends_when_its_key_is_taken_back_in_its_store() {
    let (gate, clock) = super::support::gate(&policy("[api_keys]\n")).await;
    let server = with_web_socket(&gate, clock.clone()).await;
    let issued = gate.keys().issue("acme-1", "acme", |key| key).await.unwrap();
    let until = Wall::from_seconds(NOW + 60);
    let ends = gate.keys().issue("acme-9", "acme", |key| key.expires(until)).await.unwrap();
    let open = async |key: &str| Socket::open(&server, "x-api-key", key).await;
    let (mut one, other) = (open(issued.key().reveal()).await, open(ends.key().reveal()).await);
    clock.advance(Duration::from_secs(60));
    assert_eq!(other.closed().await, "api_key_expired");
    one.echoes().await;
    gate.keys().revoke("acme-1").await.unwrap();
    assert_eq!(one.closed().await, "api_key_revoked");

    // A list of revocations holds for such keys too.
    let issued = gate.keys().issue("acme-2", "acme", |key| key).await.unwrap();
    let key = issued.key().reveal().to_owned();
    let socket = open(&key).await;
    gate.revocations().revoke(Revocation::of_client("acme"));
    assert_eq!(ask(&server, "/all", &[("x-api-key", &key)]).await, "api_key_revoked");
    assert_eq!(socket.closed().await, "api_key_revoked");
}

/// The thread of the gate, the file, and a socket: nothing is called.
#[tokio::test]
async fn a_web_socket_ends_when_the_file_of_revocations_says_so() {
    let folder = Folder::new(&policy(FILE), NONE);
    let (gate, clock) = folder.open(true).await;
    let server = with_web_socket(&gate, clock).await;
    let token = bearer(|claims| claims["jti"] = "4f1c".into());
    let mut socket = Socket::open(&server, "authorization", &token).await;
    socket.echoes().await;
    folder.write("revoked.toml", "[[revoked]]\njti = \"4f1c\"\n");
    assert_eq!(socket.closed().await, "token_revoked");
    assert_eq!(gate.status().revision.number, 2);
}

/// A stream that listens for its end keeps no policy that was replaced.
#[test]
fn a_stream_that_listens_keeps_no_policy() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let gauge = |name: &str| {
        let all = metrics.snapshot().into_vec();
        let found = all.into_iter().find(|(key, _, _, _)| key.key().name() == name);
        match found.unwrap().3 {
            DebugValue::Gauge(count) => count.0 as u64,
            other => panic!("{other:?}"),
        }
    };
    // The recorder is this thread's, so the runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = async {
        let folder = Folder::new(&policy(FILE), NONE);
        let (gate, clock) = folder.open(false).await;
        let server = with_web_socket(&gate, clock).await;
        let mut socket = Socket::open(&server, "authorization", &bearer(|_| {})).await;
        for n in 0..100 {
            folder.write("revoked.toml", &format!("[[revoked]]\njti = \"{n}\"\n"));
            gate.reload().await.unwrap();
            socket.echoes().await;
            assert_eq!(gauge("tollgate_snapshots"), 1, "the policy in force alone is in memory");
        }
    };
    metrics::with_local_recorder(&recorder, || runtime.block_on(run));
}

/// A server whose handler sends two parts, and then nothing for ever.
async fn with_stream(end_bodies: bool, media: &'static str) -> (Server, Tollgate) {
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy(policy("")).clock(clock.clone());
    let gate = builder.end_bodies(end_bodies).build().await.unwrap();
    let handler = async move || {
        let parts = stream::iter(["data: 1\n\n", "data: 2\n\n"].map(|part| Ok(Bytes::from(part))));
        let body = parts.chain(stream::once(pending::<Result<Bytes, std::io::Error>>()));
        Response::builder().header(CONTENT_TYPE, media).body(Body::from_stream(body)).unwrap()
    };
    let app = Router::new().route("/all", any(handler)).layer(gate.layer());
    (serve(app, clock).await, gate)
}

/// What a client reads until the end, and how that is.
async fn read(server: &Server, http2: bool, told: mpsc::Sender<()>) -> (String, bool) {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build::<_, Full<Bytes>>(HttpConnector::new());
    let request = http::Request::get(format!("http://{}/all", server.address));
    let request = request.header("authorization", bearer(|_| {})).body(Full::default()).unwrap();
    let mut response = client.request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    loop {
        match response.body_mut().frame().await {
            Some(Ok(part)) => text += str::from_utf8(part.data_ref().unwrap()).unwrap(),
            Some(Err(_)) => return (text, false),
            None => return (text, true),
        }
        if text.ends_with("data: 2\n\n") {
            told.send(()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn bodies_end_by_themselves_where_that_is_asked_for() {
    for (media, ends_cleanly) in [
        ("text/event-stream", true),
        ("text/event-stream; charset=utf-8", true),
        ("text/csv", false),
    ] {
        for http2 in [false, true] {
            let (server, gate) = with_stream(true, media).await;
            let (told, mut heard) = mpsc::channel(1);
            let revoke = async {
                heard.recv().await.unwrap();
                gate.revocations().revoke(Revocation::of_client("mobile"));
            };
            let read = tokio::time::timeout(LONG, read(&server, http2, told));
            let (read, ()) = tokio::join!(read, revoke);
            let (text, is_clean) = read.expect("the body never ends");
            assert_eq!(text, "data: 1\n\ndata: 2\n\n", "{media}");
            assert_eq!(is_clean, ends_cleanly, "{media}, HTTP/2: {http2}");
        }
    }
    // They end with their time too.
    let (server, _gate) = with_stream(true, "text/event-stream").await;
    let (told, mut heard) = mpsc::channel(1);
    let expire = async {
        heard.recv().await.unwrap();
        server.clock.advance(Duration::from_secs(3600 + 31));
    };
    let (read, ()) = tokio::join!(tokio::time::timeout(LONG, read(&server, false, told)), expire);
    assert!(read.expect("the body never ends").1);
}

/// Unless it is asked for, a stream goes on after its credential has ended; its handler has the last word.
#[tokio::test]
async fn bodies_are_left_alone_by_default() {
    let (gate, clock) = super::support::gate(&policy("")).await;
    let handler = async |admission: Admission| {
        let parts = stream::iter(["data: 1\n\n", "data: 2\n\n"].map(str::to_owned));
        let last =
            stream::once(async move { format!("data: {}\n\n", admission.ended().await.code()) });
        let parts = parts.chain(last).map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
        Body::from_stream(parts)
    };
    let server = serve(Router::new().route("/all", any(handler)).layer(gate.layer()), clock).await;
    let (told, mut heard) = mpsc::channel(1);
    let revoke = async {
        heard.recv().await.unwrap();
        gate.revocations().revoke(Revocation::of_client("mobile"));
    };
    let read = tokio::time::timeout(LONG, read(&server, false, told));
    let (read, ()) = tokio::join!(read, revoke);
    let whole = "data: 1\n\ndata: 2\n\ndata: token_revoked\n\n".to_owned();
    assert_eq!(read.expect("the body never ends"), (whole, true));
}

/// What is sent fast is ended too: a body that never has to wait.
#[tokio::test]
async fn a_body_that_never_waits_ends_too() {
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy(policy("")).clock(clock.clone());
    let gate = builder.end_bodies(true).build().await.unwrap();
    let handler = async || {
        Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from("x"))))
    };
    let app = Router::new().route("/all", any(handler)).layer(gate.layer());
    let request = http::Request::get("/all").header("authorization", bearer(|_| {}));
    let request = request.body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(app, request).await.unwrap();
    let mut body = response.into_body();
    for _ in 0..100 {
        assert!(body.frame().await.unwrap().is_ok());
    }
    gate.revocations().revoke(Revocation::of_client("mobile"));
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the credential of the request ended"), "{error}");
    assert!(body.frame().await.is_none());
}

/// An ordinary response has the same length and the same body, whether it is watched or not.
#[tokio::test]
async fn bodies_that_end_before_are_as_they_were() {
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy(policy("")).clock(clock.clone());
    let gate = builder.end_bodies(true).build().await.unwrap();
    let app = Router::new().route("/all", any(async || "whole")).layer(gate.layer());
    let server = serve(app, clock).await;
    for answer in [
        server.get("/all", &[("authorization", &bearer(|_| {}))]).await,
        server.get_http2("/all", &[("authorization", &bearer(|_| {}))]).await,
    ] {
        assert_eq!(
            (answer.text.as_str(), answer.line("content-length").as_deref()),
            ("whole", Some("5"))
        );
    }
}

/// The end is said: in the log, and in a counter with bounded labels.
#[test]
fn an_end_is_logged_and_counted() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = async {
        let log = Log::listen();
        let folder = Folder::new(&policy(FILE), "[[revoked]]\nclient = \"x\"\n");
        let (gate, clock) = folder.open(false).await;
        let server = with_web_socket(&gate, clock).await;
        let socket = Socket::open(&server, "authorization", &bearer(|_| {})).await;
        gate.revocations().revoke(Revocation::of_client("mobile"));
        assert_eq!(socket.closed().await, "token_revoked");
        gate.reload().await.unwrap();
        let log = log.take();
        let line = log.lines().find(|line| line.contains("open stream")).unwrap();
        for part in
            ["code=\"token_revoked\"", "rule=\"all\"", "client=\"mobile\"", "issuer=\"main\""]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
    };
    metrics::with_local_recorder(&recorder, || runtime.block_on(run));
    let mut seen = Vec::new();
    for (key, _, _, value) in metrics.snapshot().into_vec() {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        let name = format!("{} {}", key.key().name(), labels.collect::<Vec<_>>().join(" "));
        let count = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(count) => count.0 as u64,
            DebugValue::Histogram(_) => panic!("{name}"),
        };
        if name.contains("ended") || name.contains("revocations") {
            seen.push((name, count));
        }
    }
    seen.sort();
    let expected = [
        ("tollgate_ended_total code=token_revoked", 1),
        ("tollgate_revocations source=application", 1),
        ("tollgate_revocations source=policy", 1),
    ];
    assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));
}

/// Without a credential there is none that could end.
#[tokio::test]
async fn a_request_without_a_credential_never_ends() {
    let (gate, clock) = super::support::gate(
        "version = 1\n[[rule]]\nname = \"all\"\npath = \"/all\"\npublic = true\n",
    )
    .await;
    let revocations = gate.revocations();
    let handler = async move |admission: Admission| -> Result<&'static str, Denial> {
        let mut ended = admission.ended();
        revocations.revoke(Revocation::of_client("anybody"));
        match (&mut ended).now_or_never() {
            Some(denial) => Err(denial),
            None => Ok("ok"),
        }
    };
    let server = serve(Router::new().route("/all", any(handler)).layer(gate.layer()), clock).await;
    assert_eq!(server.get("/all", &[]).await.text, "ok");
}
