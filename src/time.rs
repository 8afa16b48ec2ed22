//! Two kinds of time, which do not convert into each other.
//!
//! [`Wall`] is the time of day: claims such as `exp` and the dates of API keys are compared
//! with it, and it may jump when the machine's clock is set. [`Steady`] only ever moves
//! forward: token buckets refill by it, so that a corrected clock neither fills nor freezes
//! them. A [`Clock`] reads both.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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

/// Where the gate reads the time. The system's clock by default, a [`ManualClock`] in tests.
///
/// Each kind of time has its type, so that one is never taken for the other:
///
/// ```
/// use std::time::{Duration, Instant, SystemTime};
/// use tollgate::{Clock, Steady, Wall};
///
/// /// The machine's clock, a fixed time ahead of the time of day.
/// struct Ahead { by: Duration, start: Instant }
///
/// impl Clock for Ahead {
///     fn wall(&self) -> Wall {
///         let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
///         Wall::from_micros((now + self.by).as_micros() as u64)
///     }
///
///     fn steady(&self) -> Steady {
///         Steady::from_micros(self.start.elapsed().as_micros() as u64)
///     }
/// }
/// # let clock = Ahead { by: Duration::from_secs(60), start: Instant::now() };
/// # assert!(clock.wall() > Wall::from_seconds(1_700_000_000));
/// # let _gate = tollgate::Tollgate::builder().clock(clock);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time of day; its start, 1970, where the machine's clock lies before that.
    fn wall(&self) -> Wall;

    /// Time since an arbitrary start, never decreasing.
    fn steady(&self) -> Steady;
}

/// When a request happens: each kind of time is read from a clock when it is first asked for,
/// and stays what it was.
pub(crate) struct Moment<'c> {
    clock: &'c dyn Clock,
    wall: OnceCell<Wall>,
    steady: OnceCell<Steady>,
}

impl<'c> Moment<'c> {
    pub(crate) fn of(clock: &'c dyn Clock) -> Self {
        Self { clock, wall: OnceCell::new(), steady: OnceCell::new() }
    }

    pub(crate) fn wall(&self) -> Wall {
        *self.wall.get_or_init(|| self.clock.wall())
    }

    /// The time of day, where somebody has asked for it.
    pub(crate) fn wall_seen(&self) -> Option<Wall> {
        self.wall.get().copied()
    }

    pub(crate) fn steady(&self) -> Steady {
        *self.steady.get_or_init(|| self.clock.steady())
    }
}

/// The clocks of the machine.
#[derive(Debug)]
pub(crate) struct SystemClock {
    clock: quanta::Clock,
    start: u64,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self::of(quanta::Clock::new())
    }

    fn of(clock: quanta::Clock) -> Self {
        let start = clock.raw();
        Self { clock, start }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Wall(micros(since))
    }

    fn steady(&self) -> Steady {
        Steady(self.clock.delta_as_nanos(self.start, self.clock.raw()) / 1000)
    }
}

/// A clock that moves only when told to, for tests that must not depend on the hour.
///
/// Clones share one time.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Clock, ManualClock, Wall};
///
/// let clock = ManualClock::at(1_800_000_000);
/// let before = clock.steady();
/// clock.advance(Duration::from_millis(1500));
/// assert_eq!(clock.steady().since(before), Duration::from_millis(1500));
/// assert_eq!(clock.wall(), Wall::from_micros(1_800_000_001_500_000));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock whose time of day is `unix_seconds` after 1970-01-01T00:00:00Z, and whose steady time
    /// is 0.
    #[must_use]
    pub fn at(unix_seconds: u64) -> Self {
        let wall = Arc::new(AtomicU64::new(Wall::from_seconds(unix_seconds).0));
        Self { wall, steady: Arc::new(AtomicU64::new(0)) }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(micros(by), Ordering::SeqCst);
        self.steady.fetch_add(micros(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Wall {
        Wall(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Steady {
        Steady(self.steady.load(Ordering::SeqCst))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whole seconds that cover `micros`: a wait is never promised too short.
pub(crate) fn seconds_up(micros: u64) -> u64 {
    micros.div_ceil(MICROS)
}

/// A moment as RFC 3339 text in UTC, to the second. Years end with 9999.
pub(crate) fn rfc3339(unix_seconds: u64) -> String {
    const END_OF_9999: i64 = 253_402_300_799;
    let seconds = i64::try_from(unix_seconds).unwrap_or(END_OF_9999).min(END_OF_9999);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| String::from("9999-12-31T23:59:59Z"))
}

/// As [`unix_seconds`], with a part of a second rounded up.
pub(crate) fn unix_seconds_up(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(moment.unix_timestamp() + i64::from(moment.nanosecond() > 0))
}

/// The Unix time that an RFC 3339 text stands for; `None` where it is no date with an offset.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_reads_back_and_never_fails() {
        assert_eq!(rfc3339(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(unix_seconds("2026-01-01T00:00:00Z"), Some(1_767_225_600));
        assert_eq!(unix_seconds("2026-01-01T01:00:00+01:00"), Some(1_767_225_600));
        assert_eq!(unix_seconds("2026-01-01T00:00:00"), None);
        let rounded = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z"].map(unix_seconds_up);
        assert_eq!(rounded, [Some(1_767_225_600), Some(1_767_225_601)]);
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([0, 1, MICROS, MICROS + 1].map(seconds_up), [0, 1, 1, 2]);
    }

    #[test]
    fn steady_time_follows_the_machine_in_microseconds() {
        let (machine, hands) = quanta::Clock::mock();
        hands.increment(7_000_000_u64);
        let clock = SystemClock::of(machine);
        assert_eq!(clock.steady(), Steady(0), "it starts when the clock is made");
        hands.increment(1_999_u64);
        assert_eq!(clock.steady(), Steady(1), "whole microseconds");
        hands.increment(Duration::from_secs(5));
        assert_eq!(clock.steady(), Steady(5_000_001));
    }

    #[test]
    fn the_time_of_day_is_that_of_the_machine() {
        let now = || micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let hour = 3600 * MICROS;
        let (before, wall, after) = (now(), SystemClock::new().wall(), now());
        // It may be set while this runs.
        assert!(before - hour < wall.0 && wall.0 < after + hour, "{before} {wall:?} {after}");
    }

    #[test]
    fn a_moment_stands_still() {
        let clock = ManualClock::at(1_800_000_000);
        let moment = Moment::of(&clock);
        clock.advance(Duration::from_secs(2));
        let read = || (moment.wall(), moment.steady());
        assert_eq!(read(), (Wall::from_seconds(1_800_000_002), Steady(2_000_000)));
        clock.advance(Duration::from_secs(5));
        assert_eq!(read(), (Wall::from_seconds(1_800_000_002), Steady(2_000_000)));
    }

    #[test]
    fn moments_beyond_the_last_are_the_last() {
        assert_eq!(Wall::from_seconds(u64::MAX), Wall(u64::MAX));
        assert_eq!(Steady(u64::MAX - 1).plus_micros(2), Steady(u64::MAX));
    }
}
