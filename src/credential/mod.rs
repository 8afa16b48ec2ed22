//! What the client presented: found in the headers, not yet verified.
//!
//! Exactly one credential is taken. A request with two, or with one sent twice, is refused
//! rather than judged by one of them: which one a proxy in front looked at cannot be known.

mod extract;
mod key_format;
mod secret;

pub(crate) use extract::{
    Credential, CredentialError, CredentialPolicy, Place, TokenPlace, Unsupported,
};
pub(crate) use key_format::{KeyFault, KeyFormat, is_key_prefix, new_key};
pub(crate) use secret::Secret;
