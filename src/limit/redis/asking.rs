//! The task that asks one server: decisions ride together, and nobody waits longer than the deadline.

use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use smallvec::SmallVec;
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::away::Away;
use super::breaker::{Breaker, Pauses};
use super::connect::{Connected, Failure, call, connect, settle};
use super::dial::Client;
use super::key::Key;
use super::meters;
use super::queue::{Answered, Job, MOST_IN_CALL, Queue};
use super::redirect::{Redirect, Way};
use super::script::Reply;
use super::shard::{Common, Health, Shard, State};
use crate::time::{Clock as _, Steady};

/// Calls that are begun at once. Decisions that come while so many are under way ride together in the
/// next one,
const FEW_CALLS: usize = 2;

/// unless there are enough for a whole call; then so many calls may be under way.
const MOST_CALLS: usize = 16;

impl Shard {
    /// Begins to ask a server; `probe` is a key that lies there. The task ends with the last handle.
    pub(super) fn start(
        address: String,
        client: Client,
        probe: Key,
        common: Arc<Common>,
    ) -> Arc<Self> {
        let shard = Arc::new(Self::new(address));
        let (asked, queue) = (Arc::downgrade(&shard), shard.queue.clone());
        tokio::spawn(Asking::new(asked, queue, client, probe, common).run());
        shard
    }
}

/// Asks one server.
struct Asking {
    shard: Weak<Shard>,
    queue: Arc<Queue>,
    client: Client,
    probe: Key,
    common: Arc<Common>,
    flights: Vec<Flight>,
    calls: JoinSet<Landed>,
    breaker: Breaker,
    pauses: Pauses,
    phase: Phase,
}

enum Phase {
    Serving(MultiplexedConnection),
    Connecting(JoinHandle<Result<Connected, Failure>>),
    Resting(Instant),
}

/// A call under way.
struct Flight {
    call: task::Id,
    jobs: Vec<Job>,
    asked: Steady,
    begun: Instant,
    /// Whether a connection that is given up began it.
    is_lost: bool,
}

/// How a call ended: `None` where what came is no reply of the script.
type Landed = Result<Option<Vec<Reply>>, RedisError>;

impl Asking {
    fn new(
        shard: Weak<Shard>,
        queue: Arc<Queue>,
        client: Client,
        probe: Key,
        common: Arc<Common>,
    ) -> Self {
        let now = Instant::now();
        Self {
            shard,
            queue,
            client,
            probe,
            common,
            flights: Vec::new(),
            calls: JoinSet::new(),
            breaker: Breaker::new(now),
            pauses: Pauses::default(),
            phase: Phase::Resting(now),
        }
    }

    /// Runs until nobody asks any more.
    async fn run(mut self) {
        while !self.queue.is_closed() {
            let (enough, overdue) = (self.enough(), self.overdue_at());
            tokio::select! {
                biased;
                Some(landed) = self.calls.join_next_with_id(), if !self.calls.is_empty() => {
                    self.land(landed);
                }
                phase = self.phase.changes() => self.enter(phase),
                () = self.queue.holds(enough) => {}
                () = until(overdue) => self.answer_overdue(Instant::now()),
            }
            self.send();
        }
    }

    /// With how many that wait there is something to do. Where that is more than one, what waits is
    /// looked at when a call ends: that is before its deadline, since the call was begun before it came.
    fn enough(&self) -> usize {
        let Phase::Serving(_) = &self.phase else { return self.queue.len() + 1 };
        // In a cluster only those of one slot ride together, so there is less to wait for.
        let few = if self.common.is_cluster { MOST_CALLS } else { FEW_CALLS };
        match self.flights.iter().filter(|flight| !flight.is_lost).count() {
            under_way if under_way < few => 1,
            under_way if under_way < MOST_CALLS => MOST_IN_CALL,
            _ => usize::MAX,
        }
    }

    /// When the next decision has waited for long enough.
    fn overdue_at(&self) -> Option<Instant> {
        let first = |flight: &'_ Flight| {
            flight.jobs.iter().find(|job| job.is_awaited()).map(|job| job.asked)
        };
        let flying = self.flights.iter().filter_map(first);
        Some(flying.chain(self.queue.oldest()).min()? + self.common.deadline())
    }

    /// Answers those who have waited for long enough. What nobody waits for stays where it is, and of
    /// a call under way its end still counts.
    fn answer_overdue(&mut self, now: Instant) {
        let deadline = self.common.deadline();
        for job in self.flights.iter_mut().flat_map(|flight| &mut flight.jobs) {
            job.answer_overdue(deadline, now);
        }
        self.queue.answer_overdue(deadline, now);
    }

    /// Sends what waits, as long as calls may begin.
    fn send(&mut self) {
        let Phase::Serving(connection) = &self.phase else {
            let shard = self.shard.upgrade();
            if shard.as_ref().is_none_or(|shard| shard.state() == State::LeftAlone) {
                let away = shard.map_or(Away::Unreachable, |shard| shard.away());
                self.queue.take_all().into_iter().for_each(|mut job| job.answer(Err(away)));
            }
            return;
        };
        let connection = connection.clone();
        while let Some(jobs) = self.queue.next_call(self.enough()) {
            meters::sent(jobs.len());
            let charges = jobs.iter().flat_map(|job| &job.charges);
            let (count, call) = (charges.clone().count(), call(&self.common.sha, charges));
            let mut connection = connection.clone();
            connection.set_response_timeout(self.common.deadline());
            let (asked, begun) = (self.common.clock.steady(), Instant::now());
            let is_asking = jobs.iter().any(|job| job.way.is_asking());
            // A task of its own: what panics in a library is a call that failed.
            let call = async move { settle(&mut connection, call, count, is_asking).await };
            let call = self.calls.spawn(call).id();
            self.flights.push(Flight { call, jobs, asked, begun, is_lost: false });
        }
    }

    fn land(&mut self, landed: Result<(task::Id, Landed), JoinError>) {
        let (call, reply) = match landed {
            Ok((call, reply)) => (call, Ok(reply)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(at) = self.flights.iter().position(|flight| flight.call == call) else {
            return;
        };
        let Flight { jobs, asked, begun, is_lost, .. } = self.flights.swap_remove(at);
        let (now, heard) = (Instant::now(), self.common.clock.steady());
        let took = now.saturating_duration_since(begun);
        let mut redirect = None;
        let failure = match reply {
            Ok(Ok(Some(replies))) if took <= self.common.deadline() => {
                meters::called("answered", took);
                self.breaker.succeeded(now);
                if let Some(shard) = self.shard.upgrade() {
                    shard.health().answered = Some(now);
                }
                let mut replies = replies.into_iter();
                for mut job in jobs {
                    let replies = replies.by_ref().take(job.charges.len()).collect();
                    job.answer(Ok(Answered { replies, asked, heard }));
                }
                return;
            }
            Ok(Ok(Some(_))) => Failure::new(Away::Late, "a decision took longer than the deadline"),
            Ok(Ok(None)) => Failure::new(Away::Unintelligible, "no reply of the script"),
            Ok(Err(error)) => {
                redirect = self.shard.upgrade().and_then(|shard| {
                    let host = shard.address.rsplit_once(':').map_or("", |(host, _)| host);
                    Redirect::of(&error, host)
                });
                Failure::of(&error)
            }
            Err(_) => Failure::new(Away::Unreachable, "the client of the store failed inside"),
        };
        meters::called(failure.away.label(), took);
        if matches!(failure.away, Away::Moving | Away::HalfMoved) {
            // Nothing was done.
            self.breaker.succeeded(now);
            return self.ask_elsewhere(jobs, failure.away, redirect);
        }
        jobs.into_iter().for_each(|mut job| job.answer(Err(failure.away)));
        if is_lost {
            return;
        }
        let is_broken_off = failure.away == Away::Unreachable;
        if self.breaker.failed(now) || is_broken_off {
            // After a break the next connection is tried at once: most of them are restarts.
            let pause = if is_broken_off { Duration::ZERO } else { self.pause() };
            self.leave_alone(failure, now + pause);
        }
    }

    /// Sends decisions on whose slot has moved, or is moving.
    fn ask_elsewhere(&mut self, mut jobs: Vec<Job>, away: Away, redirect: Option<Redirect>) {
        // Those that were answered meanwhile were decided without the server.
        jobs.retain(|job| !job.is_over());
        let is_half = away == Away::HalfMoved;
        let is_asking = redirect.as_ref().is_some_and(|redirect| redirect.is_asking);
        if jobs.len() > 1 && (is_half || is_asking) {
            // One by one: what holds for all of them together may hold for none.
            return self.queue.put_back(jobs.into_iter().map(|mut job| {
                job.way.go_alone();
                job
            }));
        }
        for mut job in jobs {
            if is_half || !job.way.go_on(redirect.clone()) {
                job.answer(Err(away));
            } else if let Err(unsent) = self.common.strays.send(Some(job))
                && let Some(mut job) = unsent.0
            {
                job.answer(Err(away));
            }
        }
    }

    fn pause(&mut self) -> Duration {
        // The high half of a hash that differs each time.
        let chance = RandomState::new().hash_one(()) >> 32;
        self.pauses.next(chance as u32)
    }

    /// Leaves the server alone until then, and answers everybody who waits for it.
    fn leave_alone(&mut self, failure: Failure, until: Instant) {
        self.phase = Phase::Resting(until);
        let away = failure.away;
        for flight in &mut self.flights {
            flight.is_lost = true;
            flight.jobs.drain(..).for_each(|mut job| job.answer(Err(away)));
        }
        let Some(shard) = self.shard.upgrade() else { return };
        let was = shard.state();
        if was != State::LeftAlone {
            shard.away_since.store(self.common.clock.steady());
        }
        let mut health = shard.health();
        let is_news = health.failure.as_ref().is_none_or(|before| before.away != failure.away);
        if was != State::LeftAlone || is_news {
            tracing::error!(
                target: "tollgate", server = %shard.address, why = away.label(),
                detail = %failure.detail,
                "the store of the limits is left alone: {away}. Each limit does what its \
                 `on_store_failure` says until it answers again"
            );
        }
        health.failure = Some(failure);
        drop(health);
        shard.set(State::LeftAlone);
        self.queue.take_all().into_iter().for_each(|mut job| job.answer(Err(away)));
        // A cluster may have another primary by now.
        let _told = self.common.strays.send(None);
    }

    fn enter(&mut self, change: Change) {
        match change {
            Change::Rested => {
                let (client, probe, common) =
                    (self.client.clone(), self.probe.clone(), self.common.clone());
                // A task of its own: what panics in a library is a connection that failed.
                self.phase = Phase::Connecting(tokio::spawn(async move {
                    connect(&client, &probe, &common.sha, common.deadline()).await
                }));
            }
            Change::Connected(connected) => self.serve(connected),
            Change::Failed(failure) => {
                let until = Instant::now() + self.pause();
                self.leave_alone(failure, until);
            }
        }
    }

    fn serve(&mut self, connected: Connected) {
        let now = Instant::now();
        self.breaker = Breaker::new(now);
        self.pauses = Pauses::default();
        self.phase = Phase::Serving(connected.connection);
        let Some(shard) = self.shard.upgrade() else { return };
        let was = shard.state();
        let version = connected.version.clone();
        *shard.health() = Health { answered: Some(now), failure: None, version };
        shard.set(State::Asked);
        tracing::info!(
            target: "tollgate", server = %shard.address,
            version = connected.version.as_deref().unwrap_or("unknown"),
            again = was == State::LeftAlone, "the store of the limits answers"
        );
        // What was spent here meanwhile, once; where that fails, it stays forgotten.
        let debits = shard.ledger.close(self.common.clock.steady());
        meters::debited(debits.len());
        self.queue.extend(debits.into_iter().map(|charge| Job {
            charges: SmallVec::from_iter([charge]),
            asked: now,
            answer: None,
            is_debt: true,
            way: Way::default(),
        }));
    }
}

enum Change {
    Rested,
    Connected(Connected),
    Failed(Failure),
}

impl Phase {
    async fn changes(&mut self) -> Change {
        match self {
            Self::Serving(_) => pending().await,
            Self::Resting(until) => {
                sleep_until((*until).into()).await;
                Change::Rested
            }
            Self::Connecting(task) => match task.await {
                Ok(Ok(connected)) => Change::Connected(connected),
                Ok(Err(failure)) => Change::Failed(failure),
                Err(_) => Change::Failed(Failure::new(
                    Away::Unreachable,
                    "the client of the store failed inside",
                )),
            },
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;
    use tokio::sync::{mpsc, oneshot};

    use super::super::script::{Operation, Record, Terms};
    use super::*;
    use crate::limit::store_laws::quota;
    use crate::time::{MICROS, SystemClock};

    fn key() -> Key {
        Key { name: Arc::new(*b"key"), slot: 0 }
    }

    fn job(answer: Option<oneshot::Sender<super::super::queue::Answer>>) -> Job {
        let terms = Terms::new(quota(1, MICROS, 5), None);
        let record = Record { operation: Operation::Take, following: 0, terms, cost: 1 };
        let charges = SmallVec::from_iter([(key(), record)]);
        let is_debt = answer.is_none();
        Job { charges, asked: Instant::now(), answer, is_debt, way: Way::default() }
    }

    #[test]
    fn what_was_decided_without_the_server_is_not_sent_on() {
        let (strays, mut received) = mpsc::unbounded_channel();
        let common = Common::new(SystemClock::new(), String::new(), true, strays);
        let server = "redis://127.0.0.1:1".into_connection_info().unwrap();
        let client = Client::new(server, None);
        let queue = Arc::<Queue>::default();
        let mut asking = Asking::new(Weak::new(), queue.clone(), client, key(), Arc::new(common));
        for redirect in [None, Some(Redirect { host: "b".into(), port: 1, is_asking: true })] {
            let [(first, _first), (second, _second)] = [oneshot::channel(), oneshot::channel()];
            let (mut late, waits, debt) = (job(Some(first)), job(Some(second)), job(None));
            assert!(late.answer_overdue(Duration::ZERO, Instant::now()));
            asking.ask_elsewhere(vec![late, waits, debt], Away::Moving, redirect);
            let sent = std::iter::from_fn(|| received.try_recv().ok().flatten()).count();
            assert_eq!(sent + queue.take_all().len(), 2, "one that is waited for, and a debt");
        }
    }
}
