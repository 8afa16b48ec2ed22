//! Whose a credential is: proof, by digest or by signature.
//!
//! Verifiers know nothing of HTTP. They answer with a [`Principal`], or with an error that
//! says what was wrong and carries the evidence; `denial/` chooses what a client hears of it.

mod algorithm;
mod api_key;
mod cache;
mod compact;
mod fingerprint;
mod header;
mod issuer;
mod issuers;
mod jwk;
mod key_records;
mod key_set;
pub(crate) mod key_store;
mod new_api_key;
mod pem;
mod proven_token;
mod public_key;
mod revoked;
mod token;
mod token_claims;
mod token_error;
#[cfg(test)]
mod vectors;
mod verifying_key;

pub(crate) use algorithm::{algorithm, algorithm_name, hash_length, is_symmetric};
pub(crate) use api_key::{FoundKey, KeyError, KeyLookUp, KeyTable};
pub(crate) use cache::{LastingTokens, TokenCache, TokenPolicy};
pub(crate) use issuer::{Audiences, BoundTokens, ClaimNames, Grants, Iss, IssName, Issuer};
pub(crate) use issuers::{Accepts, Issuers};
pub(crate) use key_records::KeyRecords;
pub(crate) use key_set::{
    Asked, AtStart, IS_AVAILABLE, IssuerKeys, KeyPlace, KeySet, LastingRemoteKeys, MAX_TRIED_KEYS,
    RemoteKeys, RemoteSettings, RemoteStatus, check_address, check_ca,
};
pub(crate) use revoked::{Revoked, RevokedSet};
pub(crate) use token_error::{ChosenBy, ClaimFault, TokenError};
pub(crate) use verifying_key::KeyTrouble;

/// Tells the recorder of the application what each metric of this room is.
pub(crate) fn describe_metrics() {
    key_store::describe_metrics();
    key_set::describe_metrics();
}

pub use new_api_key::{NewApiKey, NewApiKeyError};
pub use revoked::{Revocation, Revocations};
