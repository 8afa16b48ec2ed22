//! Forms: documents that are written once, in which little changes from request to request.
//!
//! Most denials of a kind differ in `instance` and a few numbers alone. What decides about the
//! rest is their [`Shape`]. A form is made from a shape and the policy, and from nothing that a
//! request brought: so what one client sent can never be shown to another.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use dashmap::DashMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::catalogue::Code;
use super::cause::{Known, OddPath};
use super::code_of::code_of;
use super::document::{Denial, Draft, Reason};
use super::rate_limit::decimal;
use super::render::SHOULD_RETRY;
use super::written::{Hole, Written};
use crate::credential::{CredentialError, KeyFault, KeyMistake, Kinds, MalformedKey, Unsupported};
use crate::decision::{Refused, TooManyFailures, WaitCause};
use crate::limit::{Balance, Charge, Standing, Wait};
use crate::policy::{Needs, NoRule, Refusal, Rule, ScopeGap, StatusMode};
use crate::principal::CredentialKind;
use crate::time::MICROS;
use crate::verify::{ChosenBy, KeyError, TokenError};

/// How many forms are kept. Others are written anew each time.
const MOST: usize = 4096;

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
                Reason::Refused(Refused::Limits(
                    standings.iter().map(standing).collect::<Balance>(),
                ))
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
pub(super) struct Forms(DashMap<FormKey, Arc<Form>, ahash::RandomState>);

/// Which form it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FormKey {
    pub(super) shape: Shape,
    /// Whether the document leads to the rule's entry in the handbook.
    pub(super) helps: bool,
    /// The rule, or the policy where no rule covers the request, decides about the status.
    pub(super) mode: StatusMode,
}

impl Forms {
    /// The form of this shape. It is made when it is first needed: `compose` writes the document of
    /// a sample denial. `None` where it is not kept, so that the denial is written anew.
    pub(super) fn get(
        &self,
        key: FormKey,
        rule: Option<&Arc<Rule>>,
        known: &Known,
        compose: impl FnOnce(&Denial) -> Composed,
    ) -> Option<Arc<Form>> {
        if let Some(form) = self.0.get(&key) {
            return Some(form.clone());
        }
        if self.0.len() >= MOST {
            return None;
        }
        let composed = compose(&key.shape.sample(rule, known)?);
        // Where the sample did not fit, others might: their numbers are of another length.
        if composed.written.is_cut {
            return None;
        }
        let form = Arc::new(Form::new(composed));
        self.0.insert(key, form.clone());
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
    /// Text that needs no escapes; `None` where the hole is for a number.
    fn text(&self, hole: Hole) -> Option<Cow<'_, str>>;
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

    /// Whether clients are told to repeat the request by themselves, where the wait is short.
    pub(super) fn is_retryable(&self) -> bool {
        self.headers.get(SHOULD_RETRY).is_some_and(|value| value == "true")
    }

    pub(super) fn fill(&self, values: &impl Values) -> Response<Body> {
        // In a hole is `instance`, or a number of at most twenty digits.
        let room = values.instance().len() + 20 * self.holes.len();
        let mut body = Vec::with_capacity(self.text.len() + room);
        let mut from = 0;
        for (at, hole) in &self.holes {
            body.extend_from_slice(&self.text[from..*at]);
            from = *at;
            match (hole, values.text(*hole)) {
                (Hole::Instance, _) => body.extend_from_slice(values.instance().as_bytes()),
                (_, Some(text)) => body.extend_from_slice(text.as_bytes()),
                (hole, None) => {
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
    use crate::denial::{Media, Registry, Renderer, Served};
    use crate::policy::{Ambiguity, Faults, Oddity, Policy, RuleLimit, Sources, load};
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
status = "standard"
[[rule]]
name = "both-kinds-of-credentials"
path = "/both"
any_scopes = ["x", "y"]
limits = ["large"]
cost = 17
[[rule]]
name = "open"
path = "/open"
public = true
limits = ["large"]
status = "uniform"
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
            let renderer = Renderer::new(&policy, Registry::default(), Served::default());
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
                0 => match number(0, 9) {
                    0 => NoRule::Ambiguous(Ambiguity::Odd(Oddity::EmptySegment)).into(),
                    1 => NoRule::Ambiguous(Ambiguity::Odd(Oddity::Backslash)).into(),
                    2 => NoRule::Ambiguous(Ambiguity::Odd(Oddity::DotSegment)).into(),
                    3 => NoRule::Ambiguous(Ambiguity::Odd(Oddity::NotUtf8)).into(),
                    4 => NoRule::Ambiguous(Ambiguity::Odd(Oddity::ControlCharacter)).into(),
                    5 => {
                        let rule = rule.name.clone();
                        NoRule::Ambiguous(Ambiguity::EncodedSlash { rule }).into()
                    }
                    6 => {
                        let (raw, read) = (rule.name.clone(), "another".into());
                        NoRule::Ambiguous(Ambiguity::OtherRule { raw, read }).into()
                    }
                    7 => NoRule::Ambiguous(Ambiguity::OnlyRead { read: rule.name.clone() }).into(),
                    _ => NoRule::Path.into(),
                },
                1 => CredentialError::Missing.into(),
                2 => {
                    let why = [
                        Unsupported::Scheme,
                        Unsupported::Kind(CredentialKind::ApiKey),
                        Unsupported::Kind(CredentialKind::Token),
                        Unsupported::KeyAsBearer,
                        Unsupported::OtherKeyAsBearer,
                    ];
                    CredentialError::Unsupported(why[number(0, 5)]).into()
                }
                3 => {
                    let faults = [
                        KeyFault::Empty,
                        KeyFault::Prefix,
                        KeyFault::Length,
                        KeyFault::Characters,
                        KeyFault::CheckDigits,
                    ];
                    let mistakes = [
                        None,
                        Some(KeyMistake::UnsetVariable),
                        Some(KeyMistake::Quoted),
                        Some(KeyMistake::SchemeBefore),
                        Some(KeyMistake::OtherEnvironment),
                    ];
                    let (fault, mistake) = (faults[number(0, 5)], mistakes[number(1, 5)]);
                    KeyError::Malformed(MalformedKey { fault, mistake }).into()
                }
                4 => KeyError::Unknown.into(),
                5 => TokenError::Malformed("of the request").into(),
                6 => TokenError::TooLarge.into(),
                7 => TokenError::IssuerUnknown.into(),
                8 => TokenError::AlgorithmNotAllowed(issuer()).into(),
                9 => TokenError::KeyUnknown(issuer()).into(),
                10 => {
                    let chosen = [ChosenBy::Kid, ChosenBy::Algorithm][number(1, 2)];
                    TokenError::SignatureInvalid(issuer(), chosen).into()
                }
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
            level in 0_usize..4,
            denials in prop::collection::vec(
                (0_usize..16, any::<[u64; 4]>(), 0_usize..3, any::<(bool, u32)>()), 1..12,
            ),
        ) {
            thread_local! {
                static PRESSES: [Press; 4] = [
                    Press::new(""),
                    Press::new("status = \"standard\"\nratelimit_headers = \"both\"\nsupport = \"https://x.example\""),
                    Press::new("disclosure = \"minimal\""),
                    Press::new("docs = \"https://docs.example\""),
                ];
            }
            PRESSES.with(|presses| {
                let press = &presses[level];
                for (kind, numbers, rule, (by_token, from)) in denials {
                    // The last rule asks for no scopes.
                    let rule = press.rule(if kind == 13 { rule % 2 } else { rule });
                    let refused = press.refused(kind, &numbers, &rule);
                    let mut denial =
                        Denial::of(refused, Some(rule), Some(press.principal.clone()), Wall::from_micros(numbers[3]));
                    if by_token {
                        denial.draft_mut().kind = Some(CredentialKind::Token);
                    }
                    let from: Option<IpAddr> = match from % 3 {
                        0 => None,
                        1 => Some(IpAddr::from(from.to_be_bytes())),
                        _ => Some(IpAddr::from([u16::MAX, 1, 2, 3, 4, 5, 6, from as u16])),
                    };
                    denial.draft_mut().address = from.map(Into::into);
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
                lacks_any: true,
            };
            let principal = Some(press.principal.clone());
            let denial = Denial::of(Refusal::Scope(gap).into(), Some(rule.clone()), principal, NOW);
            let (filled, composed) = press.both(&denial);
            assert!(filled.is_none_or(|filled| filled == composed));
        }
        assert!(press.renderer.forms_kept() <= MOST);
    }
}
