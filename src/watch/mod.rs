//! Follows the files of a policy, so that a change is in force without a restart.
//!
//! [`Disk`] reads files; [`Watcher`] decides, from one look to the next, when a change may be
//! taken; [`Watch`] is the thread that looks, once a second.
//!
//! - Content is compared, not events and not times: a file that was renamed over, a symbolic link
//!   that was pointed elsewhere (as Kubernetes does it) and a file written in place are all the same.
//!   Only a file of 1 MiB or more is not read again while its inode, its size and its times are as they
//!   were, for up to a minute.
//! - A change is taken when two looks, 200 ms apart, found all files alike. It is handed on as one
//!   [`Taken`], and whoever loads it reads from there: never a mixture of two versions.
//! - A missing, empty, too large or unreadable file is handed on as such, once. The policy in force
//!   stays in force.
//!
//! A program that writes a file slowly, with pauses of more than 200 ms, can still be read half-way.
//! Write to another name, and rename.

mod disk;
mod memory;
mod stamp;
#[cfg(unix)]
mod stamp_of;
#[cfg(not(unix))]
#[path = "no_stamp_of.rs"]
mod stamp_of;
mod thread;
mod watcher;

pub(crate) use disk::{
    Content, Disk, MOST_BYTES, MOST_LIST_BYTES, RealDisk, Taken, Trouble, digest_of,
};
pub(crate) use thread::{Follower, Pace, Watch};
pub(crate) use watcher::{Next, Seen, SeenState};
