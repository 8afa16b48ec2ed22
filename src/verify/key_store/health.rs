//! Whether a source answers, and how often it is asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::KeySourceError;
use crate::time::{MICROS, Steady};

/// So many failures, one after the other, say that a source is down.
const DOWN_AFTER: u32 = 3;
/// How much of a pace may be saved up, in microseconds.
const SAVED_UP: u64 = 3 * MICROS / 4;
/// How often a source that is down is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How a source answered.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures since the last answer.
    failures: u32,
    /// When a look-up last began.
    tried: Steady,
    /// When the source last answered.
    answered: Option<Steady>,
    error: Option<KeySourceError>,
}

/// A change that the log has to tell of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Down,
    Back,
}

impl Health {
    pub(super) fn is_down(&self) -> bool {
        self.state().failures >= DOWN_AFTER
    }

    /// Whether a look-up may begin now. One that may has begun.
    pub(super) fn may_try(&self, now: Steady) -> bool {
        let mut state = self.state();
        if state.failures >= DOWN_AFTER && now.since(state.tried) < TRY_EVERY {
            return false;
        }
        state.tried = now;
        true
    }

    pub(super) fn note_answer(&self, now: Steady) -> Option<Turn> {
        let mut state = self.state();
        let was_down = state.failures >= DOWN_AFTER;
        (state.failures, state.error) = (0, None);
        state.answered = state.answered.max(Some(now));
        was_down.then_some(Turn::Back)
    }

    /// The source told of its changes, which says nothing of look-ups.
    pub(super) fn note_heard(&self, now: Steady) {
        let mut state = self.state();
        state.answered = state.answered.max(Some(now));
    }

    pub(super) fn note_failure(&self, error: KeySourceError) -> Option<Turn> {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.error = Some(error);
        (state.failures == DOWN_AFTER).then_some(Turn::Down)
    }

    /// How long ago the source answered, and why it did not since.
    pub(super) fn last(&self, now: Steady) -> (Option<Duration>, Option<KeySourceError>) {
        let state = self.state();
        (state.answered.map(|at| now.since(at)), state.error.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many keys that are not in memory are looked up: a rate, and what comes due in a second at once.
///
/// Of that, [`SAVED_UP`] may begin now; the rest is begun when it is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// Microseconds between two.
    every: u64,
    /// When all that was begun would have been due.
    due: Mutex<Steady>,
}

impl Pace {
    pub(super) fn per_second(count: u32) -> Self {
        Self { every: (MICROS / u64::from(count.max(1))).max(1), due: Mutex::default() }
    }

    /// How long one more has to wait before it begins, where that is `most` at most: then it is
    /// counted. `None` where it may not begin.
    pub(super) fn begin(&self, now: Steady, most: Duration) -> Option<Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.max(now).plus_micros(self.every);
        let ahead = next.micros() - now.micros();
        let wait = Duration::from_micros(ahead.saturating_sub(SAVED_UP.max(self.every)));
        let may = ahead <= MICROS.max(self.every) && wait <= most;
        may.then(|| {
            *due = next;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Steady {
        Steady::from_micros(1000 * millis)
    }

    #[test]
    fn a_source_is_down_after_three_failures_and_tried_once_a_second() {
        let health = Health::default();
        let fail = || health.note_failure(KeySourceError::new("no answer"));
        assert_eq!([fail(), fail()], [None, None]);
        assert!(!health.is_down() && health.may_try(at(0)) && health.may_try(at(0)));
        assert_eq!([fail(), fail()], [Some(Turn::Down), None], "it is said once");
        assert!(health.is_down());
        let tried = [999, 1000, 1001, 1999, 2000].map(|millis| health.may_try(at(millis)));
        assert_eq!(tried, [false, true, false, false, true]);
        assert_eq!(health.last(at(2000)), (None, Some(KeySourceError::new("no answer"))));
        assert_eq!(health.note_answer(at(2000)), Some(Turn::Back));
        assert_eq!(health.note_answer(at(2100)), None);
        assert!(!health.is_down() && health.may_try(at(2101)) && health.may_try(at(2101)));
        assert_eq!(health.last(at(3100)), (Some(Duration::from_secs(1)), None));
        fail();
        health.note_answer(at(3200));
        assert_eq!([fail(), fail()], [None, None], "others came between them");
    }

    #[test]
    fn a_second_of_look_ups_may_come_due_at_once_and_no_more() {
        let most = Duration::from_secs(10);
        let pace = Pace::per_second(100);
        let begun =
            |millis: u64| (0..1000).filter(|_| pace.begin(at(millis), most).is_some()).count();
        assert_eq!(
            [begun(0), begun(0), begun(10), begun(500), begun(60_000)],
            [100, 0, 1, 49, 100]
        );
        let slow = Pace::per_second(0);
        let begun = [0, 999, 1000].map(|millis| slow.begin(at(millis), most).is_some());
        assert_eq!(begun, [true, false, true], "one a second at least");
    }

    #[test]
    fn what_is_not_saved_up_waits_until_it_is_due() {
        let pace = Pace::per_second(100);
        let begin = |millis: u64, most: u64| {
            let wait = pace.begin(at(millis), Duration::from_millis(most));
            wait.map(|wait| wait.as_millis())
        };
        assert!((0..75).all(|_| begin(0, 0) == Some(0)));
        assert_eq!([begin(0, 9), begin(0, 10), begin(0, 20)], [None, Some(10), Some(20)]);
        assert_eq!([begin(25, 0), begin(25, 100), begin(40, 0)], [None, Some(5), Some(0)]);
    }
}
