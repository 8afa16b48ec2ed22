//! JSON whose members keep their order, so that documents read from top to bottom.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Number;

/// A value; the members of objects stand in the order in which they were added.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// An object of these members, in this order.
macro_rules! object {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::reference::json::Json::Object(vec![
            $((String::from($name), $crate::reference::json::Json::from($value))),*
        ])
    };
}
pub(crate) use object;

impl Json {
    /// Reads JSON that is part of this crate, or was written by it.
    ///
    /// INVARIANT: such text is JSON; tests read all of it. `null` stands for what is not.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::Null)
    }

    /// Several lines, with two spaces for each step, and an end of line.
    pub(crate) fn pretty(&self) -> String {
        // INVARIANT: names are text, so every value can be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(held, _)| held == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The member of this name, which is added as an empty object where there is none. What is
    /// no object becomes one.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Self {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(members) = self else { return self };
        let at = members.iter().position(|(held, _)| held == name).unwrap_or_else(|| {
            members.push((name.to_owned(), Self::Object(Vec::new())));
            members.len() - 1
        });
        &mut members[at].1
    }

    /// Sets a member, in place or at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Self>) {
        *self.entry(name) = value.into();
    }

    /// Adds a member at the end, unless there is one of this name.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Self>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Whether both say the same, in whatever order the members of their objects are.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(own), Self::Object(theirs)) => {
                own.len() == theirs.len()
                    && own.iter().all(|(name, value)| {
                        other.get(name).is_some_and(|theirs| value.says_the_same(theirs))
                    })
            }
            (Self::Array(own), Self::Array(theirs)) => {
                own.len() == theirs.len()
                    && own.iter().zip(theirs).all(|(own, theirs)| own.says_the_same(theirs))
            }
            _ => self == other,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn members_mut(&mut self) -> &mut [(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &mut [],
        }
    }

    /// Applies `change` to every text in it.
    pub(crate) fn map_texts(&mut self, change: &impl Fn(&mut String)) {
        match self {
            Self::Text(text) => change(text),
            Self::Array(items) => items.iter_mut().for_each(|item| item.map_texts(change)),
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, value)| value.map_texts(change));
            }
            Self::Null | Self::Flag(_) | Self::Number(_) => {}
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Json {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Json {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Flag(flag) => to.serialize_bool(*flag),
            Self::Number(number) => number.serialize(to),
            Self::Text(text) => to.serialize_str(text),
            Self::Array(items) => {
                let mut array = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    array.serialize_element(item)?;
                }
                array.end()
            }
            Self::Object(members) => {
                let mut object = to.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let text = r#"{"z":1,"a":[null,true,-2,0.5,"x\"y"],"m":{"k":{},"b":[]}}"#;
        let json = Json::parse(text);
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(Json::parse(&json.pretty()), json);
    }

    #[test]
    fn the_order_of_members_says_nothing() {
        let json = |text: &str| Json::parse(text);
        let one = json(r#"{"a":[1,{"x":1,"y":2}],"b":null}"#);
        assert!(one.says_the_same(&json(r#"{"b":null,"a":[1,{"y":2,"x":1}]}"#)));
        for other in [r#"{"b":null,"a":[{"y":2,"x":1},1]}"#, r#"{"a":[1,{"x":1,"y":2}]}"#, "[]"] {
            assert!(
                !one.says_the_same(&json(other)) && !json(other).says_the_same(&one),
                "{other}"
            );
        }
    }

    #[test]
    fn what_is_there_wins() {
        let mut json = object! { "a" => "one" };
        json.add("a", "two");
        json.add("b", 2_u64);
        json.set("a", "three");
        json.entry("c").set("d", true);
        assert_eq!(json, Json::parse(r#"{"a":"three","b":2,"c":{"d":true}}"#));
    }
}
