//! When keys were last used, as far as their store has not been told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Lifecycle;

use super::digest::KeyDigest;
use super::held::HeldKey;
use crate::time::Wall;

/// The last uses of keys that are no longer held, and of those that the store could not be told of.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<KeyDigest, Wall>>>);

/// Of more keys than that the last use is lost.
const MOST: usize = 100_000;

impl Uses {
    /// Of a key that is about to be forgotten.
    pub(super) fn keep(&self, held: &HeldKey) {
        if let Some(at) = held.take_unnoted() {
            self.put([(held.record().digest(), at)]);
        }
    }

    pub(super) fn put(&self, uses: impl IntoIterator<Item = (KeyDigest, Wall)>) {
        let mut kept = self.kept();
        for (digest, at) in uses {
            if kept.len() < MOST || kept.contains_key(&digest) {
                let last = kept.entry(digest).or_insert(at);
                *last = (*last).max(at);
            }
        }
    }

    pub(super) fn take(&self) -> HashMap<KeyDigest, Wall> {
        std::mem::take(&mut self.kept())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<KeyDigest, Wall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that others push out leave their last use behind.
impl Lifecycle<KeyDigest, Arc<HeldKey>> for Uses {
    type RequestState = ();

    fn on_evict(&self, _: &mut (), _: KeyDigest, held: Arc<HeldKey>) {
        self.keep(&held);
    }
}
