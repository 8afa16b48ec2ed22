//! Why a request is refused: the error of the stage that said no, with its evidence.

use crate::address::Address;
use crate::ask::Came;
use crate::credential::CredentialError;
use crate::limit::{Balance, Unavailable};
use crate::policy::{NoRule, Refusal};
use crate::principal::CredentialKind;
use crate::verify::{Asked, KeyError, TokenError};

/// The error of a stage.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// No rule covers the request.
    NoRule(NoRule),
    /// The decision needs the client's address, and the server does not know the peer's.
    AddressUnknown,
    /// The address has to wait, since too many attempts from it failed.
    TooManyFailures(TooManyFailures),
    /// The request does not carry exactly one credential that is accepted here.
    Credential(CredentialError),
    Key(KeyError),
    Token(TokenError),
    /// The caller is known, and may not do this.
    Permit(Refusal),
    /// A limit is short. This is how all limits of the rule stand: boxed, since whatever a stage
    /// gives back is as large as the largest error.
    Limits(Box<Balance>),
    /// Whether a limit is short is not known, since its store cannot be asked.
    Unavailable(Unavailable),
}

/// An address that has to wait.
#[derive(Clone, Debug)]
pub(crate) struct TooManyFailures {
    /// Microseconds until the address may fail again.
    pub(crate) wait: u64,
    pub(crate) cause: WaitCause,
}

/// Why an address that has to wait is refused now.
#[derive(Clone, Debug)]
pub(crate) enum WaitCause {
    /// This attempt failed too.
    Failed(Box<Refused>),
    /// The address has asked for too many proofs already, so its credential, of this kind, was not
    /// looked at.
    NotLookedAt(CredentialKind),
    /// The rule is public, and lets no such address pass.
    Public,
}

impl Refused {
    /// Whether a credential was presented and proved nothing: then the attempt is charged to the
    /// address that it came from.
    pub(crate) fn proves_nothing(&self) -> bool {
        match self {
            Self::Key(error) => error.proves_nothing(),
            Self::Token(error) => error.proves_nothing(),
            _ => false,
        }
    }
}

impl Refused {
    /// Whether the keys that a token was judged by may have changed: then this is no failed attempt.
    pub(crate) fn may_ask_again(&self) -> bool {
        matches!(self, Self::Token(error) if error.may_ask_again())
    }

    /// The keys that could change the refusal are asked for, and are not there yet: that is a fault of
    /// ours.
    pub(crate) fn source_is_unavailable(&mut self) {
        if let Self::Token(error) = self {
            error.make_unavailable();
        }
    }

    /// Begins a refresh of the keys that a token was judged by, or joins the one that has begun,
    /// where other keys could change the refusal and the request has not waited for them. `address` is
    /// what the request is counted by.
    pub(crate) fn asks_again(&self, came: &Came, address: Option<Address>) -> Option<Asked> {
        match self {
            Self::Token(error) if !came.keys => error.asks_again(address),
            Self::Key(error) if came.record.is_none() => error.asks_again().map(Asked::Waits),
            _ => None,
        }
    }
}

impl From<NoRule> for Refused {
    fn from(reason: NoRule) -> Self {
        Self::NoRule(reason)
    }
}

impl From<CredentialError> for Refused {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::AddressUnknown => Self::AddressUnknown,
            error => Self::Key(error),
        }
    }
}

impl From<TooManyFailures> for Refused {
    fn from(failures: TooManyFailures) -> Self {
        Self::TooManyFailures(failures)
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AddressUnknown => Self::AddressUnknown,
            refusal => Self::Permit(refusal),
        }
    }
}
