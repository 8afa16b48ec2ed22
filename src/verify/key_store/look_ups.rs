//! Looks keys up in a source, and remembers what it said.
//!
//! 1. Memory answers first. What is fresh counts; what is aging counts and is looked up again in the
//!    background, so that a key in use never waits.
//! 2. A key that is old or not in memory is looked up, and the request waits: at most half a second.
//!    Requests for one key wait for one look-up.
//! 3. Look-ups of keys that nothing is known of are paced, and have a bound of their own on how many
//!    run and wait at once: a flood of invented keys costs the source so much. Those wait for their
//!    turn ([`turns`](super::turns)), address by address; keys that were found lately
//!    ([`seen`](super::seen)) never wait among them.
//! 4. After three failures in a row the source counts as down, and is tried once a second. Until it
//!    answers nobody waits: keys that are known go on for a while, and others are not decided.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, gauge};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::KeyBackend;
use super::cache::{Age, Remembered};
use super::changes::{Hears as _, KeyChanges};
use super::digest::KeyDigest;
use super::error::KeySourceError;
use super::flights::{Flight, Place, Why};
use super::held::HeldKey;
use super::landing::{Landing, count};
use super::record::ApiKeyRecord;
use super::settings::KeyCacheSettings;
use super::shared::Shared;
use crate::address::Address;
use crate::ask::{Arrived, LookedUp, Wait};
use crate::principal::KeyRecord;
use crate::time::{Clock, Steady};

/// How often the store is told of last uses.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// How long that may take when nobody waits for it.
const NOTE_DEADLINE: Duration = Duration::from_secs(10);

/// The keys of a source, as far as they are in memory, and the tasks that serve them.
pub(crate) struct LookUps {
    shared: Arc<Shared>,
    runtime: Option<Handle>,
    tasks: OnceLock<Vec<AbortHandle>>,
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
        let shared = Arc::new(Shared::new(backend, settings, clock));
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
                    note_used(&shared).await;
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
            (Remembered::Nothing, None) => Known::Ask(match self.shared.seen.has(digest) {
                true => Why::Refresh,
                false => Why::Unknown,
            }),
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
        let Some((place, mut outcome)) =
            place.and_then(|place| self.join(digest, why, place, address))
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
        address: Option<Address>,
    ) -> Option<(Place, tokio::sync::watch::Receiver<Option<LookedUp>>)> {
        let (outcome, flight) = {
            let mut open = self.shared.flights.open();
            match open.find(&digest) {
                Some(outcome) => (outcome, None),
                None => {
                    self.may_begin().then_some(())?;
                    let flight = open.begin(digest, why)?;
                    (open.find(&digest)?, Some(flight))
                }
            }
        };
        if let Some(flight) = flight {
            self.take_off(digest, why, address, flight);
        }
        Some((place, outcome))
    }

    /// Looks a key up for nobody in particular, unless it is looked up already.
    fn look_up_behind(&self, digest: KeyDigest) {
        let flight = {
            let mut open = self.shared.flights.open();
            match open.find(&digest).is_none() && self.may_begin() {
                true => open.begin(digest, Why::Refresh),
                false => None,
            }
        };
        if let Some(flight) = flight {
            self.take_off(digest, Why::Refresh, None, flight);
        }
    }

    fn may_begin(&self) -> bool {
        self.shared.health.may_try(self.shared.clock.steady())
    }

    /// Begins a look-up. Nothing may be locked: without a runtime it ends here.
    fn take_off(&self, digest: KeyDigest, why: Why, address: Option<Address>, flight: Arc<Flight>) {
        self.start();
        let landing = Landing::new(self.shared.clone(), digest, flight);
        if let Some(runtime) = self.runtime() {
            runtime.spawn(landing.fly(why, address));
        }
    }

    /// The key is so from now on: this process has changed it.
    pub(crate) fn put(&self, record: ApiKeyRecord) {
        let mut open = self.shared.flights.open();
        open.outdate(&record.digest());
        self.shared.seen.add(&record.digest());
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

    /// Tells the store now when keys were last used.
    pub(crate) async fn flush(&self) -> Result<(), KeySourceError> {
        self.shared.note_used().await
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

/// Tells the store when keys were last used, and the log where it cannot be told.
async fn note_used(shared: &Shared) {
    if let Err(error) = shared.note_used().await {
        tracing::warn!(
            target: "tollgate", kind = shared.source.kind(), %error,
            "the store could not be told when keys were last used; it is told again later"
        );
    }
}

impl Drop for LookUps {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
        // As far as the runtime goes on.
        if let Some(runtime) = self.runtime() {
            let shared = self.shared.clone();
            runtime.spawn(async move {
                let _ = timeout(NOTE_DEADLINE, note_used(&shared)).await;
            });
        }
    }
}

impl fmt::Debug for LookUps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUps").field("kind", &self.shared.source.kind()).finish_non_exhaustive()
    }
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
