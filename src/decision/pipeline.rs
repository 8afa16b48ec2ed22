//! The way of a request: from its facts to a permit with its charges, or to a refusal.
//!
//! ```text
//! rule → address → principal → permit → charges → admitted
//!    └───────┴──────────┴─────────┴────────┴─────→ refused
//! ```

use std::sync::Arc;

use super::bucket_key::BucketKey;
use super::caller::Caller;
use super::refused::{Refused, TooManyFailures, WaitCause};
use super::trace::{Step, Trace};
use crate::address::{Address, AddressSource, ClientAddress};
use crate::ask::Ask;
use crate::credential::{Credential, CredentialError, KeyText, Kinds, TokenPlace, Unsupported};
use crate::limit::{Buckets, Charges, Failures, MustWait, Settled, Settlement, Settling, Taken};
use crate::policy::{
    Anonymous, Demands, Mode, Policy, Preflights, Rule, RuleLimit, requested_method,
};
use crate::principal::{CredentialKind, Principal};
use crate::time::{Moment, Wall};
use crate::verify::key_store::{KeyDigest, Known, RuntimeKeys, Why, implying};
use crate::verify::{
    Accepts, FoundKey, KeyError, KeyLookUp, Revocations, Revoked, TokenCache, TokenError,
};

/// What requests are judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'s> {
    pub(crate) policy: &'s Policy,
    /// The keys that the policy does not hold.
    pub(crate) keys: &'s RuntimeKeys,
    pub(crate) tokens: &'s TokenCache,
    /// What the application has revoked.
    pub(crate) revocations: &'s Revocations,
    /// The policy's limits, and where their buckets are.
    pub(crate) buckets: &'s Buckets,
    /// `None` where failures are not counted.
    pub(crate) failures: Option<&'s Failures>,
}

/// A caller that was proven before, and still is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StillProven {
    /// When its credential ends by itself, where it does.
    pub(crate) until: Option<Wall>,
    /// Whether it may end sooner without another policy and without a revocation: its key is held by a
    /// source, which may change it at any time.
    pub(crate) may_change: bool,
}

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
    fn by(rule: Arc<Rule>, refused: Refused) -> Self {
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
        if let Outcome::Shadowed(_, refused) | Outcome::Refused(_, refused) = &mut self.outcome {
            refused.source_is_unavailable();
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

impl Judge<'_> {
    /// Decides about a request.
    pub(crate) fn decide(&self, ask: &Ask<'_>, trace: &mut impl Trace) -> Decision {
        let mut caller = Caller::default();
        let requested = match self.policy.preflights {
            Preflights::Pass => requested_method(ask.method, ask.headers),
            Preflights::Judge => None,
        };
        let method = requested.as_ref().unwrap_or(ask.method);
        let rule = match self.policy.rules.find(method, ask.path) {
            Ok(id) => &self.policy.rules[id],
            Err(reason) => {
                return Decision { caller, outcome: Outcome::Refused(None, reason.into()) };
            }
        };
        trace.note(|| Step::Rule(rule.clone()));
        if requested.is_some() {
            return Decision { caller, outcome: Outcome::Preflight(rule.clone()) };
        }
        let outcome = match self.admit(rule, ask, &mut caller, trace) {
            Ok(outcome) => outcome,
            Err(refused) => Outcome::by(rule.clone(), refused),
        };
        Decision { caller, outcome }
    }

    /// The stages, each taking what the last one made. What is learnt of the caller is kept for
    /// those who want to know, also where a later stage says no.
    fn admit(
        &self,
        rule: &Arc<Rule>,
        ask: &Ask<'_>,
        caller: &mut Caller,
        trace: &mut impl Trace,
    ) -> Result<Outcome, Refused> {
        caller.address = self.find_address(rule, ask)?;
        trace.note(|| Step::Address(caller.address));
        caller.principal = match rule.demands() {
            Some(demands) => self.prove(rule, demands, ask, caller.address, trace)?,
            None if rule.waits => self.let_in(ask, caller.address)?,
            None => None,
        };
        rule.permit(caller.address, caller.principal.as_ref(), ask.path)?;
        trace.note(|| Step::Permitted);
        let mut charges = self.charges(rule, ask, caller);
        if !charges.is_empty() {
            match self.buckets.take(&mut charges, ask.moment.steady()) {
                Taken::Granted => {}
                Taken::Refused => {
                    return Err(Refused::Limits(Box::new(self.buckets.balance(&charges))));
                }
                Taken::Unavailable(unavailable) => return Err(Refused::Unavailable(unavailable)),
                Taken::Later(settling) => return Ok(Outcome::Unsettled(rule.clone(), settling)),
            }
        }
        trace.note(|| Step::Charged);
        Ok(Outcome::Admitted(Permit { rule: rule.clone(), charges }))
    }

    fn find_address(&self, rule: &Rule, ask: &Ask<'_>) -> Result<Option<ClientAddress>, Refused> {
        let address = self.policy.address.client(ask.peer, ask.headers);
        if address.is_none() && rule.needs_address {
            return Err(Refused::AddressUnknown);
        }
        Ok(address)
    }

    /// From the one credential of the request to a principal; to none where the rule lets a request
    /// in without a credential.
    fn prove(
        &self,
        rule: &Rule,
        demands: &Demands,
        ask: &Ask<'_>,
        address: Option<ClientAddress>,
        trace: &mut impl Trace,
    ) -> Result<Option<Principal>, Refused> {
        let credential =
            Credential::from_fields(&ask.fields, &self.policy.credential, demands.kinds);
        let credential = match credential {
            Err(CredentialError::Missing) if demands.anonymous == Anonymous::Admitted => {
                return Ok(None);
            }
            credential => credential?,
        };
        let kind = credential.kind();
        trace.note(|| Step::Presented(kind));
        if !demands.kinds.accepts(kind) || !self.understands(kind) {
            return Err(CredentialError::Unsupported(Unsupported::Kind(kind)).into());
        }
        let attempts = Attempts { judge: self, address, ask };
        let principal = self
            .verify(&credential, &demands.issuers, &attempts)
            .map_err(|refused| attempts.account(refused, rule.mode))?;
        trace.note(|| Step::Proven(principal.clone()));
        Ok(Some(principal))
    }

    /// Proves a credential that came by another way than a header, under the rule that let its request
    /// in: what it takes, and who may have issued it. A rule that asks for nobody takes each kind, and
    /// one that asks for both each of them.
    pub(crate) fn prove_text(
        &self,
        rule: &Rule,
        text: &str,
        address: Option<ClientAddress>,
        ask: &Ask<'_>,
    ) -> Result<Principal, Refused> {
        let (keys, tokens) = (self.policy.takes_keys, !self.policy.issuers.is_empty());
        let credential = Credential::from_text(text, &self.policy.credential, keys, tokens)?;
        let kind = credential.kind();
        let (is_taken, issuers) = match rule.demands() {
            Some(Demands { kinds, issuers, .. }) => {
                (*kinds == Kinds::Both || kinds.accepts(kind), &issuers[..])
            }
            None => (true, &[][..]),
        };
        if !is_taken || !self.understands(kind) {
            return Err(CredentialError::Unsupported(Unsupported::Kind(kind)).into());
        }
        let attempts = Attempts { judge: self, address, ask };
        self.verify(&credential, issuers, &attempts)
            .map_err(|refused| attempts.account(refused, rule.mode))
    }

    /// Whether anything is configured that could prove this kind of credential.
    fn understands(&self, kind: CredentialKind) -> bool {
        let (keys, tokens) = (self.policy.takes_keys, !self.policy.issuers.is_empty());
        match kind {
            CredentialKind::ApiKey => keys,
            CredentialKind::Token => tokens,
            CredentialKind::Both => keys && tokens,
        }
    }

    fn verify(
        &self,
        credential: &Credential<'_>,
        issuers: &[Arc<str>],
        attempts: &Attempts<'_, '_>,
    ) -> Result<Principal, Refused> {
        let (moment, revoked) = (&attempts.ask.moment, self.revoked());
        let keys = &self.policy.keys;
        let key = |key: &KeyText<'_>| {
            let digest = keys.digest(key)?;
            let Some(found) = keys.find(&digest) else {
                return self.prove_other(digest, attempts);
            };
            if keys.is_guessable() {
                attempts.check_guess(Some(&found))?;
            }
            let principal = found.prove(attempts.address, revoked, || moment.wall())?;
            if keys.is_guessable() {
                attempts.remember(&digest);
            }
            Ok::<_, Refused>(principal)
        };
        let token = |token: &[u8], place: TokenPlace| {
            let (accepts, now, known) =
                (Accepts { place, issuers }, moment.wall(), &self.policy.issuers);
            let proven = match self.tokens.recall(token, accepts, now, known) {
                Some(answer) => answer?,
                None => {
                    let before = || attempts.check(CredentialKind::Token);
                    self.tokens.prove(token, accepts, now, known, before)?
                }
            };
            if revoked.has_token(&proven.proven) {
                return Err(TokenError::Revoked(proven.proven).into());
            }
            Ok::<_, Refused>(proven.into_principal())
        };
        match credential {
            Credential::ApiKey(text) => key(text),
            Credential::Token { value, place } => token(value, *place),
            // The key is judged first.
            Credential::Both { key: text, value, place } => {
                let application = key(text)?;
                Ok(token(value, *place)?.with_application(&application))
            }
        }
    }

    /// All that is revoked now.
    fn revoked(&self) -> Revoked<'_> {
        Revoked { listed: &self.policy.revoked, told: self.revocations }
    }

    /// Whether a caller that was proven before still is: by its credential alone, for streams that stay
    /// open.
    pub(crate) fn still_proven(
        &self,
        caller: &Principal,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        let mut still = StillProven { until: None, may_change: false };
        if let Some(key) = caller.key() {
            still = self.key_still_proven(&KeyDigest::from_bytes(key.digest), moment)?;
        }
        if let Some(token) = caller.token() {
            let of_token =
                self.policy.issuers.still_proven(token, self.revoked(), moment.wall())?;
            still.until = still.until.into_iter().chain([of_token]).min();
        }
        Ok(still)
    }

    /// The same of a key. While its source does not answer, it counts.
    fn key_still_proven(
        &self,
        digest: &KeyDigest,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        let (revoked, now) = (self.revoked(), moment.wall());
        if let Some(found) = self.policy.keys.find(digest) {
            let until = found.still_proven(revoked, now)?;
            return Ok(StillProven { until, may_change: false });
        }
        let not_known = StillProven { until: None, may_change: true };
        let held = match self.keys.recall(digest, || moment.steady(), None) {
            Known::Held(held) => held,
            Known::Absent => return Err(KeyError::Unknown.into()),
            Known::Ask(why) => {
                // Nobody waits for it: the next look finds what came.
                drop(self.keys.ask(*digest, why, None));
                return Ok(not_known);
            }
            Known::Found(_) | Known::Unavailable => return Ok(not_known),
        };
        let until = FoundKey::new(held.key(&self.policy.hierarchy)).still_proven(revoked, now)?;
        Ok(StillProven { until, may_change: true })
    }

    /// From the digest of a key that the policy does not hold to a principal: by memory, or by what
    /// its source said while the request waited.
    fn prove_other(
        &self,
        digest: KeyDigest,
        attempts: &Attempts<'_, '_>,
    ) -> Result<Principal, Refused> {
        let Ask { moment, came, .. } = attempts.ask;
        let (is_guessable, hierarchy) = (self.policy.keys.is_guessable(), &self.policy.hierarchy);
        let looked_up = came.record.as_ref();
        let held = match self.keys.recall(&digest, || moment.steady(), looked_up) {
            Known::Held(held) => held,
            Known::Found(key) => {
                let found = FoundKey::new(implying(&key, hierarchy));
                let principal = found.prove(attempts.address, self.revoked(), || moment.wall())?;
                if is_guessable {
                    attempts.remember(&digest);
                }
                return Ok(principal);
            }
            Known::Absent => {
                // Before it was looked up, the request was checked.
                if is_guessable && looked_up.is_none() {
                    attempts.check_guess(None)?;
                }
                return Err(KeyError::Unknown.into());
            }
            Known::Ask(why) => {
                if why == Why::Unknown && is_guessable {
                    attempts.check_guess(None)?;
                } else if why == Why::Unknown {
                    attempts.check(CredentialKind::ApiKey)?;
                }
                return Err(self.look_up(digest, why, attempts));
            }
            Known::Unavailable => return Err(self.look_up(digest, Why::Unknown, attempts)),
        };
        let found = FoundKey::new(held.key(hierarchy));
        if is_guessable && looked_up.is_none() {
            attempts.check_guess(Some(&found))?;
        }
        let principal = found.prove(attempts.address, self.revoked(), || moment.wall())?;
        if is_guessable {
            attempts.remember(&digest);
        }
        held.note_used(moment.wall());
        Ok(principal)
    }

    fn look_up(&self, digest: KeyDigest, why: Why, attempts: &Attempts<'_, '_>) -> Refused {
        let address = attempts.address.map(|at| self.policy.address.bucket(at.counted()));
        let look_up = KeyLookUp::new(self.keys, digest, why, address);
        KeyError::SourceUnavailable(Box::new(look_up)).into()
    }

    /// At a public rule: an address that failed too often waits.
    fn let_in(
        &self,
        ask: &Ask<'_>,
        address: Option<ClientAddress>,
    ) -> Result<Option<Principal>, Refused> {
        let attempts = Attempts { judge: self, address, ask };
        match attempts.wait() {
            Some(wait) => Err(TooManyFailures { wait, cause: WaitCause::Public }.into()),
            None => Ok(None),
        }
    }

    /// Whether the request comes by a proxy that the policy does not know of: then the peer is not
    /// the client.
    fn hides_clients(&self, ask: &Ask<'_>) -> bool {
        ask.fields.is_forwarded && self.policy.address.source == AddressSource::Peer
    }

    /// What is taken from every limit of the rule, together.
    fn charges(&self, rule: &Rule, ask: &Ask<'_>, caller: &Caller) -> Charges {
        let mut charges = Charges::default();
        let plan = caller.principal.as_ref().and_then(Principal::plan);
        for RuleLimit { limit: index, cost } in rule.limits_of(caller.principal.as_ref()) {
            let limit = &self.policy.limits[*index];
            if limit.exempts(caller.address, self.hides_clients(ask)) {
                continue;
            }
            let key = BucketKey { limit, policy: self.policy, rule, ask, caller };
            self.buckets.charge(&mut charges, *index, limit.quota_of(plan), &key, *cost);
        }
        charges
    }
}

/// The failed attempts of the address that a request comes from.
///
/// While an address waits, what memory alone proves is judged as ever. Only what costs more is
/// checked first: a guess must not keep the server busy with signatures.
struct Attempts<'a, 'r> {
    judge: &'a Judge<'a>,
    address: Option<ClientAddress>,
    ask: &'a Ask<'r>,
}

impl Attempts<'_, '_> {
    /// Called before a proof that costs more than a look into memory, and that nobody guesses. What
    /// others did is no reason to refuse it, so the address's own bucket counts alone.
    fn check(&self, kind: CredentialKind) -> Result<(), Refused> {
        let Some((failures, address)) = self.counted() else { return Ok(()) };
        self.attempt(failures.check_own(address, self.ask.moment.steady()), kind)
    }

    /// Where the address waits, takes one of its attempts.
    fn attempt(&self, waits: Result<(), MustWait>, kind: CredentialKind) -> Result<(), Refused> {
        let (Err(MustWait(wait)), Some((failures, address))) = (waits, self.counted()) else {
            return Ok(());
        };
        match failures.take_attempt(address, self.ask.moment.steady()) {
            Ok(()) => Ok(()),
            Err(_) => Err(TooManyFailures { wait, cause: WaitCause::NotLookedAt(kind) }.into()),
        }
    }

    /// Called before the answer to a key that somebody may have chosen, and so can be guessed:
    /// while the address waits, one that was not proven in the last hour is answered only where
    /// there is an attempt left. Addresses that there is no room for wait together: otherwise whoever
    /// fills the table could guess as often as they like.
    fn check_guess(&self, found: Option<&FoundKey>) -> Result<(), Refused> {
        let Some((failures, address)) = self.counted() else { return Ok(()) };
        let now = self.ask.moment.steady();
        match found {
            Some(key) if failures.remembers(key.digest(), now) => Ok(()),
            _ => self.attempt(failures.check(address, now), CredentialKind::ApiKey),
        }
    }

    /// Called after the proof of a key that can be guessed. One that is found and proves nothing, since
    /// it has expired or was revoked, is a guess like any other the next time.
    fn remember(&self, proven: &KeyDigest) {
        if let Some(failures) = self.judge.failures {
            failures.remember(proven.as_bytes(), self.ask.moment.steady());
        }
    }

    /// Microseconds for which the address has to wait, if it has to by its own failures.
    fn wait(&self) -> Option<u64> {
        let (failures, address) = self.counted()?;
        failures.check_own(address, self.ask.moment.steady()).err().map(|MustWait(wait)| wait)
    }

    /// Charges an attempt that proved nothing to its address; where that has to wait already, the
    /// answer says so.
    fn account(&self, refused: Refused, mode: Mode) -> Refused {
        let is_failure = refused.proves_nothing() && !refused.may_ask_again();
        let Some((failures, address)) = self.counted().filter(|_| is_failure) else {
            return refused;
        };
        let now = self.ask.moment.steady();
        match failures.check(address, now) {
            Err(MustWait(wait)) => {
                TooManyFailures { wait, cause: WaitCause::Failed(Box::new(refused)) }.into()
            }
            Ok(()) => {
                // A rule in shadow mode refuses nobody, so it makes nobody wait elsewhere either;
                // but keys that can be guessed are not to be guessed there for free.
                if mode == Mode::Enforce || self.judge.policy.keys.is_guessable() {
                    failures.charge(address, now);
                }
                refused
            }
        }
    }

    fn counted(&self) -> Option<(&Failures, Address)> {
        let address = self.judge.policy.address.bucket(self.address?.counted());
        Some((self.judge.failures?, address))
    }
}

#[cfg(test)]
mod tests {

    use http::{HeaderMap, Method};

    use super::*;
    use crate::ask::Came;
    use crate::limit::MemoryStore;
    use crate::policy::{Faults, Refusal, Sources, load};
    use crate::time::{ManualClock, Moment};
    use crate::verify::{NewApiKey, TokenPolicy};

    /// A judge of a small policy, on buckets of its own.
    struct Court {
        policy: Policy,
        tokens: TokenCache,
        buckets: Buckets,
        failures: Failures,
        revocations: Revocations,
        clock: ManualClock,
        key: String,
    }

    impl Court {
        fn new() -> Self {
            let key = NewApiKey::generate("tg").unwrap();
            let text = format!(
                "version = 1\n[api_keys]\n[[api_keys.key]]\nid = \"one\"\nclient = \"billing\"\n\
                 digest = \"{}\"\nscopes = [\"read\"]\n\
                 [failures]\nrate = \"1/minute\"\nburst = 2\n\
                 [[limit]]\nname = \"few\"\nrate = \"1/minute\"\nburst = 2\nper = [\"client\"]\n\
                 [[rule]]\nname = \"read\"\npath = \"/read\"\nscopes = [\"read\"]\nlimits = [\"few\"]\n\
                 [[rule]]\nname = \"write\"\npath = \"/write\"\nscopes = [\"write\"]\nlimits = [\"few\"]\n\
                 [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\nscopes = [\"write\"]\n",
                key.digest()
            );
            let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
            let store = Arc::new(MemoryStore::default());
            let tables = store.adopt(&policy.limits).tables;
            let buckets = Buckets::Memory(store, tables);
            let failures = Failures::adopt(&Arc::default(), policy.failures.unwrap(), 1000);
            let (tokens, clock) =
                (TokenCache::new(&TokenPolicy::default()), ManualClock::at(1_800_000_000));
            let (revocations, key) = (Revocations::new(), key.reveal().to_owned());
            Self { policy, tokens, buckets, failures, revocations, clock, key }
        }

        fn decide(&self, path: &str, key: Option<&str>, trace: &mut impl Trace) -> Decision {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert("x-api-key", key.parse().unwrap());
            }
            let judge = Judge {
                policy: &self.policy,
                keys: &RuntimeKeys::Memory(Arc::default()),
                tokens: &self.tokens,
                revocations: &self.revocations,
                buckets: &self.buckets,
                failures: Some(&self.failures),
            };
            let ask = Ask {
                method: &Method::GET,
                path,
                headers: &headers,
                fields: self.policy.credential.fields(&headers),
                peer: Some(std::net::IpAddr::from([192, 0, 2, 1]).into()),
                moment: Moment::of(&self.clock),
                came: Came::NOTHING,
            };
            judge.decide(&ask, trace)
        }
    }

    #[test]
    fn each_stage_adds_one_step() {
        let court = Court::new();
        let steps = |path: &str, key: Option<&str>| {
            let mut journal = Vec::new();
            court.decide(path, key, &mut journal);
            journal.iter().map(|step: &Step| format!("{step:?}")).collect::<Vec<_>>()
        };
        let names = |steps: &[String]| -> Vec<String> {
            let name = |step: &String| step.split('(').next().unwrap().to_owned();
            steps.iter().map(name).collect()
        };
        let key = Some(&*court.key);
        assert_eq!(names(&steps("/nowhere", key)), [""; 0]);
        assert_eq!(names(&steps("/read", None)), ["Rule", "Address"]);
        assert_eq!(
            names(&steps("/write", key)),
            ["Rule", "Address", "Presented", "Proven"],
            "a scope is missing"
        );
        assert_eq!(
            names(&steps("/read", key)),
            ["Rule", "Address", "Presented", "Proven", "Permitted", "Charged"]
        );
    }

    #[test]
    fn a_refusal_carries_its_evidence_and_takes_nothing() {
        let court = Court::new();
        let decision = court.decide("/write", Some(&court.key), &mut ());
        let Outcome::Refused(_, Refused::Permit(Refusal::Scope(gap))) = &decision.outcome else {
            panic!("{decision:?}")
        };
        let missing: Vec<&str> = gap.missing().map(|scope| scope.as_str()).collect();
        assert_eq!(missing, ["write"]);
        assert_eq!(decision.caller.principal.unwrap().client(), "billing");
        for _ in 0..2 {
            let admitted = court.decide("/read", Some(&court.key), &mut ()).outcome;
            assert!(matches!(admitted, Outcome::Admitted(_)), "the limit is still full");
        }
        let refused = court.decide("/read", Some(&court.key), &mut ()).outcome;
        assert!(matches!(refused, Outcome::Refused(_, Refused::Limits(_))));
    }

    #[test]
    fn a_rule_in_shadow_mode_refuses_nobody_and_says_why_it_would() {
        let court = Court::new();
        let decision = court.decide("/dark", None, &mut ());
        assert!(matches!(
            decision.outcome,
            Outcome::Shadowed(_, Refused::Credential(CredentialError::Missing))
        ));
        assert_eq!(&*decision.rule().unwrap().name, "dark");
    }

    #[test]
    fn an_address_that_waits_is_no_reason_to_refuse_what_proves_itself() {
        let court = Court::new();
        let unknown = NewApiKey::generate("tg").unwrap();
        let guess = || court.decide("/read", Some(unknown.reveal()), &mut ()).outcome;
        for _ in 0..2 {
            assert!(matches!(guess(), Outcome::Refused(_, Refused::Key(_))));
        }
        let Outcome::Refused(_, Refused::TooManyFailures(waits)) = guess() else { panic!() };
        assert_eq!(waits.wait, 60_000_000);
        assert!(
            matches!(waits.cause, WaitCause::Failed(failure) if matches!(*failure, Refused::Key(_)))
        );
        let good = court.decide("/read", Some(&court.key), &mut ()).outcome;
        assert!(matches!(good, Outcome::Admitted(_)));
    }
}
