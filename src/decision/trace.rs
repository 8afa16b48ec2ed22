//! The steps of a decision, for those who want to be told of them.

use std::fmt;
use std::sync::Arc;

use crate::address::Address;
use crate::policy::Rule;
use crate::principal::{CredentialKind, Principal};

/// A step that a decision took.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// This rule covers the request.
    Rule(Arc<Rule>),
    /// The request comes from here; `None` where the server does not know.
    Address(Option<Address>),
    /// The request carries a credential of this kind.
    Presented(CredentialKind),
    /// It proves this caller.
    Proven(Principal),
    /// The policy lets the caller do this.
    Permitted,
    /// Every limit had the tokens for it.
    Charged,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "the rule `{}` covers the request", rule.name),
            Self::Address(Some(address)) => write!(f, "it comes from {address}"),
            Self::Address(None) => f.write_str("the server does not know where it comes from"),
            Self::Presented(kind) => write!(f, "it carries a credential of the kind `{kind}`"),
            Self::Proven(principal) => {
                write!(f, "the credential proves the client `{}`", principal.client())
            }
            Self::Permitted => f.write_str("the policy lets this client do this"),
            Self::Charged => f.write_str("every limit of the rule has the tokens for it"),
        }
    }
}

/// Is told of each step. The step is made only if somebody listens.
pub(crate) trait Trace {
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody listens: this is compiled to nothing.
impl Trace for () {
    #[inline(always)]
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}

/// Every step, in order.
impl Trace for Vec<Step> {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
