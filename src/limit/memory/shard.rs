//! Some of the buckets of a limit, in slots.
//!
//! A slot is a key and what is kept of its bucket: 24 bytes. A key is looked for from its home onwards
//! until it or an empty slot is met. So a bucket that is there is found in one line of memory,
//! or two, however many there are; that is what a decision costs when there are millions of
//! them. `hashbrown::HashTable` in the same shards, which looks at its marks first and then
//! at the entry, takes 1.6 to 2.6 times as long from a million buckets on, and a tenth to a third more memory.

use super::super::bucket::Kept;
use crate::time::Steady;

/// The key of a slot that holds nothing.
const EMPTY: u64 = 0;

/// New clients beyond the bound share the bucket with this key.
pub(super) const OVERFLOW: u64 = 1;

/// The least key of a bucket of its own.
pub(super) const FIRST_KEY: u64 = 2;

/// The first slots of a shard.
const FEWEST: usize = 4;

/// Some of the buckets of a limit. Keys are hashes already, keyed and of full width.
#[derive(Default)]
pub(super) struct Shard {
    slots: Box<[Slot]>,
    taken: usize,
    /// When it may be searched for full buckets again.
    pub(super) sweep_at: Steady,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    kept: Kept,
}

impl Shard {
    pub(super) fn get(&self, key: u64) -> Option<Kept> {
        self.find(key).map(|at| self.slots[at].kept)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Kept> {
        self.find(key).map(|at| &mut self.slots[at].kept)
    }

    pub(super) fn put(&mut self, key: u64, kept: Kept) {
        if let Some(held) = self.get_mut(key) {
            *held = kept;
            return;
        }
        if self.is_crowded() {
            let count = (self.slots.len() + self.slots.len() / 2).max(FEWEST);
            self.move_to(count, |_| true);
        }
        self.add(Slot { key, kept });
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Whether one more bucket would make it grow: four fifths are taken, and beyond that
    /// look-ups would become long.
    pub(super) fn is_crowded(&self) -> bool {
        (self.taken + 1) * 5 > self.slots.len() * 4
    }

    /// Removes the buckets for which `is_kept` is false; returns how many. Room that is no longer
    /// needed is given back.
    pub(super) fn retain(&mut self, is_kept: impl Fn(u64, &Kept) -> bool) -> usize {
        let is_kept = |slot: &Slot| is_kept(slot.key, &slot.kept);
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

    /// Terminates: at least a fifth of the slots is empty.
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

    use super::super::super::bucket::QuotaId;
    use super::*;

    /// What is kept, numbered.
    fn kept(n: u64) -> Kept {
        let mut kept = Kept::default();
        kept.quota = QuotaId(n as u32);
        kept
    }

    #[test]
    fn a_slot_is_three_words() {
        assert_eq!(size_of::<Slot>(), 24);
    }

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
                    let is_kept =
                        |key: u64, kept: &Kept| !(key ^ u64::from(kept.quota.0)).is_multiple_of(3);
                    let before = map.len();
                    map.retain(|key, kept| is_kept(*key, kept));
                    proptest::prop_assert_eq!(shard.retain(is_kept), before - map.len());
                } else {
                    map.insert(key, kept(n as u64));
                    shard.put(key, kept(n as u64));
                }
                proptest::prop_assert_eq!(shard.len(), map.len());
                proptest::prop_assert!(shard.len() * 5 <= shard.slots.len() * 4);
                proptest::prop_assert!(map.iter().all(|(key, kept)| shard.get(*key) == Some(*kept)));
                proptest::prop_assert_eq!(shard.get(61), None);
            }
        }
    }

    #[test]
    fn slots_are_few_and_given_back() {
        let mut shard = Shard::default();
        for n in 0..100_000_u64 {
            shard.put(n << 16 | 2, kept(n));
        }
        assert!((125_000..190_000).contains(&shard.slots.len()), "{}", shard.slots.len());
        assert_eq!(shard.retain(|_, kept| kept.quota.0 < 10), 99_990);
        assert!(shard.slots.len() < 30);
        assert_eq!(shard.retain(|_, _| false), 10);
        assert_eq!((shard.slots.len(), shard.get(2)), (0, None));
        shard.put(7, kept(7));
        assert_eq!(shard.get(7), Some(kept(7)));
    }
}
