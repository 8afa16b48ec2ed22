//! The claims of a proven token.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::Claims;
use super::strict::StrictObject;

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
