//! What client developers are handed, made from the table of codes and the policy in force.
//!
//! - [`page`] and [`handbook`] gather what is told: about a code, and about a rule.
//! - [`example`] makes decisions about requests, so that examples are what is really sent.
//! - [`json_schema`], [`openapi`], [`typescript`], [`markdown`] and [`html`] write it down.
//! - [`router`] serves it.
//!
//! Nothing here is written by hand about a single code: it all comes from the catalogue, the
//! members, and the gate itself, so it cannot be out of step with what is sent.

pub(crate) mod example;
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

use std::sync::OnceLock;

use example::Example;

use crate::denial::{DenialCode, Occurs};
use crate::gate::Snapshot;
use crate::policy::{DenialPolicy, Disclosure, StatusMode};

/// What documents are made for: the API of a gate, or any API.
#[derive(Debug)]
pub(crate) struct Api<'g> {
    /// The catalogue, then the codes of the application.
    pub(crate) codes: Vec<&'g DenialCode>,
    pub(crate) denial: DenialPolicy,
    /// The policy in force; `None` for any API.
    pub(crate) snapshot: Option<&'g Snapshot>,
    examples: OnceLock<Vec<(String, Example)>>,
}

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

impl Api<'static> {
    /// Any API: what holds whatever the policy.
    pub(crate) fn any() -> Self {
        Self {
            codes: DenialCode::catalogue().to_vec(),
            denial: DenialPolicy::default(),
            snapshot: None,
            examples: OnceLock::new(),
        }
    }
}

impl<'g> Api<'g> {
    /// The API that this policy is for.
    pub(crate) fn of(snapshot: &'g Snapshot) -> Self {
        let mut codes: Vec<&DenialCode> = DenialCode::catalogue().to_vec();
        codes.extend(snapshot.voice.renderer.registry.own());
        let denial = snapshot.policy().denial.clone();
        if denial.disclosure == Disclosure::Minimal {
            // Only these are ever sent.
            codes.retain(|code| code.group().code == code.code);
        }
        Self { codes, denial, snapshot: Some(snapshot), examples: OnceLock::new() }
    }

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

    /// The statuses of a code, the uniform one first; with a policy in force, what its rules say.
    pub(crate) fn statuses(&self, code: &DenialCode) -> (u16, u16) {
        let modes = match code.occurs {
            Occurs::Unruled if self.snapshot.is_some() => vec![self.denial.status],
            _ => self.modes(),
        };
        let status =
            |mode: Option<&StatusMode>| code.status_in(*mode.unwrap_or(&StatusMode::Uniform));
        (status(modes.first()), status(modes.last()))
    }

    /// The modes of the status that rules have, each once, the uniform one first; of any API, both.
    pub(crate) fn modes(&self) -> Vec<StatusMode> {
        let all = [StatusMode::Uniform, StatusMode::Standard];
        let Some(snapshot) = self.snapshot else { return all.into() };
        let of = |mode: &StatusMode| {
            let mut rules = snapshot.policy().rules.iter().peekable();
            match rules.peek() {
                Some(_) => rules.any(|rule| rule.status_mode(&self.denial) == *mode),
                None => self.denial.status == *mode,
            }
        };
        all.into_iter().filter(of).collect()
    }

    /// The header that holds an API key.
    pub(crate) fn key_header(&self) -> &str {
        self.snapshot.map_or("x-api-key", |gate| gate.policy().credential.key_header.as_str())
    }

    /// Whether API keys are credentials there.
    pub(crate) fn takes_keys(&self) -> bool {
        self.snapshot
            .is_none_or(|gate| gate.policy().takes_keys || gate.policy().issuers.is_empty())
    }

    /// The catalogue's index, in Markdown.
    pub(crate) fn markdown_index(&self) -> String {
        markdown::index(self)
    }

    /// The handbook in Markdown; `None` for any API.
    pub(crate) fn markdown_handbook(&self) -> Option<String> {
        markdown::handbook_page(self)
    }

    /// An example response for each code that has one.
    pub(crate) fn examples(&self) -> &[(String, Example)] {
        self.examples.get_or_init(|| example::all(self))
    }
}
