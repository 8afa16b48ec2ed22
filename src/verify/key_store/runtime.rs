//! The keys of a gate that its policy does not hold. They outlive each policy.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use super::KeyBackend;
use super::digest::KeyDigest;
use super::error::KeyStoreError;
use super::flights::Why;
use super::look_ups::{KeyStatus, Known, LookUps};
use super::memory::MemoryKeys;
use super::place::StorePlace;
use super::record::ApiKeyRecord;
use super::settings::KeyCacheSettings;
use super::source::KeyStore;
use crate::address::Address;
use crate::ask::{LookedUp, Wait};
use crate::time::{Clock, Steady};

/// Keys by their digest: in memory, or in a source with memory in front of it.
#[derive(Clone, Debug)]
pub(crate) enum RuntimeKeys {
    Memory(Arc<MemoryKeys>),
    LookUps { store: Option<Arc<dyn KeyStore>>, look_ups: Arc<LookUps> },
}

/// Hands the keys of one policy on to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastingKeys {
    /// Where the application has its keys; it takes the place of a store that a policy names.
    given: Option<KeyBackend>,
    /// The memory of this process, for policies without a store.
    memory: Arc<MemoryKeys>,
    /// What the policy in force looks keys up by.
    current: Arc<Mutex<Option<Current>>>,
}

#[derive(Debug)]
struct Current {
    settings: KeyCacheSettings,
    place: Option<StorePlace>,
    backend: KeyBackend,
    keys: RuntimeKeys,
}

impl LastingKeys {
    /// Keys in `backend`, in place of what policies name.
    pub(crate) fn of(backend: KeyBackend) -> Self {
        Self { given: Some(backend), ..Self::default() }
    }

    /// The keys, where a policy has them and remembered as it says. What is in memory is kept where
    /// the policy before said the same, and connections where it named the same store.
    pub(crate) fn adopt(
        &self,
        settings: &KeyCacheSettings,
        place: Option<&StorePlace>,
        clock: &Arc<dyn Clock>,
    ) -> RuntimeKeys {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let same_place = current.as_ref().filter(|held| held.place.as_ref() == place);
        if let Some(held) = same_place.filter(|held| held.settings == *settings) {
            return held.keys.clone();
        }
        let backend = match (&self.given, place, same_place) {
            (Some(given), ..) => given.clone(),
            (None, None, _) => KeyBackend::Memory(self.memory.clone()),
            (None, Some(_), Some(held)) => held.backend.clone(),
            (None, Some(place), None) => KeyBackend::Store(place.open()),
        };
        let keys = match &backend {
            KeyBackend::Memory(keys) => RuntimeKeys::Memory(keys.clone()),
            KeyBackend::Source(_) | KeyBackend::Store(_) => {
                // A reload has no runtime of its own: it takes that of the policy before.
                let before = current.as_ref().and_then(|held| held.keys.runtime());
                let runtime = before.or_else(|| Handle::try_current().ok());
                let look_ups = LookUps::new(&backend, settings, clock.clone(), runtime);
                RuntimeKeys::LookUps { store: backend.store(), look_ups: Arc::new(look_ups) }
            }
        };
        let (settings, place) = (settings.clone(), place.cloned());
        *current = Some(Current { settings, place, backend, keys: keys.clone() });
        keys
    }

    /// Tells the metrics how many keys are in memory.
    pub(crate) fn gauge(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Current { keys: RuntimeKeys::LookUps { look_ups, .. }, .. }) = &*current {
            look_ups.gauge();
        }
    }
}

impl RuntimeKeys {
    /// What is known of the key with this digest, where `came` is what became of looking it up for
    /// this request.
    pub(crate) fn recall(
        &self,
        digest: &KeyDigest,
        now: impl FnOnce() -> Steady,
        came: Option<&LookedUp>,
    ) -> Known {
        match self {
            Self::Memory(keys) => keys.get(digest).map_or(Known::Absent, Known::Held),
            Self::LookUps { look_ups, .. } => look_ups.recall(digest, now(), came),
        }
    }

    /// Looks a key up for a request; see [`LookUps::ask`].
    pub(crate) fn ask(
        &self,
        digest: KeyDigest,
        why: Why,
        address: Option<Address>,
    ) -> Option<Wait> {
        match self {
            Self::Memory(_) => None,
            Self::LookUps { look_ups, .. } => look_ups.ask(digest, why, address),
        }
    }

    /// Whether keys are looked up in a source that may not answer.
    pub(crate) fn may_fail(&self) -> bool {
        matches!(self, Self::LookUps { .. })
    }

    /// Where keys are changed.
    ///
    /// # Errors
    ///
    /// When the source only looks keys up.
    pub(crate) fn store(&self) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
        match self {
            Self::Memory(keys) => Ok(keys.clone()),
            Self::LookUps { store, .. } => store.clone().ok_or(KeyStoreError::ReadOnly),
        }
    }

    /// This process has changed the key in its store: it is so from the next request on.
    pub(crate) fn put(&self, record: ApiKeyRecord) {
        if let Self::LookUps { look_ups, .. } = self {
            look_ups.put(record);
        }
    }

    /// The key may have changed in its store.
    pub(crate) fn forget(&self, digest: &KeyDigest) {
        if let Self::LookUps { look_ups, .. } = self {
            look_ups.forget(digest);
        }
    }

    /// A record of the store, with the last use that this process knows of.
    pub(crate) fn with_last_use(&self, record: ApiKeyRecord) -> ApiKeyRecord {
        match self {
            Self::Memory(_) => record,
            Self::LookUps { look_ups, .. } => look_ups.with_last_use(record),
        }
    }

    /// Tells the store now when keys were last used.
    ///
    /// # Errors
    ///
    /// When it cannot be told.
    pub(crate) async fn flush(&self) -> Result<(), KeyStoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::LookUps { look_ups, .. } => Ok(look_ups.flush().await?),
        }
    }

    /// How the source is.
    pub(crate) fn status(&self) -> KeyStatus {
        match self {
            Self::Memory(keys) => {
                KeyStatus { kind: "memory", age: None, error: None, keys: keys.len() }
            }
            Self::LookUps { look_ups, .. } => look_ups.status(),
        }
    }

    fn runtime(&self) -> Option<Handle> {
        match self {
            Self::Memory(_) => None,
            Self::LookUps { look_ups, .. } => look_ups.runtime(),
        }
    }
}
