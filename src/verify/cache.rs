//! Tokens that were proven before.
//!
//! Verifying a signature costs up to a hundred times as much as the rest of a request, and
//! clients send the same token again and again. A token is found again by all of its bytes,
//! so a hit proves as much as the signature did. It ends when the token expires, or when a
//! setting or a key of its issuer changes.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::issuers::{Accepts, Issuers};
use super::proven_token::ProvenToken;
use super::token::TokenError;
use crate::principal::Validity;
use crate::time::Wall;

/// `[tokens]`: how large tokens may be, and how many proven ones are remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TokenPolicy {
    /// How many proven tokens are remembered at most; none when it is 0.
    pub(crate) cache: usize,
    /// And how many bytes they take at most.
    pub(crate) cache_bytes: u64,
    /// A longer token is refused undecoded.
    pub(crate) max_bytes: usize,
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self { cache: 100_000, cache_bytes: 64 << 20, max_bytes: 8192 }
    }
}

type Proven = Cache<Whole<Box<[u8]>>, ProvenToken, Weight, RandomState>;

/// A whole token, compared by all of it and hashed by its end. That is the signature or a part of
/// it, which differs wherever anything differs, and which nobody but the issuer can choose. Only
/// tokens with an equal end are compared, so that timing reveals nothing.
#[derive(Debug)]
struct Whole<T>(T);

/// The last bytes of a token that are hashed: 384 bits of the signature, or all of a shorter one.
const END: usize = 64;

impl<T: AsRef<[u8]>> Hash for Whole<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let token = self.0.as_ref();
        state.write(token.last_chunk::<END>().map_or(token, |end| end));
    }
}

impl Equivalent<Whole<Box<[u8]>>> for Whole<&[u8]> {
    fn equivalent(&self, held: &Whole<Box<[u8]>>) -> bool {
        *self.0 == *held.0
    }
}

impl PartialEq for Whole<Box<[u8]>> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Whole<Box<[u8]>> {}

/// The bytes that a token takes, and no less than its share of the whole: so one bound holds for
/// bytes and for tokens.
#[derive(Clone, Debug)]
struct Weight {
    least: u64,
}

impl Weighter<Whole<Box<[u8]>>, ProvenToken> for Weight {
    fn weight(&self, token: &Whole<Box<[u8]>>, proven: &ProvenToken) -> u64 {
        (token.0.len() as u64 + u64::from(proven.bytes)).max(self.least)
    }
}

/// The most recently used of the proven tokens.
#[derive(Debug)]
pub(crate) struct TokenCache {
    tokens: Option<Proven>,
}

impl TokenCache {
    pub(crate) fn new(policy: &TokenPolicy) -> Self {
        Self { tokens: Self::build(policy) }
    }

    fn build(policy: &TokenPolicy) -> Option<Proven> {
        /// A part of the cache holds at least so many tokens of the largest size.
        const TOKENS_OF_A_SHARD: u64 = 16;
        let tokens = u64::try_from(policy.cache).ok().filter(|tokens| *tokens > 0)?;
        // A token is remembered with its payload and what was read of it.
        let largest = 3 * policy.max_bytes as u64;
        let shards = (policy.cache_bytes / (TOKENS_OF_A_SHARD * largest)).clamp(1, 64);
        let parallel = std::thread::available_parallelism().map_or(4, |count| 4 * count.get());
        let options = OptionsBuilder::new()
            .estimated_items_capacity(policy.cache)
            .weight_capacity(policy.cache_bytes)
            // Rounded down to a power of two, since the cache rounds up.
            .shards(1 << parallel.min(shards as usize).ilog2())
            .build()
            .ok()?;
        let weight = Weight { least: policy.cache_bytes.div_ceil(tokens).max(1) };
        let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        Some(Cache::with_options(options, weight, hasher, lifecycle))
    }

    /// What memory alone says about a token; `None` where it says nothing.
    pub(crate) fn recall(
        &self,
        token: &[u8],
        accepts: Accepts<'_>,
        now: Wall,
        issuers: &Issuers,
    ) -> Option<Result<ProvenToken, TokenError>> {
        // What is too large to be a token is not worth looking for.
        let tokens = self.tokens.as_ref().filter(|_| token.len() <= issuers.max_bytes())?;
        let proven = tokens.get(&Whole(token))?;
        let Some(known) = issuers.of(&proven) else {
            // The issuer is not what it was: what it proved is to be proven anew.
            tokens.remove(&Whole(token));
            return None;
        };
        if !accepts.has(known) {
            return Some(Err(TokenError::IssuerUnknown));
        }
        let Validity { ends, expires, issued_at } = proven.proven.validity;
        if now < ends {
            return Some(Ok(proven));
        }
        tokens.remove(&Whole(token));
        Some(Err(TokenError::Expired { at: expires, issued: issued_at }))
    }

    /// Verifies a token, and remembers it where it is proven. `before` is asked before its signature
    /// is verified, and may refuse.
    pub(crate) fn prove<E: From<TokenError>>(
        &self,
        token: &[u8],
        accepts: Accepts<'_>,
        now: Wall,
        issuers: &Issuers,
        before: impl FnOnce() -> Result<(), E>,
    ) -> Result<ProvenToken, E> {
        let proven = issuers.prove(token, accepts, now, before)?;
        if let Some(tokens) = &self.tokens {
            tokens.insert(Whole(token.into()), proven.clone());
        }
        Ok(proven)
    }

    /// Removes the tokens of issuers that have changed, or are no longer there.
    ///
    /// They are not accepted in any case; this gives back their memory.
    fn retain(&self, issuers: &Issuers) {
        if let Some(tokens) = &self.tokens {
            tokens.retain(|_, proven| issuers.of(proven).is_some());
        }
    }
}

/// Hands the proven tokens on from a policy to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastingTokens(Arc<Mutex<Option<Held>>>);

#[derive(Debug)]
struct Held {
    policy: TokenPolicy,
    tokens: Arc<TokenCache>,
}

impl LastingTokens {
    /// The tokens that are proven for this policy too: those of issuers that have not changed.
    pub(crate) fn adopt(&self, policy: &TokenPolicy, issuers: &Issuers) -> Arc<TokenCache> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref().filter(|held| held.policy == *policy) {
            held.tokens.retain(issuers);
            return held.tokens.clone();
        }
        let tokens = Arc::new(TokenCache::new(policy));
        *held = Some(Held { policy: *policy, tokens: tokens.clone() });
        tokens
    }
}

#[cfg(test)]
mod tests {
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
        assert!(
            TokenCache::new(&TokenPolicy { cache: 0, ..TokenPolicy::default() }).tokens.is_none()
        );
    }
}
