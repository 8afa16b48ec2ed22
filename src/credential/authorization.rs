//! What a line of `Authorization` holds.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;

use super::key_format::{KeyFormat, strip_prefix};
use super::policy::{CredentialPolicy, Scheme};
use crate::principal::CredentialKind;

/// What a line of `Authorization` holds.
pub(super) enum Reading<'r> {
    Nothing,
    Key(KeyText<'r>),
    Token(&'r [u8]),
    TwoKeys,
    Unsupported(Unsupported),
}

/// A key as it was presented.
pub(crate) struct KeyText<'r>(pub(crate) Cow<'r, [u8]>);

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

/// In which way a credential is of no use here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Unsupported {
    /// A scheme of `Authorization` that nobody here reads.
    Scheme,
    /// A kind that the rule does not accept, or that the policy does not configure.
    Kind(CredentialKind),
    /// An API key as `Authorization: Bearer`, where keys are not taken so.
    KeyAsBearer,
    /// The same with a whole key of another environment: its check digits are right, and its prefix
    /// is another.
    OtherKeyAsBearer,
}

impl CredentialPolicy {
    /// Reads a line by its scheme.
    pub(super) fn read<'r>(&self, line: &'r HeaderValue) -> Reading<'r> {
        let line = trim(line.as_bytes());
        if line.is_empty() {
            return Reading::Nothing;
        }
        let (scheme, value) = split_scheme(line);
        match self.scheme(scheme) {
            Some(Scheme::Bearer) => self.read_bearer(value),
            Some(Scheme::Key(_)) => Reading::Key(KeyText(value.into())),
            Some(Scheme::Basic) if self.basic => self.read_basic(value),
            _ if self.bare && !line.iter().any(|byte| matches!(byte, b' ' | b'\t')) => {
                Reading::Key(KeyText(line.into()))
            }
            _ => Reading::Unsupported(Unsupported::Scheme),
        }
    }

    /// A bearer value is a key by its prefix, or by its check digits where it is of another
    /// environment. Keys made elsewhere have none, so there a value
    /// with the two dots of a JWT is a token and any other is a key.
    fn read_bearer<'r>(&self, value: &'r [u8]) -> Reading<'r> {
        let key = |value: &'r [u8]| Reading::Key(KeyText(value.into()));
        let has_prefix = strip_prefix(value, &self.prefix).is_some();
        let is_of_another = || self.format.is_of_another_environment(value);
        match (has_prefix, self.keys_as_bearer) {
            (_, false) if is_of_another() => Reading::Unsupported(Unsupported::OtherKeyAsBearer),
            (true, true) => key(value),
            (true, false) => Reading::Unsupported(Unsupported::KeyAsBearer),
            (false, true) if !self.tokens || is_of_another() => key(value),
            (false, true) if self.format == KeyFormat::Any && !looks_like_jwt(value) => key(value),
            (false, _) if self.tokens => Reading::Token(value),
            (false, _) => Reading::Unsupported(Unsupported::Kind(CredentialKind::Token)),
        }
    }

    /// Whether a value that stands alone is a key: by its form, and otherwise by what can be proven.
    pub(super) fn is_key(&self, value: &[u8], keys: bool, tokens: bool) -> bool {
        let has_form = strip_prefix(value, &self.prefix).is_some()
            || self.format.is_of_another_environment(value);
        let is_any = keys && self.format == KeyFormat::Any && !looks_like_jwt(value);
        has_form || is_any || !tokens
    }

    /// A user name and a password (RFC 7617 section 2): whichever has the form of a key is one.
    /// Without a colon the whole is the user name.
    fn read_basic<'r>(&self, value: &'r [u8]) -> Reading<'r> {
        let Ok(decoded) = BASIC.decode(value) else {
            return Reading::Key(KeyText(value.into()));
        };
        let colon = decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len());
        let (user, password) = decoded.split_at(colon);
        let password = password.strip_prefix(b":").unwrap_or_default();
        let has_form = |part| self.format.check(part).is_ok();
        let key = match (has_form(user), has_form(password)) {
            // Any word has the form of keys that were made elsewhere. One is looked up, and which is
            // seen without a look-up: who sent a key of their own beside a guess would guess for
            // free.
            (true, true) if self.format == KeyFormat::Any && user.len() != password.len() => {
                if user.len() > password.len() { user } else { password }
            }
            (true, true) => return Reading::TwoKeys,
            (true, false) => user,
            (false, true) => password,
            // Neither is one: the part that was meant to be is judged.
            (false, false) if strip_prefix(password, &self.prefix).is_some() => password,
            (false, false) if user.is_empty() => password,
            (false, false) => user,
        };
        Reading::Key(KeyText(key.to_vec().into()))
    }
}

pub(super) const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn looks_like_jwt(value: &[u8]) -> bool {
    value.is_empty() || value.iter().filter(|byte| **byte == b'.').count() == 2
}

/// Splits `scheme SP+ value`. The value is empty where the scheme stands alone.
pub(super) fn split_scheme(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii_start()),
        None => (line, &[]),
    }
}

/// Optional white space around a field value is no part of it (RFC 9110 section 5.5). Of ASCII
/// white space, field values hold spaces and tabs only.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    match line {
        // Nearly all come without.
        [0x21..=0xff, .., 0x21..=0xff] => line,
        _ => line.trim_ascii(),
    }
}
