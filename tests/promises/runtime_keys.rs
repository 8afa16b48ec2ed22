//! API keys at run time: handed out, changed and taken back while the gate runs, and looked up in a
//! source of the application's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use tollgate::keys::{
    ApiKeyRecord, KeyDigest, KeyFuture, KeySource, KeySourceError, KeyStoreError,
};
use tollgate::{Clock as _, ManualClock, NewApiKey, Principal, Tollgate, Wall};

use super::support::{NOW, Server, bearer, gate, issuer, key, serve};

const POLICY: &str = "version = 1\n[api_keys]\n[[limit]]\nname = \"few\"\nrate = \"1/minute\"\nburst = 2\n\
    per = [\"client\"]\nplans.paid = { rate = \"1/minute\", burst = 5 }\n\
    [[rule]]\nname = \"orders\"\npath = \"/orders\"\n\
    [[rule]]\nname = \"read\"\npath = \"/read\"\nscopes = [\"orders:read\"]\n\
    [[rule]]\nname = \"few\"\npath = \"/few\"\nlimits = [\"few\"]\n";

/// Says who called.
async fn serve_gate(gate: &Tollgate, clock: ManualClock) -> Server {
    let who = |caller: Principal| async move {
        format!("{}/{}", caller.client(), caller.key_id().unwrap_or("-"))
    };
    serve(Router::new().fallback(who).layer(gate.layer()), clock).await
}

/// The code of a denial, or who was admitted.
async fn said(server: &Server, path: &str, key: &str) -> String {
    let answer = server.get(path, &[("x-api-key", key)]).await;
    if answer.status.is_success() { answer.text } else { answer.code() }
}

#[tokio::test]
async fn a_key_works_at_the_next_request_and_is_refused_at_once_when_revoked() {
    let (gate, clock) = gate(POLICY).await;
    let server = serve_gate(&gate, clock.clone()).await;
    let keys = gate.keys();
    let elsewhere = NewApiKey::generate("tg").unwrap();
    assert_eq!(said(&server, "/orders", elsewhere.reveal()).await, "api_key_unknown");
    let issued = keys.issue("acme-1", "acme", |key| key.scopes(["orders:read"])).await.unwrap();
    let text = issued.key().reveal();
    assert_eq!(said(&server, "/read", text).await, "acme/acme-1");
    let record = ApiKeyRecord::builder("theirs", "umbrella", elsewhere.key_digest()).build();
    keys.insert(record.unwrap()).await.unwrap();
    assert_eq!(said(&server, "/orders", elsewhere.reveal()).await, "umbrella/theirs");
    assert_eq!(said(&server, "/read", elsewhere.reveal()).await, "insufficient_scope");
    keys.revoke("acme-1").await.unwrap();
    let answer = server.get("/read", &[("x-api-key", text)]).await;
    assert_eq!(
        (answer.code().as_str(), &answer.json()["key_id"]),
        ("api_key_revoked", &"acme-1".into())
    );
    let listed: Vec<_> = keys.list(None, 10).await.unwrap();
    let facts: Vec<_> = listed.iter().map(|key| (key.id(), key.is_revoked())).collect();
    assert_eq!(facts, [("acme-1", true), ("theirs", false)]);
    assert_eq!(listed[1].last_used(), Some(Wall::from_seconds(NOW)), "it was used just now");
}

#[tokio::test]
async fn another_plan_and_other_scopes_need_no_new_key() {
    let (gate, clock) = gate(POLICY).await;
    let server = serve_gate(&gate, clock.clone()).await;
    let keys = gate.keys();
    let issued = keys.issue("acme-1", "acme", |key| key).await.unwrap();
    let text = issued.key().reveal();
    let limits = async |path: &str| {
        let answer = server.get(path, &[("x-api-key", text)]).await;
        answer.line("ratelimit-policy").unwrap_or_else(|| answer.code())
    };
    assert_eq!(limits("/few").await, "\"few\";q=2;w=120");
    assert_eq!(limits("/read").await, "insufficient_scope");
    let paid = issued.record().to_builder().plan("paid").scopes(["orders:read"]).build().unwrap();
    keys.update(paid).await.unwrap();
    assert_eq!(limits("/few").await, "\"few\";q=5;w=300");
    assert_eq!(said(&server, "/read", text).await, "acme/acme-1");
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let (gate, clock) = gate(POLICY).await;
    let server = serve_gate(&gate, clock.clone()).await;
    let keys = gate.keys();
    let first = keys.issue("acme", "acme", |key| key.scopes(["orders:read"])).await.unwrap();
    let second = keys.rotate("acme", Duration::from_secs(60)).await.unwrap();
    assert_eq!(second.record().id(), "acme-2");
    let both = async || {
        let said = async |key: &NewApiKey| said(&server, "/read", key.reveal()).await;
        [said(first.key()).await, said(second.key()).await]
    };
    assert_eq!(both().await, ["acme/acme", "acme/acme-2"]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(both().await, ["api_key_expired", "acme/acme-2"]);
    // Nothing brings back what has ended.
    let ended = keys.rotate("acme", Duration::ZERO).await.unwrap_err();
    assert_eq!(ended, KeyStoreError::Expired { id: "acme".into() });
    // A successor lasts no longer than the key that it follows was to.
    let end = Wall::from_seconds(clock.wall().seconds() + 600);
    let trial = second.record().to_builder().expires(end).build().unwrap();
    keys.update(trial).await.unwrap();
    let third = keys.rotate("acme-2", Duration::from_secs(60)).await.unwrap();
    assert_eq!((third.record().id(), third.record().expires()), ("acme-3", Some(end)));
    // A key may have a second successor while it goes on.
    let fourth = keys.rotate("acme-2", Duration::ZERO).await.unwrap();
    assert_eq!(fourth.record().id(), "acme-4");
    let unknown = keys.rotate("nobody's", Duration::ZERO).await.unwrap_err();
    assert_eq!(unknown, KeyStoreError::Unknown { id: "nobody's".into() });
}

#[tokio::test]
async fn keys_of_the_policy_are_changed_in_the_policy() {
    let (text, entry) = key("fixed", "billing", "");
    let (gate, clock) = gate(&POLICY.replace("[api_keys]", &format!("[api_keys]\n{entry}"))).await;
    let server = serve_gate(&gate, clock).await;
    let keys = gate.keys();
    let of_policy = KeyStoreError::OfPolicy { id: "fixed".into() };
    assert_eq!(keys.revoke("fixed").await, Err(of_policy.clone()));
    assert_eq!(keys.rotate("fixed", Duration::ZERO).await.unwrap_err(), of_policy);
    let digest = KeyDigest::of(text.as_bytes());
    let same = |id: &str, digest| ApiKeyRecord::builder(id, "other", digest).build().unwrap();
    assert_eq!(keys.update(same("fixed", digest)).await, Err(of_policy.clone()));
    assert!(of_policy.to_string().contains("change it there"), "{of_policy}");
    assert_eq!(keys.insert(same("another", digest)).await, Err(KeyStoreError::DigestTaken));
    let other = same("fixed", KeyDigest::of(b"other"));
    assert_eq!(keys.insert(other).await, Err(KeyStoreError::IdTaken { id: "fixed".into() }));
    let invalid = keys.issue("not valid", "acme", |key| key).await.unwrap_err();
    assert!(matches!(invalid, KeyStoreError::Invalid(_)), "{invalid:?}");
    assert_eq!(said(&server, "/orders", &text).await, "billing/fixed", "nothing was changed");
}

#[tokio::test]
async fn keys_outlive_a_reload_and_mean_what_the_new_policy_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    std::fs::write(&path, POLICY).unwrap();
    let clock = ManualClock::at(NOW);
    let gate = Tollgate::builder().policy_file(&path).watch(false).clock(clock.clone());
    let gate = gate.build().await.unwrap();
    let server = serve_gate(&gate, clock).await;
    let issued = gate.keys().issue("a", "acme", |key| key.scopes(["orders:admin"])).await.unwrap();
    let text = issued.key().reveal();
    assert_eq!(said(&server, "/read", text).await, "insufficient_scope");
    let implied = format!("{POLICY}[scopes]\n\"orders:admin\" = [\"orders:read\"]\n");
    std::fs::write(&path, &implied).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(said(&server, "/read", text).await, "acme/a");
    std::fs::write(&path, POLICY).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(said(&server, "/read", text).await, "insufficient_scope");
    // Where the policy has the same key, it counts.
    let entry = format!(
        "[api_keys]\n[[api_keys.key]]\nid = \"b\"\nclient = \"fixed\"\ndigest = \"{}\"\n",
        issued.key().digest()
    );
    std::fs::write(&path, POLICY.replace("[api_keys]", &entry)).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(said(&server, "/orders", text).await, "fixed/b");
}

/// A source whose answers a test decides about.
#[derive(Clone, Default)]
struct Book(Arc<Pages>);

#[derive(Default)]
struct Pages {
    records: Mutex<HashMap<KeyDigest, ApiKeyRecord>>,
    trouble: Mutex<Trouble>,
    asked: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
enum Trouble {
    #[default]
    None,
    Fails,
    Hangs,
    Panics,
}

impl Book {
    fn write(&self, record: ApiKeyRecord) {
        self.0.records.lock().unwrap().insert(record.digest(), record);
    }

    fn tear_out(&self, digest: KeyDigest) {
        self.0.records.lock().unwrap().remove(&digest);
    }

    fn is(&self, trouble: Trouble) {
        *self.0.trouble.lock().unwrap() = trouble;
    }

    fn asked(&self) -> usize {
        self.0.asked.swap(0, Ordering::SeqCst)
    }

    /// A new key in the book.
    fn key(&self, id: &str) -> (String, ApiKeyRecord) {
        let key = NewApiKey::generate("tg").unwrap();
        let record = ApiKeyRecord::builder(id, id, key.key_digest()).build().unwrap();
        self.write(record.clone());
        (key.reveal().to_owned(), record)
    }

    async fn serve(&self, policy: &str) -> (Tollgate, Server) {
        let clock = ManualClock::at(NOW);
        let gate = Tollgate::builder().policy(policy).clock(clock.clone());
        let gate = gate.key_source(self.clone()).build().await.unwrap();
        let server = serve_gate(&gate, clock).await;
        (gate, server)
    }
}

impl KeySource for Book {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let trouble = *self.0.trouble.lock().unwrap();
        let found = self.0.records.lock().unwrap().get(&digest).cloned();
        Box::pin(async move {
            match trouble {
                Trouble::None => Ok(found),
                Trouble::Fails => Err(KeySourceError::new("connection refused")),
                Trouble::Hangs => std::future::pending().await,
                Trouble::Panics => panic!("a source of a test"),
            }
        })
    }

    fn kind(&self) -> &'static str {
        "book"
    }
}

fn unknown() -> String {
    NewApiKey::generate("tg").unwrap().reveal().to_owned()
}

#[tokio::test]
async fn a_source_is_asked_once_and_what_it_says_counts_for_three_seconds() {
    let (fixed, entry) = key("fixed", "billing", "");
    let book = Book::default();
    let policy = POLICY.replace("[api_keys]", &format!("[api_keys]\n{entry}"));
    let (_gate, server) = book.serve(&policy).await;
    let (good, record) = book.key("good");
    let stranger = unknown();
    for _ in 0..3 {
        assert_eq!(said(&server, "/orders", &good).await, "good/good");
        assert_eq!(said(&server, "/orders", &stranger).await, "api_key_unknown");
    }
    assert_eq!(book.asked(), 2, "once for each");
    // Neither what is no key by its form, nor a key of the policy.
    let mut misspelt = good.clone();
    misspelt.pop();
    assert_eq!(said(&server, "/orders", &misspelt).await, "api_key_malformed");
    assert_eq!(said(&server, "/orders", &fixed).await, "billing/fixed");
    assert_eq!(book.asked(), 0);
    // Another process revokes one, and adds the other.
    book.write(record.revoked());
    let digest = KeyDigest::of(stranger.as_bytes());
    book.write(ApiKeyRecord::builder("new", "new", digest).build().unwrap());
    server.clock.advance(Duration::from_millis(1400));
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    assert_eq!(said(&server, "/orders", &stranger).await, "api_key_unknown");
    assert_eq!(book.asked(), 0);
    server.clock.advance(Duration::from_millis(1600));
    assert_eq!(said(&server, "/orders", &good).await, "api_key_revoked");
    assert_eq!(said(&server, "/orders", &stranger).await, "new/new");
    assert_eq!(book.asked(), 2);
    book.tear_out(digest);
    server.clock.advance(Duration::from_secs(3));
    assert_eq!(said(&server, "/orders", &stranger).await, "api_key_unknown");
}

#[tokio::test]
async fn a_source_alone_changes_nothing() {
    let book = Book::default();
    let (gate, _server) = book.serve(POLICY).await;
    assert_eq!(gate.keys().revoke("any").await, Err(KeyStoreError::ReadOnly));
    assert_eq!(gate.keys().list(None, 1).await.unwrap_err(), KeyStoreError::ReadOnly);
}

#[tokio::test]
async fn while_the_source_is_down_known_keys_go_on_and_others_are_our_fault() {
    let book = Book::default();
    let (gate, server) = book.serve(POLICY).await;
    let ((good, _), (late, _)) = (book.key("good"), book.key("late"));
    let (revoked, record) = book.key("revoked");
    book.write(record.revoked());
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    assert_eq!(said(&server, "/orders", &revoked).await, "api_key_revoked");
    book.is(Trouble::Fails);
    for _ in 0..3 {
        let answer = server.get("/orders", &[("x-api-key", &late)]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.code(), "key_source_unavailable");
        assert_eq!(answer.line("retry-after").as_deref(), Some("1"));
        assert!(
            !answer.text.contains("refused") && !answer.text.contains("book"),
            "{}",
            answer.text
        );
    }
    assert_eq!(book.asked(), 5);
    // Now it is down: nobody asks within a second, and nobody waits.
    assert_eq!(said(&server, "/orders", &late).await, "key_source_unavailable");
    assert_eq!(book.asked(), 0);
    let store = gate.status().stores.into_iter().find(|store| store.name == "keys").unwrap();
    assert_eq!((store.kind.as_str(), store.is_available, store.keys), ("book", false, Some(2)));
    assert_eq!(store.detail.as_deref(), Some("connection refused"));
    // Known keys go on: five minutes, and no longer; a revoked one stays revoked.
    server.clock.advance(Duration::from_secs(299));
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    assert_eq!(said(&server, "/orders", &revoked).await, "api_key_revoked");
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(said(&server, "/orders", &good).await, "key_source_unavailable");
    assert_eq!(said(&server, "/orders", &revoked).await, "api_key_revoked");
    book.is(Trouble::None);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(said(&server, "/orders", &late).await, "late/late", "it is back");
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    let store = gate.status().stores.into_iter().find(|store| store.name == "keys").unwrap();
    assert_eq!((store.is_available, store.age_seconds, store.detail), (true, Some(0), None));
    // None of it was a failed attempt.
    assert_eq!(said(&server, "/orders", &unknown()).await, "api_key_unknown");
}

#[tokio::test]
async fn a_source_that_hangs_or_panics_is_no_worse_than_one_that_is_down() {
    let book = Book::default();
    let (_gate, server) = book.serve(POLICY).await;
    let (good, _) = book.key("good");
    for trouble in [Trouble::Hangs, Trouble::Panics] {
        book.is(trouble);
        assert_eq!(said(&server, "/orders", &good).await, "key_source_unavailable");
    }
    book.is(Trouble::None);
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_the_source_so_much_and_good_keys_nothing() {
    let book = Book::default();
    let policy = format!("{POLICY}[failures]\nenabled = false\n");
    let (_gate, server) = book.serve(&policy).await;
    let (good, _) = book.key("good");
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    book.asked();
    let crowd: Vec<Server> = (2..10).map(|n| server.from(&format!("127.0.0.{n}"))).collect();
    let mut codes = HashMap::<String, usize>::new();
    for round in 0..190 {
        let calls =
            crowd.iter().map(|caller| async move { said(caller, "/orders", &unknown()).await });
        for code in futures_util::future::join_all(calls).await {
            *codes.entry(code).or_default() += 1;
        }
        if round % 10 == 0 {
            assert_eq!(said(&server, "/orders", &good).await, "good/good");
        }
    }
    // The clock stands: what was saved up, and a second's look-ups at most, whatever comes.
    let unknown = codes["api_key_unknown"];
    assert!((749..=999).contains(&unknown), "{codes:?}");
    assert_eq!(codes["key_source_unavailable"], 190 * 8 - unknown, "{codes:?}");
    assert_eq!(book.asked(), unknown);
    // A good key that has become old is looked up again none the less.
    server.clock.advance(Duration::from_secs(3));
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    assert_eq!(book.asked(), 1);
}

#[tokio::test]
async fn an_address_that_waits_asks_so_much_of_the_source() {
    let book = Book::default();
    let policy = format!("{POLICY}[failures]\nrate = \"1/minute\"\nburst = 3\n");
    let (_gate, server) = book.serve(&policy).await;
    let (good, _) = book.key("good");
    assert_eq!(said(&server, "/orders", &good).await, "good/good");
    book.asked();
    for n in 0..20 {
        let code = said(&server, "/orders", &unknown()).await;
        assert_eq!(code, if n < 3 { "api_key_unknown" } else { "too_many_failures" });
    }
    assert_eq!(book.asked(), 6, "three until it waits, and three more");
    // What is in memory is judged as ever, and refreshed.
    for _ in 0..3 {
        assert_eq!(said(&server, "/orders", &good).await, "good/good");
        server.clock.advance(Duration::from_secs(3));
    }
    // One that is not is not looked up, and the answer says so.
    let (late, _) = book.key("late");
    let answer = server.get("/orders", &[("x-api-key", &late)]).await;
    assert_eq!(answer.code(), "too_many_failures");
    assert!(answer.json().get("last_failure").is_none(), "{}", answer.text);
    let elsewhere = server.from("127.0.0.2");
    assert_eq!(said(&elsewhere, "/orders", &late).await, "late/late");
    assert_eq!(said(&server, "/orders", &late).await, "late/late", "and now it is known");
}

#[tokio::test]
async fn a_flood_of_failing_addresses_shuts_no_key_of_a_source_out() {
    let book = Book::default();
    let policy =
        format!("{POLICY}[store]\nmax_buckets = 2\n[failures]\nrate = \"1/hour\"\nburst = 1\n");
    let (_gate, server) = book.serve(&policy).await;
    // Two have buckets of their own, the others share one; likewise in the table of attempts.
    for n in 2..12 {
        let flooding = server.from(&format!("127.0.0.{n}"));
        let said = said(&flooding, "/orders", &unknown()).await;
        assert!(["api_key_unknown", "too_many_failures"].contains(&&*said), "{said}");
    }
    let fresh = server.from("127.0.0.99");
    for id in ["one", "two", "three"] {
        let (good, _) = book.key(id);
        assert_eq!(said(&fresh, "/orders", &good).await, format!("{id}/{id}"));
    }
}

#[tokio::test]
async fn keys_that_people_choose_are_guessed_no_faster_with_a_source() {
    let book = Book::default();
    let policy = POLICY.replace(
        "[api_keys]",
        "[api_keys]\nformat = \"any\"\n[failures]\nrate = \"1/minute\"\nburst = 3\n",
    );
    let (_gate, server) = book.serve(&policy).await;
    let chosen = |key: &str, id: &str| {
        let digest = KeyDigest::of(key.as_bytes());
        book.write(ApiKeyRecord::builder(id, id, digest).build().unwrap());
    };
    chosen("summer-2026", "old");
    chosen("letmein", "weak");
    assert_eq!(said(&server, "/orders", "summer-2026").await, "old/old");
    for n in 0..20 {
        let code = said(&server, "/orders", &format!("guess-{n}")).await;
        assert_eq!(code, if n < 3 { "api_key_unknown" } else { "too_many_failures" });
    }
    assert_eq!(
        said(&server, "/orders", "letmein").await,
        "too_many_failures",
        "it was not looked at"
    );
    for _ in 0..10 {
        assert_eq!(
            said(&server, "/orders", "summer-2026").await,
            "old/old",
            "proven in the last hour"
        );
    }
}

#[tokio::test]
async fn an_old_key_that_people_choose_is_not_guessed_for_nothing() {
    let book = Book::default();
    let policy = POLICY.replace(
        "[api_keys]",
        "[api_keys]\nformat = \"any\"\n[failures]\nrate = \"1/hour\"\nburst = 3\n",
    );
    let (_gate, server) = book.serve(&policy).await;
    let digest = KeyDigest::of(b"letmein");
    book.write(ApiKeyRecord::builder("weak", "weak", digest).build().unwrap());
    let owner = server.from("127.0.0.2");
    assert_eq!(said(&owner, "/orders", "letmein").await, "weak/weak");
    // It is in memory, and old: longer than an hour ago.
    server.clock.advance(Duration::from_secs(3601));
    for n in 0..20 {
        let code = said(&server, "/orders", &format!("guess-{n}")).await;
        assert_eq!(code, if n < 3 { "api_key_unknown" } else { "too_many_failures" });
    }
    assert_eq!(said(&server, "/orders", "letmein").await, "too_many_failures");
    assert_eq!(said(&owner, "/orders", "letmein").await, "weak/weak");
    assert_eq!(said(&server, "/orders", "letmein").await, "weak/weak", "proven just now");
}

#[tokio::test]
async fn a_request_waits_for_its_key_and_is_judged_by_both_credentials() {
    let book = Book::default();
    let policy = format!(
        "{POLICY}{}[[rule]]\nname = \"both\"\npath = \"/both\"\ncredentials = [\"both\"]\n",
        issuer()
    );
    let (_gate, server) = book.serve(&policy).await;
    let (good, _) = book.key("app");
    let token = bearer(|_| {});
    let answer = server.get("/both", &[("x-api-key", &good), ("authorization", &token)]).await;
    assert_eq!(answer.text, "mobile/app");
    let stranger = unknown();
    let answer = server.get("/both", &[("x-api-key", &stranger), ("authorization", &token)]).await;
    assert_eq!(answer.code(), "api_key_unknown");
}
