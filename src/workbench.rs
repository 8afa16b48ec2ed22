//! What the `tollgate` command and the benchmarks need beside the gate: key files, tokens for
//! trying out, documents for client developers, and buckets alone.
//!
//! Hidden from the documentation: applications neither mint tokens nor edit policies.

mod key_csv;
mod key_entry;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::claims::ClaimPath;
use crate::limit::{
    BucketName, Charge, Charges, KeyPart, Limit, MemoryStore, Parts, PlanQuota, Quota, Settle,
    Settled, Tables, parse_duration,
};
use crate::reference::Api;
use crate::time::{Clock, SystemClock};
use crate::verify::key_store::KeyStore;
use crate::verify::{Iss, Issuer, algorithm, algorithm_name, is_symmetric};
use crate::{Fault, OpenError, Tollgate};

pub use crate::policy::{Away, Scattered, WorstCase};
pub use crate::reference::Format;
pub use key_csv::keys_of_csv;
pub use key_entry::{KeyEntry, moment_of, moment_text};

/// Opens the gate of a policy to look at it: no keys are fetched, and no files followed.
///
/// # Errors
///
/// As [`Tollgate::open`].
pub async fn open_to_look_at(policy: &Path) -> Result<Tollgate, OpenError> {
    Tollgate::builder().policy_file(policy).unserved().build().await
}

/// What `check` finds in a policy that can be used.
#[derive(Debug, Default)]
pub struct Looked {
    /// What is probably not meant.
    pub warnings: Vec<Fault>,
    /// What each shared limit grants at the worst; none where buckets are in memory.
    pub worst_cases: Vec<WorstCase>,
    /// The rules whose limits lie on several servers of a cluster.
    pub scattered: Vec<Scattered>,
}

/// Looks at a policy; with its secrets, or without those that the environment lacks.
///
/// # Errors
///
/// As [`Tollgate::open`].
pub async fn look_at(policy: &Path, without_secrets: bool) -> Result<Looked, OpenError> {
    if without_secrets {
        let loaded = Tollgate::builder().policy_file(policy).load_without_secrets()?;
        let (worst_cases, scattered) =
            (loaded.policy.worst_cases(), loaded.policy.scattered_rules());
        return Ok(Looked { warnings: loaded.warnings, worst_cases, scattered });
    }
    let gate = open_to_look_at(policy).await?;
    let current = gate.gate().current();
    let (worst_cases, scattered) = (current.policy.worst_cases(), current.policy.scattered_rules());
    Ok(Looked { warnings: gate.warnings().to_vec(), worst_cases, scattered })
}

/// Opens the gate of a policy to make documents of it, where its secrets are not at hand.
///
/// # Errors
///
/// As [`Tollgate::open`], but for secrets that the environment does not have.
pub async fn open_for_documents(policy: &Path) -> Result<Tollgate, OpenError> {
    Tollgate::builder().policy_file(policy).for_documents().build().await
}

/// Opens the store of keys that a policy names; `None` where it names none, or its URL is not in the
/// environment.
///
/// # Errors
///
/// As [`Tollgate::open`], but for secrets that the environment does not have.
pub fn open_key_store(policy: &Path) -> Result<Option<Arc<dyn KeyStore>>, OpenError> {
    Tollgate::builder().policy_file(policy).open_key_store()
}

/// What client developers are handed, in this form: for the API of a gate, or for any.
#[must_use]
pub fn schema(format: Format, gate: Option<&Tollgate>) -> String {
    match gate {
        Some(gate) => Api::of(&gate.gate().current()).write(format),
        None => Api::any().write(format),
    }
}

/// The whole catalogue as files that link to each other: names and contents.
#[must_use]
pub fn site(gate: Option<&Tollgate>) -> Vec<(String, String)> {
    match gate {
        Some(gate) => Api::of(&gate.gate().current()).site(),
        None => Api::any().site(),
    }
}

/// What kind of file keys are written to, and the prefix that it sets.
pub enum KeyFile {
    /// A policy: keys are `[[api_keys.key]]`.
    Policy {
        /// `api_keys.prefix`, where it is set.
        prefix: Option<String>,
    },
    /// A file of keys alone: `[[key]]`.
    Keys,
}

/// The buckets of one limit, without a gate in front: for measuring them.
#[derive(Debug)]
pub struct Buckets {
    store: MemoryStore,
    tables: Tables,
    clock: SystemClock,
}

/// A client as a limit by header names it.
struct Named<'n>(&'n str);

impl BucketName for Named<'_> {
    fn write(&self, parts: &mut impl Parts) {
        parts.header(self.0.as_bytes(), std::iter::empty());
    }
}

impl Buckets {
    /// Buckets that gain a token in each `period` and hold `burst`, at most `max_buckets` of
    /// them. `None` where these numbers make no quota.
    #[must_use]
    pub fn new(period: Duration, burst: u32, max_buckets: usize) -> Option<Self> {
        let period = NonZeroU64::new(u64::try_from(period.as_micros()).ok()?)?;
        let quota = Quota::new(NonZeroU32::MIN, period, NonZeroU32::new(burst)?).ok()?;
        let quota = PlanQuota { plan: None, rate: "".into(), quota };
        let limit = Limit::new("one".into(), vec![KeyPart::Global], vec![quota], max_buckets);
        let store = MemoryStore::default();
        let tables = store.adopt([&limit]).tables;
        Some(Self { store, tables, clock: SystemClock::new() })
    }

    /// Takes a token of the client's bucket; whether it was there.
    pub fn take(&self, client: &str) -> bool {
        let mut charges = Charges::default();
        charges.push(Charge::new(0, 0, self.store.bucket(&Named(client)), 1));
        let now = self.clock.steady();
        self.store.settle(&self.tables, &mut charges, Settle::Take, now) == Settled::Granted
    }
}

/// Tells a policy from a key file.
///
/// # Errors
///
/// When the text is not TOML: line and column, and why. The line itself is left out, since it may hold
/// a secret.
pub fn inspect(text: &str) -> Result<KeyFile, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        format!("{line}:{column}: not TOML: {}", error.message().replace('\n', ", "))
    })?;
    let root = table.get_ref();
    let is_policy = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        // In a key file, `[[api_keys.key]]` is another way to write `[[key]]`.
        let settings = value.get_ref().as_table();
        match name.get_ref().as_ref() {
            "key" => false,
            "api_keys" => {
                settings.is_none_or(|table| table.keys().any(|key| key.get_ref() != "key"))
            }
            _ => true,
        }
    };
    if !root.iter().any(is_policy) {
        return Ok(KeyFile::Keys);
    }
    let prefix = root.get("api_keys").and_then(|keys| keys.get_ref().get("prefix").cloned());
    let prefix = prefix.and_then(|prefix| prefix.get_ref().as_str().map(str::to_owned));
    Ok(KeyFile::Policy { prefix })
}

/// The one of `names` that was probably meant.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    crate::policy::nearest(wrong, names)
}

/// The moment `after` now, in Unix seconds.
#[must_use]
pub fn moment_after(after: Duration) -> u64 {
    unix_now().saturating_add(after.as_secs())
}

/// Reads a duration such as `90d`.
///
/// # Errors
///
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| {
        "a duration is a whole number and a unit (ms, s, m, h, d): `30s`, `12h`, `90d`".into()
    })
}

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
    let issuers = &snapshot.policy.issuers;
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
            .ok_or_else(|| {
                let listed: Vec<_> =
                    issuer.algorithms.iter().copied().map(algorithm_name).collect();
                let listed = listed.join(", ");
                format!("`{name}` is not one of the issuer's algorithms, which are {listed}")
            });
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
            format!(
                "`{}` is not a private key in PEM (PKCS #8, or PKCS #1 for RSA)",
                path.display()
            )
        })
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
