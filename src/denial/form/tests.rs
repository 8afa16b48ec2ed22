//! A form that is filled is the document that is composed, whatever was denied before.

use std::net::IpAddr;

use axum::body::to_bytes;
use proptest::prelude::*;

use smallvec::SmallVec;

use super::*;
use crate::address::ClientAddress;
use crate::credential::{CredentialError, KeyFault, KeyMistake, MalformedKey, Unsupported};
use crate::decision::{Caller, Refused, TooManyFailures, WaitCause};
use crate::denial::{Code, Media, Registry, Renderer, Served};
use crate::limit::{Charge, Standing, Wait};
use crate::policy::{
    Ambiguity, Faults, NoRule, Oddity, Policy, Refusal, RuleLimit, ScopeGap, Sources, load,
};
use crate::principal::{CredentialKind, Principal};
use crate::time::{MICROS, Wall};
use crate::verify::{ChosenBy, KeyError, NewApiKey, TokenError};

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
        let principal = Principal::of_key(policy.keys.iter().next().unwrap().clone());
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
                Refused::Limits(Box::new(limits.map(standing).collect()))
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
    let length = head.headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().parse());
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
                let from: Option<IpAddr> = match from % 3 {
                    0 => None,
                    1 => Some(IpAddr::from(from.to_be_bytes())),
                    _ => Some(IpAddr::from([u16::MAX, 1, 2, 3, 4, 5, 6, from as u16])),
                };
                let address = from.map(|from| ClientAddress::Proven(from.into()));
                let caller = Caller { address, principal: Some(press.principal.clone()) };
                let mut denial =
                    Denial::of(refused, Some(rule), &caller, Wall::from_micros(numbers[3]));
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
        Denial::of(
            Refusal::Address(address.into()).into(),
            Some(press.rule(1)),
            &Caller::default(),
            NOW,
        ),
        Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), &Caller::default(), NOW)
            .detail("Mine."),
        Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), &Caller::default(), NOW)
            .member("own", 1),
        Denial::new(Code::CredentialsMissing.row()),
    ];
    for denial in of_handlers {
        let (filled, composed) = press.both(&denial);
        assert_eq!(filled, None, "{composed}");
    }
    let plain = Denial::of(KeyError::Unknown.into(), Some(press.rule(1)), &Caller::default(), NOW);
    assert!(!press.both(&plain).0.unwrap().contains("Mine."));
    assert_eq!(press.renderer.render(plain.draft(), Media::Document).status(), 403);
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
        let caller = Caller { address: None, principal: Some(press.principal.clone()) };
        let denial = Denial::of(Refusal::Scope(gap).into(), Some(rule.clone()), &caller, NOW);
        let (filled, composed) = press.both(&denial);
        assert!(filled.is_none_or(|filled| filled == composed));
    }
    assert!(press.renderer.forms_kept() <= MOST);
}
