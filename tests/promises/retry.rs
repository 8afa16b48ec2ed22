//! Retry advice, proven: a request that is sent when the promised time has passed is admitted,
//! and one that is sent just before it is not.

use std::time::Duration;

use tollgate::{Action, Actor, Category, Denial, DenialCode, Tollgate};

use super::support::{gate, key, serve, trial};

/// Milliseconds to wait, and the limits, that a denial tells of.
fn promised(answer: &super::support::Answer) -> u64 {
    let body = answer.json();
    assert_eq!(answer.code(), "rate_limited", "{body}");
    let wait = body["retry_after"].as_u64().unwrap();
    assert_eq!(answer.line("retry-after").unwrap(), wait.to_string());
    assert_eq!(body["limits"][0]["reset"], wait, "the longest wait comes first");
    wait
}

#[tokio::test]
async fn at_the_promised_time_it_passes_and_just_before_it_does_not() {
    for (rate, burst, cost) in [
        ("1/second", 1, 1),
        ("3/10s", 2, 1),
        ("7/minute", 5, 3),
        ("1000/hour", 10, 10),
        ("2/3s", 4, 4),
        ("1/day", 1, 1),
    ] {
        let (key, entry) = key("key", "billing", "");
        let policy = format!(
            "version = 1\n[api_keys]\n{entry}\n[[limit]]\nname = \"limit\"\nrate = \"{rate}\"\nburst = {burst}\nper = [\"client\"]\n\
             [[limit]]\nname = \"wide\"\nrate = \"1000000/second\"\nburst = 1000\nper = [\"client\"]\n\
             [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"wide\", \"limit\"]\ncost = {cost}\n"
        );
        let server = trial(&policy).await;
        let header = [("x-api-key", key.as_str())];
        while server.get("/", &header).await.status.is_success() {}
        for _ in 0..3 {
            let wait = promised(&server.get("/", &header).await);
            // The wait is rounded up to seconds, so a second before it nothing can have come.
            server.clock.advance(Duration::from_secs(wait - 1));
            assert_eq!(
                server.get("/", &header).await.code(),
                "rate_limited",
                "{rate} {burst} {cost}"
            );
            server.clock.advance(Duration::from_secs(1));
            assert_eq!(server.get("/", &header).await.status, 200, "{rate} {burst} {cost}");
            while server.get("/", &header).await.status.is_success() {}
        }
    }
}

/// A handler that knows that the same request will never succeed says so to people and to SDKs.
#[tokio::test]
async fn what_is_to_be_stopped_is_never_to_be_retried() {
    static TOO_LARGE: DenialCode = DenialCode::new("export_too_large", Category::Limit)
        .with_action(Action::Stop, Actor::Client);
    let policy = "version = 1\n[[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\nstatus = \"standard\"\n";
    let (gate, clock) = gate(policy).await;
    let handler = axum::routing::any(async || Denial::new(&TOO_LARGE));
    let server = serve(axum::Router::new().route("/", handler).layer(gate.layer()), clock).await;
    let answer = server.get("/", &[]).await;
    let document = answer.json();
    assert_eq!((answer.status.as_u16(), &*answer.code()), (429, "export_too_large"));
    assert_eq!((&document["action"], &document["retryable"]), (&"stop".into(), &false.into()));
    assert_eq!(answer.line("x-should-retry").as_deref(), Some("false"));
    for header in ["retry-after", "retry-after-ms"] {
        assert_eq!(answer.line(header), None, "{header}");
    }
    assert_eq!(document.get("retry_after"), None);
}

/// No policy is taken under which a request could cost more than a bucket ever holds.
#[tokio::test]
async fn no_plan_has_a_bucket_that_is_too_small_for_the_cost() {
    for (burst, plan, cost, is_taken) in
        [(5, 5, 5, true), (5, 5, 6, false), (9, 5, 6, false), (5, 9, 6, false)]
    {
        let policy = format!(
            "version = 1\n[api_keys]\n[[limit]]\nname = \"points\"\nrate = \"1/second\"\nburst = {burst}\n\
             per = [\"client\"]\nplans.small = {{ rate = \"1/second\", burst = {plan} }}\n\
             [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"points\"]\ncost = {cost}\n"
        );
        let built = Tollgate::builder().policy(policy).build().await;
        assert_eq!(built.is_ok(), is_taken, "{burst} {plan} {cost}");
    }
}

#[tokio::test]
async fn a_failing_address_waits_as_long_as_it_is_told() {
    let (good, entry) = key("key", "billing", "");
    let policy = format!(
        "version = 1\n[failures]\nrate = \"1/10s\"\nburst = 2\n[api_keys]\n{entry}\n[[rule]]\nname = \"all\"\npath = \"/\"\n"
    );
    let server = trial(&policy).await;
    for _ in 0..2 {
        assert_eq!(server.get("/", &[("x-api-key", "nonsense")]).await.code(), "api_key_malformed");
    }
    let again = async || server.get("/", &[("x-api-key", "nonsense")]).await;
    let refused = again().await;
    assert_eq!(
        (refused.code().as_str(), refused.line("retry-after").as_deref()),
        ("too_many_failures", Some("10"))
    );
    assert_eq!(refused.json()["last_failure"], "api_key_malformed");
    assert_eq!(refused.json()["retryable"], false, "the credential has to be corrected first");
    // What proves itself is let in, another address is not affected, and a missing credential is
    // not a failure.
    assert_eq!(server.get("/", &[("x-api-key", &good)]).await.status, 200);
    let other = server.from("127.0.0.9");
    assert_eq!(other.get("/", &[("x-api-key", "nonsense")]).await.code(), "api_key_malformed");
    assert_eq!(server.get("/", &[]).await.code(), "credentials_missing");
    server.clock.advance(Duration::from_secs(9));
    assert_eq!(again().await.code(), "too_many_failures");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(again().await.code(), "api_key_malformed");
    assert_eq!(again().await.code(), "too_many_failures");
}

/// While an address waits, a token that was accepted before is let in at once; new ones are
/// verified only as often as the second bucket allows.
#[tokio::test]
async fn an_address_that_waits_has_few_signatures_verified() {
    use super::support::{bearer, issuer};
    let policy = format!(
        "version = 1\n[failures]\nrate = \"1/10s\"\nburst = 2\n{}[[rule]]\nname = \"all\"\npath = \"/\"\n",
        issuer()
    );
    let server = trial(&policy).await;
    let seen = bearer(|_| {});
    assert_eq!(server.get("/", &[("authorization", &seen)]).await.status, 200);
    let forged = |n: u64| {
        let token = bearer(|claims| claims["n"] = n.into());
        format!("{}AAA", &token[..token.len() - 3])
    };
    let mut codes = Vec::new();
    for n in 0..6 {
        let answer = server.get("/", &[("authorization", &forged(n))]).await;
        let last = answer.json().get("last_failure").map(ToString::to_string);
        codes.push((answer.code(), last));
    }
    let failed = Some("\"token_signature_invalid\"".to_owned());
    let expected = [
        ("token_signature_invalid", None),
        ("token_signature_invalid", None),
        ("too_many_failures", failed.clone()),
        ("too_many_failures", failed),
        ("too_many_failures", None),
        ("too_many_failures", None),
    ];
    assert_eq!(codes, expected.map(|(code, last)| (code.to_owned(), last)));
    let unseen = bearer(|claims| claims["n"] = 99.into());
    let refused = server.get("/", &[("authorization", &unseen)]).await;
    assert_eq!(refused.code(), "too_many_failures");
    assert_eq!(refused.json()["retryable"], true, "the token was not looked at");
    assert_eq!(server.get("/", &[("authorization", &seen)]).await.status, 200);
    server.clock.advance(Duration::from_secs(10));
    assert_eq!(server.get("/", &[("authorization", &unseen)]).await.status, 200);
}

/// The same over the real clock, once: nothing above depends on a clock that stands.
#[tokio::test]
async fn the_real_clock_keeps_the_promise_too() {
    let (key, entry) = key("key", "billing", "");
    let policy = format!(
        "version = 1\n[api_keys]\n{entry}\n[[limit]]\nname = \"limit\"\nrate = \"1/second\"\nper = [\"client\"]\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"limit\"]\n"
    );
    let gate = tollgate::Tollgate::builder().policy(policy).build().await.unwrap();
    let app = axum::Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let server = super::support::serve(app, tollgate::ManualClock::at(0)).await;
    let header = [("x-api-key", key.as_str())];
    // At the second request, unless this machine takes a second for one.
    let mut answer = server.get("/", &header).await;
    for _ in 0..20 {
        if answer.status != 200 {
            break;
        }
        answer = server.get("/", &header).await;
    }
    let wait = promised(&answer);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(server.get("/", &header).await.status, 200);
}
