//! `[api_keys.cache]`: what is remembered of keys that were looked up.

use std::time::Duration;

/// How keys of a source are remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeyCacheSettings {
    /// How old an answer of the source may be.
    pub(crate) max_age: Duration,
    /// How long keys that are known go on while the source does not answer.
    pub(crate) keep: Duration,
    /// How many keys are held at most.
    pub(crate) keys: usize,
    /// And how many bytes they take at most.
    pub(crate) bytes: u64,
    /// How many digests are remembered that are nobody's.
    pub(crate) unknown: usize,
    /// How many keys that nothing is known of are looked up in a second at most.
    pub(crate) look_ups: u32,
}

impl Default for KeyCacheSettings {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(3),
            keep: Duration::from_secs(300),
            keys: 100_000,
            bytes: 64 << 20,
            unknown: 100_000,
            look_ups: 1000,
        }
    }
}
