//! The fields of a response, and what the document says of limits.

use std::num::{NonZeroU32, NonZeroU64};

use super::*;
use crate::limit::{KeyPart, PlanQuota, Quota};
use crate::time::MICROS;

/// A burst of 5 that gains a token a second, and one of 100 that gains ten.
fn writer(draft: bool, legacy: bool) -> RateLimitWriter {
    let limit = |name: &str, tokens: u32, burst: u32| {
        let (tokens, burst) = (NonZeroU32::new(tokens).unwrap(), NonZeroU32::new(burst).unwrap());
        let quota = Quota::new(tokens, NonZeroU64::new(MICROS).unwrap(), burst).unwrap();
        let quota = PlanQuota { plan: None, rate: format!("{tokens}/second").into(), quota };
        Limit::new(name.into(), vec![KeyPart::Client], vec![quota], 10)
    };
    let limits = [limit("small", 1, 5), limit("large", 10, 100)];
    RateLimitWriter::new(RateLimitHeaders { draft, legacy }, &limits)
}

/// A charge of the limit with this index, and how its bucket stands.
fn standing(limit: u32, remaining: u32, wait: Wait, full_in: u64) -> (Charge, Standing) {
    (Charge::sample(limit, 0, 1), Standing { remaining, wait, full_in })
}

fn fields(writer: &RateLimitWriter, balance: &Balance) -> Vec<String> {
    let mut headers = HeaderMap::new();
    writer.write(balance, &mut headers);
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn each_limit_has_an_item_in_the_order_of_the_charges() {
    let balance: Balance =
        [standing(1, 99, Wait::None, 100_000), standing(0, 0, Wait::Micros(1_000_001), 1)]
            .into_iter()
            .collect();
    assert_eq!(
        fields(&writer(true, false), &balance),
        [
            "ratelimit-policy: \"large\";q=100;w=10, \"small\";q=5;w=5",
            "ratelimit: \"large\";r=99;t=1, \"small\";r=0;t=2",
        ]
    );
}

#[test]
fn the_time_is_left_out_where_waiting_changes_nothing() {
    let state = |wait, full_in| {
        let balance: Balance = [standing(0, 5, wait, full_in)].into_iter().collect();
        let value = writer(true, false).field(LimitField::State, &balance);
        value.to_str().unwrap().to_owned()
    };
    assert_eq!(state(Wait::None, 0), "\"small\";r=5", "it is full");
    assert_eq!(state(Wait::Never, 9), "\"small\";r=5", "the cost is above the burst");
    assert_eq!(state(Wait::None, 1), "\"small\";r=5;t=1", "rounded up");
    assert_eq!(state(Wait::Micros(MICROS), 9 * MICROS), "\"small\";r=5;t=1", "the cost first");
}

#[test]
fn the_older_fields_are_those_of_the_tightest_limit() {
    let numbers =
        |items: [(Charge, Standing); 2]| writer(false, true).legacy(&items.into_iter().collect());
    let short = standing(0, 3, Wait::Micros(2 * MICROS), 0);
    assert_eq!(numbers([standing(1, 0, Wait::None, 1), short]), [5, 3, 2], "the longest wait");
    let fewer = standing(1, 2, Wait::None, 7 * MICROS);
    assert_eq!(numbers([fewer, standing(0, 3, Wait::None, 0)]), [100, 2, 7], "the least left");
}

#[test]
fn no_field_is_written_that_was_not_asked_for_or_has_nothing_to_say() {
    let balance: Balance = [standing(0, 1, Wait::None, 0)].into_iter().collect();
    let names = |writer: &RateLimitWriter, balance: &Balance| {
        let line = |line: String| line.split(':').next().unwrap().to_owned();
        let mut names: Vec<String> = fields(writer, balance).into_iter().map(line).collect();
        names.sort();
        names
    };
    for (draft, legacy) in [(false, false), (true, false), (false, true), (true, true)] {
        let writer = writer(draft, legacy);
        let mut promised: Vec<String> =
            writer.names().iter().map(|name| name.as_str().to_owned()).collect();
        promised.sort();
        assert_eq!(names(&writer, &balance), promised, "{draft} {legacy}");
        assert_eq!(writer.writes_fields(), draft || legacy);
        assert_eq!(names(&writer, &Balance::default()), [""; 0], "a rule without limits");
    }
}

#[test]
fn limits_that_are_short_are_named_and_others_are_not() {
    let writer = writer(true, false);
    let said = |items: Vec<(Charge, Standing)>| {
        let mut json = Json::open();
        json.text("limits", |text| writer.say(&items.into_iter().collect(), text, |_| {}));
        String::from_utf8(json.close().bytes).unwrap()
    };
    let (short, fine) = (standing(0, 0, Wait::Micros(1), 1), standing(1, 9, Wait::None, 1));
    let only = said(vec![fine, short]);
    assert!(only.starts_with("{\"limits\":\"small (1/second) has 0 of 5 left for "), "{only}");
    let both = said(vec![standing(1, 0, Wait::Never, 1), short]);
    assert!(both.contains(" has 0 of 100 left for ") && both.contains(", and small ("), "{both}");
}

#[test]
fn a_charge_of_another_policy_is_passed_over() {
    let balance: Balance =
        [standing(7, 1, Wait::None, 0), standing(0, 2, Wait::None, 0)].into_iter().collect();
    let writer = writer(true, true);
    assert_eq!(writer.name(7), "");
    let lines = fields(&writer, &balance);
    assert!(lines.contains(&"ratelimit: \"small\";r=2".into()), "{lines:?}");
}
