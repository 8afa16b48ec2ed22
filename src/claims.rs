//! JSON as tokens carry it, read strictly.
//!
//! `serde_json` keeps the last of two equal members; a verifier and an application that keep
//! different ones can be played against each other. Here a member that stands twice, at any
//! depth, makes the whole text malformed.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memchr;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

mod claim_match;
mod path;
mod pattern;

pub(crate) use claim_match::{ClaimMatch, Mismatch, Wanted};
pub(crate) use path::ClaimPath;
pub(crate) use pattern::{Parameters, Pattern, Template, TemplateError};

/// Objects and arrays inside each other: more is no token that anyone issues.
const MAX_DEPTH: usize = 16;

/// The last second of the year 9999: no time in a token is later.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// Few tokens have more claims.
const USUAL_MEMBERS: usize = 16;

/// What has claims: a payload that is being checked, or one that was proven.
pub(crate) trait Claims {
    /// A member of the payload, as JSON text.
    fn claim(&self, name: &str) -> Option<&str>;
}

/// The members of a JSON object, read strictly.
pub(crate) struct StrictObject<'a> {
    text: &'a str,
    members: Members<'a>,
}

/// The members of an object, none of them twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> StrictObject<'a> {
    /// `None` where the text is no JSON object, or has a member twice at any depth.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let members = Members::read(text, 0)?;
        Some(Self { text, members })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.get())
    }

    /// A member that is there and not `null`.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|value| *value != "null")
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.0.len()
    }

    /// The whole object, as JSON text.
    pub(crate) fn text(&self) -> &str {
        self.text
    }
}

impl Claims for StrictObject<'_> {
    fn claim(&self, name: &str) -> Option<&str> {
        self.get(name)
    }
}

/// The members of a JSON object, none of them twice. What is in them is not looked at.
pub(crate) fn members(text: &[u8]) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let members: Members<'_> = serde_json::from_slice(text).ok()?;
    members.are_unique().then_some(members.0)
}

/// The names of a JSON object's members, in their order.
pub(crate) fn names(value: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let members: Members<'_> = serde_json::from_str(value).ok()?;
    Some(members.0.into_iter().map(|(name, _)| name))
}

/// The items of a JSON array; `None` for anything else.
pub(crate) fn items(value: &str) -> Option<Vec<&RawValue>> {
    if value.starts_with('[') { serde_json::from_str(value).ok() } else { None }
}

/// What an object has under this name, or an array in this place (RFC 6901 section 4).
fn step_into<'a>(value: &'a str, step: &str) -> Option<&'a str> {
    if value.starts_with('{') {
        let members: Members<'a> = serde_json::from_str(value).ok()?;
        return members.0.iter().find(|(name, _)| name == step).map(|(_, value)| value.get());
    }
    let is_index = step == "0" || !step.starts_with(['0', '+']);
    let index: usize = step.parse().ok().filter(|_| is_index)?;
    items(value)?.get(index).map(|item| item.get())
}

impl<'a> Members<'a> {
    /// Reads an object that stands in so many others, and those in it.
    fn read(text: &'a str, depth: usize) -> Option<Self> {
        let members: Self = serde_json::from_str(text).ok()?;
        let are_strict = || members.0.iter().all(|(_, value)| is_strict(value.get(), depth + 1));
        (members.are_unique() && are_strict()).then_some(members)
    }

    fn are_unique(&self) -> bool {
        let names = self.0.iter().map(|(name, _)| &**name);
        let mut names: SmallVec<[&str; USUAL_MEMBERS]> = names.collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }
}

fn is_strict(value: &str, depth: usize) -> bool {
    match value.as_bytes().first() {
        Some(b'{' | b'[') if depth >= MAX_DEPTH => false,
        Some(b'{') => Members::read(value, depth).is_some(),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(value)
            .is_ok_and(|items| items.iter().all(|item| is_strict(item.get(), depth + 1))),
        _ => true,
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::with_capacity(USUAL_MEMBERS);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The claims of a proven token: its payload, and where in it each claim stands.
pub(crate) struct ClaimSet {
    payload: Box<str>,
    members: Box<[(Name, Range<usize>)]>,
}

/// A claim's name.
enum Name {
    /// It stands in the payload.
    At(Range<usize>),
    /// It stands there with escapes.
    Decoded(Box<str>),
}

impl StrictObject<'_> {
    /// The same to keep: the text, and where in it each member stands.
    pub(crate) fn to_claims(&self) -> ClaimSet {
        let place = |part: &str| {
            let from = part.as_ptr() as usize - self.text.as_ptr() as usize;
            from..from + part.len()
        };
        let name = |name: &Cow<'_, str>| match name {
            Cow::Borrowed(name) => Name::At(place(name)),
            Cow::Owned(name) => Name::Decoded(name.as_str().into()),
        };
        let members = self.members.0.iter();
        let members = members.map(|(held, value)| (name(held), place(value.get()))).collect();
        ClaimSet { payload: self.text.into(), members }
    }
}

impl ClaimSet {
    /// The whole payload, as the issuer signed it.
    pub(crate) fn payload(&self) -> &str {
        &self.payload
    }

    /// A claim, as JSON text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let is_it = |held: &Name| match held {
            Name::At(range) => self.payload.get(range.clone()) == Some(name),
            Name::Decoded(held) => **held == *name,
        };
        let (_, range) = self.members.iter().find(|(held, _)| is_it(held))?;
        self.payload.get(range.clone())
    }
}

impl Claims for ClaimSet {
    fn claim(&self, name: &str) -> Option<&str> {
        self.get(name)
    }
}

impl fmt::Debug for ClaimSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimSet(..)")
    }
}

/// A JSON string's text.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    // INVARIANT: the value is JSON, which was checked when the object was read.
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(plain) = bare.filter(|text| memchr(b'\\', text.as_bytes()).is_none()) {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str::<Text<'_>>(value).ok().map(|Text(text)| text)
}

/// A string, or an array of strings.
pub(crate) fn texts(value: &str) -> Option<SmallVec<[Cow<'_, str>; 2]>> {
    if value.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
        items.into_iter().map(|item| text(item.get())).collect()
    } else {
        text(value).map(|text| SmallVec::from_iter([text]))
    }
}

/// Whether JSON text is a whole number: no fraction, no exponent, from -2^63 to 2^64 - 1.
pub(crate) fn is_whole(value: &str) -> bool {
    value.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && (value.parse::<u64>().is_ok() || value.parse::<i64>().is_ok())
}

/// A NumericDate (RFC 7519 section 2) in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NumericDate {
    pub(crate) rounded_down: u64,
    pub(crate) rounded_up: u64,
}

/// Why a value is not a NumericDate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotADate {
    /// It is not a number.
    Type,
    /// It is negative, or later than [`LAST_SECOND`].
    Range,
    /// It is out of range, and would be in range as milliseconds.
    Milliseconds,
}

/// Reads a JSON number from 0 to [`LAST_SECOND`]; the range is checked before rounding.
pub(crate) fn numeric_date(value: &str) -> Result<NumericDate, NotADate> {
    let last = LAST_SECOND as f64;
    if let Some(whole) = value.parse().ok().filter(|whole| *whole <= LAST_SECOND) {
        return Ok(NumericDate { rounded_down: whole, rounded_up: whole });
    }
    if !value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(NotADate::Type);
    }
    let number: f64 = value.parse().map_err(|_| NotADate::Type)?;
    if (0.0..=last).contains(&number) {
        // Lossless: an f64 holds all whole numbers up to 2^53.
        let (rounded_down, rounded_up) = (number.floor() as u64, number.ceil() as u64);
        return Ok(NumericDate { rounded_down, rounded_up });
    }
    let is_milliseconds = (0.0..=last * 1000.0).contains(&number);
    Err(if is_milliseconds { NotADate::Milliseconds } else { NotADate::Range })
}

#[cfg(test)]
mod tests {
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
}
