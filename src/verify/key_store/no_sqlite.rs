//! In place of the store, without the feature `sqlite`: policies that need it are refused.

use std::path::PathBuf;

use super::place::StorePlace;

/// The store in this file; `None`, since this program was built without it.
pub(crate) fn place(_path: PathBuf) -> Option<StorePlace> {
    None
}
