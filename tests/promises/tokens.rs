//! Tokens of every algorithm, by PEM file, key set and secret; and each key only as what it is.

use std::fs;
use std::path::Path;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Server, claims, token_of_text, trial};

/// A key pair: the private half to sign with, the public one as PEM and as JWK.
struct Pair {
    private: EncodingKey,
    public_pem: String,
    jwk: Value,
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", STANDARD.encode(der))
}

fn pair(private_der: &[u8], public_der: &[u8], algorithm: Algorithm) -> Pair {
    let private = pem("PRIVATE KEY", private_der);
    let private = (EncodingKey::from_rsa_pem(private.as_bytes()))
        .or_else(|_| EncodingKey::from_ec_pem(private.as_bytes()))
        .or_else(|_| EncodingKey::from_ed_pem(private.as_bytes()))
        .unwrap();
    let jwk = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
    Pair { private, public_pem: pem("PUBLIC KEY", public_der), jwk }
}

fn rsa() -> Pair {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
    pair(private.as_ref(), key.public_key().as_der().unwrap().as_ref(), Algorithm::RS256)
}

fn p256() -> Pair {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = key.to_pkcs8v1().unwrap();
    pair(private.as_ref(), key.public_key().as_der().unwrap().as_ref(), Algorithm::ES256)
}

fn p384() -> Pair {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let private = key.to_pkcs8v1().unwrap();
    pair(private.as_ref(), key.public_key().as_der().unwrap().as_ref(), Algorithm::ES384)
}

fn ed25519() -> Pair {
    let key = Ed25519KeyPair::generate().unwrap();
    let private = key.to_pkcs8v1().unwrap();
    pair(private.as_ref(), key.public_key().as_der().unwrap().as_ref(), Algorithm::EdDSA)
}

impl Pair {
    fn token(&self, algorithm: Algorithm, kid: Option<&str>) -> String {
        let header = Header {
            typ: Some("at+jwt".into()),
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, &claims(), &self.private).unwrap()
    }

    /// The public key as a member of a set.
    fn member(&self, kid: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = kid.into();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }
}

/// Serves an issuer with these keys: one rule, open to its tokens.
async fn serve(algorithms: &str, keys: &str) -> Server {
    trial(&format!(
        "version = 1\n[failures]\nenabled = false\n[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\n\
         audiences = [\"https://api.example.com\"]\nalgorithms = [{algorithms}]\nkeys = {{ {keys} }}\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\n"
    ))
    .await
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// `ok`, or the code of the denial.
async fn answer(server: &Server, token: &str) -> String {
    let answer = server.get("/", &[("authorization", &format!("Bearer {token}"))]).await;
    if answer.status.is_success() { "ok".into() } else { answer.code() }
}

#[tokio::test]
async fn every_public_key_algorithm_by_pem_and_by_key_set() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let folder = TempDir::new().unwrap();
    let all =
        r#""RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519""#;
    let pairs: [(&str, Pair, &[Algorithm]); 4] = [
        ("rsa", rsa(), &[RS256, RS384, RS512, PS256, PS384, PS512]),
        ("p256", p256(), &[ES256]),
        ("p384", p384(), &[ES384]),
        ("ed25519", ed25519(), &[EdDSA]),
    ];
    let members: Vec<Value> = pairs.iter().map(|(name, pair, _)| pair.member(name)).collect();
    let set = file(folder.path(), "jwks.json", &json!({"keys": members}).to_string());
    let by_set = serve(all, &format!("jwks_file = \"{set}\"")).await;
    for (name, pair, algorithms) in &pairs {
        let path = file(folder.path(), &format!("{name}.pem"), &pair.public_pem);
        let by_pem = serve(all, &format!("pem_file = \"{path}\"")).await;
        for algorithm in *algorithms {
            let (named, bare) = (pair.token(*algorithm, Some(name)), pair.token(*algorithm, None));
            assert_eq!(answer(&by_pem, &bare).await, "ok", "{algorithm:?} by PEM");
            assert_eq!(answer(&by_set, &named).await, "ok", "{algorithm:?} by set");
            // Only one key of the set fits, so the token need not name it.
            assert_eq!(answer(&by_set, &bare).await, "ok", "{algorithm:?} without kid");
            let (signed, signature) = named.rsplit_once('.').unwrap();
            let first = if signature.starts_with('A') { 'B' } else { 'A' };
            let changed = format!("{signed}.{first}{}", &signature[1..]);
            let expected = "token_signature_invalid";
            assert_eq!(answer(&by_set, &changed).await, expected, "{algorithm:?}");
        }
        // One PEM key needs no `kid`, whatever a token says; a key of another family never fits.
        assert_eq!(answer(&by_pem, &pair.token(algorithms[0], Some("x"))).await, "ok");
        for (other, stranger, theirs) in pairs.iter().filter(|(other, ..)| other != name) {
            let expected = "token_algorithm_not_allowed";
            assert_eq!(
                answer(&by_pem, &stranger.token(theirs[0], None)).await,
                expected,
                "{other}"
            );
            assert_eq!(answer(&by_set, &stranger.token(theirs[0], Some(name))).await, expected);
        }
    }
}

#[tokio::test]
async fn kid_chooses_the_key_of_a_set() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (p256(), p256());
    let keys = json!({"keys": [one.member("one"), two.member("two")]}).to_string();
    let set = file(folder.path(), "jwks.json", &keys);
    let server = serve("\"ES256\"", &format!("jwks_file = \"{set}\"")).await;
    for (token, expected) in [
        (one.token(Algorithm::ES256, Some("one")), "ok"),
        (two.token(Algorithm::ES256, Some("two")), "ok"),
        (one.token(Algorithm::ES256, Some("two")), "token_signature_invalid"),
        (one.token(Algorithm::ES256, Some("three")), "token_key_unknown"),
        (one.token(Algorithm::ES256, None), "token_key_unknown"),
    ] {
        assert_eq!(answer(&server, &token).await, expected);
    }
    // In a set of one key a token may leave `kid` out, but not name another key by it.
    let keys = json!({"keys": [one.member("one")]}).to_string();
    let set = file(folder.path(), "one.json", &keys);
    let server = serve("\"ES256\"", &format!("jwks_file = \"{set}\"")).await;
    for (kid, expected) in [(None, "ok"), (Some("one"), "ok"), (Some(""), "token_key_unknown")] {
        assert_eq!(answer(&server, &one.token(Algorithm::ES256, kid)).await, expected, "{kid:?}");
    }
}

#[tokio::test]
async fn one_kid_may_name_keys_of_different_algorithms() {
    let folder = TempDir::new().unwrap();
    let (small, large, other) = (p256(), p384(), p256());
    let mut encryption = other.member("one");
    encryption["use"] = "enc".into();
    let keys = json!({"keys": [small.member("one"), large.member("one"), encryption]}).to_string();
    let set = file(folder.path(), "jwks.json", &keys);
    let server = serve("\"ES256\", \"ES384\"", &format!("jwks_file = \"{set}\"")).await;
    for (token, expected) in [
        (small.token(Algorithm::ES256, Some("one")), "ok"),
        (large.token(Algorithm::ES384, Some("one")), "ok"),
        (small.token(Algorithm::ES256, None), "ok"),
        (other.token(Algorithm::ES256, Some("one")), "token_signature_invalid"),
        (p384().token(Algorithm::ES384, Some("one")), "token_signature_invalid"),
    ] {
        assert_eq!(answer(&server, &token).await, expected);
    }
}

#[tokio::test]
async fn every_block_of_every_pem_file_counts() {
    let folder = TempDir::new().unwrap();
    let (one, two, three, stranger) = (rsa(), rsa(), p256(), rsa());
    let both = format!("some words\n{}\n{}", one.public_pem, two.public_pem);
    let both = file(folder.path(), "both.pem", &both);
    let other = file(folder.path(), "other.pem", &three.public_pem);
    let keys = format!("pem_file = [\"{both}\", \"{other}\"]");
    let server = serve("\"RS256\", \"ES256\"", &keys).await;
    for (token, expected) in [
        (one.token(Algorithm::RS256, None), "ok"),
        (two.token(Algorithm::RS256, Some("whatever")), "ok"),
        (three.token(Algorithm::ES256, None), "ok"),
        (stranger.token(Algorithm::RS256, None), "token_signature_invalid"),
        (p384().token(Algorithm::ES384, None), "token_algorithm_not_allowed"),
    ] {
        assert_eq!(answer(&server, &token).await, expected);
    }
}

#[tokio::test]
async fn a_certificate_is_read_for_its_key() {
    let folder = TempDir::new().unwrap();
    let certificate = file(folder.path(), "certificate.pem", CERTIFICATE);
    let server = serve("\"ES256\"", &format!("pem_file = \"{certificate}\"")).await;
    let private = EncodingKey::from_ec_pem(CERTIFIED_KEY.as_bytes()).unwrap();
    let header = Header { typ: Some("at+jwt".into()), ..Header::new(Algorithm::ES256) };
    let token = jsonwebtoken::encode(&header, &claims(), &private).unwrap();
    assert_eq!(answer(&server, &token).await, "ok");
    assert_eq!(
        answer(&server, &p256().token(Algorithm::ES256, None)).await,
        "token_signature_invalid"
    );
}

#[tokio::test]
async fn the_signature_of_a_token_that_was_seen_proves_no_other() {
    let folder = TempDir::new().unwrap();
    let pair = p256();
    let keys = json!({"keys": [pair.member("one")]}).to_string();
    let set = file(folder.path(), "jwks.json", &keys);
    let server = serve("\"ES256\"", &format!("jwks_file = \"{set}\"")).await;
    let seen = pair.token(Algorithm::ES256, Some("one"));
    assert_eq!(answer(&server, &seen).await, "ok");
    let (signed, signature) = seen.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let mut other = claims();
    other["sub"] = "somebody-else".into();
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    assert_ne!(payload, other);
    let forged = format!("{header}.{other}.{signature}");
    assert_eq!(answer(&server, &forged).await, "token_signature_invalid");
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let folder = TempDir::new().unwrap();
    let pair = rsa();
    let path = file(folder.path(), "rsa.pem", &pair.public_pem);
    let server = serve("\"RS256\"", &format!("pem_file = \"{path}\"")).await;
    let header = Header { typ: Some("at+jwt".into()), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(pair.public_pem.as_bytes());
    let forged = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    assert_eq!(answer(&server, &forged).await, "token_algorithm_not_allowed");
    let own_key =
        json!({"alg": "RS256", "typ": "at+jwt", "jwk": rsa().jwk, "jku": "https://evil.example/"});
    let forged = token_of_text(&own_key.to_string(), &claims().to_string());
    assert_eq!(
        answer(&server, &forged).await,
        "token_signature_invalid",
        "keys in a token are not looked at"
    );
}

#[tokio::test]
async fn secrets_by_each_hash() {
    use Algorithm::{HS256, HS384, HS512};
    let key = EncodingKey::from_secret(&[b'k'; 64]);
    let server = serve(
        "\"HS256\", \"HS384\", \"HS512\"",
        "secret_env = \"TOLLGATE_TEST_LONG_SECRET\", encoding = \"base64\"",
    )
    .await;
    for algorithm in [HS256, HS384, HS512] {
        let header = Header { typ: Some("JWT".into()), ..Header::new(algorithm) };
        let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(answer(&server, &token).await, "ok", "{algorithm:?}");
    }
}

#[tokio::test]
async fn base64url_is_strict() {
    let folder = TempDir::new().unwrap();
    let pair = ed25519();
    let path = file(folder.path(), "ed.pem", &pair.public_pem);
    let server = serve("\"EdDSA\"", &format!("pem_file = \"{path}\"")).await;
    let token = pair.token(Algorithm::EdDSA, None);
    assert_eq!(answer(&server, &token).await, "ok");
    // 64 bytes end in a digit with four bits to spare: any but zero are refused.
    let (body, last) = token.split_at(token.len() - 1);
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = digits.iter().position(|digit| *digit == last.as_bytes()[0]).unwrap();
    let spare = format!("{body}{}", char::from(digits[value + 1]));
    assert!(URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).is_ok());
    for odd in [
        spare,
        format!("{token}="),
        format!("{token} "),
        format!("{token}.x"),
        token.replacen('.', "..", 1),
    ] {
        // White space at the end is none of the field's value (RFC 9110 section 5.5).
        let expected = if odd.ends_with(' ') { "ok" } else { "token_malformed" };
        assert_eq!(answer(&server, &odd).await, expected, "{}", odd.len());
    }
}

/// A self-signed certificate, as some issuers publish their keys, and its key. For tests alone.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBHTCBxaADAgECAgEHMAoGCCqGSM49BAMCMBkxFzAVBgNVBAMMDmlkLmV4YW1w\n\
bGUuY29tMB4XDTI2MDEwMTAwMDAwMFoXDTQ2MDEwMTAwMDAwMFowGTEXMBUGA1UE\n\
AwwOaWQuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS0Yl6o\n\
TiuVNEvyCVsXAXwUqVaVYV/LlZMqL6pa3hjrl8v3C+8QAG7y1gXU3uuzKw5mmhcN\n\
yreiCMjgciWpF0dpMAoGCCqGSM49BAMCA0cAMEQCIHPQQcWvXDaPl3b3AdAabv1Z\n\
ezJWfK0vizT+iNtRb19EAiAsFg9a+vyF8bzTGt5rvZ/SBH6NbeutMe7flKGJ6HLy\n\
hg==\n\
-----END CERTIFICATE-----\n\
";

const CERTIFIED_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqYkJusaToFWMSyZF\n\
BxF4G494XWkztqh4rpuY1pZrOT2hRANCAAS0Yl6oTiuVNEvyCVsXAXwUqVaVYV/L\n\
lZMqL6pa3hjrl8v3C+8QAG7y1gXU3uuzKw5mmhcNyreiCMjgciWpF0dp\n\
-----END PRIVATE KEY-----\n\
";
