//! What the `tollgate` command and the benchmarks need beside the gate: key files, tokens for
//! trying out, documents for client developers, and buckets alone.
//!
//! Hidden from the documentation: applications neither mint tokens nor edit policies.

mod buckets;
mod key_csv;
mod key_entry;
mod key_file;
mod mint;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::limit::parse_duration;
use crate::reference::Api;
use crate::verify::key_store::KeyStore;
use crate::{Fault, OpenError, Tollgate};

pub use crate::policy::{Away, KeyList, ListedKey, Scattered, WorstCase};
pub use crate::reference::Format;
pub use buckets::Buckets;
pub use key_csv::keys_of_csv;
pub use key_entry::{KeyEntry, moment_of, moment_text, successor_of};
pub use key_file::{KeyFile, inspect};
pub use mint::{TokenOrder, mint};

/// Opens the gate of a policy to look at it: no keys are fetched, and no files followed.
///
/// # Errors
///
/// As [`Tollgate::open`].
pub async fn open_to_look_at(policy: &Path) -> Result<Tollgate, OpenError> {
    Tollgate::builder().policy_file(policy).unserved().build().await
}

/// What `check` finds in a policy that can be used.
#[derive(Debug, Default)]
pub struct Looked {
    /// What is probably not meant.
    pub warnings: Vec<Fault>,
    /// What each shared limit grants at the worst; none where buckets are in memory.
    pub worst_cases: Vec<WorstCase>,
    /// The rules whose limits lie on several servers of a cluster.
    pub scattered: Vec<Scattered>,
}

/// Looks at a policy; with its secrets, or without those that the environment lacks.
///
/// # Errors
///
/// As [`Tollgate::open`].
pub async fn look_at(policy: &Path, without_secrets: bool) -> Result<Looked, OpenError> {
    if without_secrets {
        let loaded = Tollgate::builder().policy_file(policy).load_without_secrets()?;
        let (worst_cases, scattered) =
            (loaded.policy.worst_cases(), loaded.policy.scattered_rules());
        return Ok(Looked { warnings: loaded.warnings, worst_cases, scattered });
    }
    let gate = open_to_look_at(policy).await?;
    let current = gate.gate().current();
    let (worst_cases, scattered) =
        (current.policy().worst_cases(), current.policy().scattered_rules());
    Ok(Looked { warnings: gate.warnings().to_vec(), worst_cases, scattered })
}

/// Opens the gate of a policy to make documents of it, where its secrets are not at hand.
///
/// # Errors
///
/// As [`Tollgate::open`], but for secrets that the environment does not have.
pub async fn open_for_documents(policy: &Path) -> Result<Tollgate, OpenError> {
    Tollgate::builder().policy_file(policy).for_documents().build().await
}

/// Opens the store of keys that a policy names; `None` where it names none, or its URL is not in the
/// environment.
///
/// # Errors
///
/// As [`Tollgate::open`], but for secrets that the environment does not have.
pub fn open_key_store(policy: &Path) -> Result<Option<Arc<dyn KeyStore>>, OpenError> {
    Tollgate::builder().policy_file(policy).open_key_store()
}

/// What client developers are handed, in this form: for the API of a gate, or for any.
#[must_use]
pub fn schema(format: Format, gate: Option<&Tollgate>) -> String {
    match gate {
        Some(gate) => Api::of(&gate.gate().current()).write(format),
        None => Api::any().write(format),
    }
}

/// The whole catalogue as files that link to each other: names and contents.
#[must_use]
pub fn site(gate: Option<&Tollgate>) -> Vec<(String, String)> {
    match gate {
        Some(gate) => Api::of(&gate.gate().current()).site(),
        None => Api::any().site(),
    }
}

/// The one of `names` that was probably meant.
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    crate::policy::nearest(wrong, names)
}

/// The moment `after` now, in Unix seconds.
#[must_use]
pub fn moment_after(after: Duration) -> u64 {
    unix_now().saturating_add(after.as_secs())
}

/// Reads a duration such as `90d`.
///
/// # Errors
///
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| {
        "a duration is a whole number and a unit (ms, s, m, h, d): `30s`, `12h`, `90d`".into()
    })
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
