//! The lists of headers that an application took when it started. Its other layers keep them, so a
//! reload that adds a header to one cannot reach them: the log says so.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::HeaderName;

use super::snapshot::Snapshot;

/// The headers that were handed out so far, of each list.
#[derive(Debug, Default)]
pub(super) struct HandedOut {
    credential: List,
    exposed: List,
}

/// `None` while nobody took the list.
#[derive(Debug, Default)]
struct List(Mutex<Option<HashSet<HeaderName>>>);

impl HandedOut {
    pub(super) fn credential(&self, snapshot: &Snapshot) -> Vec<HeaderName> {
        self.credential.hand_out(snapshot.credential_headers())
    }

    pub(super) fn exposed(&self, snapshot: &Snapshot) -> Vec<HeaderName> {
        self.exposed.hand_out(snapshot.exposed_headers())
    }

    /// Says which headers of a policy that comes into force were not in the lists. A header that is
    /// in a list and no longer in use does no harm.
    pub(super) fn warn_of_missing(&self, snapshot: &Snapshot) {
        let credential = self.credential.missing(snapshot.credential_headers());
        if !credential.is_empty() {
            tracing::warn!(
                target: "tollgate", headers = credential.join(", "),
                "the policy takes credentials in headers that are not in the list which the \
                 application took from `credential_headers()` before: its CORS layer does not \
                 allow them, and its logs may show them, until it is restarted"
            );
        }
        let exposed = self.exposed.missing(snapshot.exposed_headers());
        if !exposed.is_empty() {
            tracing::warn!(
                target: "tollgate", headers = exposed.join(", "),
                "responses have headers that are not in the list which the application took from \
                 `exposed_headers()` before: its CORS layer hides them from scripts of other \
                 origins until it is restarted"
            );
        }
    }
}

impl List {
    fn hand_out(&self, names: Vec<HeaderName>) -> Vec<HeaderName> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_default().extend(names.iter().cloned());
        names
    }

    fn missing(&self, names: Vec<HeaderName>) -> Vec<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = &*held else { return Vec::new() };
        names.iter().filter(|name| !held.contains(*name)).map(ToString::to_string).collect()
    }
}
