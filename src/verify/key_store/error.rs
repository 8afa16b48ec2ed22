//! Why a store did not do what it was asked for.

use std::fmt;

use super::record::InvalidKeyRecord;
use crate::verify::NewApiKeyError;

/// A source of keys cannot answer now: it is down, too slow, or holds something that is not valid.
///
/// The text goes to the log and to `Tollgate::status()`, never to clients. Leave passwords, keys and
/// digests out of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeySourceError(Box<str>);

impl KeySourceError {
    /// With the cause, in words: `the database is locked`. What is longer than 300 bytes is cut.
    pub fn new(cause: impl fmt::Display) -> Self {
        let mut text = cause.to_string();
        if text.len() > MOST_BYTES {
            let end = (0..=MOST_BYTES).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
        Self(text.into())
    }
}

const MOST_BYTES: usize = 300;

impl fmt::Display for KeySourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeySourceError {}

/// Why keys were not changed or listed.
///
/// Shown, it says the cause as well, which [`source`](std::error::Error::source) also returns.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// Another key has this id, in the store or in the policy.
    IdTaken {
        /// The id.
        id: String,
    },
    /// The same key is known under another id, in the store or in the policy.
    DigestTaken,
    /// Of keys that were to be added together, some have an id or a digest that another key has.
    /// None was added.
    SomeTaken {
        /// Their places, counted from 0.
        at: Vec<usize>,
    },
    /// No key of the store has this id.
    Unknown {
        /// The id.
        id: String,
    },
    /// The key was taken back: it can be neither changed nor replaced.
    Revoked {
        /// The id.
        id: String,
    },
    /// The policy, or a file that it names, holds the key. Change it there.
    OfPolicy {
        /// The id.
        id: String,
    },
    /// The key has expired, and so would its successor have. Make a new key, or give this one another end.
    Expired {
        /// The id.
        id: String,
    },
    /// An update has another digest than the key of this id. A new key is a new record.
    OtherDigest {
        /// The id.
        id: String,
    },
    /// The source of the gate's keys only looks keys up
    /// ([`TollgateBuilder::key_source`](crate::TollgateBuilder::key_source)).
    ReadOnly,
    /// The record is not valid.
    Invalid(InvalidKeyRecord),
    /// No new key could be made.
    NoNewKey(NewApiKeyError),
    /// The store cannot be reached. What was asked for may have been done, or not.
    Unavailable(KeySourceError),
}

impl fmt::Display for KeyStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdTaken { id } => write!(f, "another key has the id `{}`", id.escape_debug()),
            Self::DigestTaken => f.write_str("the same key is known under another id"),
            Self::SomeTaken { at } => {
                write!(f, "{} of the keys have an id or a digest that another key has", at.len())
            }
            Self::Unknown { id } => write!(f, "no key has the id `{}`", id.escape_debug()),
            Self::Revoked { id } => {
                write!(f, "the key `{}` is revoked, and stays so", id.escape_debug())
            }
            Self::Expired { id } => write!(
                f,
                "the key `{}` has expired, and so would its successor have: make a new key, or give \
                 this one another end",
                id.escape_debug()
            ),
            Self::OfPolicy { id } => write!(
                f,
                "the policy holds the key `{}`: change it there, or in the file that \
                 `api_keys.file` names",
                id.escape_debug()
            ),
            Self::OtherDigest { id } => write!(
                f,
                "the key `{}` has another digest: a new key needs a record of its own",
                id.escape_debug()
            ),
            Self::ReadOnly => f.write_str("the source of the gate's keys only looks keys up"),
            Self::Invalid(why) => write!(f, "the record of the key is not valid: {why}"),
            Self::NoNewKey(why) => write!(f, "no new key could be made: {why}"),
            Self::Unavailable(why) => write!(f, "the store of keys is not available: {why}"),
        }
    }
}

impl std::error::Error for KeyStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::NoNewKey(error) => Some(error),
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidKeyRecord> for KeyStoreError {
    fn from(invalid: InvalidKeyRecord) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<NewApiKeyError> for KeyStoreError {
    fn from(error: NewApiKeyError) -> Self {
        Self::NoNewKey(error)
    }
}

impl From<KeySourceError> for KeyStoreError {
    fn from(error: KeySourceError) -> Self {
        Self::Unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cause_is_cut_at_a_character() {
        assert_eq!(KeySourceError::new("down").to_string(), "down");
        let long = KeySourceError::new("ä".repeat(400)).to_string();
        assert_eq!(long.chars().count(), MOST_BYTES / 2 + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn the_cause_is_said() {
        let scope = "a b".parse::<crate::scope::Scope>().unwrap_err();
        for (error, expected) in [
            (
                InvalidKeyRecord::Validity.into(),
                "the record of the key is not valid: the key expires before it is valid".to_owned(),
            ),
            (
                InvalidKeyRecord::Scope(scope.clone()).into(),
                format!(
                    "the record of the key is not valid: a scope of the key is not valid: {scope}"
                ),
            ),
            (
                NewApiKeyError::NoRandomBytes.into(),
                "no new key could be made: the system gave no random bytes".to_owned(),
            ),
            (
                KeySourceError::new("the database is locked").into(),
                "the store of keys is not available: the database is locked".to_owned(),
            ),
        ] {
            let error: KeyStoreError = error;
            assert_eq!(error.to_string(), expected);
            assert_eq!(KeySourceError::new(error).to_string(), expected, "as it reaches the log");
        }
    }
}
