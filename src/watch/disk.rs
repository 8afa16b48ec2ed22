//! Reads whole files, of a bounded size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::stamp::Stamp;
use super::stamp_of::stamp_of;

/// What a file held, shared.
pub(crate) type Content = Arc<FileContent>;

/// What a file held. Some files hold secrets, so that all are wiped when they are dropped.
pub(crate) struct FileContent {
    bytes: Zeroizing<Vec<u8>>,
    /// Made once: it takes a while with a large file.
    digest: OnceLock<Digest>,
}

impl FileContent {
    pub(crate) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| digest_of(&self.bytes))
    }
}

impl From<Vec<u8>> for FileContent {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), digest: OnceLock::new() }
    }
}

impl Deref for FileContent {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl PartialEq for FileContent {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for FileContent {}

/// It may be a secret: only its size is shown.
impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContent").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// SHA-256 of a content.
pub(crate) type Digest = [u8; 32];

/// Why a file cannot be taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    Missing,
    /// Nothing but white space: a program may be about to write it.
    Empty,
    Directory,
    /// A pipe, a socket or a device, which cannot be read again.
    NotAFile,
    TooLarge {
        most: u64,
    },
    /// What the system says.
    Unreadable(String),
    /// The loader wants a file that was not looked at yet.
    NotLookedAt,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the file does not exist"),
            Self::Empty => f.write_str("the file is empty (a comment is enough to mean it)"),
            Self::Directory => f.write_str("it is a directory, not a file"),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::TooLarge { most } => write!(f, "the file is larger than {}", size(*most)),
            Self::Unreadable(error) => f.write_str(error),
            Self::NotLookedAt => f.write_str("the file was not read yet"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::IsADirectory => Self::Directory,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        let kind = match trouble {
            Trouble::Missing => io::ErrorKind::NotFound,
            Trouble::Directory => io::ErrorKind::IsADirectory,
            Trouble::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Trouble::Empty | Trouble::NotAFile | Trouble::NotLookedAt | Trouble::Unreadable(_) => {
                io::ErrorKind::Other
            }
        };
        Self::new(kind, trouble.to_string())
    }
}

fn size(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    const GIBIBYTE: u64 = 1 << 30;
    if bytes >= GIBIBYTE && bytes.is_multiple_of(GIBIBYTE) {
        format!("{} GiB", bytes / GIBIBYTE)
    } else if bytes >= MEBIBYTE && bytes.is_multiple_of(MEBIBYTE) {
        format!("{} MiB", bytes / MEBIBYTE)
    } else {
        format!("{bytes} bytes")
    }
}

/// Where files are read.
pub(crate) trait Disk: Send + 'static {
    /// Reads a regular file of `most` bytes or less as a whole.
    fn read(&self, path: &Path, most: u64) -> Result<Content, Trouble>;

    /// Reads what may also be a pipe, and says whether it can be read again.
    fn read_once(&self, path: &Path, most: u64) -> Result<(Content, bool), Trouble> {
        self.read(path, most).map(|content| (content, true))
    }

    /// What says, without reading it, whether a file is as it was; `None` where it is to be read.
    fn stamp(&self, _: &Path) -> Option<Stamp> {
        None
    }

    /// Whether a regular file holds this and nothing else.
    fn holds(&self, path: &Path, content: &[u8]) -> bool {
        self.read(path, content.len() as u64).is_ok_and(|found| found[..] == *content)
    }
}

/// The file system.
#[derive(Clone, Debug)]
pub(crate) struct RealDisk {
    /// Where relative paths begin: the working directory of the start, whatever it is later.
    base: PathBuf,
}

impl RealDisk {
    pub(crate) fn new() -> Self {
        let base = std::env::current_dir().unwrap_or_default();
        Self { base }
    }

    fn open(
        &self,
        path: &Path,
        regular_only: bool,
        most: u64,
    ) -> Result<(File, Metadata), Trouble> {
        let path = self.base.join(path);
        // To open a pipe waits for its writer, so that what a path is must be known before.
        check(&std::fs::metadata(&path)?, regular_only, most)?;
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        check(&metadata, regular_only, most)?;
        Ok((file, metadata))
    }

    fn take(&self, path: &Path, regular_only: bool, most: u64) -> Result<(Content, bool), Trouble> {
        let (file, metadata) = self.open(path, regular_only, most)?;
        let room = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
        let mut content = FileContent::from(Vec::with_capacity(room));
        file.take(most.saturating_add(1)).read_to_end(&mut content.bytes)?;
        if content.len() as u64 > most {
            return Err(Trouble::TooLarge { most });
        }
        Ok((Arc::new(content), metadata.is_file()))
    }
}

fn check(metadata: &Metadata, regular_only: bool, most: u64) -> Result<(), Trouble> {
    if metadata.is_dir() {
        return Err(Trouble::Directory);
    }
    if regular_only && !metadata.is_file() {
        return Err(Trouble::NotAFile);
    }
    if metadata.len() > most {
        return Err(Trouble::TooLarge { most });
    }
    Ok(())
}

impl Disk for RealDisk {
    fn read(&self, path: &Path, most: u64) -> Result<Content, Trouble> {
        self.take(path, true, most).map(|(content, _)| content)
    }

    fn read_once(&self, path: &Path, most: u64) -> Result<(Content, bool), Trouble> {
        self.take(path, false, most)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        stamp_of(&std::fs::metadata(self.base.join(path)).ok()?)
    }

    /// Piece by piece, so that a large file is not in memory twice.
    fn holds(&self, path: &Path, mut content: &[u8]) -> bool {
        let Ok((mut file, _)) = self.open(path, true, content.len() as u64) else { return false };
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return content.is_empty(),
                Ok(length) => match content.split_at_checked(length) {
                    Some((expected, rest)) if piece[..length] == *expected => content = rest,
                    _ => return false,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// More than any policy needs; all files are read once a second.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// More than any list of keys or revocations needs: some five million keys.
pub(crate) const MOST_LIST_BYTES: u64 = 1 << 30;

const PIECE_BYTES: usize = 64 << 10;

/// What a look found: every file that was looked at, whole, or why it cannot be taken.
#[derive(Clone, Default)]
pub(crate) struct Taken(pub(super) BTreeMap<PathBuf, Result<Content, Trouble>>);

impl Taken {
    /// Reads all `paths`.
    pub(crate) fn read(paths: &BTreeSet<PathBuf>, disk: &dyn Disk) -> Self {
        // Which of them are lists is known to who loads them.
        paths.iter().map(|path| (path.clone(), disk.read(path, MOST_LIST_BYTES))).collect()
    }

    pub(crate) fn get(&self, path: &Path) -> Result<Content, Trouble> {
        self.0.get(path).cloned().unwrap_or(Err(Trouble::NotLookedAt))
    }

    pub(crate) fn paths(&self) -> BTreeSet<PathBuf> {
        self.0.keys().cloned().collect()
    }
}

impl FromIterator<(PathBuf, Result<Content, Trouble>)> for Taken {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Result<Content, Trouble>)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

/// Files hold secrets: only their sizes are shown.
impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |found: &Result<Content, Trouble>| found.as_ref().map(|text| text.len()).ok();
        f.debug_map().entries(self.0.iter().map(|(path, found)| (path, size(found)))).finish()
    }
}

pub(crate) fn digest_of(content: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, content).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_whole_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let disk = RealDisk::new();
        std::fs::write(&path, "12345678").unwrap();
        assert_eq!(disk.read(&path, 8).unwrap()[..], *b"12345678");
        assert!(disk.holds(&path, b"12345678") && !disk.holds(&path, b"12345679"));
        assert!(!disk.holds(&path, b"1234567") && !disk.holds(&path, b"123456789"));
        std::fs::write(&path, "123456789").unwrap();
        assert_eq!(disk.read(&path, 8), Err(Trouble::TooLarge { most: 8 }));
    }

    #[test]
    fn a_file_of_100_mb_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        // Sparse: it takes no room on the disk.
        File::create(&path).unwrap().set_len(100_000_000).unwrap();
        let trouble = RealDisk::new().read(&path, MOST_BYTES).unwrap_err();
        assert_eq!(trouble.to_string(), "the file is larger than 64 MiB");
        File::options().write(true).open(&path).unwrap().set_len(MOST_LIST_BYTES + 1).unwrap();
        let trouble = RealDisk::new().read(&path, MOST_LIST_BYTES).unwrap_err();
        assert_eq!(trouble.to_string(), "the file is larger than 1 GiB");
    }

    #[test]
    fn what_cannot_be_read_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        assert_eq!(disk.read(&folder.path().join("absent"), 8), Err(Trouble::Missing));
        assert_eq!(disk.read(folder.path(), 8), Err(Trouble::Directory));
        assert_eq!(disk.read_once(folder.path(), 8), Err(Trouble::Directory));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_read_at_the_start_alone() {
        let disk = RealDisk::new();
        assert_eq!(disk.read(Path::new("/dev/null"), 8), Err(Trouble::NotAFile));
        let (content, again) = disk.read_once(Path::new("/dev/null"), 8).unwrap();
        assert!(content.is_empty() && !again);
        let endless = disk.read_once(Path::new("/dev/zero"), 100);
        assert_eq!(endless, Err(Trouble::TooLarge { most: 100 }));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_are_an_error_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loop");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(matches!(RealDisk::new().read(&path, 8), Err(Trouble::Unreadable(_))));
    }

    #[test]
    fn contents_are_not_shown() {
        let disk = RealDisk::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2").unwrap();
        let taken = Taken::read(&BTreeSet::from([path]), &disk);
        let shown = format!("{taken:?}");
        assert!(shown.contains("Some(7)") && !shown.contains("hunter2"), "{shown}");
    }
}
