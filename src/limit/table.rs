//! The buckets of one limit: shards of slots, each shard behind a lock.
//!
//! A slot is two words, and a key is looked for from its home onwards until it or an empty slot
//! is met. So a look-up reads one line of memory, or two, however many buckets there are; that
//! is what a decision costs when there are millions of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bucket::Reading;
use super::memory::OVERFLOW;
use super::quota::Quota;

/// The number of shards: small enough that sweeping one is short, and many enough that threads
/// seldom meet.
pub(super) const SHARDS: usize = 256;

/// The buckets of one limit.
pub(super) struct Table {
    pub(super) reading: Reading,
    shards: Box<[Padded]>,
}

/// Alone on its line of memory, so that threads at neighbours do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Padded(Mutex<Shard>);

/// Some of the buckets of a limit.
#[derive(Default)]
pub(super) struct Shard {
    slots: Slots,
    /// When it may be searched for full buckets again, in microseconds.
    pub(super) sweep_at: u64,
}

impl Table {
    pub(super) fn new(quotas: Vec<Quota>) -> Self {
        let shards = std::iter::repeat_with(Padded::default).take(SHARDS).collect();
        Self { reading: Reading::new(quotas), shards }
    }

    /// The index of the shard that holds this key: by its high bits, since [`Slots`] go by the low
    /// ones.
    pub(super) fn shard_of(&self, key: u64) -> usize {
        // In range: eight bits.
        (key >> 56) as usize
    }

    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // A shard is whole at each moment, so one that a panic left is as good as any.
        self.shards[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where somebody else holds the shard.
    pub(super) fn try_lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards[shard].0.try_lock().ok()
    }

    /// Drops the full buckets of a shard, and says how many. The overflow bucket has a place of
    /// its own, which is never counted or given back.
    pub(super) fn drop_full(&self, shard: &mut Shard, now: u64) -> usize {
        shard.slots.retain(|key, word| key == OVERFLOW.0 || !self.reading.is_full(word, now))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }
}

impl Shard {
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        self.slots.find(key).map(|at| self.slots.slots[at].word)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut u64> {
        self.slots.find(key).map(|at| &mut self.slots.slots[at].word)
    }

    pub(super) fn put(&mut self, key: u64, word: u64) {
        match self.get_mut(key) {
            Some(held) => *held = word,
            None => self.slots.insert(key, word),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.taken
    }

    /// Whether one more bucket would make it grow.
    pub(super) fn is_crowded(&self) -> bool {
        self.slots.is_crowded()
    }
}

/// Keys and words. Keys are hashes already, keyed and of full width; none is [`EMPTY`].
#[derive(Default)]
struct Slots {
    slots: Box<[Slot]>,
    taken: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    word: u64,
}

/// The key of a slot that holds nothing.
pub(super) const EMPTY: u64 = 0;

/// The first slots of a shard.
const FEWEST: usize = 4;

impl Slots {
    fn with_slots(count: usize) -> Self {
        Self { slots: vec![Slot::default(); count].into(), taken: 0 }
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

    /// Whether four fifths are taken: beyond, look-ups would become long.
    fn is_crowded(&self) -> bool {
        (self.taken + 1) * 5 > self.slots.len() * 4
    }

    /// Adds a key that is not there.
    fn insert(&mut self, key: u64, word: u64) {
        if self.is_crowded() {
            let count = (self.slots.len() + self.slots.len() / 2).max(FEWEST);
            self.move_to(Self::with_slots(count), |_| true);
        }
        self.set(Slot { key, word });
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
            let count = (kept * 2).next_multiple_of(FEWEST).min(self.slots.len());
            self.move_to(Self::with_slots(count), is_kept);
        }
        dropped
    }

    fn move_to(&mut self, room: Self, is_kept: impl Fn(&Slot) -> bool) {
        let old = std::mem::replace(self, room);
        for slot in old.slots.iter().filter(|slot| slot.key != EMPTY && is_kept(slot)) {
            self.set(*slot);
        }
    }

    /// INVARIANT: there is an empty slot, and none with this key.
    fn set(&mut self, slot: Slot) {
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
                    proptest::prop_assert_eq!(shard.slots.retain(is_kept), before - map.len());
                } else {
                    map.insert(key, n as u64);
                    shard.put(key, n as u64);
                }
                proptest::prop_assert_eq!(shard.len(), map.len());
                proptest::prop_assert!(shard.len() * 5 <= shard.slots.slots.len() * 4);
                proptest::prop_assert!(map.iter().all(|(key, word)| shard.get(*key) == Some(*word)));
                proptest::prop_assert_eq!(shard.get(61), None);
            }
        }
    }

    #[test]
    fn slots_are_few_and_given_back() {
        let mut slots = Slots::default();
        for n in 0..100_000_u64 {
            slots.insert(n << 16 | 1, n);
        }
        assert!((125_000..190_000).contains(&slots.slots.len()), "{}", slots.slots.len());
        assert_eq!(slots.retain(|_, word| word < 10), 99_990);
        assert!(slots.slots.len() < 30);
        assert_eq!(slots.retain(|_, _| false), 10);
        assert_eq!((slots.slots.len(), slots.find(1)), (0, None));
        slots.insert(7, 7);
        assert_eq!(slots.find(7).map(|at| slots.slots[at].word), Some(7));
    }
}
