//! Paths that can be read in more than one way, and what is said of them.

use crate::policy::{Ambiguity, Oddity};

/// What is wrong with a path that can be read in more than one way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum OddPath {
    Odd(Oddity),
    EncodedSlash,
    /// Other software may read it as that of another rule, or another id in it.
    Otherwise,
    /// It is that of a rule once it is decoded.
    Encoded,
}

impl OddPath {
    pub(super) fn of(ambiguity: &Ambiguity) -> Self {
        match ambiguity {
            Ambiguity::Odd(oddity) => Self::Odd(*oddity),
            Ambiguity::EncodedSlash { .. } => Self::EncodedSlash,
            Ambiguity::OtherRule { .. } | Ambiguity::OtherValue { .. } => Self::Otherwise,
            Ambiguity::OnlyRead { .. } => Self::Encoded,
        }
    }

    /// One like it.
    pub(super) fn sample(self) -> Ambiguity {
        match self {
            Self::Odd(oddity) => Ambiguity::Odd(oddity),
            Self::EncodedSlash => Ambiguity::EncodedSlash { rule: "".into() },
            Self::Otherwise => Ambiguity::OtherRule { raw: "".into(), read: "".into() },
            Self::Encoded => Ambiguity::OnlyRead { read: "".into() },
        }
    }

    /// What happened, and the remedy.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Odd(Oddity::EmptySegment) => (
                "The path has a double slash.",
                "A path that can be read in more than one way is denied: join its parts with exactly one slash, and check that each id in it is set.",
            ),
            Self::Odd(Oddity::Backslash) => (
                "The path has a backslash.",
                "A path that can be read in more than one way is denied: write slashes between its parts, and no backslash in them.",
            ),
            Self::Odd(Oddity::DotSegment) => (
                "The path has a dot segment.",
                "A path that can be read in more than one way is denied: send the one that the dot segments lead to.",
            ),
            Self::Odd(Oddity::NotUtf8) => (
                "The path, percent-decoded, is not UTF-8.",
                "A path that can be read in more than one way is denied: write it in UTF-8, then percent-encode it.",
            ),
            Self::Odd(Oddity::ControlCharacter) => (
                "The path has an encoded control character.",
                "A path that can be read in more than one way is denied: take the character out, which is often a line break at the end of an id.",
            ),
            Self::EncodedSlash => (
                "The path has an encoded slash or backslash, and none may be in it here.",
                "A path that can be read in more than one way is denied: send one whose parts have no slash or backslash in them[. Ask the provider at {support} if an id has one].",
            ),
            Self::Encoded => (
                "No rule covers this path as it was sent, and one does once it is decoded.",
                "A path that can be read in more than one way is denied: percent-encode only what must be, no letters, digits and slashes, and leave out `;` and dot segments.",
            ),
            Self::Otherwise => (
                "Servers may read this path as that of another rule.",
                "A path that can be read in more than one way is denied: send it without dot segments, percent-encode only what must be, and leave out `;` and slashes in a part of the path[. Ask the provider at {support} if an id has one].",
            ),
        }
    }
}
