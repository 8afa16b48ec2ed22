//! What is stored of an API key.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::Identity;
use crate::scope::Scopes;

/// What is stored of an API key: facts, which prove nothing until a key with this digest is
/// presented.
///
/// A record with few fields takes less than 300 bytes, its texts and its place in a table included:
/// equal [`Terms`] and the names of clients are shared.
pub(crate) struct KeyRecord {
    /// SHA-256 of the whole key.
    pub(crate) digest: [u8; 32],
    /// Unix seconds; the key is valid from this moment, and 0 says always.
    not_before: u64,
    /// Unix seconds; the key is no longer valid at this moment. [`NEVER`] is later than all of them.
    expires: u64,
    identity: Identity,
    pub(crate) terms: Arc<Terms>,
    /// Whose key it is.
    pub(crate) client: Arc<str>,
    /// The public name of the key.
    pub(crate) id: Box<str>,
    pub(crate) revoked: bool,
}

/// What a key may be used for, and from where. Many keys have equal terms, and share them.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Terms {
    pub(crate) scopes: Scopes,
    pub(crate) roles: Box<[Box<str>]>,
    pub(crate) plan: Option<Box<str>>,
    /// Where the key may be used from; anywhere when empty.
    pub(crate) addresses: Box<[IpNet]>,
}

const NEVER: u64 = u64::MAX;

impl KeyRecord {
    /// A key that is valid at any time.
    pub(crate) fn new(
        id: impl Into<Box<str>>,
        client: Arc<str>,
        digest: [u8; 32],
        terms: Arc<Terms>,
    ) -> Self {
        Self {
            digest,
            not_before: 0,
            expires: NEVER,
            identity: Identity::of_key_owner(&client),
            terms,
            client,
            id: id.into(),
            revoked: false,
        }
    }

    /// Bounds the time in which the key is valid, in Unix seconds: from the first moment until the
    /// second, which no longer belongs to it.
    pub(crate) fn with_validity(self, not_before: Option<u64>, expires: Option<u64>) -> Self {
        let (not_before, expires) = (not_before.unwrap_or(0), expires.unwrap_or(NEVER));
        Self { not_before, expires, ..self }
    }

    pub(crate) fn with_revoked(self, revoked: bool) -> Self {
        Self { revoked, ..self }
    }

    /// The same key on other terms.
    pub(crate) fn with_terms(&self, terms: Arc<Terms>) -> Self {
        let Self { digest, not_before, expires, identity, revoked, .. } = *self;
        let (client, id) = (self.client.clone(), self.id.clone());
        Self { digest, not_before, expires, identity, terms, client, id, revoked }
    }

    /// Unix seconds from which the key is valid, where it has such a moment.
    pub(crate) fn not_before(&self) -> Option<u64> {
        (self.not_before != 0).then_some(self.not_before)
    }

    /// Unix seconds at which the key is no longer valid, where it has such a moment.
    pub(crate) fn expires(&self) -> Option<u64> {
        (self.expires != NEVER).then_some(self.expires)
    }

    /// Whether the policy says the same of both, in whatever words; what `[scopes]` adds aside.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let is_alike = |a: &Terms, b: &Terms| {
            let scopes = a.scopes.iter().eq(b.scopes.iter());
            scopes && a.roles == b.roles && a.plan == b.plan && a.addresses == b.addresses
        };
        let times = |key: &Self| (key.not_before, key.expires, key.revoked);
        self.digest == other.digest
            && times(self) == times(other)
            && (self.client == other.client && self.id == other.id)
            && is_alike(&self.terms, &other.terms)
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, client) = (&self.id, &self.client);
        f.debug_struct("KeyRecord").field("id", id).field("client", client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_two_lines_of_memory() {
        let counts_of_its_arc = 2 * size_of::<usize>();
        assert!(size_of::<KeyRecord>() + counts_of_its_arc <= 128);
    }

    #[test]
    fn moments_that_are_left_out_bound_nothing() {
        let record = |from, until| {
            KeyRecord::new("id", "client".into(), [0; 32], Arc::default())
                .with_validity(from, until)
        };
        assert_eq!(record(None, None).not_before(), None);
        assert_eq!(record(None, None).expires(), None);
        assert_eq!(record(Some(1), Some(2)).not_before(), Some(1));
        assert_eq!(record(Some(1), Some(2)).expires(), Some(2));
        assert_eq!(record(None, Some(0)).expires(), Some(0));
    }

    #[test]
    fn debug_shows_no_digest() {
        let text = format!("{:?}", KeyRecord::new("id", "client".into(), [77; 32], Arc::default()));
        assert_eq!(text, "KeyRecord { id: \"id\", client: \"client\", .. }");
    }
}
