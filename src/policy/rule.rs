//! Rules: who may call what, and which limits count it.

use std::num::NonZeroU32;
use std::sync::Arc;

use http::{HeaderMap, Method};
use ipnet::IpNet;
use serde_json::Value;

use crate::address::{Address, ClientAddress, Outside};
use crate::credential::Kinds;
use crate::principal::Principal;
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
    /// The kinds of credentials that are accepted.
    pub(crate) kinds: Kinds,
    /// What comes of a request without a credential.
    pub(crate) anonymous: Anonymous,
    /// All of these scopes are needed.
    pub(crate) scopes: Vec<Scope>,
    /// At least one of these scopes is needed, unless there are none.
    pub(crate) any_scopes: Vec<Scope>,
    /// At least one of these roles is needed, unless there are none.
    pub(crate) roles: Vec<Box<str>>,
    /// Each of these claims is needed.
    pub(crate) claims: Vec<(Box<str>, Value)>,
}

/// What comes of a request without a credential, where a rule asks for one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Anonymous {
    /// It is refused.
    #[default]
    Refused,
    /// It is let in as nobody: without a principal. A credential that is presented must be valid.
    Admitted,
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
    /// The rule is bound to addresses, and the header of a trusted proxy could not be read.
    AddressUnread,
    /// The rule is bound to addresses, and the server does not report the peer's.
    AddressUnknown,
    Scope,
    Role,
    Claim(Box<str>),
}

impl Rule {
    /// Whether the client's address lets it call; asked of everybody, on public rules too.
    pub(crate) fn check_address(&self, address: Option<ClientAddress>) -> Result<(), Refusal> {
        match address {
            _ if self.addresses.is_empty() => Ok(()),
            None => Err(Refusal::AddressUnknown),
            Some(address) => address.check(&self.addresses).map_err(|outside| match outside {
                Outside::Address(address) => Refusal::Address(address),
                Outside::Unread => Refusal::AddressUnread,
            }),
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
        for (name, wanted) in &self.claims {
            if !claim_is(principal, name, wanted) {
                return Err(Refusal::Claim(name.clone()));
            }
        }
        Ok(())
    }

    /// The scopes, of all demanded ones, that the principal does not hold.
    pub(crate) fn missing_scopes<'d>(&'d self, principal: &Principal) -> Vec<&'d Scope> {
        self.scopes.iter().filter(|scope| !principal.scopes().contains(scope.as_str())).collect()
    }
}

/// Whether a claim equals `wanted`, or is an array that holds it.
fn claim_is(principal: &Principal, name: &str, wanted: &Value) -> bool {
    let held = principal.claims().and_then(|claims| claims.get(name));
    match held.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        Some(Value::Array(held)) => held.contains(wanted),
        Some(held) => held == *wanted,
        None => false,
    }
}

/// Whether the request is a CORS preflight, which carries no credentials (Fetch section 3.3).
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(http::header::ORIGIN)
        && headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
}
