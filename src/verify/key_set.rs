//! The keys of an issuer: shared secrets, public keys, or a set of them.
//!
//! A key is bound to algorithms when it is loaded: by its family, by the `alg` of its JWK, and
//! by the issuer's list. A secret can therefore never verify as a public key nor the other way
//! round, whatever a token's header says (RFC 8725 sections 3.1 and 3.2). Public keys are
//! parsed once, here, and not for each token.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use jsonwebtoken::Algorithm;

use super::algorithm::hmac_hash;
use super::fingerprint::Fingerprint;
use super::{jwk, pem};

/// What an issuer's tokens are verified with.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
    /// Whether a token says with `kid` which key it means. Secrets and PEM keys have no ids: each
    /// that fits the algorithm is tried.
    by_id: bool,
}

/// How many keys without ids may fit one algorithm: each of them is tried.
pub(crate) const MAX_TRIED_KEYS: usize = 8;

/// One key, ready for each algorithm that it may be used with.
pub(super) struct VerifyingKey {
    pub(super) id: Option<Box<str>>,
    pub(super) ready: Vec<(Algorithm, Check)>,
    /// Over the key itself.
    pub(super) fingerprint: Option<Fingerprint>,
}

pub(super) enum Check {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Why a set proves nothing about a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeySetError {
    /// The key that the token names, or every key that has no id, is for other algorithms.
    AlgorithmDoesNotFit,
    /// No key has this `kid`; or the token names none and not exactly one key fits.
    Unknown,
    /// The signature does not fit the key, or any of those that were tried.
    Signature,
}

/// What is wrong with a file of keys.
#[derive(Clone, Debug)]
pub(crate) enum KeyTrouble {
    /// The key or the file cannot be used at all, and what to do.
    Refused(String, &'static str),
    /// One key of a set cannot be used and was skipped.
    Skipped(String),
}

impl KeySet {
    /// Shared secrets, each of which is tried; the first signs. INVARIANT: the policy's checks
    /// refuse one that is shorter than its hash.
    pub(crate) fn from_secrets<'s>(
        secrets: impl IntoIterator<Item = &'s [u8]>,
        algorithms: &[Algorithm],
    ) -> Self {
        let key = |secret: &[u8]| {
            let ready = |algorithm: &Algorithm| {
                let key = hmac::Key::new(hmac_hash(*algorithm)?, secret);
                Some((*algorithm, Check::Hmac(Box::new(key))))
            };
            VerifyingKey {
                id: None,
                ready: algorithms.iter().filter_map(ready).collect(),
                fingerprint: Fingerprint::of([secret]),
            }
        };
        Self { keys: secrets.into_iter().map(key).collect(), by_id: false }
    }

    /// Every public key (SPKI, PKCS #1 or certificate) of a PEM file, each of which is tried.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or with the first of its keys that cannot be used.
    pub(crate) fn from_pem(file: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyTrouble> {
        Ok(Self { keys: pem::read(file, algorithms)?, by_id: false })
    }

    /// A JWK set (RFC 7517), and what is wrong with some of its keys: those are not in the set.
    ///
    /// # Errors
    ///
    /// When the text is not a JWK set.
    pub(crate) fn from_jwks(
        text: &[u8],
        algorithms: &[Algorithm],
    ) -> Result<(Self, Vec<KeyTrouble>), KeyTrouble> {
        let (keys, troubles) = jwk::read(text, algorithms)?;
        Ok((Self { keys, by_id: true }, troubles))
    }

    /// Adds the keys of another file.
    pub(crate) fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Whether a token says with `kid` which key it means.
    pub(crate) fn is_by_id(&self) -> bool {
        self.by_id
    }

    /// The first algorithm that more keys without ids fit than may be tried.
    pub(crate) fn overfull(&self, algorithms: &[Algorithm]) -> Option<Algorithm> {
        let fitting = |algorithm: Algorithm| {
            self.keys.iter().filter(|key| key.check(algorithm).is_some()).count()
        };
        algorithms.iter().copied().find(|one| !self.by_id && fitting(*one) > MAX_TRIED_KEYS)
    }

    /// Signs with the first shared secret, for trying out; `None` where the set has none.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        match self.keys.first()?.check(algorithm)? {
            Check::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Check::Public(_) => None,
        }
    }

    /// Checks the signature of a token with this `alg` and `kid`.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeySetError> {
        let passes = |check: &Check| check.passes(message, signature);
        let mut fitting = self.keys.iter().filter_map(|key| key.check(algorithm));
        let is_signed = match (self.by_id, kid) {
            (false, _) => {
                let first = fitting.next().ok_or(KeySetError::AlgorithmDoesNotFit)?;
                passes(first) || fitting.any(passes)
            }
            (true, Some(kid)) => {
                let has_id = |key: &&VerifyingKey| key.id.as_deref() == Some(kid);
                let mut named = self.keys.iter().filter(has_id).peekable();
                named.peek().ok_or(KeySetError::Unknown)?;
                let check = named.find_map(|key| key.check(algorithm));
                passes(check.ok_or(KeySetError::AlgorithmDoesNotFit)?)
            }
            (true, None) => match (fitting.next(), fitting.next()) {
                (Some(only), None) => passes(only),
                _ => return Err(KeySetError::Unknown),
            },
        };
        if is_signed { Ok(()) } else { Err(KeySetError::Signature) }
    }

    /// Over all keys, their ids and what they are used for.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        let keys = self.keys.iter().map(|key| key.fingerprint).collect::<Option<Vec<_>>>()?;
        let described = format!("{self:?}");
        let keys = keys.iter().map(Fingerprint::as_bytes);
        Fingerprint::of(keys.chain([described.as_bytes()]))
    }
}

impl VerifyingKey {
    fn check(&self, algorithm: Algorithm) -> Option<&Check> {
        self.ready.iter().find(|(ready, _)| *ready == algorithm).map(|(_, check)| check)
    }
}

impl Check {
    fn passes(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.ready.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("VerifyingKey").field("id", &self.id).field("for", &algorithms).finish()
    }
}
