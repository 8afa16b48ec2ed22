//! Keeps a fetched set fresh, in a task of its own.
//!
//! The task alone fetches, so that there is one request at a time however many ask. It looks at the
//! clock once a second: sooner or later than that only where it is asked.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::{SharedString, counter, describe_counter};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::KeySet;
use super::fetch::{FetchError, Get, Reply, Why, fetch};
use super::fetched::{FetchedKeys, KeyVersion};
use super::lifetime::{refresh_after, retry_after};
use super::places::{Asked, Places};
use super::settings::{RemoteSettings, RemoteStatus};
use crate::address::Address;
use crate::ask::Arrived;
use crate::time::{Clock, Steady, micros};
use crate::verify::KeyTrouble;

/// How long a request waits for a refresh.
const DEADLINE: Duration = Duration::from_millis(500);
/// How far refreshes that requests ask for are apart.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// How often the task looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A set, and the task that keeps it fresh for as long as this lives.
#[derive(Debug)]
pub(super) struct Refresher {
    shared: Arc<Shared>,
    task: OnceLock<AbortHandle>,
}

/// What the task shares with the requests.
struct Shared {
    settings: Arc<RemoteSettings>,
    clock: Arc<dyn Clock>,
    client: Box<dyn Get>,
    current: ArcSwapOption<FetchedKeys>,
    state: Mutex<State>,
    /// Tells the task that it is asked.
    asked: Notify,
    /// How many refreshes have ended.
    ended: watch::Sender<u64>,
    places: Places,
}

#[derive(Debug)]
struct State {
    /// Whether a refresh has begun, or is to begin at once, and has not ended.
    is_running: bool,
    /// When the next refresh is due.
    due: Steady,
    /// How many refreshes have failed since one succeeded.
    failures: u32,
    /// When a request last began one.
    asked: Option<Steady>,
    /// When the set was last fetched.
    fetched: Option<Steady>,
    error: Option<FetchError>,
}

impl Refresher {
    /// A set that is fetched at once when it is [started](Self::start). Until then the keys of
    /// `former` count, which has the same source.
    pub(super) fn new(
        settings: Arc<RemoteSettings>,
        clock: Arc<dyn Clock>,
        client: Box<dyn Get>,
        former: Option<&Self>,
    ) -> Self {
        let former = former.and_then(|former| {
            let keys = read(&former.current()?.text, &settings.algorithms).ok()?.0;
            let fetched = former.shared.state().fetched;
            Some((keys, fetched))
        });
        let state = State {
            is_running: true,
            due: Steady::default(),
            failures: 0,
            asked: None,
            fetched: former.as_ref().and_then(|(_, fetched)| *fetched),
            error: None,
        };
        let shared = Shared {
            settings,
            clock,
            client,
            current: ArcSwapOption::new(former.map(|(keys, _)| Arc::new(keys))),
            state: Mutex::new(state),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
            places: Places::default(),
        };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
    }

    /// Starts the task, unless it runs. Without a runtime the first request that asks starts it.
    pub(super) fn start(&self, runtime: Option<&Handle>) {
        let current = Handle::try_current().ok();
        let Some(runtime) = runtime.or(current.as_ref()) else { return };
        self.task.get_or_init(|| runtime.spawn(self.shared.clone().run()).abort_handle());
    }

    pub(super) fn settings(&self) -> &Arc<RemoteSettings> {
        &self.shared.settings
    }

    pub(super) fn current(&self) -> Option<Arc<FetchedKeys>> {
        self.shared.current.load_full()
    }

    pub(super) fn version(&self) -> Option<KeyVersion> {
        self.shared.current.load().as_ref().map(|fetched| fetched.version)
    }

    /// Whether nobody fetches any more: the runtime has ended, or has no timer.
    fn is_over(&self) -> bool {
        self.task.get().is_some_and(AbortHandle::is_finished)
    }

    pub(super) fn may_ask(&self) -> bool {
        if self.is_over() {
            return false;
        }
        let state = self.shared.state();
        state.is_running || state.may_begin(self.shared.clock.steady())
    }

    pub(super) fn ask(&self, address: Option<Address>) -> Option<Asked> {
        self.start(None);
        if self.is_over() {
            return None;
        }
        let shared = &self.shared;
        // Before looking whether one is running, so that its end is not missed.
        let mut ended = shared.ended.subscribe();
        let mut state = shared.state();
        let now = shared.clock.steady();
        if !state.is_running && !state.may_begin(now) {
            return None;
        }
        let Some(place) = shared.places.take(address) else { return Some(Asked::Crowded) };
        if !state.is_running {
            state.asked = Some(now);
            state.is_running = true;
            shared.asked.notify_one();
        }
        let deadline = Instant::now() + DEADLINE;
        Some(Asked::Waits(Box::pin(async move {
            let _place = place;
            let _ended_or_late = timeout_at(deadline, ended.changed()).await;
            Arrived::Keys
        })))
    }

    /// Ends with the first refresh.
    pub(super) async fn first_end(&self) {
        let mut ended = self.shared.ended.subscribe();
        let _never_closed = ended.wait_for(|count| *count > 0).await;
    }

    /// Ends with the next refresh, unless there are keys.
    pub(super) async fn next_end(&self) {
        let mut ended = self.shared.ended.subscribe();
        if self.current().is_none() {
            let _never_closed = ended.changed().await;
        }
    }

    pub(super) fn status(&self) -> RemoteStatus {
        let shared = &self.shared;
        let (now, state) = (shared.clock.steady(), shared.state());
        RemoteStatus {
            issuer: shared.settings.issuer.clone(),
            address: shared.settings.address(),
            age: state.fetched.map(|fetched| now.since(fetched)),
            keys: shared.current.load().as_ref().map_or(0, |fetched| fetched.keys.len()),
            error: state.error.as_ref().map(FetchError::to_string),
        }
    }
}

#[cfg(test)]
impl Refresher {
    /// Changes with the end of each refresh.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Shared {
    /// Runs until the refresher is dropped.
    async fn run(self: Arc<Self>) {
        loop {
            self.until_due().await;
            let fetched = fetch(&self.settings, &*self.client).await;
            self.end(fetched);
        }
    }

    /// Waits until a refresh is due or asked for, and drops keys that have become too old.
    async fn until_due(&self) {
        loop {
            let now = self.clock.steady();
            self.drop_old(now);
            let wait = {
                let mut state = self.state();
                state.is_running |= now >= state.due;
                if state.is_running {
                    return;
                }
                state.due.since(now).min(LOOK_EVERY)
            };
            let _asked_or_due = timeout(wait, self.asked.notified()).await;
        }
    }

    /// Keys that could not be refreshed for too long prove nothing more: they may be withdrawn.
    fn drop_old(&self, now: Steady) {
        let is_old = {
            let state = self.state();
            let age = state.fetched.map(|fetched| now.since(fetched));
            state.failures > 0 && age.is_some_and(|age| age >= self.settings.keep)
        };
        if is_old && self.current.swap(None).is_some() {
            tracing::error!(
                target: "tollgate", issuer = &*self.settings.issuer,
                "the keys of the issuer could not be refreshed for {} s, and count no longer: its \
                 tokens are answered with `key_source_unavailable`",
                self.settings.keep.as_secs()
            );
        }
    }

    /// Takes what a refresh brought, and tells those who wait that it has ended.
    fn end(&self, fetched: Result<Reply, FetchError>) {
        let taken = fetched.and_then(|reply| {
            let outcome = self.take(reply.text);
            let outcome =
                outcome.map_err(|why| FetchError { address: self.settings.address(), why });
            Ok((reply.fresh_for, outcome?))
        });
        let now = self.clock.steady();
        let outcome = match taken {
            Ok((fresh_for, is_changed)) => {
                self.note_success(now, refresh_after(fresh_for));
                if is_changed { "changed" } else { "unchanged" }
            }
            Err(error) => {
                self.note_failure(now, error);
                "failed"
            }
        };
        let issuer = SharedString::from(self.settings.issuer.clone());
        counter!("tollgate_key_refreshes_total", "issuer" => issuer, "outcome" => outcome)
            .increment(1);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Puts a set in force; whether it differs from the one before.
    fn take(&self, text: Vec<u8>) -> Result<bool, Why> {
        let issuer = &*self.settings.issuer;
        let (fetched, troubles) = read(&text, &self.settings.algorithms)?;
        let before = self.current.load();
        let is_same = before.as_ref().is_some_and(|before| {
            before.fingerprint.is_some() && before.fingerprint == fetched.fingerprint
        });
        // A key that cannot be used is said when it comes, and not with each refresh.
        if before.as_ref().is_none_or(|before| before.text != text) {
            for trouble in &troubles {
                match trouble {
                    KeyTrouble::Refused(what, _) => tracing::error!(
                        target: "tollgate", issuer, "skipped in the fetched key set: {what}"
                    ),
                    KeyTrouble::Skipped(what) => tracing::warn!(
                        target: "tollgate", issuer, "skipped in the fetched key set: {what}"
                    ),
                }
            }
        }
        if is_same {
            return Ok(false);
        }
        let keys = fetched.keys.len();
        self.current.store(Some(Arc::new(fetched)));
        tracing::info!(target: "tollgate", issuer, keys, "the fetched keys of the issuer are in force");
        Ok(true)
    }

    fn note_success(&self, now: Steady, next: Duration) {
        let mut state = self.state();
        if state.failures > 0 {
            tracing::info!(
                target: "tollgate", issuer = &*self.settings.issuer, failures = state.failures,
                "the keys of the issuer can be fetched again"
            );
        }
        state.failures = 0;
        state.error = None;
        state.fetched = Some(now);
        state.due = now.plus_micros(micros(next));
        state.is_running = false;
    }

    fn note_failure(&self, now: Steady, error: FetchError) {
        let mut state = self.state();
        let age = state.fetched.map(|fetched| now.since(fetched).as_secs());
        let consequence = match self.current.load().is_some() {
            true => "the last good ones count until then",
            false => "its tokens are answered with `key_source_unavailable` until then",
        };
        state.failures = state.failures.saturating_add(1);
        let next = retry_after(state.failures);
        tracing::error!(
            target: "tollgate", issuer = &*self.settings.issuer, error = %error,
            failures = state.failures, age_seconds = age,
            "the keys of the issuer cannot be fetched; it is tried again in {} ms, and {consequence}",
            next.as_millis()
        );
        state.error = Some(error);
        state.due = now.plus_micros(micros(next));
        state.is_running = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a request may begin a refresh.
    fn may_begin(&self, now: Steady) -> bool {
        self.asked.is_none_or(|asked| now.since(asked) >= ASKED_EVERY)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads a set that was fetched. One without a key that can be used is no set: an issuer that
/// publishes nothing is out of order, and its last good keys count.
fn read(
    text: &[u8],
    algorithms: &[jsonwebtoken::Algorithm],
) -> Result<(FetchedKeys, Vec<KeyTrouble>), Why> {
    let (keys, troubles) =
        KeySet::from_jwks(text, algorithms).map_err(|trouble| match trouble {
            KeyTrouble::Refused(what, _) | KeyTrouble::Skipped(what) => Why::Keys(what),
        })?;
    if keys.len() == 0 {
        let first = troubles.iter().map(|trouble| match trouble {
            KeyTrouble::Refused(what, _) | KeyTrouble::Skipped(what) => what.as_str(),
        });
        let what = first.collect::<Vec<_>>().join("; ");
        return Err(Why::Keys(if what.is_empty() { "the set has no keys".into() } else { what }));
    }
    let (fingerprint, version) = (keys.fingerprint(), KeyVersion::next());
    Ok((FetchedKeys { keys, version, fingerprint, text: text.to_vec() }, troubles))
}

pub(crate) fn describe_metrics() {
    describe_counter!(
        "tollgate_key_refreshes_total",
        "Refreshes of key sets over the network, by issuer and outcome: changed, unchanged, failed."
    );
}
