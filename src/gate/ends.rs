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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::decision::{Grounds, Refused, StillProven};
use crate::principal::Principal;
use crate::time::{Clock, Moment};
use crate::verify::Revocations;

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who waits for the end of a credential. It lives as long as the process.
pub(super) struct Ends {
    pub(super) clock: Arc<dyn Clock>,
    revocations: Revocations,
    /// What is in force. Empty where there is no gate, as in tests of handlers.
    grounds: Mutex<Weak<Grounds>>,
    /// How many policies have come into force.
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

pub(super) struct Waiting {
    pub(super) still: StillProven,
    pub(super) waker: Waker,
}

/// What decides about credentials beside the time: the number of the policy, and of what was revoked.
pub(super) type Version = (u64, u64);

impl Ends {
    pub(super) fn new(clock: Arc<dyn Clock>, revocations: Revocations) -> Self {
        let (grounds, policies, looks, streams, nudged) = Default::default();
        Self { clock, revocations, grounds, policies, looks, streams, nudged }
    }

    /// These grounds come into force. Called before those that were are dropped, so that a stream
    /// always finds some.
    pub(super) fn put_in_force(&self, grounds: &Arc<Grounds>) {
        *self.grounds.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(grounds);
        self.policies.fetch_add(1, Ordering::AcqRel);
        self.streams().is_nudged = true;
        self.nudged.notify_one();
    }

    pub(super) fn version(&self) -> Version {
        (self.policies.load(Ordering::Acquire), self.revocations.version())
    }

    /// What is in force; `None` where there is no gate, as in tests of handlers, or no more.
    pub(super) fn grounds(&self) -> Option<Arc<Grounds>> {
        self.grounds.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// How many times the thread has looked.
    pub(super) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// Whether a caller that was proven before still is; what a new request of it would be refused with,
    /// where it is not.
    pub(super) fn still_proven(
        &self,
        caller: &Principal,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        match self.grounds() {
            Some(grounds) => grounds.still_proven(caller, moment),
            // Nothing is decided any more, but time goes on.
            None => StillProven::by_time(caller, moment.wall()),
        }
    }

    /// Has the stream woken when its credential may have ended. `place` is where it waits already.
    pub(super) fn wait(self: &Arc<Self>, place: Option<u64>, waiting: Waiting) -> u64 {
        let mut streams = self.streams();
        let place = place.unwrap_or_else(|| {
            streams.next += 1;
            streams.next
        });
        let former = streams.waiting.insert(place, waiting);
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
        drop(streams);
        // It may be the last that keeps a task, and with it a stream that leaves in its turn.
        drop(former);
        place
    }

    pub(super) fn leave(&self, place: u64) {
        let left = self.streams().waiting.remove(&place);
        // As above: nothing is locked any more.
        drop(left);
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
                let StillProven { until, may_change } = waiting.still;
                version != seen || may_change || until.is_some_and(|end| end <= now)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;
    use std::time::Instant;

    use super::*;
    use crate::policy::{Faults, Sources, load};
    use crate::time::{ManualClock, Wall};
    use crate::verify::key_store::RuntimeKeys;
    use crate::verify::{TokenCache, TokenPolicy};

    /// No test waits so long unless it fails.
    const LONG: Duration = Duration::from_secs(60);

    struct Telling(Mutex<Sender<&'static str>>, &'static str);

    impl Wake for Telling {
        fn wake(self: Arc<Self>) {
            let _gone = self.0.lock().unwrap().send(self.1);
        }
    }

    /// The last that keeps a task, which has a stream of its own.
    struct Keeping(Arc<Ends>);

    impl Wake for Keeping {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Keeping {
        fn drop(&mut self) {
            self.0.leave(0);
        }
    }

    fn grounds() -> Arc<Grounds> {
        let text = "version = 1\n[[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\n";
        let policy = load("policy", text, &Sources::default(), &Faults::default()).unwrap();
        Arc::new(Grounds {
            policy,
            keys: RuntimeKeys::Memory(Arc::default()),
            tokens: Arc::new(TokenCache::new(&TokenPolicy::default())),
            revocations: Revocations::new(),
        })
    }

    #[test]
    fn a_waker_may_be_the_last_that_keeps_another_stream() {
        let (told, heard) = channel();
        std::thread::spawn(move || {
            let ends = Arc::new(Ends::new(Arc::new(ManualClock::at(100)), Revocations::new()));
            let still = StillProven { until: None, may_change: false };
            let waiting = || Waiting { still, waker: Arc::new(Keeping(ends.clone())).into() };
            let place = ends.wait(None, waiting());
            ends.wait(Some(place), waiting());
            told.send("another waits").unwrap();
            ends.leave(place);
            told.send("none waits").unwrap();
        });
        assert_eq!(heard.recv_timeout(LONG), Ok("another waits"));
        assert_eq!(heard.recv_timeout(LONG), Ok("none waits"));
    }

    #[test]
    fn a_thread_wakes_who_is_due_and_ends_with_the_last() {
        let (clock, revocations) = (ManualClock::at(100), Revocations::new());
        let ends = Arc::new(Ends::new(Arc::new(clock.clone()), revocations.clone()));
        let (told, heard) = channel();
        let next = || heard.recv_timeout(LONG).unwrap();
        let wait = |name, end: Option<u64>| {
            let waker = Arc::new(Telling(Mutex::new(told.clone()), name)).into();
            let still = StillProven { until: end.map(Wall::from_seconds), may_change: false };
            ends.wait(None, Waiting { still, waker })
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
        ends.put_in_force(&grounds());
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
