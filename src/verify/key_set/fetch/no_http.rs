//! In place of the client, without the feature `remote-keys`: policies that need it are refused
//! when they are loaded.

use super::{Get, Got, Why};
use crate::credential::Secret;
use crate::verify::key_set::settings::RemoteSettings;

/// Whether key sets can be fetched.
pub(crate) const IS_AVAILABLE: bool = false;

pub(crate) fn check_ca(_pem: &[u8]) -> Result<(), &'static str> {
    Ok(())
}

pub(in crate::verify::key_set) fn client(_settings: &RemoteSettings) -> Box<dyn Get> {
    Box::new(Nobody)
}

struct Nobody;

impl Get for Nobody {
    fn get<'g>(&'g self, _address: &'g str, _bearer: Option<&'g Secret>) -> Got<'g> {
        let why = Why::Broken("the feature `remote-keys` is off".into());
        Box::pin(std::future::ready(Err(why)))
    }
}
