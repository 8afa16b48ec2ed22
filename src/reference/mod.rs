//! What client developers are handed, made from the table of codes and the policy in force.
//!
//! - [`json_schema`]: the document as JSON Schema.
//!
//! Nothing here is written by hand about a single code: it all comes from the catalogue, the
//! members, and the gate itself, so it cannot be out of step with what is sent.

mod json;
mod json_schema;
mod text;

use crate::denial::DenialCode;
use crate::gate::Gate;
use crate::policy::DenialPolicy;

/// What documents are made for: the API of a gate, or any API.
pub(crate) struct Api<'g> {
    /// The catalogue, then the codes of the application.
    codes: Vec<&'g DenialCode>,
    denial: DenialPolicy,
}

/// A form in which the catalogue is handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// JSON Schema 2020-12 of the document.
    JsonSchema,
}

impl Api<'static> {
    /// Any API: what holds whatever the policy.
    pub(crate) fn any() -> Self {
        let codes = DenialCode::catalogue().to_vec();
        Self { codes, denial: DenialPolicy::default() }
    }
}

impl<'g> Api<'g> {
    /// The API behind this gate.
    pub(crate) fn of(gate: &'g Gate) -> Self {
        let mut codes: Vec<&DenialCode> = DenialCode::catalogue().to_vec();
        codes.extend(gate.renderer.registry.own());
        Self { codes, denial: gate.policy.denial.clone() }
    }

    /// Writes the document of this form.
    pub(crate) fn write(&self, format: Format) -> String {
        match format {
            Format::JsonSchema => json_schema::schema(self).pretty(),
        }
    }
}
