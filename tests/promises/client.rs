//! The denial as a type for programs: all that a gate sends has its place in it, and what it
//! advises comes true.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Method;
use tollgate::{DenialCode, ManualClock, Tollgate};
use tollgate_client::{Advice, Category, Code, Denial, Recovery, is_denial};

use super::catalogue::{provoke, serve, vectors};
use super::support::{self, Answer, NOW, bearer, issuer, key, trial};

fn parse(answer: &Answer) -> Option<Box<Denial>> {
    Denial::parse(answer.status, &answer.headers, answer.text.as_bytes())
}

#[tokio::test]
async fn every_denial_is_read_with_nothing_left_over() {
    for disclosure in ["minimal", "standard", "detailed"] {
        for status in ["uniform", "standard"] {
            let setting = format!("disclosure = \"{disclosure}\"\nstatus = \"{status}\"");
            let vectors =
                vectors(&format!("[denial]\n{setting}\nsupport = \"https://help.example.com/\""));
            let server = serve(&vectors.policy).await;
            for vector in &vectors.requests {
                let answer = provoke(&server, vector).await;
                let label = format!("{} at {setting}: {answer:?}", vector.code);
                let denial = parse(&answer).unwrap_or_else(|| panic!("{label}"));
                assert_eq!(serde_json::to_value(&denial).unwrap(), answer.json(), "{label}");
                assert_eq!(denial.other_members().count(), 0, "{label}");
                assert!(!matches!(denial.code, Code::Other(_)), "{label}");
                assert!(!matches!(denial.category, Category::Other(_)), "{label}");
                assert_eq!(denial.status, answer.status, "{label}");
                let wait = denial.retry_after.map(|wait| wait.as_secs().to_string());
                assert_eq!(wait, answer.line("retry-after"), "{label}");
                // The forgotten route is outside of the gate, so the settings do not reach it.
                if disclosure != "minimal" || vector.code == "decision_failed" {
                    assert_eq!(denial.code, vector.code, "{label}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_denial_document_is_not_read() {
    let server =
        trial("version = 1\n[[rule]]\nname = \"open\"\npath = \"/\"\npublic = true\n").await;
    for (method, path, accept) in [
        (Method::GET, "/", "*/*"),
        (Method::GET, "/nowhere", "text/html"),
        (Method::HEAD, "/nowhere", "*/*"),
    ] {
        let answer = server.call(method, path, &[("accept", accept)]).await;
        assert_eq!(parse(&answer), None, "{answer:?}");
    }
    let empty = server.call(Method::HEAD, "/nowhere", &[]).await;
    assert!(is_denial(empty.status, &empty.headers), "its headers are those of a denial");
}

static ORDER_SHIPPED: DenialCode =
    DenialCode::new("order_shipped", tollgate::Category::Authorization);

#[tokio::test]
async fn a_code_of_the_api_itself_comes_with_its_members() {
    let policy = "version = 1\n[[rule]]\nname = \"open\"\npath = \"/\"\npublic = true\n";
    let gate = Tollgate::builder().policy(policy).code(&ORDER_SHIPPED).build().await.unwrap();
    let refuse = async || tollgate::Denial::new(&ORDER_SHIPPED).member("shipped_on", "2026-11-20");
    let app = Router::new().route("/", get(refuse)).layer(gate.layer());
    let server = support::serve(app, ManualClock::at(NOW)).await;

    let denial = parse(&server.get("/", &[]).await).unwrap();
    assert_eq!(denial.code, "order_shipped");
    assert_eq!(
        (denial.category.clone(), denial.advice(1)),
        (Category::Authorization, Advice::Stop)
    );
    assert_eq!(denial.member::<String>("shipped_on").as_deref(), Some("2026-11-20"));
    assert_eq!(denial.other_members().collect::<Vec<_>>(), ["shipped_on"]);
}

#[tokio::test]
async fn a_request_passes_when_the_advice_has_been_followed() {
    let (key, entry) = key("key", "billing", "not_before = 2027-01-15T08:01:00Z");
    let server = trial(&format!(
        "version = 1\n[api_keys]\n{entry}\n{}[[limit]]\nname = \"slow\"\nrate = \"7/minute\"\nburst = 5\nper = [\"client\"]\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"slow\"]\ncost = 3\n",
        issuer()
    ))
    .await;

    let by_key = [("x-api-key", key.as_str())];
    for code in [Code::ApiKeyNotYetValid, Code::RateLimited] {
        let mut refused = parse(&server.get("/", &by_key).await);
        if refused.is_none() {
            refused = parse(&server.get("/", &by_key).await);
        }
        let denial = refused.unwrap();
        assert_eq!(denial.code, code);
        let Advice::Wait(delay) = denial.advice(1) else { panic!("{denial:?}") };
        server.clock.advance(delay - Duration::from_secs(1));
        assert_eq!(parse(&server.get("/", &by_key).await).unwrap().code, code, "{delay:?}");
        server.clock.advance(Duration::from_secs(1));
        assert_eq!(server.get("/", &by_key).await.status, 200, "{delay:?}");
    }

    let old = bearer(|claims| claims["exp"] = (NOW - 31).into());
    let denial = parse(&server.get("/", &[("authorization", &old)]).await).unwrap();
    assert_eq!((denial.code.clone(), denial.advice(1)), (Code::TokenExpired, Advice::RenewToken));
    assert_eq!(server.get("/", &[("authorization", &bearer(|_| {}))]).await.status, 200);
}

/// What the loop did, and how it ended, with an issuer that grants no scope but these.
async fn looped(
    server: &super::support::Server,
    path: &str,
    old: String,
    grants: &[&str],
) -> (Vec<String>, String) {
    let did = std::cell::RefCell::new(Vec::new());
    let mut token = old;
    let ended: Result<u16, Box<Denial>> = Recovery::new()
        .with_scopes(["orders:read"])
        .run(
            &mut token,
            async |token: &String| {
                did.borrow_mut().push("sent".to_owned());
                let answer = server.get(path, &[("authorization", token)]).await;
                Ok(parse(&answer).map_or(Ok(answer.status.as_u16()), Err))
            },
            async |scopes: &[String]| {
                did.borrow_mut().push(format!("asked for {}", scopes.join(" ")));
                let granted: Vec<&str> = scopes.iter().map(String::as_str).collect();
                let granted = granted.into_iter().filter(|scope| grants.contains(scope));
                let granted = granted.collect::<Vec<_>>().join(" ");
                Ok(Some(bearer(|claims| claims["scope"] = granted.into())))
            },
            async |delay| {
                did.borrow_mut().push(format!("waited {delay:?}"));
                server.clock.advance(delay);
            },
        )
        .await;
    let ended = match ended {
        Ok(status) => status.to_string(),
        Err(denial) => denial.code.to_string(),
    };
    (did.into_inner(), ended)
}

#[tokio::test]
async fn one_loop_renews_once_steps_up_waits_and_stops() {
    let server = trial(&format!(
        "version = 1\n{}[[limit]]\nname = \"slow\"\nrate = \"7/minute\"\nburst = 1\nper = [\"client\"]\n\
         [[rule]]\nname = \"read\"\npath = \"/read\"\nscopes = [\"orders:read\"]\n\
         [[rule]]\nname = \"write\"\npath = \"/write\"\nscopes = [\"orders:write\"]\nany_scopes = [\"x\", \"y\"]\n\
         [[rule]]\nname = \"role\"\npath = \"/role\"\nroles = [\"admin\"]\n\
         [[rule]]\nname = \"slow\"\npath = \"/slow\"\nlimits = [\"slow\"]\n",
        issuer()
    ))
    .await;
    let all = &["orders:read", "orders:write", "x"];
    let good = || bearer(|_| {});
    let old = || bearer(|claims| claims["exp"] = (NOW - 31).into());
    let (renewed, stepped_up) = ("asked for orders:read", "asked for orders:read orders:write x");
    assert_eq!(server.get("/slow", &[("authorization", &good())]).await.status, 200);
    let few = &["orders:read"];
    let check = async |path, token, grants: &[&str], did: &[&str], ended| {
        let did = did.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = (did, str::to_owned(ended));
        assert_eq!(looped(&server, path, token, grants).await, expected, "{path}");
    };
    check("/read", old(), all, &["sent", renewed, "sent"], "200").await;
    check("/write", good(), all, &["sent", stepped_up, "sent"], "200").await;
    let both = &["sent", renewed, "sent", stepped_up, "sent"];
    check("/write", old(), all, both, "200").await;
    check("/write", good(), few, &["sent", stepped_up, "sent"], "insufficient_scope").await;
    check("/slow", good(), all, &["sent", "waited 9s", "sent"], "200").await;
    check("/role", good(), all, &["sent"], "insufficient_role").await;
    check("/nowhere", good(), all, &["sent"], "no_matching_rule").await;
}

/// A server of the path that the programs of the pages ask for, by the clock of the machine.
async fn orders(lines: &str) -> (String, String) {
    let (key, entry) = key("key", "billing", "");
    let policy = format!(
        "version = 1\n[api_keys]\n{entry}\n{}[[limit]]\nname = \"slow\"\nrate = \"1/second\"\nper = [\"client\"]\n\
         [[rule]]\nname = \"orders\"\npath = \"/orders\"\n{lines}\n",
        issuer()
    );
    let gate = Tollgate::builder().policy(policy).build().await.unwrap();
    let app = Router::new().fallback(async || "ok").layer(gate.layer());
    let server = support::serve(app, ManualClock::at(NOW)).await;
    (format!("http://{}", server.address), key)
}

mod the_program_that_waits {
    include!("../../src/reference/samples/wait.rs");

    #[tokio::test]
    async fn is_admitted_in_the_end() {
        let (api, key) = super::orders("limits = [\"slow\"]").await;
        let client = Client::new();
        for _ in 0..2 {
            let response = list_orders(&client, &api, &key).await.unwrap();
            assert_eq!(response.text().await.unwrap(), "ok");
        }
    }
}

mod the_program_that_gets_a_token {
    include!("../../src/reference/samples/token.rs");

    #[tokio::test]
    async fn is_admitted_with_it() {
        let server = super::trial(&format!(
            "version = 1\n{}[[rule]]\nname = \"orders\"\npath = \"/orders\"\n",
            super::issuer()
        ))
        .await;
        let api = format!("http://{}", server.address);
        let token = |expires: u64| {
            let bearer = super::bearer(|claims| claims["exp"] = expires.into());
            bearer.trim_start_matches("Bearer ").to_owned()
        };
        let (old, new) = (token(super::NOW - 31), token(super::NOW + 60));
        let response = list_orders(&Client::new(), &api, &old, async || Ok(new)).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "ok");
    }
}

mod the_program_that_tells {
    include!("../../src/reference/samples/tell.rs");

    #[tokio::test]
    async fn says_what_is_needed() {
        let (api, key) = super::orders("scopes = [\"orders:write\"]").await;
        let error = list_orders(&Client::new(), &api, &key).await.unwrap_err().to_string();
        assert!(error.starts_with("Insufficient scope: Have the scope orders:write"), "{error}");
        assert!(error.contains("orders:write"), "{error}");
    }
}

mod the_program_that_reports {
    include!("../../src/reference/samples/report.rs");

    #[tokio::test]
    async fn names_the_denial() {
        let forgotten = async |_: tollgate::Principal| "never";
        let app = super::Router::new().route("/orders", super::get(forgotten));
        let server = super::support::serve(app, super::ManualClock::at(super::NOW)).await;
        let api = format!("http://{}", server.address);
        let error = list_orders(&Client::new(), &api, "key").await.unwrap_err().to_string();
        assert!(error.starts_with("report urn:uuid:"), "{error}");
        assert!(error.ends_with(" to the provider"), "{error}");
    }
}
