//! What the client presented: found in the headers, its form checked, not yet verified.
//!
//! Exactly one credential is taken, or a key and a token where a rule asks for both. A request with
//! more, or with one sent twice, is refused rather than judged by one of them: which one a proxy in
//! front looked at cannot be known.

mod authorization;
mod extract;
mod key_format;
mod kinds;
mod policy;
mod secret;
mod way;

pub(crate) use authorization::{KeyText, Unsupported};
pub(crate) use extract::{Credential, CredentialError, Place, TokenPlace};
pub(crate) use key_format::{
    KeyFault, KeyFormat, KeyMistake, MalformedKey, is_key_prefix, new_key,
};
pub(crate) use kinds::Kinds;
pub(crate) use policy::CredentialPolicy;
pub(crate) use secret::Secret;
pub(crate) use way::{Sent, Way};
