//! Shapes: what decides about the document of a denial, `instance` and numbers aside.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use smallvec::SmallVec;

use super::catalogue::Code;
use super::code_of::code_of;
use super::document::{Denial, Draft, Reason};
use super::known::Known;
use super::odd_path::OddPath;
use crate::credential::{CredentialError, KeyFault, KeyMistake, Kinds, MalformedKey, Unsupported};
use crate::decision::{Refused, TooManyFailures, WaitCause};
use crate::limit::{Balance, Charge, Standing, Wait};
use crate::policy::{Needs, NoRule, Refusal, Rule, ScopeGap};
use crate::principal::CredentialKind;
use crate::time::MICROS;
use crate::verify::{ChosenBy, KeyError, TokenError};

/// What decides about the document of a denial, `instance` and numbers aside.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Shape {
    /// A code that is shown in place of others: at `disclosure = "minimal"`.
    Group { code: Code, accepted: Option<Kinds>, scopes: Option<usize>, waits: bool },
    /// A refusal whose evidence says all. `scopes` is the rule whose scopes its challenge names.
    Plain { evidence: Evidence, accepted: Option<Kinds>, scopes: Option<usize> },
    /// An address that waits, and what failed now.
    Waits(Evidence),
    /// An address that waits, and whose credential of this kind was not looked at; at a public rule,
    /// none is.
    WaitsUnseen(Option<CredentialKind>),
    /// The scopes that a caller lacks of those that this rule needs.
    Scopes { rule: usize, missing: SmallVec<[u16; 8]>, lacks_any: bool, kind: CredentialKind },
    /// For each limit of the rule which it is, its quota, its cost, and where its wait ranks among
    /// the others; and whether the address is told.
    Limits { standings: SmallVec<[(u32, u32, u32, u8); 2]>, address: bool },
}

/// The evidence of refusals that floods are made of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Evidence {
    NoRule,
    /// The path can be read in more than one way.
    Ambiguous(OddPath),
    Missing,
    MissingPart(CredentialKind),
    Unsupported(Unsupported),
    KeyMalformed(KeyFault, Option<KeyMistake>),
    KeyUnknown,
    TokenMalformed,
    TokenTooLarge,
    IssuerUnknown,
    /// Of the issuer with this index.
    AlgorithmNotAllowed(usize),
    TokenKeyUnknown(usize),
    /// The same, and what chose the key.
    SignatureInvalid(usize, ChosenBy),
}

impl Evidence {
    fn of(refused: &Refused, known: &Known) -> Option<Self> {
        let index = |issuer| known.issuers.iter().position(|one| Arc::ptr_eq(one, issuer));
        Some(match refused {
            Refused::NoRule(NoRule::Path) => Self::NoRule,
            Refused::NoRule(NoRule::Ambiguous(why)) => Self::Ambiguous(OddPath::of(why)),
            Refused::Credential(CredentialError::Missing) => Self::Missing,
            Refused::Credential(CredentialError::MissingPart(part)) => Self::MissingPart(*part),
            Refused::Credential(CredentialError::Unsupported(why)) => Self::Unsupported(*why),
            Refused::Key(KeyError::Malformed(MalformedKey { fault, mistake })) => {
                Self::KeyMalformed(*fault, *mistake)
            }
            Refused::Key(KeyError::Unknown) => Self::KeyUnknown,
            Refused::Token(TokenError::Malformed(_)) => Self::TokenMalformed,
            Refused::Token(TokenError::TooLarge) => Self::TokenTooLarge,
            Refused::Token(TokenError::IssuerUnknown) => Self::IssuerUnknown,
            Refused::Token(TokenError::AlgorithmNotAllowed(issuer)) => {
                Self::AlgorithmNotAllowed(index(issuer)?)
            }
            Refused::Token(TokenError::KeyUnknown(issuer)) => Self::TokenKeyUnknown(index(issuer)?),
            Refused::Token(TokenError::SignatureInvalid(issuer, chosen)) => {
                Self::SignatureInvalid(index(issuer)?, *chosen)
            }
            _ => return None,
        })
    }

    /// A refusal with this evidence.
    fn refused(self, known: &Known) -> Option<Refused> {
        let issuer = |index: usize| known.issuers.get(index).cloned();
        Some(match self {
            Self::NoRule => NoRule::Path.into(),
            Self::Ambiguous(odd) => NoRule::Ambiguous(odd.sample()).into(),
            Self::Missing => CredentialError::Missing.into(),
            Self::MissingPart(part) => CredentialError::MissingPart(part).into(),
            Self::Unsupported(why) => CredentialError::Unsupported(why).into(),
            Self::KeyMalformed(fault, mistake) => {
                KeyError::Malformed(MalformedKey { fault, mistake }).into()
            }
            Self::KeyUnknown => KeyError::Unknown.into(),
            Self::TokenMalformed => TokenError::Malformed("").into(),
            Self::TokenTooLarge => TokenError::TooLarge.into(),
            Self::IssuerUnknown => TokenError::IssuerUnknown.into(),
            Self::AlgorithmNotAllowed(index) => {
                TokenError::AlgorithmNotAllowed(issuer(index)?).into()
            }
            Self::TokenKeyUnknown(index) => TokenError::KeyUnknown(issuer(index)?).into(),
            Self::SignatureInvalid(index, chosen) => {
                TokenError::SignatureInvalid(issuer(index)?, chosen).into()
            }
        })
    }
}

impl Shape {
    /// The shape of a denial; `None` where it is written anew each time.
    pub(super) fn of(draft: &Draft, known: &Known, minimal: Option<Code>) -> Option<Self> {
        if let Some(code) = minimal {
            let waits = code.row().retryable && draft.wait().is_some();
            let scopes = challenged(draft, code);
            return Some(Self::Group { code, accepted: known.accepted(draft), scopes, waits });
        }
        let Reason::Refused(refused) = &draft.reason else { return None };
        if !draft.own.is_empty() || !draft.balance.is_empty() {
            return None;
        }
        // Which issuers are accepted depends on the rule, and a form is shared by all rules.
        let demands = draft.rule.as_deref().and_then(Rule::demands);
        if demands.is_some_and(|demands| !demands.issuers.is_empty())
            && matches!(refused, Refused::Token(TokenError::IssuerUnknown))
        {
            return None;
        }
        match refused {
            Refused::TooManyFailures(TooManyFailures { cause, .. }) => match cause {
                WaitCause::Failed(failure) => Evidence::of(failure, known).map(Self::Waits),
                WaitCause::NotLookedAt(kind) => Some(Self::WaitsUnseen(Some(*kind))),
                WaitCause::Public => Some(Self::WaitsUnseen(None)),
            },
            Refused::Limits(balance) => {
                let rank = |wait: Wait| match wait {
                    Wait::None => 0,
                    // How many others wait less long decides about the order of the items.
                    _ => 1 + balance.iter().filter(|(_, other)| other.wait < wait).count() as u8,
                };
                let state = |(charge, standing): &(Charge, Standing)| {
                    (charge.limit, charge.quota, charge.cost, rank(standing.wait))
                };
                let is_endless = balance.wait() == Wait::Never;
                let address = draft.address.is_some() && known.is_by_address(balance);
                let standings = balance.iter().map(state).collect();
                (!is_endless).then_some(Self::Limits { standings, address })
            }
            Refused::Permit(Refusal::Scope(gap)) => {
                let rule = draft.rule.as_ref()?;
                // What an extractor asks for is not of the rule.
                let demands = rule.demands()?;
                let is_of_rule = Arc::ptr_eq(&demands.needs.scopes, &gap.required)
                    && Arc::ptr_eq(&demands.needs.any_scopes, &gap.any);
                let (kind, missing) = (draft.kind?, gap.missing.clone());
                let (rule, lacks_any) = (rule.index, gap.lacks_any);
                is_of_rule.then_some(Self::Scopes { rule, missing, lacks_any, kind })
            }
            refused => {
                let evidence = Evidence::of(refused, known)?;
                let scopes = challenged(draft, code_of(refused));
                Some(Self::Plain { evidence, accepted: known.accepted(draft), scopes })
            }
        }
    }

    /// A denial of this shape, made of the shape and the policy alone. `rule` is of the policy.
    pub(super) fn sample(&self, rule: Option<&Arc<Rule>>, known: &Known) -> Option<Denial> {
        let reason = match self {
            Self::Group { code, .. } => Reason::Code(code.row()),
            Self::Plain { evidence, .. } => Reason::Refused(evidence.refused(known)?),
            Self::Waits(evidence) => {
                let cause = WaitCause::Failed(Box::new(evidence.refused(known)?));
                Reason::Refused(TooManyFailures { wait: MICROS, cause }.into())
            }
            Self::WaitsUnseen(kind) => {
                let cause = kind.map_or(WaitCause::Public, WaitCause::NotLookedAt);
                Reason::Refused(TooManyFailures { wait: MICROS, cause }.into())
            }
            Self::Scopes { missing, lacks_any, .. } => {
                let demands = rule?.demands()?;
                let needs = &demands.needs;
                let (required, any) = (needs.scopes.clone(), needs.any_scopes.clone());
                let (missing, lacks_any) = (missing.clone(), *lacks_any);
                let gap = ScopeGap { required, any, missing, lacks_any };
                Reason::Refused(Refusal::Scope(gap).into())
            }
            Self::Limits { standings, .. } => {
                let standing = |(limit, quota, cost, rank): &(u32, u32, u32, u8)| {
                    let wait = match rank {
                        0 => Wait::None,
                        rank => Wait::Micros(u64::from(*rank) * MICROS),
                    };
                    let charge = Charge::sample(*limit, *quota, *cost);
                    (charge, Standing { remaining: 0, wait, full_in: MICROS })
                };
                let balance: Balance = standings.iter().map(standing).collect();
                Reason::Refused(Refused::Limits(Box::new(balance)))
            }
        };
        let mut denial = Denial::because_of(reason);
        let draft = denial.draft_mut();
        draft.rule = rule.cloned();
        match self {
            Self::Group { waits: true, .. } => draft.own.wait = Some(1000),
            Self::Scopes { kind, .. } => draft.kind = Some(*kind),
            Self::Limits { address: true, .. } => draft.address = Some(SOMEWHERE.into()),
            _ => {}
        }
        Some(denial)
    }
}

/// The address of a sample.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The rule whose scopes the challenge of a code names, if it names any.
fn challenged(draft: &Draft, code: Code) -> Option<usize> {
    let challenge = code.row().challenge;
    let rule = draft.rule.as_ref().filter(|_| challenge.names_scopes())?;
    let demands = rule.demands()?;
    let needs_any = demands.all_needs().any(Needs::has_scopes);
    (needs_any && demands.kinds.has_tokens()).then_some(rule.index)
}
