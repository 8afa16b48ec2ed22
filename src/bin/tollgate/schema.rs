//! `tollgate schema`: what client developers are handed, for one API or for any.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tollgate::Tollgate;
use tollgate::workbench::{Format, schema, site};

use crate::{Failure, block_on};

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
            None => print!("{}", schema(format, gate.as_ref())),
            Some(folder) if format == Format::Html => {
                std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
                for (name, text) in site(gate.as_ref()) {
                    write(&folder.join(name), &text)?;
                }
            }
            Some(path) => write(path, &schema(format, gate.as_ref()))?,
        }
        if format == Format::Html && self.out.is_none() {
            eprintln!("this is the index alone: `--out DIR` writes the whole site");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot write `{}`: {error}", path.display()))
}

fn open(policy: &Path) -> Result<Tollgate, Failure> {
    Ok(block_on(Tollgate::open(policy))?)
}
