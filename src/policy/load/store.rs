//! Reads `[store]`: where buckets are kept.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::checks::{load_max_buckets, read_file};
use super::redis_address::Address;
use super::redis_url::{IS_AVAILABLE, read_url};
use crate::credential::Secret;
use crate::limit::{RedisSettings, Servers, StoreSettings};
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::secret_part::is_variable;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;

/// `[store]`, as far as it could be read.
pub(super) struct LoadedStore {
    pub(super) settings: StoreSettings,
    /// The bound of each limit that states none.
    pub(super) max_buckets: usize,
    /// Whether `kind = "redis"` is written, or may be meant, even where the rest could not be read.
    pub(super) is_shared: bool,
    /// How many processes share it, at most.
    pub(super) nodes: NonZeroU32,
}

const MAX_BUCKETS: usize = 1_000_000;
const DEADLINE: Duration = Duration::from_millis(5);
const MAX_DEADLINE: Duration = Duration::from_secs(5);
const NODES: NonZeroU32 = NonZeroU32::new(4).unwrap();
const MAX_NODES: u64 = 10_000;
/// As long as the hash that it keys.
const MIN_HASH_KEY: usize = 32;

/// Where servers are named: one of these.
const PLACES: [&str; 3] = ["url", "url_env", "cluster"];
/// The keys that belong to a shared store.
const SETTINGS: [&str; 10] = [
    "url",
    "url_env",
    "cluster",
    "username",
    "password_env",
    "ca_file",
    "prefix",
    "deadline",
    "nodes",
    "hash_key_env",
];

pub(super) fn load_store(section: Option<Section<'_>>, sources: &Sources) -> LoadedStore {
    let mut store = LoadedStore {
        settings: StoreSettings::Memory,
        max_buckets: MAX_BUCKETS,
        is_shared: false,
        nodes: NODES,
    };
    let Some(section) = section else { return store };
    let kind = section.one_of("kind", &[("memory", false), ("redis", true)]);
    store.is_shared = kind.unwrap_or(section.has("kind"));
    store.max_buckets = load_max_buckets(&section).unwrap_or(MAX_BUCKETS);
    section.knows(&SETTINGS);
    match kind {
        Some(true) if !IS_AVAILABLE => {
            section.push(Fault::of(&section.key_place("kind"), &StoreFault::RedisOff));
        }
        Some(true) => {
            let settings = load_redis(&section, sources);
            store.nodes = settings.as_ref().map_or(NODES, |settings| settings.nodes);
            if let Some(settings) = settings {
                store.settings = StoreSettings::Redis(Arc::new(settings));
            }
        }
        // A kind that cannot be read may be meant to be this one.
        None if section.has("kind") => {}
        _ => {
            for name in SETTINGS.into_iter().filter(|name| section.has(name)) {
                let alone = StoreFault::SettingOfRedis { name };
                section.push(Fault::of(&section.key_place(name), &alone));
            }
        }
    }
    section.finish();
    store
}

fn load_redis(section: &Section<'_>, sources: &Sources) -> Option<RedisSettings> {
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

/// Addresses, and what they say.
struct Found {
    /// The key that they were found under.
    key: &'static str,
    servers: Servers,
    all: Vec<Address>,
}

fn load_servers(section: &Section<'_>, sources: &Sources) -> Option<Found> {
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

/// The secret in the variable that `key` names. One that is absent and forgiven is empty.
fn load_secret(section: &Section<'_>, key: &'static str, sources: &Sources) -> Option<Secret> {
    let variable = section.text(key)?;
    let name = variable.value;
    if !is_variable(name) {
        // It may be the secret itself.
        let raw = StoreFault::NotAVariable { key };
        section.push(Fault::of(&variable.place, &raw).mask(variable.place.span.clone()));
        return None;
    }
    let given = sources.variable(name);
    if given.is_none() && sources.forgives_absent_secrets() {
        return Some(Secret::new(Vec::new()));
    }
    if given.is_none() {
        let unset = StoreFault::VariableNotSet { key, variable: name.to_owned() };
        section.push(Fault::of(&variable.place, &unset));
    }
    given
}

fn load_hash_key(section: &Section<'_>, sources: &Sources) -> Option<Secret> {
    let key = load_secret(section, "hash_key_env", sources)?;
    if key.expose().len() < MIN_HASH_KEY && !sources.forgives_absent_secrets() {
        let place = section.text("hash_key_env")?.place;
        section.push(Fault::of(&place, &StoreFault::ShortHashKey { least: MIN_HASH_KEY }));
        return None;
    }
    Some(key)
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

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// `url` in words: what to write.
const URL_FORM: &str =
    "write `redis://host:6379`, or `rediss://host:6379` for TLS, without a part behind `#`";

problems! {
    /// What may be wrong with [store].
    enum StoreFault: Fault {
        /// `kind = "redis"` in a program without the client.
        RedisOff => {
            message: "this program was built without shared buckets",
            label: "cannot be used",
            help: "build it with the feature `redis` of `tollgate`, or use `kind = \"memory\"`: every process then keeps buckets of its own",
        }
        /// A setting of shared stores beside buckets in memory.
        SettingOfRedis { name: &'static str } => {
            message: "`{name}` belongs to a shared store",
            label: "has no effect on buckets in memory",
            help: "write `kind = \"redis\"` too, or remove it",
        }
        /// `kind = "redis"` alone.
        NoServer => {
            message: "[store] names no server",
            label: "needs an address",
            help: "write `url = \"redis://host:6379\"`, or name the variable that holds it, `url_env = \"REDIS_URL\"`, or the nodes of a cluster, `cluster = [\"redis://host:6379\"]`",
        }
        /// Two of `url`, `url_env` and `cluster`.
        SeveralPlaces { first: &'static str, second: &'static str } => {
            message: "`{first}` and `{second}` both name servers",
            label: "names servers beside `{first}`",
            help: "keep one of them",
        }
        /// A text that is not the address of a server.
        NotAUrl { key: &'static str } => {
            message: "`{key}` holds what is not the address of a Redis server",
            label: "is not a valid address",
            help: { URL_FORM },
        }
        /// A password in the policy.
        PasswordInPolicy { key: &'static str } => {
            message: "`{key}` holds a password",
            label: "is a secret",
            help: { match *key {
                "url" => "put the address into the environment and name the variable, `url_env = \"REDIS_URL\"`, or write `username` and `password_env` beside it",
                _ => "leave it out here, and write `username` and `password_env` beside the nodes",
            } },
        }
        /// A variable whose content is not an address.
        VariableNotAUrl => {
            message: "the variable of `url_env` does not hold the address of a Redis server",
            label: "cannot be read",
            help: "set it to `redis://user:password@host:6379`, or `rediss://...` for TLS, with special characters of the password percent-encoded",
        }
        /// A text that is not the name of a variable.
        NotAVariable { key: &'static str } => {
            message: "`{key}` is the name of an environment variable",
            label: "is not a name of capital letters, digits and `_`",
            help: "name the variable here, and put the secret itself into the environment",
        }
        /// A variable that the environment lacks.
        VariableNotSet { key: &'static str, variable: String } => {
            message: "the environment has no variable `{variable}`",
            label: "is not set",
            help: "set it before the gate starts; `tollgate check --without-secrets` checks the rest without it",
        }
        /// `cluster = []`.
        EmptyCluster => {
            message: "`cluster` is empty",
            label: "names no node",
            help: "name a few nodes, `cluster = [\"redis://a:6379\", \"redis://b:6379\"]`: the others are learnt from them",
        }
        /// An address that no node of a cluster has.
        OddNode { trouble: &'static str } => {
            message: "this is not the address of a node of a cluster",
            label: "{trouble}",
            help: "write `redis://host:6379` for each node, or `rediss://host:6379` for each; the user goes into `username` and `password_env`",
        }
        /// A user beside an address that names one.
        LoginTwice { key: &'static str } => {
            message: "`{key}` names a user or a password already",
            label: "is said twice",
            help: "keep the user and the password in one place",
        }
        /// `username` alone.
        UserWithoutPassword => {
            message: "`username` needs a password",
            label: "cannot log in",
            help: "name the variable that holds it: `password_env = \"REDIS_PASSWORD\"`",
        }
        /// A key of the hash that could be guessed.
        ShortHashKey { least: usize } => {
            message: "the hash key has fewer than {least} bytes",
            label: "is too short",
            help: "set the variable to random text: `openssl rand -hex 32`",
        }
        /// `ca_file` beside an address without TLS.
        CaWithoutTls { key: &'static str } => {
            message: "`ca_file` has no effect: `{key}` does not use TLS",
            label: "vouches for nobody",
            help: "write `rediss://` in the address, or remove it",
        }
        /// A `ca_file` that holds no certificates.
        CaFile => {
            message: "the file of `ca_file` cannot be used",
            label: "holds no certificate",
            help: "name a PEM file with the certificates of the authorities that vouch for the server: `-----BEGIN CERTIFICATE-----`",
        }
        /// A deadline of zero, or one that no request should wait.
        Deadline => {
            message: "`deadline` is out of range",
            label: "is out of range",
            help: "it is from `1ms` to `5s`: as long as a request may wait for the store, mostly a few milliseconds",
        }
    }
}

#[cfg(not(feature = "redis"))]
#[cfg(test)]
mod tests {
    use crate::policy::{Faults, Sources, load};

    #[test]
    fn without_the_feature_the_policy_is_refused_and_the_feature_named() {
        let policy = "version = 1\n[store]\nkind = \"redis\"\nurl = \"redis://db\"\n\
                      [[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\n";
        let faults = Faults::default();
        load("p.toml", policy, &Sources::default(), &faults);
        let faults = faults.into_sorted();
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.help().contains("`redis`"), "{fault}");
    }
}

#[cfg(feature = "redis")]
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::limit::OnStoreFailure;
    use crate::policy::{Faults, Policy, load};

    /// With the variable `SECRET` set to `secret`.
    fn read(store: &str, secret: &str) -> Result<Policy, String> {
        let policy = format!(
            "version = 1\n[store]\n{store}\n[[limit]]\nname = \"few\"\nrate = \"1/second\"\nburst = 8\n\
             per = [\"global\"]\non_store_failure = \"closed\"\n[[rule]]\nname = \"all\"\npath = \"/\"\n\
             public = true\nlimits = [\"few\"]\n"
        );
        let faults = Faults::default();
        let secrets = BTreeMap::from([("SECRET".to_owned(), super::secret(secret))]);
        let sources = Sources::default().with_secrets(Arc::new(secrets));
        let policy = load("p.toml", &policy, &sources, &faults);
        match faults.into_sorted().first() {
            None => Ok(policy.unwrap()),
            Some(fault) => Err(fault.to_string()),
        }
    }

    fn redis(store: &str, secret: &str) -> Arc<RedisSettings> {
        match read(&format!("kind = \"redis\"\n{store}"), secret).unwrap().store {
            StoreSettings::Redis(settings) => settings,
            StoreSettings::Memory => panic!("{store} is in memory"),
        }
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_reference() {
        let settings = redis("url = \"redis://db\"", "");
        assert!(matches!(&settings.servers, Servers::One(url) if url.expose() == b"redis://db"));
        assert_eq!((&*settings.prefix, settings.deadline), ("tollgate", Duration::from_millis(5)));
        assert_eq!(settings.nodes.get(), 4);
        assert!(
            settings.user.is_none() && settings.password.is_none() && settings.hash_key.is_none()
        );
    }

    #[test]
    fn all_that_is_written_is_kept() {
        let settings = redis(
            "cluster = [\"rediss://a:7000\", \"rediss://b:7000\"]\nusername = \"gate\"\n\
             password_env = \"SECRET\"\nhash_key_env = \"SECRET\"\nprefix = \"api:eu\"\n\
             deadline = \"250ms\"\nnodes = 8",
            "0123456789abcdef0123456789abcdef",
        );
        assert!(matches!(&settings.servers, Servers::Cluster(nodes) if nodes.len() == 2));
        assert_eq!(settings.user.as_deref(), Some("gate"));
        assert_eq!(settings.password.as_ref().unwrap().expose().len(), 32);
        assert_eq!((&*settings.prefix, settings.deadline), ("api:eu", Duration::from_millis(250)));
        assert_eq!(settings.nodes.get(), 8);
        let policy = read("kind = \"redis\"\nurl = \"redis://db\"", "").unwrap();
        assert_eq!(policy.limits[0].on_store_failure, OnStoreFailure::Closed);
    }

    #[test]
    fn a_hash_key_that_could_be_guessed_is_refused() {
        let store = "kind = \"redis\"\nurl = \"redis://db\"\nhash_key_env = \"SECRET\"";
        let refused = read(store, "hunter2").unwrap_err();
        assert!(
            refused.contains("fewer than 32 bytes") && !refused.contains("hunter2"),
            "{refused}"
        );
        assert!(read(store, &"x".repeat(32)).is_ok());
    }

    #[test]
    fn an_address_in_the_environment_may_hold_a_password_and_no_message_repeats_it() {
        let settings = redis("url_env = \"SECRET\"", "rediss://gate:hunter2@db:6380/1");
        assert!(matches!(&settings.servers, Servers::One(url) if url.expose().ends_with(b"/1")));
        assert!(!format!("{settings:?}").contains("hunter2"));
        for store in ["redis://:hunter2@", "http://:hunter2@db", "redis://:hunter2@db#insecure"] {
            let refused = read("kind = \"redis\"\nurl_env = \"SECRET\"", store).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            let refused = read(&format!("kind = \"redis\"\nurl = \"{store}\""), "").unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            let several =
                format!("kind = \"redis\"\ncluster = [\n\"redis://a\",\n\"{store}\"\n]\n");
            let refused = read(&several, "").unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            // Also where the fault is another one of that line.
            for line in
                [format!("kind = \"memory\"\nurl = \"{store}\""), format!("urls = \"{store}\"")]
            {
                let refused = read(&line, "").unwrap_err();
                assert!(!refused.contains("hunter2"), "{refused}");
            }
        }
    }
}
