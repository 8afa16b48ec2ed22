//! Bearer tokens: JWTs in compact form, verified as RFC 8725 asks.
//!
//! The checks run in a fixed order, and the first that fails is the answer:
//!
//! 1. size, before anything is decoded;
//! 2. form: three parts of strict base64url, JSON without members that stand twice, no `crit`;
//! 3. issuer, by `iss`, which is not proven yet and only chooses the key set, and by the place
//!    where the token was sent;
//! 4. algorithm: on the issuer's list, and fit for the key that `kid` names;
//! 5. key, then signature;
//! 6. the claims, as `token_claims` reads them;
//! 7. revocation, by whoever had it proven: it is asked after every hit of the cache too.
//!
//! `jku`, `x5u`, `x5c` and `jwk` in a token's header are never looked at: keys come from the
//! policy alone.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::compact::{Parts, decode};
use super::header::Header;
use super::issuer::Issuer;
use super::issuers::{Accepts, Issuers};
use super::key_set::{Fitting, KeySet, KeySetError};
use super::proven_token::ProvenToken;
use super::token_error::{ChosenBy, TokenError};
use crate::claims::StrictObject;
use crate::time::Wall;

impl Issuers {
    /// Proves a token, where it is one that `accepts` names, at `now`. `before` is asked
    /// before a signature is verified, which costs far more than all else: it may refuse.
    ///
    /// # Errors
    ///
    /// The first check that failed, or what `before` says.
    pub(crate) fn prove<E: From<TokenError>>(
        &self,
        token: &[u8],
        accepts: Accepts<'_>,
        now: Wall,
        before: impl FnOnce() -> Result<(), E>,
    ) -> Result<ProvenToken, E> {
        if token.len() > self.max_bytes() {
            return Err(TokenError::TooLarge.into());
        }
        let parts = Parts::split(token).ok_or_else(|| no_parts(token))?;
        // One after another: where a part is malformed, the others are not decoded.
        let room = &mut &mut token.to_vec()[..];
        let mut decode = |part| decode(part, room).ok_or_else(|| no_parts(token));
        let header = Header::read(decode(parts.header)?).map_err(TokenError::Malformed)?;
        let claims = StrictObject::parse(decode(parts.payload)?)
            .ok_or(TokenError::Malformed("the payload is not a strict JSON object"))?;
        let signature = decode(parts.signature)?;
        let chosen = self.choose(&claims, accepts).ok_or(TokenError::IssuerUnknown)?;
        let issuer = chosen.issuer;
        let algorithm = issuer.algorithm(&header)?;
        let current = issuer.keys.current();
        let current = current.ok_or_else(|| TokenError::KeySourceUnavailable(issuer.clone()))?;
        let keys = issuer.fitting(current.keys(), algorithm, &header)?;
        before()?;
        if !keys.signed(parts.signed, signature) {
            let is_named = header.kid.is_some() && current.keys().is_by_id();
            let by = if is_named { ChosenBy::Kid } else { ChosenBy::Algorithm };
            return Err(TokenError::SignatureInvalid(issuer.clone(), by).into());
        }
        let by = self.remembered(chosen.index, current.version());
        Ok(chosen.check_claims(&header, &claims, by, now)?)
    }
}

impl Issuer {
    /// The algorithm of a token with this header, where it is on the list.
    fn algorithm(self: &Arc<Self>, header: &Header<'_>) -> Result<Algorithm, TokenError> {
        (header.algorithm)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| TokenError::AlgorithmNotAllowed(self.clone()))
    }

    /// Those of the `keys` that may have signed a token with this header.
    fn fitting<'k>(
        self: &Arc<Self>,
        keys: &'k KeySet,
        algorithm: Algorithm,
        header: &Header<'_>,
    ) -> Result<Fitting<'k>, TokenError> {
        keys.fitting(algorithm, header.kid.as_deref()).map_err(|error| match error {
            KeySetError::AlgorithmDoesNotFit => TokenError::AlgorithmNotAllowed(self.clone()),
            KeySetError::Unknown => TokenError::KeyUnknown(self.clone()),
        })
    }
}

/// What a text that cannot be decoded is instead, for the log.
#[cold]
fn no_parts(token: &[u8]) -> TokenError {
    TokenError::Malformed(match token.iter().filter(|byte| **byte == b'.').count() {
        _ if token.is_empty() => "it is empty",
        0 => "it has no dots: an opaque token, or no token",
        4 => "it has four dots: an encrypted token, which only its issuer can read",
        _ => "a token is three parts of unpadded base64url with dots between",
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::credential::TokenPlace;

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let issuers = Issuers::new(Vec::new(), 8192);
            let verify = |token: &[u8]| issuers.prove(token, TokenPlace::Authorization.into(), Wall::from_seconds(0), || Ok::<_, TokenError>(()));
            let _ = verify(&bytes);
            let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let token = format!("{}.{}.{}", encoded(&bytes), encoded(&bytes), encoded(&bytes));
            let _ = verify(token.as_bytes());
        }

        #[test]
        fn arbitrary_json_never_panics(text in "[\\{\\}\\[\\]\",:0-9a-z\\\\. -]{0,60}") {
            let _ = StrictObject::parse(text.as_bytes());
        }
    }
}
