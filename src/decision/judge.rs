//! What a request is judged by.

use super::grounds::Grounds;
use crate::limit::{Buckets, Failures};

/// What a request is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'s> {
    pub(crate) grounds: &'s Grounds,
    /// The policy's limits, and where their buckets are.
    pub(crate) buckets: &'s Buckets,
    /// `None` where failures are not counted.
    pub(crate) failures: Option<&'s Failures>,
}
