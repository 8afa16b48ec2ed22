//! Whose bucket is whose.

use axum::Router;
use axum::routing::get;
use serde_json::json;
use tollgate::Admission;

use super::support::{NOW, Server, bearer, gate, issuer, key, serve, trial};

fn policy(keys: &str, rest: &str) -> String {
    format!("version = 1\n[api_keys]\n{keys}\n{}\n{rest}", issuer())
}

const ONE_EACH: &str = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n\
    [[rule]]\nname = \"all\"\npath = \"/{*rest}\"\nlimits = [\"one\"]\n";

async fn is_admitted(server: &Server, headers: &[(&str, &str)]) -> bool {
    let answer = server.get("/a", headers).await;
    assert!(answer.status.is_success() || answer.code() == "rate_limited", "{answer:?}");
    answer.status.is_success()
}

#[tokio::test]
async fn keys_of_one_client_share_a_bucket() {
    let (first, one) = key("one", "billing", "");
    let (second, two) = key("two", "billing", "");
    let (other, three) = key("three", "shop", "");
    let server = trial(&policy(&format!("{one}{two}{three}"), ONE_EACH)).await;
    assert!(is_admitted(&server, &[("x-api-key", &first)]).await);
    assert!(!is_admitted(&server, &[("x-api-key", &second)]).await);
    assert!(is_admitted(&server, &[("x-api-key", &other)]).await);
}

#[tokio::test]
async fn clients_of_two_origins_do_not() {
    let (key, entry) = key("one", "mobile", "");
    let second =
        issuer().replace("\"main\"", "\"other\"").replace("id.example.com", "id2.example.com");
    let server = trial(&policy(&entry, &format!("{second}{ONE_EACH}"))).await;
    let elsewhere = bearer(|claims| claims["iss"] = "https://id2.example.com/".into());
    assert!(is_admitted(&server, &[("x-api-key", &key)]).await);
    assert!(is_admitted(&server, &[("authorization", &bearer(|_| {}))]).await);
    assert!(is_admitted(&server, &[("authorization", &elsewhere)]).await);
    assert!(!is_admitted(&server, &[("authorization", &elsewhere)]).await);
}

#[tokio::test]
async fn a_plan_has_its_own_quota_and_the_client_one_bucket() {
    let (small, one) = key("small", "billing", "");
    let (large, two) = key("large", "billing", "plan = \"partner\"");
    let limits = ONE_EACH
        .replace("rate = \"1/hour\"", "rate = \"2/hour\"\nplans.partner = { rate = \"10/hour\" }");
    let server = trial(&policy(&format!("{one}{two}"), &limits)).await;
    let large_key = [("x-api-key", large.as_str())];
    let answer = server.get("/a", &large_key).await;
    assert_eq!(answer.line("ratelimit-policy").unwrap(), "\"one\";q=10;w=3600");
    assert_eq!(answer.line("ratelimit").unwrap(), "\"one\";r=9;t=360");
    let answer = server.get("/a", &[("x-api-key", &small)]).await;
    assert_eq!(answer.line("ratelimit-policy").unwrap(), "\"one\";q=2;w=3600");
    assert_eq!(answer.line("ratelimit").unwrap(), "\"one\";r=0;t=1800");
    assert_eq!(server.get("/a", &large_key).await.line("ratelimit").unwrap(), "\"one\";r=7;t=1080");
}

#[tokio::test]
async fn a_limit_may_have_thousands_of_plans() {
    let plan = |n: u32| format!("plans.plan-{n} = {{ rate = \"{}/hour\" }}\n", n + 10);
    let plans: String = (0..3_000).map(plan).collect();
    let limits = ONE_EACH.replace("per = [", &format!("{plans}per = ["));
    let keys = [0, 63, 64, 1_234, 2_999].map(|n| {
        let (secret, entry) = key(&format!("key-{n}"), "billing", &format!("plan = \"plan-{n}\""));
        (n, secret, entry)
    });
    let entries: String = keys.iter().map(|(_, _, entry)| entry.as_str()).collect();
    let server = trial(&policy(&entries, &limits)).await;
    for (spent, (n, secret, _)) in (1..).zip(&keys) {
        let answer = server.get("/a", &[("x-api-key", secret)]).await;
        let burst = n + 10;
        assert_eq!(answer.line("ratelimit-policy").unwrap(), format!("\"one\";q={burst};w=3600"));
        let state = answer.line("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"one\";r={};t=", burst - spent)), "{state}");
    }
}

#[tokio::test]
async fn a_request_without_the_header_counts_for_its_caller() {
    let (first, one) = key("one", "billing", "");
    let (second, two) = key("two", "shop", "");
    let open = "[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"one\"]\n";
    let limit = ONE_EACH.replace("\"client\"", "\"header:x-device\"");
    let server = trial(&policy(&format!("{one}{two}"), &format!("{limit}{open}"))).await;
    let [first, second] = [&first, &second].map(|secret| ("x-api-key", secret.as_str()));
    assert!(is_admitted(&server, &[first]).await);
    assert!(!is_admitted(&server, &[first]).await);
    assert!(is_admitted(&server, &[second]).await);
    for empty_is_a_value in [("x-device", ""), ("x-device", "7")] {
        assert!(is_admitted(&server, &[first, empty_is_a_value]).await);
        assert!(!is_admitted(&server, &[second, empty_is_a_value]).await);
    }
    let lines = [first, ("x-device", "a"), ("x-device", "b")];
    assert!(is_admitted(&server, &lines).await);
    assert!(!is_admitted(&server, &[first, ("x-device", "a,b")]).await);
    assert_eq!(server.get("/open", &[]).await.status, 200);
    assert_eq!(server.get("/open", &[]).await.code(), "rate_limited");
    assert_eq!(server.from("127.0.0.2").get("/open", &[]).await.status, 200);
}

#[tokio::test]
async fn claims_headers_rules_and_combinations_tell_buckets_apart() {
    let limit = |per: &str| ONE_EACH.replace("\"client\"", per);
    let acme = bearer(|claims| claims["tenant"] = "acme".into());
    let acme_too = bearer(|claims| {
        claims["tenant"] = "acme".into();
        claims["sub"] = "web".into();
    });
    let globex = bearer(|claims| claims["tenant"] = "globex".into());

    let server = trial(&policy("", &limit("\"claim:tenant\""))).await;
    assert!(is_admitted(&server, &[("authorization", &acme)]).await);
    assert!(!is_admitted(&server, &[("authorization", &acme_too)]).await);
    assert!(is_admitted(&server, &[("authorization", &globex)]).await);

    let server = trial(&policy("", &limit("\"client\", \"header:x-region\""))).await;
    let token = ("authorization", acme.as_str());
    assert!(is_admitted(&server, &[token, ("x-region", "eu")]).await);
    assert!(!is_admitted(&server, &[token, ("x-region", "eu")]).await);
    assert!(is_admitted(&server, &[token, ("x-region", "us")]).await);
    assert!(is_admitted(&server, &[("authorization", &acme_too), ("x-region", "us")]).await);

    let server = trial(&policy("", &limit("\"global\""))).await;
    assert!(is_admitted(&server, &[token]).await);
    assert!(!is_admitted(&server, &[("authorization", &globex)]).await);

    let two_rules =
        format!("{}[[rule]]\nname = \"b\"\npath = \"/b\"\nlimits = [\"one\"]\n", limit("\"rule\""));
    let server = trial(&policy("", &two_rules)).await;
    assert!(is_admitted(&server, &[token]).await);
    assert_eq!(server.get("/b", &[token]).await.status, 200);
    assert!(!is_admitted(&server, &[token]).await);
}

#[tokio::test]
async fn equal_claims_of_two_issuers_are_two_buckets() {
    let second =
        issuer().replace("\"main\"", "\"other\"").replace("id.example.com", "id2.example.com");
    let limit = ONE_EACH.replace("\"client\"", "\"claim:tenant\"");
    let (key, entry) = key("one", "billing", "");
    let server = trial(&policy(&entry, &format!("{second}{limit}"))).await;
    let of = |iss: &str, tenant: serde_json::Value| {
        bearer(|claims| {
            claims["iss"] = iss.into();
            claims["tenant"] = tenant;
        })
    };
    for token in [
        of("https://id.example.com/", "acme".into()),
        of("https://id2.example.com/", "acme".into()),
        of("https://id.example.com/", "1".into()),
        of("https://id.example.com/", 2.into()),
        bearer(|_| {}),
    ] {
        assert!(is_admitted(&server, &[("authorization", &token)]).await);
        assert!(!is_admitted(&server, &[("authorization", &token)]).await);
    }
    assert!(is_admitted(&server, &[("x-api-key", &key)]).await, "a key stands for its client");
}

#[tokio::test]
async fn failures_under_a_rule_in_shadow_mode_make_nobody_wait() {
    let (good, entry) = key("one", "billing", "");
    let rules = "[[rule]]\nname = \"on\"\npath = \"/a\"\n[[rule]]\nname = \"dark\"\npath = \"/b\"\nmode = \"shadow\"\n";
    let server = trial(&policy(&entry, rules)).await;
    for _ in 0..25 {
        assert_eq!(server.get("/b", &[("x-api-key", "bad")]).await.status, 200);
    }
    assert_eq!(server.get("/a", &[("x-api-key", &good)]).await.status, 200);
}

#[tokio::test]
async fn only_admitted_requests_are_charged() {
    let (key, entry) = key("one", "billing", "");
    let rules = "[[limit]]\nname = \"two\"\nrate = \"2/hour\"\nper = [\"address\"]\n\
        [[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n\
        [[rule]]\nname = \"all\"\npath = \"/a\"\nlimits = [\"two\", \"one\"]\n\
        [[rule]]\nname = \"scoped\"\npath = \"/b\"\nscopes = [\"x\"]\nlimits = [\"two\"]\n\
        [[rule]]\nname = \"open\"\npath = \"/c\"\npublic = true\nlimits = [\"two\"]\n";
    let server = trial(&policy(&entry, rules)).await;
    for headers in [&[][..], &[("x-api-key", "bad")], &[("x-api-key", key.as_str())]] {
        server.get("/b", headers).await;
    }
    assert_eq!(
        server.get("/a", &[("x-api-key", &key)]).await.line("ratelimit").unwrap(),
        "\"two\";r=1;t=1800, \"one\";r=0;t=3600"
    );
    for _ in 0..3 {
        let limited = server.get("/a", &[("x-api-key", &key)]).await.json();
        assert_eq!(limited["limits"][0]["limit"], "one");
        assert_eq!(
            limited["limits"][1],
            json!({"limit": "two", "per": ["address"], "rate": "2/hour", "unit": "requests", "quota": 2, "window": 3600, "remaining": 1, "reset": 0})
        );
    }
    assert_eq!(server.get("/c", &[]).await.line("ratelimit").unwrap(), "\"two\";r=0;t=1800");
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_expires() {
    let server = trial(&policy("", ONE_EACH).replace("1/hour", "100/hour")).await;
    let token = bearer(|claims| claims["exp"] = (NOW + 10).into());
    for _ in 0..3 {
        assert!(is_admitted(&server, &[("authorization", &token)]).await);
    }
    server.clock.advance(std::time::Duration::from_secs(39));
    assert!(is_admitted(&server, &[("authorization", &token)]).await, "within the leeway of 30 s");
    server.clock.advance(std::time::Duration::from_secs(1));
    for _ in 0..2 {
        assert_eq!(server.get("/a", &[("authorization", &token)]).await.code(), "token_expired");
    }
}

#[tokio::test]
async fn the_older_fields_alone_are_told_of_admissions_too() {
    let (secret, entry) = key("one", "billing", "");
    let head = "version = 1\n[denial]\nratelimit_headers = \"legacy\"\n";
    let server = trial(&policy(&entry, ONE_EACH).replace("version = 1\n", head)).await;
    let answer = server.get("/a", &[("x-api-key", &secret)]).await;
    assert_eq!(answer.line("x-ratelimit-limit").as_deref(), Some("1"), "{answer:?}");
    assert_eq!(answer.line("ratelimit"), None);
}

#[tokio::test]
async fn what_a_rule_in_shadow_mode_would_not_grant_is_neither_told_nor_charged() {
    let (secret, entry) = key("one", "billing", "");
    let text = policy(&entry, &ONE_EACH.replace("limits = [", "mode = \"shadow\"\nlimits = ["));
    let (gate, clock) = gate(&text).await;
    let handler = |admission: Admission| async move {
        admission.charge(1);
        format!("{:?} {}", admission.shadow(), admission.limits().count())
    };
    let server = serve(Router::new().route("/a", get(handler)).layer(gate.layer()), clock).await;
    assert_eq!(server.get("/a", &[("x-api-key", &secret)]).await.text, "None 1");
    let over = server.get("/a", &[("x-api-key", &secret)]).await;
    assert_eq!(over.text, "Some(\"rate_limited\") 0");
    assert_eq!((over.line("ratelimit"), over.line("ratelimit-policy")), (None, None));
}
