//! The denial for programs that call an API behind a gate.
//!
//! [`Denial`] is the document that says why a request was refused, as a type. It is read from
//! the status, the headers and the body of a response, whatever the HTTP client is, and says
//! whether it helps to wait and for how long. Nothing of the gate is needed for it:
//!
//! ```toml
//! [dependencies]
//! tollgate-client = "0.1"
//! ```
//!
//! ```
//! use http::{HeaderMap, StatusCode, header};
//! use tollgate_client::{Advice, Code, Denial};
//!
//! # let body = br#"{
//! #     "type": "/errors/insufficient_scope", "title": "Insufficient scope", "status": 403,
//! #     "code": "insufficient_scope", "category": "authorization", "retryable": false,
//! #     "remedy": "Get a credential with these scopes.", "missing_scopes": ["orders:write"],
//! #     "action": "step_up", "actor": "user", "required_scopes": ["orders:write"],
//! #     "instance": "urn:uuid:5255b764-addb-4d15-97e1-2f4aab62cbba"
//! # }"#;
//! # let mut headers = HeaderMap::new();
//! # headers.insert(header::CONTENT_TYPE, "application/problem+json".parse()?);
//! # let (status, asked) = (StatusCode::FORBIDDEN, 1);
//! let denial = Denial::parse(status, &headers, body).ok_or("no denial")?;
//! match denial.code {
//!     Code::InsufficientScope => println!("you lack {}", denial.missing_scopes.join(", ")),
//!     _ => println!("{denial}"), // title and remedy, for people
//! }
//! match denial.advice(asked) {
//!     Advice::Wait(delay) => println!("again in {delay:?}"),
//!     Advice::RenewToken => println!("again with a new token"),
//!     Advice::StepUp(scopes) => println!("again with a token that has {}", scopes.join(", ")),
//!     _ => println!("not again"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rule that it keeps: what a newer server adds is never lost and never an error. An unknown
//! code is [`Code::Other`], an unknown member is read with [`Denial::member`]. What it does not do:
//! it opens no connection, and has no timer. [`Recovery`] is the one loop around a request, with
//! yours; `examples/client.rs` has it with reqwest and tokio.

mod advice;
mod code;
mod denial;
mod item;
mod read;
mod recovery;
mod seconds;

pub use advice::Advice;
pub use code::{Action, Actor, Category, Code, Unlisted};
pub use denial::Denial;
pub use item::{AcceptedCredential, AcceptedIssuer, LimitState, PresentedCredential};
pub use read::is_denial;
pub use recovery::{Next, Recovery};

/// The example of the README, which is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
