//! Examples are denials that nobody was sent: they are not logged.

use tracing::dispatcher::{Dispatch, with_default};

/// Runs the gate without leaving a trace of it.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    with_default(&Dispatch::none(), run)
}
