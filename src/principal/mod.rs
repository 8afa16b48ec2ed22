//! Who a credential was proven to be.

mod identity;
mod key_record;

use std::fmt;
use std::sync::Arc;

pub(crate) use identity::Identity;
pub(crate) use key_record::{KeyRecord, Terms};

use crate::claims::ClaimSet;
use crate::scope::Scopes;
use crate::time::Wall;

/// Which kind of credential a client came with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CredentialKind {
    /// An API key.
    ApiKey,
    /// A bearer token (a JWT).
    Token,
    /// An API key and a bearer token together: the token says who the client is, the key which
    /// application it uses.
    Both,
}

impl CredentialKind {
    /// The name in policies and denials: `api_key`, `token` or `both`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who called: proven, and handed to handlers by the gate.
///
/// A principal is made when an API key or a token has been verified, and nowhere else. Cloning one is
/// cheap.
///
/// # Example
///
/// ```
/// # use axum::{Router, routing::get};
/// use tollgate::Principal;
///
/// async fn whoami(caller: Principal) -> String {
///     format!("{} by {}", caller.client(), caller.credential())
/// }
/// # let _: Router = Router::new().route("/me", get(whoami));
/// ```
///
/// Where a request may come without a credential (public rules, and rules with `"none"` among their
/// `credentials`), take `Option<Principal>`: it is `None` for such a request.
#[derive(Clone, Debug)]
pub struct Principal(Proof);

/// What was proven, and by what.
#[derive(Clone, Debug)]
enum Proof {
    Key(Arc<KeyRecord>),
    Token(Arc<Proven>),
    Both { token: Arc<Proven>, key: Arc<KeyRecord> },
}

/// What a token proved.
#[derive(Debug)]
pub(crate) struct Proven {
    /// The issuer's name in the policy.
    pub(crate) issuer: Arc<str>,
    pub(crate) identity: Identity,
    pub(crate) client: Box<str>,
    pub(crate) scopes: Scopes,
    pub(crate) roles: Box<[Box<str>]>,
    pub(crate) plan: Option<Box<str>>,
    pub(crate) validity: Validity,
    pub(crate) claims: ClaimSet,
}

/// When a token was issued, and when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    /// When it ends, leeway included.
    pub(crate) ends: Wall,
    /// Unix seconds of `exp`.
    pub(crate) expires: u64,
    /// Unix seconds of `iat`, rounded down.
    pub(crate) issued_at: Option<u64>,
}

impl Principal {
    /// INVARIANT: called by `verify/` (and `test_util`) alone, when a key with the record's digest was presented and
    /// the record says that it is valid.
    pub(crate) fn of_key(record: Arc<KeyRecord>) -> Self {
        Self(Proof::Key(record))
    }

    /// INVARIANT: called by `verify/` (and `test_util`) alone, when a token was verified.
    pub(crate) fn of_token(proven: impl Into<Arc<Proven>>) -> Self {
        Self(Proof::Token(proven.into()))
    }

    /// The client of a token, which came together with the key of an application.
    pub(crate) fn with_application(&self, application: &Self) -> Self {
        match (self.token(), application.key()) {
            (Some(token), Some(key)) => {
                Self(Proof::Both { token: token.clone(), key: key.clone() })
            }
            // Nothing is proven beside what was.
            _ => self.clone(),
        }
    }

    /// What is stored of the API key, where there is one.
    pub(crate) fn key(&self) -> Option<&Arc<KeyRecord>> {
        match &self.0 {
            Proof::Key(key) | Proof::Both { key, .. } => Some(key),
            Proof::Token(_) => None,
        }
    }

    /// What the token proved, where there is one.
    pub(crate) fn token(&self) -> Option<&Arc<Proven>> {
        match &self.0 {
            Proof::Token(token) | Proof::Both { token, .. } => Some(token),
            Proof::Key(_) => None,
        }
    }

    /// The client's name: the key's `client`, or the token's client claim (`sub` by default).
    /// Where the issuer's `iss` has a claim in it, such as a tenant's id, that claim's value
    /// stands before the name: `<claim>/<client>`.
    ///
    /// Names of two issuers, or of an issuer and of the key table, may be equal and yet mean
    /// two clients: use [`issuer`](Self::issuer) to tell them apart.
    #[must_use]
    pub fn client(&self) -> &str {
        match &self.0 {
            Proof::Key(key) => &key.client,
            Proof::Token(token) | Proof::Both { token, .. } => &token.client,
        }
    }

    /// The kind of credential that proved the client.
    #[must_use]
    pub fn credential(&self) -> CredentialKind {
        match &self.0 {
            Proof::Key(_) => CredentialKind::ApiKey,
            Proof::Token(_) => CredentialKind::Token,
            Proof::Both { .. } => CredentialKind::Both,
        }
    }

    /// The public name of the API key; `None` where the client came without one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key().map(|key| &*key.id)
    }

    /// The application that the client uses: the `client` of the API key that came together with
    /// its token. `None` unless the rule asks for both (`credentials = ["both"]`).
    #[must_use]
    pub fn application(&self) -> Option<&str> {
        match &self.0 {
            Proof::Both { key, .. } => Some(&key.client),
            Proof::Key(_) | Proof::Token(_) => None,
        }
    }

    /// The policy's name of the token's issuer; `None` where the client came without a token.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.token().map(|token| &*token.issuer)
    }

    /// The scopes that were granted: of the token, where there is one.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        match &self.0 {
            Proof::Key(key) => &key.terms.scopes,
            Proof::Token(token) | Proof::Both { token, .. } => &token.scopes,
        }
    }

    /// The roles, in the order in which they were granted: of the token, where there is one.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let roles = match &self.0 {
            Proof::Key(key) => &key.terms.roles,
            Proof::Token(token) | Proof::Both { token, .. } => &token.roles,
        };
        roles.iter().map(|role| &**role)
    }

    /// The claims of the token; `None` where the client came without one.
    pub(crate) fn claims(&self) -> Option<&ClaimSet> {
        self.token().map(|token| &token.claims)
    }

    /// What tells this client from all others. Clients of two issuers, or of an issuer and of the
    /// key table, are two. It is computed when the client is proven or the key is loaded, for
    /// buckets that are looked up ever after.
    pub(crate) fn identity(&self) -> Identity {
        match &self.0 {
            Proof::Key(key) => key.identity(),
            Proof::Token(token) | Proof::Both { token, .. } => token.identity,
        }
    }

    /// The plan that limits are chosen by: of the token, where there is one. `None` where none is
    /// named.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        match &self.0 {
            Proof::Key(key) => key.terms.plan.as_deref(),
            Proof::Token(token) | Proof::Both { token, .. } => token.plan.as_deref(),
        }
    }
}
