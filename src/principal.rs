//! Who a credential was proven to be.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::claims::ClaimSet;
use crate::scope::Scopes;

/// Which kind of credential a client came with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CredentialKind {
    /// An API key.
    ApiKey,
    /// A bearer token (a JWT).
    Token,
}

impl CredentialKind {
    /// The name in policies and denials: `api_key` or `token`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Token => "token",
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
/// A principal is made in one place, when an API key or a token has been verified. Cloning
/// one is cheap.
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
/// On public rules nobody is asked for a credential: take `Option<Principal>`, which is
/// `None` there.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Known>);

/// What was proven, and the name of the client among all others.
#[derive(Debug)]
struct Known {
    proven: Proven,
    identity: u64,
}

/// What was proven, as verifiers hand it over.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) origin: Origin,
    pub(crate) client: Box<str>,
    pub(crate) scopes: Scopes,
    pub(crate) roles: Box<[Box<str>]>,
    pub(crate) plan: Option<Box<str>>,
    /// The claims of a token; `None` for API keys.
    pub(crate) claims: Option<ClaimSet>,
}

/// Where a client was proven. Clients of two origins are two clients, whatever their names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// By the API key with this id.
    Key { id: Arc<str> },
    /// By a token.
    Issuer {
        /// The issuer's name in the policy.
        name: Arc<str>,
        /// The claim that names the client: two claims may have equal values.
        claim: Arc<str>,
        /// The token's `iss`, where the issuer goes by any.
        iss: Option<Box<str>>,
    },
}

impl Origin {
    /// The issuer's name in the policy; `None` for API keys.
    fn issuer(&self) -> Option<&str> {
        match self {
            Self::Key { .. } => None,
            Self::Issuer { name, .. } => Some(name),
        }
    }

    /// What clients of equal names are told apart by.
    fn namespace(&self) -> Option<(&str, &str, Option<&str>)> {
        match self {
            Self::Key { .. } => None,
            Self::Issuer { name, claim, iss } => Some((name, claim, iss.as_deref())),
        }
    }
}

/// The key of identities, drawn anew for each process.
static IDENTITIES: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

impl Principal {
    /// The one constructor. INVARIANT: called by `verify/` alone, after proof.
    pub(crate) fn new(proven: Proven) -> Self {
        let identity = IDENTITIES.hash_one((proven.origin.namespace(), &proven.client));
        Self(Arc::new(Known { proven, identity }))
    }

    /// The client's name: the key's `client`, or the token's client claim (`sub` by default).
    /// Where the issuer's `iss` has a claim in it, such as a tenant's id, that claim's value
    /// stands before the name: `<claim>/<client>`.
    ///
    /// Names of two issuers, or of an issuer and of the key table, may be equal and yet mean
    /// two clients: use [`issuer`](Self::issuer) to tell them apart.
    pub fn client(&self) -> &str {
        &self.0.proven.client
    }

    /// The kind of credential that proved the client.
    pub fn credential(&self) -> CredentialKind {
        match self.0.proven.origin {
            Origin::Key { .. } => CredentialKind::ApiKey,
            Origin::Issuer { .. } => CredentialKind::Token,
        }
    }

    /// The public name of the API key; `None` for tokens.
    pub fn key_id(&self) -> Option<&str> {
        match &self.0.proven.origin {
            Origin::Key { id } => Some(id),
            Origin::Issuer { .. } => None,
        }
    }

    /// The policy's name of the token's issuer; `None` for API keys.
    pub fn issuer(&self) -> Option<&str> {
        self.0.proven.origin.issuer()
    }

    /// The scopes that were granted.
    pub fn scopes(&self) -> &Scopes {
        &self.0.proven.scopes
    }

    /// The roles, in the order in which they were granted.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.proven.roles.iter().map(|role| &**role)
    }

    /// The claims of the token; `None` for API keys.
    pub(crate) fn claims(&self) -> Option<&ClaimSet> {
        self.0.proven.claims.as_ref()
    }

    /// What tells this client from all others: a keyed hash of where it was proven, and of its
    /// name there. Clients of two issuers, or of an issuer and of the key table, are two. It is
    /// made once, when the client is proven, for buckets that are looked up ever after.
    pub(crate) fn identity(&self) -> u64 {
        self.0.identity
    }

    /// The plan that limits are chosen by; `None` where neither key nor token names one.
    pub fn plan(&self) -> Option<&str> {
        self.0.proven.plan.as_deref()
    }
}
