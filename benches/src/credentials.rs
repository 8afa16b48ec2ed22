//! Keys and tokens for the rows.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// One algorithm's keys.
pub(crate) struct Signer {
    pub(crate) name: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    /// Empty for HMAC.
    pub(crate) public_pem: String,
}

fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

pub(crate) fn signers() -> Vec<Signer> {
    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let ed = Ed25519KeyPair::generate().expect("a key");
    let spki = |der: &[u8]| pem("PUBLIC KEY", der);
    let rsa_private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().expect("DER");
    let ed_private = ed.to_pkcs8v1().expect("DER");
    let rsa_private = pem("PRIVATE KEY", rsa_private.as_ref());
    let ed_private = pem("PRIVATE KEY", ed_private.as_ref());
    vec![
        Signer { name: "HS256", algorithm: Algorithm::HS256, key: EncodingKey::from_secret(SECRET.as_bytes()), public_pem: String::new() },
        Signer {
            name: "RS256",
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(rsa_private.as_bytes()).expect("a key"),
            public_pem: spki(rsa.public_key().as_der().expect("DER").as_ref()),
        },
        Signer {
            name: "ES256",
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(ec.to_pkcs8v1().expect("DER").as_ref()),
            public_pem: spki(ec.public_key().as_der().expect("DER").as_ref()),
        },
        Signer {
            name: "EdDSA",
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_pem(ed_private.as_bytes()).expect("a key"),
            public_pem: spki(ed.public_key().as_der().expect("DER").as_ref()),
        },
    ]
}

/// What an RS256 signature alone costs, its key parsed once, in ns: no verifier can be faster.
pub(crate) fn rs256_alone() -> f64 {
    let signers = signers();
    let signer = signers.iter().find(|signer| signer.name == "RS256").expect("a signer");
    let token = signer.token(0);
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let der: String = signer.public_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(der).expect("base64");
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).expect("a key");
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let start = std::time::Instant::now();
            (0..400).for_each(|_| key.verify_sig(signed.as_bytes(), &signature).expect("a good signature"));
            start.elapsed().as_nanos() as f64 / 400.0
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[4]
}

impl Signer {
    /// A token of about 700 bytes for client number `n`.
    pub(crate) fn token(&self, n: usize) -> String {
        let header = Header { typ: Some("at+jwt".into()), ..Header::new(self.algorithm) };
        let claims = json!({
            "iss": "https://id.example.com/", "aud": "https://api.example.com", "sub": format!("client-{n}"),
            "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "scope": "orders:read orders:write profile",
            "jti": format!("{n:032}"), "client_id": "0123456789abcdef", "email": "somebody@example.com",
        });
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}
