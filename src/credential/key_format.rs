//! The checked form of API keys: `<prefix>_<43 base62 digits of secret><6 check digits>`.
//!
//! The prefix tells what the key is for, to people and to secret scanners. The check digits
//! are the CRC-32 of all that stands before them, so that a cut-off or misspelt key is told
//! from an unknown one without a look-up. They prove nothing: trust comes from the digest.

use std::borrow::Cow;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_DIGITS: usize = 43; // 43 × log2(62) = 256 bits
const CHECK_DIGITS: usize = 6; // 62^6 > 2^32

/// What a presented key is held against before it is looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyFormat {
    /// Keys of `tollgate key new`, with this prefix.
    Checked { prefix: Box<str> },
    /// Keys made elsewhere: any visible ASCII.
    Any,
}

/// The first thing that is wrong with the form of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum KeyFault {
    Empty,
    Prefix,
    Length,
    Characters,
    CheckDigits,
}

impl KeyFault {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Prefix => "prefix",
            Self::Length => "length",
            Self::Characters => "characters",
            Self::CheckDigits => "check_digits",
        }
    }
}

impl KeyFormat {
    /// Checks what shows at a glance: emptiness, prefix, length.
    pub(crate) fn check_outline(&self, key: &[u8]) -> Result<(), KeyFault> {
        match self {
            _ if key.is_empty() => Err(KeyFault::Empty),
            Self::Any => Ok(()),
            Self::Checked { prefix } => match strip_prefix(key, prefix) {
                None => Err(KeyFault::Prefix),
                Some(digits) if digits.len() != SECRET_DIGITS + CHECK_DIGITS => {
                    Err(KeyFault::Length)
                }
                Some(_) => Ok(()),
            },
        }
    }

    /// Checks each character and then the check digits of a key whose outline is right.
    pub(crate) fn check_digits(&self, key: &[u8]) -> Result<(), KeyFault> {
        let Self::Checked { prefix } = self else {
            let visible = key.iter().all(|byte| matches!(byte, 0x21..=0x7e));
            return if visible { Ok(()) } else { Err(KeyFault::Characters) };
        };
        let digits = strip_prefix(key, prefix).unwrap_or_default();
        if !digits.iter().all(u8::is_ascii_alphanumeric) {
            return Err(KeyFault::Characters);
        }
        let (body, check) = key.split_at(key.len().saturating_sub(CHECK_DIGITS));
        if check_digits(body) == check { Ok(()) } else { Err(KeyFault::CheckDigits) }
    }

    /// The length of a whole key; `None` where keys may have any.
    pub(crate) fn expected_length(&self) -> Option<usize> {
        match self {
            Self::Checked { prefix } => Some(prefix.len() + 1 + SECRET_DIGITS + CHECK_DIGITS),
            Self::Any => None,
        }
    }

    pub(crate) fn expected_prefix(&self) -> Option<&str> {
        match self {
            Self::Checked { prefix } => Some(prefix),
            Self::Any => None,
        }
    }
}

/// What follows `<prefix>_`, where `key` begins with it.
pub(crate) fn strip_prefix<'a>(key: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    key.strip_prefix(prefix.as_bytes())?.strip_prefix(b"_")
}

/// Whether keys can begin with `prefix`: a letter, then letters, digits, `_` and `-`, at most 32.
pub(crate) fn is_key_prefix(prefix: &str) -> bool {
    prefix.starts_with(|first: char| first.is_ascii_alphabetic())
        && prefix.len() <= 32
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A new key with 256 bits from the operating system.
///
/// # Errors
///
/// Where the system gives no random bytes.
pub(crate) fn new_key(prefix: &str) -> Result<String, Cow<'static, str>> {
    let random = SystemRandom::new();
    let mut key = String::with_capacity(prefix.len() + 1 + SECRET_DIGITS + CHECK_DIGITS);
    key.push_str(prefix);
    key.push('_');
    let end = key.len() + SECRET_DIGITS;
    while key.len() < end {
        let mut bytes = [0_u8; 64];
        random.fill(&mut bytes).map_err(|_| "the system gave no random bytes")?;
        // Bytes of 248 and more are dropped, so that each digit is equally likely.
        let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| byte % 62);
        key.extend(
            digits.take(end - key.len()).map(|digit| char::from(DIGITS[usize::from(digit)])),
        );
    }
    let check = check_digits(key.as_bytes());
    key.extend(check.map(char::from));
    Ok(key)
}

fn check_digits(body: &[u8]) -> [u8; CHECK_DIGITS] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &KeyFormat, key: &[u8]) -> Result<(), KeyFault> {
        format.check_outline(key).and_then(|()| format.check_digits(key))
    }

    #[test]
    fn check_digits_are_crc_32_in_base62() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262.
        let mut value = 0_u64;
        for digit in check_digits(b"123456789") {
            value = value * 62 + DIGITS.iter().position(|d| *d == digit).unwrap() as u64;
        }
        assert_eq!(value, 0xCBF4_3926);
    }

    #[test]
    fn a_new_key_passes_and_its_damages_are_told_apart() {
        let format = KeyFormat::Checked { prefix: "tg_live".into() };
        let key = new_key("tg_live").unwrap();
        assert_eq!(key.len(), format.expected_length().unwrap());
        assert_eq!(check(&format, key.as_bytes()), Ok(()));

        let mut misspelt = key.clone().into_bytes();
        let last = misspelt.last_mut().unwrap();
        *last = if *last == b'0' { b'1' } else { b'0' };
        let cut = &key[..key.len() - 3];
        let dashed = format!("{}-", &key[..key.len() - 1]);
        let table: &[(&[u8], KeyFault)] = &[
            (b"", KeyFault::Empty),
            (b"sk_live_abc", KeyFault::Prefix),
            (b"tg_live", KeyFault::Prefix),
            (cut.as_bytes(), KeyFault::Length),
            (dashed.as_bytes(), KeyFault::Characters),
            (&misspelt, KeyFault::CheckDigits),
        ];
        for (key, fault) in table {
            assert_eq!(check(&format, key), Err(*fault));
        }
    }

    #[test]
    fn keys_made_elsewhere_are_any_visible_text() {
        assert_eq!(check(&KeyFormat::Any, b"a.b/c+d="), Ok(()));
        assert_eq!(check(&KeyFormat::Any, b""), Err(KeyFault::Empty));
        assert_eq!(check(&KeyFormat::Any, b"a b"), Err(KeyFault::Characters));
        assert_eq!(check(&KeyFormat::Any, "ä".as_bytes()), Err(KeyFault::Characters));
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(new_key("tg").unwrap(), new_key("tg").unwrap());
    }
}
