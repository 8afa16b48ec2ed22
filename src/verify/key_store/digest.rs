//! The name of a key that proves nothing: its SHA-256.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of the whole text of an API key: what is stored of it, and what it is looked up by.
///
/// Keys that Tollgate makes hold 256 random bits, so nobody finds the key by its digest. For keys
/// that people choose that does not hold: treat their digests as secrets.
///
/// Its text, by [`Display`](fmt::Display) and [`FromStr`], is `sha256:` and 64 hexadecimal digits,
/// as in a policy. `Debug` shows none of it.
///
/// ```
/// use tollgate::keys::KeyDigest;
///
/// let digest = KeyDigest::of(b"a key");
/// let text = digest.to_string();
/// assert!(text.starts_with("sha256:"));
/// assert_eq!(text.parse(), Ok(digest));
/// assert_eq!(format!("{digest:?}"), "KeyDigest(..)");
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a whole key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(bytes)
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for KeyDigest {
    type Err = InvalidKeyDigest;

    fn from_str(text: &str) -> Result<Self, InvalidKeyDigest> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidKeyDigest)?;
        if digits.len() != 64 {
            return Err(InvalidKeyDigest);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(InvalidKeyDigest);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let value = digit(pair[0])? * 16 + digit(pair[1])?;
            *byte = u8::try_from(value).map_err(|_| InvalidKeyDigest)?;
        }
        Ok(Self(bytes))
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// A text that is not `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidKeyDigest;

impl fmt::Display for InvalidKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest is `sha256:` and 64 hexadecimal digits")
    }
}

impl std::error::Error for InvalidKeyDigest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_digest_is_read() {
        let digest = KeyDigest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.replace("e3b0", "E3B0").parse(), Ok(digest), "in either case");
        for wrong in
            ["", "sha256:", &text[7..], &text[..70], &format!("{text}0"), &text.replace("55", "5g")]
        {
            assert_eq!(wrong.parse::<KeyDigest>(), Err(InvalidKeyDigest), "{wrong}");
        }
        let wide = format!("sha256:{}", "é".repeat(32));
        assert_eq!(wide.parse::<KeyDigest>(), Err(InvalidKeyDigest));
    }
}
