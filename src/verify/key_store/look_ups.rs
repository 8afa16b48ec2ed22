//! Looks keys up in a source, and remembers what it said.
//!
//! 1. Memory answers first. What is fresh counts; what is aging counts and is looked up again in the
//!    background, so that a key in use never waits.
//! 2. A key that is old or not in memory is looked up, and the request waits: at most half a second.
//!    Requests for one key wait for one look-up.
//! 3. Look-ups of keys that are not in memory are paced, and have a bound of their own on how many
//!    run and wait at once: a flood of invented keys costs the source so much, and good keys nothing.
//! 4. After three failures in a row the source counts as down, and is tried once a second. Until it
//!    answers nobody waits: keys that are known go on for a while, and others are not decided.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::KeyBackend;
use super::cache::{Age, KeyCache, Remembered};
use super::changes::{Hears, KeyChanges};
use super::digest::KeyDigest;
use super::error::KeySourceError;
use super::flights::{Flight, Flights, Place, Why};
use super::health::{Health, Pace, Turn};
use super::held::HeldKey;
use super::record::ApiKeyRecord;
use super::settings::KeyCacheSettings;
use super::source::{KeySource, KeyStore};
use crate::address::Address;
use crate::ask::{Arrived, LookedUp, Wait};
use crate::principal::KeyRecord;
use crate::time::{Clock, Steady};

/// How long a look-up may take.
const DEADLINE: Duration = Duration::from_millis(500);
/// How much of that it may wait for others to end.
const MOST_QUEUED: Duration = Duration::from_millis(250);
/// How many look-ups run at once, of each kind.
const AT_ONCE: usize = 8;
/// How often the store is told of last uses, and of how many at a time.
const NOTE_EVERY: Duration = Duration::from_secs(60);
const NOTED_AT_ONCE: usize = 1000;

/// The keys of a source, as far as they are in memory, and the tasks that serve them.
pub(crate) struct LookUps {
    shared: Arc<Shared>,
    runtime: Option<Handle>,
    tasks: OnceLock<Vec<AbortHandle>>,
}

struct Shared {
    source: Arc<dyn KeySource>,
    store: Option<Arc<dyn KeyStore>>,
    clock: Arc<dyn Clock>,
    keep: Duration,
    cache: KeyCache,
    flights: Arc<Flights>,
    health: Health,
    pace: Pace,
    /// How many look-ups may run, by why.
    lanes: [Semaphore; 2],
}

/// What is known of a key now.
pub(crate) enum Known {
    Held(Arc<HeldKey>),
    /// It was looked up for this request.
    Found(Arc<KeyRecord>),
    Absent,
    /// It is to be looked up.
    Ask(Why),
    /// The source does not answer, and memory does not know the key.
    Unavailable,
}

impl LookUps {
    pub(super) fn new(
        backend: &KeyBackend,
        settings: &KeyCacheSettings,
        clock: Arc<dyn Clock>,
        runtime: Option<Handle>,
    ) -> Self {
        let shared = Arc::new(Shared {
            source: backend.source(),
            store: backend.store(),
            clock,
            keep: settings.keep,
            cache: KeyCache::new(settings),
            flights: Arc::default(),
            health: Health::default(),
            pace: Pace::per_second(settings.look_ups),
            lanes: [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)],
        });
        let look_ups = Self { shared, runtime, tasks: OnceLock::new() };
        look_ups.start();
        look_ups
    }

    pub(super) fn runtime(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    /// Follows the source and notes last uses. Without a runtime the first look-up starts it.
    fn start(&self) {
        let Some(runtime) = self.runtime() else { return };
        self.tasks.get_or_init(|| {
            let (source, shared) = (self.shared.source.clone(), self.shared.clone());
            let changes = KeyChanges::new(shared.clone());
            let follow = runtime.spawn(async move { source.follow(changes).await });
            let note = runtime.spawn(async move {
                loop {
                    sleep(NOTE_EVERY).await;
                    shared.note_used().await;
                }
            });
            vec![follow.abort_handle(), note.abort_handle()]
        });
    }

    /// What is known of a key, where `came` is what became of looking it up for this request.
    pub(crate) fn recall(&self, digest: &KeyDigest, now: Steady, came: Option<&LookedUp>) -> Known {
        match (self.shared.cache.recall(digest, now), came) {
            (Remembered::Held(held, Age::Fresh), _) => Known::Held(held),
            (Remembered::Held(held, Age::Aging), _) => {
                self.look_up_behind(*digest);
                Known::Held(held)
            }
            (Remembered::Held(_, Age::Old(_)), Some(LookedUp::Found(key))) => {
                Known::Found(key.clone())
            }
            (Remembered::Held(held, Age::Old(age)), Some(LookedUp::Unavailable)) => {
                self.go_on(held, age)
            }
            (Remembered::Held(held, Age::Old(age)), None) if self.shared.health.is_down() => {
                self.look_up_behind(*digest);
                self.go_on(held, age)
            }
            (Remembered::Held(..), None) => Known::Ask(Why::Refresh),
            (Remembered::Nothing, Some(LookedUp::Found(key))) => Known::Found(key.clone()),
            (Remembered::Nothing, Some(LookedUp::Unavailable)) => Known::Unavailable,
            (Remembered::Nothing, None) => Known::Ask(Why::Unknown),
            (Remembered::Absent, _) | (_, Some(LookedUp::Absent)) => Known::Absent,
        }
    }

    /// A key that is old goes on for a while where the source does not answer; one that is revoked
    /// stays so.
    fn go_on(&self, held: Arc<HeldKey>, age: Duration) -> Known {
        let is_known = !held.is_outdated() && age < self.shared.keep;
        match is_known || held.record().is_revoked() {
            true => Known::Held(held),
            false => Known::Unavailable,
        }
    }

    /// Looks a key up for a request from `address`, or joins the look-up that has begun. `None` where
    /// too many wait, too many are looked up, or the source is down.
    pub(crate) fn ask(
        &self,
        digest: KeyDigest,
        why: Why,
        address: Option<Address>,
    ) -> Option<Wait> {
        let place = self.shared.flights.place(why, address);
        let Some((place, mut outcome)) = place.and_then(|place| self.join(digest, why, place))
        else {
            count("not_asked");
            return None;
        };
        Some(Box::pin(async move {
            let _place = place;
            let ended = outcome.wait_for(Option::is_some).await;
            // Whoever looked it up is gone, with the runtime.
            let looked_up = ended.ok().and_then(|outcome| outcome.clone());
            Arrived::Record(looked_up.unwrap_or(LookedUp::Unavailable))
        }))
    }

    fn join(
        &self,
        digest: KeyDigest,
        why: Why,
        place: Place,
    ) -> Option<(Place, tokio::sync::watch::Receiver<Option<LookedUp>>)> {
        let (outcome, flight) = {
            let mut open = self.shared.flights.open();
            match open.find(&digest) {
                Some(outcome) => (outcome, None),
                None => {
                    self.may_begin(why).then_some(())?;
                    let flight = open.begin(digest, why)?;
                    (open.find(&digest)?, Some(flight))
                }
            }
        };
        if let Some(flight) = flight {
            self.take_off(digest, why, flight);
        }
        Some((place, outcome))
    }

    /// Looks a key up for nobody in particular, unless it is looked up already.
    fn look_up_behind(&self, digest: KeyDigest) {
        let flight = {
            let mut open = self.shared.flights.open();
            match open.find(&digest).is_none() && self.may_begin(Why::Refresh) {
                true => open.begin(digest, Why::Refresh),
                false => None,
            }
        };
        if let Some(flight) = flight {
            self.take_off(digest, Why::Refresh, flight);
        }
    }

    fn may_begin(&self, why: Why) -> bool {
        let now = self.shared.clock.steady();
        // In this order: what may not be tried takes nothing of the pace.
        self.shared.health.may_try(now) && (why == Why::Refresh || self.shared.pace.may_begin(now))
    }

    /// Begins a look-up. Nothing may be locked: without a runtime it ends here.
    fn take_off(&self, digest: KeyDigest, why: Why, flight: Arc<Flight>) {
        self.start();
        let landing = Landing { shared: self.shared.clone(), digest, flight, is_over: false };
        if let Some(runtime) = self.runtime() {
            runtime.spawn(landing.fly(why));
        }
    }

    /// The key is so from now on: this process has changed it.
    pub(crate) fn put(&self, record: ApiKeyRecord) {
        let mut open = self.shared.flights.open();
        open.outdate(&record.digest());
        self.shared.cache.hold(HeldKey::new(record, self.shared.clock.steady()));
    }

    /// The key may have changed.
    pub(crate) fn forget(&self, digest: &KeyDigest) {
        self.shared.changed(*digest);
    }

    /// A record of the store, with the last use that this process knows of.
    pub(super) fn with_last_use(&self, mut record: ApiKeyRecord) -> ApiKeyRecord {
        let now = self.shared.clock.steady();
        if let Remembered::Held(held, _) = self.shared.cache.recall(&record.digest(), now)
            && let Some(used) = held.last_used()
        {
            record.note_used(used);
        }
        record
    }

    pub(crate) fn status(&self) -> KeyStatus {
        let shared = &self.shared;
        let (age, error) = shared.health.last(shared.clock.steady());
        let error = error.map(|error| error.to_string());
        KeyStatus { kind: shared.source.kind(), age, error, keys: shared.cache.len().0 }
    }

    pub(crate) fn gauge(&self) {
        let (held, absent) = self.shared.cache.len();
        gauge!("tollgate_keys_in_memory", "kind" => "known").set(held as f64);
        gauge!("tollgate_keys_in_memory", "kind" => "unknown").set(absent as f64);
    }
}

/// How a source of keys is.
#[derive(Clone, Debug)]
pub(crate) struct KeyStatus {
    pub(crate) kind: &'static str,
    /// How long ago it answered.
    pub(crate) age: Option<Duration>,
    /// Why it has not answered since then.
    pub(crate) error: Option<String>,
    /// How many keys are in memory.
    pub(crate) keys: usize,
}

/// A look-up that is under way. Dropped, as when the source panics, it has failed.
struct Landing {
    shared: Arc<Shared>,
    digest: KeyDigest,
    flight: Arc<Flight>,
    is_over: bool,
}

impl Landing {
    async fn fly(mut self, why: Why) {
        let deadline = Instant::now() + DEADLINE;
        let shared = self.shared.clone();
        // What waits too long for others is not begun: so what is begun has time enough, and if it
        // gets no answer, that is the source's.
        let Ok(_permit) = timeout(MOST_QUEUED, shared.lanes[why as usize].acquire()).await else {
            return self.end(LookedUp::Unavailable, "not_asked");
        };
        let asked = shared.clock.steady();
        match timeout_at(deadline, shared.source.look_up(self.digest)).await {
            Ok(answer) => self.land(asked, answer),
            Err(_) => self.fail(KeySourceError::new("no answer in time")),
        }
    }

    fn land(&mut self, asked: Steady, answer: Result<Option<ApiKeyRecord>, KeySourceError>) {
        let shared = self.shared.clone();
        match answer {
            Err(error) => self.fail(error),
            Ok(Some(record)) if record.digest() != self.digest => {
                self.fail(KeySourceError::new("the source answered with another key"));
            }
            Ok(found) => {
                shared.turn(shared.health.note_answer(shared.clock.steady()), None);
                // While nothing can change: what is outdated is not remembered.
                let open = shared.flights.open();
                let looked_up = match found {
                    Some(record) => {
                        let key = record.key().clone();
                        if !self.flight.is_outdated() {
                            shared.cache.hold(HeldKey::new(record, asked));
                        }
                        LookedUp::Found(key)
                    }
                    None => {
                        if !self.flight.is_outdated() {
                            shared.cache.hold_absent(self.digest, asked);
                        }
                        LookedUp::Absent
                    }
                };
                drop(open);
                let outcome = match looked_up {
                    LookedUp::Found(_) => "found",
                    _ => "unknown",
                };
                self.end(looked_up, outcome);
            }
        }
    }

    fn fail(&mut self, error: KeySourceError) {
        let turn = self.shared.health.note_failure(error.clone());
        self.shared.turn(turn, Some(&error));
        self.end(LookedUp::Unavailable, "failed");
    }

    fn end(&mut self, looked_up: LookedUp, outcome: &'static str) {
        self.is_over = true;
        count(outcome);
        self.shared.flights.open().remove(&self.digest, &self.flight);
        self.flight.end(looked_up);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.is_over {
            self.fail(KeySourceError::new("the look-up ended without an answer"));
        }
    }
}

impl Shared {
    fn turn(&self, turn: Option<Turn>, error: Option<&KeySourceError>) {
        let kind = self.source.kind();
        match (turn, error) {
            (Some(Turn::Down), Some(error)) => tracing::error!(
                target: "tollgate", kind, %error,
                "the source of API keys does not answer: keys that are in memory go on for {} s, \
                 others get `key_source_unavailable`; it is tried again once a second",
                self.keep.as_secs()
            ),
            (Some(Turn::Back), _) => {
                tracing::info!(target: "tollgate", kind, "the source of API keys answers again");
            }
            _ => {}
        }
    }

    /// Tells the store which keys were used since it was told last.
    async fn note_used(&self) {
        let Some(store) = &self.store else { return };
        let used = self
            .cache
            .iter()
            .filter_map(|held| held.take_unnoted().map(|at| (held.record().digest(), at)));
        let used: Vec<_> = used.collect();
        for batch in used.chunks(NOTED_AT_ONCE) {
            if let Err(error) = store.note_used(batch.to_vec()).await {
                tracing::warn!(
                    target: "tollgate", kind = self.source.kind(), %error, keys = used.len(),
                    "the store was not told when keys were last used"
                );
                return;
            }
        }
    }
}

impl Hears for Shared {
    fn now(&self) -> Steady {
        self.clock.steady()
    }

    fn begun(&self) {
        self.cache.feed_begins(self.clock.steady());
    }

    fn changed(&self, digest: KeyDigest) {
        let mut open = self.flights.open();
        open.outdate(&digest);
        self.cache.forget(&digest);
    }

    fn all_changed(&self) {
        let mut open = self.flights.open();
        open.outdate_all();
        self.cache.doubt_all(self.clock.steady());
    }

    fn complete_until(&self, moment: Steady) {
        let now = self.clock.steady();
        self.health.note_heard(now);
        self.cache.feed_is_complete_until(moment.min(now));
    }
}

impl Drop for LookUps {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for LookUps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUps").field("kind", &self.shared.source.kind()).finish_non_exhaustive()
    }
}

fn count(outcome: &'static str) {
    counter!("tollgate_key_lookups_total", "outcome" => outcome).increment(1);
}

pub(crate) fn describe_metrics() {
    describe_counter!(
        "tollgate_key_lookups_total",
        "Look-ups of API keys in their source, by outcome: found, unknown, failed, not_asked."
    );
    describe_gauge!(
        "tollgate_keys_in_memory",
        "API keys of the source that are in memory, and keys that are known to be nobody's."
    );
}
