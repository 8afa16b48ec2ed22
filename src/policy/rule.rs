//! Rules: who may call what, and which limits count it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, Method};
use ipnet::IpNet;
use metrics::Counter;

use super::needs::{Needs, check_any};
use super::path::values;
use super::reading::decode;
use super::refusal::Refusal;
use super::{DenialPolicy, StatusMode};
use crate::address::{ClientAddress, Outside};
use crate::claims::Parameters;
use crate::credential::Kinds;
use crate::principal::Principal;

/// One `[[rule]]`.
pub(crate) struct Rule {
    /// Its place in the policy.
    pub(crate) index: usize,
    pub(crate) counters: Counters,
    pub(crate) name: Arc<str>,
    /// As in the policy; empty for all.
    pub(crate) methods: Vec<Method>,
    pub(crate) path: Box<str>,
    pub(crate) access: Access,
    /// Where requests may come from; anywhere when empty.
    pub(crate) addresses: Vec<IpNet>,
    /// The limits that count it, each at its own cost.
    pub(crate) limits: Vec<RuleLimit>,
    /// The same for requests without a credential; `None` where `limits` counts them too.
    pub(crate) anonymous_limits: Option<Vec<RuleLimit>>,
    /// Whether an address that failed too often waits, though nobody is asked for a credential.
    pub(crate) waits: bool,
    pub(crate) mode: Mode,
    /// Which status its denials have; `None` where it is the policy's.
    pub(crate) status: Option<StatusMode>,
    /// What it is for, in the operator's words.
    pub(crate) description: Option<Box<str>>,
    /// Whether client developers are told of it: in the handbook and in OpenAPI documents.
    pub(crate) listed: bool,
    /// Whether a decision needs the client's address.
    pub(crate) needs_address: bool,
    /// Whether paths with an encoded `/` or `\` are admitted.
    pub(crate) encoded_slashes: bool,
    /// The parameters of the path that decide, by name: those that claims or limits name.
    pub(crate) path_parameters: Vec<Box<str>>,
}

/// A limit of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RuleLimit {
    /// Its index among the policy's limits.
    pub(crate) limit: usize,
    /// The tokens that a request takes of it. 0 takes none, and is refused while there is none.
    pub(crate) cost: u32,
}

/// The counters of a rule's requests. Each is made when it is first needed: finding one anew costs
/// more than the decision.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    admitted: OnceLock<Counter>,
    denied: OnceLock<Box<[OnceLock<Counter>]>>,
}

impl Counters {
    pub(crate) fn admitted(&self, make: impl FnOnce() -> Counter) -> &Counter {
        self.admitted.get_or_init(make)
    }

    /// The counter at `index` of `count`.
    pub(crate) fn denied(
        &self,
        index: usize,
        count: usize,
        make: impl FnOnce() -> Counter,
    ) -> Option<&Counter> {
        let empty = || std::iter::repeat_with(OnceLock::new).take(count).collect();
        Some(self.denied.get_or_init(empty).get(index)?.get_or_init(make))
    }
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
    /// The names of the issuers whose tokens are accepted; any when empty. Keys are not concerned.
    pub(crate) issuers: Vec<Arc<str>>,
    /// What every caller needs.
    pub(crate) needs: Needs,
    /// At least one of these is needed too; empty where none is.
    pub(crate) any: Vec<Needs>,
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

impl Mode {
    /// The mode as it is written in a policy.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Rule {
    /// Whether the caller may do this: address, then scopes, roles and claims.
    #[inline]
    pub(crate) fn permit(
        &self,
        address: Option<ClientAddress>,
        principal: Option<&Principal>,
        path: &str,
    ) -> Result<(), Refusal> {
        self.check_address(address)?;
        match (self.demands(), principal) {
            (Some(demands), Some(principal)) => {
                demands.check(principal, &|name| self.parameter(path, name))
            }
            _ => Ok(()),
        }
    }

    /// What a parameter of the rule's path stands for in a path that the rule covers: as the raw
    /// path is matched, percent-decoded once.
    pub(crate) fn parameter<'p>(&'p self, path: &'p str, name: &str) -> Option<Cow<'p, str>> {
        let (_, value) = values(&self.path, path).find(|(known, _)| *known == name)?;
        Some(if value.contains('%') { decode(value).into() } else { value.into() })
    }

    /// The limits that count a request of this caller; each request has those of its kind alone.
    pub(crate) fn limits_of(&self, principal: Option<&Principal>) -> &[RuleLimit] {
        match (&self.anonymous_limits, principal) {
            (Some(limits), None) => limits,
            _ => &self.limits,
        }
    }

    /// Which status its denials have.
    pub(crate) fn status_mode(&self, denial: &DenialPolicy) -> StatusMode {
        self.status.unwrap_or(denial.status)
    }

    /// Whether tokens are credentials here.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.demands().is_some_and(|demands| demands.kinds.has_tokens())
    }

    /// Whether a request without a credential is let in: where none is asked for, or none is needed.
    pub(crate) fn takes_anybody(&self) -> bool {
        self.demands().is_none_or(|demands| demands.anonymous == Anonymous::Admitted)
    }

    /// The indices of all limits of the rule, each once.
    pub(crate) fn all_limits(&self) -> impl Iterator<Item = usize> {
        let of = |limit: &RuleLimit| limit.limit;
        let is_new = move |limit: &usize| !self.limits.iter().any(|held| held.limit == *limit);
        let others = self.anonymous_limits.iter().flatten().map(of).filter(is_new);
        self.limits.iter().map(of).chain(others)
    }

    /// Whether the client's address lets it call; asked of everybody, on public rules too.
    fn check_address(&self, address: Option<ClientAddress>) -> Result<(), Refusal> {
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
    /// What every caller needs, then that one of the alternatives is met: the first that is not is
    /// the answer.
    fn check(&self, principal: &Principal, parameter: &Parameters<'_>) -> Result<(), Refusal> {
        self.needs.check(principal, parameter)?;
        if self.any.is_empty() { Ok(()) } else { check_any(&self.any, principal, parameter) }
    }

    /// Whether tokens of the issuer with this name are accepted, where tokens are.
    pub(crate) fn takes_issuer(&self, name: &str) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|issuer| **issuer == *name)
    }

    /// What every caller needs, and each of the alternatives.
    pub(crate) fn all_needs(&self) -> impl Iterator<Item = &Needs> {
        std::iter::once(&self.needs).chain(&self.any)
    }
}

/// What is done with CORS preflights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Preflights {
    /// They are judged like any request.
    Judge,
    /// Those whose path and requested method have a rule pass, unjudged and unmetered.
    Pass,
}

/// The method that a CORS preflight asks for (Fetch section 3.3.2); `None` where the request is no preflight.
pub(crate) fn requested_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    let mut lines = headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter();
    match (lines.next(), lines.next()) {
        (Some(only), None) => Method::from_bytes(only.as_bytes()).ok(),
        _ => None,
    }
}
