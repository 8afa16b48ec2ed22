//! Where buckets are kept: `[store]` as the policy says it, checked.

#![allow(dead_code, reason = "read by stores that are features")]

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::credential::Secret;

/// Where the buckets of all limits are kept. Failures of addresses stay in the memory of the process.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoreSettings {
    /// In the memory of this process.
    #[default]
    Memory,
    /// On a server of Redis or Valkey, which other processes take from too.
    Redis(Arc<RedisSettings>),
}

/// How buckets are shared through Redis or Valkey.
#[derive(Clone, Debug)]
pub(crate) struct RedisSettings {
    pub(crate) servers: Servers,
    /// The ACL user, where the address does not name one.
    pub(crate) user: Option<Box<str>>,
    /// The password, where the address does not hold one.
    pub(crate) password: Option<Secret>,
    /// PEM certificates of the authorities that vouch for the servers, in place of the system's.
    pub(crate) ca: Option<Arc<[u8]>>,
    /// What all keys begin with: letters, digits and `._:-`.
    pub(crate) prefix: Box<str>,
    /// No decision waits longer for the store.
    pub(crate) deadline: Duration,
    /// The most processes that share the store at once: what each takes while it is away.
    pub(crate) nodes: NonZeroU32,
    /// Keys the hash that buckets are named by, so that who reads the store cannot guess clients.
    pub(crate) hash_key: Option<Secret>,
}

/// The addresses of the servers. They may hold a password.
#[derive(Clone, Debug)]
pub(crate) enum Servers {
    /// One server, or a primary that others follow.
    One(Secret),
    /// Nodes of a cluster, from which the others are learnt. At least one.
    Cluster(Vec<Secret>),
}

/// What happens to a limit's decisions while the store cannot be asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum OnStoreFailure {
    /// Each process takes from its share of the quota: one part in `nodes`.
    #[default]
    LocalShare,
    /// Requests are refused with `limiter_unavailable`.
    Closed,
    /// Requests are admitted and counted, and nothing bounds them.
    Open,
}

impl RedisSettings {
    /// Whether both lead to the same buckets, by the same connections.
    pub(crate) fn leads_to_the_buckets_of(&self, other: &Self) -> bool {
        let secret =
            |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_vec());
        self.servers.texts() == other.servers.texts()
            && matches!(self.servers, Servers::One(_)) == matches!(other.servers, Servers::One(_))
            && self.user == other.user
            && secret(&self.password) == secret(&other.password)
            && self.ca == other.ca
            && self.prefix == other.prefix
            && secret(&self.hash_key) == secret(&other.hash_key)
    }
}

impl Servers {
    /// The addresses as they are written, with what they hold of passwords.
    fn texts(&self) -> Vec<&[u8]> {
        match self {
            Self::One(server) => vec![server.expose()],
            Self::Cluster(nodes) => nodes.iter().map(Secret::expose).collect(),
        }
    }
}

/// As the policy writes it.
impl fmt::Display for OnStoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalShare => "local_share",
            Self::Closed => "closed",
            Self::Open => "open",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> RedisSettings {
        RedisSettings {
            servers: Servers::One(Secret::new(url.into())),
            user: Some("gate".into()),
            password: Some(Secret::new(b"hunter2".to_vec())),
            ca: None,
            prefix: "tollgate".into(),
            deadline: Duration::from_millis(5),
            nodes: NonZeroU32::MIN,
            hash_key: Some(Secret::new(b"hunter3".to_vec())),
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let shown = format!("{:?}", settings("redis://:hunter1@db"));
        assert!(!shown.contains("hunter") && shown.contains("gate"), "{shown}");
    }

    #[test]
    fn another_deadline_leads_to_the_same_buckets_and_another_key_does_not() {
        let one = settings("redis://db");
        let slower = RedisSettings { deadline: Duration::from_millis(9), ..one.clone() };
        assert!(one.leads_to_the_buckets_of(&slower));
        let unkeyed = RedisSettings { hash_key: None, ..one.clone() };
        assert!(!one.leads_to_the_buckets_of(&unkeyed));
        assert!(!one.leads_to_the_buckets_of(&settings("redis://other")));
    }
}
