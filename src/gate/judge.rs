//! From a request of HTTP to what the gate does with it: it is decided about, the decision is
//! observed, and answered.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use axum::response::Response;
use http::{Extensions, Request};

use super::admission::{Admission, PassedPreflight};
use super::snapshot::Snapshot;
use crate::address::ClientAddress;
use crate::ask::{Ask, Came, Wait};
use crate::decision::{Caller, Decision, Outcome, Permit, Refused};
use crate::denial::{Denial, Draft, Media};
use crate::limit::{Charges, Settlement, Settling};
use crate::policy::{Rule, requested_method};
use crate::time::{Moment, Wall};
use crate::verify::Asked;

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

/// Judges a request, with what `came` while it waited.
pub(super) fn judge<B>(snapshot: &Snapshot, request: &Request<B>, came: &Came) -> Verdict {
    snapshot.judge(&ask(snapshot, request, came))
}

/// Goes on with a request whose charges were settled.
pub(super) fn settled<B>(
    snapshot: &Snapshot,
    request: &Request<B>,
    unsettled: &mut Unsettled,
    settlement: Settlement,
) -> Verdict {
    let ask = ask(snapshot, request, Came::NOTHING);
    let (caller, rule) = (std::mem::take(&mut unsettled.caller), unsettled.rule.clone());
    snapshot.settled(caller, rule, settlement, &ask)
}

fn ask<'r, B>(snapshot: &'r Snapshot, request: &'r Request<B>, came: &'r Came) -> Ask<'r> {
    let extensions = request.extensions();
    // Under `nest` the URI is cut; the original one is what rules are about.
    let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    Ask {
        method: request.method(),
        path: uri.path(),
        headers: request.headers(),
        fields: snapshot.policy().credential.fields(request.headers()),
        peer: peer(extensions).map(|peer| peer.ip().into()),
        moment: Moment::of(&*snapshot.voice.clock),
        came,
    }
}

/// The other end of the connection, where the server knows it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
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
            let address = counted.map(|address| self.policy().address.bucket(address));
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
    #[inline]
    fn act(&self, decision: Decision, ask: &Ask<'_>) -> Verdict {
        let voice = &self.voice;
        // What is not settled yet is observed when it is.
        if !matches!(decision.outcome, Outcome::Unsettled(..)) {
            voice.observer.decided(&decision);
            if self.policy().address.hides_clients(ask.fields.is_forwarded) {
                voice.observer.forwarded_ignored();
            }
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
        let denial = Denial::of(refused, Some(rule.clone()), &caller, now(ask));
        let request = voice.observer.request(ask);
        voice.observer.would_deny(&voice.renderer, denial.draft(), &caller, &request);
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
        let draft = Draft::of(refused, rule, caller, now(ask));
        let request = voice.observer.request(ask);
        if requested_method(ask.method, ask.headers).is_some() {
            voice.observer.preflight_denied();
        }
        Verdict::Denied(voice.deny(&draft, caller, &request, media(ask)))
    }
}

/// The form in which the client would rather have a denial.
fn media(ask: &Ask<'_>) -> Media {
    Media::of(&ask.fields.accept)
}

/// When a refused request was decided, where that made a difference.
fn now(ask: &Ask<'_>) -> Wall {
    // A refusal that depends on the time of day was found by looking at it.
    ask.moment.wall_seen().unwrap_or(Wall::from_micros(0))
}

#[cfg(test)]
mod tests;
