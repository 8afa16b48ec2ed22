//! Why a token is refused, with the evidence.

use std::sync::Arc;

use super::issuer::Issuer;
use super::key_set::Asked;
use crate::address::Address;
use crate::principal::Proven;

/// Why a token is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(crate) enum TokenError {
    TooLarge,
    /// With what exactly, for the log.
    Malformed(&'static str),
    IssuerUnknown,
    AlgorithmNotAllowed(Arc<Issuer>),
    KeyUnknown(Arc<Issuer>),
    SignatureInvalid(Arc<Issuer>, ChosenBy),
    /// The keys of the issuer are fetched, and could not be: nothing is known of the token.
    KeySourceUnavailable(Arc<Issuer>),
    Expired {
        at: u64,
        /// Unix seconds of `iat`, where the token has one that can be read.
        issued: Option<u64>,
    },
    NotYetValid {
        from: u64,
        /// Microseconds until it is valid, leeway included.
        wait: u64,
    },
    AudienceMismatch {
        issuer: Arc<Issuer>,
        /// The claim that was to name the audience.
        claim: Arc<str>,
        looks_like_id_token: bool,
    },
    TypeMismatch {
        issuer: Arc<Issuer>,
        /// Whether there is a `typ` at all.
        has_type: bool,
        looks_like_id_token: bool,
    },
    /// It is bound to a key of its client, and nothing proves that key.
    ProofRequired(Arc<Issuer>),
    ClaimMissing {
        claim: Arc<str>,
        looks_like_id_token: bool,
    },
    ClaimInvalid {
        claim: Arc<str>,
        why: ClaimFault,
    },
    /// It is valid, and was revoked.
    Revoked(Arc<Proven>),
}

/// How the key was chosen that a signature does not fit.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ChosenBy {
    /// The token names it.
    Kid,
    /// It is the only one that fits the algorithm, or all that do were tried.
    Algorithm,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub(crate) enum ClaimFault {
    /// A time is not a number.
    NotATime,
    /// A time is before 1970 or after the year 9999.
    OutOfRange,
    /// A time is out of range, and would be in range as milliseconds.
    Milliseconds,
    /// `exp` is further ahead than the issuer's `max_lifetime`.
    Lifetime,
    /// An audience is neither text nor an array of texts.
    NotAnAudience,
    /// A client is neither text nor a whole number.
    NotAClient,
    /// A client is the empty text.
    Empty,
    /// Scopes are neither text nor an array of texts, or have characters that no scope has.
    NotScopes,
    /// Roles are neither text, nor an array of texts, nor an object.
    NotRoles,
    /// A plan is not text.
    NotAPlan,
    /// It does not have the value that the issuer's `claims` ask for.
    NotAccepted,
    /// It does not fit the type that a handler asks for.
    NotAsTheHandlerAsks,
}

impl TokenError {
    /// Whether the signature was not proven: then the attempt is a guess, or a mistake.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::Malformed(_)
                | Self::IssuerUnknown
                | Self::AlgorithmNotAllowed(_)
                | Self::KeyUnknown(_)
                | Self::SignatureInvalid(..)
        )
    }

    /// Whether the keys of the issuer are fetched and may have changed, and a refresh may begin or
    /// has begun: then the refusal is not the last word, and no failed attempt.
    pub(crate) fn may_ask_again(&self) -> bool {
        self.source().and_then(|issuer| issuer.keys.remote()).is_some_and(|keys| keys.may_ask())
    }

    /// Begins a refresh of the issuer's keys for a request from `address`, or joins the one that has
    /// begun, where other keys could change the refusal. What it waits for ends with the refresh, or
    /// after half a second; then the token is to be judged once more. `None` where there is nothing
    /// to wait for.
    pub(crate) fn asks_again(&self, address: Option<Address>) -> Option<Asked> {
        self.source()?.keys.remote()?.ask(address)
    }

    /// Makes it the fault of ours that the issuer's keys are not there.
    pub(crate) fn make_unavailable(&mut self) {
        if let Some(issuer) = self.source().cloned() {
            *self = Self::KeySourceUnavailable(issuer);
        }
    }

    /// The issuer whose keys, were they others, could change the refusal.
    fn source(&self) -> Option<&Arc<Issuer>> {
        match self {
            Self::KeyUnknown(issuer)
            | Self::KeySourceUnavailable(issuer)
            | Self::SignatureInvalid(issuer, ChosenBy::Algorithm) => Some(issuer),
            _ => None,
        }
    }
}
