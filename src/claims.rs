//! JSON as tokens carry it, read strictly.
//!
//! `serde_json` keeps the last of two equal members; a verifier and an application that keep
//! different ones can be played against each other. Here a member that stands twice, at any
//! depth, makes the whole text malformed.

mod claim_match;
mod claim_set;
mod path;
mod pattern;
mod strict;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use claim_match::{ClaimMatch, Mismatch, Wanted};
pub(crate) use claim_set::ClaimSet;
pub(crate) use path::ClaimPath;
pub(crate) use pattern::{Parameters, Pattern, Template, TemplateError};
pub(crate) use strict::{StrictObject, items, members, names};
#[cfg(feature = "test-util")]
pub(crate) use values::LAST_SECOND;
pub(crate) use values::{NotADate, NumericDate, is_whole, numeric_date, text, texts};

/// What has claims: a payload that is being checked, or one that was proven.
pub(crate) trait Claims {
    /// A member of the payload, as JSON text.
    fn claim(&self, name: &str) -> Option<&str>;
}
