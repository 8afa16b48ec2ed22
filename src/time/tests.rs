use std::time::SystemTime;

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
