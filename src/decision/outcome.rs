//! What becomes of a request.

use std::sync::Arc;

use super::caller::Caller;
use super::refused::Refused;
use crate::limit::{Buckets, Charges, Settled, Settlement, Settling};
use crate::policy::{Mode, Rule};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) caller: Caller,
    pub(crate) outcome: Outcome,
}

/// How a decision ends.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A CORS preflight passes unjudged; this rule covers the request that it asks for.
    Preflight(Arc<Rule>),
    Admitted(Permit),
    /// This rule would refuse the request, but is in shadow mode. Nothing was charged.
    Shadowed(Arc<Rule>, Refused),
    /// The rule refuses the request, or no rule covers it.
    Refused(Option<Arc<Rule>>, Refused),
    /// All but the charges is decided, and the store is asked for them: [`Decision::settled`].
    Unsettled(Arc<Rule>, Box<Settling>),
}

/// What lets a request pass: the rule that admits it, and what was charged for it.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) rule: Arc<Rule>,
    pub(crate) charges: Charges,
}

impl Outcome {
    /// A rule refuses, or would.
    pub(super) fn by(rule: Arc<Rule>, refused: Refused) -> Self {
        match rule.mode {
            Mode::Shadow => Self::Shadowed(rule, refused),
            Mode::Enforce => Self::Refused(Some(rule), refused),
        }
    }
}

impl Decision {
    /// Why the request is refused, or would be.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        match &self.outcome {
            Outcome::Shadowed(_, refused) | Outcome::Refused(_, refused) => Some(refused),
            Outcome::Preflight(_) | Outcome::Admitted(_) | Outcome::Unsettled(..) => None,
        }
    }

    /// The decision about a request that had to wait for its charges, under `rule`.
    pub(crate) fn settled(
        caller: Caller,
        rule: Arc<Rule>,
        settlement: Settlement,
        buckets: &Buckets,
    ) -> Self {
        let Settlement { charges, settled } = settlement;
        let refused = match settled {
            Ok(Settled::Granted) => {
                return Self { caller, outcome: Outcome::Admitted(Permit { rule, charges }) };
            }
            Ok(Settled::Refused) => Refused::Limits(Box::new(buckets.balance(&charges))),
            Err(unavailable) => Refused::Unavailable(unavailable),
        };
        Self { caller, outcome: Outcome::by(rule, refused) }
    }

    /// The keys that a token was refused by are asked for anew, and are not there yet.
    pub(crate) fn keys_are_unavailable(&mut self) {
        if let Outcome::Shadowed(_, refused) | Outcome::Refused(_, refused) = &mut self.outcome
            && let Refused::Token(error) = refused
        {
            error.make_unavailable();
        }
    }

    /// The rule that covers the request.
    pub(crate) fn rule(&self) -> Option<&Arc<Rule>> {
        match &self.outcome {
            Outcome::Admitted(permit) => Some(&permit.rule),
            Outcome::Preflight(rule) | Outcome::Shadowed(rule, _) | Outcome::Unsettled(rule, _) => {
                Some(rule)
            }
            Outcome::Refused(rule, _) => rule.as_ref(),
        }
    }
}
