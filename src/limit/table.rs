//! The buckets of one limit: shards of hashes and words.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicU64;

use dashmap::{DashMap, SharedValue};

use super::bucket::Reading;
use super::memory::OVERFLOW;
use super::quota::Quota;

/// The number of shards: small enough that sweeping one is short, and many enough that threads
/// seldom meet.
pub(super) const SHARDS: usize = 256;

/// The buckets of one limit.
pub(super) struct Table {
    pub(super) reading: Reading,
    pub(super) buckets: DashMap<u64, u64, Hashed>,
    /// When each shard may be swept again, in microseconds.
    pub(super) sweep_at: Box<[AtomicU64]>,
}

/// Keys and words, behind a lock.
pub(super) type Shard = hashbrown::raw::RawTable<(u64, SharedValue<u64>)>;

impl Table {
    pub(super) fn new(quotas: Vec<Quota>) -> Self {
        Self {
            reading: Reading::new(quotas),
            buckets: DashMap::with_hasher_and_shard_amount(Hashed, SHARDS),
            sweep_at: std::iter::repeat_with(AtomicU64::default).take(SHARDS).collect(),
        }
    }

    pub(super) fn shard_of(&self, key: u64) -> usize {
        self.buckets.determine_shard(key as usize)
    }

    /// Drops the full buckets of a shard, and says how many. The overflow bucket has a place of
    /// its own, which is never counted or given back.
    pub(super) fn drop_full(&self, shard: &mut Shard, now: u64) -> usize {
        let before = shard.len();
        let is_kept = |key: u64, word: u64| key == OVERFLOW.0 || !self.reading.is_full(word, now);
        let kept: Vec<_> = shard.drain().filter(|(key, word)| is_kept(*key, *word.get())).collect();
        let freed = before - kept.len();
        for entry in kept {
            shard.insert(entry.0, entry, |(key, _)| *key);
        }
        freed
    }
}

/// Keys are hashes already, keyed and of full width: hashing them again would add nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = Unhashed;

    fn build_hasher(&self) -> Unhashed {
        Unhashed(0)
    }
}

pub(super) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
