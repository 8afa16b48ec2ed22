//! What the look-ups of a source share: memory, bounds, and how the source is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::KeyBackend;
use super::cache::KeyCache;
use super::changes::Hears;
use super::digest::KeyDigest;
use super::error::KeySourceError;
use super::flights::Flights;
use super::health::{Health, Pace, Turn};
use super::seen::Seen;
use super::settings::KeyCacheSettings;
use super::source::{KeySource, KeyStore};
use super::turns::Turns;
use super::uses::Uses;
use crate::time::{Clock, Steady, Wall};

pub(super) struct Shared {
    pub(super) source: Arc<dyn KeySource>,
    pub(super) store: Option<Arc<dyn KeyStore>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keep: Duration,
    pub(super) cache: KeyCache,
    pub(super) uses: Uses,
    pub(super) flights: Arc<Flights>,
    pub(super) health: Health,
    pub(super) seen: Seen,
    /// For look-ups of keys that are in memory, or were.
    pub(super) known: Semaphore,
    /// For those of other keys, with their pace.
    pub(super) turns: Arc<Turns>,
    pub(super) pace: Pace,
}

/// How many look-ups run at once, of each kind.
const AT_ONCE: usize = 8;
/// How many keys are known to have been found, for each that may be remembered.
const SEEN_PER_KNOWN: usize = 8;
/// Of how many uses the store is told at a time.
const NOTED_AT_ONCE: usize = 1000;

impl Shared {
    pub(super) fn new(
        backend: &KeyBackend,
        settings: &KeyCacheSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let uses = Uses::default();
        Self {
            source: backend.source(),
            store: backend.store(),
            clock,
            keep: settings.keep,
            cache: KeyCache::new(settings, uses.clone()),
            uses,
            flights: Arc::default(),
            health: Health::default(),
            seen: Seen::with_room_for(SEEN_PER_KNOWN.saturating_mul(settings.keys)),
            known: Semaphore::new(AT_ONCE),
            turns: Turns::new(AT_ONCE),
            pace: Pace::per_second(settings.look_ups),
        }
    }

    /// Tells the log that the source went or came back.
    pub(super) fn turn(&self, turn: Option<Turn>, error: Option<&KeySourceError>) {
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
    pub(super) async fn note_used(&self) -> Result<(), KeySourceError> {
        let Some(store) = &self.store else { return Ok(()) };
        let held = self.cache.iter();
        self.uses.put(
            held.filter_map(|held| held.take_unnoted().map(|at| (held.record().digest(), at))),
        );
        let mut left = Vec::from_iter(self.uses.take());
        while !left.is_empty() {
            let batch = left.split_off(left.len().saturating_sub(NOTED_AT_ONCE));
            // Kept until it was told: whoever waits for this may give up.
            let untold = Untold { uses: &self.uses, batch: batch.clone(), left };
            store.note_used(batch).await?;
            left = untold.were_told();
        }
        Ok(())
    }
}

/// Uses that the store is being told of. Dropped, it was not told.
struct Untold<'s> {
    uses: &'s Uses,
    batch: Vec<(KeyDigest, Wall)>,
    left: Vec<(KeyDigest, Wall)>,
}

impl Untold<'_> {
    /// The store was told of the batch; what is left.
    fn were_told(mut self) -> Vec<(KeyDigest, Wall)> {
        self.batch.clear();
        std::mem::take(&mut self.left)
    }
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        self.uses.put(self.batch.drain(..).chain(self.left.drain(..)));
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
        // It was added or changed, and somebody may be about to use it.
        self.seen.add(&digest);
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
