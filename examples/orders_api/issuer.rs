//! The issuer of the policy, for one run: it signs tokens that the gate accepts.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

#[derive(Clone)]
pub(crate) struct Issuer {
    signing: EncodingKey,
    pub(crate) key_set: Value,
}

impl Issuer {
    /// An issuer with a new key.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        // An uncompressed point: 4, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let key_set = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "demo", "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]});
        Ok(Self { signing: EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref()), key_set })
    }

    /// A token for this client that expires so many seconds from now.
    pub(crate) fn token(
        &self,
        client: &str,
        scopes: &[&str],
        expires_in: i64,
    ) -> Result<String, Box<dyn Error>> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let header = Header {
            typ: Some("at+jwt".into()),
            kid: Some("demo".into()),
            ..Header::new(Algorithm::ES256)
        };
        let claims = json!({
            "iss": "https://id.example.com/", "aud": "https://orders.example.com", "sub": client,
            "scope": scopes.join(" "), "iat": now + expires_in.min(0), "exp": now + expires_in,
        });
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }
}
