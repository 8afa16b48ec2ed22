//! Where the servers of a shared store are.

use super::fault::StoreFault;
use super::secrets::{load_secret, secret};
use crate::limit::Servers;
use crate::policy::fault::Fault;
use crate::policy::load::redis_address::Address;
use crate::policy::load::redis_url::read_url;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;

/// Where servers are named: one of these.
const PLACES: [&str; 3] = ["url", "url_env", "cluster"];
/// Addresses, and what they say.
pub(super) struct Found {
    /// The key that they were found under.
    pub(super) key: &'static str,
    pub(super) servers: Servers,
    pub(super) all: Vec<Address>,
}

pub(super) fn load_servers(section: &Section<'_>, sources: &Sources) -> Option<Found> {
    let named: Vec<&'static str> = PLACES.into_iter().filter(|name| section.has(name)).collect();
    let key = match named[..] {
        [] => {
            // An unknown key may be a misspelt one: then it is reported as that alone.
            if !PLACES.iter().any(|name| section.misspells(name)) {
                section.push(Fault::of(&section.key_place("kind"), &StoreFault::NoServer));
            }
            return None;
        }
        [key] => key,
        [first, second, ..] => {
            let several = StoreFault::SeveralPlaces { first, second };
            section.push(Fault::of(&section.key_place(second), &several));
            return None;
        }
    };
    match key {
        "url" => {
            let url = section.text("url")?;
            let address = check_written(section, key, &url)?;
            Some(Found { key, servers: Servers::One(secret(url.value)), all: vec![address] })
        }
        "url_env" => load_url_variable(section, sources),
        _ => load_cluster(section),
    }
}

fn load_url_variable(section: &Section<'_>, sources: &Sources) -> Option<Found> {
    let key = "url_env";
    let place = section.text(key)?.place;
    let given = load_secret(section, key, sources)?;
    let address = std::str::from_utf8(given.expose()).ok().and_then(read_url);
    // In the place of one that is absent stands nothing that could be read.
    let is_forgiven = given.expose().is_empty() && sources.forgives_absent_secrets();
    if address.is_none() && !is_forgiven {
        section.push(Fault::of(&place, &StoreFault::VariableNotAUrl));
        return None;
    }
    Some(Found { key, servers: Servers::One(given), all: address.into_iter().collect() })
}

fn load_cluster(section: &Section<'_>) -> Option<Found> {
    let key = "cluster";
    let nodes = section.texts(key)?;
    if section.is_empty(key) {
        section.push(Fault::of(&section.key_place(key), &StoreFault::EmptyCluster));
        return None;
    }
    let mut all: Vec<Address> = Vec::new();
    for node in &nodes {
        let Some(address) = check_written(section, key, node) else { continue };
        let trouble = if address.is_socket {
            Some("is a socket of this machine")
        } else if address.has_user {
            Some("names a user")
        } else if address.database != 0 {
            Some("names a database: a cluster has no others than 0")
        } else if all.first().is_some_and(|first| first.is_encrypted != address.is_encrypted) {
            Some("uses TLS where the first does not, or the other way round")
        } else {
            None
        };
        if let Some(trouble) = trouble {
            section.push(Fault::of(&node.place, &StoreFault::OddNode { trouble }));
        }
        all.push(address);
    }
    let servers = nodes.iter().map(|node| secret(node.value)).collect();
    (all.len() == nodes.len()).then_some(Found { key, servers: Servers::Cluster(servers), all })
}

/// Checks an address that stands in the policy, where no password may.
fn check_written(section: &Section<'_>, key: &'static str, url: &At<&str>) -> Option<Address> {
    let hidden = |fault: &StoreFault| Fault::of(&url.place, fault).mask(url.place.span.clone());
    match read_url(url.value) {
        Some(address) if address.has_password => {
            section.push(hidden(&StoreFault::PasswordInPolicy { key }));
            None
        }
        Some(address) => Some(address),
        // Where it cannot be read, it may hold a password all the same.
        None => {
            section.push(hidden(&StoreFault::NotAUrl { key }));
            None
        }
    }
}
