//! What client developers are handed, made from the table of codes and the policy in force.
//!
//! - [`page`] and [`handbook`] gather what is told: about a code, and about a rule.
//! - [`examples`] makes decisions about requests ([`vectors`]), so that examples are what is really
//!   sent.
//! - [`json_schema`], [`openapi`], [`typescript`], [`markdown`] and [`html`] write it down.
//! - [`router`] serves it.
//!
//! Nothing here is written by hand about a single code: it all comes from the catalogue, the
//! members, and the gate itself, so it cannot be out of step with what is sent.

mod api;
pub(crate) mod example;
mod examples;
mod forms;
pub(crate) mod handbook;
mod heal;
mod html;
#[cfg(test)]
mod in_step;
pub(crate) mod json;
mod json_schema;
mod markdown;
pub(crate) mod openapi;
pub(crate) mod page;
mod router;
mod sample;
mod stage;
mod text;
mod typescript;
mod vectors;

pub(crate) use api::Api;

/// A form in which the catalogue is handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// JSON Schema 2020-12 of the document.
    JsonSchema,
    /// An OpenAPI 3.1 document: components, and with a policy the paths of its rules.
    OpenApi,
    /// A TypeScript module.
    TypeScript,
    /// The catalogue in Markdown, and with a policy the handbook.
    Markdown,
    /// The index of the catalogue, as a page.
    Html,
}

impl Api<'_> {
    /// Writes the document of this form.
    pub(crate) fn write(&self, format: Format) -> String {
        match format {
            Format::JsonSchema => json_schema::schema(self).pretty(),
            Format::OpenApi => openapi::document(self).pretty(),
            Format::TypeScript => typescript::module(self),
            Format::Markdown => markdown::document(self),
            Format::Html => html::Pages::new(self, html::Links::File).index(),
        }
    }

    /// The whole catalogue as files that link to each other: names and contents.
    pub(crate) fn site(&self) -> Vec<(String, String)> {
        let mut files = html::Pages::new(self, html::Links::File).files();
        for (name, format) in [
            ("denial.schema.json", Format::JsonSchema),
            ("openapi.json", Format::OpenApi),
            ("denial.ts", Format::TypeScript),
        ] {
            files.push((name.to_owned(), self.write(format)));
        }
        files
    }

    /// The catalogue's index, in Markdown.
    pub(crate) fn markdown_index(&self) -> String {
        markdown::index(self)
    }

    /// The handbook in Markdown; `None` for any API.
    pub(crate) fn markdown_handbook(&self) -> Option<String> {
        markdown::handbook_page(self)
    }
}
