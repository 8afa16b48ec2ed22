//! Keys over the network: they rotate, their issuer has bad days, and every good token is admitted
//! while no forged one is.

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tollgate::{ManualClock, OpenError, SourceState, SourceStatus, Tollgate, TollgateLayer};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::log::Log;
use super::support::issuer::{Day, TestIssuer};
use super::support::{Answer, NOW, Server, bearer, claims, gate, issuer, key, serve};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than the pause after any failed refresh.
const PAUSE: Duration = Duration::from_secs(61);

/// A gate with the keys of an issuer, and a server behind it.
struct Trial {
    gate: Tollgate,
    server: Server,
}

impl Trial {
    async fn of(policy: &str) -> Self {
        let (gate, clock) = gate(policy).await;
        let app = Router::new().fallback(get(|| async { "ok" })).layer(gate.layer());
        Self { server: serve(app, clock).await, gate }
    }

    /// Of this issuer, with its keys.
    async fn with_keys(issuer: &TestIssuer) -> Self {
        Self::of(&issuer.policy(&issuer.keys(", at_start = \"wait\""), "")).await
    }

    async fn send(&self, bearer: &str) -> Answer {
        self.server.get("/", &[("authorization", bearer)]).await
    }

    /// `ok`, or the code of the denial.
    async fn outcome(&self, bearer: &str) -> String {
        let answer = self.send(bearer).await;
        if answer.status.is_success() { answer.text } else { answer.code() }
    }

    fn source(&self) -> SourceStatus {
        let sources = self.gate.status().sources;
        sources.into_iter().find(|source| source.issuer.is_some()).unwrap()
    }

    /// Waits until the set is as wanted. The gate's own task looks at the clock each second.
    async fn until(&self, is_wanted: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        for _ in 0..6000 {
            let source = self.source();
            if is_wanted(&source) {
                return source;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not as wanted: {:?}", self.source());
    }

    /// Moves the clock, and waits for the refresh that is due then.
    async fn refreshed_after(&self, wait: Duration) -> SourceStatus {
        self.server.clock.advance(wait);
        self.until(|source| source.age_seconds == Some(0)).await
    }
}

#[tokio::test]
async fn keys_rotate_and_every_good_token_is_admitted() {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    let forever = |claims: &mut Value| claims["exp"] = (NOW + 1_000_000).into();
    let (one, two) = (issuer.bearer("one", forever), issuer.bearer("two", forever));
    let forged = issuer.bearer_as(Some("one"), "two", forever);
    assert_eq!(trial.outcome(&one).await, "ok");
    assert_eq!(trial.outcome(&forged).await, "token_signature_invalid");
    let source = trial.source();
    assert_eq!(
        (source.name, source.keys, source.issuer),
        (issuer.url(), Some(1), Some("main".into()))
    );
    assert_eq!((source.state, source.detail), (SourceState::Current, None));

    issuer.publish(&["one", "two"]);
    assert_eq!(trial.refreshed_after(HOUR).await.keys, Some(2));
    for token in [&one, &two] {
        assert_eq!(trial.outcome(token).await, "ok");
    }
    assert_eq!(trial.outcome(&forged).await, "token_signature_invalid");

    // Tokens of a key that is withdrawn count no longer, remembered ones included.
    issuer.publish(&["two"]);
    assert_eq!(trial.refreshed_after(HOUR).await.keys, Some(1));
    assert_eq!(trial.outcome(&one).await, "token_key_unknown");
    assert_eq!(trial.outcome(&two).await, "ok");
    assert_eq!(trial.outcome(&forged).await, "token_key_unknown");
}

#[tokio::test]
async fn an_unknown_kid_asks_for_the_keys_once_in_thirty_seconds() {
    let issuer = TestIssuer::start().await;
    let keys = issuer.keys(", at_start = \"wait\"");
    let trial = Trial::of(&issuer.policy(&keys, "[failures]\nenabled = false")).await;
    issuer.publish(&["one", "two"]);
    let two = issuer.bearer("two", |_| {});
    trial.send(&two).await;
    trial.until(|source| source.keys == Some(2)).await;
    assert_eq!(trial.outcome(&two).await, "ok");
    let flood = async |round: usize| {
        for number in 0..50 {
            let invented = issuer.bearer_as(Some(&format!("{round}-{number}")), "one", |_| {});
            assert_eq!(trial.outcome(&invented).await, "token_key_unknown");
        }
    };
    flood(0).await;
    assert_eq!(issuer.requests().len(), 2);
    for round in 1..3 {
        trial.server.clock.advance(Duration::from_secs(31));
        flood(round).await;
        trial.until(|source| source.age_seconds == Some(0)).await;
        flood(round).await;
        assert_eq!(issuer.requests().len(), 2 + round);
    }
}

#[tokio::test]
async fn a_flood_that_other_keys_could_not_help_costs_no_fetch() {
    let issuer = TestIssuer::start().await;
    let keys = issuer.keys(", at_start = \"wait\"");
    let trial = Trial::of(&issuer.policy(&keys, "[failures]\nenabled = false")).await;
    let forged = issuer.bearer_as(Some("one"), "two", |_| {});
    let (signed, _) = forged.rsplit_once('.').unwrap();
    // Its header says another algorithm, and its key is not known either.
    let unfit = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"three"}"#);
    let payload = signed.split('.').nth(1).unwrap();
    for round in 0..3 {
        // Whenever an unknown `kid` could ask for the keys.
        trial.server.clock.advance(Duration::from_secs(31));
        for n in 0..50 {
            let iss = format!("https://{round}-{n}.example.com");
            let by_nobody = issuer.bearer_as(Some("three"), "two", |claims| {
                claims["iss"] = iss.as_str().into();
                claims["jku"] = issuer.url().into();
            });
            for (token, expected) in [
                (by_nobody, "token_issuer_unknown"),
                (forged.clone(), "token_signature_invalid"),
                (format!("{signed}.{n}!"), "token_malformed"),
                (format!("Bearer {unfit}.{payload}.AA"), "token_algorithm_not_allowed"),
            ] {
                assert_eq!(trial.outcome(&token).await, expected);
            }
        }
    }
    assert_eq!(issuer.requests().len(), 1, "the one when the gate opened");
}

#[test]
fn a_signature_is_verified_where_its_request_is_judged_and_nowhere_else() {
    // With the runtime everything ends that could verify elsewhere.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (issuer, gate) = runtime.block_on(async {
        let issuer = TestIssuer::start().await;
        let (gate, _) = gate(&issuer.policy(&issuer.keys(", at_start = \"wait\""), "")).await;
        (issuer, gate)
    });
    drop(runtime);
    let here = std::thread::current().id();
    let layer = gate.layer();
    for n in 0..100 {
        let judged = |kid: &str| {
            let token = issuer.bearer_as(Some("one"), kid, |claims| claims["jti"] = n.into());
            let inner = service_fn(async |_: Request<Body>| {
                assert_eq!(std::thread::current().id(), here);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            });
            let request = Request::get("/").header("authorization", token);
            let answer = layer.layer(inner).oneshot(request.body(Body::empty()).unwrap());
            // It is never put off: as many are verified at once as threads call the gate.
            answer.now_or_never().expect("it is judged at once").unwrap().status()
        };
        assert_eq!(judged("one"), StatusCode::OK);
        assert!(judged("two").is_client_error());
    }
}

#[tokio::test]
async fn the_first_token_of_a_new_key_waits_for_the_keys_that_it_asked_for() {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    let mut outcomes = Vec::new();
    // On a machine that has much else to do a fetch may take longer than a request waits.
    for (published, withdrawn) in ["two", "one"].iter().zip(["one", "two"]).cycle().take(8) {
        issuer.publish(&[published]);
        trial.server.clock.advance(Duration::from_secs(31));
        outcomes.push(trial.outcome(&issuer.bearer(published, |_| {})).await);
        trial.until(|source| source.age_seconds == Some(0)).await;
        assert_eq!(trial.outcome(&issuer.bearer(withdrawn, |_| {})).await, "token_key_unknown");
    }
    assert!(outcomes.iter().any(|outcome| outcome == "ok"), "{outcomes:?}");
}

#[tokio::test]
async fn a_request_waits_no_longer_than_its_deadline_and_gives_up_without_harm() {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    issuer.day(Day::Hangs);
    trial.server.clock.advance(Duration::from_secs(31));
    let invented = issuer.bearer_as(Some("three"), "one", |_| {});
    let begin = std::time::Instant::now();
    assert_eq!(trial.outcome(&invented).await, "token_key_unknown");
    assert!(begin.elapsed() > Duration::from_millis(100), "it waited: {:?}", begin.elapsed());
    // A client that does not wait for its answer leaves nothing behind.
    trial.server.clock.advance(Duration::from_secs(31));
    let left = tokio::time::timeout(Duration::from_millis(20), trial.send(&invented)).await;
    assert!(left.is_err(), "it was answered at once: {left:?}");
    assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok");
}

#[tokio::test]
async fn a_signature_that_fits_the_only_key_no_more_asks_for_the_keys() {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    issuer.publish(&["two"]);
    let two = issuer.bearer_as(None, "two", |_| {});
    trial.server.clock.advance(Duration::from_secs(1));
    trial.send(&two).await;
    trial.until(|source| source.age_seconds == Some(0)).await;
    assert_eq!(trial.outcome(&two).await, "ok");
    assert_eq!(issuer.requests().len(), 2);
}

#[tokio::test]
async fn invented_kids_are_failures_once_the_keys_are_fresh() {
    let issuer = TestIssuer::start().await;
    let keys = issuer.keys(", at_start = \"wait\"");
    let failures = "[failures]\nrate = \"1/hour\"\nburst = 2";
    let trial = Trial::of(&issuer.policy(&keys, failures)).await;
    let invented = || issuer.bearer_as(Some("three"), "one", |_| {});
    trial.server.clock.advance(Duration::from_secs(1));
    assert_eq!(trial.outcome(&invented()).await, "token_key_unknown");
    trial.until(|source| source.age_seconds == Some(0)).await;
    trial.send(&invented()).await;
    trial.send(&invented()).await;
    assert_eq!(trial.outcome(&invented()).await, "too_many_failures");
    assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok");
}

#[tokio::test]
async fn a_bad_day_of_the_issuer_is_none_of_the_gate() {
    let mut days = JoinSet::new();
    for (day, error) in [
        (Day::Status(500), "the answer has the status 500"),
        (Day::Redirect, "the answer is a redirect (302), which is not followed"),
        (Day::Text("<html>Service unavailable</html>"), "not JSON"),
        (Day::Text("{\"keys\":[]}"), "no key of the set can verify a token"),
        (Day::Noise, "the connection broke off"),
        (Day::Closes, "the connection broke off"),
        (Day::Endless, "the answer is larger than 1048576 bytes"),
        (Day::Hangs, "no answer within 2 s"),
        (Day::Slow, "no answer within 2 s"),
    ] {
        days.spawn(bad_day(day, error));
    }
    days.join_all().await;
}

async fn bad_day(day: Day, error: &str) {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    let forever = |claims: &mut Value| claims["exp"] = (NOW + 1_000_000).into();
    let remembered = issuer.bearer("one", forever);
    assert_eq!(trial.outcome(&remembered).await, "ok");

    issuer.day(day.clone());
    trial.server.clock.advance(HOUR);
    let is_seen =
        |source: &SourceStatus| source.detail.as_ref().is_some_and(|it| it.contains(error));
    let source = trial.until(is_seen).await;
    assert_eq!((source.state, source.keys), (SourceState::Refused, Some(1)), "{day:?}");
    let good = issuer.bearer("one", |claims| {
        forever(claims);
        claims["jti"] = "not seen before".into();
    });
    let forged = issuer.bearer_as(Some("one"), "two", forever);
    let old = issuer.bearer("one", |claims| claims["exp"] = NOW.into());
    for (token, expected) in [
        (&remembered, "ok"),
        (&good, "ok"),
        (&forged, "token_signature_invalid"),
        (&old, "token_expired"),
    ] {
        assert_eq!(trial.outcome(token).await, expected, "{day:?}");
    }
    assert!(issuer.requests().iter().all(|path| path == "/jwks.json"), "no redirect is followed");

    issuer.day(Day::Good);
    let source = trial.refreshed_after(PAUSE).await;
    assert_eq!((source.state, source.detail), (SourceState::Current, None), "{day:?}");
}

#[tokio::test]
async fn under_load_no_good_token_is_refused_and_no_forged_one_admitted() {
    let issuer = TestIssuer::start().await;
    let keys = issuer.keys(", at_start = \"wait\"");
    let trial =
        Trial::of(&issuer.policy(&keys, "[failures]\nenabled = false\n[tokens]\ncache = 0")).await;
    let forever = |claims: &mut Value| claims["exp"] = (NOW + 1_000_000).into();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for (named, kid, expected) in [
        ("one", "one", "ok"),
        ("one", "one", "ok"),
        ("one", "two", "token_signature_invalid"),
        ("three", "two", "token_key_unknown"),
    ] {
        let token = issuer.bearer_as(Some(named), kid, forever);
        let (server, is_over) = (trial.server.from("127.0.0.1"), is_over.clone());
        callers.spawn(async move {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = server.get("/", &[("authorization", &token)]).await;
                let outcome = if answer.status.is_success() { answer.text } else { answer.code() };
                assert_eq!(outcome, expected, "{named}, signed with {kid}");
                count += 1;
            }
            count
        });
    }
    for day in [Day::Closes, Day::Good, Day::Text("[]"), Day::Good] {
        let is_good = matches!(day, Day::Good);
        issuer.publish(if is_good { &["one", "two"] } else { &["one"] });
        issuer.day(day);
        trial.server.clock.advance(HOUR);
        trial
            .until(|source| {
                source.detail.is_none() == is_good && (!is_good || source.age_seconds == Some(0))
            })
            .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let counts = callers.join_all().await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // One when the gate opened, and no more than the schedule and one unknown kid in 30 s of the
    // clock, which was moved four times, cause.
    assert!(issuer.requests().len() <= 1 + 2 * 4, "{:?}", issuer.requests());
}

#[tokio::test]
async fn after_a_day_without_the_issuer_its_keys_count_no_longer() {
    let issuer = TestIssuer::start().await;
    let trial = Trial::with_keys(&issuer).await;
    let good = issuer.bearer("one", |claims| claims["exp"] = (NOW + 1_000_000).into());
    assert_eq!(trial.outcome(&good).await, "ok");
    issuer.day(Day::Status(503));
    trial.server.clock.advance(24 * HOUR);
    trial.until(|source| source.keys == Some(0)).await;
    assert_eq!(trial.outcome(&good).await, "key_source_unavailable", "remembered or not");
    issuer.day(Day::Good);
    trial.refreshed_after(PAUSE).await;
    assert_eq!(trial.outcome(&good).await, "ok");
}

#[tokio::test]
async fn without_any_keys_the_fault_is_ours_and_said_so() {
    let remote = TestIssuer::start().await;
    remote.day(Day::Status(500));
    let (good_key, entry) = key("k", "billing", "");
    let log = Log::listen();
    for (setting, status) in [
        ("uniform", StatusCode::SERVICE_UNAVAILABLE),
        ("standard", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let more = format!(
            "[denial]\nstatus = \"{setting}\"\n[api_keys]\n{entry}[failures]\nrate = \"1/hour\"\nburst = 2\n{}",
            issuer()
        );
        let policy = remote.policy(&remote.keys(""), &more).replace(
            "[[issuer]]\nname = \"main\"\niss = \"https://local",
            "[[issuer]]\nname = \"remote\"\niss = \"https://local",
        );
        let trial = Trial::of(&policy).await;
        trial.until(|source| source.detail.is_some()).await;
        assert_eq!(trial.source().state, SourceState::Missing);
        let good = remote.bearer("one", |_| {});
        // Far more often than an address may fail.
        for _ in 0..8 {
            let answer = trial.send(&good).await;
            assert_eq!((answer.code().as_str(), answer.status), ("key_source_unavailable", status));
            assert_eq!(answer.line("retry-after").as_deref(), Some("5"));
            assert_eq!(answer.json()["retry_after"], 5);
            assert_eq!(answer.line("www-authenticate"), None);
            // The instance is random: any digits may stand in it.
            let instance = answer.json()["instance"].as_str().unwrap().to_owned();
            let text = answer.text.replace(&instance, "");
            for hidden in ["localhost", &remote.address.port().to_string(), "jwks", "500"] {
                assert!(!text.contains(hidden), "{hidden}: {text}");
            }
        }
        let lines = log.take();
        let denied = lines.lines().find(|line| line.contains("code=\"key_source_unavailable\""));
        let denied = denied.unwrap_or_else(|| panic!("{lines}"));
        assert!(
            denied.contains("ERROR") && denied.contains("issuer remote, which has no keys"),
            "{denied}"
        );
        assert!(denied.contains("the answer has the status 500"), "{denied}");
        let failed =
            lines.lines().find(|line| line.contains("the keys of the issuer cannot be fetched"));
        assert!(failed.is_some_and(|line| line.contains("ERROR")), "{lines}");

        // What is wrong with a token by itself is still said, and nobody else is concerned.
        let none = good.replace("Bearer ", "Bearer x");
        assert_eq!(trial.outcome(&none).await, "token_malformed");
        assert_eq!(trial.outcome(&bearer(|_| {})).await, "ok");
        let by_key = trial.server.get("/", &[("x-api-key", &good_key)]).await;
        assert_eq!(by_key.status, StatusCode::OK);

        remote.day(Day::Good);
        trial.refreshed_after(PAUSE).await;
        assert_eq!(trial.outcome(&good).await, "ok");
        remote.day(Day::Status(500));
    }
}

#[tokio::test]
async fn at_minimal_it_is_an_outage_like_any_other() {
    let remote = TestIssuer::start().await;
    remote.day(Day::Closes);
    let more = "[denial]\ndisclosure = \"minimal\"";
    let trial = Trial::of(&remote.policy(&remote.keys(""), more)).await;
    let answer = trial.send(&remote.bearer("one", |_| {})).await;
    assert_eq!(answer.code(), "temporarily_unavailable");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// A gate whose issuer accepts connections and never answers, called without a server: a request that
/// waits is polled once, and holds its place until it is dropped.
struct Waiting {
    layer: TollgateLayer,
    _silent: TcpListener,
    token: String,
}

type Held = Pin<Box<dyn Future<Output = Result<Response, Infallible>>>>;

impl Waiting {
    async fn new() -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keys = format!("{{ jwks_url = \"http://{}/\" }}", silent.local_addr().unwrap());
        let policy = issuer()
            .replace("{ secret_env = \"TOLLGATE_TEST_SECRET\" }", &keys)
            .replace("HS256", "ES256");
        let all = "[[rule]]\nname = \"all\"\npath = \"/\"\n";
        let failures = "[failures]\nrate = \"1/hour\"\nburst = 1\n";
        let (gate, _) = gate(&format!("version = 1\n{failures}{policy}{all}")).await;
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("Bearer {}.{}.AA", encode(&json!({"alg": "ES256"})), encode(&claims()));
        Self { layer: gate.layer(), _silent: silent, token }
    }

    /// The request, where it waits; otherwise the code of its denial.
    fn ask(&self, address: &str) -> Result<Held, String> {
        let inner = service_fn(async |_: Request<Body>| Ok(Response::new(Body::empty())));
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert("authorization", self.token.parse().unwrap());
        let peer = SocketAddr::new(address.parse().unwrap(), 1);
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut held: Held = Box::pin(self.layer.layer(inner).oneshot(request));
        let response = match held.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => return Ok(held),
            Poll::Ready(response) => response.unwrap(),
        };
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "5");
        let body = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&body).unwrap();
        Err(document["code"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_thousand_requests_wait_and_no_more() {
    let waiting = Waiting::new().await;
    let address = |n: usize| format!("198.51.100.{}", n % 200);
    let mut held: Vec<Held> = (0..1000).map(|n| waiting.ask(&address(n)).unwrap()).collect();
    for _ in 0..3 {
        // Were it a failure, the second would be answered as one.
        assert_eq!(waiting.ask("192.0.2.1").err().as_deref(), Some("key_source_unavailable"));
    }
    drop(held.pop());
    assert!(waiting.ask("192.0.2.1").is_ok(), "one that is dropped leaves its place");
}

#[tokio::test]
async fn no_address_takes_the_places_of_others() {
    let waiting = Waiting::new().await;
    for (crowd, neighbour, other) in [
        ("198.51.100.1", "198.51.100.1", "198.51.100.2"),
        // An IPv6 client is its prefix, and not one of its addresses.
        ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
    ] {
        let mut held: Vec<Held> = (0..50).map(|_| waiting.ask(crowd).unwrap()).collect();
        for _ in 0..3 {
            let refused = waiting.ask(neighbour).err();
            assert_eq!(refused.as_deref(), Some("key_source_unavailable"), "{neighbour}");
        }
        held.push(waiting.ask(other).expect("another address has places of its own"));
        drop(held.swap_remove(0));
        assert!(waiting.ask(crowd).is_ok(), "one that is dropped leaves its place");
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let issuer = TestIssuer::start().await;
    let unnamed = format!("{{ jwks_url = \"{}\" }}", issuer.url());
    let trial = Trial::of(&issuer.policy(&unnamed, "")).await;
    let source = trial.until(|source| source.detail.is_some()).await;
    assert!(source.detail.unwrap().contains("certificate"));
    assert!(issuer.requests().is_empty());

    // The certificate is for a name, and not for this address.
    let elsewhere = issuer.keys("").replace("https://localhost", "https://127.0.0.1");
    let trial = Trial::of(&issuer.policy(&elsewhere, "")).await;
    let source = trial.until(|source| source.detail.is_some()).await;
    assert!(source.detail.unwrap().contains("certificate"));
    assert!(issuer.requests().is_empty());
}

#[tokio::test]
async fn keys_are_discovered_by_the_name_of_the_issuer() {
    let issuer = TestIssuer::start().await;
    let ca = issuer.ca_file().display().to_string();
    let keys = format!("{{ discovery = true, ca_file = \"{ca}\", at_start = \"fail\" }}");
    let policy = issuer.policy(&keys, "");
    for place in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        issuer.metadata_at(place);
        let trial = Trial::of(&policy).await;
        assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok", "{place}");
    }
    issuer.claims_to_be("https://evil.example");
    let opened = Tollgate::builder().policy(&*policy).clock(ManualClock::at(NOW)).build().await;
    let Err(OpenError::NoKeys { issuer: name, .. }) = &opened else { panic!("{opened:?}") };
    assert_eq!(name, "main");
    let error = opened.unwrap_err().to_string();
    assert!(
        error.starts_with("the keys of the issuer `main` cannot be fetched: https://localhost:"),
        "{error}"
    );
    issuer.metadata_at("/.well-known/openid-configuration");
    let error = Tollgate::builder().policy(policy).build().await.unwrap_err().to_string();
    assert!(
        error.ends_with("the `issuer` of the metadata is not the `iss` of the policy"),
        "{error}"
    );
}

#[tokio::test]
async fn a_set_is_fetched_with_a_token_as_in_kubernetes() {
    let issuer = TestIssuer::start().await;
    issuer.needs("of-the-pod");
    let token = issuer.ca_file().with_file_name("token");
    fs::write(&token, "of-another-day\n").unwrap();
    let more = format!(", bearer_file = \"{}\"", token.display());
    let trial = Trial::of(&issuer.policy(&issuer.keys(&more), "")).await;
    let source = trial.until(|source| source.detail.is_some()).await;
    let detail = source.detail.unwrap();
    assert!(detail.ends_with("the answer has the status 401"), "{detail}");
    // It is renewed in its file, which is no change of the policy.
    fs::write(&token, "of-the-pod\n").unwrap();
    trial.refreshed_after(PAUSE).await;
    assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok");
    assert_eq!(trial.gate.status().revision.number, 1);
}

#[tokio::test]
async fn a_reload_hands_the_keys_on() {
    let issuer = TestIssuer::start().await;
    let path = issuer.ca_file().with_file_name("tollgate.toml");
    let policy = issuer.policy(&issuer.keys(", at_start = \"wait\""), "");
    fs::write(&path, &policy).unwrap();
    let clock = ManualClock::at(NOW);
    let opened = Tollgate::builder().policy_file(&path).clock(clock.clone()).watch(false);
    let gate = opened.build().await.unwrap();
    let app = Router::new().fallback(get(|| async { "ok" })).layer(gate.layer());
    let trial = Trial { server: serve(app, clock).await, gate };
    issuer.day(Day::Hangs);
    for change in ["", "leeway = \"40s\"\n"] {
        let changed = policy.replace("[[rule]]", &format!("{change}[[rule]]"));
        fs::write(&path, format!("# again\n{changed}")).unwrap();
        trial.gate.reload().await.unwrap();
        assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok", "{change}");
    }
    assert_eq!(issuer.requests().len(), 1);
    // Where the settings of the set change, the keys that were fetched count until it comes.
    fs::write(&path, policy.replace("at_start = \"wait\"", "keep = \"2h\"")).unwrap();
    trial.gate.reload().await.unwrap();
    assert_eq!(trial.outcome(&issuer.bearer("one", |_| {})).await, "ok");
    issuer.day(Day::Good);
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    let issuer = TestIssuer::start().await;
    let target = issuer.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
            heard.lock().unwrap().push(line);
            let mut server = TcpStream::connect(target).await.unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let keys = issuer.keys(", at_start = \"fail\"");
    let keys = keys.replace(&issuer.iss(), "https://id.example.com");
    let path = issuer.ca_file().with_file_name("tollgate.toml");
    fs::write(&path, issuer.policy(&keys, "")).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--policy"])
        .arg(&path)
        .env("HTTPS_PROXY", proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(serve.stdout.take().unwrap());
    let line = tokio::task::spawn_blocking(|| output.lines().next().unwrap().unwrap());
    let line = line.await.unwrap();
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert!(line.starts_with("listening on http://"), "{line}");
    assert_eq!(*asked.lock().unwrap(), ["CONNECT id.example.com:443 HTTP/1.1"]);
}

#[test]
fn a_check_fetches_nothing_and_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    // Nobody listens there.
    let keys = "{ jwks_url = \"http://127.0.0.1:1/jwks.json\", at_start = \"fail\" }";
    let iss = claims()["iss"].as_str().unwrap().to_owned();
    let policy = issuer()
        .replace("{ secret_env = \"TOLLGATE_TEST_SECRET\" }", keys)
        .replace("HS256", "ES256");
    assert!(policy.contains(&iss) && policy.contains(keys));
    fs::write(&path, format!("version = 1\n{policy}[[rule]]\nname = \"all\"\npath = \"/\"\n"))
        .unwrap();
    let tollgate = |verb: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(verb)
            .arg("--policy")
            .arg(&path)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = tollgate(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = tollgate(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the keys of the issuer `main` cannot be fetched: http://127.0.0.1:1/jwks.json: cannot connect"), "{text}");
}
