use std::sync::Arc;

use super::*;
use crate::claims::StrictObject;
use crate::principal::{Identity, Validity};
use crate::time::Wall;

fn key(id: &str, client: &str) -> KeyRecord {
    KeyRecord::new(id, client.into(), [0; 32], Arc::default())
}

fn token(issuer: &str, client: &str, jti: &str, issued_at: Option<u64>) -> Proven {
    let claims = StrictObject::parse(jti.as_bytes()).unwrap().to_claims();
    Proven {
        issuer: issuer.into(),
        identity: Identity::of_token(issuer, &[client]),
        client: client.into(),
        scopes: Default::default(),
        roles: Box::default(),
        plan: None,
        validity: Validity { ends: Wall::from_seconds(9_000), expires: 9_000, issued_at },
        claims,
    }
}

fn before(seconds: u64) -> Wall {
    Wall::from_seconds(seconds)
}

#[test]
fn an_entry_revokes_what_meets_all_of_its_conditions() {
    let one = |issued_at| token("main", "mallory", r#"{"jti":"a"}"#, issued_at);
    let number = token("main", "mallory", r#"{"jti":7}"#, Some(100));
    let nameless = token("other", "alice", "{}", Some(100));
    // The entry; then whether it revokes the token of `main` at 100, the one without `iat`, the
    // one with a number, the one of `other`, and the key `k` of mallory.
    type Row = (Revocation, [bool; 5]);
    let rows: [Row; 16] = [
        (Revocation::of_token("a"), [true, true, false, false, false]),
        (Revocation::of_token("7"), [false, false, true, false, false]),
        (Revocation::of_token("a").issuer("main"), [true, true, false, false, false]),
        (Revocation::of_token("a").issuer("other"), [false; 5]),
        (Revocation::of_token("a").client("alice"), [false; 5]),
        (Revocation::of_client("mallory"), [true, true, true, false, true]),
        (Revocation::of_client("alice"), [false, false, false, true, false]),
        (Revocation::of_client("mallory").issuer("main"), [true, true, true, false, false]),
        (Revocation::of_issuer("main"), [true, true, true, false, false]),
        (Revocation::of_issuer("other"), [false, false, false, true, false]),
        (
            Revocation::of_client("mallory").issued_before(before(100)),
            [false, true, false, false, false],
        ),
        (
            Revocation::of_client("mallory").issued_before(before(101)),
            [true, true, true, false, false],
        ),
        (Revocation::of_tokens_before(before(101)), [true, true, true, true, false]),
        (Revocation::of_api_key("k"), [false, false, false, false, true]),
        (Revocation::of_api_key("k").client("mallory"), [false, false, false, false, true]),
        (Revocation::of_api_key("k").client("alice"), [false; 5]),
    ];
    for (entry, expected) in rows {
        let set = RevokedSet::from_iter([entry.clone()]);
        let found = [
            set.has_token(&one(Some(100))),
            set.has_token(&one(None)),
            set.has_token(&number),
            set.has_token(&nameless),
            set.has_key(&key("k", "mallory")),
        ];
        assert_eq!(found, expected, "{entry:?}");
        assert!(!set.has_key(&key("other", "bob")), "{entry:?}");
    }
}

#[test]
fn conditions_of_tokens_never_match_a_key_whatever_else_stands_there() {
    for more in [
        |entry: Revocation| entry.issuer("main"),
        |entry: Revocation| entry.issued_before(before(u64::MAX)),
        |entry: Revocation| Revocation { jti: Some("a".into()), ..entry },
    ] {
        let both = Revocation::of_api_key("k").client("c");
        for entry in [Revocation::of_api_key("k"), Revocation::of_client("c"), both] {
            let entry = more(entry);
            assert!(!RevokedSet::from_iter([entry.clone()]).has_key(&key("k", "c")), "{entry:?}");
            assert_eq!(entry.matches_nothing(), entry.key_id.is_some(), "{entry:?}");
        }
    }
}

#[test]
fn moments_are_rounded_so_that_no_earlier_token_is_left_out() {
    let entry = Revocation::of_client("c").issued_before(Wall::from_micros(100_700_000));
    let set = RevokedSet::from_iter([entry]);
    // Of a token from 100.5, 100 is known.
    assert!(set.has_token(&token("main", "c", "{}", Some(100))));
    assert!(!set.has_token(&token("main", "c", "{}", Some(101))));
}

#[test]
fn entries_with_equal_conditions_are_one() {
    let told = Revocations::new();
    let all = Revocation::of_client("c");
    let old = token("main", "c", "{}", Some(50));
    let new = token("main", "c", "{}", Some(150));
    let has = |token| told.has(|set| set.has_token(token));
    told.revoke(all.clone().issued_before(before(200)));
    told.revoke(all.clone().issued_before(before(100)));
    assert_eq!((told.len(), has(&old), has(&new)), (1, true, true), "the later moment counts");
    assert!(!told.has(|set| set.has_key(&key("k", "c"))));
    told.revoke(all.clone());
    assert!(told.has(|set| set.has_key(&key("k", "c"))), "now all of it is revoked");
    assert!(told.withdraw(&all.clone().issued_before(before(7))));
    assert!(!told.withdraw(&all) && told.is_empty());
    assert!(!has(&old));
}

#[test]
fn a_list_takes_the_place_of_the_one_before() {
    let told = Revocations::new();
    let (age, first) = (told.age(), told.version());
    assert_eq!(age, None);
    told.replace([Revocation::of_client("a"), Revocation::of_client("b")]);
    assert!(told.version() > first && told.age().is_some());
    told.replace([Revocation::of_client("b"), Revocation::of_api_key("k")]);
    let has = |id: &str, client: &str| told.has(|set| set.has_key(&key(id, client)));
    assert_eq!((has("x", "a"), has("x", "b"), has("k", "c")), (false, true, true));
    assert_eq!(format!("{told:?}"), "Revocations { len: 2, .. }");
}

#[test]
fn a_list_that_is_always_added_to_forgets_what_has_ended() {
    let told = Revocations::new();
    // 2001: what it revokes has ended.
    let ended = Wall::from_seconds(1_000_000_000);
    for n in 0..5_000 {
        told.revoke(Revocation::of_token(n.to_string()).until(ended));
        assert!(told.len() <= 1024, "{n}");
    }
    for n in 0..5_000 {
        told.revoke(Revocation::of_token(format!("kept {n}")));
    }
    assert!(told.len() >= 5_000);
}

/// A million entries, each found by one look-up for each shape.
#[test]
fn a_million_entries_are_held() {
    let told = Revocations::new();
    let entries = (0..1_000_000).map(|n| Revocation::of_token(format!("token-{n:08}")));
    told.replace(entries);
    assert_eq!(told.len(), 1_000_000);
    let has = |jti: &str| {
        let token = token("main", "c", &format!("{{\"jti\":\"{jti}\"}}"), None);
        told.has(|set| set.has_token(&token))
    };
    assert!(has("token-00000000") && has("token-00999999"));
    assert!(!has("token-01000000"));
}
