//! From the error of a stage to a code and the facts of its document.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Method};
use serde::Serialize;

use super::catalogue::Code;
use super::code::{Action, Actor};
use super::code_of::code_of;
use super::document::{Draft, Fact, Reason, millis_up};
use super::written::Hole;
use crate::claims::Mismatch;
use crate::credential::{
    CredentialError, CredentialPolicy, KeyFault, KeyFormat, KeyMistake, Kinds, MalformedKey, Place,
    Unsupported,
};
use crate::decision::{Refused, TooManyFailures, WaitCause};
use crate::limit::{Balance, Charge, Limit, Standing, Wait};
use crate::policy::{Ambiguity, Demands, NoRule, Oddity, Policy, Refusal, Rule, ScopeGap};
use crate::principal::{CredentialKind, KeyRecord};
use crate::scope::{Scope, ScopeHierarchy};
use crate::time::{MICROS, Wall, rfc3339};
use crate::verify::{ChosenBy, ClaimFault, Issuer, KeyError, TokenError, algorithm_name};

/// What is wrong with a path that can be read in more than one way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum OddPath {
    Odd(Oddity),
    EncodedSlash,
    /// Other software may read it as that of another rule, or another id in it.
    Otherwise,
    /// It is that of a rule once it is decoded.
    Encoded,
}

impl OddPath {
    pub(super) fn of(ambiguity: &Ambiguity) -> Self {
        match ambiguity {
            Ambiguity::Odd(oddity) => Self::Odd(*oddity),
            Ambiguity::EncodedSlash { .. } => Self::EncodedSlash,
            Ambiguity::OtherRule { .. } | Ambiguity::OtherValue { .. } => Self::Otherwise,
            Ambiguity::OnlyRead { .. } => Self::Encoded,
        }
    }

    /// One like it.
    pub(super) fn sample(self) -> Ambiguity {
        match self {
            Self::Odd(oddity) => Ambiguity::Odd(oddity),
            Self::EncodedSlash => Ambiguity::EncodedSlash { rule: "".into() },
            Self::Otherwise => Ambiguity::OtherRule { raw: "".into(), read: "".into() },
            Self::Encoded => Ambiguity::OnlyRead { read: "".into() },
        }
    }

    /// What happened, and the remedy.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Odd(Oddity::EmptySegment) => (
                "The path has a double slash.",
                "A path that can be read in more than one way is denied: join its parts with exactly one slash, and check that each id in it is set.",
            ),
            Self::Odd(Oddity::Backslash) => (
                "The path has a backslash.",
                "A path that can be read in more than one way is denied: write slashes between its parts, and no backslash in them.",
            ),
            Self::Odd(Oddity::DotSegment) => (
                "The path has a dot segment.",
                "A path that can be read in more than one way is denied: send the one that the dot segments lead to.",
            ),
            Self::Odd(Oddity::NotUtf8) => (
                "The path, percent-decoded, is not UTF-8.",
                "A path that can be read in more than one way is denied: write it in UTF-8, then percent-encode it.",
            ),
            Self::Odd(Oddity::ControlCharacter) => (
                "The path has an encoded control character.",
                "A path that can be read in more than one way is denied: take the character out, which is often a line break at the end of an id.",
            ),
            Self::EncodedSlash => (
                "The path has an encoded slash or backslash, and none may be in it here.",
                "A path that can be read in more than one way is denied: send one whose parts have no slash or backslash in them[. Ask the provider at {support} if an id has one].",
            ),
            Self::Encoded => (
                "No rule covers this path as it was sent, and one does once it is decoded.",
                "A path that can be read in more than one way is denied: percent-encode only what must be, no letters, digits and slashes, and leave out `;` and dot segments.",
            ),
            Self::Otherwise => (
                "Servers may read this path as that of another rule.",
                "A path that can be read in more than one way is denied: send it without dot segments, percent-encode only what must be, and leave out `;` and slashes in a part of the path[. Ask the provider at {support} if an id has one].",
            ),
        }
    }
}

/// What denials say about the policy. It is read from the policy when that is loaded.
#[derive(Debug)]
pub(super) struct Known {
    credential: CredentialPolicy,
    format: KeyFormat,
    pub(super) issuers: Vec<Arc<Issuer>>,
    /// How large tokens may be.
    max_bytes: usize,
    /// Whether API keys are configured.
    takes_keys: bool,
    /// For each limit, whether it counts by address.
    by_address: Box<[bool]>,
    /// Which scopes imply others.
    hierarchy: Arc<ScopeHierarchy>,
    /// By limit of the policy: the names of those that clients are not told of.
    unpublished: Vec<Option<Arc<str>>>,
}

/// In seconds: keys that are out of reach are fetched again within a second at first, and within a
/// minute later.
const KEYS_RETRY_AFTER: u64 = 5;

const UNREAD_ADDRESS: &str = "Only certain addresses are allowed here, and the address of this request is not known: the proxy's header could not be read.";

const UNREAD_ADDRESS_REMEDY: &str = "Nothing in the request has to change, unless it sets a header with an address itself: leave that to the proxy. Report it to the provider[ at {support}], and quote `instance`.";

const ID_TOKEN: &str = "The token looks like an {looks_like}, and an access token is wanted.";

const NO_TYPE: &str = "The token's header has no `typ`, and {expected_type} is wanted.";

/// Who sends a token cannot choose what its header says.
const NO_TYPE_REMEDY: &str = "Nothing in the request has to change if this is the issuer's access token: its issuer writes no `typ`, and this API has to accept that. Ask the provider[ at {support}], quoting `instance`.";

/// Where another claim than `aud` says whom a token is for, it is mostly the app that asked for it.
const OTHER_APP: &str = "Tokens with {expected_audience} in `{claim}` are accepted here. Use an app for which that is so, or have yours added: ask the provider[ at {support}].";

const OTHER_TOKEN: &str = "Use an account, an app or a kind of token for which {claim} has a value that is accepted. If yours should be, ask the provider[ at {support}], quoting `instance`.";

const SHORTER_TOKEN: &str =
    "Get a token that lives less long. If you cannot choose that, ask the provider[ at {support}].";

/// The remedy of a code where these kinds are asked for, if the row's own does not fit.
pub(crate) fn remedy_for(kinds: Kinds, code: Code) -> Option<&'static str> {
    match (kinds, code) {
        (Kinds::Both, Code::CredentialsMissing) => Some("Send both[: {accepted_credentials}]."),
        (Kinds::Both, Code::CredentialsMultiple) => Some(
            "Send one API key and one token, each once[: {accepted_credentials}]. Check whether a proxy or a library adds another.",
        ),
        _ => None,
    }
}

/// What the document of a denial says beside what its code says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// A template in place of the code's own.
    pub(super) detail: Option<&'static str>,
    pub(super) remedy: Option<&'static str>,
    pub(super) retryable: Option<bool>,
    /// In place of the code's own.
    pub(super) action: Option<(Action, Actor)>,
    /// In milliseconds, at least 1.
    pub(super) wait: Option<u64>,
    /// What sentences say though it is no member: it follows from members.
    pub(super) told: Option<(&'static str, u64)>,
    pub(super) members: Vec<(&'static str, Fact)>,
    /// Whether the document lists the credentials that are accepted.
    pub(super) names_accepted: bool,
    /// For `scope` of the challenge, in place of what the rule needs.
    pub(super) challenge_scopes: Option<Vec<Scope>>,
    pub(super) allow: Option<HeaderValue>,
    /// What exactly went wrong, for the log.
    pub(super) cause: Cow<'static, str>,
}

impl Facts {
    fn naming_accepted() -> Self {
        Self { names_accepted: true, ..Self::default() }
    }

    fn with(mut self, name: &'static str, fact: Fact) -> Self {
        self.members.push((name, fact));
        self
    }

    fn text(self, name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.with(name, Fact::text(text))
    }

    fn number(self, name: &'static str, number: u64) -> Self {
        self.with(name, Fact::Number(number))
    }

    /// Adds an array, unless it is empty.
    fn texts<T: ToString>(
        self,
        name: &'static str,
        texts: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let texts = texts.into_iter();
        if texts.len() == 0 { self } else { self.with(name, Fact::texts(texts)) }
    }

    fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Says that the client's address is not known, because the proxy's header cannot be read.
    fn unread_address(self) -> Self {
        let facts = self.detail(UNREAD_ADDRESS).remedy(UNREAD_ADDRESS_REMEDY);
        facts.because("the header of a trusted proxy could not be read")
    }

    /// How long to wait, in microseconds.
    fn wait(mut self, micros: u64) -> Self {
        self.wait = Some(millis_up(micros));
        self
    }

    fn action(mut self, action: Action, actor: Actor) -> Self {
        self.action = Some((action, actor));
        self
    }

    fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = cause.into();
        self
    }
}

impl Known {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            credential: policy.credential.clone(),
            format: policy.keys.format().clone(),
            issuers: policy.issuers.iter().cloned().collect(),
            max_bytes: policy.tokens.max_bytes,
            takes_keys: policy.takes_keys,
            by_address: policy.limits.iter().map(crate::limit::Limit::needs_address).collect(),
            hierarchy: policy.hierarchy.clone(),
            unpublished: policy.limits.iter().map(unpublished).collect(),
        }
    }

    /// What is known where no gate sees a denial.
    pub(super) fn nothing() -> Self {
        Self {
            credential: CredentialPolicy::default(),
            format: KeyFormat::Any,
            issuers: Vec::new(),
            max_bytes: 0,
            takes_keys: false,
            by_address: Box::default(),
            hierarchy: Arc::default(),
            unpublished: Vec::new(),
        }
    }

    /// The kinds of credential that are accepted where this was denied; `None` where no credential
    /// is asked for.
    pub(super) fn accepted(&self, draft: &Draft) -> Option<Kinds> {
        if let Reason::OtherKind { wanted } = draft.reason {
            return Some(match wanted {
                CredentialKind::ApiKey => Kinds::ApiKey,
                CredentialKind::Token => Kinds::Token,
                CredentialKind::Both => Kinds::Both,
            });
        }
        let kinds = draft.rule.as_deref().and_then(Rule::demands)?.kinds;
        // Where nothing is configured that could be accepted: what would be.
        Some(kinds.among(self.takes_keys, !self.issuers.is_empty()).unwrap_or(kinds))
    }

    /// Says why: a pure function of the policy and of what is known of the denial.
    pub(super) fn explain(&self, draft: &Draft) -> Facts {
        match &draft.reason {
            Reason::Code(_) | Reason::Named(_) => Facts::default(),
            Reason::Fault(cause) => Facts::default().because(cause.clone()),
            Reason::OtherKind { wanted } => unsupported(match wanted {
                CredentialKind::ApiKey => Unsupported::Kind(CredentialKind::Token),
                _ => Unsupported::Kind(CredentialKind::ApiKey),
            }),
            Reason::Refused(refused) => self.refused(refused, draft),
        }
    }

    fn refused(&self, refused: &Refused, draft: &Draft) -> Facts {
        match refused {
            Refused::NoRule(NoRule::Path) => Facts::default(),
            Refused::NoRule(NoRule::Ambiguous(why)) => {
                let (detail, remedy) = OddPath::of(why).texts();
                Facts::default().detail(detail).remedy(remedy).because(why.to_string())
            }
            Refused::NoRule(NoRule::Method(allowed)) => {
                let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                let allow = HeaderValue::try_from(names.join(", ")).ok();
                Facts { allow, ..Facts::default() }.texts("allowed_methods", names)
            }
            Refused::AddressUnknown | Refused::Permit(Refusal::AddressUnknown) => Facts::default()
                .because(
                    "the rule needs the client's address, and the server does not know it: serve \
                     the app with `into_make_service_with_connect_info::<SocketAddr>()`",
                ),
            Refused::TooManyFailures(failures) => too_many_failures(failures),
            Refused::Credential(error) => self.credential(error, draft),
            Refused::Key(error) => self.key(error, draft.now),
            Refused::Token(error) => self.token(error, draft),
            Refused::Permit(Refusal::Address(address)) => {
                let ranges = draft.rule.as_deref().map_or(&[][..], |rule| &rule.addresses);
                Facts::default()
                    .text("address", address.to_string())
                    .texts("allowed_addresses", ranges)
            }
            Refused::Permit(Refusal::AddressUnread) => {
                let ranges = draft.rule.as_deref().map_or(&[][..], |rule| &rule.addresses);
                Facts::default().unread_address().texts("allowed_addresses", ranges)
            }
            Refused::Permit(Refusal::Scope(gap)) => insufficient_scope(self, gap, draft),
            Refused::Permit(Refusal::Role(roles)) => {
                let facts = Facts::default().texts("required_roles", roles.iter());
                match draft.kind {
                    None => facts,
                    Some(CredentialKind::ApiKey) => facts.remedy(
                        "Have one of these roles given to the key: {required_roles}. Ask its owner[, or {support}].",
                    ),
                    Some(_) => facts.remedy(
                        "Have one of these roles given to the caller: {required_roles}. Then get a new token.",
                    ),
                }
            }
            Refused::Permit(Refusal::Claim { claim, mismatch }) => {
                let (detail, remedy) = about_mismatch(*mismatch);
                let facts = Facts::default().detail(detail).remedy(remedy);
                facts.text("claim", claim.to_string()).text("mismatch", mismatch.as_str())
            }
            Refused::Permit(Refusal::Any(refusal)) => {
                let refused = Refused::Permit((**refusal).clone());
                self.refused(&refused, draft).because("none of the tables in `any` is met")
            }
            Refused::Limits(balance) => self.rate_limited(balance, draft),
        }
    }

    fn credential(&self, error: &CredentialError, draft: &Draft) -> Facts {
        let remedy = |code| self.accepted(draft).and_then(|kinds| remedy_for(kinds, code));
        match error {
            CredentialError::Missing => missing(None, remedy(Code::CredentialsMissing)),
            CredentialError::MissingPart(part) => {
                missing(Some(*part), remedy(Code::CredentialsMissing))
            }
            CredentialError::Unsupported(why) => unsupported(*why),
            CredentialError::Multiple(places) => {
                let policy = &self.credential;
                let name = |place: Place| match place {
                    Place::KeyHeader => policy.key_header.as_str(),
                    Place::TokenHeader(index) => {
                        let header = policy.token_headers.get(usize::from(index));
                        header.map_or("", |name| name.as_str())
                    }
                    Place::Authorization(_) => "authorization",
                };
                let scheme = |place: Place| match place {
                    Place::Authorization(scheme) => scheme.map(|scheme| policy.scheme_name(scheme)),
                    _ => None,
                };
                let form = |place: &Place| Presented {
                    place: "header",
                    name: name(*place),
                    scheme: scheme(*place),
                };
                let text = |place: &Place| match scheme(*place) {
                    None => name(*place).to_owned(),
                    Some(scheme) => format!("{} ({scheme})", name(*place)),
                };
                let text = places.iter().take(8).map(text).collect::<Vec<_>>().join(", ");
                let forms = places.iter().map(form).collect::<Vec<_>>();
                let facts =
                    Facts { remedy: remedy(Code::CredentialsMultiple), ..Facts::naming_accepted() };
                facts.with("presented", Fact::items(&forms, text))
            }
        }
    }

    fn key(&self, error: &KeyError, now: Wall) -> Facts {
        let about = |key: &KeyRecord| {
            let cause = format!("key {} of client {}", key.id, key.client);
            Facts::default().text("key_id", key.id.to_string()).because(cause)
        };
        let server_time = || rfc3339(now.seconds());
        match error {
            KeyError::Malformed(malformed) => self.malformed_key(*malformed),
            KeyError::Unknown => match self.format.expected_prefix() {
                Some(prefix) => Facts::default().text("expected_prefix", prefix.to_owned()),
                None => Facts::default().remedy(
                    "It was probably deleted or replaced: look it up where you manage your keys, and ask its owner for a new one[, or {support}]. If it is listed there, check that it is sent whole and to the right environment.",
                ),
            },
            KeyError::Revoked(key) => about(key),
            KeyError::Expired(key, at) => {
                about(key).text("expired_at", rfc3339(*at)).text("server_time", server_time())
            }
            KeyError::NotYetValid(key, from) => about(key)
                .text("valid_from", rfc3339(*from))
                .text("server_time", server_time())
                .wait(Wall::from_seconds(*from).micros().saturating_sub(now.micros())),
            KeyError::AddressNotAllowed(key, address) => about(key)
                .text("address", address.to_string())
                .texts("allowed_addresses", &key.terms.addresses),
            KeyError::AddressUnread(key) => {
                about(key).unread_address().texts("allowed_addresses", &key.terms.addresses)
            }
            KeyError::AddressUnknown => Facts::default(),
        }
    }

    fn malformed_key(&self, MalformedKey { fault, mistake }: MalformedKey) -> Facts {
        let (detail, remedy) = about_key(fault, mistake);
        let mut facts = Facts::naming_accepted()
            .detail(detail)
            .remedy(remedy)
            .text("failed_check", fault.as_str())
            .because(match mistake {
                None => Cow::Borrowed(fault.as_str()),
                Some(mistake) => format!("{}: {}", fault.as_str(), mistake.as_str()).into(),
            });
        if let Some(prefix) = self.format.expected_prefix() {
            facts = facts.text("expected_prefix", prefix.to_owned());
        }
        if let Some(length) = self.format.expected_length() {
            facts = facts.number("expected_length", length as u64);
        }
        facts
    }

    fn token(&self, error: &TokenError, draft: &Draft) -> Facts {
        let server_time = || rfc3339(draft.now.seconds());
        match error {
            TokenError::TooLarge => Facts::default().number("max_bytes", self.max_bytes as u64),
            TokenError::Malformed(cause) => Facts::naming_accepted().because(*cause),
            TokenError::IssuerUnknown => {
                let demands = draft.rule.as_deref().and_then(Rule::demands);
                let is_taken = |issuer: &&Arc<Issuer>| {
                    demands.is_none_or(|demands| demands.takes_issuer(&issuer.name))
                };
                let facts = accepting(self.issuers.iter().filter(is_taken));
                match demands.map(|demands| demands.issuers.join(", ")) {
                    Some(names) if !names.is_empty() => {
                        facts.because(format!("the rule takes tokens of {names} only"))
                    }
                    _ => facts,
                }
            }
            TokenError::KeyUnknown(issuer) => {
                accepting([issuer].into_iter()).because(of_issuer(issuer))
            }
            TokenError::SignatureInvalid(issuer, chosen) => {
                let facts = accepting([issuer].into_iter()).because(of_issuer(issuer));
                let (detail, remedy) = match chosen {
                    ChosenBy::Kid => (
                        "The signature of the token is not valid. The key that its `kid` names was found, and does not fit.",
                        "The token was changed or cut off on its way: send it exactly as it was issued, or get a new one[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.",
                    ),
                    ChosenBy::Algorithm => (
                        "The signature of the token is not valid by any key of its issuer.",
                        "The token was changed or cut off on its way, or signed in another environment: send it exactly as it was issued, or get a new one[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.",
                    ),
                };
                facts.detail(detail).remedy(remedy)
            }
            TokenError::KeySourceUnavailable(issuer) => {
                let trouble = issuer.keys.remote().and_then(|keys| keys.trouble());
                let trouble = trouble.unwrap_or_else(|| "they are not fetched yet".into());
                let cause = format!("{}, which has no keys: {trouble}", of_issuer(issuer));
                Facts::default().wait(KEYS_RETRY_AFTER * MICROS).because(cause)
            }
            TokenError::AlgorithmNotAllowed(issuer) => Facts::default()
                .texts(
                    "accepted_algorithms",
                    issuer.algorithms.iter().map(|alg| algorithm_name(*alg)),
                )
                .because(of_issuer(issuer)),
            TokenError::Expired { at, issued } => {
                let facts = Facts::default()
                    .text("expired_at", rfc3339(*at))
                    .text("server_time", server_time());
                let seconds = draft.now.seconds();
                match issued {
                    Some(issued) if issued.saturating_add(JUST_NOW) >= seconds => Facts {
                        told: Some(("difference", seconds.saturating_sub(*at))),
                        ..facts
                    }
                    .detail("The token was made just now by its `iat`, and yet it expired at {expired_at}; the server's time is {server_time}.")
                    .remedy("Check the clock and the time zone of whoever makes the token: its `exp` lies {difference} s in the past. Then get a new one."),
                    _ => facts,
                }
            }
            TokenError::NotYetValid { from, wait } => Facts::default()
                .text("valid_from", rfc3339(*from))
                .text("server_time", server_time())
                .wait(*wait),
            TokenError::AudienceMismatch { issuer, claim, looks_like_id_token } => {
                let facts = Facts::default()
                    .texts("expected_audience", issuer.audiences.names())
                    .text("claim", claim.to_string());
                let facts = if &**claim == "aud" { facts } else { facts.remedy(OTHER_APP) };
                looks_like(facts, *looks_like_id_token).because(of_issuer(issuer))
            }
            TokenError::TypeMismatch { issuer, has_type, looks_like_id_token } => {
                let facts = Facts::default().texts("expected_type", issuer.types.iter());
                let facts = match (has_type, looks_like_id_token) {
                    (_, true) => facts.detail(ID_TOKEN),
                    (false, false) => facts.detail(NO_TYPE).remedy(NO_TYPE_REMEDY),
                    (true, false) => facts,
                };
                looks_like(facts, *looks_like_id_token).because(of_issuer(issuer))
            }
            TokenError::ProofRequired(issuer) => Facts::default().because(of_issuer(issuer)),
            TokenError::ClaimMissing { claim, looks_like_id_token } => {
                looks_like(Facts::default().text("claim", claim.to_string()), *looks_like_id_token)
            }
            TokenError::ClaimInvalid { claim, why } => {
                let facts = Facts::default().text("claim", claim.to_string());
                let facts = match why {
                    ClaimFault::NotAccepted => facts.remedy(OTHER_TOKEN),
                    ClaimFault::Lifetime => facts.remedy(SHORTER_TOKEN),
                    _ => facts,
                };
                facts.detail(about_claim(*why)).because(format!("{why:?}"))
            }
        }
    }

    /// The least that is enough of these: all that are required, and one of those of which one is.
    fn least<'s>(
        &'s self,
        required: &'s [Scope],
        any: &'s [Scope],
    ) -> impl Iterator<Item = &'s Scope> {
        required.iter().chain(self.hierarchy.least(any))
    }

    /// The scopes that a token for this rule should have, each once: the least that is enough for
    /// what every caller needs, and for the first table of `any` with scopes.
    pub(super) fn needed_scopes(&self, demands: &Demands) -> Vec<Scope> {
        let table = demands.any.iter().find(|needs| needs.has_scopes());
        let needs = std::iter::once(&demands.needs).chain(table);
        each_once(needs.flat_map(|needs| self.least(&needs.scopes, &needs.any_scopes)))
    }

    /// Whether a limit that is short, and that clients are told of, counts by address.
    pub(super) fn is_by_address(&self, balance: &Balance) -> bool {
        let is_by_address = |limit: u32| self.by_address.get(limit as usize) == Some(&true);
        balance.iter().any(|(charge, standing)| {
            standing.wait != Wait::None
                && is_by_address(charge.limit)
                && self.hidden(charge).is_none()
        })
    }

    /// The name of the limit, where clients are not told of it.
    fn hidden(&self, charge: &Charge) -> Option<&Arc<str>> {
        self.unpublished.get(charge.limit as usize)?.as_ref()
    }

    /// Limits that are not published are told to nobody but the log.
    fn rate_limited(&self, balance: &Balance, draft: &Draft) -> Facts {
        let is_short = |(_, standing): &&(Charge, Standing)| standing.wait != Wait::None;
        let (of_hidden, of_shown): (Vec<_>, Vec<_>) =
            balance.iter().filter(is_short).partition(|(charge, _)| self.hidden(charge).is_some());
        let mut facts = Facts::default();
        if let [_, ..] = &of_hidden[..] {
            let names = of_hidden.iter().filter_map(|(charge, _)| self.hidden(charge));
            let names = names.map(|name| &**name).collect::<Vec<_>>().join(", ");
            facts = facts.because(format!("not published, and short: {names}"));
        }
        if let Some(address) = draft.address.filter(|_| self.is_by_address(balance)) {
            facts = facts.with("address", Fact::Changing(Hole::Address, address.to_string()));
        }
        // Where costs differ, that of the longest wait.
        if let Some((charge, _)) = of_shown.iter().max_by_key(|(_, standing)| standing.wait) {
            facts = facts.number("cost", charge.cost.into()).with("limits", Fact::Limits);
            facts = match charge.cost {
                0 | 1 => facts.detail("The limit {limits}."),
                _ => facts.detail("The request takes {cost}, and the limit {limits}."),
            };
        }
        match balance.wait() {
            Wait::Never => Facts { retryable: Some(false), ..facts }
                .action(Action::Stop, Actor::Client)
                .remedy("It never fits: ask for less at once, or for a larger plan."),
            Wait::None => facts.wait(0),
            Wait::Micros(micros) => facts.wait(micros),
        }
    }
}

/// A token that was issued so many seconds ago, or later, was made just now.
const JUST_NOW: u64 = 60;

/// What is wrong with what was sent as a key, and the remedy.
fn about_key(fault: KeyFault, mistake: Option<KeyMistake>) -> (&'static str, &'static str) {
    match (mistake, fault) {
        (Some(KeyMistake::UnsetVariable), _) => (
            "A placeholder was sent in place of the API key.",
            "Set the variable that holds the key, and check that the program puts its value in.",
        ),
        (Some(KeyMistake::Quoted), _) => (
            "The API key has quotes around it.",
            "Send the key without quotes: look at the file or the variable that it is read from.",
        ),
        (Some(KeyMistake::SchemeBefore), _) => {
            ("The API key has the name of a scheme before it.", "Send the key alone in its header.")
        }
        (Some(KeyMistake::OtherEnvironment), _) => (
            "The API key is whole, and of another environment.",
            "Send a key of this environment: it begins with {expected_prefix}_. Or call the host that the key is for.",
        ),
        (None, KeyFault::Empty) => (
            "The API key is empty.",
            "Set the variable that holds the key, and check that the program reads it.",
        ),
        (None, KeyFault::Prefix) => (
            "The API key does not begin with {expected_prefix}_.",
            "Check which value the program sends: it is of another service, or something stands before the key.",
        ),
        (None, KeyFault::Length) => (
            "The API key does not have {expected_length} characters.",
            "Copy the whole key again: a part is missing, or something was added at its end.",
        ),
        (None, KeyFault::Characters) => (
            "The API key has a character that no key has.",
            "Copy the key again, without blanks and line breaks in it.",
        ),
        (None, KeyFault::CheckDigits) => (
            "The API key is misspelt: its check digits do not fit.",
            "Copy the key again in place of typing it: some of its characters are wrong.",
        ),
    }
}

/// In which way a claim does not match, and the remedy.
fn about_mismatch(mismatch: Mismatch) -> (&'static str, &'static str) {
    match mismatch {
        Mismatch::Absent => (
            "The token has no claim {claim}, and a certain value of it is needed here.",
            "Use an account whose tokens carry it with that value: ask the provider for the value[ at {support}], and have the issuer add the claim.",
        ),
        Mismatch::Different => (
            "The claim {claim} of the token has another value than is needed here.",
            "Use an account whose tokens carry the value that is needed: ask the provider which one that is[, at {support}].",
        ),
        Mismatch::ApiKey => (
            "A certain value of the claim {claim} is needed here, and API keys have no claims.",
            "Send a token that carries the claim in place of the key: ask the provider for the value[ at {support}].",
        ),
    }
}

/// No credential; or one of the two that are asked for, without this other one. `remedy` is there
/// where both are asked for.
fn missing(part: Option<CredentialKind>, remedy: Option<&'static str>) -> Facts {
    let facts = Facts { remedy, ..Facts::naming_accepted() };
    match part {
        _ if remedy.is_none() => facts,
        Some(CredentialKind::ApiKey) => facts
            .detail("The request carries a token, and no API key. Both are needed here.")
            .because("the API key is missing beside the token"),
        Some(_) => facts
            .detail("The request carries an API key, and no token. Both are needed here.")
            .because("the token is missing beside the API key"),
        None => {
            facts.detail("The request carries no credential; an API key and a token are needed.")
        }
    }
}

fn unsupported(why: Unsupported) -> Facts {
    let (detail, cause) = match why {
        Unsupported::Scheme => (
            "The scheme of `Authorization` is not accepted here.",
            "the scheme of Authorization is unknown",
        ),
        Unsupported::Kind(CredentialKind::ApiKey) => {
            ("An API key is not accepted here.", "an API key was presented")
        }
        Unsupported::Kind(CredentialKind::Token | CredentialKind::Both) => {
            ("A bearer token is not accepted here.", "a bearer token was presented")
        }
        Unsupported::KeyAsBearer => (
            "An API key is not accepted as a bearer token here.",
            "an API key was presented as a bearer token, and api_keys.bearer is off",
        ),
        Unsupported::OtherKeyAsBearer => (
            "An API key of another environment was sent as a bearer token.",
            "an API key of another environment was presented as a bearer token, and api_keys.bearer is off",
        ),
    };
    let facts = Facts::naming_accepted().detail(detail).because(cause);
    match why {
        Unsupported::OtherKeyAsBearer => facts.remedy(
            "Call the host that the key is for, or send a key of this environment in one of the forms of `accepted_credentials`.",
        ),
        _ => facts,
    }
}

fn too_many_failures(failures: &TooManyFailures) -> Facts {
    let wait = failures.wait;
    match &failures.cause {
        WaitCause::Failed(failure) => {
            let code = code_of(failure).row().code;
            let facts = Facts { retryable: Some(false), ..Facts::default() };
            let facts = facts.action(Action::FixRequest, Actor::Client);
            facts.text("last_failure", code).wait(wait).because("the attempt failed")
        }
        WaitCause::NotLookedAt(CredentialKind::ApiKey) => Facts::default()
            .detail(
                "Too many attempts from this address failed, of others behind it too. So the key was not looked at.",
            )
            .remedy(
                "Wait {retry_after} s, then repeat the request. A key that was accepted in the last hour is let in at once.",
            )
            .wait(wait)
            .because("the key was not looked at"),
        WaitCause::Public => Facts::default()
            .detail("Too many attempts from this address failed, of others behind it too.")
            .remedy("Wait {retry_after} s, then repeat the request.")
            .wait(wait)
            .because("the rule is public, and lets no address pass that waits"),
        WaitCause::NotLookedAt(_) => Facts::default()
            .detail(
                "Too many attempts from this address failed, of others behind it too. So the token was not looked at.",
            )
            .remedy(
                "Wait {retry_after} s, then repeat the request. A token that was accepted before is let in at once.",
            )
            .wait(wait)
            .because("the token was not looked at"),
    }
}

/// Both the rule and the extractor [`Scoped`](crate::Scoped) refuse with this.
fn insufficient_scope(known: &Known, gap: &ScopeGap, draft: &Draft) -> Facts {
    let missing: Vec<_> = gap.missing().collect();
    let is_key = draft.kind == Some(CredentialKind::ApiKey);
    let mut facts = Facts::default();
    if is_key {
        let id = Fact::Changing(Hole::KeyId, draft.key_id().to_owned());
        facts = facts.with("key_id", id).action(Action::Ask, Actor::Owner);
    }
    let (detail, remedy) = about_scopes(missing.len(), gap.lacks_any, is_key);
    facts = facts
        .detail(detail)
        .remedy(remedy)
        .texts("required_scopes", gap.required.iter())
        .texts("missing_scopes", missing)
        .texts("any_scopes", gap.any.iter());
    if let Some(principal) = &draft.principal {
        let granted: Vec<_> = principal.scopes().iter().collect();
        facts = facts.texts("granted_scopes", granted);
    }
    let mut needed = Vec::new();
    if !is_key {
        // A token that lacked what the rule asks for would not get as far as the extractor.
        let demands = draft.rule.as_deref().and_then(Rule::demands);
        let of_rule = demands.map(|demands| known.needed_scopes(demands)).unwrap_or_default();
        needed = each_once(of_rule.iter().chain(known.least(&gap.required, &gap.any)));
    }
    facts.challenge_scopes = Some(needed);
    facts
}

/// These scopes in their order, each once.
fn each_once<'s>(scopes: impl Iterator<Item = &'s Scope>) -> Vec<Scope> {
    let mut once: Vec<Scope> = Vec::new();
    for scope in scopes {
        if !once.contains(scope) {
            once.push(scope.clone());
        }
    }
    once
}

/// What the caller lacks, of so many scopes of which all are needed and of those of which one is;
/// and the remedy.
fn about_scopes(missing: usize, lacks_any: bool, is_key: bool) -> (&'static str, &'static str) {
    match (missing, lacks_any, is_key) {
        (0, _, false) => (
            "The token has none of the scopes of which one is needed here.",
            "Get a token that has one of these scopes as well: {any_scopes}. Then repeat the request with it.",
        ),
        (1, false, false) => (
            "The token lacks a scope that is needed here.",
            "Get a token that has the scope {missing_scopes} as well, then repeat the request with it.",
        ),
        (_, false, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has all of these scopes as well: {missing_scopes}. Then repeat the request with it.",
        ),
        (1, true, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has the scope {missing_scopes} as well, and one of {any_scopes}. Then repeat the request with it.",
        ),
        (_, true, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has all of {missing_scopes} as well, and one of {any_scopes}. Then repeat the request with it.",
        ),
        (0, _, true) => (
            "The API key {key_id} has none of the scopes of which one is needed here.",
            "Have one of these scopes added to the key: {any_scopes}. Ask its owner[, or {support}].",
        ),
        (1, false, true) => (
            "The API key {key_id} lacks a scope that is needed here.",
            "Have the scope {missing_scopes} added to the key: ask its owner[, or {support}].",
        ),
        (_, false, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have all of these scopes added to the key: {missing_scopes}. Ask its owner[, or {support}].",
        ),
        (1, true, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have the scope {missing_scopes} added to the key, and one of {any_scopes}: ask its owner[, or {support}].",
        ),
        (_, true, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have all of {missing_scopes} added to the key, and one of {any_scopes}: ask its owner[, or {support}].",
        ),
    }
}

/// The name of a limit that clients are not told of.
fn unpublished(limit: &Limit) -> Option<Arc<str>> {
    (!limit.published).then(|| limit.name.clone())
}

/// Lists the names of these issuers, where they have any.
fn accepting<'i>(issuers: impl Iterator<Item = &'i Arc<Issuer>>) -> Facts {
    let items: Vec<_> = issuers.flat_map(|issuer| AcceptedIssuer::of(issuer)).collect();
    let text = |issuer: &AcceptedIssuer<'_>| match issuer.obtain {
        Some(obtain) => format!("{} (see {obtain})", issuer.iss),
        None => issuer.iss.to_owned(),
    };
    let text = items.iter().take(8).map(text).collect::<Vec<_>>().join(" or ");
    if items.is_empty() {
        return Facts::default();
    }
    Facts::default().with("accepted_issuers", Fact::items(&items, text))
}

/// An item of the member `presented`.
#[derive(Serialize)]
struct Presented<'p> {
    #[serde(rename = "in")]
    place: &'static str,
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'p str>,
}

/// An item of the member `accepted_issuers`.
#[derive(Serialize)]
struct AcceptedIssuer<'i> {
    iss: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    obtain: Option<&'i str>,
}

impl<'i> AcceptedIssuer<'i> {
    /// One for each name of the issuer.
    fn of(issuer: &'i Issuer) -> impl Iterator<Item = Self> {
        issuer.iss.names().map(|iss| Self { iss, obtain: issuer.obtain.as_deref() })
    }
}

/// What is wrong with a claim, in a sentence.
fn about_claim(why: ClaimFault) -> &'static str {
    match why {
        ClaimFault::NotATime => {
            "The claim {claim} of the token is not a number: a time is a JSON number of seconds since 1970."
        }
        ClaimFault::OutOfRange => {
            "The claim {claim} of the token is not a time from 1970 to 9999, in seconds since 1970."
        }
        ClaimFault::Milliseconds => {
            "The claim {claim} of the token looks like milliseconds: a time is in seconds since 1970."
        }
        ClaimFault::Lifetime => {
            "The claim {claim} of the token is further ahead than tokens may live here."
        }
        ClaimFault::NotAnAudience => {
            "The claim {claim} of the token is neither text nor an array of texts."
        }
        ClaimFault::NotAClient => {
            "The claim {claim} of the token is neither text nor a whole number."
        }
        ClaimFault::Empty => "The claim {claim} of the token is empty.",
        ClaimFault::NotScopes => {
            "The claim {claim} of the token is not a list of scopes: text with spaces between, or an array of texts."
        }
        ClaimFault::NotRoles => {
            "The claim {claim} of the token is neither text, nor an array of texts, nor an object."
        }
        ClaimFault::NotAPlan => "The claim {claim} of the token is not text.",
        ClaimFault::NotAccepted => {
            "The claim {claim} of the token does not have a value that is accepted from its issuer."
        }
        ClaimFault::NotAsTheHandlerAsks => {
            "The claim {claim} of the token does not have the type that is needed here."
        }
    }
}

/// Says that it looks like an ID token, for which there is one remedy.
fn looks_like(facts: Facts, id_token: bool) -> Facts {
    if !id_token {
        return facts;
    }
    facts.text("looks_like", "id_token").remedy(
        "Send the access token instead[, one for {expected_audience}]: an ID token is for the app that signed its user in. If yours is an access token, ask the provider[ at {support}], quoting `instance`.",
    )
}

fn of_issuer(issuer: &Issuer) -> String {
    format!("issuer {}", issuer.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What counts is said by the error; the row says the same to those who read about the code.
    #[test]
    fn the_row_says_what_the_error_says_of_failures() {
        let refused: [Refused; 12] = [
            KeyError::Malformed(MalformedKey { fault: KeyFault::Empty, mistake: None }).into(),
            KeyError::Unknown.into(),
            TokenError::Malformed("").into(),
            TokenError::TooLarge.into(),
            TokenError::IssuerUnknown.into(),
            TokenError::Expired { at: 0, issued: None }.into(),
            TokenError::NotYetValid { from: 0, wait: 1 }.into(),
            TokenError::ClaimMissing { claim: "sub".into(), looks_like_id_token: true }.into(),
            TokenError::ClaimInvalid { claim: "sub".into(), why: ClaimFault::Empty }.into(),
            CredentialError::Missing.into(),
            NoRule::Path.into(),
            Refusal::Claim { claim: "a".into(), mismatch: Mismatch::Absent }.into(),
        ];
        for refused in refused {
            let row = code_of(&refused).row();
            assert_eq!(row.counts_as_failure, refused.proves_nothing(), "{}", row.code);
        }
    }

    #[test]
    fn a_scope_that_is_missing_is_told_from_those_that_are_there() {
        let scopes = |names: &[&str]| -> Arc<[crate::scope::Scope]> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let (all, any) = (scopes(&["a", "b"]), scopes(&["x", "y"]));
        let gap = |held: &[&str]| ScopeGap::of(&all, &any, |scope| held.contains(&scope.as_str()));
        assert_eq!(gap(&["a", "b", "y"]), None);
        let missing = |held: &[&str]| -> Vec<String> {
            gap(held).unwrap().missing().map(ToString::to_string).collect()
        };
        assert_eq!(missing(&["b", "x"]), ["a"]);
        assert_eq!(missing(&["a", "b"]), [""; 0], "one of the others is missing");
        assert_eq!(missing(&[]), ["a", "b"]);
    }

    fn explained(refused: impl Into<Refused>, now: u64) -> Facts {
        let denial = super::super::Denial::of(refused.into(), None, None, Wall::from_seconds(now));
        Known::nothing().explain(denial.draft())
    }

    fn member(facts: &Facts, name: &str) -> Option<String> {
        let (_, fact) = facts.members.iter().find(|(held, _)| *held == name)?;
        Some(match fact {
            Fact::Text(text) => text.to_string(),
            Fact::Texts(texts) => texts.join(" "),
            Fact::Items { text, .. } => text.to_string(),
            other => format!("{other:?}"),
        })
    }

    fn record() -> KeyRecord {
        KeyRecord::new("id", "billing".into(), [7; 32], Arc::default())
    }

    #[test]
    fn dates_of_a_key_are_told_beside_the_time_of_the_server() {
        let key = Arc::new(record());
        let expired = explained(KeyError::Expired(key.clone(), 1_800_000_000), 1_800_000_060);
        assert_eq!(member(&expired, "expired_at").as_deref(), Some("2027-01-15T08:00:00Z"));
        assert_eq!(member(&expired, "server_time").as_deref(), Some("2027-01-15T08:01:00Z"));
        assert_eq!(expired.wait, None, "waiting does not help");
        assert_eq!(expired.cause, "key id of client billing");

        let wait = |from| explained(KeyError::NotYetValid(key.clone(), from), 100).wait;
        assert_eq!(wait(160), Some(60_000));
        assert_eq!(wait(100), Some(1), "never zero");
    }

    #[test]
    fn what_waits_rounds_up_and_says_why() {
        let failures = |failure| explained(Refused::TooManyFailures(failure), 0);
        let looked_at = failures(TooManyFailures {
            wait: 1_000_001,
            cause: WaitCause::Failed(Box::new(KeyError::Unknown.into())),
        });
        assert_eq!((looked_at.wait, looked_at.retryable), (Some(1001), Some(false)));
        assert_eq!(member(&looked_at, "last_failure").as_deref(), Some("api_key_unknown"));
        let unseen = failures(TooManyFailures {
            wait: 1,
            cause: WaitCause::NotLookedAt(CredentialKind::Token),
        });
        assert_eq!((unseen.wait, unseen.retryable), (Some(1), None));
        assert_eq!(member(&unseen, "last_failure"), None, "the credential was not looked at");
    }

    #[test]
    fn methods_that_are_allowed_are_a_header_too() {
        let facts = explained(NoRule::Method(vec![Method::GET, Method::PUT]), 0);
        assert_eq!(facts.allow, Some(HeaderValue::from_static("GET, PUT")));
        assert_eq!(member(&facts, "allowed_methods").as_deref(), Some("GET PUT"));
    }

    #[test]
    fn a_key_that_is_bound_to_addresses_says_which() {
        let ranges = |record: &mut KeyRecord| {
            let addresses = Box::new(["192.0.2.0/24".parse().unwrap()]);
            record.terms = Arc::new(crate::principal::Terms { addresses, ..Default::default() });
        };
        let mut key = record();
        ranges(&mut key);
        let key = Arc::new(key);
        let address = std::net::IpAddr::from([198, 51, 100, 1]).into();
        let outside = explained(KeyError::AddressNotAllowed(key.clone(), address), 0);
        assert_eq!(member(&outside, "address").as_deref(), Some("198.51.100.1"));
        assert_eq!(member(&outside, "allowed_addresses").as_deref(), Some("192.0.2.0/24"));
        let unread = explained(KeyError::AddressUnread(key), 0);
        assert_eq!(member(&unread, "address"), None, "it is the proxy's");
        assert_eq!(unread.detail, Some(UNREAD_ADDRESS));
    }
}
