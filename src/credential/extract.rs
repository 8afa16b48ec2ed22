//! Finds the one credential in the headers.
//!
//! 1. The header for keys, and each header for tokens, holds a credential alone.
//! 2. `Authorization` holds one by its scheme: `Bearer`, the schemes of keys, `Basic` where keys are
//!    taken so; then, where a bare value is taken, a key without a scheme.
//! 3. Two lines of `Authorization` are two credentials, whatever they hold. One whose scheme is not
//!    read here is no credential beside one that is (a proxy's `Basic`), and is not accepted alone.
//!    `Bearer` is never ignored beside a key.

use http::HeaderValue;
use smallvec::{SmallVec, smallvec};

use super::authorization::{KeyText, Reading, Unsupported, split_scheme, trim};
use super::kinds::Kinds;
use super::policy::{CredentialPolicy, Scheme};
use crate::fields::Fields;
use crate::principal::CredentialKind;

/// A credential as it was presented: unverified.
pub(crate) enum Credential<'r> {
    ApiKey(KeyText<'r>),
    Token { value: &'r [u8], place: TokenPlace },
    Both { key: KeyText<'r>, value: &'r [u8], place: TokenPlace },
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TokenPlace {
    Authorization,
    /// The header with this index in [`CredentialPolicy::token_headers`].
    Header(u8),
    /// In no header: the application has read it elsewhere.
    Elsewhere,
}

impl Credential<'_> {
    pub(crate) fn kind(&self) -> CredentialKind {
        match self {
            Self::ApiKey(_) => CredentialKind::ApiKey,
            Self::Token { .. } => CredentialKind::Token,
            Self::Both { .. } => CredentialKind::Both,
        }
    }
}

/// Why there is no one credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CredentialError {
    Missing,
    /// A key and a token are asked for, and this one of them is missing.
    MissingPart(CredentialKind),
    Multiple(SmallVec<[Place; 2]>),
    Unsupported(Unsupported),
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    KeyHeader,
    /// The header with this index in [`CredentialPolicy::token_headers`].
    TokenHeader(u8),
    Authorization(Option<Scheme>),
}

impl<'r> Credential<'r> {
    /// Takes the one credential of a request, or a key and a token where both are asked for.
    ///
    /// # Errors
    ///
    /// When there is none, more than asked for, or one in a form that is not read here.
    #[inline]
    pub(crate) fn from_fields(
        fields: &Fields<'r>,
        policy: &CredentialPolicy,
        kinds: Kinds,
    ) -> Result<Self, CredentialError> {
        match (&fields.key[..], &fields.authorization[..], &fields.tokens[..]) {
            // Nearly all requests have one place with one credential.
            ([key], [], []) if kinds != Kinds::Both => Ok(Self::ApiKey(whole(key))),
            ([], [line], []) if kinds != Kinds::Both => match policy.read(line) {
                Reading::Nothing => Err(CredentialError::Missing),
                Reading::Key(key) => Ok(Self::ApiKey(key)),
                Reading::Token(value) => {
                    Ok(Self::Token { value, place: TokenPlace::Authorization })
                }
                Reading::TwoKeys => Err(CredentialError::Multiple(places(fields, policy))),
                Reading::Unsupported(why) => Err(CredentialError::Unsupported(why)),
            },
            ([], [], []) => Err(CredentialError::Missing),
            _ => Self::from_places(fields, policy, kinds),
        }
    }

    /// Takes a credential that came by another way than a header. `keys` and `tokens` say what can be
    /// proven at all.
    ///
    /// # Errors
    ///
    /// When the text is empty.
    pub(crate) fn from_text(
        text: &'r str,
        policy: &CredentialPolicy,
        keys: bool,
        tokens: bool,
    ) -> Result<Self, CredentialError> {
        let text = trim(text.as_bytes());
        if text.is_empty() {
            return Err(CredentialError::Missing);
        }
        // Who has a whole line of `Authorization` at hand may send that.
        let (scheme, value) = split_scheme(text);
        let (says_key, value) = match policy.scheme(scheme) {
            Some(Scheme::Key(_)) if !value.is_empty() => (true, value),
            Some(Scheme::Bearer) if !value.is_empty() => (false, value),
            _ => (false, text),
        };
        match says_key || policy.is_key(value, keys, tokens) {
            true => Ok(Self::ApiKey(KeyText(value.into()))),
            false => Ok(Self::Token { value, place: TokenPlace::Elsewhere }),
        }
    }

    #[cold]
    fn from_places(
        fields: &Fields<'r>,
        policy: &CredentialPolicy,
        kinds: Kinds,
    ) -> Result<Self, CredentialError> {
        let mut keys: SmallVec<[KeyText<'r>; 2]> =
            fields.key.iter().map(|value| whole(value)).collect();
        let mut tokens: SmallVec<[(&'r [u8], TokenPlace); 2]> = (fields.tokens.iter())
            .map(|(index, value)| (trim(value.as_bytes()), TokenPlace::Header(*index)))
            .collect();
        let multiple = || Err(CredentialError::Multiple(places(fields, policy)));
        let reading = match &fields.authorization[..] {
            [] => Reading::Nothing,
            [line] => policy.read(line),
            _ => return multiple(),
        };
        match reading {
            Reading::Nothing => {}
            Reading::Key(key) => keys.push(key),
            Reading::Token(value) => tokens.push((value, TokenPlace::Authorization)),
            Reading::TwoKeys => return multiple(),
            Reading::Unsupported(why) => match why {
                _ if keys.is_empty() && tokens.is_empty() => {
                    return Err(CredentialError::Unsupported(why));
                }
                Unsupported::Scheme => {}
                Unsupported::Kind(_) if keys.is_empty() => {}
                Unsupported::Kind(_) if kinds == Kinds::Both && tokens.is_empty() => {
                    return Err(CredentialError::Unsupported(why));
                }
                _ => return multiple(),
            },
        }
        let (key, token) = match (keys.len(), tokens.len()) {
            (0 | 1, 0 | 1) => (keys.pop(), tokens.pop()),
            _ => return multiple(),
        };
        match (key, token) {
            (None, None) => Err(CredentialError::Missing),
            (Some(key), Some((value, place))) if kinds == Kinds::Both => {
                Ok(Self::Both { key, value, place })
            }
            (Some(_), Some(_)) => multiple(),
            (Some(_), None) if kinds == Kinds::Both => {
                Err(CredentialError::MissingPart(CredentialKind::Token))
            }
            (None, Some(_)) if kinds == Kinds::Both => {
                Err(CredentialError::MissingPart(CredentialKind::ApiKey))
            }
            (Some(key), None) => Ok(Self::ApiKey(key)),
            (None, Some((value, place))) => Ok(Self::Token { value, place }),
        }
    }
}

fn whole(value: &HeaderValue) -> KeyText<'_> {
    KeyText(trim(value.as_bytes()).into())
}

/// Where the credentials of a request with more than one were found.
fn places(fields: &Fields<'_>, policy: &CredentialPolicy) -> SmallVec<[Place; 2]> {
    let mut places: SmallVec<[Place; 2]> = fields.key.iter().map(|_| Place::KeyHeader).collect();
    places.extend(fields.tokens.iter().map(|(index, _)| Place::TokenHeader(*index)));
    let place = |line: &HeaderValue| {
        let (scheme, _) = split_scheme(trim(line.as_bytes()));
        Place::Authorization(policy.scheme(scheme))
    };
    match &fields.authorization[..] {
        [line] => {
            let found: SmallVec<[Place; 2]> = match policy.read(line) {
                Reading::Nothing | Reading::Unsupported(Unsupported::Scheme) => smallvec![],
                Reading::TwoKeys => smallvec![place(line), place(line)],
                _ => smallvec![place(line)],
            };
            places.extend(found);
        }
        lines => places.extend(lines.iter().map(|line| place(line))),
    }
    places
}

#[cfg(test)]
mod tests;
