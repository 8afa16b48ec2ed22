//! The keys of an issuer: shared secrets, public keys, or a set of them.
//!
//! A key is bound to algorithms when it is loaded: by its family, by the `alg` of its JWK, and
//! by the issuer's list. A secret can therefore never verify as a public key nor the other way
//! round, whatever a token's header says (RFC 8725 sections 3.1 and 3.2). Public keys are
//! parsed once, here, and not for each token.

mod discovery;
mod fetch;
mod fetched;
#[cfg_attr(not(feature = "remote-keys"), path = "key_set/no_host.rs")]
mod host;
mod lifetime;
mod places;
mod refresher;
mod remote;
#[cfg(test)]
mod remote_tests;
mod settings;
mod source;

pub(crate) use discovery::check_address;
pub(crate) use fetch::{IS_AVAILABLE, check_ca};
pub(super) use fetched::KeyVersion;
pub(crate) use places::Asked;
pub(crate) use refresher::describe_metrics;
pub(crate) use remote::{LastingRemoteKeys, RemoteKeys};
pub(crate) use settings::{AtStart, KeyPlace, RemoteSettings, RemoteStatus};
pub(crate) use source::IssuerKeys;

use aws_lc_rs::hmac;
use jsonwebtoken::Algorithm;
use smallvec::SmallVec;

use super::algorithm::hmac_hash;
use super::fingerprint::Fingerprint;
use super::verifying_key::{Check, KeyTrouble, VerifyingKey};
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

/// Why a set proves nothing about a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeySetError {
    /// The key that the token names, or every key that has no id, is for other algorithms.
    AlgorithmDoesNotFit,
    /// No key has this `kid`; or the token names none and not exactly one key fits.
    Unknown,
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

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
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

    /// The keys that a token with this `alg` and `kid` may be signed with.
    ///
    /// # Errors
    ///
    /// When no key fits, or more than one without a `kid` to choose by.
    pub(super) fn fitting(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Fitting<'_>, KeySetError> {
        let mut fitting = self.keys.iter().filter_map(|key| key.check(algorithm));
        match (self.by_id, kid) {
            (false, _) => {
                let fitting: SmallVec<_> = fitting.collect();
                match fitting.is_empty() {
                    true => Err(KeySetError::AlgorithmDoesNotFit),
                    false => Ok(Fitting(fitting)),
                }
            }
            (true, Some(kid)) => {
                let has_id = |key: &&VerifyingKey| key.id.as_deref() == Some(kid);
                let mut named = self.keys.iter().filter(has_id).peekable();
                named.peek().ok_or(KeySetError::Unknown)?;
                let check = named.find_map(|key| key.check(algorithm));
                let check = check.ok_or(KeySetError::AlgorithmDoesNotFit)?;
                Ok(Fitting(SmallVec::from_slice(&[check])))
            }
            (true, None) => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(Fitting(SmallVec::from_slice(&[only]))),
                _ => Err(KeySetError::Unknown),
            },
        }
    }

    /// Over all keys, their ids and what they are used for.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        let keys = self.keys.iter().map(|key| key.fingerprint).collect::<Option<Vec<_>>>()?;
        let described = format!("{self:?}");
        let keys = keys.iter().map(Fingerprint::as_bytes);
        Fingerprint::of(keys.chain([described.as_bytes()]))
    }
}

/// Keys that fit a token, of which one has to have signed it.
pub(super) struct Fitting<'s>(SmallVec<[&'s Check; 2]>);

impl Fitting<'_> {
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|check| check.passes(message, signature))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Algorithm::{EdDSA, HS256, HS512};

    use super::*;

    const MESSAGE: &[u8] = b"header.claims";

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn signed(pair: &Ed25519KeyPair) -> Vec<u8> {
        pair.sign(MESSAGE).as_ref().to_vec()
    }

    fn verify(
        set: &KeySet,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, KeySetError> {
        set.fitting(algorithm, kid).map(|fitting| fitting.signed(message, signature))
    }

    /// A JWK set of the keys with these ids.
    fn set(keys: &[(Option<&str>, &Ed25519KeyPair)]) -> KeySet {
        let key = |(id, pair): &(Option<&str>, &Ed25519KeyPair)| {
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            let id = id.map(|id| format!("\"kid\":\"{id}\",")).unwrap_or_default();
            format!("{{{id}\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}")
        };
        let keys = keys.iter().map(key).collect::<Vec<_>>().join(",");
        let (set, troubles) =
            KeySet::from_jwks(format!("{{\"keys\":[{keys}]}}").as_bytes(), &[EdDSA]).unwrap();
        assert!(troubles.is_empty(), "{troubles:?}");
        set
    }

    #[test]
    fn each_secret_is_tried_and_the_first_signs() {
        let algorithms = [HS256, HS512];
        let (old, new) = ([1; 64], [2; 64]);
        let both = KeySet::from_secrets([&new[..], &old[..]], &algorithms);
        for secret in [old, new] {
            let alone = KeySet::from_secrets([&secret[..]], &algorithms);
            for algorithm in algorithms {
                let tag = alone.sign(algorithm, MESSAGE).unwrap();
                assert_eq!(verify(&both, algorithm, Some("any"), MESSAGE, &tag), Ok(true));
                let other = verify(&both, algorithm, None, b"another", &tag);
                assert_eq!(other, Ok(false));
            }
        }
        let first = KeySet::from_secrets([&new[..]], &algorithms);
        assert_eq!(both.sign(HS256, MESSAGE), first.sign(HS256, MESSAGE));
    }

    #[test]
    fn a_key_proves_nothing_by_an_algorithm_that_it_is_not_for() {
        let secret = KeySet::from_secrets([&[1; 32][..]], &[HS256]);
        let tag = secret.sign(HS256, MESSAGE).unwrap();
        for other in [HS512, EdDSA] {
            let verified = verify(&secret, other, None, MESSAGE, &tag);
            assert_eq!(verified, Err(KeySetError::AlgorithmDoesNotFit), "{other:?}");
        }
        // A public key is known to everybody, so it must not pass for a secret.
        let pair = pair(1);
        let public = set(&[(Some("a"), &pair)]);
        let forged = KeySet::from_secrets([pair.public_key().as_ref()], &[HS256]);
        let tag = forged.sign(HS256, MESSAGE).unwrap();
        let verified = verify(&public, HS256, Some("a"), MESSAGE, &tag);
        assert_eq!(verified, Err(KeySetError::AlgorithmDoesNotFit));
        assert_eq!(public.sign(EdDSA, MESSAGE), None, "and signs nothing");
    }

    #[test]
    fn the_key_with_the_id_of_the_token_proves_it_and_no_other() {
        let (one, two) = (pair(1), pair(2));
        let set = set(&[(Some("one"), &one), (Some("two"), &two)]);
        let verify = |id, pair| verify(&set, EdDSA, id, MESSAGE, &signed(pair));
        assert_eq!(verify(Some("one"), &one), Ok(true));
        assert_eq!(verify(Some("two"), &two), Ok(true));
        assert_eq!(verify(Some("two"), &one), Ok(false));
        assert_eq!(verify(Some("three"), &one), Err(KeySetError::Unknown));
        assert_eq!(verify(None, &one), Err(KeySetError::Unknown), "either could be meant");
    }

    #[test]
    fn a_token_may_leave_its_key_out_where_there_is_one() {
        let one = pair(1);
        for id in [Some("one"), None] {
            let set = set(&[(id, &one)]);
            assert_eq!(verify(&set, EdDSA, None, MESSAGE, &signed(&one)), Ok(true));
            let other = verify(&set, EdDSA, Some("two"), MESSAGE, &signed(&one));
            assert_eq!(other, Err(KeySetError::Unknown));
        }
    }

    #[test]
    fn keys_without_ids_are_bounded_and_keys_with_ids_are_not() {
        let secrets = |count: usize| vec![&[1; 32][..]; count];
        let of = |count| KeySet::from_secrets(secrets(count), &[HS256]);
        assert_eq!(of(MAX_TRIED_KEYS).overfull(&[HS512, HS256]), None);
        assert_eq!(of(MAX_TRIED_KEYS + 1).overfull(&[HS512, HS256]), Some(HS256));
        let pairs: Vec<_> = (0..=MAX_TRIED_KEYS as u8).map(pair).collect();
        let ids: Vec<String> = (0..pairs.len()).map(|id| id.to_string()).collect();
        let keys: Vec<_> = ids.iter().map(|id| Some(&**id)).zip(&pairs).collect();
        assert_eq!(set(&keys).overfull(&[EdDSA]), None);
    }
}
