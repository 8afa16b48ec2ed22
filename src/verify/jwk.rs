//! JWK sets (RFC 7517), read strictly.
//!
//! A key that cannot be used is skipped, so that an issuer may publish keys of other kinds. What
//! must never be published, a private or symmetric key, is refused, and so is one `kid` for two
//! keys of one algorithm.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::Value;

use super::algorithm::{algorithm, algorithm_name};
use super::fingerprint::Fingerprint;
use super::public_key::{WeakKey, check_ed25519, check_rsa, point_key, rsa_key, significant};
use super::verifying_key::{Check, KeyTrouble, VerifyingKey};
use crate::claims::{StrictObject, items, members, text, texts};

/// Members that only private and symmetric keys have (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reads a set: the keys that can be used, and what is wrong with the others.
pub(super) fn read(
    file: &[u8],
    algorithms: &[Algorithm],
) -> Result<(Vec<VerifyingKey>, Vec<KeyTrouble>), KeyTrouble> {
    const FORM: &str =
        "a key set is `{\"keys\": [...]}` (RFC 7517 section 5), as the issuer publishes it";
    // Some editors begin a file with a byte order mark (RFC 8259 section 8.1).
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    if let Err(error) = serde_json::from_slice::<Value>(file) {
        return Err(KeyTrouble::Refused(format!("the file is not JSON: {error}"), FORM));
    }
    let members = members(file);
    let entries = members.as_ref().and_then(|members| {
        members.iter().find(|(name, _)| name == "keys").and_then(|(_, keys)| items(keys.get()))
    });
    let Some(entries) = entries else {
        let message = "the file is not a JWK set: it has no array `keys`".into();
        return Err(KeyTrouble::Refused(message, FORM));
    };
    let (mut keys, mut troubles) = (Vec::<VerifyingKey>::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let entry = entry.get();
        let kid = serde_json::from_str::<Value>(entry).ok();
        let kid = kid.as_ref().and_then(|entry| entry.get("kid")).and_then(Value::as_str);
        let name = match kid {
            Some(kid) => format!("key `{}`", kid.escape_debug()),
            None => format!("key number {}", index + 1),
        };
        match read_key(entry, algorithms) {
            Ok(None) => {}
            Ok(Some(key)) => match shared_algorithm(&keys, &key) {
                Some(shared) => {
                    let shared = algorithm_name(shared);
                    let message = format!("{name} stands twice in the set, for {shared}");
                    let help = "give each key a `kid` of its own";
                    troubles.push(KeyTrouble::Refused(message, help));
                }
                None => keys.push(key),
            },
            Err(KeyTrouble::Refused(why, help)) => {
                troubles.push(KeyTrouble::Refused(format!("{name} {why}"), help));
            }
            Err(KeyTrouble::Skipped(why)) => {
                troubles.push(KeyTrouble::Skipped(format!("{name} {why}")));
            }
        }
    }
    if keys.is_empty() && !troubles.iter().any(|one| matches!(one, KeyTrouble::Refused(..))) {
        troubles.push(KeyTrouble::Skipped("no key of the set can verify a token".into()));
    }
    Ok((keys, troubles))
}

/// An algorithm for which another key has the same `kid`.
fn shared_algorithm(keys: &[VerifyingKey], key: &VerifyingKey) -> Option<Algorithm> {
    let id = key.id.as_ref()?;
    let same = keys.iter().filter(|other| other.id.as_ref() == Some(id));
    let used: Vec<Algorithm> =
        same.flat_map(|other| other.ready.iter().map(|(algorithm, _)| *algorithm)).collect();
    key.ready.iter().map(|(algorithm, _)| *algorithm).find(|one| used.contains(one))
}

/// Reads one member of a set; `None` where it is not for signatures, which is no fault.
fn read_key(entry: &str, algorithms: &[Algorithm]) -> Result<Option<VerifyingKey>, KeyTrouble> {
    let skipped = |why: &str| Err(KeyTrouble::Skipped(why.into()));
    let refused = |why: &str, help| Err(KeyTrouble::Refused(why.into(), help));
    // A secret is looked for first, in whatever else may be wrong.
    let loose: Value = serde_json::from_str(entry).unwrap_or_default();
    if loose.get("kty").and_then(Value::as_str) == Some("oct") {
        return refused(
            "is symmetric",
            "a set of public keys must not hold secrets: name a secret with `secret_env`",
        );
    }
    if PRIVATE.iter().any(|name| loose.get(name).is_some()) {
        return refused(
            "is private",
            "remove `d` and the other private members, and replace the key: it is known now",
        );
    }
    let Some(jwk) = StrictObject::parse(entry.as_bytes()) else {
        return match loose {
            Value::Object(_) => skipped("has a member twice"),
            _ => skipped("is of no type that can verify tokens (`kty`, `crv`)"),
        };
    };
    let member = |name: &str| jwk.get(name).and_then(text);
    if member("use").as_deref() == Some("enc") {
        return Ok(None);
    }
    if member("use").is_some_and(|usage| usage != "sig") {
        return skipped("is not for signatures (`use`)");
    }
    let operations = jwk.get("key_ops").and_then(texts);
    if operations.is_some_and(|ops| ops.iter().all(|operation| operation != "verify")) {
        return skipped("is not for verifying (`key_ops`)");
    }
    let bound = match jwk.get("alg") {
        None => None,
        Some(alg) => match text(alg).and_then(|alg| algorithm(&alg)) {
            Some(alg) if algorithms.contains(&alg) => Some(alg),
            _ => return skipped("is for an algorithm that is not on the issuer's list (`alg`)"),
        },
    };
    let Some(material) = Material::read(&jwk) else {
        return match member("kty").as_deref() {
            Some("RSA" | "EC" | "OKP") if Material::is_known_type(&jwk) => skipped(BROKEN),
            _ => skipped("is of no type that can verify tokens (`kty`, `crv`)"),
        };
    };
    match material.check() {
        Ok(()) => {}
        Err(WeakKey::ShortModulus) => return skipped("has fewer than 2048 bits"),
        Err(WeakKey::SmallExponent) => return skipped("has an exponent under 3 (`e`)"),
        Err(WeakKey::SmallOrder) => return skipped("is a point of small order (`x`)"),
    }
    let mut ready = Vec::new();
    for algorithm in algorithms.iter().copied() {
        if bound.is_none_or(|bound| bound == algorithm) && material.fits(algorithm) {
            let Some(key) = material.key(algorithm) else { return skipped(BROKEN) };
            ready.push((algorithm, Check::Public(key)));
        }
    }
    if ready.is_empty() {
        return skipped("fits none of the issuer's `algorithms`");
    }
    // An empty `kid` names no key, in a set as in a token.
    let id = member("kid").filter(|kid| !kid.is_empty()).map(|kid| kid.as_ref().into());
    Ok(Some(VerifyingKey { id, ready, fingerprint: material.fingerprint() }))
}

/// Members are without padding (RFC 7515 section 2); some issuers write it nevertheless.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BROKEN: &str = "is broken: its members are not a public key";

/// The members that make a public key.
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Material {
    fn read(jwk: &StrictObject<'_>) -> Option<Self> {
        let member = |name: &str| jwk.get(name).and_then(text);
        let bytes = |name: &str| LENIENT.decode(member(name)?.as_bytes()).ok();
        // Some libraries write a zero before a number (RFC 7518 section 6.3.1.1), and some leave those
        // of a coordinate out: the number is the same.
        let number = |name: &str| Some(significant(&bytes(name)?).to_vec());
        let coordinate = |name: &str, length: usize| {
            let number = number(name)?;
            Some([vec![0; length.checked_sub(number.len())?], number].concat())
        };
        // An uncompressed point (SEC 1 section 2.3.3).
        let point =
            |length| Some([vec![4], coordinate("x", length)?, coordinate("y", length)?].concat());
        match (&*member("kty")?, member("crv").as_deref()) {
            ("RSA", _) => Some(Self::Rsa { n: number("n")?, e: number("e")? }),
            ("EC", Some("P-256")) => Some(Self::P256(point(32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(48)?)),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(bytes("x")?)),
            _ => None,
        }
    }

    fn is_known_type(jwk: &StrictObject<'_>) -> bool {
        let member = |name: &str| jwk.get(name).and_then(text);
        match (member("kty").as_deref(), member("crv").as_deref()) {
            (Some("RSA"), _) => true,
            (Some("EC"), Some(curve)) => matches!(curve, "P-256" | "P-384"),
            (Some("OKP"), Some(curve)) => curve == "Ed25519",
            _ => false,
        }
    }

    fn check(&self) -> Result<(), WeakKey> {
        match self {
            Self::Rsa { n, e } => check_rsa(n, e),
            Self::Ed25519(point) => check_ed25519(point),
            Self::P256(_) | Self::P384(_) => Ok(()),
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.family() == AlgorithmFamily::Rsa,
            Self::P256(_) => algorithm == Algorithm::ES256,
            Self::P384(_) => algorithm == Algorithm::ES384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
        }
    }

    fn key(&self, algorithm: Algorithm) -> Option<aws_lc_rs::signature::ParsedPublicKey> {
        match self {
            Self::Rsa { n, e } => rsa_key(algorithm, n, e),
            Self::P256(point) | Self::P384(point) | Self::Ed25519(point) => {
                point_key(algorithm, point)
            }
        }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Rsa { n, e } => Fingerprint::of([&n[..], e]),
            Self::P256(point) | Self::P384(point) | Self::Ed25519(point) => {
                Fingerprint::of([&point[..]])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Algorithm; 4] =
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

    proptest! {
        #[test]
        fn whatever_a_set_holds_reading_it_never_panics(
            members in prop::collection::vec(
                ("(kty|crv|use|key_ops|alg|kid|n|e|x|y|d)", "(\"(RSA|EC|OKP|oct|P-256|Ed25519|sig|enc|AQAB|AA|)\"|null|7|\\[\\]|\\{\\})"),
                0..8,
            ),
            text in "[\\{\\}\\[\\]\",:a-z0-9]{0,40}",
        ) {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let set = format!("{{\"keys\":[{{{}}},{text}]}}", members.join(","));
            let _ = read(set.as_bytes(), &ALL);
            let set = format!("{{\"keys\":[{{{}}}]}}", members.join(","));
            prop_assert!(read(set.as_bytes(), &ALL).is_ok(), "{set}");
            let _ = read(text.as_bytes(), &ALL);
        }
    }

    /// The numbers of RFC 7515 appendices A.2 and A.3, as some libraries write them.
    #[test]
    fn a_number_is_the_same_with_zeros_before_it_and_with_padding() {
        let examples = include_str!("../../tests/vectors/rfc_examples.json");
        let examples: Value = serde_json::from_str(examples).unwrap();
        let key = |at: usize| examples["tokens"][at]["keys"][0].clone();
        let rewritten = |key: &Value, change: &dyn Fn(Vec<u8>) -> String| {
            let mut key = key.clone();
            for name in ["n", "e", "x", "y"] {
                if let Some(number) = key[name].as_str().map(|text| LENIENT.decode(text).unwrap()) {
                    key[name] = change(number).into();
                }
            }
            key.to_string()
        };
        let with_zero = |number: Vec<u8>| LENIENT.encode([vec![0], number].concat());
        let padded = |number: Vec<u8>| base64::engine::general_purpose::URL_SAFE.encode(number);
        for (at, algorithm) in [(1, Algorithm::RS256), (2, Algorithm::ES256)] {
            let plain = read_key(&key(at).to_string(), &[algorithm]).ok().flatten().unwrap();
            for change in [&with_zero as &dyn Fn(Vec<u8>) -> String, &padded] {
                let text = rewritten(&key(at), change);
                let read = read_key(&text, &[algorithm]).ok().flatten();
                let read = read.unwrap_or_else(|| panic!("{text} is no key"));
                assert!(read.fingerprint == plain.fingerprint, "{text}");
            }
        }
        // A coordinate that begins with zeros.
        let point = Material::P256([&[4][..], &[0; 31], &[7], &[0; 30], &[1, 2]].concat());
        let short = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"Bw\",\"y\":\"AQI\"}";
        let read = Material::read(&StrictObject::parse(short.as_bytes()).unwrap()).unwrap();
        assert!(read.fingerprint() == point.fingerprint());
        let long = short.replace("Bw", &LENIENT.encode([1; 33]));
        assert!(Material::read(&StrictObject::parse(long.as_bytes()).unwrap()).is_none());
    }

    #[test]
    fn a_set_may_begin_with_a_byte_order_mark() {
        let set = b"\xef\xbb\xbf{\"keys\":[]}";
        assert!(read(set, &ALL).is_ok());
    }

    #[test]
    fn a_private_member_is_refused_whatever_else_is_wrong() {
        for private in PRIVATE {
            for rest in
                ["", ",\"kty\":7", ",\"kty\":\"RSA\",\"use\":\"enc\"", ",\"kid\":1,\"kid\":2"]
            {
                let set = format!("{{\"keys\":[{{\"{private}\":\"x\"{rest}}}]}}");
                let (keys, troubles) = read(set.as_bytes(), &ALL).ok().unwrap();
                assert!(keys.is_empty(), "{set}");
                assert!(matches!(&troubles[..], [KeyTrouble::Refused(..)]), "{set}: {troubles:?}");
            }
        }
    }
}
