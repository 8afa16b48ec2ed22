//! A policy changes while the gate runs: whole or not at all, and no bucket is refilled.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use futures_util::{SinkExt as _, StreamExt as _};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tollgate::{Admission, ManualClock, SourceState, Tollgate};

use super::log::Log;
use super::support::{NOW, Server, bearer, issuer, key, serve};

/// A gate that reads its policy from a file, without a thread that follows it.
async fn open(path: &Path) -> (Tollgate, Server) {
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy_file(path).clock(clock.clone()).watch(false);
    let gate = builder.build().await.unwrap();
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(app, clock).await;
    (gate, server)
}

fn policy(burst: u32, rest: &str) -> String {
    format!(
        "version = 1\n[api_keys]\nfile = \"keys.toml\"\n{}[[limit]]\nname = \"few\"\nrate = \"1/hour\"\n\
         burst = {burst}\nper = [\"client\"]\n[[rule]]\nname = \"all\"\npath = \"/all\"\n\
         limits = [\"few\"]\n{rest}",
        issuer()
    )
}

#[tokio::test]
async fn a_reload_changes_rules_and_keys_and_refills_no_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let (one, entry) = key("one", "billing", "");
    let (two, other) = key("two", "shipping", "");
    write("keys.toml", &entry.replace("api_keys.key", "key"));
    write("tollgate.toml", &policy(5, ""));
    let (gate, server) = open(&path).await;
    let get = async |path: &str, key: &str| server.get_http2(path, &[("x-api-key", key)]).await;

    for _ in 0..3 {
        assert_eq!(get("/all", &one).await.status, 200);
    }
    assert_eq!(get("/all", &two).await.code(), "api_key_unknown");
    assert_eq!(get("/new", &one).await.code(), "no_matching_rule");

    // A key is added, a rule is added, and the burst is lower than what is left.
    write("keys.toml", &format!("{entry}{other}").replace("api_keys.key", "key"));
    write("tollgate.toml", &policy(2, "[[rule]]\nname = \"new\"\npath = \"/new\"\n"));
    assert_eq!(get("/new", &one).await.code(), "no_matching_rule", "nothing is in force yet");
    let status = gate.reload().await.unwrap();
    assert_eq!((status.revision.number, status.last_fault), (2, None));
    assert_eq!(get("/all", &two).await.status, 200);
    assert_eq!(get("/new", &one).await.status, 200);
    let limited = get("/all", &one).await;
    assert_eq!(limited.code(), "rate_limited", "three of five were spent: none of two is left");
    assert_eq!(limited.json()["limits"][0]["quota"], 2);

    // Raised again: what was spent stays spent, and the wait has not grown.
    write("tollgate.toml", &policy(5, ""));
    gate.reload().await.unwrap();
    let mut admitted = 0;
    while get("/all", &one).await.status == 200 {
        admitted += 1;
    }
    assert!(admitted <= 3, "no bucket was refilled: {admitted}");
    assert_eq!(get("/new", &one).await.code(), "no_matching_rule");

    // A key that is revoked is refused on the connection that is open.
    write("keys.toml", &format!("{entry}revoked = true\n{other}").replace("api_keys.key", "key"));
    gate.reload().await.unwrap();
    assert_eq!(get("/all", &one).await.code(), "api_key_revoked");
    assert_eq!(get("/all", &two).await.status, 200);
}

#[tokio::test]
async fn a_faulty_policy_leaves_the_old_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let (one, entry) = key("one", "billing", "");
    fs::write(folder.path().join("keys.toml"), entry.replace("api_keys.key", "key")).unwrap();
    fs::write(&path, policy(100, "")).unwrap();
    let (gate, server) = open(&path).await;
    let works = async || server.get("/all", &[("x-api-key", &one)]).await.status == 200;
    let digest = gate.status().revision.digest;

    for broken in ["", "version = 1\n[[rule", "version = 1\nodd = true\n", "\u{0}"] {
        fs::write(&path, broken).unwrap();
        let error = gate.reload().await.unwrap_err().to_string();
        assert!(!error.is_empty());
        let status = gate.status();
        assert_eq!((status.revision.number, &status.revision.digest), (1, &digest));
        assert!(status.last_fault.unwrap().is_current, "{broken:?}");
        assert!(works().await, "{broken:?}");
    }
    fs::remove_file(&path).unwrap();
    assert!(gate.reload().await.unwrap_err().to_string().contains("tollgate.toml"));
    assert!(works().await);

    fs::write(&path, policy(100, "")).unwrap();
    let status = gate.reload().await.unwrap();
    assert_eq!((status.revision.number, status.revision.digest), (2, digest));
    assert!(!status.last_fault.unwrap().is_current);
    let states: Vec<_> = status.sources.iter().map(|source| source.state).collect();
    assert_eq!(states, [SourceState::Current, SourceState::Current]);
    assert!(works().await);
}

/// An emptied list would end every key, or let in who was revoked: when the gate opens as when it reloads.
#[tokio::test]
async fn an_empty_list_is_refused_at_the_start_and_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let (one, entry) = key("one", "billing", "");
    let keys = entry.replace("api_keys.key", "key");
    let revoked = "[[revoked]]\nkey_id = \"two\"\n";
    write("keys.toml", &keys);
    write("revoked.toml", revoked);
    fs::write(&path, policy(100, "[revocations]\nfile = \"revoked.toml\"\n")).unwrap();
    let (gate, server) = open(&path).await;
    for (name, content) in [("keys.toml", &*keys), ("revoked.toml", revoked)] {
        for empty in ["", "\n", " \r\n\t"] {
            write(name, empty);
            let at_start = Tollgate::builder().policy_file(&path).watch(false).build().await;
            let (at_start, later) = (at_start.unwrap_err(), gate.reload().await.unwrap_err());
            for error in [at_start.to_string(), later.to_string()] {
                assert!(error.contains(&format!("{name}` is empty")), "{error}");
            }
            assert_eq!(gate.status().revision.number, 1);
            assert_eq!(server.get("/all", &[("x-api-key", &one)]).await.status, 200);
        }
        write(name, content);
    }
    // A comment is enough to mean it.
    write("revoked.toml", "# nothing is revoked\n");
    write("keys.toml", "# no keys yet\n");
    gate.reload().await.unwrap();
    assert_eq!(server.get("/all", &[("x-api-key", &one)]).await.code(), "api_key_unknown");
}

/// The line of the log begins with what has to be corrected.
#[tokio::test]
async fn a_refused_reload_says_faults_before_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let fine = "version = 1\n[[rule]]\nname = \"all\"\npath = \"/all\"\n";
    fs::write(&path, fine.to_owned() + "public = true\n").unwrap();
    let log = Log::listen();
    let (gate, _server) = open(&path).await;
    // `iss` is a warning, and the keys behind it are a fault.
    let issuer = "[[issuer]]\nname = \"main\"\niss = \"any\"\naudiences = [\"a\"]\n\
                  algorithms = [\"HS256\"]\nkeys = { secret_env = \"NO_SUCH_VARIABLE\" }\n";
    fs::write(&path, fine.to_owned() + issuer).unwrap();
    let error = gate.reload().await.unwrap_err();
    assert_eq!(error.faults()[0].name(), Some("any-issuer"), "in the order of their places");
    let shown = error.to_string();
    let (fault, warning) =
        (shown.find("`NO_SUCH_VARIABLE`").unwrap(), shown.find("warning: ").unwrap());
    assert!(fault < warning, "{shown}");
    let lines = log.take();
    let line = lines.find("is refused, and the one before stays in force").unwrap();
    let (fault, warning) =
        (lines[line..].find("`NO_SUCH_VARIABLE`"), lines[line..].find("warning: "));
    assert!(fault.unwrap() < warning.unwrap(), "{lines}");
}

/// The thread of the gate itself: a file that is replaced comes into force without a call.
#[tokio::test]
async fn a_gate_follows_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let (one, entry) = key("one", "billing", "");
    fs::write(folder.path().join("keys.toml"), entry.replace("api_keys.key", "key")).unwrap();
    fs::write(&path, policy(100, "")).unwrap();
    let gate = Tollgate::open(&path).await.unwrap();
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(app, ManualClock::at(NOW)).await;
    assert_eq!(server.get("/all", &[("x-api-key", &one)]).await.status, 200);

    let new = folder.path().join("keys.new");
    fs::write(&new, format!("{entry}revoked = true\n").replace("api_keys.key", "key")).unwrap();
    fs::rename(&new, folder.path().join("keys.toml")).unwrap();
    // Three seconds where nothing else runs. A slow machine may take its time.
    for _ in 0..600 {
        if server.get("/all", &[("x-api-key", &one)]).await.status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.get("/all", &[("x-api-key", &one)]).await.code(), "api_key_revoked");
    assert_eq!(gate.status().revision.number, 2);
}

#[tokio::test]
async fn tokens_that_were_proven_follow_their_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    fs::write(folder.path().join("keys.toml"), "").unwrap();
    let with = |audience: &str| policy(100, "").replace("https://api.example.com", audience);
    fs::write(folder.path().join("keys.toml"), key("a", "b", "").1.replace("api_keys.key", "key"))
        .unwrap();
    fs::write(&path, with("https://api.example.com")).unwrap();
    let (gate, server) = open(&path).await;
    let token = bearer(|_| {});
    let code = async || {
        let answer = server.get("/all", &[("authorization", &token)]).await;
        if answer.status == 200 { "ok".to_owned() } else { answer.code() }
    };
    assert_eq!(code().await, "ok");
    fs::write(&path, with("https://other.example.com")).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(code().await, "token_audience_mismatch", "the proof is of the old audience");
}

/// Pages and files for tools are those of the policy in force, on a router that was made once.
#[tokio::test]
async fn served_documents_follow_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let with = |rule: &str, code: &str| {
        format!(
            "version = 1\n{}[denial]\n[[denial.code]]\ncode = \"{code}\"\ncategory = \"authorization\"\n\
             status = 403\ntitle = \"Its title\"\ndetail = \"Its detail.\"\nremedy = \"Its remedy.\"\n\
             [[rule]]\nname = \"{rule}\"\npath = \"/{rule}\"\n",
            issuer()
        )
    };
    fs::write(&path, with("parcels", "parcel_lost")).unwrap();
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy_file(&path).clock(clock.clone()).watch(false);
    let gate = builder.build().await.unwrap();
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = serve(gate.catalogue().merge(app), clock).await;
    let text = async |path: &str, accept: &str| server.get(path, &[("accept", accept)]).await;
    let tag = async || server.get("/errors/openapi.json", &[]).await.line("etag").unwrap();
    let documents = async || {
        let mut all = String::new();
        for path in ["/errors", "/errors/", "/errors/handbook", "/errors/openapi.json"] {
            for accept in ["text/html", "text/markdown", "application/json"] {
                all += &text(path, accept).await.text;
            }
        }
        all
    };

    let before = documents().await;
    assert!(before.contains("/parcels") && before.contains("parcel_lost"));
    assert_eq!(text("/errors/parcel_lost", "*/*").await.status, 200);
    assert_eq!(text("/errors/letter_lost", "*/*").await.status, 404);
    let first = tag().await;

    fs::write(&path, with("letters", "letter_lost")).unwrap();
    assert_eq!(tag().await, first, "what is not in force is not served");
    gate.reload().await.unwrap();
    let after = documents().await;
    assert!(after.contains("/letters") && after.contains("letter_lost"));
    assert!(!after.contains("parcel"), "nothing is left of the policy before");
    assert_eq!(text("/errors/letter_lost", "*/*").await.status, 200);
    assert_eq!(text("/errors/letter_lost/", "*/*").await.status, 308);
    assert_eq!(text("/errors/parcel_lost", "*/*").await.status, 404);
    assert_eq!(text("/errors/parcel_lost/", "*/*").await.status, 404);
    assert_eq!(text("/errors/openapi.json/", "*/*").await.status, 404);
    let second = tag().await;
    assert_ne!(second, first);
    let held = server.get("/errors/openapi.json", &[("if-none-match", &first)]).await;
    assert_eq!(held.status, 200, "a copy of the policy before is not current");

    fs::write(&path, "version = 1\nodd = true\n").unwrap();
    gate.reload().await.unwrap_err();
    assert_eq!(tag().await, second, "a policy that is refused changes no page");
}

/// CORS and logging layers keep the headers that they were made with.
#[tokio::test]
async fn the_log_warns_of_headers_that_other_layers_do_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let with = |header: &str, fields: &str| {
        format!(
            "version = 1\n{}[api_keys]\nheader = \"{header}\"\n[denial]\nratelimit_headers = \"{fields}\"\n\
             status = \"standard\"\n[[rule]]\nname = \"all\"\npath = \"/all\"\n",
            issuer()
        )
    };
    fs::write(&path, with("x-first", "draft")).unwrap();
    let builder = Tollgate::builder().policy_file(&path).clock(ManualClock::at(NOW)).watch(false);
    let gate = builder.build().await.unwrap();
    let log = Log::listen();
    let reload = async |header: &str, fields: &str| {
        fs::write(&path, with(header, fields)).unwrap();
        gate.reload().await.unwrap();
        let log = log.take();
        log.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>()
    };

    // Nobody took a list.
    assert_eq!(reload("x-second", "both").await, [""; 0]);
    let (_credential, _exposed) = (gate.credential_headers(), gate.exposed_headers());
    assert_eq!(reload("x-second", "draft").await, [""; 0], "less than was taken does no harm");
    let said = reload("x-third", "draft").await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("headers=\"x-third\""), "{said:?}");
    assert!(said[0].contains("`credential_headers()`"), "{said:?}");
    assert_eq!(reload("x-second", "both").await, [""; 0]);

    fs::write(&path, with("x-second", "off")).unwrap();
    let gate = Tollgate::builder().policy_file(&path).watch(false).build().await.unwrap();
    let _exposed = gate.exposed_headers();
    fs::write(&path, with("x-fourth", "legacy")).unwrap();
    gate.reload().await.unwrap();
    let said = log.take();
    let said = said.lines().find(|line| line.contains("WARN")).unwrap();
    assert!(said.contains("headers=\"x-ratelimit-limit, x-ratelimit-remaining"), "{said}");
    assert!(said.contains("`exposed_headers()`") && !said.contains("x-fourth"), "{said}");
}

/// A connection that stays open holds its admission, and with it neither the keys nor the rules of a
/// policy that was replaced. Its buckets are those that everybody else takes from.
#[test]
fn an_open_web_socket_keeps_no_policy() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let snapshots = || {
        let (_, _, _, value) = (metrics.snapshot().into_vec().into_iter())
            .find(|(key, _, _, _)| key.key().name() == "tollgate_snapshots")
            .unwrap();
        let DebugValue::Gauge(count) = value else { panic!("{value:?}") };
        count.0 as u64
    };
    // The recorder is this thread's, so the runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(hold_a_web_socket(&snapshots)));
}

async fn hold_a_web_socket(snapshots: &dyn Fn() -> u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    let (one, mut keys) = key("one", "billing", "");
    for n in 0..200 {
        keys +=
            &format!("[[key]]\nid = \"k{n}\"\nclient = \"c{n}\"\ndigest = \"sha256:{n:064x}\"\n");
    }
    fs::write(folder.path().join("keys.toml"), keys.replace("api_keys.key", "key")).unwrap();
    fs::write(&path, policy(100_000, "")).unwrap();

    let answer = async |mut socket: WebSocket, admission: Admission| {
        while let Some(Ok(Message::Text(_))) = socket.recv().await {
            admission.charge(1);
            let left = admission.limits().next().unwrap().remaining;
            socket.send(Message::text(left.to_string())).await.unwrap();
        }
    };
    let upgrade = async move |upgrade: WebSocketUpgrade, admission: Admission| -> Response {
        upgrade.on_upgrade(move |socket| answer(socket, admission))
    };
    let clock = ManualClock::at(NOW);
    let builder = Tollgate::builder().policy_file(&path).clock(clock.clone()).watch(false);
    let gate = builder.build().await.unwrap();
    let server = serve(Router::new().route("/all", any(upgrade)).layer(gate.layer()), clock).await;
    let mut request = format!("ws://{}/all", server.address).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", one.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut left = async || {
        socket.send("charge".into()).await.unwrap();
        socket.next().await.unwrap().unwrap().to_text().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(left().await, 99_998, "one for the request, one for the message");

    for n in 0..100 {
        let text = match n % 3 {
            0 => policy(100_000, &format!("[[rule]]\nname = \"r{n}\"\npath = \"/r{n}\"\n")),
            1 => policy(100_000, ""),
            _ => "version = 1\n[[rule".to_owned(),
        };
        fs::write(&path, text).unwrap();
        assert_eq!(gate.reload().await.is_ok(), n % 3 != 2);
        assert_eq!(left().await, 99_997 - n, "no bucket is refilled, and the stream takes from it");
        assert_eq!(snapshots(), 1, "the policy in force alone is in memory");
    }
    assert_eq!(gate.status().revision.number, 1 + 67);
}
