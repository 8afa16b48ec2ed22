//! The failure bucket: it slows whoever guesses, and never shuts out what proves itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use tokio::sync::Semaphore;
use tollgate::keys::{ApiKeyRecord, KeyDigest, KeyFuture, KeySource, KeySourceError};
use tollgate::{Category, Denial, DenialCode, ManualClock, Tollgate};

use super::support::{Server, bearer, gate, header, issuer, key, serve, token, trial};

static WRONG_PASSWORD: DenialCode =
    DenialCode::new("wrong_password", Category::Credentials).with_title("Wrong password");

const RULE: &str = "[[rule]]\nname = \"orders\"\npath = \"/orders\"\n";

/// A token of another secret: its signature is wrong.
fn forged(name: &str) -> String {
    let mut claims = super::support::claims();
    claims["sub"] = name.into();
    let good = token(&header(), &claims);
    let (signed, tag) = good.rsplit_once('.').unwrap();
    // Another first letter is another first octet.
    let first = if tag.starts_with('A') { "B" } else { "A" };
    format!("Bearer {signed}.{first}{}", &tag[1..])
}

async fn code(server: &Server, headers: &[(&str, &str)]) -> String {
    let answer = server.get("/orders", headers).await;
    if answer.status.is_success() { "200".to_owned() } else { answer.code() }
}

#[tokio::test]
async fn sixty_stale_tries_a_minute_shut_nobody_out() {
    let (good, entry) = key("good", "colleague", "");
    let (stale, _) = key("stale", "script", "");
    let server = trial(&format!("version = 1\n[api_keys]\n{entry}\n{}{RULE}", issuer())).await;
    let early = bearer(|claims| claims["exp"] = (super::support::NOW + 7200).into());
    assert_eq!(code(&server, &[("authorization", &early)]).await, "200");
    for second in 0..1_800 {
        let expected = if second < 25 { "" } else { "too_many_failures" };
        let said = code(&server, &[("x-api-key", &stale)]).await;
        // Ten a minute are counted anew, and told as what they are.
        assert!(said == "api_key_unknown" || said == expected || second < 25, "{second}: {said}");
        assert_eq!(code(&server, &[("x-api-key", &good)]).await, "200", "{second}");
        assert_eq!(code(&server, &[("authorization", &early)]).await, "200", "{second}");
        server.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn who_signs_in_now_is_let_in_while_there_are_attempts() {
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/minute\"\nburst = 3\n[tokens]\ncache = 1000\n{}{RULE}",
        issuer()
    ))
    .await;
    let fresh = |n: u32| bearer(|claims| claims["sub"] = format!("user-{n}").into());
    for n in 0..3 {
        let forged = forged(&format!("guess-{n}"));
        assert_eq!(code(&server, &[("authorization", &forged)]).await, "token_signature_invalid");
    }
    // The address waits. What needs no proof by a signature takes no attempt, however often it comes.
    for _ in 0..10 {
        let answer = server.get("/orders", &[("authorization", "Bearer nonsense")]).await;
        assert_eq!(answer.code(), "too_many_failures");
        assert_eq!(answer.json()["last_failure"], "token_malformed");
        assert_eq!(answer.json()["retryable"], false);
    }
    assert_eq!(code(&server, &[]).await, "credentials_missing");
    for n in 0..2 {
        assert_eq!(code(&server, &[("authorization", &fresh(n))]).await, "200");
    }
    let answer = server.get("/orders", &[("authorization", &forged("again"))]).await;
    assert_eq!(answer.json()["last_failure"], "token_signature_invalid");
    // Now even a good token is not looked at, unless it was seen before.
    let answer = server.get("/orders", &[("authorization", &fresh(7))]).await;
    assert_eq!(answer.code(), "too_many_failures");
    assert_eq!(answer.json().get("last_failure"), None);
    assert_eq!(
        (&answer.json()["retryable"], answer.line("retry-after").unwrap().as_str()),
        (&true.into(), "60")
    );
    assert!(answer.json()["detail"].as_str().unwrap().contains("the token was not looked at"));
    assert_eq!(code(&server, &[("authorization", &fresh(0))]).await, "200");
    assert_eq!(code(&server.from("127.0.0.2"), &[("authorization", &fresh(7))]).await, "200");
}

/// The entry of a key whose text is its id.
fn entry(id: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[api_keys.key]]\nid = \"{id}\"\nclient = \"{id}\"\ndigest = \"sha256:{digest}\"\n")
}

#[tokio::test]
async fn a_guess_beside_a_key_of_ones_own_is_none_for_free() {
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 2\n[api_keys]\nformat = \"any\"\nbasic = true\n{}{}{RULE}",
        entry("mallory"),
        entry("summer2026")
    ))
    .await;
    let basic = async |text: &str| {
        let value = format!("Basic {}", STANDARD.encode(text));
        code(&server, &[("authorization", &value)]).await
    };
    // A shorter word is not looked up, right or wrong; of two that are as long, neither is.
    for text in ["mallory:guess", "guess:mallory", "mallory:mallor"] {
        assert_eq!(basic(text).await, "200", "{text}");
    }
    for text in ["mallory:1234567", "mallory:mallory"] {
        assert_eq!(basic(text).await, "credentials_multiple", "{text}");
    }
    // A longer one is, and costs what a guess costs.
    for text in ["mallory:winter2026", "autumn2026:mallory"] {
        assert_eq!(basic(text).await, "api_key_unknown", "{text}");
    }
    assert_eq!(basic("mallory:spring2026").await, "too_many_failures");
}

#[tokio::test]
async fn keys_that_can_be_guessed_are_not_guessed_for_free_in_shadow_mode() {
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 2\n[api_keys]\nformat = \"any\"\n{}{RULE}\
         [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\n",
        entry("summer2026")
    ))
    .await;
    for guess in ["a", "b", "c"] {
        let answer = server.get("/dark", &[("x-api-key", guess)]).await;
        assert_eq!(answer.text, "ok", "nobody is refused there");
    }
    assert_eq!(code(&server, &[("x-api-key", "d")]).await, "too_many_failures");
}

#[tokio::test]
async fn keys_of_any_form_are_remembered_for_an_hour() {
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/minute\"\nburst = 3\n[api_keys]\nformat = \"any\"\n{}{}{RULE}",
        entry("often"),
        entry("seldom")
    ))
    .await;
    let by = async |key: &str| code(&server, &[("x-api-key", key)]).await;
    assert_eq!(by("often").await, "200");
    for guess in ["a", "b", "c"] {
        assert_eq!(by(guess).await, "api_key_unknown");
    }
    // Now each guess takes an attempt, whether it is right or wrong.
    for guess in ["d", "e", "f"] {
        let answer = server.get("/orders", &[("x-api-key", guess)]).await;
        assert_eq!(answer.json()["last_failure"], "api_key_unknown");
    }
    for guess in ["g", "seldom"] {
        let answer = server.get("/orders", &[("x-api-key", guess)]).await;
        assert_eq!(answer.code(), "too_many_failures");
        assert_eq!(answer.json().get("last_failure"), None, "right or wrong, it is not told");
        assert!(answer.json()["detail"].as_str().unwrap().contains("the key was not looked at"));
    }
    // What was proven goes on, minute after minute, under the same flood.
    for minute in 0..120 {
        assert_eq!(by("often").await, "200", "{minute}");
        for guess in ["h", "i", "j"] {
            assert_ne!(by(guess).await, "200");
        }
        server.clock.advance(Duration::from_secs(60));
    }
    // After an hour without it, it is a guess like any other.
    for minute in 0..60 {
        for guess in ["h", "i", "j"] {
            assert_ne!(by(guess).await, "200", "{minute}");
        }
        server.clock.advance(Duration::from_secs(60));
    }
    for guess in ["h", "i"] {
        by(guess).await;
    }
    assert_eq!(by("often").await, "too_many_failures");
    assert_eq!(code(&server.from("127.0.0.2"), &[("x-api-key", "often")]).await, "200");
    assert_eq!(by("often").await, "200", "proven again, elsewhere");
}

/// A source that knows one key, and answers when a test lets it.
#[derive(Clone)]
struct Held {
    asked: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
}

impl KeySource for Held {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(async move {
            let known = KeyDigest::of(b"summer2026");
            let turn = if digest == known { &self.known } else { &self.strangers };
            self.asked.add_permits(1);
            turn.acquire().await.unwrap().forget();
            let record = ApiKeyRecord::builder("summer", "acme", known).build().unwrap();
            Ok((digest == known).then_some(record))
        })
    }

    fn kind(&self) -> &'static str {
        "held"
    }
}

#[tokio::test]
async fn guesses_side_by_side_cost_as_much_as_one_after_another() {
    let [asked, strangers, known] = [0; 3].map(|_| Arc::new(Semaphore::new(0)));
    let held = Held { asked: asked.clone(), strangers: strangers.clone(), known: known.clone() };
    let clock = ManualClock::at(super::support::NOW);
    let gate = Tollgate::builder().clock(clock.clone()).key_source(held).policy(format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 2\n[api_keys]\nformat = \"any\"\n{RULE}"
    ));
    let gate = gate.build().await.unwrap();
    let app = Router::new().route("/orders", get(|| async { "ok" })).layer(gate.layer());
    let server = serve(app, clock).await;
    let by = async |key: &str| server.get("/orders", &[("x-api-key", key)]).await;
    let wrong = async { tokio::join!(by("a"), by("b"), by("c"), by("d"), by("e")) };
    let begun = async {
        // All of them are being looked up, and the address has not failed yet.
        asked.acquire_many(6).await.unwrap().forget();
        strangers.add_permits(5);
    };
    let right = async { by("summer2026").await };
    let answers = async {
        let (answers, ()) = tokio::join!(wrong, begun);
        known.add_permits(1);
        <[_; 5]>::from(answers)
    };
    let (right, wrong) = tokio::join!(right, answers);
    let mut told: Vec<String> = (wrong.iter())
        .map(|answer| match answer.json().get("last_failure") {
            Some(failure) => format!("{} after {}", answer.code(), failure.as_str().unwrap()),
            None => answer.code(),
        })
        .collect();
    told.sort();
    // Two may fail, two more are told, and of the others nothing is.
    let waits = "too_many_failures after api_key_unknown";
    assert_eq!(told, ["api_key_unknown", "api_key_unknown", "too_many_failures", waits, waits]);
    assert_eq!(right.code(), "too_many_failures");
    assert_eq!(right.json().get("last_failure"), None, "right or wrong, it is not told");
}

#[tokio::test]
async fn a_public_login_may_wait() {
    let (gate, clock) = gate(
        "version = 1\n[failures]\nrate = \"1/minute\"\nburst = 3\n\
         [[rule]]\nname = \"login\"\nmethods = [\"POST\"]\npath = \"/login\"\npublic = true\nfailures = \"wait\"\n\
         [[rule]]\nname = \"trial\"\nmethods = [\"PUT\"]\npath = \"/login\"\npublic = true\nfailures = \"wait\"\nmode = \"shadow\"\n\
         [[rule]]\nname = \"health\"\npath = \"/health\"\npublic = true\n",
    )
    .await;
    let login = async |password: String| match password.as_str() {
        "right" => Ok("in"),
        _ => Err(Denial::new(&WRONG_PASSWORD).counts_as_failure()),
    };
    let app = Router::new()
        .route(
            "/login",
            post(async move || login("wrong".into()).await)
                .put(async move || login("right".into()).await),
        )
        .route("/health", get(|| async { "ok" }))
        .layer(gate.layer());
    let server = serve(app, clock).await;
    for _ in 0..3 {
        assert_eq!(server.call(Method::POST, "/login", &[]).await.code(), "wrong_password");
    }
    let refused = server.call(Method::POST, "/login", &[]).await;
    assert_eq!(refused.code(), "too_many_failures");
    assert_eq!(
        (refused.status.as_u16(), refused.line("retry-after").unwrap().as_str()),
        (403, "60")
    );
    let document = refused.json();
    assert_eq!((document.get("last_failure"), &document["retryable"]), (None, &true.into()));
    let told = document.to_string();
    assert!(!told.contains("token") && !told.contains("credential is let in"), "{told}");
    assert_eq!(server.call(Method::PUT, "/login", &[]).await.text, "in", "shadow mode");
    assert_eq!(server.get("/health", &[]).await.status, 200, "others ignore it");
    assert_eq!(
        server.from("127.0.0.2").call(Method::POST, "/login", &[]).await.code(),
        "wrong_password"
    );
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.call(Method::POST, "/login", &[]).await.code(), "wrong_password");
    assert_eq!(server.call(Method::POST, "/login", &[]).await.code(), "too_many_failures");
}

#[tokio::test]
async fn a_flood_of_failing_addresses_shuts_no_fresh_address_out() {
    let server = trial(&format!(
        "version = 1\n[store]\nmax_buckets = 2\n[failures]\nrate = \"1/hour\"\nburst = 1\n{}{RULE}\
         [[rule]]\nname = \"login\"\npath = \"/login\"\npublic = true\nfailures = \"wait\"\n",
        issuer()
    ))
    .await;
    // Two have buckets of their own, the others share one; likewise in the table of attempts.
    for n in 2..12 {
        let flooding = server.from(&format!("127.0.0.{n}"));
        let said = code(&flooding, &[("authorization", &forged(&format!("guess-{n}")))]).await;
        assert!(["token_signature_invalid", "too_many_failures"].contains(&&*said), "{said}");
    }
    let fresh = server.from("127.0.0.99");
    assert_eq!(fresh.get("/login", &[]).await.text, "ok", "it has never failed");
    for n in 0..3 {
        let good = bearer(|claims| claims["sub"] = format!("user-{n}").into());
        assert_eq!(code(&fresh, &[("authorization", &good)]).await, "200", "token {n}");
    }
    let flooded = server.from("127.0.0.2").get("/login", &[]).await;
    assert_eq!(flooded.code(), "too_many_failures", "whose own bucket is empty");
}

#[tokio::test]
async fn a_key_that_proves_nothing_is_not_remembered() {
    let ended = entry("ended") + "expires = 2020-01-01T00:00:00Z\n";
    let revoked = entry("revoked") + "revoked = true\n";
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 2\n[api_keys]\nformat = \"any\"\n\
         {}{ended}{revoked}{RULE}",
        entry("good")
    ))
    .await;
    let by = async |key: &str| code(&server, &[("x-api-key", key)]).await;
    for (key, said) in
        [("good", "200"), ("ended", "api_key_expired"), ("revoked", "api_key_revoked")]
    {
        assert_eq!(by(key).await, said, "before anything failed");
    }
    for guess in ["a", "b"] {
        assert_eq!(by(guess).await, "api_key_unknown");
    }
    // The address waits. A guess that meets such a key takes an attempt, as any other does.
    for (key, said) in [("ended", "api_key_expired"), ("revoked", "api_key_revoked")] {
        assert_eq!(by(key).await, said);
    }
    for key in ["ended", "revoked", "c"] {
        assert_eq!(by(key).await, "too_many_failures", "{key}");
    }
    assert_eq!(by("good").await, "200", "it was proven");
}
