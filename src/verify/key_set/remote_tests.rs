//! How fetched sets behave, by an issuer that is not there: its answers are given, its requests
//! counted, and no time passes but that of the clock in the test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use tokio::time::Instant;

use super::fetch::{Get, Got, Reply, Why, fetch};
use super::places::Asked;
use super::refresher::Refresher;
use super::remote::{LastingRemoteKeys, RemoteKeys};
use super::settings::{AtStart, KeyPlace, RemoteSettings};
use super::source::IssuerKeys;
use crate::ask::Wait;
use crate::credential::{Secret, TokenPlace};
use crate::time::{Clock, ManualClock};
use crate::verify::issuer::{Audiences, Iss, Issuer};
use crate::verify::issuers::Issuers;
use crate::verify::token_error::{ChosenBy, TokenError};

const URL: &str = "https://id.example.com/jwks.json";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the issuer answers, by address; `None` for an answer that never comes.
type Answers = HashMap<String, Option<Result<String, Why>>>;

#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<Answers>>,
    /// The address of each request, and whether it had a token.
    requests: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Server {
    fn answers(&self, address: &str, answer: Option<Result<String, Why>>) {
        self.answers.lock().unwrap().insert(address.to_owned(), answer);
    }

    fn publishes(&self, kids: &[&str]) {
        self.answers(URL, Some(Ok(set(kids))));
    }

    fn is_down(&self) {
        self.answers(URL, Some(Err(Why::Status(502))));
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Get for Server {
    fn get<'g>(&'g self, address: &'g str, bearer: Option<&'g Secret>) -> Got<'g> {
        self.requests.lock().unwrap().push((address.to_owned(), bearer.is_some()));
        let answer = self.answers.lock().unwrap().get(address).cloned();
        Box::pin(async move {
            let Some(answer) = answer.unwrap_or(Some(Err(Why::Status(404)))) else {
                return std::future::pending().await;
            };
            answer.map(|text| Reply { text: text.into_bytes(), fresh_for: HOUR })
        })
    }
}

/// A set with these keys (RFC 8037 appendix A.2).
fn set(kids: &[&str]) -> String {
    let key = |kid: &&str| {
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#
        )
    };
    let keys: Vec<String> = kids.iter().map(key).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn settings() -> RemoteSettings {
    RemoteSettings {
        issuer: "main".into(),
        place: KeyPlace::Url(URL.into()),
        ca: None,
        bearer_file: None,
        algorithms: vec![Algorithm::EdDSA],
        keep: 24 * HOUR,
        at_start: AtStart::Continue,
    }
}

/// A set that is kept fresh from this server.
struct Kept {
    refresher: Refresher,
    clock: ManualClock,
}

impl Kept {
    fn of(server: &Server, settings: RemoteSettings) -> Self {
        let clock = ManualClock::at(1_800_000_000);
        let (shared, client) = (Arc::new(clock.clone()), Box::new(server.clone()));
        let refresher = Refresher::new(Arc::new(settings), shared, client, None);
        refresher.start(None);
        Self { refresher, clock }
    }

    /// The same, after its first refresh.
    async fn started(server: &Server) -> Self {
        let kept = Self::of(server, settings());
        kept.refresher.first_end().await;
        kept
    }

    /// Moves the clock, and waits for the refresh that is due then.
    async fn refreshed_after(&self, wait: Duration) {
        let mut ended = self.refresher.ended();
        self.clock.advance(wait);
        ended.changed().await.unwrap();
    }

    /// Lets the task look at the clock a few times. Tokio's time stands while anything can run.
    async fn looked(&self) {
        tokio::time::sleep(5 * SECOND).await;
    }

    /// A wait of a request from one of 200 addresses.
    fn wait(&self, n: u32) -> Option<Wait> {
        let address = std::net::IpAddr::from([192, 0, 2, (n % 200) as u8]);
        match self.refresher.ask(Some(address.into()))? {
            Asked::Waits(wait) => Some(wait),
            Asked::Crowded => None,
        }
    }

    /// The ids of the keys that count.
    fn kids(&self) -> Vec<String> {
        let current = self.refresher.current();
        let keys = current.iter().flat_map(|current| &current.keys.keys);
        keys.filter_map(|key| key.id.as_deref().map(str::to_owned)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_replaced_ahead_of_their_end() {
    let server = Server::default();
    server.publishes(&["one"]);
    let kept = Kept::started(&server).await;
    assert_eq!((kept.kids(), server.count()), (vec!["one".to_owned()], 1));
    let version = kept.refresher.version();

    kept.clock.advance(HOUR * 74 / 100);
    kept.looked().await;
    assert_eq!(server.count(), 1, "it is fresh");
    kept.refreshed_after(HOUR * 16 / 100).await;
    assert_eq!((server.count(), kept.refresher.version()), (2, version), "the same keys");

    server.publishes(&["one", "two"]);
    kept.refreshed_after(HOUR * 9 / 10).await;
    assert_eq!(kept.kids(), ["one", "two"]);
    assert_ne!(kept.refresher.version(), version);
    server.publishes(&["two"]);
    kept.refreshed_after(HOUR * 9 / 10).await;
    assert_eq!(kept.kids(), ["two"], "what the issuer withdraws counts no longer");
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_last_good_keys_for_a_day() {
    let server = Server::default();
    server.publishes(&["one"]);
    let kept = Kept::started(&server).await;
    let bad = [
        Err(Why::Status(500)),
        Err(Why::TimeOut),
        Err(Why::TooLarge),
        Err(Why::Broken("cannot connect".into())),
        Ok(String::new()),
        Ok("<html>Service unavailable</html>".into()),
        Ok("{}".into()),
        Ok(r#"{"keys":[]}"#.into()),
        Ok(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}"#.into()),
        Ok(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.into()),
    ];
    kept.clock.advance(HOUR);
    for answer in bad {
        server.answers(URL, Some(answer.clone()));
        kept.refreshed_after(Duration::from_secs(61)).await;
        assert_eq!(kept.kids(), ["one"], "{answer:?}");
        let status = kept.refresher.status();
        assert!(status.error.is_some_and(|error| error.contains(URL)), "{answer:?}");
        assert_eq!(status.keys, 1);
    }
    kept.clock.advance(22 * HOUR);
    kept.looked().await;
    assert_eq!(kept.kids(), ["one"], "not a day yet");
    assert!(kept.refresher.status().age.unwrap() > 23 * HOUR);
    kept.clock.advance(HOUR);
    kept.looked().await;
    assert_eq!((kept.kids(), kept.refresher.version()), (Vec::new(), None));

    server.publishes(&["two"]);
    kept.refreshed_after(Duration::from_secs(61)).await;
    assert_eq!(kept.kids(), ["two"]);
    let status = kept.refresher.status();
    assert_eq!((status.error, status.age), (None, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn fresh_keys_count_however_short_they_are_kept() {
    let server = Server::default();
    server.publishes(&["one"]);
    let kept = Kept::of(&server, RemoteSettings { keep: SECOND, ..settings() });
    kept.refresher.first_end().await;
    kept.clock.advance(HOUR / 2);
    kept.looked().await;
    assert_eq!(kept.kids(), ["one"]);
    server.is_down();
    kept.refreshed_after(HOUR).await;
    kept.looked().await;
    assert!(kept.kids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_key_that_cannot_be_used_does_not_spoil_the_set() {
    let server = Server::default();
    let good = set(&["good"]);
    let good = good.trim_start_matches(r#"{"keys":["#).trim_end_matches("]}");
    for bad in [
        r#"{"kty":"oct","kid":"bad","k":"c2VjcmV0"}"#.to_owned(),
        good.replace("\"good\"", "\"bad\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""),
        good.replace("\"good\"", "\"bad\",\"p\":\"AQ\",\"q\":\"AQ\""),
        good.replace("\"good\"", "\"bad\",\"kid\":\"bad\""),
        // The neutral point: anybody can sign for it.
        good.replace("\"good\"", "\"bad\"").replace(
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        r#"{"kty":"RSA","kid":"bad","n":"AQAB","e":"AQAB"}"#.to_owned(),
        "7".to_owned(),
        "null".to_owned(),
    ] {
        server.answers(URL, Some(Ok(format!(r#"{{"keys":[{bad},{good}]}}"#))));
        assert_eq!(Kept::started(&server).await.kids(), ["good"], "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_fetches_once_in_thirty_seconds() {
    let server = Server::default();
    server.publishes(&["one"]);
    let kept = Kept::started(&server).await;
    for round in 0..3 {
        assert!(kept.refresher.may_ask());
        let waits: Vec<_> = (0..500).map(|n| kept.wait(n).unwrap()).collect();
        for wait in waits {
            wait.await;
        }
        assert_eq!(server.count(), 2 + round);
        for _ in 0..500 {
            assert!(!kept.refresher.may_ask());
            assert!(kept.refresher.ask(None).is_none());
        }
        kept.clock.advance(Duration::from_millis(29_900));
        assert!(kept.refresher.ask(None).is_none());
        kept.clock.advance(SECOND);
    }
    kept.looked().await;
    assert_eq!(server.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_see_the_keys_that_came() {
    let server = Server::default();
    server.publishes(&["one"]);
    let kept = Kept::started(&server).await;
    server.publishes(&["one", "two"]);
    let begun = Instant::now();
    kept.wait(0).unwrap().await;
    assert_eq!(kept.kids(), ["one", "two"]);
    assert_eq!(begun.elapsed(), Duration::ZERO, "no longer than the refresh takes");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long_nor_do_many() {
    let server = Server::default();
    server.answers(URL, None);
    let kept = Kept::of(&server, settings());
    // The first refresh runs already: they join it.
    let waits: Vec<_> = (0..1000).map(|n| kept.wait(n).unwrap()).collect();
    assert!(matches!(kept.refresher.ask(None), Some(Asked::Crowded)), "a thousand wait");
    assert!(kept.refresher.may_ask(), "and yet no attempt counts as a failure");
    let begun = Instant::now();
    for wait in waits {
        wait.await;
    }
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
    assert!(kept.wait(0).is_some(), "those who waited have left their places");
    assert_eq!(server.count(), 1);
    // One that is dropped leaves its place too.
    let waits: Vec<_> = (0..1000).map(|n| kept.wait(n).unwrap()).collect();
    drop(waits);
    assert!(kept.wait(0).is_some());
}

#[tokio::test(start_paused = true)]
async fn without_keys_it_is_tried_again_ever_more_slowly() {
    let server = Server::default();
    server.is_down();
    let kept = Kept::started(&server).await;
    assert_eq!((kept.kids(), kept.refresher.status().age), (Vec::new(), None));
    for (tries, most) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)] {
        assert_eq!(server.count(), tries);
        kept.clock.advance(Duration::from_millis(most * 749));
        kept.looked().await;
        assert_eq!(server.count(), tries, "less than {most} s have passed");
        kept.refreshed_after(Duration::from_millis(most * 252)).await;
    }
    server.publishes(&["one"]);
    kept.refreshed_after(Duration::from_secs(60)).await;
    assert_eq!(kept.kids(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_set() {
    let server = Server::default();
    for answer in [Some(Ok(set(&["one"]))), None] {
        server.answers(URL, answer);
        let kept = Kept::of(&server, settings());
        tokio::time::sleep(SECOND).await;
        // The test holds one, and the client of the set another.
        assert_eq!(Arc::strong_count(&server.answers), 2);
        drop(kept);
        tokio::time::sleep(SECOND).await;
        assert_eq!(Arc::strong_count(&server.answers), 1);
    }
}

#[test]
fn nobody_waits_where_the_task_has_ended() {
    let server = Server::default();
    server.publishes(&["one"]);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Without a timer the task ends at once.
    builder.build().unwrap().block_on(async {
        let kept = Kept::of(&server, settings());
        tokio::task::yield_now().await;
        assert!(!kept.refresher.may_ask());
        assert!(kept.refresher.ask(None).is_none());
    });
    let runtime = builder.enable_time().build().unwrap();
    let kept = runtime.block_on(Kept::started(&server));
    drop(runtime);
    assert_eq!(kept.kids(), ["one"]);
    assert!(!kept.refresher.may_ask());
    assert!(kept.refresher.ask(None).is_none());
}

/// The issuers of a policy with these settings.
fn issuers(settings: RemoteSettings) -> Issuers {
    let keys = IssuerKeys::Remote(Arc::new(RemoteKeys::new(settings)));
    let audiences = Audiences::Named(vec!["api".into()]);
    let iss = Iss::exactly("https://id.example.com");
    Issuers::new(
        vec![Issuer::new("main".into(), iss, audiences, vec![Algorithm::EdDSA], keys)],
        8192,
    )
}

fn remote(issuers: &Issuers) -> &Arc<RemoteKeys> {
    issuers.iter().next().unwrap().keys.remote().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_policy_hands_its_keys_on_to_the_next() {
    let server = Server::default();
    server.publishes(&["one"]);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_800_000_000));
    let lasting = LastingRemoteKeys::default();
    let start = |settings| {
        let issuers = issuers(settings);
        lasting.start_with(issuers.remote_keys(), &clock, |_| Box::new(server.clone()));
        issuers
    };
    let first = start(RemoteSettings { at_start: AtStart::Wait, ..settings() });
    remote(&first).started().await.unwrap();
    let version = remote(&first).version();
    assert!(version.is_some());

    let same = start(RemoteSettings { at_start: AtStart::Wait, ..settings() });
    drop(first);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!((remote(&same).version(), server.count()), (version, 1));

    // Other settings of the same source: the keys count until they are fetched anew.
    server.answers(URL, None);
    let other = start(RemoteSettings { keep: HOUR, ..settings() });
    drop(same);
    assert_eq!(remote(&other).status().keys, 1);
    assert_ne!(remote(&other).version(), version);
    tokio::time::sleep(SECOND).await;
    assert_eq!(server.count(), 2);

    // Another source has no keys yet.
    let elsewhere =
        start(RemoteSettings { place: KeyPlace::Url("https://x/".into()), ..settings() });
    assert_eq!(remote(&elsewhere).version(), None);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_may_fail_says_why() {
    let server = Server::default();
    server.is_down();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_800_000_000));
    let start = |at_start| {
        let issuers = issuers(RemoteSettings { at_start, ..settings() });
        LastingRemoteKeys::default()
            .start_with(issuers.remote_keys(), &clock, |_| Box::new(server.clone()));
        issuers
    };
    let failing = start(AtStart::Fail);
    let error = remote(&failing).started().await.unwrap_err();
    assert_eq!(error, format!("{URL}: the answer has the status 502"));
    let going_on = start(AtStart::Continue);
    remote(&going_on).started().await.unwrap();
    assert_eq!(remote(&going_on).status().age, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_asks_again_where_other_keys_could_change_it() {
    let server = Server::default();
    server.publishes(&["one"]);
    let clock = ManualClock::at(1_800_000_000);
    let issuers = issuers(settings());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    LastingRemoteKeys::default()
        .start_with(issuers.remote_keys(), &shared, |_| Box::new(server.clone()));
    let issuer = || issuers.iter().next().unwrap().clone();
    for (asks, error) in [
        (true, TokenError::KeyUnknown(issuer())),
        (true, TokenError::KeySourceUnavailable(issuer())),
        (true, TokenError::SignatureInvalid(issuer(), ChosenBy::Algorithm)),
        (false, TokenError::SignatureInvalid(issuer(), ChosenBy::Kid)),
        (false, TokenError::AlgorithmNotAllowed(issuer())),
        (false, TokenError::IssuerUnknown),
        (false, TokenError::Malformed("")),
    ] {
        clock.advance(Duration::from_secs(31));
        assert_eq!(error.may_ask_again(), asks, "{error:?}");
        let asked = error.asks_again(None);
        assert_eq!(asked.is_some(), asks, "{error:?}");
        if let Some(Asked::Waits(wait)) = asked {
            wait.await;
        }
    }
}

#[tokio::test]
async fn discovery_tries_each_place_and_trusts_no_other_issuer() {
    const ISS: &str = "https://id.example.com/realms/one";
    const OPENID: &str = "https://id.example.com/realms/one/.well-known/openid-configuration";
    const OAUTH: &str = "https://id.example.com/.well-known/oauth-authorization-server/realms/one";
    const INSERTED: &str = "https://id.example.com/.well-known/openid-configuration/realms/one";
    let settings = RemoteSettings { place: KeyPlace::Discovery(ISS.into()), ..settings() };
    let document = |iss: &str| Some(Ok(format!(r#"{{"issuer":"{iss}","jwks_uri":"{URL}"}}"#)));
    let other = document("https://evil.example");

    for place in [OPENID, OAUTH, INSERTED] {
        let server = Server::default();
        server.publishes(&["one"]);
        server.answers(place, document(ISS));
        assert_eq!(fetch(&settings, &server).await.unwrap().text, set(&["one"]).into_bytes());
    }
    for (place, answer, expected, requests) in [
        (OPENID, other.clone(), "the `issuer` of the metadata is not the `iss` of the policy", 3),
        (
            OPENID,
            Some(Ok("<html>".into())),
            "the metadata of the issuer is not a JSON object, or has a member twice",
            3,
        ),
        (OAUTH, other, "the answer has the status 404", 3),
        (OPENID, Some(Err(Why::TimeOut)), "no answer within 2 s", 1),
        (
            OPENID,
            Some(Err(Why::Status(302))),
            "the answer is a redirect (302), which is not followed",
            3,
        ),
        (OPENID, document(ISS), "the answer has the status 404", 2),
    ] {
        let server = Server::default();
        server.answers(place, answer);
        let error = fetch(&settings, &server).await.unwrap_err();
        assert_eq!(
            (error.why.to_string().as_str(), server.count()),
            (expected, requests),
            "{place}"
        );
    }
}

/// An issuer whose every answer takes a while.
struct Slow(Server, Duration);

impl Get for Slow {
    fn get<'g>(&'g self, address: &'g str, bearer: Option<&'g Secret>) -> Got<'g> {
        Box::pin(async move {
            tokio::time::sleep(self.1).await;
            self.0.get(address, bearer).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_in_time_however_many_requests_it_takes() {
    const ISS: &str = "https://id.example.com";
    let settings = RemoteSettings { place: KeyPlace::Discovery(ISS.into()), ..settings() };
    let server = Server::default();
    server.publishes(&["one"]);
    let document = format!(r#"{{"issuer":"{ISS}","jwks_uri":"{URL}"}}"#);
    server.answers(&format!("{ISS}/.well-known/oauth-authorization-server"), Some(Ok(document)));
    // Three requests: two for the metadata, and one for the set.
    for (millis, is_late) in [(1_600, false), (1_900, true)] {
        let slow = Slow(server.clone(), Duration::from_millis(millis));
        let (begun, fetched) = (Instant::now(), fetch(&settings, &slow).await);
        assert_eq!(fetched.is_err(), is_late, "{millis} ms");
        let Err(error) = fetched else { continue };
        assert_eq!(error.why, Why::WholeTimeOut);
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        let address = format!("{ISS}/.well-known/openid-configuration");
        assert_eq!(error.to_string(), format!("{address}: the fetch has not ended within 5 s"));
    }
    // A server that never answers holds up no refresh.
    server.answers(&format!("{ISS}/.well-known/openid-configuration"), None);
    let kept = Kept::of(&server, settings);
    kept.refresher.first_end().await;
    assert!(kept.refresher.status().error.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waited_and_proved_nothing_is_a_failure() {
    let server = Server::default();
    server.publishes(&["one"]);
    let clock = ManualClock::at(1_800_000_000);
    let issuers = issuers(settings());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let lasting = LastingRemoteKeys::default();
    lasting.start_with(issuers.remote_keys(), &shared, |_| Box::new(server.clone()));
    while remote(&issuers).version().is_none() {
        tokio::time::sleep(SECOND).await;
    }
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = encode(r#"{"alg":"EdDSA","kid":"invented"}"#);
    let token = format!("{header}.{}.AA", encode(r#"{"iss":"https://id.example.com"}"#));
    let refused = || {
        let place = TokenPlace::Authorization.into();
        let before = || Ok::<_, TokenError>(());
        let error = issuers.prove(token.as_bytes(), place, clock.wall(), before).unwrap_err();
        assert!(matches!(error, TokenError::KeyUnknown(_)) && error.proves_nothing());
        error
    };
    for round in 1..3 {
        // While a refresh is due nothing is known of the token, however often it comes.
        for _ in 0..3 {
            assert!(refused().may_ask_again(), "{round}");
        }
        let Some(Asked::Waits(wait)) = refused().asks_again(None) else { panic!("{round}") };
        assert!(refused().may_ask_again(), "{round}: nor while it runs");
        wait.await;
        assert_eq!(server.count(), 1 + round);
        // It has changed nothing, so this is the last word.
        assert!(!refused().may_ask_again() && refused().asks_again(None).is_none(), "{round}");
        clock.advance(Duration::from_secs(31));
    }
}

#[tokio::test]
async fn the_token_for_a_set_is_in_a_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    server.publishes(&["one"]);
    let refused = async |file: std::path::PathBuf| {
        let settings = RemoteSettings { bearer_file: Some(file), ..settings() };
        fetch(&settings, &server).await.unwrap_err().to_string()
    };
    let error = refused(folder.path().to_owned()).await;
    assert!(error.ends_with("`: it is not a regular file"), "{error}");
    #[cfg(unix)]
    {
        // Reading it would wait for somebody who writes, who never comes.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let error = refused(pipe).await;
        assert!(error.ends_with("pipe`: it is not a regular file"), "{error}");
    }
    assert_eq!(server.count(), 0, "nothing is fetched without its token");
}

#[tokio::test]
async fn the_token_for_a_set_goes_to_its_server_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let with_token =
        |place| RemoteSettings { place, bearer_file: Some(file.clone()), ..settings() };
    let iss = "https://id.example.com";
    let discovery = with_token(KeyPlace::Discovery(iss.into()));
    let url = with_token(KeyPlace::Url(URL.into()));
    let server = Server::default();
    for content in ["", " \n"] {
        std::fs::write(&file, content).unwrap();
        let error = fetch(&url, &server).await.unwrap_err().to_string();
        assert!(error.ends_with("token`: the file is empty"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    let error = fetch(&url, &server).await.unwrap_err();
    assert!(matches!(error.why, Why::Bearer(..)), "{error}");
    assert_eq!(server.count(), 0, "nothing is fetched without its token");

    std::fs::write(&file, "secret\n").unwrap();
    server.publishes(&["one"]);
    fetch(&url, &server).await.unwrap();
    for (jwks, has_token) in [(URL, true), ("https://other.example/jwks.json", false)] {
        let document = format!(r#"{{"issuer":"{iss}","jwks_uri":"{jwks}"}}"#);
        server.answers(&format!("{iss}/.well-known/openid-configuration"), Some(Ok(document)));
        server.answers(jwks, Some(Ok(set(&["one"]))));
        server.requests.lock().unwrap().clear();
        fetch(&discovery, &server).await.unwrap();
        let tokens: Vec<bool> = server.requests.lock().unwrap().iter().map(|it| it.1).collect();
        assert_eq!(tokens, [true, has_token], "{jwks}");
    }
}
