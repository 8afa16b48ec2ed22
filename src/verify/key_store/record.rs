//! A key as a store knows it.

mod builder;

use std::fmt;
use std::sync::Arc;

use super::digest::KeyDigest;
use crate::principal::{KeyRecord, Terms};
use crate::scope::Scopes;
use crate::time::Wall;

pub use builder::{ApiKeyRecordBuilder, InvalidKeyRecord};
pub(crate) use builder::{is_name, is_word};

/// What is stored of an API key: whose it is, and what it may be used for. Never the key itself.
///
/// It is valid by construction ([`builder`](Self::builder)), does not change, and is cheap to clone.
/// It means what `[[api_keys.key]]` means in a policy. Scopes, roles and the plan are read from it
/// at each request, so a client that changes its plan needs no new key.
///
/// ```
/// use tollgate::keys::{ApiKeyRecord, KeyDigest};
/// use tollgate::{NewApiKey, Wall};
///
/// let key = NewApiKey::generate("tg")?;
/// let record = ApiKeyRecord::builder("acme-1", "acme", key.key_digest())
///     .scopes(["orders:read"])
///     .plan("free")
///     .expires(Wall::from_seconds(1_900_000_000))
///     .build()?;
/// assert_eq!((record.id(), record.client(), record.plan()), ("acme-1", "acme", Some("free")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ApiKeyRecord {
    key: Arc<KeyRecord>,
    last_used: Option<Wall>,
}

impl ApiKeyRecord {
    /// Begins a record: `id` is the public name of the key, which no other key has; `client` is who
    /// it belongs to; `digest` is of the whole key. Without more the key has no scopes, no roles and
    /// no plan, and is valid at any time, from anywhere.
    pub fn builder(
        id: impl Into<String>,
        client: impl Into<String>,
        digest: KeyDigest,
    ) -> ApiKeyRecordBuilder {
        ApiKeyRecordBuilder {
            id: id.into(),
            client: client.into(),
            digest,
            scopes: Vec::new(),
            roles: Vec::new(),
            plan: None,
            addresses: Vec::new(),
            not_before: None,
            expires: None,
            revoked: false,
            last_used: None,
        }
    }

    /// A builder that holds all of this record, to change some of it.
    pub fn to_builder(&self) -> ApiKeyRecordBuilder {
        ApiKeyRecordBuilder {
            id: self.id().into(),
            client: self.client().into(),
            digest: self.digest(),
            scopes: self.scopes().iter().map(|scope| scope.as_str().into()).collect(),
            roles: self.roles().map(Into::into).collect(),
            plan: self.plan().map(Into::into),
            addresses: self.addresses().collect(),
            not_before: self.not_before(),
            expires: self.expires(),
            revoked: self.is_revoked(),
            last_used: self.last_used,
        }
    }

    /// The public name of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// Who the key belongs to.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.key.client
    }

    /// The digest of the whole key.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::from_bytes(self.key.digest)
    }

    /// The scopes that the key grants.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.key.terms.scopes
    }

    /// The roles of its client.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.key.terms.roles.iter().map(|role| &**role)
    }

    /// The plan that limits are chosen by.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        self.key.terms.plan.as_deref()
    }

    /// The ranges of addresses (CIDR) that the key may be used from; from anywhere when there are
    /// none.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.key.terms.addresses.iter().map(ToString::to_string)
    }

    /// From when the key is valid, in whole seconds.
    pub fn not_before(&self) -> Option<Wall> {
        self.key.not_before().map(Wall::from_seconds)
    }

    /// From when the key is no longer valid, in whole seconds.
    pub fn expires(&self) -> Option<Wall> {
        self.key.expires().map(Wall::from_seconds)
    }

    /// Whether the key was taken back.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.key.revoked
    }

    /// When the key was last used, as far as its store has been told; see
    /// [`KeyStore::note_used`](super::KeyStore::note_used).
    #[must_use]
    pub fn last_used(&self) -> Option<Wall> {
        self.last_used
    }

    /// The same key, which is no longer valid from `moment` on, unless it expires sooner: what a key
    /// becomes that is replaced. One that is not yet valid at that moment is revoked.
    #[must_use]
    pub fn ending_at(&self, moment: Wall) -> Self {
        let moment = moment.seconds();
        let (old, not_before) = (&self.key, self.key.not_before());
        let expires = self.key.expires().map_or(moment, |expires| expires.min(moment));
        let key = KeyRecord::new(old.id.clone(), old.client.clone(), old.digest, old.terms.clone());
        let key = match not_before.is_some_and(|from| from >= expires) {
            true => key.with_validity(not_before, old.expires()).with_revoked(true),
            false => key.with_validity(not_before, Some(expires)).with_revoked(old.revoked),
        };
        Self { key: Arc::new(key), last_used: self.last_used }
    }

    /// The same key, taken back.
    #[must_use]
    pub fn revoked(&self) -> Self {
        let old = &self.key;
        let key = KeyRecord::new(old.id.clone(), old.client.clone(), old.digest, old.terms.clone())
            .with_validity(old.not_before(), old.expires())
            .with_revoked(true);
        Self { key: Arc::new(key), last_used: self.last_used }
    }

    /// The record of a new key in its place: for the same client, with the same terms, valid at once,
    /// and until the same moment.
    ///
    /// # Errors
    ///
    /// When `id` is not valid.
    pub fn succeeded_by(&self, id: &str, digest: KeyDigest) -> Result<Self, InvalidKeyRecord> {
        if !is_name(id) {
            return Err(InvalidKeyRecord::Id);
        }
        let old = &self.key;
        let digest = *digest.as_bytes();
        let key = KeyRecord::new(id, old.client.clone(), digest, old.terms.clone())
            .with_validity(None, old.expires());
        Ok(Self { key: Arc::new(key), last_used: None })
    }

    pub(crate) fn key(&self) -> &Arc<KeyRecord> {
        &self.key
    }

    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.key.terms
    }

    /// Has these terms, which are equal to its own, in place of those.
    pub(super) fn share(&mut self, terms: &Arc<Terms>) {
        match Arc::get_mut(&mut self.key) {
            Some(key) => key.terms = terms.clone(),
            None => self.key = Arc::new(self.key.with_terms(terms.clone())),
        }
    }

    pub(super) fn note_used(&mut self, at: Wall) {
        self.last_used = self.last_used.max(Some(at));
    }
}

impl fmt::Debug for ApiKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ApiKeyRecord");
        f.field("id", &self.id()).field("client", &self.client()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::InvalidScope;

    fn builder() -> ApiKeyRecordBuilder {
        ApiKeyRecord::builder("id", "client", KeyDigest::of(b"key"))
    }

    #[test]
    fn what_is_not_valid_is_named() {
        let digest = KeyDigest::of(b"key");
        for id in ["", "a b", "a,b", &"x".repeat(65), "ä"] {
            let made = ApiKeyRecord::builder(id, "client", digest).build();
            assert_eq!(made.unwrap_err(), InvalidKeyRecord::Id, "{id}");
        }
        let client = ApiKeyRecord::builder("id", "a\nb", digest).build();
        assert_eq!(client.unwrap_err(), InvalidKeyRecord::Client);
        let wrong = [
            (builder().scopes(["a b"]), InvalidKeyRecord::Scope(InvalidScope::Byte { at: 1 })),
            (builder().roles([""]), InvalidKeyRecord::Role),
            (builder().plan("a b"), InvalidKeyRecord::Plan),
            (builder().addresses(["10.0.0.0/33"]), InvalidKeyRecord::Address),
            (
                builder().not_before(Wall::from_seconds(2)).expires(Wall::from_seconds(2)),
                InvalidKeyRecord::Validity,
            ),
        ];
        for (builder, error) in wrong {
            assert_eq!(builder.build().unwrap_err(), error);
        }
    }

    #[test]
    fn a_record_goes_through_its_builder_unchanged() {
        let whole = builder()
            .scopes(["b", "a", "b"])
            .roles(["ops"])
            .plan("free")
            .addresses(["203.0.113.0/24", "2001:db8::/32"])
            .not_before(Wall::from_seconds(1))
            .expires(Wall::from_seconds(2))
            .revoked(true)
            .last_used(Wall::from_seconds(3))
            .build()
            .unwrap();
        let again = whole.to_builder().build().unwrap();
        let facts = |record: &ApiKeyRecord| {
            let scopes: Vec<String> = record.scopes().iter().map(ToString::to_string).collect();
            let roles: Vec<String> = record.roles().map(str::to_owned).collect();
            let addresses: Vec<String> = record.addresses().collect();
            let times = (record.not_before(), record.expires(), record.last_used());
            let plan = record.plan().map(str::to_owned);
            let names = (record.id().to_owned(), record.client().to_owned(), record.digest());
            (names, scopes, roles, plan, addresses, times, record.is_revoked())
        };
        assert_eq!(facts(&whole), facts(&again));
        assert_eq!(facts(&whole).1, ["a", "b"]);
        assert_eq!(facts(&whole).4, ["203.0.113.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn a_key_that_is_replaced_ends_and_never_later_than_it_did() {
        let at = Wall::from_seconds;
        let ending = |builder: ApiKeyRecordBuilder| {
            let record = builder.build().unwrap().ending_at(at(100));
            (record.expires().map(Wall::seconds), record.is_revoked())
        };
        assert_eq!(ending(builder()), (Some(100), false));
        assert_eq!(ending(builder().expires(at(50))), (Some(50), false));
        assert_eq!(ending(builder().expires(at(150))), (Some(100), false));
        assert_eq!(ending(builder().revoked(true)), (Some(100), true));
        assert_eq!(ending(builder().not_before(at(99))), (Some(100), false));
        assert_eq!(ending(builder().not_before(at(100))), (None, true), "it would never be valid");
    }

    #[test]
    fn debug_shows_no_digest() {
        let record = builder().build().unwrap();
        assert_eq!(format!("{record:?}"), "ApiKeyRecord { id: \"id\", client: \"client\", .. }");
    }
}
