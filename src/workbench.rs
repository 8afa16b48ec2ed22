//! What the `tollgate` command and the benchmarks need beside the gate: key files, tokens for
//! trying out, documents for client developers, and buckets alone.
//!
//! Hidden from the documentation: applications neither mint tokens nor edit policies.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey};
use serde_json::{Value, json};
use toml::de::DeTable;

use crate::claims::ClaimPath;
use crate::limit::{Charge, Charges, MemoryStore, Quota, parse_duration};
use crate::policy::{Faults, Severity, load};
use crate::reference::Api;
use crate::time::{Clock, SystemClock, rfc3339};
use crate::verify::{Iss, Issuer, algorithm, algorithm_name, is_symmetric};
use crate::{OpenError, Tollgate};

pub use crate::reference::Format;

/// Opens the gate of a policy to make documents of it, where its secrets are not at hand.
///
/// # Errors
///
/// As [`Tollgate::open`], but for secrets that the environment does not have.
pub async fn open_for_documents(policy: &Path) -> Result<Tollgate, OpenError> {
    Tollgate::builder().policy_file(policy).for_documents().build().await
}

/// What client developers are handed, in this form: for the API of a gate, or for any.
pub fn schema(format: Format, gate: Option<&Tollgate>) -> String {
    match gate {
        Some(gate) => Api::of(gate.gate()).write(format),
        None => Api::any().write(format),
    }
}

/// The whole catalogue as files that link to each other: names and contents.
pub fn site(gate: Option<&Tollgate>) -> Vec<(String, String)> {
    match gate {
        Some(gate) => Api::of(gate.gate()).site(),
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
    clock: SystemClock,
}

impl Buckets {
    /// Buckets that gain a token in each `period` and hold `burst`, at most `max_buckets` of
    /// them. `None` where these numbers make no quota.
    pub fn new(period: Duration, burst: u32, max_buckets: usize) -> Option<Self> {
        let period = NonZeroU64::new(u64::try_from(period.as_micros()).ok()?)?;
        let quota = Quota::new(NonZeroU32::MIN, period, NonZeroU32::new(burst)?).ok()?;
        let store = MemoryStore::new(std::iter::once(vec![quota]), max_buckets);
        Some(Self { store, clock: SystemClock::new() })
    }

    /// Takes a token of the client's bucket; whether it was there.
    pub fn take(&self, client: &str) -> bool {
        let mut charges = Charges::new(NonZeroU32::MIN);
        charges.push(Charge { key: self.store.key(client), limit: 0, quota: 0 });
        self.store.take(&mut charges, self.clock.steady())
    }
}

/// Tells a policy from a key file.
///
/// # Errors
///
/// When the text is no TOML.
pub fn inspect(text: &str) -> Result<KeyFile, String> {
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    let root = table.get_ref();
    if !root.keys().any(|key| matches!(key.get_ref().as_ref(), "version" | "api_keys" | "rule")) {
        return Ok(KeyFile::Keys);
    }
    let prefix = root.get("api_keys").and_then(|keys| keys.get_ref().get("prefix").cloned());
    let prefix = prefix.and_then(|prefix| prefix.get_ref().as_str().map(str::to_owned));
    Ok(KeyFile::Policy { prefix })
}

/// Checks a new `[[api_keys.key]]`, and that no key of `text` has its id.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn check_key(entry: &str, id: &str, text: &str) -> Result<(), String> {
    let faults = Faults::default();
    let policy =
        format!("version = 1\n[api_keys]\n{}", entry.replacen("[[key]]", "[[api_keys.key]]", 1));
    let _loaded = load("the new key", &policy, Path::new(""), &faults);
    let faults = faults.into_sorted();
    if let Some(fault) = faults.iter().find(|fault| fault.severity() == Severity::Fault) {
        return Err(format!("{}: {}", fault.message(), fault.help()));
    }
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    let root = table.get_ref();
    let of_policy = root.get("api_keys").and_then(|keys| keys.get_ref().get("key"));
    let keys = root.get("key").or(of_policy).and_then(|keys| keys.get_ref().as_array());
    let is_taken = keys.is_some_and(|keys| {
        keys.iter()
            .any(|key| key.get_ref().get("id").and_then(|id| id.get_ref().as_str()) == Some(id))
    });
    if is_taken { Err(format!("there is a key `{id}` already")) } else { Ok(()) }
}

/// The moment `after` now, as it is written in TOML.
pub fn moment_after(after: Duration) -> String {
    rfc3339(unix_now().saturating_add(after.as_secs()))
}

/// Reads a duration such as `90d`.
///
/// # Errors
///
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| {
        "a duration is a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `7d`".into()
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
    let issuers = &gate.gate().policy.issuers;
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
        Some(key) => {
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).map_err(|error| {
                format!("the key cannot sign with {}: {error}", algorithm_name(algorithm))
            })?
        }
        None => {
            let tag = issuer.keys.sign(algorithm, signed.as_bytes());
            URL_SAFE_NO_PAD.encode(tag.ok_or("the issuer's secret cannot sign")?)
        }
    };
    Ok(format!("{signed}.{signature}"))
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

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
