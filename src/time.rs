//! Two kinds of time, which do not convert into each other.
//!
//! [`Clock::wall`] is the time of day: claims such as `exp` and the dates of API keys are
//! compared with it, and it may jump when the machine's clock is set. [`Clock::steady`]
//! only ever moves forward: token buckets refill by it, so that a corrected clock neither
//! fills nor freezes them.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const MICROS: u64 = 1_000_000;

/// Where the gate reads the time. The system's clock by default, a [`ManualClock`] in tests.
///
/// There are two kinds of time, which do not convert into each other: claims and the dates of
/// keys are compared with the time of day, and token buckets refill by steady time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970-01-01T00:00:00Z; 0 where the system's clock lies before that.
    fn wall(&self) -> u64;

    /// Microseconds since an arbitrary start, never decreasing.
    fn steady(&self) -> u64;

    /// The time of day at a moment of steady time that was read just now. A clock that knows how
    /// far the two are apart need not look twice; others look again.
    fn wall_at(&self, steady: u64) -> u64 {
        let _looks_again = steady;
        self.wall()
    }
}

/// A moment, read from a clock when it is first asked for: a request happens at one time.
pub(crate) struct Moment<'c> {
    clock: &'c dyn Clock,
    steady: OnceCell<u64>,
}

impl<'c> Moment<'c> {
    pub(crate) fn of(clock: &'c dyn Clock) -> Self {
        Self { clock, steady: OnceCell::new() }
    }

    pub(crate) fn steady(&self) -> u64 {
        *self.steady.get_or_init(|| self.clock.steady())
    }

    pub(crate) fn wall(&self) -> u64 {
        self.clock.wall_at(self.steady())
    }
}

/// The clocks of the machine.
#[derive(Debug)]
pub(crate) struct SystemClock {
    clock: quanta::Clock,
    start: u64,
    /// How far the time of day is ahead of steady time, and when to look again: a second later,
    /// since the time of day can be set.
    ahead: AtomicU64,
    look_again: AtomicU64,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        let (ahead, look_again) = Default::default();
        let clock = Self { clock, start, ahead, look_again };
        clock.wall_at(0);
        clock
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        micros(since)
    }

    fn steady(&self) -> u64 {
        self.clock.delta_as_nanos(self.start, self.clock.raw()) / 1000
    }

    fn wall_at(&self, steady: u64) -> u64 {
        if steady >= self.look_again.load(Ordering::Relaxed) {
            self.ahead.store(self.wall().wrapping_sub(steady), Ordering::Relaxed);
            self.look_again.store(steady.saturating_add(MICROS), Ordering::Relaxed);
        }
        steady.wrapping_add(self.ahead.load(Ordering::Relaxed))
    }
}

/// A clock that moves only when told to, for tests that must not depend on the hour.
///
/// Clones share one time.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Clock, ManualClock};
///
/// let clock = ManualClock::at(1_800_000_000);
/// let before = clock.steady();
/// clock.advance(Duration::from_millis(1500));
/// assert_eq!(clock.steady() - before, 1_500_000);
/// assert_eq!(clock.wall(), 1_800_000_001_500_000);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at `unix_seconds` since 1970 and at steady time 0.
    pub fn at(unix_seconds: u64) -> Self {
        let wall = Arc::new(AtomicU64::new(unix_seconds.saturating_mul(MICROS)));
        Self { wall, steady: Arc::new(AtomicU64::new(0)) }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(micros(by), Ordering::SeqCst);
        self.steady.fetch_add(micros(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> u64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn steady(&self) -> u64 {
        self.steady.load(Ordering::SeqCst)
    }
}

fn micros(duration: Duration) -> u64 {
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
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([0, 1, MICROS, MICROS + 1].map(seconds_up), [0, 1, 1, 2]);
    }

    #[test]
    fn steady_time_of_the_machine_moves_forward() {
        let clock = SystemClock::new();
        let (first, second) = (clock.steady(), clock.steady());
        assert!(first <= second);
        assert!(clock.wall() > 1_700_000_000 * MICROS);
    }

    #[test]
    fn the_time_of_day_is_known_at_any_moment() {
        let clock = SystemClock::new();
        let (before, at, after) = (clock.wall(), clock.wall_at(clock.steady()), clock.wall());
        // The two clocks may be slewed apart a little, and threads be stopped.
        assert!(before <= at + MICROS && at <= after + MICROS, "{before} {at} {after}");
        // Set forward by an hour: it is followed when it is looked at again.
        clock.ahead.fetch_add(3600 * MICROS, Ordering::Relaxed);
        assert!(clock.wall_at(clock.steady()) > clock.wall() + 3500 * MICROS);
        clock.look_again.store(0, Ordering::Relaxed);
        assert!(clock.wall_at(clock.steady()) < clock.wall() + MICROS);
    }

    #[test]
    fn a_moment_stands_still() {
        let clock = ManualClock::at(1_800_000_000);
        let moment = Moment::of(&clock);
        assert_eq!(moment.steady(), 0);
        clock.advance(Duration::from_secs(5));
        assert_eq!(moment.steady(), 0);
    }
}
