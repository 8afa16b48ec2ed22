//! What is remembered of tokens, and for how long.

use super::super::issuer::{Audiences, Iss, Issuer};
use super::super::key_set::KeySet;
use super::super::revoked::token_id;
use super::*;
use crate::credential::TokenPlace;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use jsonwebtoken::Algorithm;

const NOW: u64 = 1_800_000_000;

fn now() -> Wall {
    Wall::from_seconds(NOW)
}

fn issuer(name: &str, secret: &[u8]) -> Issuer {
    let keys = KeySet::from_secrets([secret], &[Algorithm::HS256]);
    let audiences = Audiences::Named(vec!["api".into()]);
    Issuer::new(name.into(), Iss::exactly(name), audiences, vec![Algorithm::HS256], keys)
}

fn token(issuer: &Issuer, more: &str) -> Vec<u8> {
    let payload = format!(
        r#"{{"iss":"{0}","aud":"api","sub":"c","exp":{1},"iat":{NOW},"jti":"j"{more}}}"#,
        issuer.name,
        NOW + 60
    );
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(payload.as_bytes()));
    let tag = issuer.keys.sign(Algorithm::HS256, signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&tag)).into_bytes()
}

fn cache(tokens: usize, cache_bytes: u64) -> TokenCache {
    TokenCache::new(&TokenPolicy { cache: tokens, cache_bytes, ..TokenPolicy::default() })
}

impl TokenCache {
    /// The proof of a token, from memory or by its signature.
    fn verify(
        &self,
        token: &[u8],
        place: TokenPlace,
        now: Wall,
        issuers: &Issuers,
    ) -> Result<ProvenToken, TokenError> {
        let recalled = self.recall(token, place.into(), now, issuers);
        recalled.unwrap_or_else(|| self.prove(token, place.into(), now, issuers, || Ok(())))
    }
}

#[test]
fn tokens_are_handed_on_unless_their_bounds_change() {
    let (lasting, policy) = (LastingTokens::default(), TokenPolicy::default());
    let one = issuer("one", &[b'a'; 32]);
    let token = token(&one, "");
    let issuers = Issuers::new(vec![one], 8192);
    let place = TokenPlace::Authorization;
    let known = |cache: &TokenCache| {
        cache.recall(&token, place.into(), now(), &issuers).is_some_and(|it| it.is_ok())
    };
    let first = lasting.adopt(&policy, &issuers);
    first.verify(&token, place, now(), &issuers).unwrap();
    assert!(known(&lasting.adopt(&policy, &issuers)));
    assert!(!known(&lasting.adopt(&TokenPolicy { cache: 10, ..policy }, &issuers)));
}

fn held(cache: &TokenCache) -> (usize, u64) {
    let tokens = cache.tokens.as_ref().unwrap();
    (tokens.len(), tokens.weight())
}

#[test]
fn a_changed_issuer_drops_its_tokens_and_no_others() {
    let secret = [b'a'; 32];
    let (one, two) = (issuer("one", &secret), issuer("two", &[b'b'; 32]));
    let (of_one, of_two) = (token(&one, ""), token(&two, ""));
    let cache = cache(100, 1 << 20);
    let before = Issuers::new(vec![one, two], 8192);
    let now = now();
    for token in [&of_one, &of_two] {
        let proven = cache.verify(token, TokenPlace::Authorization, now, &before).unwrap();
        let proven = proven.proven;
        assert_eq!(
            (token_id(&proven).as_deref(), proven.validity.issued_at),
            (Some("j"), Some(NOW))
        );
    }
    let recalled = |token: &[u8], issuers: &Issuers| {
        cache
            .recall(token, TokenPlace::Authorization.into(), now, issuers)
            .is_some_and(|it| it.is_ok())
    };
    // The same two once more, in another order: nothing is lost.
    let same = Issuers::new(vec![issuer("two", &[b'b'; 32]), issuer("one", &secret)], 8192);
    cache.retain(&same);
    assert!(recalled(&of_one, &same) && recalled(&of_two, &same));
    let changed = |change: fn(&mut Issuer)| {
        let mut one = issuer("one", &[b'a'; 32]);
        change(&mut one);
        Issuers::new(vec![one, issuer("two", &[b'b'; 32])], 8192)
    };
    for (what, changed) in [
        ("leeway", changed(|one| one.leeway *= 2)),
        ("audience", changed(|one| one.audiences = Audiences::Any)),
        (
            "key",
            changed(|one| {
                one.keys = KeySet::from_secrets([&[b'c'; 32][..]], &[Algorithm::HS256]).into()
            }),
        ),
        (
            "key added",
            changed(|one| {
                let secrets = [&[b'a'; 32][..], &[b'c'; 32]];
                one.keys = KeySet::from_secrets(secrets, &[Algorithm::HS256]).into()
            }),
        ),
        ("header", changed(|one| one.header = Some(HeaderName::from_static("x-token")))),
    ] {
        assert!(recalled(&of_one, &same), "{what}: known before");
        cache.retain(&changed);
        assert_eq!(held(&cache).0, 1, "{what}");
        assert!(!recalled(&of_one, &changed) && recalled(&of_two, &changed), "{what}");
        cache.verify(&of_one, TokenPlace::Authorization, now, &same).unwrap();
    }
}

#[test]
fn what_was_proven_by_a_former_issuer_is_proven_anew_even_without_retain() {
    let cache = cache(100, 1 << 20);
    let one = issuer("one", &[b'a'; 32]);
    let token = token(&one, "");
    let before = Issuers::new(vec![one], 8192);
    cache.verify(&token, TokenPlace::Authorization, now(), &before).unwrap();
    let after = Issuers::new(vec![issuer("one", &[b'z'; 32])], 8192);
    let answer = cache.verify(&token, TokenPlace::Authorization, now(), &after);
    assert!(matches!(answer, Err(TokenError::SignatureInvalid(..))));
}

#[test]
fn a_remembered_token_counts_only_where_its_issuer_takes_tokens() {
    let name = HeaderName::from_static("x-token");
    let sent_in = |mut issuer: Issuer, header: &'static str| {
        issuer.header = Some(HeaderName::from_static(header));
        issuer
    };
    let one = sent_in(issuer("one", &[b'a'; 32]), "x-token");
    let token = token(&one, "");
    let issuers = vec![
        sent_in(issuer("other", &[b'b'; 32]), "x-other"),
        one,
        sent_in(issuer("third", &[b'c'; 32]), "x-token"),
    ];
    let issuers = Issuers::new(issuers, 8192);
    assert_eq!(issuers.headers(), [HeaderName::from_static("x-other"), name]);
    assert!(!issuers.take_bearer());
    let cache = cache(100, 1 << 20);
    let now = now();
    for _ in 0..2 {
        assert!(cache.verify(&token, TokenPlace::Header(1), now, &issuers).is_ok());
        for place in [TokenPlace::Authorization, TokenPlace::Header(0), TokenPlace::Header(2)] {
            let answer = cache.verify(&token, place, now, &issuers);
            assert!(matches!(answer, Err(TokenError::IssuerUnknown)), "{place:?}");
        }
    }
}

#[test]
fn memory_is_bounded_in_tokens_and_in_bytes() {
    let one = issuer("one", &[b'a'; 32]);
    let groups = format!(",\"groups\":\"{}\"", "g".repeat(2000));
    let tokens: Vec<_> = (0..300).map(|n| token(&one, &format!(",\"n\":{n}"))).collect();
    let large: Vec<_> = (0..300).map(|n| token(&one, &format!(",\"n\":{n}{groups}"))).collect();
    let issuers = Issuers::new(vec![one], 8192);
    let fill = |cache: &TokenCache, tokens: &[Vec<u8>]| {
        for token in tokens {
            cache.verify(token, TokenPlace::Authorization, now(), &issuers).unwrap();
        }
        held(cache)
    };
    let (count, _) = fill(&cache(50, 1 << 30), &tokens);
    assert!((1..=50).contains(&count), "{count} tokens");
    let (count, bytes) = fill(&cache(100_000, 200_000), &large);
    assert!(bytes <= 200_000, "{bytes} bytes");
    // Each is some 2,700 bytes of token, 2,100 of payload, and what was read of it.
    assert!((20..=45).contains(&count), "{count} tokens of 200,000 bytes");
    assert!(TokenCache::new(&TokenPolicy { cache: 0, ..TokenPolicy::default() }).tokens.is_none());
}
