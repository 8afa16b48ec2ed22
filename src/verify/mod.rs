//! Whose a credential is: proof, by digest or by signature.
//!
//! Verifiers know nothing of HTTP. They answer with a [`Principal`], or with an error that
//! says what was wrong and carries the evidence; `denial/` chooses what a client hears of it.

mod api_key;
mod base64url;
mod cache;
mod header;
mod issuer;
mod key_set;
mod new_api_key;
mod token;

pub(crate) use api_key::{KeyError, KeyTable};
pub(crate) use cache::TokenCache;
pub(crate) use issuer::{Issuer, Issuers};
pub(crate) use key_set::{
    KeySet, KeyTrouble, algorithm, algorithm_name, hash_length, is_symmetric,
};
pub(crate) use token::{MAX_TOKEN_BYTES, TokenError};

pub use new_api_key::{NewApiKey, NewApiKeyError};
