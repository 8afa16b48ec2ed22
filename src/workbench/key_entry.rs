//! What the `key` verbs know of a key.

use serde_json::{Value, json};

use super::unix_now;
use crate::policy::{check_name, check_word, parse_cidr, parse_digest, parse_scope};
use crate::time::{rfc3339, unix_seconds};

/// What is stored of an API key, as it is written in a policy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyEntry {
    /// The public name of the key.
    pub id: String,
    /// Whose key it is.
    pub client: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Scopes that it grants.
    pub scopes: Vec<String>,
    /// Roles of whoever presents it.
    pub roles: Vec<String>,
    /// The plan that limits are chosen by.
    pub plan: Option<String>,
    /// Unix seconds from which it is valid.
    pub not_before: Option<u64>,
    /// Unix seconds from which it is no longer valid.
    pub expires: Option<u64>,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Ranges of addresses that it may be used from; any when empty.
    pub addresses: Vec<String>,
}

impl KeyEntry {
    /// What a gate would say of the key now: `valid`, `revoked`, `expired` or `not_yet_valid`.
    pub fn state(&self) -> &'static str {
        let now = unix_now();
        match self {
            Self { revoked: true, .. } => "revoked",
            Self { expires: Some(expires), .. } if *expires <= now => "expired",
            Self { not_before: Some(from), .. } if *from > now => "not_yet_valid",
            _ => "valid",
        }
    }

    /// All but the digest, as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "client": self.client, "scopes": self.scopes, "roles": self.roles,
            "plan": self.plan, "not_before": self.not_before.map(rfc3339),
            "expires": self.expires.map(rfc3339), "revoked": self.revoked,
            "addresses": self.addresses, "state": self.state(),
        })
    }

    /// Checks the key as a policy's is checked.
    ///
    /// # Errors
    ///
    /// The first setting that is invalid, and what to write instead.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let each = |name, texts: &[String], check: &dyn Fn(&str) -> Result<(), String>| {
            texts.iter().try_for_each(|text| check(text)).map_err(|help| (name, help))
        };
        check_name(&self.id).map_err(|help| ("id", help))?;
        check_word(&self.client).map_err(|help| ("client", help))?;
        if parse_digest(&self.digest).is_none() {
            return Err(("digest", "write `sha256:` and 64 hex digits".into()));
        }
        each("scopes", &self.scopes, &|scope| parse_scope(scope).map(drop))?;
        each("roles", &self.roles, &|role| check_word(role).map(drop))?;
        if let Some(plan) = &self.plan {
            check_name(plan).map_err(|help| ("plan", help))?;
        }
        if let (Some(from), Some(until)) = (self.not_before, self.expires)
            && from >= until
        {
            return Err(("expires", "set it to a later moment than `not_before`".into()));
        }
        each("addresses", &self.addresses, &|range| parse_cidr(range).map(drop))
    }
}

/// The moment of an RFC 3339 text, in Unix seconds.
pub fn moment_of(text: &str) -> Option<u64> {
    unix_seconds(text).and_then(|seconds| u64::try_from(seconds).ok())
}

/// A moment, in Unix seconds, as it is written in TOML.
pub fn moment_text(unix_seconds: u64) -> String {
    rfc3339(unix_seconds)
}
