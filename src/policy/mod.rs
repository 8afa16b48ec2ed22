//! The policy: what the operator decided, read from TOML and checked as a whole.
//!
//! A policy is read once into a value that cannot be wrong: every name refers to something,
//! every rate is in range, every key file was read. What is wrong with it is reported
//! together, each fault with its place and help.

mod changes;
mod fault;
mod faults;
mod load;
mod needs;
mod no_rule;
mod outline;
mod parts;
mod path;
mod path_table;
mod place;
pub(crate) mod problem;
mod reading;
mod refusal;
mod rule;
mod rule_table;
mod secret_part;
mod section;
mod sources;
mod suggest;
mod twins;
mod value_fault;
mod warning;
mod worst_case;

pub use fault::Fault;
pub(crate) use faults::Faults;
#[cfg_attr(not(feature = "cli"), allow(unused_imports))]
pub use load::{KeyList, ListedKey};
pub(crate) use load::{check_name, check_word, load, parse_cidr, parse_scope};
#[cfg_attr(not(feature = "cli"), allow(unused_imports))]
pub(crate) use load::{plain_key, strings_of};
pub(crate) use needs::Needs;
pub(crate) use no_rule::{Ambiguity, NoRule};
pub(crate) use outline::Outline;
pub(crate) use place::{Place, Source};
pub use problem::Severity;
pub(crate) use problem::problems;
pub(crate) use reading::Oddity;
pub(crate) use refusal::{Refusal, ScopeGap};
pub(crate) use rule::{
    Anonymous, Counters, Demands, Mode, Preflights, Rule, RuleLimit, requested_method,
};
pub(crate) use rule_table::RuleTable;
pub(crate) use section::At;
pub(crate) use sources::{Secrets, Sources};
pub(crate) use suggest::{nearest, suggest};
#[cfg_attr(not(feature = "cli"), allow(unused_imports))]
pub use worst_case::{Away, Scattered, WorstCase};

use std::sync::Arc;

use crate::address::AddressPolicy;
use crate::credential::CredentialPolicy;
use crate::limit::{Limit, Quota, StoreSettings};
use crate::scope::ScopeHierarchy;
use crate::verify::key_store::{KeyCacheSettings, StorePlace};
use crate::verify::{Issuers, KeyTable, RevokedSet, TokenPolicy};

/// A checked policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) denial: DenialPolicy,
    pub(crate) address: AddressPolicy,
    pub(crate) credential: CredentialPolicy,
    /// Whether `[api_keys]` stands in the policy.
    pub(crate) takes_keys: bool,
    pub(crate) keys: KeyTable,
    /// The store of further keys, where the policy names one.
    pub(crate) key_place: Option<StorePlace>,
    /// Whether keys are looked up that the policy does not hold, in a source that may not answer.
    pub(crate) looks_keys_up: bool,
    /// How keys are remembered that the policy does not hold.
    pub(crate) key_cache: KeyCacheSettings,
    pub(crate) issuers: Issuers,
    /// `[[revoked]]`, of the policy and of its file.
    pub(crate) revoked: RevokedSet,
    /// The path of that file.
    pub(crate) revoked_file: Option<String>,
    pub(crate) tokens: TokenPolicy,
    /// `None` when turned off.
    pub(crate) failures: Option<Quota>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) rules: RuleTable,
    /// Which scopes imply others.
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
    pub(crate) preflights: Preflights,
    pub(crate) max_buckets: usize,
    /// Where buckets are kept.
    pub(crate) store: StoreSettings,
    /// The codes that the application adds to the catalogue.
    pub(crate) codes: Vec<CodeEntry>,
}

/// `[denial]`: how denials look.
#[derive(Clone, Debug)]
pub(crate) struct DenialPolicy {
    pub(crate) status: StatusMode,
    /// Without a `/` at its end.
    pub(crate) docs: Option<Box<str>>,
    pub(crate) disclosure: Disclosure,
    pub(crate) realm: Box<str>,
    pub(crate) support: Option<Box<str>>,
    pub(crate) ratelimit_headers: RateLimitHeaders,
}

impl Default for DenialPolicy {
    fn default() -> Self {
        Self {
            status: StatusMode::Uniform,
            docs: None,
            disclosure: Disclosure::Standard,
            realm: "api".into(),
            support: None,
            ratelimit_headers: RateLimitHeaders { draft: true, legacy: false },
        }
    }
}

/// Which status a denial has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum StatusMode {
    /// 403 whatever the cause; 503 where it is ours.
    Uniform,
    /// By cause: 400, 401, 403, 405, 429, 431, 503.
    Standard,
}

/// How much a denial tells.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Disclosure {
    /// The group of the cause.
    Minimal,
    /// The cause, and the remedy.
    Standard,
    /// What the server knows beside: for staging and internal networks.
    Detailed,
}

/// Which headers tell how the limits stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimitHeaders {
    /// `RateLimit` and `RateLimit-Policy`.
    pub(crate) draft: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub(crate) legacy: bool,
}

/// `[[denial.code]]`: a code that the application adds, as written. `denial/` checks it.
#[derive(Clone, Debug)]
pub(crate) struct CodeEntry {
    pub(crate) code: At<String>,
    pub(crate) title: String,
    pub(crate) category: At<String>,
    pub(crate) status: Option<At<u64>>,
    pub(crate) remedy: String,
    pub(crate) detail: Option<String>,
    pub(crate) retryable: bool,
    pub(crate) action: Option<At<String>>,
    pub(crate) actor: Option<At<String>>,
    /// The members that handlers add, with values as an example.
    pub(crate) example: Vec<(At<String>, serde_json::Value)>,
}
