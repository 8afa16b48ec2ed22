//! The arithmetic of one bucket: pure and exact.
//!
//! What is stored is not the level but the moment at which all that was spent will be refilled, counted
//! in the quota's units: `full_at`. With `now` in the same units,
//!
//! ```text
//! spent  = max(0, full_at - now)             level = capacity - spent
//! take c:  spent + c·period <= capacity      full_at = now + spent + c·period
//! ```
//!
//! This is GCRA, the token bucket held in one number. A bucket whose `full_at` has passed is
//! full, and equal to one that was never there. Units are kept modulo the word: two moments
//! are compared by their difference, of which one half of the word is ahead and the other has
//! passed. A bucket that nobody touches for half as long as the word takes to wrap (fifty days at
//! the fastest rate, years at usual ones) would be misread; full ones are dropped long before.
//!
//! # When the quota changes
//!
//! A bucket is restated in the units of the other quota; it is never refilled by that.
//!
//! 1. A client that comes with another plan keeps all that it spent, even if that is more than
//!    the other plan's burst.
//! 2. A policy that lowers the burst of a plan leaves the bucket at most empty: what was spent beyond
//!    the new burst is *forgiven*. That is kept beside the bucket, so that a later policy with the larger
//!    burst does not give it back. Debts of charges after the work are not forgiven.
//!
//! Tokens are never gained by rounding: all of it rounds against the client, what was spent by
//! less than one unit, what is forgiven by less than one token.

use super::quota::Quota;
use crate::time::{MICROS, Steady};

/// Charges after the work may leave a debt of at most this many bursts.
const MAX_DEBT: u64 = 256;

/// No bucket is read as short of more units than this: half of what is ahead of a moment, so
/// that a request of an earlier moment still reads it right.
const MAX_UNITS: u64 = 1 << 62;

/// No change of quotas leaves more units spent than this, so that there is room to take more.
const MAX_RESTATED: u64 = 1 << 61;

/// What is kept of a bucket from one request to the next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Kept {
    /// When all that was spent is refilled, in units of the quota, modulo the word.
    full_at: u64,
    /// The quota that it was last used under.
    pub(super) quota: QuotaId,
    /// Whole tokens of what was spent that a lower burst forgave.
    forgiven: u32,
}

/// A quota among all that the buckets of a table are or were used under.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct QuotaId(pub(super) u32);

/// Why a bucket has another quota than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The client came with another plan.
    Plan,
    /// The policy changed the quota of the plan.
    Policy,
}

/// A bucket at one moment, under one quota.
///
/// INVARIANT: what is forgiven was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket<'q> {
    quota: &'q Quota,
    now: Steady,
    /// Units spent and not refilled yet.
    spent: u64,
    /// Tokens of these.
    forgiven: u32,
}

impl Kept {
    /// Whether the bucket is full at `now`, under the quota that it was last used under, and so
    /// may be dropped.
    pub(super) fn is_full(&self, quota: &Quota, now: Steady) -> bool {
        self.spent(quota, now) == 0
    }

    fn spent(&self, quota: &Quota, now: Steady) -> u64 {
        let ahead = self.full_at.wrapping_sub(units(now, quota));
        // The nearer half of the word lies ahead, the other has passed. A request may come with an
        // earlier moment than one that settled before it, and then sees a little more ahead.
        if ahead >> (u64::BITS - 1) == 1 { 0 } else { ahead.min(MAX_UNITS) }
    }
}

impl<'q> Bucket<'q> {
    /// A full bucket, which is one that was never used.
    pub(super) fn full(quota: &'q Quota, now: Steady) -> Self {
        Self { quota, now, spent: 0, forgiven: 0 }
    }

    /// Reads what was kept under `quota`, at `now`.
    pub(super) fn read(kept: &Kept, quota: &'q Quota, now: Steady) -> Self {
        let mut bucket = Self { quota, now, spent: kept.spent(quota, now), forgiven: 0 };
        if kept.forgiven > 0 {
            bucket.forgive(kept.forgiven);
        }
        bucket
    }

    /// What is to be kept, under the quota's id.
    pub(super) fn keep(&self, quota: QuotaId) -> Kept {
        let full_at = units(self.now, self.quota).wrapping_add(self.spent);
        Kept { full_at, quota, forgiven: self.forgiven }
    }

    /// The same bucket under another quota.
    pub(super) fn restated<'t>(&self, to: &'t Quota, change: Change) -> Bucket<'t> {
        let from = self.quota;
        let spent = restate(self.spent, from, to);
        let mut bucket = Bucket { quota: to, now: self.now, spent, forgiven: 0 };
        let burst_beyond = |spent: u64| {
            u32::try_from(spent.saturating_sub(to.capacity()).div_ceil(to.period()))
                .unwrap_or(u32::MAX)
        };
        match change {
            Change::Plan => bucket.forgive(burst_beyond(spent).min(self.forgiven)),
            Change::Policy => {
                let debt = restate(self.missing().saturating_sub(from.capacity()), from, to);
                let beyond = burst_beyond(spent.saturating_sub(debt));
                // What is forgiven is whole tokens, and what is left of the burst is exact.
                let kept = spent.saturating_sub(debt).min(to.capacity()) + debt.min(spent);
                bucket.forgiven = beyond;
                bucket.spent = kept + bucket.forgiven_units();
            }
        }
        bucket
    }

    /// Takes `cost` tokens, where they are there. A cost of 0 takes nothing, and asks for one.
    pub(super) fn take(&mut self, cost: u32) -> bool {
        let granted = self.missing() + needed(cost, self.quota) <= self.quota.capacity();
        if granted {
            self.spent += units_of(cost, self.quota);
        }
        granted
    }

    /// Takes `cost` tokens, leaving a debt where they are not there.
    pub(super) fn owe(&mut self, cost: u32) {
        let missing = self.missing();
        let most = self.quota.capacity().saturating_mul(MAX_DEBT).min(MAX_RESTATED);
        let owed = missing.saturating_add(units_of(cost, self.quota)).min(most.max(missing));
        self.spent += owed - missing;
    }

    /// Takes as much that the bucket is short of at least so many units, and at most all that is there.
    #[cfg(any(test, feature = "redis"))]
    pub(super) fn lower(&mut self, missing: u64) {
        let least = missing.min(self.quota.capacity());
        self.spent += least.saturating_sub(self.missing());
    }

    /// Takes `cost` tokens, as far as they are there.
    #[cfg(test)]
    pub(super) fn debit(&mut self, cost: u32) {
        let missing = self.missing();
        let most = self.quota.capacity().max(missing);
        self.spent += missing.saturating_add(units_of(cost, self.quota)).min(most) - missing;
    }

    /// Puts back `cost` tokens. The bucket is never more than full.
    pub(super) fn give_back(&mut self, cost: u32) {
        let missing = self.missing();
        self.spent -= units_of(cost, self.quota).min(missing);
    }

    /// Units short of full; above the capacity when in debt.
    pub(super) fn missing(&self) -> u64 {
        if self.forgiven == 0 { self.spent } else { self.spent - self.forgiven_units() }
    }

    /// Whether it equals a bucket that was never used.
    pub(super) fn is_full(&self) -> bool {
        self.spent == 0
    }

    /// What a client is told about the bucket, which `cost` is to be taken from next.
    #[cfg(test)]
    pub(super) fn standing(&self, cost: u32) -> Standing {
        Standing::of(self.missing(), self.quota, cost)
    }

    /// Forgives so many tokens, or all that was spent.
    fn forgive(&mut self, tokens: u32) {
        let most = self.spent.div_ceil(self.quota.period());
        self.forgiven = u32::try_from(most).map_or(tokens, |most| tokens.min(most));
        self.spent = self.spent.max(self.forgiven_units());
    }

    fn forgiven_units(&self) -> u64 {
        u64::from(self.forgiven).saturating_mul(self.quota.period()).min(MAX_UNITS)
    }
}

/// What is left in a bucket, and how long until there is more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Whole tokens in the bucket.
    pub(crate) remaining: u32,
    /// Until the cost is there; for a cost of 0, until one token is.
    pub(crate) wait: Wait,
    /// Microseconds until the bucket is full.
    pub(crate) full_in: u64,
}

impl Standing {
    /// Of a bucket that misses so many units.
    pub(super) fn of(missing: u64, quota: &Quota, cost: u32) -> Self {
        let capacity = quota.capacity();
        let needed = needed(cost, quota);
        let wait = match (missing + needed).checked_sub(capacity) {
            _ if needed > capacity => Wait::Never,
            None | Some(0) => Wait::None,
            Some(short) => Wait::Micros(short.div_ceil(quota.tokens())),
        };
        Self {
            // Lossless: at most the burst.
            remaining: (capacity.saturating_sub(missing) / quota.period()) as u32,
            wait,
            full_in: missing.div_ceil(quota.tokens()),
        }
    }
}

/// The units that have to be there. In range: a cost is below 2^32 and a period at most 2^52 for
/// a burst of one, so the product is capped before it meets anything.
fn needed(cost: u32, quota: &Quota) -> u64 {
    units_of(cost.max(1), quota)
}

fn units_of(cost: u32, quota: &Quota) -> u64 {
    u64::from(cost).saturating_mul(quota.period()).min(MAX_UNITS)
}

/// How long until a cost is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Wait {
    /// It is there now.
    None,
    /// This many microseconds: not one less, and no more if nobody else takes tokens.
    Micros(u64),
    /// The cost is above the burst: it will never be there.
    Never,
}

impl Wait {
    /// The wait in seconds, rounded up; 0 for none, `None` for never.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Micros(micros) => Some(micros.div_ceil(MICROS)),
            Self::Never => None,
        }
    }
}

/// A moment in a quota's units, modulo the word.
fn units(moment: Steady, quota: &Quota) -> u64 {
    moment.micros().wrapping_mul(quota.tokens())
}

/// The tokens of so many units under `from`, in units of `to`, rounded up.
fn restate(spent: u64, from: &Quota, to: &Quota) -> u64 {
    let restated =
        (u128::from(spent) * u128::from(to.period())).div_ceil(u128::from(from.period()));
    u64::try_from(restated).unwrap_or(u64::MAX).min(MAX_RESTATED)
}

#[cfg(test)]
mod tests;
