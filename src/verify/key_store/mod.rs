//! Keys that are looked up while the gate runs: in memory, or in a store of their own.
//!
//! 1. [`record`]: a key as stores know it, by the [`digest`] of its text.
//! 2. [`source`]: what a database does for the gate; [`changes`]: what it tells of changes.
//! 3. [`memory`]: the store of a gate that has no other.
//! 4. [`look_ups`]: any other source, with memory in front of it. They have [`shared`]: what it said ([`cache`] of keys as
//!    they are [`held`], and what was [`seen`] lately), what it is asked now ([`flights`]), whose turn
//!    it is ([`turns`]), whether it answers ([`health`]), and which [`uses`] it has not been told of.
//! 5. [`runtime`]: either of the two, as the gate has it.
//!
//! A key of the policy is never looked up here.

mod cache;
mod changes;
mod digest;
mod error;
mod flights;
mod health;
mod held;
mod landing;
#[cfg(test)]
pub(crate) mod laws;
mod look_ups;
#[cfg(test)]
mod look_ups_tests;
mod memory;
mod place;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "no_postgres.rs"]
pub(crate) mod postgres;
mod record;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
mod runtime;
mod seen;
mod settings;
mod shared;
mod source;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(not(feature = "sqlite"))]
#[path = "no_sqlite.rs"]
pub(crate) mod sqlite;
mod turns;
mod uses;

use std::fmt;
use std::sync::Arc;

pub use changes::KeyChanges;
pub use digest::{InvalidKeyDigest, KeyDigest};
pub use error::{KeySourceError, KeyStoreError};
pub(crate) use flights::Why;
pub(crate) use held::implying;
pub(crate) use look_ups::{KeyStatus, Known, describe_metrics};
pub(crate) use memory::MemoryKeys;
pub(crate) use place::StorePlace;
pub use record::{ApiKeyRecord, ApiKeyRecordBuilder, InvalidKeyRecord};
pub(crate) use record::{is_name, is_word};
pub(crate) use runtime::{LastingKeys, RuntimeKeys};
pub(crate) use settings::KeyCacheSettings;
pub use source::{KeyFuture, KeySource, KeyStore};

/// Where keys are looked up that the policy does not hold.
#[derive(Clone)]
pub(crate) enum KeyBackend {
    /// The memory of this process.
    Memory(Arc<MemoryKeys>),
    /// It only looks up.
    Source(Arc<dyn KeySource>),
    Store(Arc<dyn KeyStore>),
}

impl KeyBackend {
    pub(crate) fn source(&self) -> Arc<dyn KeySource> {
        match self {
            Self::Memory(keys) => keys.clone(),
            Self::Source(source) => source.clone(),
            Self::Store(store) => store.clone(),
        }
    }

    /// Where its keys are changed; `None` where they only are looked up.
    pub(crate) fn store(&self) -> Option<Arc<dyn KeyStore>> {
        match self {
            Self::Memory(keys) => Some(keys.clone()),
            Self::Source(_) => None,
            Self::Store(store) => Some(store.clone()),
        }
    }
}

impl Default for KeyBackend {
    fn default() -> Self {
        Self::Memory(Arc::default())
    }
}

impl fmt::Debug for dyn KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyStore").field(&self.kind()).finish()
    }
}

impl fmt::Debug for KeyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyBackend").field(&self.source().kind()).finish()
    }
}
