//! Reads a policy file, table by table.

mod across;
mod address;
mod allow;
mod checks;
mod claims;
mod codes;
mod denial;
mod headers;
mod issuer_keys;
mod issuers;
mod key_cache;
mod key_file;
mod key_place;
mod keys;
mod limits;
mod loaded_keys;
mod needs;
mod often;
mod one_key;
mod paths;
mod plain_key;
mod redis_address;
#[cfg(not(feature = "redis"))]
#[path = "no_redis.rs"]
mod redis_url;
#[cfg(feature = "redis")]
mod redis_url;
mod remote_keys;
mod revoked;
mod rule_context;
mod rule_faults;
mod rule_limits;
mod rules;
mod scopes;
mod store;

use std::sync::Arc;

use toml::de::DeTable;

use across::{warn_of_plans, warn_of_proxies, warn_of_uniform_status};
use address::load_address;
use allow::load_allow;
pub(crate) use checks::{check_name, check_word, parse_cidr, parse_scope};
use checks::{load_quota, load_size, report_syntax};
use denial::load_denial;
use issuers::load_issuers;
pub use key_file::{KeyList, ListedKey};
use keys::load_keys;
use limits::load_limits;
pub(crate) use plain_key::{plain_key, strings_of};
use revoked::{KnownIssuers, load_revoked};
use rule_context::RuleContext;
use rules::load_rules;
use scopes::load_scopes;
use store::load_store;

use super::fault::Fault;
use super::faults::Faults;
use super::place::{Place, Source};
use super::problem::problems;
use super::section::Section;
use super::sources::Sources;
use super::{Policy, Preflights};
use crate::limit::{Quota, parse_rate};
use crate::verify::{Issuers, TokenPolicy};

/// The keys at the top, in the order of the reference.
const TABLES: [&str; 16] = [
    "version",
    "allow",
    "denial",
    "address",
    "api_keys",
    "key",
    "issuer",
    "revoked",
    "tokens",
    "failures",
    "limit",
    "rule",
    "cors",
    "revocations",
    "scopes",
    "store",
];

/// Reads the policy `text`. Files and secrets that it names are read from `sources`.
///
/// What could not be read is reported in `faults`; whoever calls refuses the policy when there are
/// any. `None` where nothing can be made of the text.
pub(crate) fn load(name: &str, text: &str, sources: &Sources, faults: &Faults) -> Option<Policy> {
    let source = Arc::new(Source::new(name, text));
    let start = Place { source: source.clone(), span: 0..0 };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() && table.get_ref().is_empty() {
        return refuse_empty(&start, faults);
    }
    let lines = report_syntax(&errors, &source, faults)?;
    let root = Section::new("the policy", table.get_ref(), &source, 0..0, faults);
    root.knows(&TABLES);
    check_version(&root);
    let policy = load_root(&root, sources);
    root.finish();
    if !lines.is_empty() {
        faults.drop_followers(&lines);
    }
    policy
}

fn refuse_empty(start: &Place, faults: &Faults) -> Option<Policy> {
    faults.push(Fault::of(start, &PolicyFault::EmptyPolicy));
    None
}

fn check_version(root: &Section<'_>) {
    if !root.has("version") {
        root.push(Fault::of(root.place(), &PolicyFault::NoVersion));
    }
    let version = root.number_or("version", 0..1 << 32, "write `version = 1`, without quotes");
    if let Some(version) = version.filter(|version| version.value != 1) {
        let unknown = PolicyFault::UnknownVersion { version: version.value };
        root.push(Fault::of(&version.place, &unknown));
    }
}

fn load_root(root: &Section<'_>, sources: &Sources) -> Option<Policy> {
    let (denial, codes) = load_denial(root.section("denial", "[denial]"));
    let (address, address_whole) =
        whole(root, || load_address(root.section("address", "[address]")));
    let failures = load_failures(root.section("failures", "[failures]"));
    let tokens = load_tokens(root.section("tokens", "[tokens]"));
    let store = load_store(root.section("store", "[store]"), sources);
    let preflights = load_cors(root.section("cors", "[cors]"));

    let hierarchy = Arc::new(load_scopes(root.section("scopes", "[scopes]")));
    let key_header = root.section("api_keys", "[api_keys]").and_then(|keys| keys.text("header"));
    let key_header = key_header.map_or("x-api-key", |header| header.value);
    let sections = root.sections("issuer", "[[issuer]]");
    let (issuers, issuers_whole) =
        whole(root, || load_issuers(sections, sources, key_header, &hierarchy));
    let issuers = Issuers::new(issuers, tokens.max_bytes);
    // A table whose name is misspelt is reported as that alone, and not as one that is missing.
    let keys_misspelt = root.misspells("api_keys") || root.misspells("key");
    let takes_keys = root.has("api_keys") || root.has("key") || keys_misspelt;
    let (mut keys, keys_whole) = whole(root, || {
        let section = root.section("api_keys", "[api_keys]");
        let plain = root.sections("key", "[[key]]");
        load_keys(section, plain, sources, &hierarchy, issuers.take_bearer(), root.faults())
    });
    keys.credential.token_headers = issuers.headers().to_vec();
    let sections = root.sections("limit", "[[limit]]");
    let (written, any) = (sections.len(), root.holds("limit"));
    let (limits, limits_whole) = whole(root, || load_limits(sections, &store));
    let limit_names_known =
        limits.len() == written && (written > 0 || !any) && !root.misspells("limit");
    let known_issuers =
        KnownIssuers { issuers: &issuers, are_whole: issuers_whole && !root.misspells("issuer") };
    let (revoked, revoked_file) = load_revoked(root, sources, &known_issuers);
    let context = RuleContext {
        limits: &limits,
        keys: &keys,
        takes_keys,
        takes_tokens: root.has("issuer") || root.misspells("issuer"),
        issuers: &issuers,
        issuers_whole: issuers_whole && !root.misspells("issuer"),
        granted: keys.granted(),
        granted_roles: keys.granted_roles(),
        keys_whole: keys_whole && !keys.has_store && !keys_misspelt,
        limits_whole: limits_whole && limit_names_known,
        limit_names_known,
        counts_failures: failures.is_some(),
        nodes: store.is_shared.then_some(store.nodes),
    };
    let rules = load_rules(root.sections("rule", "[[rule]]"), &context, root);
    if context.keys_whole && context.limits_whole && context.issuers_whole {
        warn_of_plans(&limits, &keys, &issuers, root.faults());
    }
    if address_whole {
        warn_of_proxies(&address, &limits, root.faults());
    }
    // Of a policy with faults it is not known which rules take tokens, nor where.
    if root.holds("issuer") && root.faults().count() == 0 {
        warn_of_uniform_status(root, &denial, &rules);
    }
    load_allow(root.sections("allow", "`allow`"));

    Some(Policy {
        denial,
        address,
        credential: keys.credential,
        takes_keys,
        keys: keys.table,
        looks_keys_up: keys.has_store,
        key_place: keys.place,
        key_cache: keys.cache,
        issuers,
        revoked,
        revoked_file,
        tokens,
        failures,
        limits: limits.into_iter().map(|limit| limit.limit).collect(),
        rules,
        hierarchy,
        preflights,
        max_buckets: store.max_buckets,
        store: store.settings,
        codes,
    })
}

/// What `read` reads, and whether it found no fault.
fn whole<T>(root: &Section<'_>, read: impl FnOnce() -> T) -> (T, bool) {
    let before = root.faults().count();
    let read = read();
    (read, root.faults().count() == before)
}

fn load_failures(section: Option<Section<'_>>) -> Option<Quota> {
    let Some(section) = section else { return quota_of("10/minute", Some(20)) };
    let enabled = section.flag("enabled").unwrap_or(true);
    let rate = section.text("rate");
    let quota =
        load_quota(&section, rate.as_ref().map_or("10/minute", |rate| rate.value), Some(20));
    section.finish();
    quota.filter(|_| enabled)
}

fn quota_of(rate: &str, burst: Option<u32>) -> Option<Quota> {
    let (tokens, period) = parse_rate(rate).ok()?;
    Quota::new(tokens, period, burst.and_then(std::num::NonZeroU32::new).unwrap_or(tokens)).ok()
}

fn load_tokens(section: Option<Section<'_>>) -> TokenPolicy {
    let mut tokens = TokenPolicy::default();
    let Some(section) = section else { return tokens };
    if let Some(cache) = section.number("cache", 0..100_000_001) {
        tokens.cache = usize::try_from(cache.value).unwrap_or(tokens.cache);
    }
    if let Some(bytes) = load_size(&section, "cache_bytes", 0..(1 << 50) + 1) {
        tokens.cache_bytes = bytes.value;
    }
    if let Some(bytes) = load_size(&section, "max_bytes", 1..65_537) {
        tokens.max_bytes = usize::try_from(bytes.value).unwrap_or(tokens.max_bytes);
    }
    section.finish();
    tokens
}

fn load_cors(section: Option<Section<'_>>) -> Preflights {
    let preflights = section.and_then(|section| {
        let words = [("judge", Preflights::Judge), ("pass", Preflights::Pass)];
        let preflights = section.one_of("preflights", &words);
        section.finish();
        preflights
    });
    preflights.unwrap_or(Preflights::Judge)
}

problems! {
    /// What may be wrong with the policy as a whole, or with a table that is read here.
    enum PolicyFault: Fault {
        /// A file with nothing in it.
        EmptyPolicy => {
            message: "the policy is empty",
            label: "is empty",
            help: "begin with `version = 1` and a [[rule]]: without rules every request is denied",
        }
        /// No `version` above the tables.
        NoVersion => {
            message: "the policy has no `version`",
            label: "`version` belongs here",
            help: "begin with `version = 1`, above all tables",
        }
        /// A version that this release does not read.
        UnknownVersion { version: u64 } => {
            message: "version {version} is unknown",
            label: "is not 1",
            help: "this release reads version 1",
        }
    }
}
