//! Authorization and rate limiting for axum that says **why**.
//!
//! Tollgate reads who calls (an API key or a JWT), decides whether they may (scopes, roles,
//! rules), meters how much (token buckets for each client), and when it says no, it says why,
//! in one documented document that a client developer can act on.
//!
#![cfg_attr(feature = "gate", doc = "```no_run")]
#![cfg_attr(not(feature = "gate"), doc = "```ignore")]
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
//!   Clients in Rust read it with [`client`], which needs nothing of the gate.
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
//! | `gate` | yes | the gate: all that is listed here but [`client`] |
//! | `cli` | yes | the `tollgate` command, and `gate` |
//! | `client` | no | [`client`]: the denial as a type, for programs that call an API; no axum, no tokio |
//! | `metrics` | no | `gate`, with counters by the `metrics` facade: `tollgate_admitted_total` (`rule`) and `tollgate_denied_total` (`code`, `rule`, `mode`) |
//!
//! The gate without the command: `default-features = false, features = ["gate"]`.
//!
//! # Reading the code
//!
//! Start at `gate/pipeline.rs`: it is the way of a request, in one function. Each room takes
//! what the last one made: `credential`, `verify`, `policy`, `limit`; `denial` turns their
//! errors into documents, and `reference` writes what client developers are handed about them.
//! No room reaches back. `client` stands outside: it knows the document, and none of the rooms.

// Without these features there is nothing for some of the links above to lead to.
#![cfg_attr(not(all(feature = "gate", feature = "client")), allow(rustdoc::broken_intra_doc_links))]

// rustfmt looks for the files of modules in macros of this name only.
macro_rules! cfg_if {
    (if #[$condition:meta] { $($item:item)+ }) => { $(#[$condition] $item)+ };
}

cfg_if! {
    if #[cfg(feature = "gate")] {
        mod accept;
        mod address;
        mod claims;
        mod credential;
        mod denial;
        mod fields;
        mod gate;
        mod limit;
        mod policy;
        mod principal;
        mod reference;
        mod scope;
        mod time;
        mod verify;

        /// OpenAPI: what an application's own document says of the gate in front of it.
        pub mod openapi {
            pub use crate::reference::openapi::{ApplyError, apply};
        }

        #[doc(hidden)]
        pub mod workbench;

        pub use denial::{Category, Denial, DenialCode};
        pub use gate::{
            Admission, ApiKey, Claims, LimitBalance, OpenError, Scoped, Tollgate, TollgateBuilder,
            TollgateFuture, TollgateLayer, TollgateService,
        };
        pub use limit::MemoryStore;
        pub use policy::{Fault, Severity};
        pub use principal::{CredentialKind, Principal};
        pub use scope::{__is_scope, InvalidScope, RequiredScopes, Scope, Scopes};
        pub use time::{Clock, ManualClock};
        pub use verify::{NewApiKey, NewApiKeyError};
    }
}

#[cfg(feature = "client")]
pub mod client;

/// The examples of the README, which are compiled and run.
#[cfg(all(doctest, feature = "gate", feature = "client"))]
#[doc = include_str!("../README.md")]
mod readme {}
