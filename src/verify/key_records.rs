//! The keys of a policy, by digest and by id.
//!
//! Two open tables of a power of two slots, of which at least half are empty, so that nearly every look-up
//! ends at its first slot. With few fields a key takes less than 200 bytes here, its texts included.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::principal::KeyRecord;

/// Keys of which no two have one digest, and no two one id.
#[derive(Default)]
pub(crate) struct KeyRecords {
    /// By the first bytes of the digest, which are as good as random; a taken slot sends on to the next
    /// one. A look-up touches the slot and the record, and nothing else.
    slots: Box<[Option<Arc<KeyRecord>>]>,
    /// By a hash of the id: the number of a slot in `slots` and one; 0 where there is none.
    ids: Box<[u32]>,
    count: usize,
    hasher: ahash::RandomState,
}

impl KeyRecords {
    /// Makes room for so many more keys.
    pub(crate) fn reserve(&mut self, more: usize) {
        let wanted = (2 * (self.count + more)).next_power_of_two();
        if wanted <= self.slots.len() {
            return;
        }
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![None; wanted].into();
        self.ids = vec![0; wanted].into();
        self.count = 0;
        for record in old.into_iter().flatten() {
            self.place(record);
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// The key, where there is one with its digest or its id already.
    pub(crate) fn insert(&mut self, record: Arc<KeyRecord>) -> Result<(), Arc<KeyRecord>> {
        if self.has_id(&record.id) || self.find(&record.digest).is_some() {
            return Err(record);
        }
        self.reserve(1);
        self.place(record);
        Ok(())
    }

    /// INVARIANT: at least half of the slots are empty, and no key has the digest or the id.
    fn place(&mut self, record: Arc<KeyRecord>) {
        let mask = self.slots.len() - 1;
        let (mut at, mut at_id) = (first_slot(&record.digest, mask), self.first_of_id(&record.id));
        while self.slots[at].is_some() {
            at = (at + 1) & mask;
        }
        while self.ids[at_id] != 0 {
            at_id = (at_id + 1) & mask;
        }
        // So many keys fit into no memory.
        self.ids[at_id] = u32::try_from(at + 1).expect("there are fewer than 2^31 keys");
        self.slots[at] = Some(record);
        self.count += 1;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Every key, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.slots.iter().flatten()
    }

    /// The key with this digest.
    pub(crate) fn find(&self, digest: &[u8; 32]) -> Option<&Arc<KeyRecord>> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = first_slot(digest, mask);
        // Terminates: at least half of the slots are empty.
        while let Some(record) = &self.slots[at] {
            if verify_slices_are_equal(&record.digest, digest).is_ok() {
                return Some(record);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// The key with this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<KeyRecord>> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = self.first_of_id(id);
        // Terminates, as above.
        while let Some(slot) = (self.ids[at] as usize).checked_sub(1) {
            let record = self.slots[slot].as_ref().filter(|record| *record.id == *id);
            if record.is_some() {
                return record;
            }
            at = (at + 1) & mask;
        }
        None
    }

    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.by_id(id).is_some()
    }

    /// INVARIANT: there are slots.
    fn first_of_id(&self, id: &str) -> usize {
        // Only the low bits count.
        self.hasher.hash_one(id) as usize & (self.ids.len() - 1)
    }
}

impl fmt::Debug for KeyRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecords").field("count", &self.count).finish_non_exhaustive()
    }
}

fn first_slot(digest: &[u8; 32], mask: usize) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, first: u8, last: u8) -> Arc<KeyRecord> {
        let mut digest = [0; 32];
        (digest[0], digest[31]) = (first, last);
        Arc::new(KeyRecord::new(id, "client".into(), digest, Arc::default()))
    }

    #[test]
    fn a_key_is_found_by_digest_and_by_id_while_the_table_grows() {
        let mut records = KeyRecords::default();
        assert!(records.find(&[0; 32]).is_none() && !records.has_id(""));
        for number in 0..250_u8 {
            // Most digests begin alike, so that nearly all slots are taken by another.
            assert!(records.insert(record(&number.to_string(), number % 3, number)).is_ok());
            assert_eq!(records.count(), usize::from(number) + 1);
            for held in 0..=number {
                let id = held.to_string();
                let by_digest = records.find(&record("", held % 3, held).digest).unwrap();
                assert!(Arc::ptr_eq(by_digest, records.by_id(&id).unwrap()));
                assert_eq!(*by_digest.id, *id);
            }
            assert!(!records.has_id(&(number + 1).to_string()));
        }
        assert_eq!(records.iter().count(), 250);
    }

    #[test]
    fn no_two_keys_have_one_digest_or_one_id() {
        let mut records = KeyRecords::default();
        assert!(records.insert(record("a", 1, 1)).is_ok());
        assert!(records.insert(record("a", 2, 2)).is_err());
        assert!(records.insert(record("b", 1, 1)).is_err());
        assert!(records.insert(record("b", 2, 2)).is_ok());
        assert_eq!(records.count(), 2);
    }

    #[test]
    fn a_key_takes_a_slot_of_eight_bytes_and_one_of_four() {
        let mut records = KeyRecords::default();
        records.reserve(1_000);
        assert_eq!(records.slots.len(), 2_048);
        assert_eq!(size_of_val(&*records.slots) + size_of_val(&*records.ids), 12 * 2_048);
    }
}
