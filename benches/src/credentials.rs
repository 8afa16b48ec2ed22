//! Keys and tokens for the rows.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
