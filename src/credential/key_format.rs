//! The checked form of API keys: `<prefix>_<43 base62 digits of secret><6 check digits>`.
//!
//! The prefix tells what the key is for, to people and to secret scanners. The check digits
//! are the CRC-32 of all that stands before them, so that a cut-off or misspelt key is told
//! from an unknown one without a look-up. They prove nothing: trust comes from the digest.

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

/// A text that does not have the form of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MalformedKey {
    /// The first check that failed.
    pub(crate) fault: KeyFault,
    /// What was probably sent in place of a key, where it can be recognised.
    pub(crate) mistake: Option<KeyMistake>,
}

/// A usual mistake in place of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum KeyMistake {
    /// A variable or a placeholder that nothing was put in place of: `$API_KEY`, `{{api_key}}`,
    /// `<your key>`, or what programs write for a variable that is not set.
    UnsetVariable,
    /// Quotes around it.
    Quoted,
    /// The name of a scheme before it: `Bearer ...`.
    SchemeBefore,
    /// A whole key of another environment: its check digits are right, and its prefix is another.
    OtherEnvironment,
}

impl KeyMistake {
    /// What it is, for the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnsetVariable => "a variable that is not set",
            Self::Quoted => "quotes around the key",
            Self::SchemeBefore => "a scheme before the key",
            Self::OtherEnvironment => "a key of another environment",
        }
    }

    /// Looks at a text that is no key with this format.
    fn in_place_of(key: &[u8], format: &KeyFormat) -> Option<Self> {
        const UNSET: [&[u8]; 5] = [b"undefined", b"null", b"none", b"nil", b"nan"];
        const SCHEMES: [&[u8]; 4] = [b"bearer", b"apikey", b"token", b"basic"];
        let is_within = |open: &[u8], close: &[u8]| key.starts_with(open) && key.ends_with(close);
        let is_one_of = |word: &[u8], words: &[&[u8]]| {
            words.iter().any(|known| known.eq_ignore_ascii_case(word))
        };
        let first_word = key.split(|byte| *byte == b' ').next().unwrap_or_default();
        if key.starts_with(b"$")
            || is_within(b"{", b"}")
            || is_within(b"<", b">")
            || (key.len() > 1 && is_within(b"%", b"%"))
            || is_one_of(key, &UNSET)
        {
            Some(Self::UnsetVariable)
        } else if matches!(key, [b'"' | b'\'' | b'`', ..] | [.., b'"' | b'\'' | b'`']) {
            Some(Self::Quoted)
        } else if first_word.len() < key.len() && is_one_of(first_word, &SCHEMES) {
            Some(Self::SchemeBefore)
        } else if format.is_of_another_environment(key) {
            Some(Self::OtherEnvironment)
        } else {
            None
        }
    }
}

impl KeyFormat {
    /// Checks the whole form of a key, the check digits included, before it is looked up.
    ///
    /// # Errors
    ///
    /// The first check that failed: emptiness, prefix, length, characters, check digits.
    pub(crate) fn check(&self, key: &[u8]) -> Result<(), MalformedKey> {
        self.find_fault(key).map_or(Ok(()), |fault| {
            let mistake = KeyMistake::in_place_of(key, self);
            let is_other = mistake == Some(KeyMistake::OtherEnvironment);
            // Its prefix may begin as ours does: `tg_test` and `tg`.
            Err(MalformedKey { fault: if is_other { KeyFault::Prefix } else { fault }, mistake })
        })
    }

    fn find_fault(&self, key: &[u8]) -> Option<KeyFault> {
        let prefix = match self {
            _ if key.is_empty() => return Some(KeyFault::Empty),
            Self::Any => {
                let is_visible = key.iter().all(|byte| matches!(byte, 0x21..=0x7e));
                return (!is_visible).then_some(KeyFault::Characters);
            }
            Self::Checked { prefix } => prefix,
        };
        let Some(digits) = strip_prefix(key, prefix) else { return Some(KeyFault::Prefix) };
        if digits.len() != SECRET_DIGITS + CHECK_DIGITS {
            return Some(KeyFault::Length);
        }
        // To the end in any case: a loop without a way out takes many bytes at once.
        if !digits.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric()) {
            return Some(KeyFault::Characters);
        }
        (!has_check_digits(key)).then_some(KeyFault::CheckDigits)
    }

    /// Whether it is a whole key with another prefix, by its check digits.
    pub(super) fn is_of_another_environment(&self, key: &[u8]) -> bool {
        let Self::Checked { prefix } = self else { return false };
        let digits = SECRET_DIGITS + CHECK_DIGITS;
        let Some(at) = key.len().checked_sub(digits + 1) else { return false };
        let (other, digits) = key.split_at(at);
        // Most that is asked about is a token, which has no `_` in this place or is too long before it.
        let Some(digits) = digits.strip_prefix(b"_").filter(|_| at <= MAX_PREFIX) else {
            return false;
        };
        digits.iter().all(u8::is_ascii_alphanumeric)
            && std::str::from_utf8(other).is_ok_and(is_key_prefix)
            && other != prefix.as_bytes()
            && has_check_digits(key)
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

/// How long the prefix of a key may be.
const MAX_PREFIX: usize = 32;

/// Whether keys can begin with `prefix`: a letter, then letters, digits, `_` and `-`, at most 32.
pub(crate) fn is_key_prefix(prefix: &str) -> bool {
    prefix.starts_with(|first: char| first.is_ascii_alphabetic())
        && prefix.len() <= MAX_PREFIX
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A new key with 256 bits from the operating system; `None` where that gives no random bytes.
pub(crate) fn new_key(prefix: &str) -> Option<String> {
    let random = SystemRandom::new();
    let mut key = String::with_capacity(prefix.len() + 1 + SECRET_DIGITS + CHECK_DIGITS);
    key.push_str(prefix);
    key.push('_');
    let end = key.len() + SECRET_DIGITS;
    while key.len() < end {
        let mut bytes = [0_u8; 64];
        random.fill(&mut bytes).ok()?;
        // Bytes of 248 and more are dropped, so that each digit is equally likely.
        let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| byte % 62);
        key.extend(
            digits.take(end - key.len()).map(|digit| char::from(DIGITS[usize::from(digit)])),
        );
    }
    let check = check_digits(key.as_bytes());
    key.extend(check.map(char::from));
    Some(key)
}

/// Whether the last digits of a key are the check digits of what stands before them.
fn has_check_digits(key: &[u8]) -> bool {
    let (body, check) = key.split_at(key.len().saturating_sub(CHECK_DIGITS));
    check_digits(body) == check
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
        format.check(key).map_err(|malformed| malformed.fault)
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
    fn usual_mistakes_are_recognised() {
        let format = KeyFormat::Checked { prefix: "tg_live".into() };
        let (key, other) = (new_key("tg_live").unwrap(), new_key("tg_test").unwrap());
        let cut = &other[..other.len() - 1];
        let mut misspelt = other.clone().into_bytes();
        misspelt[20] = if misspelt[20] == b'0' { b'1' } else { b'0' };
        let misspelt = String::from_utf8(misspelt).unwrap();
        let table: &[(&str, Option<KeyMistake>)] = &[
            ("$API_KEY", Some(KeyMistake::UnsetVariable)),
            ("${API_KEY}", Some(KeyMistake::UnsetVariable)),
            ("{{api_key}}", Some(KeyMistake::UnsetVariable)),
            ("<your key>", Some(KeyMistake::UnsetVariable)),
            ("%API_KEY%", Some(KeyMistake::UnsetVariable)),
            ("undefined", Some(KeyMistake::UnsetVariable)),
            ("None", Some(KeyMistake::UnsetVariable)),
            (&format!("\"{key}\""), Some(KeyMistake::Quoted)),
            (&format!("'{key}"), Some(KeyMistake::Quoted)),
            (&format!("Bearer {key}"), Some(KeyMistake::SchemeBefore)),
            (&format!("apikey {key}"), Some(KeyMistake::SchemeBefore)),
            (&other, Some(KeyMistake::OtherEnvironment)),
            ("", None),
            ("%", None),
            ("Bearer", None),
            ("Bearer_x", None),
            ("sk_live_abc", None),
            (cut, None),
            (&misspelt, None),
            (&key[..key.len() - 1], None),
        ];
        for (key, mistake) in table {
            assert_eq!(format.check(key.as_bytes()).unwrap_err().mistake, *mistake, "{key}");
        }
        let any = KeyFormat::Any.check(b"Bearer abc").unwrap_err();
        assert_eq!(any.fault, KeyFault::Characters);
        assert_eq!(any.mistake, Some(KeyMistake::SchemeBefore));
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(new_key("tg").unwrap(), new_key("tg").unwrap());
    }
}
