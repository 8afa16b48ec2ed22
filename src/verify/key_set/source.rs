//! Where an issuer's keys come from: they are fixed, or fetched and replaced while the gate runs.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::KeySet;
use super::fetched::{FetchedKeys, KeyVersion};
use super::remote::RemoteKeys;
use crate::verify::fingerprint::Fingerprint;

/// The keys of an issuer.
#[derive(Debug)]
pub(crate) enum IssuerKeys {
    /// Read when the policy was loaded.
    Fixed(KeySet),
    /// Fetched over the network, again and again.
    Remote(Arc<RemoteKeys>),
}

/// The keys of an issuer as they are now. They do not change while they are used.
pub(in crate::verify) enum CurrentKeys<'s> {
    Fixed(&'s KeySet),
    Fetched(Arc<FetchedKeys>),
}

impl IssuerKeys {
    /// The keys as they are now; `None` where none were ever fetched, or the last ones are too old.
    pub(in crate::verify) fn current(&self) -> Option<CurrentKeys<'_>> {
        match self {
            Self::Fixed(keys) => Some(CurrentKeys::Fixed(keys)),
            Self::Remote(remote) => remote.current().map(CurrentKeys::Fetched),
        }
    }

    /// Which keys these are now; `None` where there are none.
    pub(in crate::verify) fn version(&self) -> Option<KeyVersion> {
        match self {
            Self::Fixed(_) => Some(KeyVersion::FIXED),
            Self::Remote(remote) => remote.version(),
        }
    }

    pub(crate) fn remote(&self) -> Option<&Arc<RemoteKeys>> {
        match self {
            Self::Fixed(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }

    /// Signs with the first shared secret, for trying out; `None` where there is none.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Fixed(keys) => keys.sign(algorithm, message),
            Self::Remote(_) => None,
        }
    }

    /// Over keys that are fixed. Those that are fetched have versions instead.
    pub(in crate::verify) fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Fixed(keys) => keys.fingerprint(),
            Self::Remote(_) => Fingerprint::of([]),
        }
    }
}

impl From<KeySet> for IssuerKeys {
    fn from(keys: KeySet) -> Self {
        Self::Fixed(keys)
    }
}

impl CurrentKeys<'_> {
    pub(in crate::verify) fn keys(&self) -> &KeySet {
        match self {
            Self::Fixed(keys) => keys,
            Self::Fetched(fetched) => &fetched.keys,
        }
    }

    pub(in crate::verify) fn version(&self) -> KeyVersion {
        match self {
            Self::Fixed(_) => KeyVersion::FIXED,
            Self::Fetched(fetched) => fetched.version,
        }
    }
}
