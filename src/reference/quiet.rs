//! Examples are denials that nobody was sent: they are neither logged nor counted.

use metrics::NoopRecorder;
use tracing::dispatcher::{Dispatch, with_default};
use tracing::subscriber::NoSubscriber;

/// Runs the gate without leaving a trace of it.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    // A subscriber that is registered, unlike `Dispatch::none()`: tracing would otherwise conclude that
    // nobody reads these lines, and never ask again.
    let nobody = Dispatch::new(NoSubscriber::new());
    metrics::with_local_recorder(&NoopRecorder, || with_default(&nobody, run))
}
