//! Examples are denials that nobody was sent: they are neither logged nor counted.

use metrics::NoopRecorder;
use tracing::dispatcher::{Dispatch, with_default};

/// Runs the gate without leaving a trace of it.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    metrics::with_local_recorder(&NoopRecorder, || with_default(&Dispatch::none(), run))
}
