//! Keys that were found lately: more of them than are remembered, in a small table of marks.
//!
//! A mark says that a key is worth looking up before those that nothing is known of. It proves nothing,
//! and of a hundred million keys that were never found, one has it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;

use super::digest::KeyDigest;

/// Marks of keys, those of lately in place of those of long ago.
#[derive(Debug)]
pub(super) struct Seen {
    /// Hashes in rows of [`ROW`], the last one that was used first; 0 for none. Empty until it is
    /// needed.
    marks: Mutex<Vec<u32>>,
    rows: usize,
    hasher: RandomState,
}

const ROW: usize = 16;

/// 16 MiB.
const MOST_MARKS: usize = 1 << 22;

impl Seen {
    /// Room for about so many keys, 4 bytes each.
    pub(super) fn with_room_for(keys: usize) -> Self {
        let rows = keys.clamp(ROW, MOST_MARKS).next_power_of_two() / ROW;
        Self { marks: Mutex::default(), rows, hasher: RandomState::default() }
    }

    pub(super) fn has(&self, digest: &KeyDigest) -> bool {
        let (row, mark) = self.place(digest);
        self.marks().get(row..row + ROW).is_some_and(|row| row.contains(&mark))
    }

    /// The key was found.
    pub(super) fn add(&self, digest: &KeyDigest) {
        let (row, mark) = self.place(digest);
        let mut marks = self.marks();
        if marks.is_empty() {
            *marks = vec![0; self.rows * ROW];
        }
        if let Some(row) = marks.get_mut(row..row + ROW) {
            let at = row.iter().position(|known| *known == mark).unwrap_or(ROW - 1);
            row[..=at].rotate_right(1);
            row[0] = mark;
        }
    }

    /// The key is nobody's.
    pub(super) fn remove(&self, digest: &KeyDigest) {
        let (row, mark) = self.place(digest);
        let mut marks = self.marks();
        let row = marks.get_mut(row..row + ROW).unwrap_or_default();
        row.iter_mut().filter(|known| **known == mark).for_each(|known| *known = 0);
    }

    /// Where its row begins, and its mark there.
    fn place(&self, digest: &KeyDigest) -> (usize, u32) {
        let hash = self.hasher.hash_one(digest);
        let row = (hash as usize) & (self.rows - 1);
        (row * ROW, (hash >> 32) as u32 | 1)
    }

    fn marks(&self) -> MutexGuard<'_, Vec<u32>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: u32) -> KeyDigest {
        KeyDigest::of(&key.to_be_bytes())
    }

    #[test]
    fn what_was_found_lately_is_known_and_nothing_else() {
        let seen = Seen::with_room_for(10_000);
        assert!(!seen.has(&digest(1)) && seen.marks().is_empty(), "it takes no room yet");
        seen.remove(&digest(1));
        (0..2000).for_each(|key| seen.add(&digest(key)));
        assert_eq!((0..2000).filter(|key| !seen.has(&digest(*key))).count(), 0);
        assert!((2000..100_000).filter(|key| seen.has(&digest(*key))).count() <= 1);
        seen.remove(&digest(1));
        assert!(!seen.has(&digest(1)) && seen.has(&digest(2)));
    }

    #[test]
    fn those_of_long_ago_make_room() {
        let seen = Seen::with_room_for(1000);
        for key in 0..100_000 {
            seen.add(&digest(0));
            seen.add(&digest(key));
        }
        assert!(seen.has(&digest(0)), "it is found again and again");
        assert_eq!(seen.marks().len(), 1024);
        assert!((1..90_000).filter(|key| seen.has(&digest(*key))).count() <= 1);
        assert!((99_900..100_000).filter(|key| seen.has(&digest(*key))).count() > 90);
    }
}
