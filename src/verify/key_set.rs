//! The keys of an issuer: a shared secret, one public key, or a set of them.
//!
//! A key is bound to algorithms when it is loaded: by its family, by the `alg` of its JWK, and
//! by the issuer's list. A secret can therefore never verify as a public key nor the other way
//! round, whatever a token's header says (RFC 8725 sections 3.1 and 3.2). Public keys are
//! parsed once, here, and not for each token.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self as sig, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;

/// What an issuer's tokens are verified with.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
    /// Whether a token says with `kid` which key it means. One secret or one PEM key needs none.
    by_id: bool,
}

/// RFC 7518 sections 3.3 and 3.5.
const MIN_RSA_BITS: usize = 2048;

/// One key, ready for each algorithm that it may be used with.
struct VerifyingKey {
    id: Option<Box<str>>,
    ready: Vec<(Algorithm, Check)>,
}

enum Check {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Why a set holds no key for a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeySetError {
    /// The key that the token names, or the only key, is for other algorithms.
    AlgorithmDoesNotFit,
    /// No key has this `kid`; or the token names none and not exactly one key fits.
    Unknown,
}

/// What is wrong with a file of keys.
#[derive(Clone, Debug)]
pub(crate) enum KeyTrouble {
    /// The key or the file cannot be used at all, and what to do.
    Refused(String, &'static str),
    /// One key of a set cannot serve and was passed over.
    Skipped(String),
}

impl KeySet {
    /// A shared secret. INVARIANT: the policy's checks refuse one shorter than its hash.
    pub(crate) fn from_secret(secret: &[u8], algorithms: &[Algorithm]) -> Self {
        let ready = (algorithms.iter())
            .filter_map(|algorithm| {
                let hash = match algorithm {
                    Algorithm::HS256 => hmac::HMAC_SHA256,
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    Algorithm::HS512 => hmac::HMAC_SHA512,
                    _ => return None,
                };
                Some((*algorithm, Check::Hmac(Box::new(hmac::Key::new(hash, secret)))))
            })
            .collect();
        Self { keys: vec![VerifyingKey { id: None, ready }], by_id: false }
    }

    /// One public key (SPKI or PKCS #1), as PEM.
    pub(crate) fn from_pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyTrouble> {
        let refused = |text: &str, help| Err(KeyTrouble::Refused(text.into(), help));
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return refused(
                "the file holds a private key",
                "give the gate the public half: `openssl pkey -in private.pem -pubout`",
            );
        }
        let Some(key) = (DecodingKey::from_rsa_pem(pem).ok())
            .or_else(|| DecodingKey::from_ec_pem(pem).ok())
            .or_else(|| DecodingKey::from_ed_pem(pem).ok())
        else {
            return refused(
                "the file is no PEM public key",
                "it is one `BEGIN PUBLIC KEY` of type RSA, EC (P-256, P-384) or Ed25519",
            );
        };
        let Ok(bytes) = key.try_get_as_bytes() else {
            return refused(
                "the key cannot be read",
                "make the file anew: `openssl pkey -in private.pem -pubout`",
            );
        };
        if key.family() == AlgorithmFamily::Rsa
            && modulus(bytes).is_none_or(|n| bits(&n) < MIN_RSA_BITS)
        {
            return refused(
                "the RSA key has fewer than 2048 bits",
                "have the issuer sign with a larger key (RFC 7518 section 3.3)",
            );
        }
        let ready: Vec<_> = (algorithms.iter())
            .filter(|algorithm| algorithm.family() == key.family())
            .filter_map(|algorithm| {
                let key = ParsedPublicKey::new(public_algorithm(*algorithm)?, bytes).ok()?;
                Some((*algorithm, Check::Public(key)))
            })
            .collect();
        if ready.is_empty() {
            return refused(
                "the key fits none of the issuer's `algorithms`",
                "list the algorithm that the key is for, or name another file",
            );
        }
        Ok(Self { keys: vec![VerifyingKey { id: None, ready }], by_id: false })
    }

    /// A JWK set (RFC 7517), and what was passed over in it.
    pub(crate) fn from_jwks(
        text: &[u8],
        algorithms: &[Algorithm],
    ) -> Result<(Self, Vec<KeyTrouble>), Vec<KeyTrouble>> {
        const FORM: &str =
            "a key set is `{\"keys\": [...]}` (RFC 7517 section 5), as the issuer publishes it";
        let document = match serde_json::from_slice::<Value>(text) {
            Ok(document) => document,
            Err(error) => {
                let message = format!("the file is not JSON: {error}");
                return Err(vec![KeyTrouble::Refused(message, FORM)]);
            }
        };
        let Some(entries) = document.get("keys").and_then(Value::as_array) else {
            let message = "the file is no JWK set: it has no array `keys`".into();
            return Err(vec![KeyTrouble::Refused(message, FORM)]);
        };
        let (mut keys, mut troubles) = (Vec::<VerifyingKey>::new(), vec![]);
        for (index, entry) in entries.iter().enumerate() {
            let name = match entry.get("kid").and_then(Value::as_str) {
                Some(kid) => format!("key `{}`", kid.escape_debug()),
                None => format!("key number {}", index + 1),
            };
            match VerifyingKey::from_jwk(entry, algorithms) {
                Ok(key) if key.id.is_some() && keys.iter().any(|other| other.id == key.id) => {
                    let message = format!("{name} stands twice in the set");
                    troubles.push(KeyTrouble::Refused(message, "give each key a `kid` of its own"));
                }
                Ok(key) => keys.push(key),
                Err(KeyTrouble::Refused(why, help)) => {
                    troubles.push(KeyTrouble::Refused(format!("{name} {why}"), help));
                }
                Err(KeyTrouble::Skipped(why)) => {
                    troubles.push(KeyTrouble::Skipped(format!("{name} {why}")));
                }
            }
        }
        if troubles.iter().any(|trouble| matches!(trouble, KeyTrouble::Refused(..))) {
            return Err(troubles);
        }
        if keys.is_empty() {
            troubles.push(KeyTrouble::Skipped("no key of the set can verify a token".into()));
        }
        Ok((Self { keys, by_id: true }, troubles))
    }

    /// Signs with the shared secret, for trying out; `None` where the set has none.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        match self.keys.first()?.check(algorithm)? {
            Check::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Check::Public(_) => None,
        }
    }

    /// The key for a token with this `alg` and `kid`, as a function to check signatures with.
    pub(crate) fn select(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<SignatureCheck<'_>, KeySetError> {
        let key = match (self.by_id, kid) {
            (false, _) => self.keys.first().ok_or(KeySetError::Unknown)?,
            (true, Some(kid)) => (self.keys.iter())
                .find(|key| key.id.as_deref() == Some(kid))
                .ok_or(KeySetError::Unknown)?,
            (true, None) => {
                let mut fitting = self.keys.iter().filter(|key| key.check(algorithm).is_some());
                match (fitting.next(), fitting.next()) {
                    (Some(key), None) => key,
                    _ => return Err(KeySetError::Unknown),
                }
            }
        };
        key.check(algorithm).map(SignatureCheck).ok_or(KeySetError::AlgorithmDoesNotFit)
    }
}

/// A key with its algorithm.
pub(crate) struct SignatureCheck<'k>(&'k Check);

impl SignatureCheck<'_> {
    pub(crate) fn passes(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.0 {
            Check::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Check::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl VerifyingKey {
    fn check(&self, algorithm: Algorithm) -> Option<&Check> {
        self.ready.iter().find(|(ready, _)| *ready == algorithm).map(|(_, check)| check)
    }

    /// Reads one member of a JWK set.
    fn from_jwk(entry: &Value, algorithms: &[Algorithm]) -> Result<Self, KeyTrouble> {
        let skipped = |why: &str| Err(KeyTrouble::Skipped(why.into()));
        let refused = |why: &str, help| Err(KeyTrouble::Refused(why.into(), help));
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        if text("kty") == Some("oct") {
            return refused(
                "is symmetric",
                "a set of public keys must not hold secrets: name a secret with `secret_env`",
            );
        }
        if entry.get("d").is_some() {
            return refused(
                "is private",
                "remove `d` and the other private members, and replace the key: it is known now",
            );
        }
        if text("use").is_some_and(|usage| usage != "sig") {
            return skipped("is not for signatures (`use`)");
        }
        let verifies = |ops: &Vec<Value>| ops.iter().any(|op| op.as_str() == Some("verify"));
        if entry.get("key_ops").and_then(Value::as_array).is_some_and(|ops| !verifies(ops)) {
            return skipped("is not for verifying (`key_ops`)");
        }
        // What the key's own `alg` says is compared here, since it may have names of its own.
        let bound = match entry.get("alg") {
            None => None,
            Some(alg) => match alg.as_str().and_then(algorithm) {
                Some(alg) if algorithms.contains(&alg) => Some(alg),
                _ => {
                    return skipped("is for an algorithm that is not on the issuer's list (`alg`)");
                }
            },
        };
        let mut plain = entry.clone();
        if let Some(members) = plain.as_object_mut() {
            members
                .retain(|name, _| matches!(name.as_str(), "kty" | "n" | "e" | "crv" | "x" | "y"));
        }
        let Ok(jwk) = serde_json::from_value::<Jwk>(plain) else {
            return skipped("is of no type that can verify tokens (`kty`, `crv`)");
        };
        debug_assert_ne!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let fitting =
            algorithms.iter().copied().filter(|alg| bound.is_none_or(|bound| bound == *alg));
        let mut ready = Vec::new();
        for algorithm in fitting.filter(|algorithm| fits(*algorithm, &jwk.algorithm)) {
            match parse_public(algorithm, &jwk.algorithm) {
                Ok(key) => ready.push((algorithm, Check::Public(key))),
                Err(why) => return skipped(why),
            }
        }
        if ready.is_empty() {
            return skipped("fits none of the issuer's `algorithms`");
        }
        Ok(Self { id: text("kid").map(Into::into), ready })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.ready.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("VerifyingKey").field("id", &self.id).field("for", &algorithms).finish()
    }
}

fn fits(algorithm: Algorithm, key: &AlgorithmParameters) -> bool {
    match key {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(key) => matches!(
            (algorithm, &key.curve),
            (Algorithm::ES256, EllipticCurve::P256) | (Algorithm::ES384, EllipticCurve::P384)
        ),
        AlgorithmParameters::OctetKeyPair(key) => {
            algorithm == Algorithm::EdDSA && key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    }
}

fn parse_public(
    algorithm: Algorithm,
    key: &AlgorithmParameters,
) -> Result<ParsedPublicKey, &'static str> {
    const BROKEN: &str = "is broken: its members are no public key";
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BROKEN);
    match key {
        AlgorithmParameters::RSA(key) => {
            let (n, e) = (decode(&key.n)?, decode(&key.e)?);
            if bits(&n) < MIN_RSA_BITS {
                return Err("has fewer than 2048 bits");
            }
            let parameters = rsa_parameters(algorithm).ok_or(BROKEN)?;
            RsaPublicKeyComponents { n: &n[..], e: &e[..] }
                .to_parsed_public_key(parameters)
                .map_err(|_| BROKEN)
        }
        AlgorithmParameters::EllipticCurve(key) => {
            // An uncompressed point (SEC 1 section 2.3.3).
            let point = [&[4], &*decode(&key.x)?, &*decode(&key.y)?].concat();
            ParsedPublicKey::new(public_algorithm(algorithm).ok_or(BROKEN)?, point)
                .map_err(|_| BROKEN)
        }
        AlgorithmParameters::OctetKeyPair(key) => {
            ParsedPublicKey::new(public_algorithm(algorithm).ok_or(BROKEN)?, decode(&key.x)?)
                .map_err(|_| BROKEN)
        }
        _ => Err(BROKEN),
    }
}

fn public_algorithm(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&sig::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&sig::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&sig::ED25519),
        other => rsa_parameters(other).map(|parameters| parameters as &dyn VerificationAlgorithm),
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&sig::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&sig::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&sig::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&sig::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&sig::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&sig::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// The modulus of an RSA key in DER.
fn modulus(der: &[u8]) -> Option<Vec<u8>> {
    let key = aws_lc_rs::rsa::PublicKey::from_der(der).ok()?;
    Some(key.modulus().big_endian_without_leading_zero().to_vec())
}

/// The bits of an RSA modulus, big-endian.
fn bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = &modulus[zeros..];
    significant.len() * 8 - significant.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

/// The algorithm with this name (RFC 7518 section 3.1, RFC 8037, RFC 9864).
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        other => ALGORITHMS.iter().find(|(name, _)| *name == other).map(|(_, alg)| *alg),
    }
}

/// The name of an algorithm.
pub(crate) fn algorithm_name(algorithm: Algorithm) -> &'static str {
    ALGORITHMS.iter().find(|(_, alg)| *alg == algorithm).map_or("EdDSA", |(name, _)| name)
}

pub(crate) fn is_symmetric(algorithm: Algorithm) -> bool {
    algorithm.family() == AlgorithmFamily::Hmac
}

/// The bytes of an HMAC algorithm's hash, which its secret must not be shorter than.
pub(crate) fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
