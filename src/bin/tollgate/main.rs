//! The `tollgate` command: what operators do with a policy.

mod check;
mod key;
mod listen;
mod schema;
mod serve;
mod token;

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tollgate::{OpenError, Tollgate, workbench};

/// Authorization and rate limiting that says why.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Report every fault and every warning of a policy
    Check(check::Check),
    /// Work with API keys
    #[command(subcommand)]
    Key(key::Key),
    /// Write what client developers need: schemas, types and pages
    Schema(schema::Schema),
    /// Judge requests on a socket, to try a policy out
    Serve(serve::Serve),
    /// Work with bearer tokens, to try a policy out
    #[command(subcommand)]
    Token(token::Token),
}

/// The policy of a verb.
#[derive(clap::Args)]
struct PolicyFile {
    /// The policy file
    #[arg(long = "policy", value_name = "FILE", default_value = "config/tollgate.toml")]
    path: PathBuf,
}

/// How a verb ended: fine, with a refused policy, or with bad usage and unreadable files.
enum Failure {
    Refused(String),
    Usage(String),
}

fn main() -> ExitCode {
    let end = match Cli::parse().verb {
        Verb::Check(check) => check.run(),
        Verb::Key(key) => key.run(),
        Verb::Schema(schema) => schema.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Token(token) => token.run(),
    };
    match end {
        Ok(code) => code,
        Err(Failure::Refused(message)) => {
            eprintln!("{message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

impl PolicyFile {
    /// Opens the gate with the policy to look at it, on a runtime of its own.
    fn open(&self) -> Result<Tollgate, OpenError> {
        block_on(workbench::open_to_look_at(&self.path))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unreadable { .. } => Self::Usage(error.to_string()),
            refused => Self::Refused(refused.to_string()),
        }
    }
}

/// Writes to the standard output. A reader that has seen enough, such as `head`, is no failure.
fn say(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("cannot write to the standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("the system gives threads and a poller to a runtime").block_on(future)
}
