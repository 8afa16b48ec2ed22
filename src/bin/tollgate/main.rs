//! The `tollgate` command: what operators do with a policy.

mod check;
mod key;
mod listen;
mod schema;
mod serve;
mod token;

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};
use tollgate::{OpenError, Tollgate, workbench};

/// Authorization and rate limiting that says why.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 fine, 1 the policy is refused, 2 bad usage or an unreadable file"
)]
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
    #[arg(long = "policy", value_name = "FILE", default_value = USUAL_POLICY)]
    path: PathBuf,
}

/// How a verb ended: fine, with a refused policy, or with bad usage and unreadable files.
enum Failure {
    Refused(String),
    Usage(String),
}

fn main() -> ExitCode {
    let end = match Cli::try_parse().unwrap_or_else(|error| explained(error).exit()).verb {
        Verb::Check(check) => check.run(),
        Verb::Key(key) => key.run(),
        Verb::Schema(schema) => schema.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Token(token) => token.run(),
    };
    match end {
        Ok(code) => code,
        Err(Failure::Refused(message)) => {
            tell(message);
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            tell(format_args!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

/// The error of the command line; a policy that was named without `--policy` gets the tip.
fn explained(mut error: clap::Error) -> clap::Error {
    let tip = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if is_policy_name(argument) => {
            format!("the policy is named with '--policy {argument}'").into()
        }
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    error
}

fn is_policy_name(argument: &str) -> bool {
    !argument.starts_with('-') && Path::new(argument).extension().is_some_and(|end| end == "toml")
}

impl PolicyFile {
    /// Opens the gate with the policy to look at it, on a runtime of its own.
    fn open(&self) -> Result<Tollgate, OpenError> {
        block_on(workbench::open_to_look_at(&self.path))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Unreadable { path, error } => Self::cannot_read("the policy ", path, error),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl Failure {
    /// A file that cannot be read; `what` says what it is, and ends with a space.
    fn cannot_read(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::NotFound => "the file does not exist".to_owned(),
            ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            ErrorKind::PermissionDenied => "this user has no permission to read it".to_owned(),
            // The error of the gate says where; that of the library does not.
            ErrorKind::InvalidData if error.get_ref().is_none() => {
                "it is not UTF-8 text".to_owned()
            }
            _ => error.to_string(),
        };
        let help = match error.kind() {
            ErrorKind::NotFound if path == Path::new(USUAL_POLICY) => {
                "\nhelp: name the policy with `--policy FILE`"
            }
            _ => "",
        };
        Self::Usage(format!("cannot read {what}`{}`: {why}{help}", path.display()))
    }

    fn cannot_write(path: &Path, error: &std::io::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::NotFound => "its folder does not exist".to_owned(),
            ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            ErrorKind::PermissionDenied => "this user has no permission to write it".to_owned(),
            _ => error.to_string(),
        };
        Self::Usage(format!("cannot write `{}`: {why}", path.display()))
    }
}

const USUAL_POLICY: &str = "config/tollgate.toml";

/// Writes to the standard output. A reader that has seen enough, such as `head`, is no failure.
fn say(text: impl Display) -> Result<(), Failure> {
    say_by(|out| write!(out, "{text}"))
}

/// The same for a text that is too long to be made as a whole.
fn say_by(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("cannot write to the standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Shows a new key before it is stored, since nobody can show it later. Unless it could be written as a
/// whole, nothing is stored.
fn show_key(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| {
        Failure::Usage(format!(
            "cannot write the new key to the standard output: {error}; nothing was stored\n\
             help: repeat the command where its output can be written"
        ))
    })
}

/// Writes a line to the standard error. Nobody may read it: what was done is done all the same.
fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("the system gives threads and a poller to a runtime").block_on(future)
}
