//! Where in the files of a policy something is written.

use std::ops::Range;
use std::sync::Arc;

/// A file of the policy.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path, as it was given.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A place in a file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) span: Range<usize>,
}
