//! When a server is left alone, and for how long.

use std::time::{Duration, Instant};

/// So many failures in a row are enough.
const IN_A_ROW: u32 = 5;

/// Or half of at least so many calls, within [`WINDOW`].
const AT_LEAST: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// The first pause is at most this long, and each further one at most twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Even by chance no pause is shorter.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Counts the calls of a server that is asked.
#[derive(Debug)]
pub(super) struct Breaker {
    in_a_row: u32,
    since: Instant,
    calls: u32,
    failures: u32,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self { in_a_row: 0, since: now, calls: 0, failures: 0 }
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.count(now);
        self.in_a_row = 0;
    }

    /// Whether the server is to be left alone now.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.count(now);
        self.in_a_row += 1;
        self.failures += 1;
        self.in_a_row >= IN_A_ROW || self.calls >= AT_LEAST && self.failures * 2 >= self.calls
    }

    fn count(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Self { in_a_row: self.in_a_row, ..Self::new(now) };
        }
        self.calls = self.calls.saturating_add(1);
    }
}

/// Pauses that become longer, each of a random length, so that many processes do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    before: u32,
}

impl Pauses {
    /// `chance` lies in 0..=u32::MAX.
    pub(super) fn next(&mut self, chance: u32) -> Duration {
        let most = FIRST_PAUSE.saturating_mul(1 << self.before.min(10)).min(LONGEST_PAUSE);
        self.before += 1;
        most.mul_f64(f64::from(chance) / f64::from(u32::MAX)).max(SHORTEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_are_enough() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..3 {
            assert!((0..4).all(|_| !breaker.failed(now)));
            breaker.succeeded(now);
            breaker = Breaker::new(now);
        }
        assert!((0..4).all(|_| !breaker.failed(now)));
        assert!(breaker.failed(now));
    }

    #[test]
    fn half_of_twenty_in_a_second_are_enough() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..9 {
            breaker.succeeded(now);
            assert!(!breaker.failed(now));
        }
        breaker.succeeded(now);
        assert!(breaker.failed(now), "ten of twenty");
        let mut slower = Breaker::new(now);
        for second in 0..60 {
            let now = now + Duration::from_secs(second);
            for _ in 0..9 {
                slower.succeeded(now);
                assert!(!slower.failed(now), "eighteen calls a second");
            }
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pauses = Pauses::default();
        let longest: Vec<u128> = (0..7).map(|_| pauses.next(u32::MAX).as_millis()).collect();
        assert_eq!(longest, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(Pauses::default().next(0), SHORTEST_PAUSE);
    }
}
