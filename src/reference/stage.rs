//! A small API to make examples with: a policy, credentials, and a clock that stands still.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, Method, Response};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::Api;
use crate::ask::{Ask, Came};
use crate::decision::{Decision, Outcome};
use crate::denial::{Denial, Media, Registry};
use crate::gate::{Lasting, Observer, Snapshot};
use crate::policy::{DenialPolicy, Disclosure, Faults, Policy, Sources, StatusMode, load};
use crate::time::{ManualClock, Moment};
use crate::verify::{Audiences, Iss, Issuer, Issuers, KeySet, NewApiKey, TokenPolicy};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;

/// Signs the tokens of examples, which no API accepts.
const SECRET: &[u8] = b"signs nothing but tokens of examples";

/// The issuer whose tokens are accepted; the other one has a key set.
const ISSUER: &str = "https://id.example.com/";
pub(super) const PARTNER: &str = "https://id.partner.example/";

/// The `jti` of a token that was revoked.
pub(super) const SIGNED_OUT: &str = "signed-out";

/// A public key whose private half was thrown away.
const PARTNER_KEYS: &[u8] = br#"{"keys":[{"kty":"EC","crv":"P-256","kid":"2027","use":"sig","alg":"ES256","x":"qoDkAHJddL-GcskRAKblSUVNKL16X4prnSb0FRBJ6Bw","y":"9Qhi6fdCHz-yjLymSvsOP9w3tKg8uVfMWHioZNmk2DY"}]}"#;

const POLICY: &str = r#"
[failures]
rate  = "10/minute"
burst = 3

[[limit]]
name  = "per-client"
rate  = "10/minute"
burst = 5
per   = ["client"]

[[limit]]
name  = "per-address"
rate  = "300/minute"
burst = 60
per   = ["address"]

[[revoked]]
jti = "signed-out"

[[rule]]
name    = "read-orders"
methods = ["GET"]
path    = "/orders"
scopes  = ["orders:read"]
limits  = ["per-client", "per-address"]

[[rule]]
name    = "create-order"
methods = ["POST"]
path    = "/orders"
scopes  = ["orders:read", "orders:write"]
limits  = ["per-client", "per-address"]

[[rule]]
name    = "refund"
methods = ["POST"]
path    = "/refunds"
roles   = ["accounting"]

[[rule]]
name   = "orders-of-acme"
path   = "/acme/orders"
claims = { tenant = "acme" }

[[rule]]
name      = "back-office"
path      = "/back-office"
addresses = ["10.0.0.0/8"]
"#;

/// The small API, with buckets of its own. Denials are shown as in the policy in force.
pub(super) struct Stage {
    snapshot: Snapshot,
    clock: Arc<ManualClock>,
    keys: Vec<(&'static str, NewApiKey)>,
}

/// A request, and where it comes from; `None` where the server does not tell.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) from: Option<IpAddr>,
}

impl Stage {
    /// `None` where the system gives no random bytes for keys.
    pub(super) fn new(api: &Api<'_>, disclosure: Disclosure) -> Option<Self> {
        let prefix = api.snapshot.map_or("tg", |gate| &gate.policy().credential.prefix);
        let mut keys = Vec::new();
        let mut entries = format!("version = 1\n[api_keys]\nprefix = \"{prefix}\"\n");
        for (id, lines) in [
            ("billing-2027", "scopes = [\"orders:read\"]"),
            ("billing-2026", "expires = 2026-12-31T23:00:00Z"),
            ("billing-2028", "not_before = 2027-02-01T00:00:00Z"),
            ("billing-lost", "revoked = true"),
            ("billing-office", "addresses = [\"203.0.113.0/24\"]"),
        ] {
            let key = NewApiKey::generate(prefix).ok()?;
            let digest = key.digest();
            entries += &format!(
                "[[api_keys.key]]\nid = \"{id}\"\nclient = \"billing\"\ndigest = \"{digest}\"\n{lines}\n"
            );
            keys.push((id, key));
        }
        keys.push(("unknown", NewApiKey::generate(prefix).ok()?));
        // Where all rules have one mode, so have those of the examples; else they have the policy's.
        let rules = match api.modes()[..] {
            [StatusMode::Uniform] => POLICY.replace("[[rule]]", "[[rule]]\nstatus = \"uniform\""),
            [StatusMode::Standard] => POLICY.replace("[[rule]]", "[[rule]]\nstatus = \"standard\""),
            _ => POLICY.to_owned(),
        };
        let faults = Faults::default();
        let mut policy = load("examples", &(entries + &rules), &Sources::default(), &faults)?;
        api.adapt(&mut policy, disclosure);
        policy.credential.tokens = true;
        policy.issuers = issuers();
        let clock = Arc::new(ManualClock::at(NOW));
        let observer = Arc::new(Observer::new(HeaderName::from_static("x-request-id")));
        let lasting = Lasting::new(clock.clone(), observer);
        let snapshot = Snapshot::new(policy, Registry::default(), Vec::new(), &lasting);
        Some(Self { snapshot, clock, keys })
    }

    /// The text of a key.
    pub(super) fn key(&self, id: &str) -> String {
        let key = self.keys.iter().find(|(held, _)| *held == id);
        key.map(|(_, key)| key.reveal().to_owned()).unwrap_or_default()
    }

    /// Whether keys are taken as `Authorization: Basic`.
    pub(super) fn takes_basic(&self) -> bool {
        self.snapshot.policy().credential.basic
    }

    /// A token as the issuer makes it, after `change` was made to its header and its claims.
    pub(super) fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"alg": "HS256", "typ": "at+jwt"});
        let mut claims = json!({
            "iss": ISSUER, "aud": "https://api.example.com", "sub": "mobile-app",
            "scope": "orders:read", "iat": NOW - 60, "exp": NOW + 3600,
        });
        change(&mut header, &mut claims);
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let issuer = self.snapshot.policy().issuers.by_name("main");
        let tag = issuer.and_then(|issuer| issuer.keys.sign(Algorithm::HS256, signed.as_bytes()));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.unwrap_or_default()))
    }

    /// What the gate answers; `None` where it lets the request pass. The decision is made for
    /// its own sake: nobody is told of it.
    pub(super) fn answer(&self, call: &Call) -> Option<Response<Body>> {
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            headers.append(name.parse::<HeaderName>().ok()?, value.parse().ok()?);
        }
        let ask = Ask {
            method: &call.method,
            path: call.path,
            headers: &headers,
            fields: self.snapshot.policy().credential.fields(&headers),
            peer: call.from.map(Into::into),
            moment: Moment::of(&*self.clock),
            came: Came::NOTHING,
        };
        let Decision { caller, outcome } = self.snapshot.decide(&ask, &mut ());
        let Outcome::Refused(rule, refused) = outcome else { return None };
        Some(self.write(&Denial::of(refused, rule, &caller, ask.moment.wall())))
    }

    /// Writes a denial as the gate does.
    pub(super) fn write(&self, denial: &Denial) -> Response<Body> {
        self.snapshot.voice.renderer.render(denial.draft(), Media::Document)
    }
}

impl Api<'_> {
    /// Makes the policy of examples look like the one in force: `[denial]`, and how keys are sent.
    fn adapt(&self, policy: &mut Policy, disclosure: Disclosure) {
        policy.denial = DenialPolicy { disclosure, ..self.denial.clone() };
        if let Some(api) = self.snapshot {
            let credential = &api.policy().credential;
            policy.credential.key_header.clone_from(&credential.key_header);
            policy.credential.schemes.clone_from(&credential.schemes);
            policy.credential.bare = credential.bare;
            policy.credential.keys_as_bearer = credential.keys_as_bearer;
            policy.credential.basic = credential.basic;
        }
    }
}

/// The moment `seconds` from now, as a claim.
pub(super) fn in_seconds(seconds: i64) -> Value {
    NOW.saturating_add_signed(seconds).into()
}

fn issuers() -> Issuers {
    let issuer = |name: &str, iss: &str, algorithm, keys| Issuer {
        obtain: Some(format!("{iss}docs/tokens").into()),
        ..Issuer::new(
            name.into(),
            Iss::exactly(iss),
            Audiences::Named(vec!["https://api.example.com".into()]),
            vec![algorithm],
            keys,
        )
    };
    let secret = KeySet::from_secrets([SECRET], &[Algorithm::HS256]);
    let mut issuers = vec![issuer("main", ISSUER, Algorithm::HS256, secret)];
    if let Ok((keys, _)) = KeySet::from_jwks(PARTNER_KEYS, &[Algorithm::ES256]) {
        issuers.push(issuer("partner", PARTNER, Algorithm::ES256, keys));
    }
    Issuers::new(issuers, TokenPolicy::default().max_bytes)
}
