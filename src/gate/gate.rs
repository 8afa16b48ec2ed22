//! The gate: it holds the policy in force.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::handed_out::HandedOut;
use super::lasting::Lasting;
use super::origin::Origin;
use super::record::Record;
use super::snapshot::Snapshot;
use crate::watch::Watch;

/// What lives as long as the process: the policy in force can be replaced.
pub(crate) struct Gate {
    current: ArcSwap<Snapshot>,
    pub(super) lasting: Lasting,
    pub(super) origin: Origin,
    pub(super) record: Mutex<Record>,
    /// What is made of each policy that comes into force.
    followers: Mutex<Vec<Follower>>,
    pub(super) handed_out: HandedOut,
    /// Held by a reload where no watcher takes turns.
    pub(super) turn: Mutex<()>,
    /// Follows the files of the policy. Dropped with the last handle, it ends.
    pub(super) watch: OnceLock<Watch>,
}

/// Is called with each policy that comes into force.
pub(crate) type Follower = Box<dyn FnMut(&Snapshot) -> Followed + Send>;

/// Whether a follower wants to be called again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Followed {
    Still,
    NoMore,
}

impl Gate {
    pub(super) fn new(
        snapshot: Snapshot,
        lasting: Lasting,
        origin: Origin,
        record: Record,
    ) -> Self {
        lasting.ends.put_in_force(&snapshot.grounds);
        let current = ArcSwap::from_pointee(snapshot);
        let record = Mutex::new(record);
        let (followers, handed_out, turn, watch) = Default::default();
        Self { current, lasting, origin, record, followers, handed_out, turn, watch }
    }

    /// The policy in force now. A request ends with the one that it began with.
    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Puts another policy in force.
    pub(super) fn replace(&self, snapshot: Snapshot) {
        self.lasting.ends.put_in_force(&snapshot.grounds);
        self.current.store(Arc::new(snapshot));
    }

    /// From now on denials lead to the handbook, which is served.
    pub(crate) fn serves_handbook(&self) {
        self.lasting.served.set();
    }

    /// Makes something of the policy in force, and a follower that is called with each one that
    /// comes into force after it, in the thread that reloads. None is missed between the two.
    pub(crate) fn follow<T>(&self, begin: impl FnOnce(&Snapshot) -> (T, Follower)) -> T {
        let mut followers = lock(&self.followers);
        let (made, follower) = begin(&self.current());
        followers.push(follower);
        made
    }

    /// Calls those who follow.
    pub(super) fn tell_followers(&self) {
        let current = self.current();
        lock(&self.followers).retain_mut(|follower| follower(&current) == Followed::Still);
    }

    /// The same, for longer than a request.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// What a lock guards here is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("current", &self.current()).finish_non_exhaustive()
    }
}
