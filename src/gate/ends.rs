//! When the credential of a stream that stays open ends.
//!
//! 1. A stream that waits for the end of its credential leaves a waker here, and says when that ends by
//!    itself.
//! 2. A thread looks once a second, for as long as there are such streams: it wakes those whose time
//!    has come, those whose key is held by a source, and all of them where another policy is in force,
//!    or the application has revoked something. It needs no runtime.
//! 3. A stream that is woken asks whether its caller is still proven, by the policy in force then. It
//!    keeps no policy that was replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::admission::Admission;
use super::gate::Gate;
use crate::decision::{Refused, StillProven};
use crate::denial::Denial;
use crate::principal::Principal;
use crate::time::{Clock, Moment, Wall};
use crate::verify::{KeyError, Revocations, TokenError};

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who waits for the end of a credential. It lives as long as the process.
pub(super) struct Ends {
    clock: Arc<dyn Clock>,
    revocations: Revocations,
    /// Knows the policy in force. Empty where there is no gate, as in tests of handlers.
    gate: OnceLock<Weak<Gate>>,
    /// How many policies have come into force since the first.
    policies: AtomicU64,
    /// How many times the thread has looked.
    looks: AtomicU64,
    streams: Mutex<Streams>,
    nudged: Condvar,
}

#[derive(Default)]
struct Streams {
    /// Whether a thread looks.
    are_watched: bool,
    /// Whether the thread is to look now.
    is_nudged: bool,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    /// When the credential ends by itself.
    end: Option<Wall>,
    /// Whether it may end sooner, at any time.
    may_change: bool,
    waker: Waker,
}

/// What decides about credentials beside the time: the number of the policy, and of what was revoked.
type Version = (u64, u64);

impl Ends {
    pub(super) fn new(clock: Arc<dyn Clock>, revocations: Revocations) -> Self {
        let (gate, policies, looks, streams, nudged) = Default::default();
        Self { clock, revocations, gate, policies, looks, streams, nudged }
    }

    /// Whose policy in force decides.
    pub(super) fn of_gate(&self, gate: &Arc<Gate>) {
        // INVARIANT: called once, when the gate is made.
        let _first = self.gate.set(Arc::downgrade(gate));
    }

    /// Another policy is in force.
    pub(super) fn policy_changed(&self) {
        self.policies.fetch_add(1, Ordering::AcqRel);
        self.streams().is_nudged = true;
        self.nudged.notify_one();
    }

    fn version(&self) -> Version {
        (self.policies.load(Ordering::Acquire), self.revocations.version())
    }

    /// The gate; `None` where there is none, as in tests of handlers, or no more.
    pub(super) fn gate(&self) -> Option<Arc<Gate>> {
        self.gate.get().and_then(Weak::upgrade)
    }

    /// Whether a caller that was proven before still is; what a new request of it would be refused with,
    /// where it is not.
    fn still_proven(
        &self,
        caller: &Principal,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        match self.gate() {
            Some(gate) => gate.snapshot().still_proven(caller, moment),
            // Nothing is decided any more, but time goes on.
            None => {
                let until = end_by_itself(caller, moment.wall())?;
                Ok(StillProven { until, may_change: false })
            }
        }
    }

    /// Has the stream woken when its credential may have ended. `place` is where it waits already.
    fn wait(self: &Arc<Self>, place: Option<u64>, waiting: Waiting) -> u64 {
        let mut streams = self.streams();
        let place = place.unwrap_or_else(|| {
            streams.next += 1;
            streams.next
        });
        streams.waiting.insert(place, waiting);
        if !streams.are_watched {
            streams.are_watched = true;
            if let Err(error) = self.watch() {
                streams.are_watched = false;
                tracing::error!(
                    target: "tollgate", %error,
                    "open streams are not told when their credential ends: the system gives no thread"
                );
            }
        }
        place
    }

    fn leave(&self, place: u64) {
        self.streams().waiting.remove(&place);
    }

    fn watch(self: &Arc<Self>) -> io::Result<()> {
        let (ends, seen) = (self.clone(), self.version());
        let looks = move || {
            let watched = Watched(&ends);
            ends.look(seen);
            drop(watched);
        };
        std::thread::Builder::new().name("tollgate-ends".into()).spawn(looks)?;
        Ok(())
    }

    /// Looks until nobody waits.
    fn look(&self, mut seen: Version) {
        let mut streams = self.streams();
        while !streams.waiting.is_empty() {
            let waited = self.nudged.wait_timeout_while(streams, LOOK_EVERY, |it| !it.is_nudged);
            streams = waited.unwrap_or_else(PoisonError::into_inner).0;
            streams.is_nudged = false;
            let (version, now) = (self.version(), self.clock.wall());
            let is_due = |waiting: &&Waiting| {
                version != seen || waiting.may_change || waiting.end.is_some_and(|end| end <= now)
            };
            let due: Vec<Waker> =
                streams.waiting.values().filter(is_due).map(|it| it.waker.clone()).collect();
            seen = version;
            self.looks.fetch_add(1, Ordering::AcqRel);
            drop(streams);
            due.into_iter().for_each(Waker::wake);
            streams = self.streams();
        }
        streams.are_watched = false;
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that ends in a panic, of a clock of the application's, is started anew by the next stream.
struct Watched<'e>(&'e Ends);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.streams().are_watched = false;
        }
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").finish_non_exhaustive()
    }
}

/// When the credential ends by what was known when it was proven.
fn end_by_itself(caller: &Principal, now: Wall) -> Result<Option<Wall>, Refused> {
    let of_key = caller.key().and_then(|key| Some((key, key.expires()?)));
    if let Some((key, expires)) = of_key.filter(|(_, expires)| now.seconds() >= *expires) {
        return Err(KeyError::Expired(key.clone(), expires).into());
    }
    let of_token = caller.token().map(|token| token.validity);
    if let Some(validity) = of_token.filter(|validity| now >= validity.ends) {
        let (at, issued) = (validity.expires, validity.issued_at);
        return Err(TokenError::Expired { at, issued }.into());
    }
    let of_key = of_key.map(|(_, expires)| Wall::from_seconds(expires));
    Ok(of_key.into_iter().chain(of_token.map(|validity| validity.ends)).min())
}

/// Ends when the credential of a request does: see [`Admission::ended`](crate::Admission::ended).
///
/// After its end it is pending for ever.
#[must_use = "futures do nothing unless they are polled"]
pub struct Ended {
    admission: Admission,
    /// What was so when the caller was last found proven, and how many looks there had been.
    seen: Option<(Version, u64)>,
    /// How it was found then.
    still: StillProven,
    /// Where the stream waits, and what is woken.
    waits: Option<(u64, Waker)>,
    is_over: bool,
}

impl Ended {
    pub(super) fn of(admission: Admission) -> Self {
        let still = StillProven { until: None, may_change: false };
        Self { admission, seen: None, still, waits: None, is_over: false }
    }

    /// What a new request would be refused with, where the credential has ended now. Asked again and
    /// again, it costs a look at the clock.
    pub(super) fn look(&mut self) -> Option<Denial> {
        let caller = self.admission.principal().filter(|_| !self.is_over)?;
        let ends = self.admission.ends();
        let (version, looks) = (ends.version(), ends.looks.load(Ordering::Acquire));
        let (moment, is_told) = (Moment::of(&*ends.clock), self.waits.is_some());
        let now = moment.wall();
        let is_as_it_was = self.seen.is_some_and(|(seen, at)| {
            seen == version && (!self.still.may_change || (is_told && at == looks))
        });
        if is_as_it_was && self.still.until.is_none_or(|end| now < end) {
            return None;
        }
        match ends.still_proven(caller, &moment) {
            Ok(still) => {
                (self.seen, self.still) = (Some((version, looks)), still);
                None
            }
            Err(refused) => {
                let denial = self.admission.has_ended(refused, now);
                self.leave();
                self.is_over = true;
                Some(denial)
            }
        }
    }

    /// Has the task woken when the credential may have ended.
    fn wait(&mut self, waker: &Waker) {
        let ends = self.admission.ends();
        let place = self.waits.as_ref().map(|(place, _)| *place);
        let StillProven { until, may_change } = self.still;
        let waiting = Waiting { end: until, may_change, waker: waker.clone() };
        let place = ends.wait(place, waiting);
        self.waits = Some((place, waker.clone()));
    }

    fn leave(&mut self) {
        if let Some((place, _)) = self.waits.take() {
            self.admission.ends().leave(place);
        }
    }
}

impl Future for Ended {
    type Output = Denial;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Denial> {
        // A request without a credential has none that could end.
        if self.is_over || self.admission.principal().is_none() {
            return Poll::Pending;
        }
        let waker = context.waker();
        // First it waits, then it looks: no change between the two is missed.
        if !self.waits.as_ref().is_some_and(|(_, held)| held.will_wake(waker)) {
            self.wait(waker);
        }
        let before = self.still;
        if let Some(denial) = self.look() {
            return Poll::Ready(denial);
        }
        if self.still != before {
            self.wait(waker);
        }
        Poll::Pending
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("rule", &self.admission.rule()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;
    use std::time::Instant;

    use super::*;
    use crate::time::ManualClock;

    /// No test waits so long unless it fails.
    const LONG: Duration = Duration::from_secs(60);

    struct Telling(Mutex<Sender<&'static str>>, &'static str);

    impl Wake for Telling {
        fn wake(self: Arc<Self>) {
            let _gone = self.0.lock().unwrap().send(self.1);
        }
    }

    #[test]
    fn a_thread_wakes_who_is_due_and_ends_with_the_last() {
        let (clock, revocations) = (ManualClock::at(100), Revocations::new());
        let ends = Arc::new(Ends::new(Arc::new(clock.clone()), revocations.clone()));
        let (told, heard) = channel();
        let next = || heard.recv_timeout(LONG).unwrap();
        let wait = |name, end: Option<u64>| {
            let waker = Arc::new(Telling(Mutex::new(told.clone()), name)).into();
            ends.wait(None, Waiting { end: end.map(Wall::from_seconds), may_change: false, waker })
        };
        let (early, late, never) =
            (wait("early", Some(200)), wait("late", Some(300)), wait("never", None));
        clock.advance(Duration::from_secs(100));
        assert_eq!(next(), "early");
        ends.leave(early);
        clock.advance(Duration::from_secs(100));
        assert_eq!(next(), "late");
        ends.leave(late);

        // What was revoked may concern anybody, and so may another policy.
        revocations.replace([]);
        assert_eq!(next(), "never");
        ends.policy_changed();
        assert_eq!(next(), "never");
        ends.leave(never);

        let start = Instant::now();
        while ends.streams().are_watched {
            assert!(start.elapsed() < LONG, "the thread goes on for nobody");
            std::thread::yield_now();
        }
        wait("again", Some(300));
        assert_eq!(next(), "again", "another thread looks");
    }
}
