//! `docs/shared-limits.md` names the rights that the user of a shared store needs: a gate works as
//! exactly that user.

use std::fs;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use tollgate::{Admission, StoreStatus, Tollgate};
use tower::ServiceExt as _;

use super::support::redis::Redis;
use super::support::root;

/// The line of the page, as words.
pub(super) fn rights() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/shared-limits.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER tollgate ")).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

async fn open(redis: &Redis) -> (Tollgate, Router) {
    let policy = format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[store]\nkind = \"redis\"\nurl = \"{}\"\n\
         username = \"tollgate\"\npassword_env = \"SHARED\"\ndeadline = \"3s\"\n[[limit]]\nname = \"few\"\n\
         rate = \"1/day\"\nburst = 20\nper = [\"global\"]\non_store_failure = \"closed\"\n[[rule]]\n\
         name = \"all\"\npath = \"/{{*rest}}\"\npublic = true\nlimits = [\"few\"]\n",
        redis.url()
    );
    let gate = Tollgate::builder()
        .policy(policy)
        .secret("SHARED", b"example-password".to_vec())
        .watch(false)
        .build()
        .await
        .unwrap();
    let charge = get(|admission: Admission| async move { admission.charge(4) });
    let app = Router::new().route("/charge", charge).fallback(|| async { "ok" });
    let app = app.layer(gate.layer());
    (gate, app)
}

async fn until(gate: &Tollgate, is_so: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let store = gate.status().stores.into_iter().find(|store| store.name == "buckets").unwrap();
        if is_so(&store) {
            return store;
        }
        assert!(Instant::now() < end, "{store:?}");
        tokio::task::yield_now().await;
    }
}

fn grant(redis: &Redis) {
    let rights = rights();
    let words: Vec<&str> = rights.iter().map(String::as_str).collect();
    let _ok: String = redis.run(&words);
}

/// A server whose user has the rights of the page, and a gate that asks it.
async fn with_rights() -> (Redis, Tollgate, Router) {
    let redis = Redis::start();
    grant(&redis);
    let (gate, app) = open(&redis).await;
    until(&gate, |store| store.is_available).await;
    (redis, gate, app)
}

async fn status(app: &Router, path: &str) -> u16 {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_rights_of_the_page_are_enough_for_all_that_a_gate_does() {
    let (redis, _gate, app) = with_rights().await;

    // Takes, owes after the work, looks, refuses, and sends the script anew.
    assert_eq!(status(&app, "/a").await, 200);
    assert_eq!(status(&app, "/charge").await, 200);
    let _ok: String = redis.run(&["SCRIPT", "FLUSH"]);
    let mut admitted = 0;
    while status(&app, "/a").await == 200 {
        admitted += 1;
    }
    assert!(
        (13..=18).contains(&admitted),
        "20, less 1, 1, and 4 as soon as they are there: {admitted}"
    );
    assert_eq!(status(&app, "/a").await, 429);
    assert_eq!(redis.keys().len(), 1);
}

#[tokio::test]
async fn a_user_whose_rights_are_withdrawn_refuses_nobody_as_the_clients_fault() {
    let (redis, gate, app) = with_rights().await;
    assert_eq!(status(&app, "/a").await, 200);

    let _ok: String = redis.run(&["ACL", "SETUSER", "tollgate", "-evalsha", "-eval"]);
    assert_eq!(status(&app, "/a").await, 503);
    while status(&app, "/a").await != 503
        || gate.status().stores.iter().all(|store| store.is_available)
    {
        tokio::task::yield_now().await;
    }
    let away = until(&gate, |store| !store.is_available).await;
    let detail = away.detail.unwrap();
    assert!(detail.contains("EVALSHA") && !detail.contains("example-password"), "{detail}");

    grant(&redis);
    until(&gate, |store| store.is_available).await;
    assert_eq!(status(&app, "/a").await, 200);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_never_repeated() {
    let redis = Redis::start();
    let _ok: String = redis.run(&["ACL", "SETUSER", "tollgate", "on", ">another", "~*", "+@all"]);
    let (gate, app) = open(&redis).await;
    let says = |store: &StoreStatus| {
        store.detail.as_ref().is_some_and(|detail| detail.contains("password"))
    };
    let away = until(&gate, says).await;
    assert!(!away.is_available);
    assert!(!format!("{:?}", gate.status()).contains("example-password"));
    assert_eq!(status(&app, "/a").await, 503);
}
