//! Connections to the file, and the threads that use them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::schema;
use crate::verify::key_store::error::KeySourceError;

/// How many statements run at once.
const AT_ONCE: usize = 4;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(2);

/// Opens connections when they are needed, and keeps those that are idle.
pub(super) struct Connections {
    path: PathBuf,
    idle: Mutex<Vec<Open>>,
    at_once: Arc<Semaphore>,
    /// Once it was there, a file that is missing is a fault and not a new start.
    was_there: AtomicBool,
}

/// A connection, and the file that it is to.
pub(super) struct Open {
    pub(super) connection: Connection,
    file: Option<FileId>,
}

/// What tells a file from another of the same name.
type FileId = (u64, u64);

impl Connections {
    pub(super) fn new(path: PathBuf) -> Self {
        let (idle, was_there) = (Mutex::default(), AtomicBool::new(false));
        Self { path, idle, at_once: Arc::new(Semaphore::new(AT_ONCE)), was_there }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` with a connection of its own. It goes on to its end where nobody waits any more.
    pub(super) async fn run<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<KeySourceError> + Send + 'static,
    {
        let gone = |_| KeySourceError::new("the program is ending");
        let permit = self.at_once.clone().acquire_owned().await.map_err(gone)?;
        let connections = self.clone();
        let done = spawn_blocking(move || {
            let _permit = permit;
            let mut open = connections.take()?;
            // A transaction that was not committed is rolled back when it is dropped.
            let done = work(&mut open.connection);
            connections.idle().push(open);
            done
        });
        done.await.map_err(|_| KeySourceError::new("the statement did not end"))?
    }

    /// A connection to the file that has the name now.
    pub(super) fn take(&self) -> Result<Open, KeySourceError> {
        let file = file_id(&self.path);
        let idle = {
            let mut idle = self.idle();
            idle.retain(|open| open.file == file);
            idle.pop()
        };
        idle.map_or_else(|| self.open(), Ok)
    }

    /// Whether a connection is to the file that has the name now.
    pub(super) fn is_current(&self, open: &Open) -> bool {
        open.file == file_id(&self.path)
    }

    fn open(&self) -> Result<Open, KeySourceError> {
        let was_there = self.was_there.load(Ordering::Relaxed);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, !was_there);
        let prepare = |connection: &Connection| {
            connection.busy_timeout(BUSY)?;
            // A read-only copy of a file in WAL mode is still read.
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "trusted_schema", false)
        };
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(error)?;
        patiently(|| prepare(&connection)).map_err(error)?;
        schema::ensure(&mut connection, !was_there)?;
        self.was_there.store(true, Ordering::Relaxed);
        Ok(Open { connection, file: file_id(&self.path) })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what does not wait for others by itself, as changing the mode of the journal does not: again,
/// while another one holds the file.
fn patiently<T>(step: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let start = Instant::now();
    loop {
        match step() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < BUSY =>
            {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Elsewhere a file that is in use cannot be replaced.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

/// In words, without the values of the statement.
pub(super) fn error(error: rusqlite::Error) -> KeySourceError {
    KeySourceError::new(error)
}
