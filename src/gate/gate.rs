//! The gate: it holds the policy in force, observes what is decided, and answers.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::{ArcSwap, Guard};
use axum::response::Response;

use super::admission::{Admission, PassedPreflight};
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
    /// Held by a reload where no watcher takes turns.
    pub(super) turn: Mutex<()>,
    /// Follows the files of the policy. Dropped with the last handle, it ends.
    pub(super) watch: OnceLock<Watch>,
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
        let (turn, watch) = Default::default();
        Self { current, lasting, origin, record: Mutex::new(record), turn, watch }
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

    /// The same, for longer than a request.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
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
