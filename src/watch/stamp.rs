//! What is known of a file that was not read.

/// What says of a file, without reading it, that it is another one or was written since.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(super) length: u64,
    /// Device and inode.
    pub(super) file: (u64, u64),
    /// When it was written, and when it was changed in any way: seconds and nanoseconds.
    pub(super) times: [(i64, i64); 2],
}
