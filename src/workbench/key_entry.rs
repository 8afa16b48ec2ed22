//! What the `key` verbs know of a key.

use super::unix_now;
use crate::policy::{plain_key, strings_of};
use crate::time::{Wall, rfc3339, unix_seconds};
use crate::verify::key_store::{ApiKeyRecord, KeyDigest};

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
    /// Unix seconds of the last use, where a store knows it.
    pub last_used: Option<u64>,
    /// The line of a table of keys that it comes from, counted from 1.
    pub line: Option<usize>,
}

impl KeyEntry {
    /// The key of an entry of a [`KeyList`](super::KeyList), its header included; `None` where it is not
    /// written plainly, or lacks something.
    pub fn plain(entry: &str) -> Option<Self> {
        let begin = entry.find('\n')? + 1;
        let (key, _) = plain_key(entry, begin)?;
        let texts = |array| strings_of(array).map(str::to_owned).collect();
        let is_whole = ![key.id, key.client, key.digest].contains(&"");
        is_whole.then(|| Self {
            id: key.id.to_owned(),
            client: key.client.to_owned(),
            digest: key.digest.to_owned(),
            scopes: texts(key.scopes),
            roles: texts(key.roles),
            plan: key.plan.map(|plan| plan.value.to_owned()),
            not_before: key.not_before.map(|from| from.value),
            expires: key.expires.map(|until| until.value),
            revoked: key.revoked,
            addresses: texts(key.addresses),
            last_used: None,
            line: None,
        })
    }

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

    /// The key as stores know it.
    ///
    /// # Errors
    ///
    /// What is not valid, in a sentence.
    pub fn record(&self) -> Result<ApiKeyRecord, String> {
        let digest: KeyDigest = self.digest.parse().map_err(|error| format!("{error}"))?;
        ApiKeyRecord::builder(&self.id, &self.client, digest)
            .scopes(&self.scopes)
            .roles(&self.roles)
            .plan(self.plan.as_deref())
            .addresses(&self.addresses)
            .not_before(self.not_before.map(Wall::from_seconds))
            .expires(self.expires.map(Wall::from_seconds))
            .revoked(self.revoked)
            .build()
            .map_err(|error| error.to_string())
    }
}

impl From<&ApiKeyRecord> for KeyEntry {
    fn from(record: &ApiKeyRecord) -> Self {
        Self {
            id: record.id().to_owned(),
            client: record.client().to_owned(),
            digest: record.digest().to_string(),
            scopes: record.scopes().iter().map(|scope| scope.as_str().to_owned()).collect(),
            roles: record.roles().map(str::to_owned).collect(),
            plan: record.plan().map(str::to_owned),
            not_before: record.not_before().map(Wall::seconds),
            expires: record.expires().map(Wall::seconds),
            revoked: record.is_revoked(),
            addresses: record.addresses().collect(),
            last_used: record.last_used().map(Wall::seconds),
            line: None,
        }
    }
}

/// The id of the key that takes the place of the one with this id.
pub fn successor_of(id: &str) -> String {
    crate::verify::key_store::successor_of(id)
}

/// The moment of an RFC 3339 text, in Unix seconds.
pub fn moment_of(text: &str) -> Option<u64> {
    unix_seconds(text).and_then(|seconds| u64::try_from(seconds).ok())
}

/// A moment, in Unix seconds, as it is written in TOML.
pub fn moment_text(unix_seconds: u64) -> String {
    rfc3339(unix_seconds)
}
