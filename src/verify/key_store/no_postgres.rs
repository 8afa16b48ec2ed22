//! In place of the store, without the feature `postgres`: policies that need it are refused.

use super::place::StorePlace;

/// The store at this URL; `None`, since this program was built without it.
pub(crate) fn place(_url: &str, _connections: usize) -> Option<Result<StorePlace, &'static str>> {
    None
}
