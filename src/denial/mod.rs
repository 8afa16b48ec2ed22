//! Why not: the one room in which errors become codes, statuses, headers and a body.
//!
//! 1. [`catalogue`] is the table of codes: all that is known about each, in one row.
//! 2. [`cause`] turns the error of a stage into a [`Denial`]: a code and the facts.
//! 3. [`render`] writes the document (RFC 9457) and its headers, as the policy says.
//!
//! Detail and remedy are templates over the members of the document, so every fact in them is
//! a member too, and nothing that a client sent can get in.

mod accepted;
pub(crate) mod catalogue;
mod cause;
mod code;
mod document;
mod form;
mod json;
mod media;
pub(crate) mod members;
mod rate_limit;
mod registry;
mod render;
mod template;
mod value;

pub(crate) use cause::{PROVED_NOTHING, Scene, remedy_for};
pub(crate) use media::Media;
pub(crate) use registry::Registry;
pub(crate) use render::Renderer;

pub(crate) use code::Challenge;
pub use code::{Category, DenialCode};
pub use document::Denial;
