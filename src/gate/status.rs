//! How the gate is: which policy is in force, since when, and what stands behind it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::policy::{Fault, Severity};
use crate::time::{Wall, rfc3339};
use crate::verify::RemoteStatus;
use crate::verify::key_store::KeyStatus;
use crate::watch::{Seen, SeenState, Trouble};

/// How the gate is, for health pages and monitoring.
///
/// It is a snapshot: it does not change after it was made. It holds paths of files and names of
/// stores, and no secret; yet it is for operators, so do not serve it to clients.
///
/// Serialized, it is an object of the members below. Members that are absent are `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Which policy is in force.
    pub revision: Revision,
    /// When that policy came into force: RFC 3339, in UTC.
    pub loaded_at: String,
    /// The last reload that was refused; `None` where there was none since the gate opened.
    pub last_fault: Option<LastFault>,
    /// What is probably not meant in the policy in force, though it can be used.
    pub warnings: Warnings,
    /// Every file, and every address of a key set, that the policy in force is read from.
    pub sources: Vec<SourceStatus>,
    /// Where buckets and keys are stored.
    pub stores: Vec<StoreStatus>,
    /// Whether requests carried headers of a proxy, such as `X-Forwarded-For`, while the policy reads
    /// the peer's address alone (`source = "peer"`): then all clients behind that proxy count as one
    /// address. Where the server is reached directly, clients send these headers themselves, and
    /// nothing needs to change.
    pub forwarded_ignored: bool,
    /// Which tokens and keys are revoked, in numbers.
    pub revocations: RevocationStatus,
}

/// The lists of revocations.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RevocationStatus {
    /// Entries of `[[revoked]]` in the policy and in its file. Those with equal conditions count once.
    pub listed: usize,
    /// The file, as the policy names it from the working directory; it is one of the `sources`, which
    /// say how it is, and since when. `None` where there is none.
    pub file: Option<String>,
    /// Entries that the application put in ([`Revocations`](crate::Revocations)).
    pub told: usize,
    /// Seconds since the application last changed its entries, or put them in anew; `None` where it
    /// never did.
    pub age_seconds: Option<u64>,
}

/// Names the policy in force.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Revision {
    /// 1 for the policy that the gate opened with, and one more for each that came into force
    /// since then. Another process counts for itself.
    pub number: u64,
    /// 16 hexadecimal digits that follow from what the files hold, secrets aside: two processes
    /// with the same files have the same digest.
    pub digest: String,
}

/// Why a reload was refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LastFault {
    /// The faults as the log has them: file, line, column, and help. Where there are many, the
    /// first few.
    pub text: String,
    /// How many faults there are.
    pub count: usize,
    /// When the reload was refused: RFC 3339, in UTC.
    pub at: String,
    /// Whether that policy is still in the files: false once a later one came into force, or the
    /// one in force is in the files again.
    pub is_current: bool,
}

/// Warnings of the policy in force.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Warnings {
    /// How many there are.
    pub count: usize,
    /// Their names, each once, sorted.
    pub names: Vec<String>,
}

/// One file, or one key set by URL, that the policy is read from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The path, as the policy names it from the working directory; or the URL.
    pub name: String,
    /// Whether what is there is in force.
    pub state: SourceState,
    /// Of a file: seconds since a change was last seen; `None` where there was none since the gate
    /// opened. Of a key set by URL: seconds since it was last fetched; `None` where it never was.
    pub age_seconds: Option<u64>,
    /// Why it is not `current`, in words: for a key set, why it was not fetched last time.
    pub detail: Option<String>,
    /// The policy's name of the issuer whose key set by URL this is; `None` for a file.
    pub issuer: Option<String>,
    /// How many keys of the set can be used now; `None` for a file.
    pub keys: Option<usize>,
}

/// Whether what a source holds is in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceState {
    /// What is there is in force.
    Current,
    /// There is nothing there; what was read before is in force. A key set by URL was never fetched.
    Missing,
    /// What is there is not in force: it is faulty, empty, cannot be read, or is still changing. A
    /// key set by URL could not be fetched last time; the keys that were fetched before count.
    Refused,
}

/// One store behind the gate.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// What it keeps: `buckets`, `keys`.
    pub name: String,
    /// What kind of store it is: `memory`, `redis`, `sqlite`, `postgres`.
    pub kind: String,
    /// Whether it answered when it was last asked. The memory of this process always does.
    pub is_available: bool,
    /// Seconds since it last answered; `None` where it has not been asked, or is memory.
    pub age_seconds: Option<u64>,
    /// Why it is not available, in words.
    pub detail: Option<String>,
    /// Name and version of a server, where it told them: `redis 7.0.15`, `valkey 8.1.1`.
    pub version: Option<String>,
    /// Of a store of keys: how many of its keys are in the memory of this process; `None` for others.
    pub keys: Option<usize>,
}

impl Revision {
    pub(crate) fn new(number: u64, digest: impl Into<String>) -> Self {
        Self { number, digest: digest.into() }
    }
}

/// `3 (9f86d081884c7d65)`.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.digest)
    }
}

impl LastFault {
    /// A policy that was refused; what is only a warning of it is left out.
    pub(super) fn of_policy(faults: &[Fault], at: Wall) -> Self {
        let faults = faults.iter().filter(|fault| fault.severity() == Severity::Fault);
        let count = faults.clone().count();
        let mut text = faults.take(MOST_FAULTS).map(Fault::to_string).collect::<Vec<_>>();
        if count > MOST_FAULTS {
            text.push(format!("and {} more", count - MOST_FAULTS));
        }
        Self::new(text.join("\n\n"), count, at)
    }

    /// What is not about a place in a file: the policy cannot be read.
    pub(super) fn of_text(text: impl Into<String>, at: Wall) -> Self {
        Self::new(text.into(), 1, at)
    }

    fn new(text: String, count: usize, at: Wall) -> Self {
        Self { text, count, at: rfc3339(at.seconds()), is_current: true }
    }

    /// The policy in force is in the files again, or a later one is.
    pub(super) fn is_over(&mut self) {
        self.is_current = false;
    }
}

const MOST_FAULTS: usize = 10;

impl Warnings {
    /// `names` has a name for each warning.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut count = 0;
        let names: BTreeSet<&str> = names.into_iter().inspect(|_| count += 1).collect();
        Self { names: names.into_iter().map(str::to_owned).collect(), count }
    }
}

impl SourceStatus {
    /// A watched file, and how long ago it changed.
    pub(super) fn of_file(seen: &Seen, age: Option<Duration>) -> Self {
        let (state, detail) = match &seen.state {
            SeenState::InForce => (SourceState::Current, None),
            SeenState::Other => (
                SourceState::Refused,
                Some("the file has changed, and what it holds now is not in force".into()),
            ),
            SeenState::Trouble(trouble @ Trouble::Missing) => {
                (SourceState::Missing, Some(trouble.to_string()))
            }
            SeenState::Trouble(trouble) => (SourceState::Refused, Some(trouble.to_string())),
        };
        Self {
            name: seen.path.display().to_string(),
            state,
            age_seconds: age.map(|age| age.as_secs()),
            detail,
            issuer: None,
            keys: None,
        }
    }

    /// A file that nobody follows: it was read when the policy came into force.
    pub(super) fn unwatched(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            state: SourceState::Current,
            age_seconds: None,
            detail: None,
            issuer: None,
            keys: None,
        }
    }

    /// A key set over the network.
    pub(super) fn of_keys(keys: RemoteStatus) -> Self {
        let state = match (&keys.error, keys.age) {
            (None, Some(_)) => SourceState::Current,
            (_, None) => SourceState::Missing,
            (Some(_), Some(_)) => SourceState::Refused,
        };
        Self {
            name: keys.address,
            state,
            age_seconds: keys.age.map(|age| age.as_secs()),
            detail: keys.error,
            issuer: Some(keys.issuer.to_string()),
            keys: Some(keys.keys),
        }
    }
}

impl StoreStatus {
    /// The memory of this process.
    pub(super) fn memory(name: &str) -> Self {
        Self::of(name, "memory", None, None)
    }

    /// A store elsewhere: when it last answered, and why it did not since then.
    pub(super) fn of(
        name: &str,
        kind: &str,
        age: Option<Duration>,
        failure: Option<String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_available: failure.is_none(),
            age_seconds: age.map(|age| age.as_secs()),
            detail: failure,
            version: None,
            keys: None,
        }
    }

    /// Where keys are that the policy does not hold.
    pub(super) fn of_keys(status: KeyStatus) -> Self {
        let KeyStatus { kind, age, error, keys } = status;
        Self { keys: Some(keys), ..Self::of("keys", kind, age, error) }
    }
}

#[cfg(test)]
mod tests;
