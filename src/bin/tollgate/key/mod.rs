//! `tollgate key ...`: API keys in policies, key files and the stores that policies name.
//!
//! A verb reads the files, changes one, and writes it as a whole; comments, order and all that it
//! does not concern stay as they were. What is in no file is looked for in the store.
//!
//! A new key is shown first and stored after: one that was shown and not stored is of no use to anybody, and
//! the command can be repeated; one that was stored and not shown would be lost.

mod document;
mod file;
mod import;
mod list;
mod new;
mod places;
mod revoke;
mod rotate;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use tollgate::workbench::duration;

use crate::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Key {
    /// Make a key: print it once, with the TOML to store
    New(new::New),
    /// List the keys of a policy, its key file and its store
    List(list::List),
    /// End a key before its time
    Revoke(revoke::Revoke),
    /// Make a key with the terms of another one, which expires after an overlap
    Rotate(rotate::Rotate),
    /// Add the keys of a table of comma-separated values
    Import(import::Import),
}

/// How long a new key is valid: not at all would be a slip.
fn lifetime(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        lifetime if lifetime.as_secs() == 0 => {
            Err("the key would expire at once: write `90d`, or leave it out".into())
        }
        lifetime => Ok(lifetime),
    }
}

/// What went wrong when a key that was shown was to be stored in a file.
fn not_stored(failure: Failure) -> Failure {
    with_help(failure, "the key above was not stored: discard it, and repeat the command")
}

/// The same for a store, which may have done it and not said so.
fn may_be_stored(failure: Failure, id: &str) -> Failure {
    with_help(
        failure,
        &format!(
            "discard the key above unless `tollgate key list` shows `{id}`, and repeat the command"
        ),
    )
}

/// With this help in place of its own.
fn with_help(failure: Failure, help: &str) -> Failure {
    let helped = |text: String| {
        let what = text.split_once("\nhelp: ").map_or(text.as_str(), |(what, _)| what);
        format!("{what}\nhelp: {help}")
    };
    match failure {
        Failure::Refused(text) => Failure::Refused(helped(text)),
        Failure::Usage(text) => Failure::Usage(helped(text)),
    }
}

impl Key {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Import(import) => import.run(),
        }
    }
}
