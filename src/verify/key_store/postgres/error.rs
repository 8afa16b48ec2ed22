//! What went wrong at the server.

use std::error::Error as _;

use crate::verify::key_store::error::KeySourceError;

/// In words: what the client says, and why. Neither holds the URL.
pub(super) fn error(cause: tokio_postgres::Error) -> KeySourceError {
    match (cause.as_db_error(), cause.source()) {
        (Some(said), _) => {
            KeySourceError::new(format!("{} ({})", said.message(), said.code().code()))
        }
        (None, Some(why)) => KeySourceError::new(format!("{cause}: {why}")),
        (None, None) => KeySourceError::new(cause),
    }
}
