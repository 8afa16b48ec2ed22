//! One server, and the task that asks it: decisions ride together, and nobody waits longer than the
//! deadline.

use std::collections::VecDeque;
use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::away::Away;
use super::breaker::{Breaker, Pauses};
use super::connect::{Connected, Failure, connect, settle};
use super::dial::Client;
use super::key::Key;
use super::ledger::Ledger;
use super::meters;
use super::redirect::{Redirect, Way};
use super::script::{Record, Reply};
use crate::time::{AtomicSteady, Clock as _, Steady, SystemClock};

/// At most so many charges are settled by one call: while a script runs, a server does nothing else.
const MOST_IN_CALL: usize = 32;

/// Calls that are begun at once. Decisions that come while so many are under way ride together in the
/// next one,
const FEW_CALLS: usize = 2;

/// unless there are enough for a whole call; then so many calls may be under way.
const MOST_CALLS: usize = 16;

/// Decisions that wait to be sent, and debts.
const MOST_WAITING: usize = 16_384;

/// What a request asks of the store: its charges that are settled together.
pub(super) struct Job {
    pub(super) charges: SmallVec<[(Key, Record); 2]>,
    pub(super) asked: Instant,
    /// Nobody waits for what is charged after the work, or given back.
    pub(super) answer: Option<oneshot::Sender<Answer>>,
    /// Charges that nobody waits for, from the beginning.
    pub(super) is_debt: bool,
    /// How it came here.
    pub(super) way: Way,
}

impl Job {
    /// Whether a request waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.answer.is_some()
    }

    /// Answers the request that waits for it, if one does: once.
    pub(super) fn answer(&mut self, answer: Answer) {
        match self.answer.take() {
            // The request may be gone by now.
            Some(sender) => drop(sender.send(answer)),
            None => {
                if answer.is_err() && self.is_debt {
                    meters::lost_debt();
                }
            }
        }
    }
}

pub(super) type Answer = Result<Answered, Away>;

/// What the script replied to the charges of a job.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) replies: SmallVec<[Reply; 2]>,
    /// When the call began, and when it ended.
    pub(super) asked: Steady,
    pub(super) heard: Steady,
}

/// A server, as those see it who ask it.
pub(super) struct Shard {
    /// Host and port.
    pub(super) address: String,
    state: AtomicU8,
    jobs: mpsc::Sender<Job>,
    health: Mutex<Health>,
    /// Since when it is left alone.
    away_since: AtomicSteady,
    pub(super) ledger: Ledger,
}

/// Whether a server is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum State {
    /// The first connection is being made: decisions wait for it, until their deadline.
    Starting,
    Asked,
    /// It failed, and is left alone; nobody waits for it.
    LeftAlone,
}

/// How it was last.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) answered: Option<Instant>,
    pub(super) failure: Option<Failure>,
    pub(super) version: Option<String>,
}

/// What all servers of a store have in common.
pub(super) struct Common {
    pub(super) clock: SystemClock,
    pub(super) sha: String,
    /// Microseconds.
    deadline: AtomicU64,
    /// Is told of jobs that belong to another server.
    pub(super) strays: mpsc::UnboundedSender<Option<Job>>,
}

impl Common {
    pub(super) fn new(
        clock: SystemClock,
        sha: String,
        strays: mpsc::UnboundedSender<Option<Job>>,
    ) -> Self {
        Self { clock, sha, deadline: AtomicU64::new(0), strays }
    }

    pub(super) fn set_deadline(&self, deadline: Duration) {
        let micros = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
        self.deadline.store(micros, Ordering::Relaxed);
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_micros(self.deadline.load(Ordering::Relaxed))
    }
}

impl Shard {
    /// Begins to ask a server; `probe` is a key that lies there. The task ends with the last handle.
    pub(super) fn start(
        address: String,
        client: Client,
        probe: Key,
        common: Arc<Common>,
    ) -> Arc<Self> {
        let (sender, jobs) = mpsc::channel(MOST_WAITING);
        let shard = Arc::new(Self {
            address,
            state: AtomicU8::new(State::Starting as u8),
            jobs: sender,
            health: Mutex::default(),
            away_since: AtomicSteady::default(),
            ledger: Ledger::default(),
        });
        let task = Task {
            shard: Arc::downgrade(&shard),
            client,
            probe,
            common,
            waiting: VecDeque::new(),
            flights: Vec::new(),
            calls: JoinSet::new(),
            next: 0,
            breaker: Breaker::new(Instant::now()),
            pauses: Pauses::default(),
            phase: Phase::Resting(Instant::now()),
        };
        tokio::spawn(task.run(jobs));
        shard
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Starting,
            1 => State::Asked,
            _ => State::LeftAlone,
        }
    }

    /// Since when it is left alone.
    pub(super) fn away_since(&self) -> Steady {
        self.away_since.load()
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it is left alone.
    pub(super) fn away(&self) -> Away {
        self.health().failure.as_ref().map_or(Away::Unreachable, |failure| failure.away)
    }

    /// Asks, unless the server is left alone; the job comes back where it is, or too many wait.
    pub(super) fn ask(&self, job: Job) -> Result<(), (Job, Away)> {
        if self.state() == State::LeftAlone {
            return Err((job, self.away()));
        }
        self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(job) => (job, Away::Crowded),
            mpsc::error::TrySendError::Closed(job) => (job, Away::Unreachable),
        })
    }

    fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
        meters::state(&self.address, state == State::Asked);
    }
}

/// Asks one server.
struct Task {
    shard: std::sync::Weak<Shard>,
    client: Client,
    probe: Key,
    common: Arc<Common>,
    /// In the order they came in.
    waiting: VecDeque<Job>,
    flights: Vec<Flight>,
    calls: JoinSet<Landed>,
    /// Numbers calls.
    next: u64,
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
    number: u64,
    jobs: Vec<Job>,
    asked: Steady,
    begun: Instant,
    /// Whether a connection that is given up began it.
    is_lost: bool,
}

/// A call that ended.
struct Landed {
    number: u64,
    reply: Result<Option<Vec<Reply>>, redis::RedisError>,
}

impl Task {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let overdue = self.overdue_at();
            tokio::select! {
                biased;
                Some(landed) = self.calls.join_next(), if !self.calls.is_empty() => {
                    if let Ok(landed) = landed {
                        self.land(landed);
                    }
                }
                phase = self.phase.changes() => self.enter(phase),
                job = jobs.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    // Nobody asks any more.
                    None => return,
                },
                () = until(overdue) => self.answer_overdue(Instant::now()),
            }
            while let Ok(job) = jobs.try_recv() {
                self.waiting.push_back(job);
            }
            self.send();
        }
    }

    /// When the next decision has waited for long enough.
    fn overdue_at(&self) -> Option<Instant> {
        let first = |flight: &'_ Flight| {
            flight.jobs.iter().find(|job| job.is_awaited()).map(|job| job.asked)
        };
        let flying = self.flights.iter().filter_map(first);
        let waiting = self.waiting.iter().find(|job| job.is_awaited());
        let oldest = flying.chain(waiting.map(|job| job.asked)).min()?;
        Some(oldest + self.common.deadline())
    }

    /// Answers those who have waited for long enough. What nobody waits for stays where it is, and of
    /// a call under way its end still counts.
    fn answer_overdue(&mut self, now: Instant) {
        let deadline = self.common.deadline();
        let is_overdue =
            |job: &Job| job.is_awaited() && now.saturating_duration_since(job.asked) >= deadline;
        for flight in &mut self.flights {
            for job in &mut flight.jobs {
                if is_overdue(job) {
                    job.answer(Err(Away::Late));
                }
            }
        }
        self.waiting.retain_mut(|job| {
            let is_overdue = is_overdue(job);
            if is_overdue {
                job.answer(Err(Away::Late));
            }
            !is_overdue
        });
    }

    /// Sends what waits, as long as calls may begin.
    fn send(&mut self) {
        let Phase::Serving(connection) = &self.phase else {
            if self.shard.upgrade().is_none_or(|shard| shard.state() == State::LeftAlone) {
                let away = self.shard.upgrade().map_or(Away::Unreachable, |shard| shard.away());
                self.waiting.drain(..).for_each(|mut job| job.answer(Err(away)));
            }
            return;
        };
        while !self.waiting.is_empty() {
            let under_way = self.calls.len();
            let is_whole = self.waiting.len() >= MOST_IN_CALL / 2;
            if under_way >= MOST_CALLS || under_way >= FEW_CALLS && !is_whole {
                return;
            }
            let jobs = next_call(&mut self.waiting);
            if jobs.is_empty() {
                continue;
            }
            let (mut keys, mut records) = (Vec::new(), Vec::new());
            for (key, record) in jobs.iter().flat_map(|job| &job.charges) {
                keys.push(key.name.clone());
                record.write(&mut records);
            }
            meters::sent(jobs.len());
            let is_asking = jobs.iter().any(|job| job.way.is_asking());
            let number = self.next;
            self.next += 1;
            let (mut connection, common) = (connection.clone(), self.common.clone());
            connection.set_response_timeout(common.deadline());
            self.calls.spawn(async move {
                let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
                let reply = settle(&mut connection, &common.sha, &keys, &records, is_asking).await;
                Landed { number, reply }
            });
            let (asked, begun) = (self.common.clock.steady(), Instant::now());
            self.flights.push(Flight { number, jobs, asked, begun, is_lost: false });
        }
    }

    fn land(&mut self, landed: Landed) {
        let Landed { number, reply } = landed;
        let Some(at) = self.flights.iter().position(|flight| flight.number == number) else {
            return;
        };
        let Flight { jobs, asked, begun, is_lost, .. } = self.flights.swap_remove(at);
        let (now, heard) = (Instant::now(), self.common.clock.steady());
        let took = now.saturating_duration_since(begun);
        let mut redirect = None;
        let failure = match reply {
            Ok(Some(replies)) if took <= self.common.deadline() => {
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
            Ok(Some(_)) => Failure::new(Away::Late, "a decision took longer than the deadline"),
            Ok(None) => Failure::new(Away::Unintelligible, "no reply of the script"),
            Err(error) => {
                redirect = self.shard.upgrade().and_then(|shard| {
                    let host = shard.address.rsplit_once(':').map_or("", |(host, _)| host);
                    Redirect::of(&error, host)
                });
                Failure::of(&error)
            }
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
    fn ask_elsewhere(&mut self, jobs: Vec<Job>, away: Away, redirect: Option<Redirect>) {
        let is_half = away == Away::HalfMoved;
        let is_asking = redirect.as_ref().is_some_and(|redirect| redirect.is_asking);
        if jobs.len() > 1 && (is_half || is_asking) {
            // One by one: what holds for all of them together may hold for none.
            for mut job in jobs.into_iter().rev() {
                job.way.go_alone();
                self.waiting.push_front(job);
            }
            return;
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
        let chance = RandomState::new().hash_one(self.next) >> 32;
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
        self.waiting.drain(..).for_each(|mut job| job.answer(Err(away)));
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
        self.waiting.extend(debits.into_iter().map(|charge| Job {
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

/// Takes the jobs of the next call: those of one slot. Decisions that nobody waits for any more, since
/// their requests are gone, are dropped unasked.
fn next_call(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut jobs, mut charges, mut slot): (Vec<Job>, usize, Option<u16>) = Default::default();
    let mut at = 0;
    // A look at some more than a call takes finds those of the same slot, where there are many.
    while at < waiting.len().min(4 * MOST_IN_CALL) {
        let job = &waiting[at];
        let is_gone = job.answer.as_ref().is_some_and(oneshot::Sender::is_closed);
        let job_slot = job.charges.first().map(|(key, _)| key.slot);
        let is_together = slot == job_slot && !job.way.is_alone();
        let fits = charges == 0 || is_together && charges + job.charges.len() <= MOST_IN_CALL;
        if !is_gone && !fits {
            at += 1;
            continue;
        }
        let Some(job) = waiting.remove(at) else { break };
        let mut is_alone = false;
        if !is_gone {
            charges += job.charges.len();
            slot = job_slot;
            is_alone = job.way.is_alone();
            jobs.push(job);
        }
        if is_alone || charges >= MOST_IN_CALL {
            break;
        }
    }
    jobs
}
