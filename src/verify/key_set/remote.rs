//! Key sets that are fetched over the network, and outlive the policy that names them.
//!
//! 1. Whoever loads a policy makes [`RemoteKeys`] with their settings; nothing is fetched yet.
//! 2. When the policy is put in force, [`LastingRemoteKeys::start`] begins to fetch, or hands on
//!    the set of the policy before, where the settings are the same.
//! 3. A task in the background refreshes the set ahead of its end, and whenever a request
//!    [asks](RemoteKeys::ask). Requests never fetch: they take the set as it is, or wait.
//! 4. With the last policy that uses a set, its task ends.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::runtime::Handle;

use super::fetch::{Get, client};
use super::fetched::{FetchedKeys, KeyVersion};
use super::places::Asked;
use super::refresher::Refresher;
use super::settings::{AtStart, RemoteSettings, RemoteStatus};
use crate::address::Address;
use crate::time::Clock;

/// The keys of an issuer that are fetched.
pub(crate) struct RemoteKeys {
    settings: Arc<RemoteSettings>,
    /// Empty until the policy is put in force.
    refresher: OnceLock<Arc<Refresher>>,
}

impl RemoteKeys {
    pub(crate) fn new(settings: RemoteSettings) -> Self {
        Self { settings: Arc::new(settings), refresher: OnceLock::new() }
    }

    pub(super) fn current(&self) -> Option<Arc<FetchedKeys>> {
        self.refresher.get()?.current()
    }

    pub(super) fn version(&self) -> Option<KeyVersion> {
        self.refresher.get()?.version()
    }

    /// Whether a refresh that would be worth waiting for may begin, or has begun.
    pub(crate) fn may_ask(&self) -> bool {
        self.refresher.get().is_some_and(|refresher| refresher.may_ask())
    }

    /// Begins a refresh for a request from `address`, or joins the one that has begun; `None` where
    /// none may be made now.
    pub(crate) fn ask(&self, address: Option<Address>) -> Option<Asked> {
        self.refresher.get()?.ask(address)
    }

    /// Why there are no keys, for the log.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.refresher.get()?.status().error
    }

    pub(crate) fn status(&self) -> RemoteStatus {
        match self.refresher.get() {
            Some(refresher) => refresher.status(),
            None => RemoteStatus {
                issuer: self.settings.issuer.clone(),
                address: self.settings.address(),
                age: None,
                keys: 0,
                error: None,
            },
        }
    }

    /// Waits as the setting for the start says.
    ///
    /// # Errors
    ///
    /// Why the first fetch failed, where that is to be the end.
    pub(crate) async fn started(&self) -> Result<(), String> {
        let Some(refresher) = self.refresher.get() else { return Ok(()) };
        match self.settings.at_start {
            AtStart::Continue => Ok(()),
            AtStart::Wait => {
                while refresher.current().is_none() {
                    refresher.next_end().await;
                }
                Ok(())
            }
            AtStart::Fail => {
                refresher.first_end().await;
                match refresher.current() {
                    Some(_) => Ok(()),
                    None => Err(refresher.status().error.unwrap_or_default()),
                }
            }
        }
    }
}

/// The settings alone, which do not change.
impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Hands the fetched sets on from a policy to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastingRemoteKeys(Arc<Mutex<Lasting>>);

#[derive(Debug, Default)]
struct Lasting {
    refreshers: Vec<Weak<Refresher>>,
    /// The runtime that the gate was opened in. A policy may be put in force by a thread that has
    /// none.
    runtime: Option<Handle>,
}

impl LastingRemoteKeys {
    /// Sees to it that these keys are fetched.
    pub(crate) fn start<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Arc<RemoteKeys>>,
        clock: &Arc<dyn Clock>,
    ) {
        self.start_with(keys, clock, client);
    }

    pub(super) fn start_with<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Arc<RemoteKeys>>,
        clock: &Arc<dyn Clock>,
        client: impl Fn(&RemoteSettings) -> Box<dyn Get>,
    ) {
        let mut lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(runtime) = Handle::try_current() {
            lasting.runtime = Some(runtime);
        }
        let held: Vec<Arc<Refresher>> =
            lasting.refreshers.iter().filter_map(Weak::upgrade).collect();
        lasting.refreshers.clear();
        for remote in keys {
            let settings = &remote.settings;
            let same = held.iter().find(|held| held.settings() == settings);
            let refresher = same.cloned().unwrap_or_else(|| {
                let source = held.iter().find(|held| held.settings().has_same_source(settings));
                let client = client(settings);
                Arc::new(Refresher::new(
                    settings.clone(),
                    clock.clone(),
                    client,
                    source.map(|it| &**it),
                ))
            });
            refresher.start(lasting.runtime.as_ref());
            lasting.refreshers.push(Arc::downgrade(&refresher));
            // INVARIANT: a policy is put in force once.
            let _first = remote.refresher.set(refresher);
        }
    }
}
