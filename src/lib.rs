//! Authorization and rate limiting for axum that says **why**.
//!
//! Tollgate reads who calls (an API key or a JWT), decides whether they may (scopes, roles,
//! rules), meters how much (token buckets for each client), and when it says no, it says why,
//! in one documented document that a client developer can act on.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use axum::{Router, routing::get};
//! use tollgate::{Principal, Tollgate};
//!
//! async fn list_orders(caller: Principal) -> String {
//!     format!("orders of {}", caller.client())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let gate = Tollgate::open("config/tollgate.toml").await?;
//!     let app = Router::new()
//!         .route("/orders", get(list_orders))
//!         .layer(gate.layer()); // last: it covers all above it
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     // The gate needs the peer's address, so serve the app with it.
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # The three who meet it
//!
//! - The **API developer** mounts the gate ([`Tollgate`]) and asks it about the caller with
//!   extractors: [`Principal`], [`Scoped`], [`ApiKey`], [`Claims`], [`Admission`]. A handler
//!   that refuses returns a [`Denial`], which the client sees in the same form.
//! - The **operator** writes the policy in TOML; `tollgate check` reports every fault in it at
//!   once, with place and help. `config/tollgate.toml` is an annotated example.
//! - The **client developer** gets one document for every denial (RFC 9457), with a stable
//!   `code`, what happened, and what to do next. Schemas, types and the catalogue of codes are in
//!   `docs/errors`; `tollgate schema --policy FILE` writes those of one API, with its handbook.
//!   Clients in Rust read it with the crate `tollgate-client`, which needs nothing of the gate.
//!
//! # What a policy decides
//!
//! A request goes one way: the most specific rule that covers path and method; the client's
//! address; one credential, proven; scopes, roles, claims; every limit of the rule, taken
//! together or not at all. What no rule covers is denied.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `reference` | yes | what client developers are handed: `Tollgate::catalogue` and `openapi::apply` |
//! | `cli` | no | the `tollgate` command: `cargo install tollgate --features cli` |
//! | `sqlite` | no | API keys in a file of SQLite, which is built in: `[api_keys] store = { sqlite = "keys.db" }` |
//! | `postgres` | no | API keys in Postgres: `[api_keys] store = { postgres_env = "DATABASE_URL" }` |
//! | `test-util` | no | [`test_util`]: callers and admissions without a gate, for `[dev-dependencies]` |
//! | `client` | no | `tollgate::client`: the crate `tollgate-client`, which programs that call an API depend on alone |
//!
//! # Metrics
//!
//! They go to the recorder of the `metrics` facade that the application installs. Labels are names of
//! the policy and of the catalogue.
//!
//! | metric | labels | what it is |
//! | --- | --- | --- |
//! | `tollgate_admitted_total` | `rule` | requests that were admitted |
//! | `tollgate_denied_total` | `code`, `rule`, `mode` | denials; `mode` is `enforce` or `shadow` |
//! | `tollgate_reloads_total` | `outcome` | changes of the policy: `loaded` or `refused` |
//! | `tollgate_policy_revision` | | the number of the policy in force, from 1 |
//! | `tollgate_snapshots` | | policies in memory: the one in force, and those that requests still end with |
//! | `tollgate_buckets` | `limit` | buckets that are kept |
//! | `tollgate_failure_buckets` | | addresses whose failures are counted |
//! | `tollgate_revocations` | `source` | entries of lists of revocations: `policy`, or `application` ([`Revocations`]) |
//! | `tollgate_ended_total` | `code` | open streams whose credential ended ([`Admission::ended`]) |
//! | `tollgate_key_lookups_total` | `outcome` | look-ups of API keys in a source: `found`, `unknown`, `failed`, `not_asked` |
//! | `tollgate_keys_in_memory` | `kind` | keys of a source that are remembered: `known`, and `unknown` to it |
//! | `tollgate_key_refreshes_total` | `issuer`, `outcome` | refreshes of key sets over the network: `changed`, `unchanged`, `failed` |
//! | `tollgate_store_…` | | six of shared limits: see `docs/shared-limits.md` |
//!
//! Install the recorder before the gate is opened: one that comes later misses what was counted before.
//!
//! # Reading the code
//!
//! A request comes in at `gate/layer.rs`; `gate/judge.rs` has it decided about, observes the decision,
//! and answers. `decision/pipeline.rs` is what happens between: the stages of a decision, in one
//! function. `gate` and `decision` each begin with ten sentences that say how they work.
//!
//! Each room takes what the last one made: `credential`, `verify`, `limit`, `policy`; `decision` goes
//! through them, and neither logs nor answers; `denial` turns a refusal into a document; `gate` observes
//! and answers; `reference` writes what client developers are handed. No room reaches back, and no
//! file uses one that uses it. The crate `tollgate-client` is outside of the house: it knows the document,
//! and none of the rooms.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The tables of denials hold what only the pages and the command read. With all features, what nobody
// reads is still found.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unreachable_pub, unused_imports))]

mod accept;
mod address;
mod ask;
mod claims;
mod credential;
mod decision;
mod denial;
mod fields;
mod gate;
mod limit;
mod policy;
mod principal;
#[cfg(feature = "reference")]
mod reference;
mod scope;
mod time;
mod verify;
mod watch;

/// API keys at run time: a source or store of the application's own, and what it is made of.
pub mod keys {
    pub use crate::gate::{IssuedKey, Keys};
    pub use crate::verify::key_store::{
        ApiKeyRecord, ApiKeyRecordBuilder, InvalidKeyDigest, InvalidKeyRecord, KeyChanges,
        KeyDigest, KeyFuture, KeySource, KeySourceError, KeyStore, KeyStoreError,
    };
}

/// OpenAPI: what an application's own document says of the gate in front of it.
#[cfg(feature = "reference")]
pub mod openapi {
    pub use crate::reference::openapi::{ApplyError, apply};
}

#[cfg(feature = "test-util")]
#[doc(inline)]
pub use gate::test_util;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod workbench;

pub use denial::{Action, Actor, Category, Denial, DenialCode, DenialExample};
pub use gate::{
    Admission, ApiKey, Claims, Ended, LastFault, LimitBalance, OpenError, Revision,
    RevocationStatus, Scoped, SourceState, SourceStatus, Status, StoreStatus, Tollgate,
    TollgateBuilder, TollgateFuture, TollgateLayer, TollgateService, Warnings,
};
pub use policy::{Fault, Severity};
pub use principal::{CredentialKind, Principal};
#[doc(hidden)]
pub use scope::private as __private;
pub use scope::{InvalidScope, RequiredScopes, Scope, Scopes};
pub use time::{Clock, ManualClock, Steady, Wall};
#[cfg(feature = "client")]
#[doc(inline)]
pub use tollgate_client as client;
pub use verify::{NewApiKey, NewApiKeyError, Revocation, Revocations};

/// The examples of the README, which are compiled and run.
#[cfg(all(doctest, feature = "reference"))]
#[doc = include_str!("../README.md")]
mod readme {}

/// The examples of the page on trust.
#[cfg(doctest)]
#[doc = include_str!("../docs/trust.md")]
mod trust_page {}

/// The examples of the page on keys.
#[cfg(doctest)]
#[doc = include_str!("../docs/keys.md")]
mod keys_page {}

/// The examples of the page on limits.
#[cfg(doctest)]
#[doc = include_str!("../docs/limits.md")]
mod limits_page {}
