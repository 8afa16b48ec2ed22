//! New API keys.

use std::fmt;

use super::key_store::KeyDigest;
use crate::credential::{Secret, is_key_prefix, new_key};

/// A new API key: 256 random bits in the checked form.
///
/// For applications that hand out keys. Show the text to its owner once, and store only the
/// digest. `tollgate key new` does the same on the command line.
///
/// ```
/// use tollgate::NewApiKey;
///
/// let key = NewApiKey::generate("tg_live")?;
/// assert!(key.reveal().starts_with("tg_live_"));
/// assert!(key.digest().starts_with("sha256:"));
/// assert_eq!(format!("{key:?}"), "NewApiKey(..)"); // never in a log by accident
/// # Ok::<(), tollgate::NewApiKeyError>(())
/// ```
pub struct NewApiKey {
    text: Secret,
    digest: KeyDigest,
    digest_text: String,
}

impl NewApiKey {
    /// Makes a key with this prefix: a letter, then letters, digits, `_` and `-`, at most 32.
    ///
    /// # Errors
    ///
    /// When no key can begin with the prefix, or the system gives no random bytes.
    pub fn generate(prefix: &str) -> Result<Self, NewApiKeyError> {
        if !is_key_prefix(prefix) {
            return Err(NewApiKeyError::InvalidPrefix);
        }
        let text = new_key(prefix).ok_or(NewApiKeyError::NoRandomBytes)?;
        let text = Secret::new(text.into_bytes());
        let digest = KeyDigest::of(text.expose());
        Ok(Self { text, digest, digest_text: digest.to_string() })
    }

    /// The whole key, to be shown to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        // INVARIANT: made of base62 digits and the prefix.
        std::str::from_utf8(self.text.expose()).unwrap_or_default()
    }

    /// What is stored of it: `sha256:` and 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest_text
    }

    /// The same as a value, for [`ApiKeyRecord`](crate::keys::ApiKeyRecord).
    #[must_use]
    pub fn key_digest(&self) -> KeyDigest {
        self.digest
    }
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewApiKey(..)")
    }
}

/// Why there is no new key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NewApiKeyError {
    /// No key begins with this prefix: it is a letter, then letters, digits, `_` and `-`, at most 32.
    InvalidPrefix,
    /// The operating system gave no random bytes.
    NoRandomBytes,
}

impl fmt::Display for NewApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidPrefix => {
                "a prefix begins with a letter and has up to 32 letters, digits, `_` and `-`"
            }
            Self::NoRandomBytes => "the system gave no random bytes",
        })
    }
}

impl std::error::Error for NewApiKeyError {}
