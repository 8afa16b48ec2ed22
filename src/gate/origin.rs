//! Where the policy comes from, and how it is read: when the gate opens, and when it reloads.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::open_error::OpenError;
use crate::denial::{DenialCode, Registry};
use crate::policy::{Fault, Faults, Outline, Policy, Secrets, Severity, Sources, load};
use crate::time::Clock;
use crate::verify::KeyRecords;
use crate::watch::{Next, Taken};

/// Where the policy comes from. It outlives each policy.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) place: PolicyPlace,
    pub(crate) codes: Vec<&'static DenialCode>,
    pub(crate) secrets: Arc<Secrets>,
    /// Documents need no secrets.
    pub(crate) for_documents: bool,
    /// Whether key sets are fetched, and stores of keys opened: not for documents, and not to check a
    /// policy.
    pub(crate) fetches: bool,
    /// For warnings that depend on the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The keys that were loaded last, for as long as they are in force.
    pub(crate) known_keys: KnownKeys,
}

/// Keys that the next reload shares, where they are the same then.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownKeys(Arc<Mutex<Weak<KeyRecords>>>);

impl KnownKeys {
    fn get(&self) -> Option<Arc<KeyRecords>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn set(&self, keys: &Arc<KeyRecords>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(keys);
    }
}

#[derive(Clone, Debug)]
pub(crate) enum PolicyPlace {
    File(PathBuf),
    /// The policy itself. Files that it names are relative to the working directory.
    Text(String),
}

impl Default for PolicyPlace {
    fn default() -> Self {
        Self::File("config/tollgate.toml".into())
    }
}

/// A policy that can be in force, and what is to be remembered of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) policy: Policy,
    pub(crate) registry: Registry,
    pub(crate) warnings: Vec<Fault>,
    /// For the next reload: what changed?
    pub(crate) outline: Outline,
    /// For [`Revision`](super::Revision).
    pub(crate) fingerprint: String,
    /// For the watcher: what is in force.
    pub(crate) taken: Taken,
}

/// What became of files that the watcher took.
#[derive(Debug)]
pub(crate) enum Reload {
    Loaded(Box<Loaded>),
    Refused(OpenError),
    /// The policy names files that were not looked at: nothing is known yet, and nothing is said.
    Incomplete,
}

impl Origin {
    /// Reads the policy from the disk.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is refused; then `Taken` is what was read of it.
    pub(crate) fn open(&self) -> Result<Loaded, (OpenError, Taken)> {
        let mut sources = self.sources(Sources::of_disk(self.folder()));
        let mut found = self.load(&sources);
        for _ in 0..MOST_TRIES {
            if sources.is_still_true() {
                break;
            }
            // It changed while it was read: what was loaded may be a mixture of two versions.
            sources = self.sources(Sources::of_disk(self.folder()));
            found = self.load(&sources);
        }
        found.map_err(|error| (error, sources.taken()))
    }

    /// Loads what the watcher took, and says what the watcher is to do next.
    pub(crate) fn reload(&self, taken: Taken) -> (Reload, Next) {
        let sources = self.sources(Sources::of_taken(self.folder(), taken));
        let found = self.load(&sources);
        let more: BTreeSet<PathBuf> = sources.not_looked_at();
        if !more.is_empty() {
            return (Reload::Incomplete, Next::Also(more));
        }
        let read = sources.paths();
        match found {
            Ok(loaded) => (Reload::Loaded(Box::new(loaded)), Next::InForce(read)),
            Err(error) => (Reload::Refused(error), Next::Refused(read)),
        }
    }

    fn folder(&self) -> PathBuf {
        match &self.place {
            PolicyPlace::File(path) => path.parent().unwrap_or(Path::new("")).to_owned(),
            PolicyPlace::Text(_) => PathBuf::from("."),
        }
    }

    fn sources(&self, sources: Sources) -> Sources {
        let sources =
            sources.with_secrets(self.secrets.clone()).with_known_keys(self.known_keys.get());
        if self.for_documents { sources.forgiving_absent_secrets() } else { sources }
    }

    fn load(&self, sources: &Sources) -> Result<Loaded, OpenError> {
        let (name, text) = match &self.place {
            PolicyPlace::Text(text) => ("policy".to_owned(), text.clone()),
            PolicyPlace::File(path) => {
                let unreadable = |error| OpenError::Unreadable { path: path.clone(), error };
                let content = sources.read(path).map_err(|trouble| unreadable(trouble.into()))?;
                let not_text = |error: Utf8Error| {
                    unreadable(io::Error::new(
                        io::ErrorKind::InvalidData,
                        not_utf8(&content, &error),
                    ))
                };
                let text = str::from_utf8(&content).map_err(not_text)?.to_owned();
                (path.display().to_string(), text)
            }
        };
        let faults = Faults::at_time(self.clock.wall());
        let policy = load(&name, &text, sources, &faults);
        let entries = policy.as_ref().map_or(&[][..], |policy| &policy.codes);
        let registry = Registry::new(entries, &self.codes, &faults);
        let faults = faults.into_sorted();
        let refused = faults.iter().any(|fault| fault.severity() == Severity::Fault);
        let Some(mut policy) = policy.filter(|_| !refused) else {
            return Err(OpenError::Refused { faults });
        };
        if !self.fetches {
            // Nobody connects to a database to check a policy.
            policy.key_place = None;
        }
        self.known_keys.set(policy.keys.records());
        let taken = sources.taken();
        let outline = Outline::new(&text, &self.folder(), &taken);
        let fingerprint = sources.fingerprint();
        Ok(Loaded { policy, registry, warnings: faults, outline, fingerprint, taken })
    }
}

/// Files that change under every reading are taken as they are; the watcher sees the rest.
const MOST_TRIES: usize = 5;

/// Where a file is not UTF-8, and what to do about it.
fn not_utf8(content: &[u8], error: &Utf8Error) -> String {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return "it is UTF-16; save it as UTF-8".into();
    }
    let before = &content[..error.valid_up_to()];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    format!("line {line} is not UTF-8; save the file as UTF-8")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::time::SystemClock;
    use crate::watch::{Follower, Pace, RealDisk, Watch};

    /// No test waits so long unless it fails.
    const LONG: Duration = Duration::from_secs(60);
    const RULE: &str = "[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\n";

    struct Following {
        origin: Origin,
        in_force: (Outline, Policy),
        said: Sender<String>,
    }

    impl Follower for Following {
        fn changed(&mut self, taken: Taken) -> Next {
            let (reload, next) = self.origin.reload(taken);
            let said = match reload {
                Reload::Incomplete => return next,
                Reload::Refused(error) => error.to_string(),
                Reload::Loaded(loaded) => {
                    let keys = (&self.in_force.1.keys, &loaded.policy.keys);
                    let changes = loaded.outline.changes_since(&self.in_force.0, keys, 20);
                    self.in_force = (loaded.outline, loaded.policy);
                    changes.to_string()
                }
            };
            let _gone = self.said.send(said);
            next
        }

        fn restored(&mut self) {
            let _gone = self.said.send("restored".into());
        }
    }

    #[test]
    fn files_are_followed_with_those_that_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tollgate.toml");
        let replace = |name: &str, text: &str| {
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, folder.path().join(name)).unwrap();
        };
        let key = |id: &str, digit: &str| {
            let digest = digit.repeat(64);
            format!("[[key]]\nid = \"{id}\"\nclient = \"c\"\ndigest = \"sha256:{digest}\"\n")
        };
        let keys = "[api_keys]\nfile = \"keys.toml\"\n";
        replace("keys.toml", &key("a", "0"));
        replace("tollgate.toml", &format!("version = 1\n{keys}{RULE}"));

        let origin = Origin {
            place: PolicyPlace::File(path),
            codes: Vec::new(),
            secrets: Arc::default(),
            for_documents: false,
            fetches: false,
            clock: Arc::new(SystemClock::new()),
            known_keys: KnownKeys::default(),
        };
        let opened = origin.open().map_err(|(error, _)| error).unwrap();
        let (said, next) = channel();
        let next = || next.recv_timeout(LONG).unwrap();
        let pace = Pace { every: Duration::from_millis(2), settle: Duration::from_millis(1) };
        let follower = Following { origin, in_force: (opened.outline, opened.policy), said };
        let _watch = Watch::start(&opened.taken, RealDisk::new(), pace, follower).unwrap();

        replace("keys.toml", &format!("{}{}", key("a", "0"), key("b", "1")));
        assert_eq!(next(), "key `b` added");
        // A file that was not named before is looked at, and taken with the policy.
        replace("more.toml", &key("c", "2"));
        let more = keys.replace("keys.toml", "more.toml");
        replace("tollgate.toml", &format!("version = 1\n{more}{RULE}"));
        assert_eq!(
            next(),
            "[api_keys]: file changed; key `a` removed; key `b` removed; key `c` added"
        );
        replace("keys.toml", "named no more");
        fs::remove_file(folder.path().join("more.toml")).unwrap();
        let missing = next();
        assert!(missing.contains("tollgate.toml:3:8: cannot read"), "{missing}");
        assert!(missing.contains("more.toml`: the file does not exist"), "{missing}");
        replace("more.toml", &key("c", "2"));
        assert_eq!(next(), "restored");
        replace("tollgate.toml", "version = 1\nodd = true\n");
        assert!(next().contains("unknown key `odd`"));
        replace("tollgate.toml", "\n");
        assert!(next().contains("the file is empty"));
        replace("tollgate.toml", &format!("version = 1\n{more}{RULE}mode = \"shadow\"\n"));
        assert_eq!(next(), "rule `all`: mode unset -> shadow");
    }
}
