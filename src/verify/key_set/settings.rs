//! What decides about a fetched set, and what is told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

/// What decides about a fetched set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RemoteSettings {
    /// The policy's name of the issuer.
    pub(crate) issuer: Arc<str>,
    pub(crate) place: KeyPlace,
    /// Certificates in PEM that are trusted in place of the system's.
    pub(crate) ca: Option<Vec<u8>>,
    /// The file with the token that the set is fetched with.
    pub(crate) bearer_file: Option<PathBuf>,
    pub(crate) algorithms: Vec<Algorithm>,
    /// How long the last good keys count while no refresh succeeds.
    pub(crate) keep: Duration,
    pub(crate) at_start: AtStart,
}

/// Where a set is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyPlace {
    Url(Box<str>),
    /// By the metadata of the issuer of this name.
    Discovery(Box<str>),
}

/// What opening a gate does while the keys are not there yet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum AtStart {
    /// It goes on. Tokens of the issuer are answered with a fault of ours until the keys are there.
    #[default]
    Continue,
    /// It waits until the keys are there.
    Wait,
    /// It waits for the first fetch, and fails where that fails.
    Fail,
}

/// How a fetched set is.
#[derive(Debug)]
pub(crate) struct RemoteStatus {
    pub(crate) issuer: Arc<str>,
    /// Where it, or the metadata that name it, is fetched from.
    pub(crate) address: String,
    /// How long ago it was fetched; `None` where it never was.
    pub(crate) age: Option<Duration>,
    /// How many of its keys can be used now.
    pub(crate) keys: usize,
    /// Why the last refresh failed; `None` where it succeeded, or is the first.
    pub(crate) error: Option<String>,
}

impl RemoteSettings {
    /// Where the set, or the metadata that name it, is.
    pub(super) fn address(&self) -> String {
        match &self.place {
            KeyPlace::Url(url) => url.to_string(),
            KeyPlace::Discovery(iss) => {
                let base = iss.strip_suffix('/').unwrap_or(iss);
                format!("{base}/.well-known/openid-configuration")
            }
        }
    }

    /// Whether a set that was fetched by these settings is the one that `other` would fetch.
    pub(super) fn has_same_source(&self, other: &Self) -> bool {
        (&self.issuer, &self.place, &self.ca) == (&other.issuer, &other.place, &other.ca)
    }
}
