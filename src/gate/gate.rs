//! The gate: it holds the policy in force, observes what is decided, and answers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};
use axum::response::Response;

use super::admission::{Admission, PassedPreflight};
use super::handed_out::HandedOut;
use super::origin::Origin;
use super::record::Record;
use super::snapshot::{Lasting, Snapshot};
use crate::address::{AddressSource, ClientAddress};
use crate::ask::{Ask, Wait};
use crate::decision::{Caller, Decision, Outcome, Permit, Refused};
use crate::denial::{Denial, Media};
use crate::limit::{Charges, Settlement, Settling};
use crate::policy::{Rule, requested_method};
use crate::time::Wall;
use crate::verify::Asked;
use crate::watch::Watch;

/// What lives as long as the process: the policy in force can be replaced.
pub(crate) struct Gate {
    current: ArcSwap<Snapshot>,
    pub(super) lasting: Lasting,
    pub(super) origin: Origin,
    pub(super) record: Mutex<Record>,
    /// What is made of each policy that comes into force.
    followers: Mutex<Vec<Follower>>,
    pub(super) handed_out: HandedOut,
    /// Held by a reload where no watcher takes turns.
    pub(super) turn: Mutex<()>,
    /// Follows the files of the policy. Dropped with the last handle, it ends.
    pub(super) watch: OnceLock<Watch>,
}

/// Is called with each policy that comes into force.
pub(crate) type Follower = Box<dyn FnMut(&Snapshot) -> Followed + Send>;

/// Whether a follower wants to be called again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Followed {
    Still,
    NoMore,
}

/// What the gate does with a request.
pub(super) enum Verdict {
    /// A CORS preflight passes unjudged.
    Preflight(PassedPreflight),
    Admitted(Admission),
    Denied(Response),
    /// Keys are asked for on behalf of the request: it is judged once more when this ends.
    Waits(Wait),
    /// The store is asked for what the request takes: [`Snapshot::settled`] goes on from there.
    Settles(Box<Unsettled>),
}

/// A request about which all is decided but its charges.
pub(super) struct Unsettled {
    pub(super) caller: Caller,
    pub(super) rule: Arc<Rule>,
    pub(super) settling: Box<Settling>,
}

impl Gate {
    pub(super) fn new(
        snapshot: Snapshot,
        lasting: Lasting,
        origin: Origin,
        record: Record,
    ) -> Self {
        let current = ArcSwap::from_pointee(snapshot);
        let record = Mutex::new(record);
        let (followers, handed_out, turn, watch) = Default::default();
        Self { current, lasting, origin, record, followers, handed_out, turn, watch }
    }

    /// The policy in force now. A request ends with the one that it began with.
    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    pub(super) fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// From now on denials lead to the handbook, which is served.
    pub(crate) fn serves_handbook(&self) {
        self.lasting.served.set();
    }

    /// Makes something of the policy in force, and a follower that is called with each one that
    /// comes into force after it, in the thread that reloads. None is missed between the two.
    pub(crate) fn follow<T>(&self, begin: impl FnOnce(&Snapshot) -> (T, Follower)) -> T {
        let mut followers = lock(&self.followers);
        let (made, follower) = begin(&self.current());
        followers.push(follower);
        made
    }

    /// Calls those who follow.
    pub(super) fn tell_followers(&self) {
        let current = self.current();
        lock(&self.followers).retain_mut(|follower| follower(&current) == Followed::Still);
    }

    /// The same, for longer than a request.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// What a lock guards here is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("current", &self.current()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Decides about a request, observes the decision, and answers.
    pub(super) fn judge(&self, ask: &Ask<'_>) -> Verdict {
        let voice = &self.voice;
        let mut decision = match voice.observer.wants_steps() {
            false => self.decide(ask, &mut ()),
            true => self.decide_in_steps(ask),
        };
        if let Some(refused) = decision.refused() {
            let counted = decision.caller.address.map(ClientAddress::counted);
            let address = counted.map(|address| self.policy.address.bucket(address));
            match refused.asks_again(ask.came, address) {
                Some(Asked::Waits(wait)) => return Verdict::Waits(wait),
                // The keys are asked for, and too many wait already: nothing is known of this token.
                Some(Asked::Crowded) => decision.keys_are_unavailable(),
                None => {}
            }
        }
        self.act(decision, ask)
    }

    /// Decides, and logs each step.
    #[cold]
    fn decide_in_steps(&self, ask: &Ask<'_>) -> Decision {
        let mut steps = Vec::new();
        let decision = self.decide(ask, &mut steps);
        self.voice.observer.steps(&steps);
        decision
    }

    /// Goes on with a request whose charges were settled.
    #[cold]
    pub(super) fn settled(
        &self,
        caller: Caller,
        rule: Arc<Rule>,
        settlement: Settlement,
        ask: &Ask<'_>,
    ) -> Verdict {
        let decision = Decision::settled(caller, rule, settlement, &self.voice.buckets);
        self.act(decision, ask)
    }

    /// Observes a decision, and answers.
    #[inline(always)]
    fn act(&self, decision: Decision, ask: &Ask<'_>) -> Verdict {
        let voice = &self.voice;
        // What is not settled yet is observed when it is.
        if !matches!(decision.outcome, Outcome::Unsettled(..)) {
            self.observe(&decision, ask);
        }
        let Decision { caller, outcome } = decision;
        match outcome {
            Outcome::Preflight(rule) => {
                let request = voice.observer.request(ask);
                let passed = PassedPreflight::new(voice.clone(), rule, request, media(ask));
                Verdict::Preflight(passed)
            }
            Outcome::Admitted(Permit { rule, charges }) => {
                voice.observer.admitted(&rule);
                let (request, media) = (voice.observer.request(ask), media(ask));
                let voice = voice.clone();
                let admission = Admission::new(voice, rule, request, media, caller, charges, None);
                Verdict::Admitted(admission)
            }
            Outcome::Shadowed(rule, refused) => self.admit_in_shadow(caller, rule, refused, ask),
            Outcome::Refused(rule, refused) => self.deny(&caller, rule, refused, ask),
            Outcome::Unsettled(rule, settling) => {
                Verdict::Settles(Box::new(Unsettled { caller, rule, settling }))
            }
        }
    }

    /// Tells of a decision, whatever it is.
    #[inline]
    fn observe(&self, decision: &Decision, ask: &Ask<'_>) {
        let observer = &self.voice.observer;
        observer.decided(decision);
        if ask.fields.is_forwarded && self.policy.address.source == AddressSource::Peer {
            observer.forwarded_ignored();
        }
    }

    /// Lets a request pass that its rule would refuse.
    #[cold]
    fn admit_in_shadow(
        &self,
        caller: Caller,
        rule: Arc<Rule>,
        refused: Refused,
        ask: &Ask<'_>,
    ) -> Verdict {
        let voice = &self.voice;
        let denial = denial(&caller, Some(rule.clone()), refused, ask);
        let request = voice.observer.request(ask);
        voice.observer.would_deny(&voice.renderer, &denial, &caller, &request);
        let (voice, media, shadow) = (voice.clone(), media(ask), Some(denial));
        let charges = Charges::default();
        Verdict::Admitted(Admission::new(voice, rule, request, media, caller, charges, shadow))
    }

    fn deny(
        &self,
        caller: &Caller,
        rule: Option<Arc<Rule>>,
        refused: Refused,
        ask: &Ask<'_>,
    ) -> Verdict {
        let voice = &self.voice;
        let denial = denial(caller, rule, refused, ask);
        let request = voice.observer.request(ask);
        if requested_method(ask.method, ask.headers).is_some() {
            voice.observer.preflight_denied();
        }
        Verdict::Denied(voice.deny(&denial, caller, &request, media(ask)))
    }
}

/// The form in which the client would rather have a denial.
fn media(ask: &Ask<'_>) -> Media {
    Media::of(&ask.fields.accept)
}

/// The denial of a request that is refused, or would be.
fn denial(caller: &Caller, rule: Option<Arc<Rule>>, refused: Refused, ask: &Ask<'_>) -> Denial {
    // A refusal that depends on the time of day was found by looking at it.
    let now = ask.moment.wall_seen().unwrap_or(Wall::from_micros(0));
    let mut denial = Denial::of(refused, rule, caller.principal.clone(), now);
    denial.draft_mut().address = caller.address.and_then(ClientAddress::proven);
    denial
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};

    use super::super::observe::Observer;
    use super::*;
    use crate::ask::Came;
    use crate::denial::Registry;
    use crate::policy::{Faults, Sources, load};
    use crate::time::{ManualClock, Moment};

    /// What lives as long as the process, and its policies.
    struct Process {
        clock: ManualClock,
        lasting: Lasting,
    }

    impl Process {
        fn new() -> Self {
            let clock = ManualClock::at(1_800_000_000);
            let observer = Arc::new(Observer::new(HeaderName::from_static("x-request-id")));
            Self { lasting: Lasting::new(Arc::new(clock.clone()), observer), clock }
        }

        /// Puts a policy in force whose rules are public, with a limit of this burst for each address.
        fn enforce(&self, burst: u32, more: &str) -> Snapshot {
            let text = format!(
                "version = 1\n[[limit]]\nname = \"few\"\nrate = \"1/minute\"\nburst = {burst}\n\
                 per = [\"address\"]\n\
                 [[rule]]\nname = \"all\"\npath = \"/a\"\npublic = true\nlimits = [\"few\"]\n{more}"
            );
            let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
            Snapshot::new(policy, Registry::default(), Vec::new(), &self.lasting)
        }

        fn judge(&self, snapshot: &Snapshot, path: &str) -> Verdict {
            let headers = HeaderMap::new();
            let ask = Ask {
                method: &Method::GET,
                path,
                headers: &headers,
                fields: snapshot.policy.credential.fields(&headers),
                peer: Some(std::net::IpAddr::from([192, 0, 2, 1]).into()),
                moment: Moment::of(&self.clock),
                came: Came::NOTHING,
            };
            snapshot.judge(&ask)
        }

        fn admits(&self, snapshot: &Snapshot, path: &str) -> bool {
            matches!(self.judge(snapshot, path), Verdict::Admitted(_))
        }
    }

    #[test]
    fn buckets_outlive_the_policy_that_filled_them() {
        let process = Process::new();
        let before = process.enforce(3, "");
        assert!((0..2).all(|_| process.admits(&before, "/a")));
        let after = process.enforce(3, "");
        assert!(process.admits(&after, "/a"));
        assert!(!process.admits(&after, "/a"), "two were taken under the policy before");
        assert!(!process.admits(&before, "/a"), "which may still judge, by the same buckets");
        process.clock.advance(std::time::Duration::from_secs(60));
        assert!(process.admits(&after, "/a"));
    }

    #[test]
    fn an_admission_of_a_replaced_policy_still_charges() {
        let process = Process::new();
        let before = process.enforce(5, "");
        let Verdict::Admitted(open) = process.judge(&before, "/a") else { panic!("refused") };
        drop(before);
        let after = process.enforce(5, "");
        open.charge(4);
        assert!(!process.admits(&after, "/a"), "the stream took what was left");
        let left: Vec<_> = open.limits().map(|balance| balance.remaining).collect();
        assert_eq!(left, [0]);
    }

    #[test]
    fn what_is_refused_in_shadow_mode_is_admitted_with_the_reason() {
        let process = Process::new();
        let dark = "[[rule]]\nname = \"dark\"\npath = \"/b\"\nmode = \"shadow\"\npublic = true\n\
                    limits = [\"few\"]\n";
        let snapshot = process.enforce(1, dark);
        assert!(process.admits(&snapshot, "/a"));
        let Verdict::Admitted(admission) = process.judge(&snapshot, "/b") else {
            panic!("a rule in shadow mode refuses nobody")
        };
        assert_eq!(admission.shadow(), Some("rate_limited"));
        assert_eq!(admission.limits().count(), 0, "and took nothing");
    }

    #[test]
    fn what_no_rule_covers_is_answered_as_a_denial() {
        let process = Process::new();
        let snapshot = process.enforce(1, "");
        let Verdict::Denied(response) = process.judge(&snapshot, "/nowhere") else {
            panic!("no rule covers it")
        };
        assert!(response.status().is_client_error());
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
