//! One look-up, from its turn to its end.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::digest::KeyDigest;
use super::error::KeySourceError;
use super::flights::{Flight, Why};
use super::held::HeldKey;
use super::record::ApiKeyRecord;
use super::shared::Shared;
use super::turns::Turn;
use crate::address::Address;
use crate::ask::LookedUp;
use crate::time::Steady;

/// How long a look-up may take.
const DEADLINE: Duration = Duration::from_millis(500);
/// How much of that it may wait for others to end.
const MOST_QUEUED: Duration = Duration::from_millis(250);

/// A look-up that is under way. Dropped, as when the source panics, it has failed.
pub(super) struct Landing {
    shared: Arc<Shared>,
    digest: KeyDigest,
    flight: Arc<Flight>,
    is_over: bool,
}

impl Landing {
    pub(super) fn new(shared: Arc<Shared>, digest: KeyDigest, flight: Arc<Flight>) -> Self {
        Self { shared, digest, flight, is_over: false }
    }

    pub(super) async fn fly(mut self, why: Why, address: Option<Address>) {
        let deadline = Instant::now() + DEADLINE;
        let shared = self.shared.clone();
        // What waits too long for others is not begun: so what is begun has time enough, and if it
        // gets no answer, that is the source's.
        let Some(_lane) = shared.lane(why, address).await else {
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
                        shared.seen.add(&self.digest);
                        if !self.flight.is_outdated() {
                            shared.cache.hold(HeldKey::new(record, asked));
                        }
                        LookedUp::Found(key)
                    }
                    None => {
                        shared.seen.remove(&self.digest);
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

/// Leave to look a key up. Dropped, it is the next one's.
enum Lane<'s> {
    Known { _permit: SemaphorePermit<'s> },
    Unknown { _turn: Turn },
}

impl Shared {
    /// Waits until a look-up may run; `None` where that would take too long.
    async fn lane(&self, why: Why, address: Option<Address>) -> Option<Lane<'_>> {
        let begin = Instant::now();
        if why == Why::Refresh {
            let permit = timeout(MOST_QUEUED, self.known.acquire()).await.ok()?;
            return Some(Lane::Known { _permit: permit.ok()? });
        }
        let turn = timeout(MOST_QUEUED, self.turns.take(address)).await.ok()?;
        // It keeps its turn until it is due, so that the order stays.
        let left = MOST_QUEUED.saturating_sub(begin.elapsed());
        sleep(self.pace.begin(self.clock.steady(), left)?).await;
        Some(Lane::Unknown { _turn: turn })
    }
}

pub(super) fn count(outcome: &'static str) {
    counter!("tollgate_key_lookups_total", "outcome" => outcome).increment(1);
}
