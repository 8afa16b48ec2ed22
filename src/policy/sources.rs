//! Where a policy is read from: files, and the environment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::credential::Secret;
use crate::verify::KeyRecords;
use crate::watch::{
    Content, Disk, MOST_BYTES, MOST_LIST_BYTES, RealDisk, Taken, Trouble, digest_of,
};

/// Secrets that the application gives, by the names of the variables that they stand in for.
pub(crate) type Secrets = BTreeMap<String, Secret>;

/// Reads the files and secrets that a policy names, and remembers what was read.
///
/// A file is read once: whoever asks again gets the same content.
pub(crate) struct Sources {
    folder: PathBuf,
    origin: Origin,
    secrets: Arc<Secrets>,
    absent_secrets_forgiven: bool,
    known_keys: Option<Arc<KeyRecords>>,
    read: RefCell<BTreeMap<PathBuf, Read>>,
}

enum Origin {
    Disk(Box<dyn Disk>),
    /// Files that were read before, by the watcher.
    Taken(Taken),
}

#[derive(Clone)]
struct Read {
    found: Result<Content, Trouble>,
    is_secret: bool,
    /// A pipe cannot be read again, and is not watched.
    again: bool,
}

impl Sources {
    /// Reads from the disk. Relative paths begin in `folder`.
    pub(crate) fn of_disk(folder: impl Into<PathBuf>) -> Self {
        Self::new(folder.into(), Origin::Disk(Box::new(RealDisk::new())))
    }

    /// Reads what the watcher took, and never the disk.
    pub(crate) fn of_taken(folder: impl Into<PathBuf>, taken: Taken) -> Self {
        Self::new(folder.into(), Origin::Taken(taken))
    }

    fn new(folder: PathBuf, origin: Origin) -> Self {
        let (secrets, absent_secrets_forgiven, known_keys, read) = Default::default();
        Self { folder, origin, secrets, absent_secrets_forgiven, known_keys, read }
    }

    /// Secrets that take the place of environment variables.
    pub(crate) fn with_secrets(mut self, secrets: Arc<Secrets>) -> Self {
        self.secrets = secrets;
        self
    }

    /// For a policy that no request is judged by: a secret that is absent is one nobody knows.
    pub(crate) fn forgiving_absent_secrets(mut self) -> Self {
        self.absent_secrets_forgiven = true;
        self
    }

    pub(crate) fn forgives_absent_secrets(&self) -> bool {
        self.absent_secrets_forgiven
    }

    /// The keys of the policy in force: those that are the same now are shared with it.
    pub(crate) fn with_known_keys(self, known_keys: Option<Arc<KeyRecords>>) -> Self {
        Self { known_keys, ..self }
    }

    pub(crate) fn known_keys(&self) -> Option<&Arc<KeyRecords>> {
        self.known_keys.as_ref()
    }

    /// Where the file is that the policy calls `name`.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &Path) -> Result<Content, Trouble> {
        self.open(path, false, MOST_BYTES)
    }

    /// Reads a list of keys or of revocations, which may be large.
    pub(crate) fn read_list(&self, path: &Path) -> Result<Content, Trouble> {
        self.open(path, false, MOST_LIST_BYTES)
    }

    /// Reads a file that holds a secret: the fingerprint leaves it out.
    pub(crate) fn read_secret(&self, path: &Path) -> Result<Content, Trouble> {
        self.open(path, true, MOST_BYTES)
    }

    fn open(&self, path: &Path, is_secret: bool, most: u64) -> Result<Content, Trouble> {
        let mut files = self.read.borrow_mut();
        let read = files.entry(path.to_owned()).or_insert_with(|| {
            let (found, again) = match &self.origin {
                Origin::Taken(taken) => (taken.get(path), true),
                Origin::Disk(disk) => match disk.read_once(path, most) {
                    Ok((content, again)) => (Ok(content), again),
                    Err(trouble) => (Err(trouble), true),
                },
            };
            Read { found, is_secret, again }
        });
        read.is_secret |= is_secret;
        // It may have been read as something larger, by the watcher at any rate.
        match &read.found {
            Ok(content) if content.len() as u64 > most => Err(Trouble::TooLarge { most }),
            found => found.clone(),
        }
    }

    /// The secret that the application gave under this name, or the environment variable's.
    pub(crate) fn variable(&self, name: &str) -> Option<Secret> {
        // `var_os` panics with a name that the system cannot have.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        let given = self.secrets.get(name).cloned();
        given.or_else(|| {
            let text = std::env::var_os(OsStr::new(name))?;
            Some(Secret::new(text.into_encoded_bytes()))
        })
    }

    /// All that was read: what the watcher is to compare with.
    pub(crate) fn taken(&self) -> Taken {
        let read = self.read.borrow();
        let watched = read.iter().filter(|(_, read)| read.again);
        watched.map(|(path, read)| (path.clone(), read.found.clone())).collect()
    }

    /// Every file that was asked for, whether it could be read or not.
    pub(crate) fn paths(&self) -> BTreeSet<PathBuf> {
        self.read.borrow().keys().cloned().collect()
    }

    /// The files that were asked for and are not among those that the watcher took. Where there
    /// are any, what was loaded is of no use: the watcher looks at these files too, and all files
    /// are loaded again.
    pub(crate) fn not_looked_at(&self) -> BTreeSet<PathBuf> {
        let read = self.read.borrow();
        let missed = read.iter().filter(|(_, read)| read.found == Err(Trouble::NotLookedAt));
        missed.map(|(path, _)| path.clone()).collect()
    }

    /// Whether the disk still holds all that was read: then it is no mixture of two versions.
    pub(crate) fn is_still_true(&self) -> bool {
        let Origin::Disk(disk) = &self.origin else { return true };
        let read = self.read.borrow();
        read.iter().filter(|(_, read)| read.again).all(|(path, read)| match &read.found {
            Ok(before) => disk.holds(path, before),
            Err(_) => disk.read(path, MOST_BYTES).is_err(),
        })
    }

    /// A short name of what was read, secrets aside: 16 hexadecimal digits, the same for the same
    /// contents on every machine that calls the files alike.
    pub(crate) fn fingerprint(&self) -> String {
        let mut all = Context::new(&SHA256);
        for (path, read) in self.read.borrow().iter().filter(|(_, read)| !read.is_secret) {
            let path = path.strip_prefix(&self.folder).unwrap_or(path);
            all.update(&digest_of(path.as_os_str().as_encoded_bytes()));
            all.update(&read.found.as_ref().map(|found| found.digest()).unwrap_or_default());
        }
        let digest = all.finish();
        digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The disk, from the working directory.
impl Default for Sources {
    fn default() -> Self {
        Self::of_disk("")
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.secrets.keys().collect();
        f.debug_struct("Sources")
            .field("folder", &self.folder)
            .field("secrets", &names)
            .field("read", &self.taken())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn in_folder() -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::of_disk(folder.path());
        (folder, sources)
    }

    #[test]
    fn a_file_is_read_once_and_remembered() {
        let (folder, sources) = in_folder();
        let path = sources.path("keys.toml");
        fs::write(&path, "one").unwrap();
        assert_eq!(sources.read(&path).unwrap().as_slice(), b"one");
        assert!(sources.is_still_true());
        fs::write(&path, "two").unwrap();
        assert_eq!(sources.read(&path).unwrap().as_slice(), b"one");
        assert!(!sources.is_still_true(), "the disk holds another version");
        assert_eq!(sources.read(&sources.path("absent")), Err(Trouble::Missing));
        let asked = ["absent", "keys.toml"].map(|name| folder.path().join(name));
        assert_eq!(sources.paths(), BTreeSet::from(asked));
        assert_eq!(sources.taken().paths(), sources.paths());
    }

    #[test]
    fn what_the_watcher_took_is_read_and_not_the_disk() {
        let (folder, first) = in_folder();
        let path = first.path("policy.toml");
        fs::write(&path, "taken").unwrap();
        first.read(&path).unwrap();
        fs::write(&path, "later").unwrap();
        fs::write(first.path("other.toml"), "there, but not looked at").unwrap();

        let sources = Sources::of_taken(folder.path(), first.taken());
        assert_eq!(sources.read(&path).unwrap().as_slice(), b"taken");
        assert!(sources.not_looked_at().is_empty());
        assert_eq!(sources.read(&sources.path("other.toml")), Err(Trouble::NotLookedAt));
        assert_eq!(sources.not_looked_at(), BTreeSet::from([sources.path("other.toml")]));
    }

    #[test]
    fn a_given_secret_stands_in_for_a_variable() {
        let secrets = Secrets::from([("CARGO".to_owned(), Secret::new(b"given".to_vec()))]);
        let sources = Sources::default().with_secrets(Arc::new(secrets));
        assert_eq!(sources.variable("CARGO").unwrap().expose(), b"given");
        // Cargo sets this one for tests.
        let package = sources.variable("CARGO_PKG_NAME").unwrap();
        assert_eq!(package.expose(), b"tollgate");
        for name in ["", "A=B", "A\0", "TOLLGATE_NO_SUCH_VARIABLE"] {
            assert!(sources.variable(name).is_none(), "{name:?}");
        }
        assert!(!format!("{sources:?}").contains("given"));
    }

    #[test]
    fn the_fingerprint_follows_contents_and_leaves_secrets_out() {
        let print = |key: &str, secret: &str| {
            let (_folder, sources) = in_folder();
            fs::write(sources.path("keys.toml"), key).unwrap();
            fs::write(sources.path("secret"), secret).unwrap();
            sources.read(&sources.path("keys.toml")).unwrap();
            sources.read_secret(&sources.path("secret")).unwrap();
            sources.fingerprint()
        };
        let first = print("a", "hunter2");
        assert_eq!(first.len(), 16);
        assert_eq!(first, print("a", "hunter3"), "secrets and the folder do not count");
        assert_ne!(first, print("b", "hunter2"));
    }
}
