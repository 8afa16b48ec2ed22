//! Where the charges of a request were taken.

use std::ops::{Index, IndexMut};

use smallvec::SmallVec;

use super::key::Key;
use crate::limit::bucket_id::BucketId;

/// Where the buckets of charges are, in the order of the charges.
///
/// One word: charges of memory carry it too, and it is nothing there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far(Option<Box<FarCharges>>);

#[derive(Clone, Debug, Default)]
struct FarCharges(SmallVec<[FarCharge; 2]>);

#[derive(Clone, Debug)]
pub(crate) struct FarCharge {
    pub(super) key: Key,
    pub(super) side: Side,
}

/// Where a charge was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Store,
    /// From this process's share, in this bucket.
    Local(BucketId),
    /// Nowhere: the limit is open while the store is away.
    Nowhere,
}

impl Far {
    /// Where those charges are whose index is kept.
    pub(crate) fn only(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let Some(far) = &self.0 else { return Self(None) };
        let kept = far.0.iter().enumerate().filter(|(index, _)| is_kept(*index));
        Self(Some(Box::new(FarCharges(kept.map(|(_, charge)| charge.clone()).collect()))))
    }

    pub(super) fn push(&mut self, charge: FarCharge) {
        self.0.get_or_insert_default().0.push(charge);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &FarCharge> {
        self.0.iter().flat_map(|far| far.0.iter())
    }
}

impl Index<usize> for Far {
    type Output = FarCharge;

    /// INVARIANT: a charge of a shared limit is pushed with its place.
    fn index(&self, index: usize) -> &FarCharge {
        &self.0.as_deref().map_or(&[][..], |far| &far.0)[index]
    }
}

impl IndexMut<usize> for Far {
    fn index_mut(&mut self, index: usize) -> &mut FarCharge {
        &mut self.0.as_deref_mut().map_or(&mut [][..], |far| &mut far.0)[index]
    }
}
