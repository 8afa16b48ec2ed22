//! Rules: who may call what, and which limits count it.

use std::num::NonZeroU32;
use std::sync::Arc;

use http::{HeaderMap, Method};
use ipnet::IpNet;

use crate::address::{Address, is_within};
use crate::claims::{ClaimMatch, Mismatch};
use crate::principal::{CredentialKind, Principal};
use crate::scope::Scope;

/// One `[[rule]]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    /// As in the policy; empty for all.
    pub(crate) methods: Vec<Method>,
    pub(crate) path: Box<str>,
    pub(crate) access: Access,
    /// Where requests may come from; anywhere when empty.
    pub(crate) addresses: Vec<IpNet>,
    /// Indices of the policy's limits.
    pub(crate) limits: Vec<usize>,
    pub(crate) cost: NonZeroU32,
    pub(crate) mode: Mode,
    /// Whether client developers are told of it: in the handbook and in OpenAPI documents.
    pub(crate) listed: bool,
    /// Whether a decision needs the client's address.
    pub(crate) needs_address: bool,
}

/// Who may call.
#[derive(Debug)]
pub(crate) enum Access {
    /// Anybody: no credential is asked for, and none is read.
    Public,
    Guarded(Demands),
}

/// What a principal must be and hold.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    pub(crate) api_key: bool,
    pub(crate) token: bool,
    /// All of these,
    pub(crate) scopes: Vec<Scope>,
    /// and one of these,
    pub(crate) any_scopes: Vec<Scope>,
    /// and one of these,
    pub(crate) roles: Vec<Box<str>>,
    /// and each of these claims.
    pub(crate) claims: Vec<ClaimMatch>,
}

/// What comes of a denial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Enforce,
    /// Decide, log and count, but let it pass.
    Shadow,
}

/// Why policy refuses a principal.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Address(Address),
    /// The rule is bound to addresses, and the client's is not known.
    AddressUnknown,
    Scope,
    Role,
    Claim {
        claim: Arc<str>,
        mismatch: Mismatch,
    },
}

impl Rule {
    /// Whether the client's address lets it call; asked of everybody, on public rules too.
    pub(crate) fn check_address(&self, address: Option<Address>) -> Result<(), Refusal> {
        match address {
            _ if self.addresses.is_empty() => Ok(()),
            None => Err(Refusal::AddressUnknown),
            Some(address) if is_within(&self.addresses, address.ip()) => Ok(()),
            Some(address) => Err(Refusal::Address(address)),
        }
    }

    /// What is demanded of a caller; `None` on public rules.
    pub(crate) fn demands(&self) -> Option<&Demands> {
        match &self.access {
            Access::Public => None,
            Access::Guarded(demands) => Some(demands),
        }
    }
}

impl Demands {
    pub(crate) fn accepts(&self, kind: CredentialKind) -> bool {
        match kind {
            CredentialKind::ApiKey => self.api_key,
            CredentialKind::Token => self.token,
        }
    }

    /// Scopes, then roles, then claims: the first that is not met is the answer.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Refusal> {
        let holds = |scope: &Scope| principal.scopes().contains(scope.as_str());
        if !self.scopes.iter().all(holds) {
            return Err(Refusal::Scope);
        }
        if !self.any_scopes.is_empty() && !self.any_scopes.iter().any(holds) {
            return Err(Refusal::Scope);
        }
        if !self.roles.is_empty()
            && !principal.roles().any(|held| self.roles.iter().any(|role| **role == *held))
        {
            return Err(Refusal::Role);
        }
        for demand in &self.claims {
            let met = principal.claims().ok_or(Mismatch::ApiKey);
            met.and_then(|claims| demand.check(claims)).map_err(|mismatch| Refusal::Claim {
                claim: demand.claim.name().clone(),
                mismatch,
            })?;
        }
        Ok(())
    }

    /// The scopes, of all demanded ones, that the principal does not hold.
    pub(crate) fn missing_scopes<'d>(&'d self, principal: &Principal) -> Vec<&'d Scope> {
        self.scopes.iter().filter(|scope| !principal.scopes().contains(scope.as_str())).collect()
    }
}

/// Whether the request is a CORS preflight, which carries no credentials (Fetch section 3.3).
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(http::header::ORIGIN)
        && headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
}
