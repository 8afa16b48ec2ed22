//! Files that keys are written to: replaced as a whole, by one writer at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;

/// A file that is about to be changed. Until it is dropped, no other `tollgate key` changes a file of
/// its folder; what editors do meanwhile is noticed before anything is overwritten.
pub(super) struct Locked {
    /// As it was named.
    shown: PathBuf,
    /// The file itself, behind symbolic links.
    path: PathBuf,
    /// `None` where there is no such file.
    text: Option<String>,
    _lock: File,
}

impl Locked {
    /// Waits for other writers, and reads the file. One that does not exist is read as empty, where
    /// its folder exists.
    pub(super) fn open(shown: &Path) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| Failure::cannot_read("", shown, &error);
        let path = target(shown).map_err(unreadable)?;
        let lock = lock(folder_of(&path)).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Failure::Usage(format!(
                "another program is writing to `{}`: nothing was changed, try again",
                shown.display()
            )),
            _ => unreadable(error),
        })?;
        let text = read(&path).map_err(unreadable)?;
        Ok(Self { shown: shown.to_owned(), path, text, _lock: lock })
    }

    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Replaces the file as a whole: a reader sees the old text or the new one, and after a crash
    /// there is one of them. Permissions and owner stay.
    pub(super) fn replace(&self, text: &str) -> Result<(), Failure> {
        let unwritten = |error: io::Error| Failure::cannot_write(&self.shown, &error);
        let folder = folder_of(&self.path);
        let (mut file, beside) = create_beside(&self.path).map_err(unwritten)?;
        let written = (|| {
            file.write_all(text.as_bytes())?;
            if self.text.is_some() {
                keep_owner(&fs::metadata(&self.path)?, &beside)?;
            }
            file.sync_all()?;
            if read(&self.path)? != self.text {
                return Err(io::Error::other("it was changed meanwhile: try again"));
            }
            fs::rename(&beside, &self.path)
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(unwritten(error));
        }
        // The new name is on the disk too. Where folders cannot be opened, the system does it.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

/// `None` where there is no such file.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file that a path leads to, through symbolic links, whether it exists or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder_of(&path).join(next),
            // No link, or nothing at all.
            Err(_) => return Ok(fs::canonicalize(folder_of(&path))?.join(name_of(&path)?)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

const MAX_LINKS: usize = 40;

fn name_of(path: &Path) -> io::Result<&std::ffi::OsStr> {
    path.file_name().ok_or_else(|| io::Error::other("it is not a file"))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Creates a file of a new name in the same folder: only there does renaming replace at once.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = name_of(path)?.to_string_lossy().into_owned();
    for number in 0..100 {
        let beside = path.with_file_name(format!(".{name}.{}-{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (file, beside)),
        }
    }
    Err(io::Error::other("no name for a temporary file is free"))
}

/// Takes the lock of a folder, which goes when the returned file is closed.
fn lock(folder: &Path) -> io::Result<File> {
    let file = open_lock(folder)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() > PATIENCE => {
                return Err(ErrorKind::WouldBlock.into());
            }
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(10)),
        }
    }
}

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The folder itself is locked: nothing is left behind.
#[cfg(unix)]
fn open_lock(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

#[cfg(not(unix))]
fn open_lock(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(folder.join(".tollgate-key.lock"))
}

/// Gives `beside` the permissions and the owner of the file that it takes the place of.
#[cfg(unix)]
fn keep_owner(old: &fs::Metadata, beside: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let new = fs::metadata(beside)?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        chown(beside, Some(old.uid()), Some(old.gid())).map_err(|error| {
            io::Error::other(format!("it belongs to another user, and would no longer: {error}"))
        })?;
    }
    fs::set_permissions(beside, old.permissions())
}

#[cfg(not(unix))]
fn keep_owner(old: &fs::Metadata, beside: &Path) -> io::Result<()> {
    fs::set_permissions(beside, old.permissions())
}
