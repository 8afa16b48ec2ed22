//! One server, as those see it who ask it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::away::Away;
use super::connect::Failure;
use super::ledger::Ledger;
use super::meters;
use super::queue::{Job, Queue};
use crate::time::{AtomicSteady, Steady, SystemClock};

/// A server, as those see it who ask it.
pub(super) struct Shard {
    /// Host and port.
    pub(super) address: String,
    state: AtomicU8,
    pub(super) queue: Arc<Queue>,
    health: Mutex<Health>,
    /// Since when it is left alone.
    pub(super) away_since: AtomicSteady,
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
    pub(super) is_cluster: bool,
    /// Microseconds.
    deadline: AtomicU64,
    /// Is told of jobs that belong to another server.
    pub(super) strays: mpsc::UnboundedSender<Option<Job>>,
}

impl Common {
    pub(super) fn new(
        clock: SystemClock,
        sha: String,
        is_cluster: bool,
        strays: mpsc::UnboundedSender<Option<Job>>,
    ) -> Self {
        Self { clock, sha, is_cluster, deadline: AtomicU64::new(0), strays }
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
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            state: AtomicU8::new(State::Starting as u8),
            queue: Arc::default(),
            health: Mutex::default(),
            away_since: AtomicSteady::default(),
            ledger: Ledger::default(),
        }
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
        self.queue.push(job).map_err(|job| (job, Away::Crowded))
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
        meters::state(&self.address, state == State::Asked);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.queue.close();
    }
}
