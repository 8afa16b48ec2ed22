//! The gate: it holds the policy in force, observes what is decided, and answers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};
use axum::response::Response;

use super::admission::{Admission, PassedPreflight};
use super::handed_out::HandedOut;
use super::origin::Origin;
use super::reload::Record;
use super::snapshot::{Lasting, Snapshot};
use crate::address::{AddressSource, ClientAddress};
use crate::ask::Ask;
use crate::decision::{Decision, Outcome, Permit};
use crate::denial::{Denial, Media};
use crate::limit::Charges;
use crate::policy::requested_method;
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
    pub(super) fn judge(&self, ask: &Ask<'_>, media: Media) -> Verdict {
        let voice = &self.voice;
        let decision = match voice.observer.wants_steps() {
            false => self.decide(ask, &mut ()),
            true => {
                let mut steps = Vec::new();
                let decision = self.decide(ask, &mut steps);
                voice.observer.steps(&steps);
                decision
            }
        };
        voice.observer.decided(&decision);
        if ask.fields.is_forwarded && self.policy.address.source == AddressSource::Peer {
            voice.observer.forwarded_ignored();
        }
        let Decision { caller, outcome } = decision;
        let denial = |rule, refused| {
            let mut denial = Denial::of(refused, rule, caller.principal.clone(), ask.moment.wall());
            denial.draft_mut().address = caller.address.and_then(ClientAddress::proven);
            denial
        };
        match outcome {
            Outcome::Preflight(rule) => {
                let request = voice.observer.request(ask);
                Verdict::Preflight(PassedPreflight::new(voice.clone(), rule, &request))
            }
            Outcome::Admitted(Permit { rule, charges }) => {
                voice.observer.admitted(&rule);
                let request = voice.observer.request(ask);
                let voice = voice.clone();
                Verdict::Admitted(Admission::new(voice, rule, &request, caller, charges, None))
            }
            Outcome::Shadowed(rule, refused) => {
                let denial = denial(Some(rule.clone()), refused);
                let request = voice.observer.request(ask);
                voice.observer.would_deny(&voice.renderer, &denial, &caller, &request);
                let (voice, charges) = (voice.clone(), Charges::default());
                let shadow = Some(denial);
                Verdict::Admitted(Admission::new(voice, rule, &request, caller, charges, shadow))
            }
            Outcome::Refused(rule, refused) => {
                let denial = denial(rule, refused);
                let request = voice.observer.request(ask);
                if requested_method(ask.method, ask.headers).is_some() {
                    voice.observer.preflight_denied();
                }
                Verdict::Denied(voice.deny(&denial, &caller, &request, media))
            }
        }
    }
}
