//! `tollgate schema`: what client developers are handed, for one API or for any.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tollgate::Tollgate;
use tollgate::workbench::{Format, open_for_documents, schema, site};

use crate::{Failure, block_on, say, tell};

#[derive(clap::Args)]
pub(crate) struct Schema {
    /// What to write
    #[arg(long, value_enum)]
    format: Form,
    /// The policy of the API; without one, what holds for any API
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where to write it, for `html` a folder; without one, to the standard output
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// JSON Schema 2020-12 of the denial
    JsonSchema,
    /// An OpenAPI 3.1 document: components, and with a policy its paths
    #[value(name = "openapi")]
    OpenApi,
    /// A TypeScript module
    #[value(name = "typescript")]
    TypeScript,
    /// The catalogue, and with a policy the handbook
    Markdown,
    /// Pages: the index, or with `--out` the whole site
    Html,
}

impl Schema {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let gate = self.policy.as_deref().map(open).transpose()?;
        let format = match self.format {
            Form::JsonSchema => Format::JsonSchema,
            Form::OpenApi => Format::OpenApi,
            Form::TypeScript => Format::TypeScript,
            Form::Markdown => Format::Markdown,
            Form::Html => Format::Html,
        };
        match &self.out {
            None => say(schema(format, gate.as_ref()))?,
            Some(folder) if format == Format::Html => write_site(folder, site(gate.as_ref()))?,
            Some(path) => write(path, &schema(format, gate.as_ref()))?,
        }
        if format == Format::Html && self.out.is_none() {
            tell("this is the index alone: `--out DIR` writes the whole site");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages, and names those in the folder that are not among them: perhaps of a policy
/// that is no longer in force.
fn write_site(folder: &Path, site: Vec<(String, String)>) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Usage(format!(
            "cannot write the pages to `{}`: it is a file, and they need a folder",
            folder.display()
        )),
        _ => Failure::cannot_write(folder, &error),
    })?;
    for (name, text) in &site {
        write(&folder.join(name), text)?;
    }
    tell(format_args!("{} files were written to {}", site.len(), folder.display()));
    let there = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut others: Vec<String> = there
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".html") && site.iter().all(|(written, _)| written != name))
        .collect();
    others.sort();
    if !others.is_empty() {
        tell(format_args!(
            "not written now, but there: {}. Are they still meant to be?",
            others.join(", ")
        ));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::cannot_write(path, &error))
}

fn open(policy: &Path) -> Result<Tollgate, Failure> {
    Ok(block_on(open_for_documents(policy))?)
}
