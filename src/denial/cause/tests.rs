//! Facts of each stage.

use std::sync::Arc;

use super::*;
use crate::claims::Mismatch;
use crate::credential::{CredentialError, KeyFault, MalformedKey};
use crate::decision::{Caller, TooManyFailures, WaitCause};
use crate::denial::Denial;
use crate::denial::code_of::code_of;
use crate::denial::facts::UNREAD_ADDRESS;
use crate::denial::own::Fact;
use crate::policy::{Refusal, ScopeGap};
use crate::principal::KeyRecord;
use crate::time::Wall;
use crate::verify::{ClaimFault, KeyError, TokenError};

/// What counts is said by the error; the row says the same to those who read about the code.
#[test]
fn the_row_says_what_the_error_says_of_failures() {
    let refused: [Refused; 12] = [
        KeyError::Malformed(MalformedKey { fault: KeyFault::Empty, mistake: None }).into(),
        KeyError::Unknown.into(),
        TokenError::Malformed("").into(),
        TokenError::TooLarge.into(),
        TokenError::IssuerUnknown.into(),
        TokenError::Expired { at: 0, issued: None }.into(),
        TokenError::NotYetValid { from: 0, wait: 1 }.into(),
        TokenError::ClaimMissing { claim: "sub".into(), looks_like_id_token: true }.into(),
        TokenError::ClaimInvalid { claim: "sub".into(), why: ClaimFault::Empty }.into(),
        CredentialError::Missing.into(),
        NoRule::Path.into(),
        Refusal::Claim { claim: "a".into(), mismatch: Mismatch::Absent }.into(),
    ];
    for refused in refused {
        let row = code_of(&refused).row();
        assert_eq!(row.counts_as_failure, refused.proves_nothing(), "{}", row.code);
    }
}

#[test]
fn a_scope_that_is_missing_is_told_from_those_that_are_there() {
    let scopes = |names: &[&str]| -> Arc<[crate::scope::Scope]> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    let (all, any) = (scopes(&["a", "b"]), scopes(&["x", "y"]));
    let gap = |held: &[&str]| ScopeGap::of(&all, &any, |scope| held.contains(&scope.as_str()));
    assert_eq!(gap(&["a", "b", "y"]), None);
    let missing = |held: &[&str]| -> Vec<String> {
        gap(held).unwrap().missing().map(ToString::to_string).collect()
    };
    assert_eq!(missing(&["b", "x"]), ["a"]);
    assert_eq!(missing(&["a", "b"]), [""; 0], "one of the others is missing");
    assert_eq!(missing(&[]), ["a", "b"]);
}

fn explained(refused: impl Into<Refused>, now: u64) -> Facts {
    let denial = Denial::of(refused.into(), None, &Caller::default(), Wall::from_seconds(now));
    explain(&Known::nothing(), denial.draft())
}

fn member(facts: &Facts, name: &str) -> Option<String> {
    let (_, fact) = facts.members.iter().find(|(held, _)| *held == name)?;
    Some(match fact {
        Fact::Text(text) => text.to_string(),
        Fact::Texts(texts) => texts.join(" "),
        Fact::Items { text, .. } => text.to_string(),
        other => format!("{other:?}"),
    })
}

fn record() -> KeyRecord {
    KeyRecord::new("id", "billing".into(), [7; 32], Arc::default())
}

#[test]
fn dates_of_a_key_are_told_beside_the_time_of_the_server() {
    let key = Arc::new(record());
    let expired = explained(KeyError::Expired(key.clone(), 1_800_000_000), 1_800_000_060);
    assert_eq!(member(&expired, "expired_at").as_deref(), Some("2027-01-15T08:00:00Z"));
    assert_eq!(member(&expired, "server_time").as_deref(), Some("2027-01-15T08:01:00Z"));
    assert_eq!(expired.wait, None, "waiting does not help");
    assert_eq!(expired.cause, "key id of client billing");

    let wait = |from| explained(KeyError::NotYetValid(key.clone(), from), 100).wait;
    assert_eq!(wait(160), Some(60_000));
    assert_eq!(wait(100), Some(1), "never zero");
}

#[test]
fn what_waits_rounds_up_and_says_why() {
    let failures = |failure| explained(Refused::TooManyFailures(failure), 0);
    let looked_at = failures(TooManyFailures {
        wait: 1_000_001,
        cause: WaitCause::Failed(Box::new(KeyError::Unknown.into())),
    });
    assert_eq!((looked_at.wait, looked_at.retryable), (Some(1001), Some(false)));
    assert_eq!(member(&looked_at, "last_failure").as_deref(), Some("api_key_unknown"));
    let unseen =
        failures(TooManyFailures { wait: 1, cause: WaitCause::NotLookedAt(CredentialKind::Token) });
    assert_eq!((unseen.wait, unseen.retryable), (Some(1), None));
    assert_eq!(member(&unseen, "last_failure"), None, "the credential was not looked at");
}

#[test]
fn methods_that_are_allowed_are_a_header_too() {
    let facts = explained(NoRule::Method(vec![Method::GET, Method::PUT]), 0);
    assert_eq!(facts.allow, Some(HeaderValue::from_static("GET, PUT")));
    assert_eq!(member(&facts, "allowed_methods").as_deref(), Some("GET PUT"));
}

#[test]
fn a_key_that_is_bound_to_addresses_says_which() {
    let ranges = |record: &mut KeyRecord| {
        let addresses = Box::new(["192.0.2.0/24".parse().unwrap()]);
        record.terms = Arc::new(crate::principal::Terms { addresses, ..Default::default() });
    };
    let mut key = record();
    ranges(&mut key);
    let key = Arc::new(key);
    let address = std::net::IpAddr::from([198, 51, 100, 1]).into();
    let outside = explained(KeyError::AddressNotAllowed(key.clone(), address), 0);
    assert_eq!(member(&outside, "address").as_deref(), Some("198.51.100.1"));
    assert_eq!(member(&outside, "allowed_addresses").as_deref(), Some("192.0.2.0/24"));
    let unread = explained(KeyError::AddressUnread(key), 0);
    assert_eq!(member(&unread, "address"), None, "it is the proxy's");
    assert_eq!(unread.detail, Some(UNREAD_ADDRESS));
}
