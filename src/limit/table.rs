//! The buckets of one limit: shards of slots, each shard behind a lock.
//!
//! A slot is two words, and a key is looked for from its home onwards until it or an empty slot
//! is met. So a bucket that is there is found in one line of memory, or two, however many there
//! are; that is what a decision costs when there are millions of them.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::bucket::Reading;
use super::quota::Quota;

/// The number of shards: small enough that sweeping one is short, and many enough that threads
/// seldom meet.
pub(super) const SHARDS: usize = 256;

/// The key of a slot that holds nothing.
const EMPTY: u64 = 0;

/// New clients beyond the bound share the bucket with this key.
pub(super) const OVERFLOW: u64 = 1;

/// The least key of a bucket of its own.
pub(super) const FIRST_KEY: u64 = 2;

/// The first slots of a shard.
const FEWEST: usize = 4;

/// The buckets of one limit.
pub(super) struct Table {
    pub(super) reading: Reading,
    shards: Box<[Padded]>,
}

/// Alone on its line of memory, so that threads at neighbours do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Padded(Mutex<Shard>);

/// Some of the buckets of a limit. Keys are hashes already, keyed and of full width.
#[derive(Default)]
pub(super) struct Shard {
    slots: Box<[Slot]>,
    taken: usize,
    /// When it may be searched for full buckets again, in microseconds.
    pub(super) sweep_at: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    word: u64,
}

impl Table {
    pub(super) fn new(quotas: Vec<Quota>) -> Self {
        let shards = std::iter::repeat_with(Padded::default).take(SHARDS).collect();
        Self { reading: Reading::new(quotas), shards }
    }

    /// The index of the shard that holds this key: by its high bits, since slots go by the low
    /// ones.
    pub(super) fn shard_of(&self, key: u64) -> usize {
        // In range: as many bits as the number of shards has.
        (key >> (u64::BITS - SHARDS.ilog2())) as usize
    }

    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // Nothing panics while a shard is changed, so one that a panic left is as good as any.
        self.shards[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where somebody holds the shard.
    pub(super) fn try_lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        match self.shards[shard].0.try_lock() {
            Ok(shard) => Some(shard),
            Err(TryLockError::Poisoned(shard)) => Some(shard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Drops the full buckets of a shard, and says how many. The overflow bucket has a place of
    /// its own, which is never counted or given back.
    pub(super) fn drop_full(&self, shard: &mut Shard, now: u64) -> usize {
        shard.retain(|key, word| key == OVERFLOW || !self.reading.is_full(word, now))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }
}

impl Shard {
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        self.find(key).map(|at| self.slots[at].word)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut u64> {
        self.find(key).map(|at| &mut self.slots[at].word)
    }

    pub(super) fn put(&mut self, key: u64, word: u64) {
        if let Some(held) = self.get_mut(key) {
            *held = word;
            return;
        }
        if self.is_crowded() {
            let count = (self.slots.len() + self.slots.len() / 2).max(FEWEST);
            self.move_to(count, |_| true);
        }
        self.add(Slot { key, word });
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Whether one more bucket would make it grow: four fifths are taken, and beyond that
    /// look-ups would become long.
    pub(super) fn is_crowded(&self) -> bool {
        (self.taken + 1) * 5 > self.slots.len() * 4
    }

    /// Drops what is not kept, and says how many that were. Room that is no longer needed is
    /// given back.
    fn retain(&mut self, is_kept: impl Fn(u64, u64) -> bool) -> usize {
        let is_kept = |slot: &Slot| is_kept(slot.key, slot.word);
        let held = |slot: &&Slot| slot.key != EMPTY;
        let kept = self.slots.iter().filter(held).filter(|slot| is_kept(slot)).count();
        let dropped = self.taken - kept;
        if dropped > 0 {
            // Half full, or as large as it was where that is less.
            self.move_to((kept * 2).next_multiple_of(FEWEST).min(self.slots.len()), is_kept);
        }
        dropped
    }

    /// Where a key is looked for first: the low half of the key, as a part of the whole.
    fn home(&self, key: u64) -> usize {
        // In range: a part of less than one of the length.
        (((key & 0xffff_ffff) * self.slots.len() as u64) >> 32) as usize
    }

    /// Ends: at least a fifth of the slots is empty.
    fn find(&self, key: u64) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            match self.slots.get(at)?.key {
                held if held == key => return Some(at),
                EMPTY => return None,
                _ => at = self.after(at),
            }
        }
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Moves what is kept to so many other slots.
    fn move_to(&mut self, count: usize, is_kept: impl Fn(&Slot) -> bool) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); count].into());
        self.taken = 0;
        for slot in old.iter().filter(|slot| slot.key != EMPTY && is_kept(slot)) {
            self.add(*slot);
        }
    }

    /// INVARIANT: there is an empty slot, and none with this key.
    fn add(&mut self, slot: Slot) {
        let mut at = self.home(slot.key);
        while self.slots[at].key != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = slot;
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    proptest::proptest! {
        /// Whatever is put and dropped: it holds what a map would hold, and is never too full to
        /// be searched.
        #[test]
        fn a_shard_is_a_map(steps in proptest::collection::vec((0_u8..20, 1_u64..60), 1..400)) {
            let (mut shard, mut map) = (Shard::default(), HashMap::new());
            for (n, (what, key)) in steps.into_iter().enumerate() {
                // Homes that meet at the end, and go on at the beginning.
                let key = if key % 2 == 0 { key } else { key << 32 | 0xffff_fff0 };
                if what == 0 {
                    let is_kept = |key: u64, word: u64| !(key ^ word).is_multiple_of(3);
                    let before = map.len();
                    map.retain(|key, word| is_kept(*key, *word));
                    proptest::prop_assert_eq!(shard.retain(is_kept), before - map.len());
                } else {
                    map.insert(key, n as u64);
                    shard.put(key, n as u64);
                }
                proptest::prop_assert_eq!(shard.len(), map.len());
                proptest::prop_assert!(shard.len() * 5 <= shard.slots.len() * 4);
                proptest::prop_assert!(map.iter().all(|(key, word)| shard.get(*key) == Some(*word)));
                proptest::prop_assert_eq!(shard.get(61), None);
            }
        }
    }

    #[test]
    fn slots_are_few_and_given_back() {
        let mut shard = Shard::default();
        for n in 0..100_000_u64 {
            shard.put(n << 16 | 2, n);
        }
        assert!((125_000..190_000).contains(&shard.slots.len()), "{}", shard.slots.len());
        assert_eq!(shard.retain(|_, word| word < 10), 99_990);
        assert!(shard.slots.len() < 30);
        assert_eq!(shard.retain(|_, _| false), 10);
        assert_eq!((shard.slots.len(), shard.get(2)), (0, None));
        shard.put(7, 7);
        assert_eq!(shard.get(7), Some(7));
    }

    #[test]
    fn keys_of_all_shards_have_a_place() {
        let table = Table::new(Vec::new());
        assert_eq!((table.shard_of(0), table.shard_of(u64::MAX)), (0, SHARDS - 1));
    }

    #[test]
    fn a_shard_that_a_panic_left_is_as_good_as_any() {
        let table = Table::new(Vec::new());
        table.lock(3).put(7, 7);
        let left = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _held = table.lock(3);
                    panic!("on purpose");
                })
                .join()
        });
        assert!(left.is_err());
        assert_eq!(table.try_lock(3).and_then(|shard| shard.get(7)), Some(7));
        assert_eq!(table.lock(3).get(7), Some(7));
    }
}
