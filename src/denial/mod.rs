//! Why not: the one room in which errors become codes, statuses, headers and a body.
//!
//! 1. [`catalogue`] is the table of codes: all that is known about each, in one row.
//! 2. [`document`] is a denial that is not yet written: why, and what was known then.
//! 3. [`cause`] says why: from the error of a stage to a code and the facts.
//! 4. [`render`] writes the document (RFC 9457) and its headers, as the policy says: by the
//!    [`form`] of its kind where it has one, and otherwise member by member, in [`compose`].
//!
//! Detail and remedy are templates over the members of the document, so every fact in them is
//! a member too, and nothing that a client sent can get in.

mod accepted;
pub(crate) mod catalogue;
mod cause;
mod changing;
mod code;
mod code_of;
mod compose;
mod document;
mod facts;
mod form;
mod json;
mod known;
mod media;
pub(crate) mod members;
mod odd_path;
mod own;
mod properties;
mod rate_limit;
mod registry;
mod render;
mod response;
mod settings;
mod shape;
mod template;
mod written;

pub(crate) use catalogue::Code;
pub use catalogue::DenialCode;
pub(crate) use cause::remedy_for;
pub use document::Denial;
pub(crate) use document::{Draft, Reason};
pub(crate) use media::Media;
pub use own::DenialExample;
pub use properties::{Action, Actor, Category};
pub(crate) use properties::{Challenge, Occurs};
pub(crate) use registry::Registry;
pub(crate) use render::Renderer;
pub(crate) use response::{RETRY_AFTER_MS, SHOULD_RETRY};
pub(crate) use settings::Served;
