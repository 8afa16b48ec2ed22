//! Tokens that were proven before.
//!
//! Verifying a signature costs up to a hundred times as much as the rest of a request, and
//! clients send the same token again and again. A token is found again by all of its bytes,
//! so a hit proves as much as the signature did; it ends when the token expires.

use std::hash::{Hash, Hasher};

use ahash::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, UnitWeighter};

use super::token::{MAX_TOKEN_BYTES, ProvenToken, TokenError};

type Proven = Cache<Whole<Box<[u8]>>, ProvenToken, UnitWeighter, RandomState>;

/// A whole token, compared by all of it and hashed by its end. That is the signature or a part of
/// it, which differs wherever anything differs, and which nobody but the issuer can choose. What
/// does not have a token's end is not compared with it, so how long that takes tells nobody anything.
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
    pub(crate) fn verify<E: From<TokenError>>(
        &self,
        token: &[u8],
        now: u64,
        verify: impl FnOnce() -> Result<ProvenToken, E>,
    ) -> Result<ProvenToken, E> {
        // What is too large to be a token is not worth looking for.
        let tokens = self.tokens.as_ref().filter(|_| token.len() <= MAX_TOKEN_BYTES);
        let Some(tokens) = tokens else { return verify() };
        if let Some(proven) = tokens.get(&Whole(token)) {
            if now < proven.ends {
                return Ok(proven);
            }
            tokens.remove(&Whole(token));
            return Err(TokenError::Expired { at: proven.expires }.into());
        }
        let proven = verify()?;
        tokens.insert(Whole(token.into()), proven.clone());
        Ok(proven)
    }
}
