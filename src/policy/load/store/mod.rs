//! Reads `[store]`: where buckets are kept.

mod fault;
mod secrets;
mod servers;
mod shared;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;

use fault::StoreFault;
use shared::{NODES, load_redis};

use super::checks::load_max_buckets;
use super::redis_url::IS_AVAILABLE;
use crate::limit::StoreSettings;
use crate::policy::fault::Fault;
use crate::policy::section::Section;
use crate::policy::sources::Sources;

/// `[store]`, as far as it could be read.
pub(super) struct LoadedStore {
    pub(super) settings: StoreSettings,
    /// The bound of each limit that states none.
    pub(super) max_buckets: usize,
    /// Whether `kind = "redis"` is written, or may be meant, even where the rest could not be read.
    pub(super) is_shared: bool,
    /// How many processes share it, at most.
    pub(super) nodes: NonZeroU32,
}

const MAX_BUCKETS: usize = 1_000_000;

/// The keys that belong to a shared store.
const SETTINGS: [&str; 10] = [
    "url",
    "url_env",
    "cluster",
    "username",
    "password_env",
    "ca_file",
    "prefix",
    "deadline",
    "nodes",
    "hash_key_env",
];

pub(super) fn load_store(section: Option<Section<'_>>, sources: &Sources) -> LoadedStore {
    let mut store = LoadedStore {
        settings: StoreSettings::Memory,
        max_buckets: MAX_BUCKETS,
        is_shared: false,
        nodes: NODES,
    };
    let Some(section) = section else { return store };
    let kind = section.one_of("kind", &[("memory", false), ("redis", true)]);
    store.is_shared = kind.unwrap_or(section.has("kind"));
    store.max_buckets = load_max_buckets(&section).unwrap_or(MAX_BUCKETS);
    section.knows(&SETTINGS);
    match kind {
        Some(true) if !IS_AVAILABLE => {
            section.push(Fault::of(&section.key_place("kind"), &StoreFault::RedisOff));
        }
        Some(true) => {
            let settings = load_redis(&section, sources);
            store.nodes = settings.as_ref().map_or(NODES, |settings| settings.nodes);
            if let Some(settings) = settings {
                store.settings = StoreSettings::Redis(Arc::new(settings));
            }
        }
        // A kind that cannot be read may be meant to be this one.
        None if section.has("kind") => {}
        _ => {
            for name in SETTINGS.into_iter().filter(|name| section.has(name)) {
                let alone = StoreFault::SettingOfRedis { name };
                section.push(Fault::of(&section.key_place(name), &alone));
            }
        }
    }
    section.finish();
    store
}
