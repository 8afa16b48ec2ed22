//! In place of stamps, on systems that do not keep all that is needed: every file is read at each look.

use std::fs::Metadata;

use super::stamp::Stamp;

pub(super) fn stamp_of(_: &Metadata) -> Option<Stamp> {
    None
}
