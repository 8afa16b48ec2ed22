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

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use memchr::{memchr, memrchr};

use super::header::Header;
use super::issuer::Issuer;
use super::issuers::{Accepts, Issuers};
use super::key_set::{Asked, Fitting, KeySet, KeySetError};
use super::proven_token::ProvenToken;
use crate::address::Address;
use crate::claims::StrictObject;
use crate::principal::Proven;
use crate::time::Wall;

/// Why a token is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(crate) enum TokenError {
    TooLarge,
    /// With what exactly, for the log.
    Malformed(&'static str),
    IssuerUnknown,
    AlgorithmNotAllowed(Arc<Issuer>),
    KeyUnknown(Arc<Issuer>),
    SignatureInvalid(Arc<Issuer>, ChosenBy),
    /// The keys of the issuer are fetched, and could not be: nothing is known of the token.
    KeySourceUnavailable(Arc<Issuer>),
    Expired {
        at: u64,
        /// Unix seconds of `iat`, where the token has one that can be read.
        issued: Option<u64>,
    },
    NotYetValid {
        from: u64,
        /// Microseconds until it is valid, leeway included.
        wait: u64,
    },
    AudienceMismatch {
        issuer: Arc<Issuer>,
        /// The claim that was to name the audience.
        claim: Arc<str>,
        looks_like_id_token: bool,
    },
    TypeMismatch {
        issuer: Arc<Issuer>,
        /// Whether there is a `typ` at all.
        has_type: bool,
        looks_like_id_token: bool,
    },
    /// It is bound to a key of its client, and nothing proves that key.
    ProofRequired(Arc<Issuer>),
    ClaimMissing {
        claim: Arc<str>,
        looks_like_id_token: bool,
    },
    ClaimInvalid {
        claim: Arc<str>,
        why: ClaimFault,
    },
    /// It is valid, and was revoked.
    Revoked(Arc<Proven>),
}

/// How the key was chosen that a signature does not fit.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ChosenBy {
    /// The token names it.
    Kid,
    /// It is the only one that fits the algorithm, or all that do were tried.
    Algorithm,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub(crate) enum ClaimFault {
    /// A time is not a number.
    NotATime,
    /// A time is before 1970 or after the year 9999.
    OutOfRange,
    /// A time is out of range, and would be in range as milliseconds.
    Milliseconds,
    /// `exp` is further ahead than the issuer's `max_lifetime`.
    Lifetime,
    /// An audience is neither text nor an array of texts.
    NotAnAudience,
    /// A client is neither text nor a whole number.
    NotAClient,
    /// A client is the empty text.
    Empty,
    /// Scopes are neither text nor an array of texts, or have characters that no scope has.
    NotScopes,
    /// Roles are neither text, nor an array of texts, nor an object.
    NotRoles,
    /// A plan is not text.
    NotAPlan,
    /// It does not have the value that the issuer's `claims` ask for.
    NotAccepted,
    /// It does not fit the type that a handler asks for.
    NotAsTheHandlerAsks,
}

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
        let decoded = parts.decode().ok_or_else(|| no_parts(token))?;
        let Decoded { header, payload, signature } = decoded.parts();
        let header = Header::read(header).map_err(TokenError::Malformed)?;
        let claims = StrictObject::parse(payload)
            .ok_or(TokenError::Malformed("the payload is not a strict JSON object"))?;
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

impl TokenError {
    /// Whether the signature was not proven: then the attempt is a guess, or a mistake.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::Malformed(_)
                | Self::IssuerUnknown
                | Self::AlgorithmNotAllowed(_)
                | Self::KeyUnknown(_)
                | Self::SignatureInvalid(..)
        )
    }

    /// Whether the keys of the issuer are fetched and may have changed, and a refresh may begin or
    /// has begun: then the refusal is not the last word, and no failed attempt.
    pub(crate) fn may_ask_again(&self) -> bool {
        self.source().and_then(|issuer| issuer.keys.remote()).is_some_and(|keys| keys.may_ask())
    }

    /// Begins a refresh of the issuer's keys for a request from `address`, or joins the one that has
    /// begun, where other keys could change the refusal. What it waits for ends with the refresh, or
    /// after half a second; then the token is to be judged once more. `None` where there is nothing
    /// to wait for.
    pub(crate) fn asks_again(&self, address: Option<Address>) -> Option<Asked> {
        self.source()?.keys.remote()?.ask(address)
    }

    /// Makes it the fault of ours that the issuer's keys are not there.
    pub(crate) fn make_unavailable(&mut self) {
        if let Some(issuer) = self.source().cloned() {
            *self = Self::KeySourceUnavailable(issuer);
        }
    }

    /// The issuer whose keys, were they others, could change the refusal.
    fn source(&self) -> Option<&Arc<Issuer>> {
        match self {
            Self::KeyUnknown(issuer)
            | Self::KeySourceUnavailable(issuer)
            | Self::SignatureInvalid(issuer, ChosenBy::Algorithm) => Some(issuer),
            _ => None,
        }
    }
}

/// The three parts of a compact JWS (RFC 7515 section 3.1), as they were sent.
pub(super) struct Parts<'t> {
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
    /// What the signature is over: the first two parts, and the dot between.
    pub(super) signed: &'t [u8],
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t [u8]) -> Option<Self> {
        // From both ends, which leaves out the longest part: no dot in it is base64url.
        let (first, second) = match (memchr(b'.', token), memrchr(b'.', token)) {
            (Some(first), Some(second)) if first < second => (first, second),
            _ => return None,
        };
        Some(Self {
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
            signed: &token[..second],
        })
    }

    /// Decodes the three parts; `None` where one is not base64url.
    ///
    /// The engine refuses padding, other alphabets, and bits that are left over (RFC 4648 section
    /// 3.5), so that no second text stands for the same token.
    pub(super) fn decode(&self) -> Option<DecodedParts> {
        let mut bytes = Vec::with_capacity(self.signed.len() + self.signature.len());
        let mut decode = |part| {
            URL_SAFE_NO_PAD.decode_vec(part, &mut bytes).ok()?;
            Some(bytes.len())
        };
        let ends = (decode(self.header)?, decode(self.payload)?);
        decode(self.signature)?;
        Some(DecodedParts { bytes, ends })
    }
}

/// The decoded parts of a token, one behind the other.
pub(super) struct DecodedParts {
    bytes: Vec<u8>,
    /// Where the header ends, and the payload.
    ends: (usize, usize),
}

/// The parts of a token, decoded.
pub(super) struct Decoded<'d> {
    pub(super) header: &'d [u8],
    pub(super) payload: &'d [u8],
    pub(super) signature: &'d [u8],
}

impl DecodedParts {
    pub(super) fn parts(&self) -> Decoded<'_> {
        let (rest, signature) = self.bytes.split_at(self.ends.1);
        let (header, payload) = rest.split_at(self.ends.0);
        Decoded { header, payload, signature }
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
