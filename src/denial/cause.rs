//! From the error of a stage to the facts of its document, stage by stage.

mod credential;
mod key;
mod limit;
mod permit;
mod token;

pub(crate) use credential::remedy_for;

use http::{HeaderValue, Method};

use self::credential::{refused_credential, unsupported};
use self::key::refused_key;
use self::limit::{rate_limited, too_many_failures, unavailable};
use self::permit::{address_unknown, refused_permit};
use self::token::refused_token;
use super::document::{Draft, Reason};
use super::facts::Facts;
use super::known::Known;
use super::odd_path::OddPath;
use crate::credential::Unsupported;
use crate::decision::Refused;
use crate::policy::NoRule;
use crate::principal::CredentialKind;

/// Says why: a pure function of the policy and of what is known of the denial.
pub(super) fn explain(known: &Known, draft: &Draft) -> Facts {
    match &draft.reason {
        Reason::Code(_) | Reason::Named(_) => Facts::default(),
        Reason::Fault(cause) => Facts::default().because(cause.clone()),
        Reason::OtherKind { wanted } => unsupported(match wanted {
            CredentialKind::ApiKey => Unsupported::Kind(CredentialKind::Token),
            _ => Unsupported::Kind(CredentialKind::ApiKey),
        }),
        Reason::Refused(refused) => match refused {
            Refused::NoRule(error) => no_rule(error),
            Refused::AddressUnknown => address_unknown(),
            Refused::TooManyFailures(failures) => too_many_failures(failures),
            Refused::Credential(error) => refused_credential(known, error, draft),
            Refused::Key(error) => refused_key(known, error, draft.now),
            Refused::Token(error) => refused_token(known, error, draft),
            Refused::Permit(refusal) => refused_permit(known, refusal, draft),
            Refused::Limits(balance) => rate_limited(known, balance, draft),
            Refused::Unavailable(_) => unavailable(),
        },
    }
}

fn no_rule(error: &NoRule) -> Facts {
    match error {
        NoRule::Path => Facts::default(),
        NoRule::Ambiguous(why) => {
            let (detail, remedy) = OddPath::of(why).texts();
            Facts::default().detail(detail).remedy(remedy).because(why.to_string())
        }
        NoRule::Method(allowed) => {
            let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
            let allow = HeaderValue::try_from(names.join(", ")).ok();
            Facts { allow, ..Facts::default() }.texts("allowed_methods", names)
        }
    }
}

#[cfg(test)]
mod tests;
