//! What a reload compares with, and what [`Status`](super::Status) is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::status::{LastFault, Revision};
use crate::policy::Outline;
use crate::time::Wall;

/// What is remembered of the policy in force, and of the last one that was refused.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) revision: Revision,
    pub(super) loaded_at: Wall,
    pub(super) last_fault: Option<LastFault>,
    pub(super) outline: Outline,
    /// The files that were read.
    pub(super) files: BTreeSet<PathBuf>,
}
