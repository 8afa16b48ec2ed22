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
mod circles;
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
mod shared_faults;
mod shared_limits;
mod shared_metrics;
mod shared_moves;
mod shared_rights;
mod shared_tls;
mod sign_up;
mod status;
mod support;
mod test_util;
mod tokens;
mod warnings;
mod worst_cases;
