//! Tokens that a gate accepts, for trying it out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey};
use serde_json::{Value, json};

use super::unix_now;
use crate::Tollgate;
use crate::claims::ClaimPath;
use crate::verify::{Iss, Issuer, algorithm, algorithm_name, is_symmetric};

/// What a new token should say.
#[derive(Debug, Default)]
pub struct TokenOrder {
    /// The policy's name of the issuer.
    pub issuer: String,
    /// The client claim.
    pub client: String,
    /// Scopes, parted by spaces in the claim.
    pub scopes: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// The plan.
    pub plan: Option<String>,
    /// From now; negative times are not possible, 0 is a token that has expired.
    pub expires: Duration,
    /// Further claims, by name or JSON Pointer; they replace those above.
    pub claims: BTreeMap<String, Value>,
    /// `kid` of the header.
    pub kid: Option<String>,
    /// The algorithm, where the issuer allows several.
    pub algorithm: Option<String>,
}

/// Mints a token that the gate accepts: signed with the issuer's secret, or with the private
/// key in `key_file`.
///
/// # Errors
///
/// What is missing, in a sentence.
pub fn mint(
    gate: &Tollgate,
    order: &TokenOrder,
    key_file: Option<&Path>,
) -> Result<String, String> {
    let snapshot = gate.gate().current();
    let issuers = &snapshot.policy().issuers;
    let Some(issuer) = issuers.by_name(&order.issuer) else {
        let names: Vec<&str> = issuers.iter().map(|issuer| &*issuer.name).collect();
        return Err(format!(
            "no issuer is called `{}`; the policy has: {}",
            order.issuer,
            names.join(", ")
        ));
    };
    let key = key_file.map(read_private_key).transpose()?;
    let algorithm = choose(issuer, order, key.as_ref())?;
    let mut header = json!({"alg": algorithm_name(algorithm), "typ": issuer.types.first()});
    if let Some(kid) = &order.kid {
        header["kid"] = kid.as_str().into();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims(issuer, order)?));
    let signature = match key {
        Some(key) => sign(signed.as_bytes(), &key, algorithm)
            .ok_or_else(|| format!("the key cannot sign with {}", algorithm_name(algorithm)))?,
        None => (issuer.keys.sign(algorithm, signed.as_bytes()))
            .ok_or("the issuer's secret cannot sign")?,
    };
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs with a private key; `None` where it is not one for this algorithm.
fn sign(message: &[u8], key: &EncodingKey, algorithm: Algorithm) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let rsa: &dyn RsaEncoding = match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        Algorithm::ES256 | Algorithm::ES384 => {
            let curve = match algorithm {
                Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::from_pkcs8(curve, key.as_bytes()).ok()?;
            return pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec());
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8(key.as_bytes()).ok()?;
            return Some(pair.sign(message).as_ref().to_vec());
        }
        _ => return None,
    };
    let pair = RsaKeyPair::from_der(key.as_bytes()).ok()?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(rsa, &random, message, &mut signature).ok()?;
    Some(signature)
}

fn claims(issuer: &Issuer, order: &TokenOrder) -> Result<Value, String> {
    let mut id = [0_u8; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| "the system gave no random bytes")?;
    let now = unix_now();
    let mut claims = json!({
        "iat": now,
        "exp": now.saturating_add(order.expires.as_secs()),
        "jti": URL_SAFE_NO_PAD.encode(id),
    });
    match issuer.audiences.names() {
        [] => {}
        names => put(&mut claims, issuer.audience_claim.first(), json!(names)),
    }
    put(&mut claims, issuer.client_claim.first(), order.client.as_str().into());
    if !order.scopes.is_empty() {
        put(&mut claims, issuer.scope_claim.first(), order.scopes.join(" ").into());
    }
    if !order.roles.is_empty() {
        put(&mut claims, issuer.roles_claim.first(), order.roles.clone().into());
    }
    if let Some(plan) = &order.plan {
        put(&mut claims, issuer.plan_claim.first(), plan.as_str().into());
    }
    for (name, value) in &order.claims {
        put(&mut claims, &ClaimPath::parse(name)?, value.clone());
    }
    if let (Iss::Named(names), None) = (&issuer.iss, claims.get("iss")) {
        let name = names.first().ok_or("the issuer has no name")?;
        claims["iss"] = match &name.claim {
            None => name.written.as_ref().into(),
            Some((before, claim, after)) => {
                let tenant = claims.pointer(&claim.pointer()).and_then(Value::as_str);
                let tenant = tenant.ok_or_else(|| {
                    format!(
                        "the issuer is named by the claim `{0}`: give it with --claim {0}=...",
                        claim.as_str()
                    )
                })?;
                format!("{before}{tenant}{after}").into()
            }
        };
    }
    Ok(claims)
}

/// Sets a claim, with the objects around it that are not there yet.
fn put(claims: &mut Value, path: &ClaimPath, value: Value) {
    let mut place = claims;
    for step in path.steps() {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step];
    }
    *place = value;
}

fn choose(
    issuer: &Issuer,
    order: &TokenOrder,
    key: Option<&EncodingKey>,
) -> Result<Algorithm, String> {
    let fits = |candidate: &Algorithm| match key {
        Some(key) => candidate.family() == key.family(),
        None => is_symmetric(*candidate),
    };
    if let Some(name) = &order.algorithm {
        return algorithm(name)
            .filter(|algorithm| issuer.algorithms.contains(algorithm))
            .ok_or_else(|| format!("`{name}` is not on the issuer's list"));
    }
    issuer.algorithms.iter().copied().find(fits).ok_or_else(|| match key {
        Some(_) => "the private key fits none of the issuer's algorithms".into(),
        None => format!(
            "the issuer `{}` verifies with public keys: name the private key with --key-file",
            issuer.name
        ),
    })
}

fn read_private_key(path: &Path) -> Result<EncodingKey, String> {
    let pem = std::fs::read(path)
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    (EncodingKey::from_rsa_pem(&pem).ok())
        .or_else(|| EncodingKey::from_ec_pem(&pem).ok())
        .or_else(|| EncodingKey::from_ed_pem(&pem).ok())
        .filter(|key| key.family() != AlgorithmFamily::Hmac)
        .ok_or_else(|| {
            format!("`{}` is no PEM private key (PKCS #8, or PKCS #1 for RSA)", path.display())
        })
}
