//! What Tollgate promises, tested from outside: through the public API, over real sockets,
//! with the real command. One module for each promise.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod addresses;
mod agent;
mod answers;
mod bounds;
mod buckets;
mod catalogue;
mod challenges;
mod change_safety;
mod client;
mod command;
mod committed;
mod credentials;
mod direction;
mod disclosure;
mod extractors;
mod failures;
mod faults;
mod issuers;
mod key_files;
mod key_stores;
mod known_limits;
mod limits;
mod log;
mod metrics;
mod mounting;
mod negotiation;
mod openapi;
mod other_ways;
mod pages;
mod paths;
mod preflights;
mod providers;
mod reload;
mod remedies;
mod remote_keys;
mod retry;
mod revocation;
mod rules;
mod runtime_keys;
mod schema;
mod shared_limits;
mod shared_rights;
mod status;
mod support;
mod test_util;
mod tokens;
mod warnings;
mod worst_cases;
