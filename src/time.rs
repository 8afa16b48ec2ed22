//! Two kinds of time, which do not convert into each other.
//!
//! [`Wall`] is the time of day: claims such as `exp` and the dates of API keys are compared
//! with it, and it may jump when the machine's clock is set. [`Steady`] only ever moves
//! forward: token buckets refill by it, so that a corrected clock neither fills nor freezes
//! them. A [`Clock`] reads both.

mod clock;
mod date;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use clock::{Clock, ManualClock};
pub(crate) use clock::{Moment, SystemClock};
pub(crate) use date::{rfc3339, unix_seconds, unix_seconds_up};

pub(crate) const MICROS: u64 = 1_000_000;

/// A moment of the time of day, in whole microseconds since 1970-01-01T00:00:00Z.
///
/// Claims such as `exp` and the dates of API keys are compared with it. It may jump when the
/// machine's clock is set, so nothing is measured by it: see [`Steady`].
///
/// ```
/// use tollgate::Wall;
///
/// let moment = Wall::from_micros(1_800_000_000_900_000);
/// assert_eq!(moment.seconds(), 1_800_000_000);
/// assert!(moment > Wall::from_seconds(1_800_000_000));
/// ```
///
/// It does not compare with steady time:
///
/// ```compile_fail,E0308
/// use tollgate::{Steady, Wall};
///
/// let _later = Wall::from_seconds(1) < Steady::from_micros(1);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[must_use]
pub struct Wall(u64);

impl Wall {
    /// So many seconds after 1970-01-01T00:00:00Z. Seconds whose microseconds do not fit, which lie
    /// more than half a million years ahead, give the last moment there is.
    pub const fn from_seconds(unix_seconds: u64) -> Self {
        Self(unix_seconds.saturating_mul(MICROS))
    }

    /// So many microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(unix_micros: u64) -> Self {
        Self(unix_micros)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / MICROS
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(micros(time)))
    }

    pub(crate) fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(micros(time)))
    }
}

/// A moment of steady time, in whole microseconds since the start of its clock.
///
/// Token buckets refill by it. Moments of two clocks have nothing to do with each other, and none
/// is a time of day: see [`Wall`].
///
/// ```
/// use std::time::Duration;
/// use tollgate::Steady;
///
/// let (earlier, later) = (Steady::from_micros(500), Steady::from_micros(2_500));
/// assert_eq!(later.since(earlier), Duration::from_millis(2));
/// assert_eq!(earlier.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[must_use]
pub struct Steady(u64);

impl Steady {
    /// So many microseconds after the start of the clock.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start of the clock.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero where it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// A moment of steady time that threads share. What it orders is of no other memory.
#[derive(Debug, Default)]
pub(crate) struct AtomicSteady(AtomicU64);

impl AtomicSteady {
    pub(crate) const fn new(at: Steady) -> Self {
        Self(AtomicU64::new(at.0))
    }

    pub(crate) fn load(&self) -> Steady {
        Steady(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, at: Steady) {
        self.0.store(at.0, Ordering::Relaxed);
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whole seconds that cover `micros`: a wait is never promised too short.
pub(crate) fn seconds_up(micros: u64) -> u64 {
    micros.div_ceil(MICROS)
}
