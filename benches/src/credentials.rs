//! Keys and tokens for the rows. Keys are the same in every run, so that counts of instructions are.

use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// So many clients take turns in most rows.
pub const CLIENTS: usize = 32;

pub const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];

/// An API key in the checked form.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Key number `n`.
    pub fn new(n: usize) -> Self {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digit = |number: u64| char::from(DIGITS[(number % 62) as usize]);
        let mut text = String::from("tg_");
        text.extend((0..43).map(|place| digit(scattered((n * 43 + place) as u64))));
        let check = u64::from(crc32fast::hash(text.as_bytes()));
        text.extend((0..6).rev().map(|place| digit(check / 62_u64.pow(place))));
        Self(text)
    }

    pub fn several(count: usize) -> Vec<Self> {
        (0..count).map(Self::new).collect()
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// The digest as a policy names it.
    pub fn digest_text(&self) -> String {
        let mut text = String::from("sha256:");
        for byte in self.digest() {
            let _always_fits = write!(text, "{byte:02x}");
        }
        text
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}

/// A number without visible order, the same in every run (splitmix64).
pub fn scattered(n: u64) -> u64 {
    let mut z = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One algorithm's keys.
pub struct Signer {
    pub name: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    /// Empty for HMAC.
    pub public_pem: String,
    tokens: OnceLock<Vec<String>>,
}

fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

impl Signer {
    fn new(name: &str) -> Self {
        match name {
            "HS256" => Self::with("HS256", Algorithm::HS256, EncodingKey::from_secret(SECRET.as_bytes()), String::new()),
            "RS256" => {
                let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
                let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().expect("DER");
                let private = pem("PRIVATE KEY", private.as_ref());
                let public = pem("PUBLIC KEY", rsa.public_key().as_der().expect("DER").as_ref());
                Self::with("RS256", Algorithm::RS256, EncodingKey::from_rsa_pem(private.as_bytes()).expect("a key"), public)
            }
            "ES256" => {
                let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
                let public = pem("PUBLIC KEY", ec.public_key().as_der().expect("DER").as_ref());
                Self::with("ES256", Algorithm::ES256, EncodingKey::from_ec_der(ec.to_pkcs8v1().expect("DER").as_ref()), public)
            }
            _ => {
                let ed = Ed25519KeyPair::generate().expect("a key");
                let private = pem("PRIVATE KEY", ed.to_pkcs8v1().expect("DER").as_ref());
                let public = pem("PUBLIC KEY", ed.public_key().as_der().expect("DER").as_ref());
                Self::with("EdDSA", Algorithm::EdDSA, EncodingKey::from_ed_pem(private.as_bytes()).expect("a key"), public)
            }
        }
    }

    fn with(name: &'static str, algorithm: Algorithm, key: EncodingKey, public_pem: String) -> Self {
        Self { name, algorithm, key, public_pem, tokens: OnceLock::new() }
    }

    /// The tokens of the clients of most rows.
    pub fn tokens(&self) -> &[String] {
        self.tokens.get_or_init(|| self.many_tokens(CLIENTS))
    }

    /// Tokens of so many clients.
    pub fn many_tokens(&self, clients: usize) -> Vec<String> {
        (0..clients).map(|n| self.token(n)).collect()
    }
}

/// The keys of an algorithm, made when they are first asked for.
pub fn signer(name: &str) -> &'static Signer {
    static SIGNERS: [LazyLock<Signer>; 4] = [
        LazyLock::new(|| Signer::new(ALGORITHMS[0])),
        LazyLock::new(|| Signer::new(ALGORITHMS[1])),
        LazyLock::new(|| Signer::new(ALGORITHMS[2])),
        LazyLock::new(|| Signer::new(ALGORITHMS[3])),
    ];
    let place = ALGORITHMS.iter().position(|algorithm| *algorithm == name).expect("an algorithm of ours");
    &SIGNERS[place]
}

/// What an RS256 signature alone costs, its key parsed once, in ns: no verifier can be faster.
pub fn rs256_alone() -> f64 {
    let signer = signer("RS256");
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
    pub fn token(&self, n: usize) -> String {
        let header = Header { typ: Some("at+jwt".into()), ..Header::new(self.algorithm) };
        let claims = json!({
            "iss": "https://id.example.com/", "aud": "https://api.example.com", "sub": format!("client-{n}"),
            "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "scope": "orders:read orders:write profile",
            "jti": format!("{n:032}"), "client_id": "0123456789abcdef", "email": "somebody@example.com",
        });
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}
