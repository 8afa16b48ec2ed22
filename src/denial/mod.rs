//! Why not: the one room in which errors become codes, statuses, headers and a body.
//!
//! 1. [`catalogue`] is the table of codes: all that is known about each, in one row.
//! 2. [`document`] is a denial that is not yet written: why, and what was known then.
//! 3. [`cause`] says why: from the error of a stage to a code and the facts.
//! 4. [`render`] writes the document (RFC 9457) and its headers, as the policy says.
//!
//! Detail and remedy are templates over the members of the document, so every fact in them is
//! a member too, and nothing that a client sent can get in.

mod accepted;
pub(crate) mod catalogue;
mod cause;
mod code;
mod code_of;
mod document;
mod form;
mod json;
mod media;
pub(crate) mod members;
mod rate_limit;
mod registry;
mod render;
mod template;
mod written;

pub(crate) use catalogue::Code;
pub(crate) use cause::remedy_for;
pub(crate) use media::Media;
pub(crate) use registry::Registry;
pub(crate) use render::{RETRY_AFTER_MS, Renderer, SHOULD_RETRY, Served};

pub use code::{Action, Actor, Category, DenialCode};
pub(crate) use code::{Challenge, Occurs};
pub use document::Denial;
pub(crate) use document::Reason;
