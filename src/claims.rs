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

/// Objects and arrays inside each other: more is no token that anyone issues.
const MAX_DEPTH: usize = 16;

/// The largest whole number that every JSON reader keeps: 2^53 - 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Few tokens have more claims.
const USUAL_MEMBERS: usize = 16;

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

    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }
}

impl<'a> Members<'a> {
    /// Reads an object that stands in so many others, and those in it.
    fn read(text: &'a str, depth: usize) -> Option<Self> {
        let members: Self = serde_json::from_str(text).ok()?;
        let names = members.0.iter().map(|(name, _)| &**name);
        let mut names: SmallVec<[&str; USUAL_MEMBERS]> = names.collect();
        names.sort_unstable();
        let are_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
        drop(names);
        let are_strict = || members.0.iter().all(|(_, value)| is_strict(value.get(), depth + 1));
        (are_unique && are_strict()).then_some(members)
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

/// A NumericDate (RFC 7519 section 2) in seconds: rounded down and rounded up. `None` for
/// anything but a JSON number from 0 to 2^53 - 1.
pub(crate) fn numeric_date(value: &str) -> Option<(u64, u64)> {
    if let Ok(whole) = value.parse::<u64>() {
        return (whole <= MAX_SAFE).then_some((whole, whole));
    }
    if !value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let number: f64 = value.parse().ok()?;
    let in_range = (0.0..=MAX_SAFE as f64).contains(&number);
    // Lossless: whole numbers up to 2^53 - 1 stand exactly in an f64.
    in_range.then_some((number.floor() as u64, number.ceil() as u64))
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
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1800000000", Some((1_800_000_000, 1_800_000_000))),
            ("1.5", Some((1, 2))),
            ("1e3", Some((1000, 1000))),
            ("9007199254740991", Some((MAX_SAFE, MAX_SAFE))),
            ("9007199254740992", None),
            ("-1", None),
            ("1e400", None),
            ("\"1800000000\"", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
        ] {
            assert_eq!(numeric_date(text), expected, "{text}");
        }
    }
}
