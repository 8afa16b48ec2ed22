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
use super::token_error::TokenError;
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
mod tests;
