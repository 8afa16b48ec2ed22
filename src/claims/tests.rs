use super::strict::MAX_DEPTH;
use super::values::LAST_SECOND;
use super::*;

#[test]
fn a_member_that_stands_twice_is_refused_at_any_depth() {
    for good in [r#"{}"#, r#"{"a":1,"b":{"a":1}}"#, r#" {"a":[{"a":1},{"a":1}]} "#] {
        assert!(StrictObject::parse(good.as_bytes()).is_some(), "{good}");
    }
    for bad in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[{"y":[{"a":1,"a":2}]}]}"#,
        r#"[]"#,
        r#""a""#,
        r#"{"a":1}x"#,
        r#"{"a":01}"#,
        "{\"a\":\"\u{1}\"}",
        "\u{feff}{}",
        "",
    ] {
        assert!(StrictObject::parse(bad.as_bytes()).is_none(), "{bad}");
    }
    assert!(StrictObject::parse(b"{\"a\":\"\xff\"}").is_none());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(StrictObject::parse(nested(MAX_DEPTH - 1).as_bytes()).is_some());
    assert!(StrictObject::parse(nested(MAX_DEPTH).as_bytes()).is_none());
    assert!(StrictObject::parse(nested(3_000).as_bytes()).is_none());
}

#[test]
fn a_claim_set_keeps_claims_as_they_were_signed() {
    let payload = r#" {"s\u0075b": "a\u0062", "exp": 1e400, "x": {"y": [1, 2]}}"#;
    let claims = StrictObject::parse(payload.as_bytes()).unwrap().to_claims();
    assert_eq!(claims.get("exp"), Some("1e400"));
    assert_eq!(claims.get("x"), Some("{\"y\": [1, 2]}"));
    assert_eq!(text(claims.get("sub").unwrap()).unwrap(), "ab");
    assert_eq!(claims.get("y"), None);
}

#[test]
fn times_are_numbers_in_range_only() {
    let date = |rounded_down, rounded_up| Ok(NumericDate { rounded_down, rounded_up });
    for (text, expected) in [
        ("0", date(0, 0)),
        ("-0", date(0, 0)),
        ("1800000000", date(1_800_000_000, 1_800_000_000)),
        ("1.5", date(1, 2)),
        ("1e3", date(1000, 1000)),
        ("253402300799", date(LAST_SECOND, LAST_SECOND)),
        ("253402300798.5", date(LAST_SECOND - 1, LAST_SECOND)),
        ("253402300799.5", Err(NotADate::Milliseconds)),
        ("253402300800", Err(NotADate::Milliseconds)),
        ("1800000000000", Err(NotADate::Milliseconds)),
        ("1800000000000.5", Err(NotADate::Milliseconds)),
        ("1800000000000000", Err(NotADate::Range)),
        ("99999999999999999999", Err(NotADate::Range)),
        ("-1", Err(NotADate::Range)),
        ("-0.5", Err(NotADate::Range)),
        ("1e400", Err(NotADate::Range)),
        ("\"1800000000\"", Err(NotADate::Type)),
        ("null", Err(NotADate::Type)),
        ("true", Err(NotADate::Type)),
        ("[1]", Err(NotADate::Type)),
    ] {
        assert_eq!(numeric_date(text), expected, "{text}");
    }
}
