//! The thread that looks at the files.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Disk, Taken};
use super::memory::Memory;
use super::watcher::{Next, Outcome, Round, Seen, Watcher};

/// How often the thread looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// While nothing changes.
    pub(crate) every: Duration,
    /// How long a change must have been alike before it is taken.
    pub(crate) settle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: Duration::from_secs(1), settle: Duration::from_millis(200) }
    }
}

/// Who loads what has changed. It must not own what owns the [`Watch`]: hold a `Weak`.
pub(crate) trait Follower: Send + 'static {
    /// The files have changed and settled. They are loaded, or the faults are said, in this call.
    fn changed(&mut self, taken: Taken) -> Next;

    /// After files that were refused, those in force are back.
    fn restored(&mut self);

    /// The thread has looked at the files.
    fn looked(&mut self) {}
}

/// A thread that follows the files of a policy. It ends when this is dropped.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    /// A message is a reason to look now; that it is closed ends the thread.
    #[cfg_attr(not(test), expect(dead_code, reason = "the thread ends when it is dropped"))]
    wake: Sender<()>,
}

struct Shared {
    /// Held while files are loaded, so that one load happens at a time. Not while they are read:
    /// a disk that hangs stops no reload by hand.
    turn: Mutex<Watcher>,
    /// What was seen last. Held for a moment only.
    board: Mutex<Vec<Seen>>,
    start: Instant,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn start(
        in_force: &Taken,
        disk: impl Disk,
        pace: Pace,
        follower: impl Follower,
    ) -> io::Result<Self> {
        let watcher = Watcher::new(in_force, pace.settle);
        let board = Mutex::new(watcher.seen());
        let turn = Mutex::new(watcher);
        let shared = Arc::new(Shared { turn, board, start: Instant::now() });
        let (wake, woken) = mpsc::channel();
        let memory = Memory::default();
        let looks = Looks { shared: shared.clone(), disk, memory, pace, follower };
        std::thread::Builder::new()
            .name("tollgate-watch".into())
            .spawn(move || looks.run(&woken))?;
        Ok(Self { shared, wake })
    }

    /// Loads by hand, in this thread. `load` gives what it read, what became of it, and its answer.
    pub(crate) fn reload<T>(&self, load: impl FnOnce() -> (Taken, Next, T)) -> T {
        let mut watcher = lock(&self.shared.turn);
        let (read, next, answer) = load();
        watcher.reloaded(self.shared.start.elapsed(), &read, next);
        *lock(&self.shared.board) = watcher.seen();
        answer
    }

    /// Has the thread look now, without waiting for it.
    #[cfg(test)]
    pub(crate) fn wake(&self) {
        // A thread that has ended looks at nothing.
        let _ended = self.wake.send(());
    }

    /// Every watched file as it was seen last, and how long ago it changed; `None` where it is as
    /// it was when the gate opened. Never waits for a load or a disk.
    pub(crate) fn seen(&self) -> Vec<(Seen, Option<Duration>)> {
        let now = self.shared.start.elapsed();
        let age = |seen: &Seen| seen.changed.map(|changed| now.saturating_sub(changed));
        lock(&self.shared.board).iter().map(|seen| (seen.clone(), age(seen))).collect()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

struct Looks<D, F> {
    shared: Arc<Shared>,
    disk: D,
    memory: Memory,
    pace: Pace,
    follower: F,
}

impl<D: Disk, F: Follower> Looks<D, F> {
    fn run(mut self, woken: &Receiver<()>) {
        let mut wait = self.pace.every;
        loop {
            if woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            wait = self.look();
        }
    }

    /// Looks at all files, and reads those of which it is not known that they are as they were. `None`
    /// where nothing is known of any, and where all are to be read to be handed on.
    fn look_at_stamps(&mut self, round: &Round) -> Option<Outcome> {
        let now = self.shared.start.elapsed();
        let unread = self.memory.unchanged(&round.paths, &self.disk, now);
        if unread.is_empty() {
            return None;
        }
        let rest = round.paths.iter().filter(|path| !unread.contains_key(*path)).cloned().collect();
        let looked = Taken::read(&rest, &self.disk);
        lock(&self.shared.turn).judge_unread(self.shared.start.elapsed(), round, looked, unread)
    }

    /// Looks once; how long to wait for the next look.
    fn look(&mut self) -> Duration {
        let shared = self.shared.clone();
        let round = lock(&shared.turn).round();
        let known = self.look_at_stamps(&round).ok_or_else(|| {
            let now = shared.start.elapsed();
            self.memory.read(&round.paths, &self.disk, now)
        });
        let mut watcher = lock(&shared.turn);
        let judge = |looked| watcher.judge(shared.start.elapsed(), &round, looked);
        let outcome = known.unwrap_or_else(judge);
        *lock(&shared.board) = watcher.seen();
        let wait = match outcome {
            Outcome::Quiet => self.pace.every,
            Outcome::Unsettled { restless } => {
                if restless {
                    tracing::warn!(
                        target: "tollgate",
                        "the files of the policy keep changing: the policy in force stays until they \
                         are left alone for {} ms",
                        self.pace.settle.as_millis()
                    );
                }
                self.pace.settle
            }
            Outcome::Changed(taken) => {
                let read = taken.paths();
                let follower = &mut self.follower;
                let next = catch_unwind(AssertUnwindSafe(|| follower.changed(taken)));
                let next = next.unwrap_or_else(|_| {
                    tracing::error!(
                        target: "tollgate",
                        "a reload ended in a panic, which is a defect of tollgate: the policy in \
                         force stays"
                    );
                    Next::Refused(read)
                });
                let again = matches!(next, Next::Also(_));
                watcher.settle(next);
                if again { Duration::ZERO } else { self.pace.every }
            }
            Outcome::Restored => {
                let follower = &mut self.follower;
                // Nothing was loaded: there is nothing to undo.
                let _panicked = catch_unwind(AssertUnwindSafe(|| follower.restored()));
                self.pace.every
            }
        };
        *lock(&shared.board) = watcher.seen();
        drop(watcher);
        let follower = &mut self.follower;
        let _panicked = catch_unwind(AssertUnwindSafe(|| follower.looked()));
        wait
    }
}

/// What a lock guards is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::channel;

    use super::super::disk::RealDisk;
    use super::super::watcher::SeenState;
    use super::*;

    /// No test waits so long unless it fails.
    const LONG: Duration = Duration::from_secs(60);

    /// Sends what was taken; refuses what begins with `no`, panics at `panic`.
    struct Sending(PathBuf, Sender<String>);

    impl Follower for Sending {
        fn changed(&mut self, taken: Taken) -> Next {
            let text = taken.get(&self.0).map_or_else(
                |trouble| format!("no: {trouble}"),
                |text| String::from_utf8_lossy(&text).into_owned(),
            );
            let _gone = self.1.send(text.clone());
            assert_ne!(text, "panic");
            let read = taken.paths();
            if text.starts_with("no") { Next::Refused(read) } else { Next::InForce(read) }
        }

        fn restored(&mut self) {
            let _gone = self.1.send("restored".into());
        }
    }

    fn watch(path: &Path) -> (Watch, Receiver<String>) {
        let in_force = Taken::read(&BTreeSet::from([path.to_owned()]), &RealDisk::new());
        let (sender, taken) = channel();
        let pace = Pace { every: Duration::from_millis(2), settle: Duration::from_millis(1) };
        let follower = Sending(path.to_owned(), sender);
        (Watch::start(&in_force, RealDisk::new(), pace, follower).unwrap(), taken)
    }

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn a_thread_follows_the_file_and_ends_with_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "one").unwrap();
        let (watch, taken) = watch(&path);
        let next = || taken.recv_timeout(LONG).unwrap();

        replace(&path, "two");
        assert_eq!(next(), "two");
        replace(&path, "no, this is faulty");
        assert_eq!(next(), "no, this is faulty");
        replace(&path, "two");
        assert_eq!(next(), "restored");
        // A defect of the loader does not end the watch.
        replace(&path, "panic");
        assert_eq!(next(), "panic");
        replace(&path, "three");
        assert_eq!(next(), "three");

        // By hand, in this thread: the watcher does not hand it on again.
        replace(&path, "four");
        let answer = watch.reload(|| {
            while taken.try_recv().is_ok() {}
            let read = Taken::read(&BTreeSet::from([path.clone()]), &RealDisk::new());
            let paths = read.paths();
            (read, Next::InForce(paths), "loaded")
        });
        assert_eq!(answer, "loaded");
        replace(&path, "five");
        let (seen, _) = watch.seen().remove(0);
        assert_eq!(seen.path, path);
        assert_eq!(next(), "five");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < LONG, "what was taken is never in force");
            let (seen, age) = watch.seen().remove(0);
            if seen.state == SeenState::InForce {
                assert!(age.is_some(), "it has changed since the start");
                break;
            }
            std::thread::yield_now();
        }

        // The follower, and with it the sender, goes with the thread.
        drop(watch);
        let ended = taken.recv_timeout(LONG).unwrap_err();
        assert_eq!(ended, mpsc::RecvTimeoutError::Disconnected);
    }

    #[test]
    fn a_thread_that_waits_long_ends_and_wakes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "one").unwrap();
        let in_force = Taken::read(&BTreeSet::from([path.clone()]), &RealDisk::new());
        let (sender, taken) = channel();
        let pace = Pace { every: LONG * 60, settle: Duration::ZERO };
        let follower = Sending(path.clone(), sender);
        let watch = Watch::start(&in_force, RealDisk::new(), pace, follower).unwrap();
        replace(&path, "two");
        watch.wake();
        assert_eq!(taken.recv_timeout(LONG).unwrap(), "two");
        drop(watch);
        let ended = taken.recv_timeout(LONG).unwrap_err();
        assert_eq!(ended, mpsc::RecvTimeoutError::Disconnected);
    }
}
