//! Scopes: what a credential may be used for (RFC 6749 section 3.3).
//!
//! ```
//! use tollgate::{Scope, Scopes};
//!
//! let granted: Scopes = "orders:read orders:write".parse()?;
//! assert!(granted.contains("orders:read"));
//! assert!(!granted.contains("orders:READ")); // compared byte by byte
//! assert!("two words".parse::<Scope>().is_err());
//! # Ok::<(), tollgate::InvalidScope>(())
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

mod hierarchy;

pub(crate) use hierarchy::ScopeHierarchy;

/// One scope-token: printable ASCII but space, `"` and `\` (RFC 6749 section 3.3).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The scope as it is written in a token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        match text.bytes().position(|byte| !is_scope_byte(byte)) {
            Some(at) => Err(InvalidScope::Byte { at }),
            None if text.is_empty() => Err(InvalidScope::Empty),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no scope-token.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidScope {
    /// The text is empty.
    Empty,
    /// The byte at this index is not allowed.
    Byte {
        /// Index of the first byte that is not allowed.
        at: usize,
    },
}

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a scope is not empty"),
            Self::Byte { at } => write!(
                f,
                "byte {at} is not allowed in a scope: use printable ASCII without space, `\"` and `\\`"
            ),
        }
    }
}

impl std::error::Error for InvalidScope {}

/// The scopes that a principal was granted, each once, in the order of their text.
///
/// A policy may say that a scope implies others (`[scopes]`). What a granted scope implies is
/// [contained](Self::contains), and is not among those that are [listed](Self::iter).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Scopes {
    granted: Box<[Scope]>,
    /// What these imply beside themselves, each once, in the order of their text.
    implied: Box<[Scope]>,
}

impl Scopes {
    /// Whether `scope` was granted, or is implied by one that was; compared byte by byte.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        let holds =
            |scopes: &[Scope]| scopes.binary_search_by(|held| held.as_str().cmp(scope)).is_ok();
        holds(&self.granted) || holds(&self.implied)
    }

    /// The scopes that were granted, in the order of their text; those that they imply are left out.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.granted.iter()
    }

    /// Whether no scope was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    /// The scopes that were granted, and those that they imply.
    pub(crate) fn with_implied(&self) -> impl Iterator<Item = &Scope> {
        self.granted.iter().chain(&self.implied)
    }

    /// The same scopes, with what they imply, as far as `is_allowed` lets it count.
    pub(crate) fn implying(
        self,
        hierarchy: &ScopeHierarchy,
        is_allowed: impl Fn(&Scope) -> bool,
    ) -> Self {
        if hierarchy.is_empty() {
            return self;
        }
        let implied = self.granted.iter().flat_map(|scope| hierarchy.implied_by(scope));
        let is_new = |scope: &&Scope| self.granted.binary_search(scope).is_err();
        let mut implied: Vec<Scope> =
            implied.filter(is_new).filter(|scope| is_allowed(scope)).cloned().collect();
        implied.sort_unstable();
        implied.dedup();
        Self { granted: self.granted, implied: implied.into() }
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut list: Vec<Scope> = scopes.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self { granted: list.into(), implied: Box::default() }
    }
}

impl FromStr for Scopes {
    type Err = InvalidScope;

    /// Reads scopes separated by spaces, as in the `scope` claim. No other white space separates them.
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ').filter(|part| !part.is_empty()).map(str::parse).collect()
    }
}

/// Scopes named by a type, for [`Scoped`](crate::Scoped): types that [`scope!`](crate::scope) makes, and
/// tuples of up to four of them. It is sealed: nothing else implements it.
pub trait RequiredScopes: private::NamedScopes {}

impl<T: private::NamedScopes> RequiredScopes for T {}

/// What [`scope!`](crate::scope) needs to reach. Nobody else is promised any of it.
#[doc(hidden)]
pub mod private {
    pub use super::is_scope;

    /// The names behind [`RequiredScopes`](super::RequiredScopes).
    pub trait NamedScopes {
        /// Calls `visit` with each scope, all of which are required.
        fn visit(visit: &mut dyn FnMut(&'static str));
    }
}

macro_rules! every_scope_of_a_tuple {
    ($($name:ident)+) => {
        impl<$($name: private::NamedScopes),+> private::NamedScopes for ($($name,)+) {
            fn visit(visit: &mut dyn FnMut(&'static str)) {
                $($name::visit(visit);)+
            }
        }
    };
}
every_scope_of_a_tuple!(A);
every_scope_of_a_tuple!(A B);
every_scope_of_a_tuple!(A B C);
every_scope_of_a_tuple!(A B C D);

/// Declares a type that names a scope, for [`Scoped`](crate::Scoped).
///
/// The name is checked when the program is compiled:
///
/// ```
/// tollgate::scope!(pub OrdersWrite = "orders:write");
/// ```
/// ```compile_fail
/// tollgate::scope!(pub Wrong = "orders write");
/// ```
#[macro_export]
macro_rules! scope {
    ($(#[$meta:meta])* $visibility:vis $name:ident = $scope:literal) => {
        $(#[$meta])*
        #[doc = concat!("The scope `", $scope, "`.")]
        $visibility struct $name;

        const _: () = assert!(
            $crate::__private::is_scope($scope),
            "a scope is printable ASCII without space, quote and backslash (RFC 6749 section 3.3)"
        );

        impl $crate::__private::NamedScopes for $name {
            fn visit(visit: &mut dyn FnMut(&'static str)) {
                visit($scope);
            }
        }
    };
}

/// Whether `text` is a scope-token; called by [`scope!`](crate::scope) at compile time.
#[must_use]
pub const fn is_scope(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_scope_byte(bytes[at]) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_space_separates_scopes() {
        let scopes: Scopes = "b a  b".parse().unwrap();
        assert_eq!(scopes.iter().map(Scope::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!("a\tb".parse::<Scopes>(), Err(InvalidScope::Byte { at: 1 }));
        assert!("".parse::<Scopes>().unwrap().is_empty());
    }

    #[test]
    fn scopes_keep_to_the_grammar() {
        for good in ["a", "orders:read", "https://x/y", "!#[]^~"] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\"", "a\\", "ä", "\u{7f}"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }
}
