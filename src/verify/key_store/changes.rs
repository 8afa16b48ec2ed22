//! What a source tells of its changes.

use std::fmt;
use std::sync::Arc;

use super::digest::KeyDigest;
use crate::time::Steady;

/// Hears of the changes of a source; handed to [`KeySource::follow`](super::KeySource::follow).
///
/// A key in memory counts as fresh while the source has told of all changes until at most 3 s ago. A
/// source earns that in three steps:
///
/// 1. It begins to see changes: it listens, or reads the number of the last change. Then it calls
///    [`begun`](Self::begun).
/// 2. It calls [`changed`](Self::changed) for each key that was added, changed or removed since.
/// 3. About once a second it makes sure that it has heard of all: it takes the time
///    ([`now`](Self::now)), asks for what is left, tells of it, and then calls
///    [`complete_until`](Self::complete_until) with that time.
///
/// After a gap, such as a lost connection, it begins again, unless it can find out what changed
/// meanwhile. Where it falls silent, nothing is wrong: keys are looked up again as they grow old.
///
/// ```
/// # use tollgate::keys::{KeyChanges, KeyDigest};
/// # use std::time::Duration;
/// # async fn last_change() -> std::io::Result<u64> { Ok(0) }
/// # async fn changes_since(_: u64) -> std::io::Result<Vec<(u64, KeyDigest)>> { Ok(Vec::new()) }
/// async fn poll(changes: &KeyChanges) -> std::io::Result<()> {
///     let mut last = last_change().await?;
///     changes.begun();
///     loop {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         let now = changes.now();
///         for (number, digest) in changes_since(last).await? {
///             changes.changed(digest);
///             last = number;
///         }
///         changes.complete_until(now);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct KeyChanges(Arc<dyn Hears>);

/// Who is told.
pub(crate) trait Hears: Send + Sync {
    fn now(&self) -> Steady;
    fn begun(&self);
    fn changed(&self, digest: KeyDigest);
    fn all_changed(&self);
    fn complete_until(&self, moment: Steady);
}

impl KeyChanges {
    pub(crate) fn new(hears: Arc<dyn Hears>) -> Self {
        Self(hears)
    }

    /// The time, by the clock of the gate.
    pub fn now(&self) -> Steady {
        self.0.now()
    }

    /// From now on the source tells of every change. What it did not tell of before may have
    /// changed.
    pub fn begun(&self) {
        self.0.begun();
    }

    /// The key with this digest was added, changed or removed.
    pub fn changed(&self, digest: KeyDigest) {
        self.0.changed(digest);
    }

    /// Any key may have changed: a table was restored. All of them are looked up again when they are
    /// used.
    pub fn all_changed(&self) {
        self.0.all_changed();
    }

    /// The source has told of every change that was made before this moment.
    pub fn complete_until(&self, moment: Steady) {
        self.0.complete_until(moment);
    }
}

impl fmt::Debug for KeyChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyChanges(..)")
    }
}
