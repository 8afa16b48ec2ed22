//! What is written, as a policy says.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;

use super::super::compose::{MAX_CHALLENGE, MAX_DESCRIPTION};
use super::super::response::{RETRY_AFTER_MS, SHOULD_RETRY};
use super::*;
use crate::decision::{Caller, Refused};
use crate::denial::Category;
use crate::limit::{Charge, Standing, Wait};
use crate::policy::{Faults, Refusal, ScopeGap, Sources, load};
use crate::principal::CredentialKind;
use crate::time::Wall;
use crate::verify::KeyError;

static LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization);

fn renderer(denial: &str) -> Renderer {
    let text = format!("version = 1\n[denial]\nrealm = \"orders\"\n{denial}\n");
    let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
    Renderer::new(&policy, Registry::default(), Served::default())
}

/// The head and the document of a response.
fn read(response: Response<Body>) -> (StatusCode, HeaderMap, Value) {
    let (head, body) = response.into_parts();
    (head.status, head.headers, serde_json::from_slice(&body_of(body)).unwrap())
}

fn body_of(body: Body) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(to_bytes(body, usize::MAX)).unwrap()
}

fn render(renderer: &Renderer, denial: &Denial) -> (StatusCode, HeaderMap, Value) {
    read(renderer.render(denial.draft(), Media::Document))
}

fn unknown_key() -> Denial {
    Denial::of(KeyError::Unknown.into(), None, &Caller::default(), Wall::from_seconds(0))
}

/// A token without these scopes.
fn out_of_scope(scopes: impl Iterator<Item = String>) -> Denial {
    let required: Arc<[_]> = scopes.map(|scope| scope.parse().unwrap()).collect();
    let gap = ScopeGap::of(&required, &Arc::default(), |_| false).unwrap();
    let refused = Refusal::Scope(gap).into();
    let mut denial = Denial::of(refused, None, &Caller::default(), Wall::from_seconds(0));
    denial.draft_mut().kind = Some(CredentialKind::Token);
    denial
}

#[test]
fn a_code_of_nobody_is_a_fault_of_the_server_under_the_same_instance() {
    let denial = Denial::named("nobody_declared").detail("Order 7 is locked.");
    let (status, _, document) = render(&renderer(""), &denial);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(document["code"], "decision_failed");
    assert_eq!(document["instance"], denial.instance());
    assert!(!document.to_string().contains("Order 7"), "{document}");
}

#[test]
fn minimal_shows_the_group_and_nothing_of_the_handler() {
    let renderer = renderer("disclosure = \"minimal\"");
    let (_, _, document) = render(&renderer, &unknown_key());
    assert_eq!(document["code"], renderer.shown(unknown_key().draft()).code());
    assert_ne!(document["code"], "api_key_unknown");
    let own = Denial::new(&LOCKED).detail("Order 7 is locked.").member("order", 7);
    let waits = own.clone().retry_after(std::time::Duration::from_secs(9));
    for own in [&own, &waits] {
        let (_, headers, document) = render(&renderer, own);
        assert_eq!((document.get("detail"), document.get("order")), (None, None), "{document}");
        assert_eq!((&document["retryable"], headers.get(RETRY_AFTER)), (&false.into(), None));
        for media in [Media::Html, Media::Text] {
            let (head, body) = renderer.render(own.draft(), media).into_parts();
            let body = body_of(body);
            let page = String::from_utf8_lossy(&body);
            assert!(page.contains("access_denied") && !page.contains("Order 7"), "{page}");
            assert_eq!(head.headers.get(RETRY_AFTER), None, "{media:?}");
        }
    }
    let evidence = renderer.evidence(own.draft());
    assert_eq!(evidence.detail, "Order 7 is locked.", "the log has all of it");
    assert_eq!(evidence.members, "{\"order\":7}");
}

#[test]
fn what_a_handler_adds_takes_the_place_of_what_the_code_says() {
    let own = Denial::new(&LOCKED).detail("Order 7 is locked.").member("order", 7);
    let (_, headers, document) =
        render(&renderer(""), &own.retry_after(std::time::Duration::from_millis(1500)));
    assert_eq!(document["detail"], "Order 7 is locked.");
    assert_eq!((&document["order"], &document["retry_after"]), (&7.into(), &2.into()));
    assert_eq!(document["retryable"], true, "since it says when");
    assert_eq!(headers[RETRY_AFTER], "2");
    let (_, headers, document) = render(&renderer(""), &Denial::new(&LOCKED));
    assert_eq!((&document["retryable"], headers.get(RETRY_AFTER)), (&false.into(), None));
}

/// No policy is taken in which a cost is above a burst, of a plan either; a store that holds
/// less than the policy says could still refuse so.
#[test]
fn what_can_never_fit_is_to_be_stopped() {
    let renderer =
        renderer("[[limit]]\nname = \"points\"\nrate = \"1/minute\"\nper = [\"client\"]");
    let standing = Standing { remaining: 1, wait: Wait::Never, full_in: 0 };
    for _ in 0..2 {
        let balance = std::iter::once((Charge::sample(0, 0, 5), standing)).collect();
        let denial = Denial::of(
            Refused::Limits(Box::new(balance)),
            None,
            &Caller::default(),
            Wall::from_seconds(0),
        );
        let (_, headers, document) = render(&renderer, &denial);
        assert_eq!((&document["action"], &document["actor"]), (&"stop".into(), &"client".into()));
        assert_eq!(document["retryable"], false);
        assert_eq!(document.get("retry_after"), None);
        assert_eq!(document["cost"], 5);
        assert_eq!(document["limits"][0].get("reset"), None, "never");
        assert_eq!(headers[SHOULD_RETRY], "false");
        assert!(!headers.contains_key(RETRY_AFTER) && !headers.contains_key(RETRY_AFTER_MS));
        assert!(document["detail"].as_str().unwrap().starts_with("The request takes 5, and "));
    }
}

#[test]
fn a_description_has_the_characters_that_a_challenge_may_have() {
    let renderer = renderer("status = \"standard\"");
    let denial = out_of_scope(std::iter::once("a".into()))
        .detail("\"Größe\" \\ \n".to_owned() + &"x".repeat(400));
    let (status, headers, _) = render(&renderer, &denial);
    assert_eq!(status, StatusCode::FORBIDDEN);
    let challenge = headers[WWW_AUTHENTICATE].to_str().unwrap();
    let (_, rest) = challenge.split_once("error_description=\"").unwrap();
    let (description, _) = rest.split_once('"').unwrap();
    assert!(description.starts_with("'Gr??e' / ?xx"), "{description}");
    assert_eq!(description.len(), MAX_DESCRIPTION);
}

#[test]
fn scopes_that_are_too_many_for_a_header_are_cut_between_two() {
    let names = || (0..400).map(|number| format!("scope-{number}"));
    let (_, headers, document) = render(&renderer(""), &out_of_scope(names()));
    let challenge = headers[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm=\"orders\", error=\"insufficient_scope\""));
    let scopes = challenge.split_once("scope=\"").expect(challenge).1.trim_end_matches('"');
    let known: Vec<String> = names().collect();
    assert!(scopes.split(' ').all(|scope| known.contains(&scope.to_owned())), "{scopes}");
    assert!((MAX_CHALLENGE - 20..=MAX_CHALLENGE + 10).contains(&scopes.len()));
    let remedy = document["remedy"].as_str().unwrap();
    assert!(remedy.contains(" more. Then repeat"), "the others are counted: {remedy}");
}

#[test]
fn no_denial_is_cached_or_sniffed() {
    for denial in [unknown_key(), Denial::new(&LOCKED), Denial::named("nobody_declared")] {
        for renderer in [renderer(""), renderer("disclosure = \"minimal\"")] {
            let (_, headers, _) = render(&renderer, &denial);
            assert_eq!(headers[CACHE_CONTROL], "no-store");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[VARY], "accept");
        }
    }
}
