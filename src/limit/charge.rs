//! What a request takes: a charge for each limit of its rule, and how their buckets stand then.

use std::num::NonZeroU32;

use smallvec::SmallVec;

use super::bucket::{Standing, Wait};

/// One bucket that a request takes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(crate) key: ChargeKey,
    /// Index of the limit.
    pub(crate) limit: u32,
    /// Index of the quota in the limit.
    pub(crate) quota: u32,
}

impl Charge {
    /// A charge of this limit and quota, for examples: its bucket is nobody's.
    pub(crate) fn sample(limit: u32, quota: u32) -> Self {
        Self { key: ChargeKey(0), limit, quota }
    }
}

/// A bucket's key, hashed by [`MemoryStore::key`](super::MemoryStore::key).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ChargeKey(pub(super) u64);

/// The charges of one request, all at the same cost.
#[derive(Clone, Debug)]
pub(crate) struct Charges {
    pub(crate) cost: NonZeroU32,
    /// Each with the units that its bucket missed when they were settled.
    pub(super) list: SmallVec<[(Charge, u64); 2]>,
}

impl Charges {
    pub(crate) fn new(cost: NonZeroU32) -> Self {
        Self { cost, list: SmallVec::new() }
    }

    pub(crate) fn push(&mut self, charge: Charge) {
        self.list.push((charge, 0));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Charge> {
        self.list.iter().map(|(charge, _)| charge)
    }
}

/// How the buckets of a request stand, in the order of its charges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance(pub(super) SmallVec<[(Charge, Standing); 2]>);

impl Balance {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Charge, Standing)> {
        self.0.iter()
    }

    pub(crate) fn items(&self) -> &[(Charge, Standing)] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How the bucket of the charge with this index stands.
    pub(crate) fn get(&self, index: usize) -> Option<&Standing> {
        self.0.get(index).map(|(_, standing)| standing)
    }

    /// The longest wait of all limits.
    pub(crate) fn wait(&self) -> Wait {
        self.iter().map(|(_, standing)| standing.wait).max().unwrap_or(Wait::None)
    }
}

impl FromIterator<(Charge, Standing)> for Balance {
    fn from_iter<I: IntoIterator<Item = (Charge, Standing)>>(standings: I) -> Self {
        Self(standings.into_iter().collect())
    }
}

impl IntoIterator for Balance {
    type Item = (Charge, Standing);
    type IntoIter = smallvec::IntoIter<[(Charge, Standing); 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
