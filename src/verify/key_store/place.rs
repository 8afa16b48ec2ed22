//! The store that a policy names.

use std::fmt;
use std::sync::Arc;

use super::source::KeyStore;

/// Where a store of keys is, checked. It is opened when somebody asks, and that waits for nothing.
#[derive(Clone)]
pub(crate) struct StorePlace {
    kind: &'static str,
    /// Tells it from other places of its kind, and holds no secret.
    name: Box<str>,
    open: Arc<dyn Fn() -> Arc<dyn KeyStore> + Send + Sync>,
}

impl StorePlace {
    /// A store that `open` opens; places of one kind and name are one place.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn new(
        kind: &'static str,
        name: impl Into<Box<str>>,
        open: impl Fn() -> Arc<dyn KeyStore> + Send + Sync + 'static,
    ) -> Self {
        Self { kind, name: name.into(), open: Arc::new(open) }
    }

    pub(crate) fn open(&self) -> Arc<dyn KeyStore> {
        (self.open)()
    }
}

impl PartialEq for StorePlace {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }
}

impl Eq for StorePlace {}

impl fmt::Debug for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StorePlace").field(&self.kind).finish()
    }
}
