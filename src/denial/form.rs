//! Forms: documents that are written once, in which little changes from request to request.
//!
//! Most denials of a kind differ in `instance` and a few numbers alone. What decides about the
//! rest is their [`Shape`]. A form is made from a shape and the policy, and from nothing that a
//! request brought: so what one client sent can never be shown to another.

use std::sync::Arc;

use axum::body::Body;
use dashmap::DashMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::catalogue::Code;
use super::cause::Known;
use super::document::{Denial, Draft, Reason};
use super::rate_limit::decimal;
use super::written::{Hole, Written};
use crate::credential::{CredentialError, KeyFault, Kinds, MalformedKey, Unsupported};
use crate::decision::{Refused, TooManyFailures, WaitCause};
use crate::limit::{Balance, Charge, Standing, Wait};
use crate::policy::{Ambiguity, NoRule, Refusal, Rule, ScopeGap};
use crate::principal::CredentialKind;
use crate::time::MICROS;
use crate::verify::{ChosenBy, KeyError, TokenError};

/// How many forms are kept. Others are written anew each time.
const MOST: usize = 4096;

/// What decides about the document of a denial, `instance` and numbers aside.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Shape {
    /// A code that is shown in place of others: at `disclosure = "minimal"`.
    Group { code: Code, accepted: Option<Kinds>, waits: bool },
    /// A refusal whose evidence says all.
    Plain { evidence: Evidence, accepted: Option<Kinds> },
    /// An address that waits, and what failed now.
    Waits(Evidence),
    /// An address that waits, and whose credential of this kind was not looked at; at a public rule,
    /// none is.
    WaitsUnseen(Option<CredentialKind>),
    /// The scopes that a caller lacks of those that this rule needs.
    Scopes { rule: usize, missing: SmallVec<[u16; 8]>, kind: CredentialKind },
    /// For each limit of the rule which it is, its quota, its cost, and where its wait ranks among
    /// the others.
    Limits(SmallVec<[(u32, u32, u32, u8); 2]>),
}

/// The evidence of refusals that floods are made of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Evidence {
    NoRule,
    /// The path can be read in more than one way.
    Ambiguous,
    Missing,
    MissingPart(CredentialKind),
    Unsupported(Unsupported),
    KeyMalformed(KeyFault),
    KeyUnknown,
    TokenMalformed,
    TokenTooLarge,
    IssuerUnknown,
    /// Of the issuer with this index.
    AlgorithmNotAllowed(usize),
    TokenKeyUnknown(usize),
    SignatureInvalid(usize),
}

impl Evidence {
    fn of(refused: &Refused, known: &Known) -> Option<Self> {
        let index = |issuer| known.issuers.iter().position(|one| Arc::ptr_eq(one, issuer));
        Some(match refused {
            Refused::NoRule(NoRule::Path) => Self::NoRule,
            Refused::NoRule(NoRule::Ambiguous(_)) => Self::Ambiguous,
            Refused::Credential(CredentialError::Missing) => Self::Missing,
            Refused::Credential(CredentialError::MissingPart(part)) => Self::MissingPart(*part),
            Refused::Credential(CredentialError::Unsupported(why)) => Self::Unsupported(*why),
            Refused::Key(KeyError::Malformed(malformed)) => Self::KeyMalformed(malformed.fault),
            Refused::Key(KeyError::Unknown) => Self::KeyUnknown,
            Refused::Token(TokenError::Malformed(_)) => Self::TokenMalformed,
            Refused::Token(TokenError::TooLarge) => Self::TokenTooLarge,
            Refused::Token(TokenError::IssuerUnknown) => Self::IssuerUnknown,
            Refused::Token(TokenError::AlgorithmNotAllowed(issuer)) => {
                Self::AlgorithmNotAllowed(index(issuer)?)
            }
            Refused::Token(TokenError::KeyUnknown(issuer)) => Self::TokenKeyUnknown(index(issuer)?),
            Refused::Token(TokenError::SignatureInvalid(issuer, _)) => {
                Self::SignatureInvalid(index(issuer)?)
            }
            _ => return None,
        })
    }

    /// A refusal with this evidence.
    fn refused(self, known: &Known) -> Option<Refused> {
        let issuer = |index: usize| known.issuers.get(index).cloned();
        Some(match self {
            Self::NoRule => NoRule::Path.into(),
            Self::Ambiguous => {
                NoRule::Ambiguous(Ambiguity::EncodedSlash { rule: "".into() }).into()
            }
            Self::Missing => CredentialError::Missing.into(),
            Self::MissingPart(part) => CredentialError::MissingPart(part).into(),
            Self::Unsupported(why) => CredentialError::Unsupported(why).into(),
            Self::KeyMalformed(fault) => {
                KeyError::Malformed(MalformedKey { fault, mistake: None }).into()
            }
            Self::KeyUnknown => KeyError::Unknown.into(),
            Self::TokenMalformed => TokenError::Malformed("").into(),
            Self::TokenTooLarge => TokenError::TooLarge.into(),
            Self::IssuerUnknown => TokenError::IssuerUnknown.into(),
            Self::AlgorithmNotAllowed(index) => {
                TokenError::AlgorithmNotAllowed(issuer(index)?).into()
            }
            Self::TokenKeyUnknown(index) => TokenError::KeyUnknown(issuer(index)?).into(),
            Self::SignatureInvalid(index) => {
                TokenError::SignatureInvalid(issuer(index)?, ChosenBy::Kid).into()
            }
        })
    }
}

impl Shape {
    /// The shape of a denial; `None` where it is written anew each time.
    pub(super) fn of(draft: &Draft, known: &Known, minimal: Option<Code>) -> Option<Self> {
        if let Some(code) = minimal {
            let waits = code.row().retryable && draft.wait().is_some();
            return Some(Self::Group { code, accepted: known.accepted(draft), waits });
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
                (!is_endless).then(|| Self::Limits(balance.iter().map(state).collect()))
            }
            Refused::Permit(Refusal::Scope(gap)) => {
                let rule = draft.rule.as_ref()?;
                // What an extractor asks for is not of the rule.
                let demands = rule.demands()?;
                let is_of_rule = Arc::ptr_eq(&demands.needs.scopes, &gap.required)
                    && Arc::ptr_eq(&demands.needs.any_scopes, &gap.any);
                let (kind, missing) = (draft.kind?, gap.missing.clone());
                is_of_rule.then_some(Self::Scopes { rule: rule.index, missing, kind })
            }
            refused => {
                let evidence = Evidence::of(refused, known)?;
                Some(Self::Plain { evidence, accepted: known.accepted(draft) })
            }
        }
    }

    /// A denial of this shape, made of the shape and the policy alone. `rule` is of the policy.
    fn sample(&self, rule: Option<&Arc<Rule>>, known: &Known) -> Option<Denial> {
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
            Self::Scopes { missing, .. } => {
                let demands = rule?.demands()?;
                let (required, any) =
                    (demands.needs.scopes.clone(), demands.needs.any_scopes.clone());
                let gap = ScopeGap { required, any, missing: missing.clone() };
                Reason::Refused(Refusal::Scope(gap).into())
            }
            Self::Limits(standings) => {
                let standing = |(limit, quota, cost, rank): &(u32, u32, u32, u8)| {
                    let wait = match rank {
                        0 => Wait::None,
                        rank => Wait::Micros(u64::from(*rank) * MICROS),
                    };
                    let charge = Charge::sample(*limit, *quota, *cost);
                    (charge, Standing { remaining: 0, wait, full_in: MICROS })
                };
                Reason::Refused(Refused::Limits(
                    standings.iter().map(standing).collect::<Balance>(),
                ))
            }
        };
        let mut denial = Denial::because_of(reason);
        let draft = denial.draft_mut();
        draft.rule = rule.cloned();
        match self {
            Self::Group { waits: true, .. } => draft.own.retry_after = Some(1),
            Self::Scopes { kind, .. } => draft.kind = Some(*kind),
            _ => {}
        }
        Some(denial)
    }
}

/// A response on its way out.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) written: Written,
}

impl Composed {
    pub(super) fn into_response(self) -> Response<Body> {
        respond(self.status, self.headers, self.written.bytes)
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The forms that are kept.
#[derive(Debug, Default)]
pub(super) struct Forms(DashMap<Shape, Arc<Form>, ahash::RandomState>);

impl Forms {
    /// The form of this shape. It is made when it is first needed: `compose` writes the document of
    /// a sample denial. `None` where it is not kept, so that the denial is written anew.
    pub(super) fn get(
        &self,
        shape: Shape,
        rule: Option<&Arc<Rule>>,
        known: &Known,
        compose: impl FnOnce(&Denial) -> Composed,
    ) -> Option<Arc<Form>> {
        if let Some(form) = self.0.get(&shape) {
            return Some(form.clone());
        }
        if self.0.len() >= MOST {
            return None;
        }
        let composed = compose(&shape.sample(rule, known)?);
        // Where the sample did not fit, others might: their numbers are of another length.
        if composed.written.is_cut {
            return None;
        }
        let form = Arc::new(Form::new(composed));
        self.0.insert(shape, form.clone());
        Some(form)
    }
}

#[cfg(test)]
impl Forms {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is filled in.
pub(super) trait Values {
    fn instance(&self) -> &str;
    fn number(&self, hole: Hole) -> u64;
    /// The value of a header field, if it changes.
    fn header(&self, name: &HeaderName) -> Option<HeaderValue>;
}

/// A response with holes.
#[derive(Debug)]
pub(super) struct Form {
    status: StatusCode,
    headers: HeaderMap,
    /// The document without what was in the holes.
    text: Box<[u8]>,
    /// Where they are.
    holes: Box<[(usize, Hole)]>,
}

impl Form {
    fn new(composed: Composed) -> Self {
        let Composed { status, mut headers, written } = composed;
        let (mut text, mut holes, mut from) = (Vec::new(), Vec::new(), 0);
        for (begin, end, hole) in written.holes {
            text.extend_from_slice(&written.bytes[from..begin]);
            holes.push((text.len(), hole));
            from = end;
        }
        text.extend_from_slice(&written.bytes[from..]);
        // Its place: in a copy of these headers there is no room for another one.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Self { status, headers, text: text.into(), holes: holes.into() }
    }

    pub(super) fn fill(&self, values: &impl Values) -> Response<Body> {
        // In a hole is `instance`, or a number of at most twenty digits.
        let room = values.instance().len() + 20 * self.holes.len();
        let mut body = Vec::with_capacity(self.text.len() + room);
        let mut from = 0;
        for (at, hole) in &self.holes {
            body.extend_from_slice(&self.text[from..*at]);
            from = *at;
            match hole {
                Hole::Instance => body.extend_from_slice(values.instance().as_bytes()),
                hole => {
                    let number = values.number(*hole);
                    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
            }
        }
        body.extend_from_slice(&self.text[from..]);

        let mut headers = self.headers.clone();
        for (name, value) in &mut headers {
            if *name == CONTENT_LENGTH {
                *value = decimal(body.len() as u64);
            } else if let Some(changed) = values.header(name) {
                *value = changed;
            }
        }
        respond(self.status, headers, body)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::body::to_bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::denial::{Media, Registry, Renderer};
    use crate::policy::{Faults, Policy, RuleLimit, Sources, load};
    use crate::principal::Principal;
    use crate::time::Wall;
    use crate::verify::NewApiKey;

    const NOW: Wall = Wall::from_seconds(1_800_000_000);

    const POLICY: &str = r#"
[failures]
rate = "1/minute"
[[issuer]]
name = "one"
iss = "https://one.example/"
audiences = ["a"]
algorithms = ["HS256", "HS512"]
keys = { secret_env = "TOLLGATE_TEST_LONG_SECRET" }
obtain = "https://one.example/tokens"
[[issuer]]
name = "two"
iss = "https://two.example/"
audiences = ["a"]
algorithms = ["HS256"]
keys = { secret_env = "TOLLGATE_TEST_SECRET" }
[[limit]]
name = "small"
rate = "1/minute"
burst = 3
per = ["client"]
plans.pro = { rate = "1/second", burst = 100000 }
[[limit]]
name = "large"
rate = "100/hour"
burst = 4000
per = ["address"]
[[rule]]
name = "keys"
path = "/keys"
credentials = ["api_key"]
scopes = ["a", "b", "c"]
any_scopes = ["x", "y"]
limits = ["small", "large"]
[[rule]]
name = "both"
path = "/both"
limits = ["large"]
cost = 17
[[rule]]
name = "open"
path = "/open"
public = true
limits = ["large"]
"#;

    /// How denials are written by a policy, and what they are made from.
    struct Press {
        policy: Policy,
        renderer: Renderer,
        known: Known,
        principal: Principal,
    }

    impl Press {
        fn new(denial: &str) -> Self {
            let key = NewApiKey::generate("tg").unwrap();
            let text = format!(
                "version = 1\n[denial]\n{denial}\n[api_keys]\n[[api_keys.key]]\nid = \"k\"\n\
                 client = \"c\"\ndigest = \"{}\"\nscopes = [\"b\"]\n{POLICY}",
                key.digest()
            );
            let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
            let renderer = Renderer::new(&policy, Registry::default());
            let known = Known::of(&policy);
            let principal = Principal::of_key(policy.keys.iter().next().unwrap());
            Self { policy, renderer, known, principal }
        }

        fn rule(&self, index: usize) -> Arc<Rule> {
            self.policy.rules.iter().nth(index).unwrap().clone()
        }

        /// A refusal of the kind with this number, with these numbers as its evidence.
        fn refused(&self, kind: usize, numbers: &[u64; 4], rule: &Rule) -> Refused {
            let number = |at: usize, below: usize| numbers[at] as usize % below;
            let issuer = || self.known.issuers[number(0, 2)].clone();
            match kind {
                0 if numbers[0].is_multiple_of(2) => NoRule::Path.into(),
                0 => NoRule::Ambiguous(Ambiguity::EncodedSlash { rule: rule.name.clone() }).into(),
                1 => CredentialError::Missing.into(),
                2 => {
                    let why = [
                        Unsupported::Scheme,
                        Unsupported::Kind(CredentialKind::ApiKey),
                        Unsupported::Kind(CredentialKind::Token),
                        Unsupported::KeyAsBearer,
                    ];
                    CredentialError::Unsupported(why[number(0, 4)]).into()
                }
                3 => {
                    let faults = [
                        KeyFault::Empty,
                        KeyFault::Prefix,
                        KeyFault::Length,
                        KeyFault::Characters,
                        KeyFault::CheckDigits,
                    ];
                    KeyError::Malformed(MalformedKey { fault: faults[number(0, 5)], mistake: None })
                        .into()
                }
                4 => KeyError::Unknown.into(),
                5 => TokenError::Malformed("of the request").into(),
                6 => TokenError::TooLarge.into(),
                7 => TokenError::IssuerUnknown.into(),
                8 => TokenError::AlgorithmNotAllowed(issuer()).into(),
                9 => TokenError::KeyUnknown(issuer()).into(),
                10 => TokenError::SignatureInvalid(issuer(), ChosenBy::Kid).into(),
                11 | 12 => {
                    let cause = match number(0, 4) {
                        _ if kind == 12 => {
                            let failure = self.refused(number(1, 8) + 3, numbers, rule);
                            WaitCause::Failed(Box::new(failure))
                        }
                        0 => WaitCause::Public,
                        1 => WaitCause::NotLookedAt(CredentialKind::ApiKey),
                        _ => WaitCause::NotLookedAt(CredentialKind::Token),
                    };
                    let wait = numbers[2] % (100_000 * MICROS) + 1;
                    TooManyFailures { wait, cause }.into()
                }
                13 => {
                    let demands = rule.demands().unwrap();
                    let holds = |scope: &crate::scope::Scope| {
                        let at = scope.as_str().bytes().next().unwrap() % 8;
                        numbers[0] >> at & 1 == 1
                    };
                    match ScopeGap::of(&demands.needs.scopes, &demands.needs.any_scopes, holds) {
                        Some(gap) => Refusal::Scope(gap).into(),
                        None => KeyError::Unknown.into(),
                    }
                }
                _ => {
                    let standing = |(at, of): (usize, &RuleLimit)| {
                        let RuleLimit { limit, cost } = of;
                        let wait = match numbers[at] % 4 {
                            0 => Wait::None,
                            _ => Wait::Micros(numbers[at + 1] % (90_000 * MICROS) + 1),
                        };
                        let quota =
                            numbers[at + 2] as u32 % self.policy.limits[*limit].quotas.len() as u32;
                        let remaining = (numbers[at] >> 8) as u32 % 100_000;
                        let standing = Standing { remaining, wait, full_in: numbers[at + 1] >> 20 };
                        (Charge::sample(*limit as u32, quota, *cost), standing)
                    };
                    let limits = rule.limits.iter().enumerate();
                    Refused::Limits(limits.map(standing).collect())
                }
            }
        }

        /// A denial as the form fills it, where it has one, and as it is composed.
        fn both(&self, denial: &Denial) -> (Option<String>, String) {
            let (draft, code) = (denial.draft(), self.renderer.code(denial.draft()).unwrap());
            let filled = self.renderer.fill(draft, code).map(written);
            (filled, written(self.renderer.compose(draft, code).into_response()))
        }
    }

    /// Status, headers and body of a response, as text.
    fn written(response: Response<Body>) -> String {
        let (head, body) = response.into_parts();
        let mut headers: Vec<String> = (head.headers.iter())
            .filter(|(name, _)| *name != CONTENT_LENGTH)
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(to_bytes(body, usize::MAX)).unwrap();
        let length =
            head.headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().parse());
        assert!(length.is_none_or(|length| length == Ok(body.len())), "the length is the body's");
        format!("{}\n{}\n{}", head.status, headers.join("\n"), String::from_utf8_lossy(&body))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever was denied before: a form that is filled equals the document that is composed.
        #[test]
        fn a_filled_form_is_the_composed_document(
            level in 0_usize..3,
            denials in prop::collection::vec(
                (0_usize..16, any::<[u64; 4]>(), 0_usize..3, any::<bool>()), 1..12,
            ),
        ) {
            thread_local! {
                static PRESSES: [Press; 3] = [
                    Press::new(""),
                    Press::new("status = \"standard\"\nratelimit_headers = \"both\"\nsupport = \"https://x.example\""),
                    Press::new("disclosure = \"minimal\""),
                ];
            }
            PRESSES.with(|presses| {
                let press = &presses[level];
                for (kind, numbers, rule, by_token) in denials {
                    // Only the first rule asks for scopes.
                    let rule = press.rule(if kind == 13 { 0 } else { rule });
                    let refused = press.refused(kind, &numbers, &rule);
                    let mut denial =
                        Denial::of(refused, Some(rule), Some(press.principal.clone()), Wall::from_micros(numbers[3]));
                    if by_token {
                        denial.draft_mut().kind = Some(CredentialKind::Token);
                    }
                    let (filled, composed) = press.both(&denial);
                    prop_assert!(filled.is_some(), "every one of these has a form: {composed}");
                    prop_assert_eq!(filled.unwrap(), composed);
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn what_a_request_brought_is_in_no_form() {
        let press = Press::new("");
        let address: IpAddr = [203, 0, 113, 9].into();
        let of_handlers = [
            Denial::of(Refusal::Address(address.into()).into(), Some(press.rule(1)), None, NOW),
            Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), None, NOW).detail("Mine."),
            Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), None, NOW).member("own", 1),
            Denial::new(Code::CredentialsMissing.row()),
        ];
        for denial in of_handlers {
            let (filled, composed) = press.both(&denial);
            assert_eq!(filled, None, "{composed}");
        }
        let plain = Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), None, NOW);
        assert!(!press.both(&plain).0.unwrap().contains("Mine."));
        assert_eq!(press.renderer.render(&plain, Media::Document).status(), 403);
    }

    #[test]
    fn forms_are_bounded() {
        let press = Press::new("");
        for missing in 0..MOST as u16 + 10 {
            let rule = press.rule(0);
            let demands = rule.demands().unwrap();
            let gap = ScopeGap {
                required: demands.needs.scopes.clone(),
                any: demands.needs.any_scopes.clone(),
                missing: SmallVec::from_elem(missing, 1),
            };
            let principal = Some(press.principal.clone());
            let denial = Denial::of(Refusal::Scope(gap).into(), Some(rule.clone()), principal, NOW);
            let (filled, composed) = press.both(&denial);
            assert!(filled.is_none_or(|filled| filled == composed));
        }
        assert!(press.renderer.forms_kept() <= MOST);
    }
}
