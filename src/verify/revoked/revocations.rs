//! The set that the application feeds.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::revocation::Revocation;
use super::set::RevokedSet;

/// Revocations that the application tells a gate while it runs: somebody signed out, a token leaked.
///
/// A set in memory. It is asked for every credential, also one that was proven before and is
/// remembered, and never waits; so a list that several processes share, in a database, is read in the
/// background, and [put in](Self::replace) here. What is in it is refused from the next request on, with
/// `token_revoked` or `api_key_revoked`, and ends [open streams](crate::Admission::ended) within about a
/// second. A reload of the policy does not touch it; `[[revoked]]` of the policy counts beside it.
///
/// Clones are handles of one set. Every gate has one, [`Tollgate::revocations`](crate::Tollgate::revocations); make it
/// before the gate, and give it to [`TollgateBuilder::revocations`](crate::TollgateBuilder::revocations), where it is to be filled
/// before the first request, or where several gates share it. It is lost when the process ends.
///
/// ```
/// use axum::{Router, extract::State, routing::post};
/// use tollgate::{Principal, Revocation, Revocations, Tollgate, Wall};
///
/// /// Ends every token that the caller has had until now.
/// async fn sign_out_everywhere(State(revocations): State<Revocations>, caller: Principal) {
///     let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
///     let before = Wall::from_seconds(now.as_secs() + 1);
///     revocations.revoke(Revocation::of_client(caller.client()).issued_before(before));
/// }
///
/// # async fn read_list() -> Result<Vec<Revocation>, std::io::Error> { Ok(vec![Revocation::of_token("4f1c")]) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let revocations = Revocations::new();
/// revocations.replace(read_list().await.unwrap()); // before the first request
/// let gate = Tollgate::builder().revocations(revocations.clone()).build().await?;
///
/// // What other processes revoked: a list of your database.
/// let fed = revocations.clone();
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(std::time::Duration::from_secs(2)).await;
///         match read_list().await {
///             Ok(list) => fed.replace(list),
///             Err(error) => eprintln!("the list before counts: {error}"),
///         }
///     }
/// });
/// let app: Router = Router::new()
///     .route("/sign-out", post(sign_out_everywhere))
///     .with_state(revocations)
///     .layer(gate.layer());
/// # drop(app);
/// # Ok::<_, tollgate::OpenError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Revocations(Arc<Live>);

#[derive(Default)]
struct Live {
    /// Whether it was ever fed. Where it was not, nothing else is looked at.
    is_used: AtomicBool,
    /// Changes with each change.
    version: AtomicU64,
    set: ArcSwap<RevokedSet>,
    feed: Mutex<Feed>,
}

/// Held by whoever changes the set, and by nobody who asks it.
#[derive(Default)]
struct Feed {
    last: Option<Instant>,
    /// With so many entries, those that may be forgotten are looked for.
    forget_at: usize,
}

impl Revocations {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry: what it revokes is refused from now on.
    ///
    /// Entries with equal conditions but [`issued_before`](Revocation::issued_before) are one: the later moment
    /// counts, and one without a moment revokes all.
    pub fn revoke(&self, revocation: Revocation) {
        self.change(|set, feed| {
            set.insert(&revocation);
            if set.len() >= feed.forget_at.max(1024) {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                set.forget(now.map_or(0, |now| now.as_secs()));
                feed.forget_at = 2 * set.len();
            }
        });
    }

    /// Takes an entry back: the one with equal conditions, whatever its
    /// [`issued_before`](Revocation::issued_before). Whether it was there.
    pub fn withdraw(&self, revocation: &Revocation) -> bool {
        let mut was_there = false;
        self.change(|set, _| was_there = set.remove(revocation));
        was_there
    }

    /// Puts a list in place of all entries, those of [`revoke`](Self::revoke) too. At every moment either the old
    /// list counts or the new one.
    pub fn replace(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let set = Arc::new(RevokedSet::from_iter(revocations));
        self.change(|_, feed| {
            feed.forget_at = 2 * set.len();
            self.0.set.store(set);
        });
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.set.load().len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long ago it was last fed; `None` where it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.feed().last.map(|last| last.elapsed())
    }

    /// Changes with each change.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&RevokedSet, &mut Feed)) {
        let mut feed = self.feed();
        change(&self.0.set.load(), &mut feed);
        feed.last = Some(Instant::now());
        self.0.is_used.store(true, Ordering::Release);
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.0.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the set, where it was ever fed.
    #[inline]
    pub(super) fn has(&self, ask: impl FnOnce(&RevokedSet) -> bool) -> bool {
        self.0.is_used.load(Ordering::Acquire) && ask(&self.0.set.load())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("len", &self.len()).finish_non_exhaustive()
    }
}
