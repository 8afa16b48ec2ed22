//! What a request takes: a charge for each limit of its rule, and how their buckets stand then.

use smallvec::SmallVec;

use super::bucket::{Standing, Wait};
use super::bucket_id::BucketId;
use super::redis::Far;

/// One bucket that a request takes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    /// Index of the limit in the policy.
    pub(crate) limit: u32,
    /// Index of the quota in the limit.
    pub(crate) quota: u32,
    /// Tokens. 0 takes nothing, and yet is refused while less than one token is there.
    pub(crate) cost: u32,
    /// The overflow bucket of its limit, once it was settled where there was no room.
    pub(super) bucket: BucketId,
    /// Units that the bucket was short of when the charge was settled.
    pub(super) missing: u64,
}

/// How charges are settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settle {
    /// Take the cost of every charge, or nothing where one of them is not there.
    Take,
    /// Take the cost of every charge, leaving a debt where it is not there: for work that is done.
    Owe,
    /// Take nothing and change nothing.
    Look,
    /// Put back what was taken. A bucket is never more than full, and what was not taken is not
    /// put back.
    GiveBack,
}

/// How it went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Settled {
    /// Done; under [`Settle::Look`] every cost is there.
    Granted,
    /// One of the costs is not there, and nothing was taken.
    Refused,
}

/// The charges of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charges {
    pub(super) list: SmallVec<[Charge; 2]>,
    /// Whether the costs were taken, and not given back.
    pub(super) taken: bool,
    /// Where their buckets are in a shared store.
    pub(super) far: Far,
}

impl Charge {
    pub(crate) fn new(limit: usize, quota: usize, bucket: BucketId, cost: u32) -> Self {
        // Lossless: a policy does not hold as many limits or plans as would not fit.
        Self { limit: limit as u32, quota: quota as u32, cost, bucket, missing: 0 }
    }
}

impl Charge {
    /// A charge whose bucket is nobody's, for examples.
    pub(crate) fn sample(limit: u32, quota: u32, cost: u32) -> Self {
        Self { limit, quota, cost, bucket: BucketId(0), missing: 0 }
    }
}

impl Charges {
    pub(crate) fn push(&mut self, charge: Charge) {
        self.list.push(charge);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Charge> {
        self.list.iter()
    }

    /// The same buckets at another cost, for what is charged after the work: all of them, or that
    /// of the limit with this index alone.
    pub(crate) fn late(&self, limit: Option<u32>, cost: u32) -> Self {
        let is_meant = |charge: &&Charge| limit.is_none_or(|limit| charge.limit == limit);
        let list = self.iter().filter(is_meant).map(|charge| Charge { cost, ..*charge }).collect();
        let far = self.far.only(|index| self.list.get(index).as_ref().is_some_and(is_meant));
        Self { list, taken: false, far }
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
