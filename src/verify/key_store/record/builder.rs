//! Makes records that are valid.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::ApiKeyRecord;
use crate::address::parse_range;
use crate::principal::{KeyRecord, Terms};
use crate::scope::{InvalidScope, Scope, Scopes};
use crate::time::Wall;
use crate::verify::key_store::KeyDigest;

/// Makes an [`ApiKeyRecord`].
#[derive(Clone)]
#[must_use = "`build` makes the record"]
pub struct ApiKeyRecordBuilder {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) digest: KeyDigest,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) plan: Option<String>,
    pub(super) addresses: Vec<String>,
    pub(super) not_before: Option<Wall>,
    pub(super) expires: Option<Wall>,
    pub(super) revoked: bool,
    pub(super) last_used: Option<Wall>,
}

impl ApiKeyRecordBuilder {
    /// The scopes that the key grants, in place of those that were set before. Each is a scope-token
    /// (RFC 6749 section 3.3).
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The roles of its client, in place of those that were set before.
    pub fn roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// The plan that limits are chosen by; `None` for none.
    pub fn plan<'p>(mut self, plan: impl Into<Option<&'p str>>) -> Self {
        self.plan = plan.into().map(Into::into);
        self
    }

    /// The ranges of addresses that the key may be used from, such as `203.0.113.0/24`, in place of
    /// those that were set before; none for anywhere.
    pub fn addresses<S: Into<String>>(mut self, ranges: impl IntoIterator<Item = S>) -> Self {
        self.addresses = ranges.into_iter().map(Into::into).collect();
        self
    }

    /// From when the key is valid, rounded down to a second; `None` for always.
    pub fn not_before(mut self, moment: impl Into<Option<Wall>>) -> Self {
        self.not_before = moment.into();
        self
    }

    /// From when the key is no longer valid, rounded down to a second; `None` for never.
    pub fn expires(mut self, moment: impl Into<Option<Wall>>) -> Self {
        self.expires = moment.into();
        self
    }

    /// Whether the key was taken back. A key that was is answered with `api_key_revoked`, and stays in
    /// its store for that.
    pub fn revoked(mut self, revoked: bool) -> Self {
        self.revoked = revoked;
        self
    }

    /// When the key was last used, as its store knows it.
    pub fn last_used(mut self, moment: impl Into<Option<Wall>>) -> Self {
        self.last_used = moment.into();
        self
    }

    /// The record.
    ///
    /// # Errors
    ///
    /// The first thing that is not valid, in the order of the variants of [`InvalidKeyRecord`].
    pub fn build(self) -> Result<ApiKeyRecord, InvalidKeyRecord> {
        if !is_name(&self.id) {
            return Err(InvalidKeyRecord::Id);
        }
        if !is_word(&self.client) {
            return Err(InvalidKeyRecord::Client);
        }
        let scope = |scope: String| scope.parse::<Scope>();
        let scopes: Scopes = self
            .scopes
            .into_iter()
            .map(scope)
            .collect::<Result<_, _>>()
            .map_err(InvalidKeyRecord::Scope)?;
        if !self.roles.iter().all(|role| is_word(role)) {
            return Err(InvalidKeyRecord::Role);
        }
        if !self.plan.as_deref().is_none_or(is_name) {
            return Err(InvalidKeyRecord::Plan);
        }
        let range = |text: String| parse_range(&text).ok_or(InvalidKeyRecord::Address);
        let addresses: Box<[IpNet]> =
            self.addresses.into_iter().map(range).collect::<Result<_, _>>()?;
        if let (Some(from), Some(until)) = (self.not_before, self.expires)
            && from.seconds() >= until.seconds()
        {
            return Err(InvalidKeyRecord::Validity);
        }
        let terms = Terms {
            scopes,
            roles: self.roles.into_iter().map(Into::into).collect(),
            plan: self.plan.map(Into::into),
            addresses,
        };
        let (not_before, expires) =
            (self.not_before.map(Wall::seconds), self.expires.map(Wall::seconds));
        let digest = *self.digest.as_bytes();
        let key = KeyRecord::new(self.id, self.client.into(), digest, Arc::new(terms))
            .with_validity(not_before, expires)
            .with_revoked(self.revoked);
        Ok(ApiKeyRecord { key: Arc::new(key), last_used: self.last_used })
    }
}

impl fmt::Debug for ApiKeyRecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ApiKeyRecordBuilder");
        f.field("id", &self.id).field("client", &self.client).finish_non_exhaustive()
    }
}

/// A name for people, logs and headers: ids of keys, plans.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',' | b';');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// Text without control characters, not empty and not endless: clients, roles.
pub(crate) fn is_word(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What is not valid in a record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidKeyRecord {
    /// The id is not 1 to 64 printable ASCII characters, without space, quote, `\`, `,` and `;`.
    Id,
    /// The client is empty, longer than 256 bytes, or has control characters.
    Client,
    /// A scope is not valid.
    Scope(InvalidScope),
    /// A role is empty, longer than 256 bytes, or has control characters.
    Role,
    /// The plan is not a name, as an id is one.
    Plan,
    /// An address range is not valid.
    Address,
    /// The key expires before it is valid.
    Validity,
}

impl fmt::Display for InvalidKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scope(why) => return write!(f, "a scope of the key is not valid: {why}"),
            Self::Id => {
                "the id of a key has 1 to 64 printable ASCII characters, without space, quote, `\\`, \
                 `,` and `;`"
            }
            Self::Client => {
                "the client of a key has 1 to 256 characters, without control characters"
            }
            Self::Role => "a role has 1 to 256 characters, without control characters",
            Self::Plan => {
                "a plan has 1 to 64 printable ASCII characters, without space, quote, `\\`, `,` and `;`"
            }
            Self::Address => {
                "an address range of the key is not valid: write one such as `203.0.113.0/24`"
            }
            Self::Validity => "the key expires before it is valid",
        })
    }
}

impl std::error::Error for InvalidKeyRecord {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Scope(invalid) => Some(invalid),
            _ => None,
        }
    }
}
