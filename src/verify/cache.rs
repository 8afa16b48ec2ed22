//! Tokens that were proven before.
//!
//! Verifying a signature costs up to a hundred times as much as the rest of a request, and
//! clients send the same token again and again. A token is found again by all of its bytes,
//! so a hit proves as much as the signature did; it ends when the token expires.

use foldhash::quality::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::token::{MAX_TOKEN_BYTES, ProvenToken, TokenError};

/// By the whole token, under a keyed hash that is made for long texts.
type Proven = Cache<Box<[u8]>, ProvenToken, UnitWeighter, RandomState>;

/// The most recently used of the proven tokens.
#[derive(Debug)]
pub(crate) struct TokenCache {
    tokens: Option<Proven>,
}

impl TokenCache {
    /// Remembers up to `capacity` tokens; none when it is 0.
    pub(crate) fn new(capacity: usize) -> Self {
        let made = || {
            let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
            Cache::with(capacity, capacity as u64, UnitWeighter, hasher, lifecycle)
        };
        Self { tokens: (capacity > 0).then(made) }
    }

    /// The proof of `token` where it is remembered, otherwise that of `verify`.
    pub(crate) fn verify(
        &self,
        token: &[u8],
        now: u64,
        verify: impl FnOnce() -> Result<ProvenToken, TokenError>,
    ) -> Result<ProvenToken, TokenError> {
        // What is too large to be a token is not worth looking for.
        let tokens = self.tokens.as_ref().filter(|_| token.len() <= MAX_TOKEN_BYTES);
        let Some(tokens) = tokens else { return verify() };
        if let Some(proven) = tokens.get(token) {
            if now < proven.ends {
                return Ok(proven);
            }
            tokens.remove(token);
            return Err(TokenError::Expired { at: proven.expires });
        }
        let proven = verify()?;
        tokens.insert(token.into(), proven.clone());
        Ok(proven)
    }
}
