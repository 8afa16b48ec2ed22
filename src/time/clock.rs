//! What tells the time: the clocks of the machine, or one that a test moves.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Steady, Wall, micros};

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

    pub(super) fn of(clock: quanta::Clock) -> Self {
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
