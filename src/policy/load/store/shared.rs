//! The settings of a shared store.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::fault::StoreFault;
use super::secrets::{load_hash_key, load_secret};
use super::servers::{Found, load_servers};
use crate::limit::RedisSettings;
use crate::policy::fault::Fault;
use crate::policy::load::checks::read_file;
use crate::policy::section::Section;
use crate::policy::sources::Sources;

const DEADLINE: Duration = Duration::from_millis(5);
const MAX_DEADLINE: Duration = Duration::from_secs(5);
/// How many processes share it where the policy does not say.
pub(super) const NODES: NonZeroU32 = NonZeroU32::new(4).unwrap();
const MAX_NODES: u64 = 10_000;

pub(super) fn load_redis(section: &Section<'_>, sources: &Sources) -> Option<RedisSettings> {
    let servers = load_servers(section, sources);
    let has_login = section.has("username") || section.has("password_env");
    if let Some(found) = &servers
        && has_login
        && found.all.iter().any(|server| server.has_user || server.has_password)
    {
        let place =
            section.key_place(if section.has("username") { "username" } else { "password_env" });
        section.push(Fault::of(&place, &StoreFault::LoginTwice { key: found.key }));
    }
    let user = section.parse("username", "user name", check_user);
    let password = load_secret(section, "password_env", sources);
    if section.has("username") && !section.has("password_env") {
        let place = section.key_place("username");
        section.push(Fault::of(&place, &StoreFault::UserWithoutPassword));
    }
    let ca = load_ca(section, servers.as_ref(), sources);
    let prefix = section.parse("prefix", "prefix", check_prefix);
    let deadline = load_deadline(section);
    let nodes = section.number("nodes", 1..MAX_NODES + 1);
    let nodes = nodes.and_then(|nodes| u32::try_from(nodes.value).ok()).and_then(NonZeroU32::new);
    let hash_key = load_hash_key(section, sources);
    Some(RedisSettings {
        servers: servers?.servers,
        user: user.map(|user| user.value.into()),
        password,
        ca,
        prefix: prefix.map_or("tollgate".into(), |prefix| prefix.value.into()),
        deadline,
        nodes: nodes.unwrap_or(NODES),
        hash_key,
    })
}

fn load_ca(section: &Section<'_>, found: Option<&Found>, sources: &Sources) -> Option<Arc<[u8]>> {
    let file = section.text("ca_file")?;
    if let Some(found) = found
        && !found.all.is_empty()
        && !found.all.iter().all(|server| server.is_encrypted)
    {
        let place = section.key_place("ca_file");
        section.push(Fault::of(&place, &StoreFault::CaWithoutTls { key: found.key }));
    }
    let pem = read_file(file.value, &file.place, sources, section.faults())?;
    if !is_pem(&pem) {
        section.push(Fault::of(&file.place, &StoreFault::CaFile));
        return None;
    }
    Some(pem.to_vec().into())
}

/// Whether a file holds certificates; what they say is judged by TLS.
fn is_pem(file: &[u8]) -> bool {
    let text = std::str::from_utf8(file).unwrap_or_default();
    text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----")
}

fn load_deadline(section: &Section<'_>) -> Duration {
    let Some(deadline) = section.duration("deadline") else { return DEADLINE };
    if deadline.value.is_zero() || deadline.value > MAX_DEADLINE {
        section.push(Fault::of(&deadline.place, &StoreFault::Deadline));
        return DEADLINE;
    }
    deadline.value
}

fn check_user(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
        return Err(
            "the name of an ACL user has 1 to 128 printable ASCII characters, without spaces"
                .into(),
        );
    }
    Ok(text.to_owned())
}

/// Braces would choose the slots of a cluster, and the patterns of ACLs read `*`, `?` and brackets.
fn check_prefix(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err("use 1 to 64 letters, digits, `.`, `_`, `:` and `-`".into());
    }
    Ok(text.to_owned())
}
