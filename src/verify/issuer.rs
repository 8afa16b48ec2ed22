//! Who signs tokens, and what a token of theirs must say.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::header::Headers;
use super::key_set::KeySet;

/// An issuer of the policy.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// The policy's name for it.
    pub(crate) name: Arc<str>,
    /// What `iss` must be, byte by byte.
    pub(crate) iss: Box<str>,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) keys: KeySet,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
    /// Where tokens are to be had.
    pub(crate) obtain: Option<Box<str>>,
    /// What `typ` may be.
    pub(crate) types: Vec<Box<str>>,
    pub(crate) client_claim: Arc<str>,
    pub(crate) scope_claim: Arc<str>,
    pub(crate) roles_claim: Arc<str>,
    pub(crate) plan_claim: Arc<str>,
    pub(crate) required_claims: Vec<Arc<str>>,
}

/// The issuers of a policy. The key set belongs to the issuer that `iss` names, so a key of
/// one can never verify a token that claims to be of another (RFC 8725 section 3.8).
#[derive(Debug, Default)]
pub(crate) struct Issuers {
    issuers: Vec<Arc<Issuer>>,
    pub(super) headers: Headers,
}

impl Issuers {
    /// INVARIANT: `iss` and `name` are unique, kept by the policy's checks.
    pub(crate) fn new(issuers: Vec<Issuer>) -> Self {
        let issuers = issuers.into_iter().map(Arc::new).collect();
        Self { issuers, headers: Headers::default() }
    }

    pub(crate) fn by_iss(&self, iss: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| &*issuer.iss == iss)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| &*issuer.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }
}
