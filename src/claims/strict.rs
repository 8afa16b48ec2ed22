//! The members of a JSON object, read strictly.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::Claims;

/// Objects and arrays inside each other: more is no token that anyone issues.
pub(super) const MAX_DEPTH: usize = 16;

/// Few tokens have more claims.
const USUAL_MEMBERS: usize = 16;

/// The members of a JSON object, read strictly.
pub(crate) struct StrictObject<'a> {
    pub(super) text: &'a str,
    pub(super) members: Members<'a>,
}

/// The members of an object, none of them twice.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

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
pub(super) fn step_into<'a>(value: &'a str, step: &str) -> Option<&'a str> {
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
