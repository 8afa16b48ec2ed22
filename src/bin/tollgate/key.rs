//! `tollgate key new`: a new API key, shown once, and what the policy stores of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tollgate::workbench::{KeyFile, check_key, duration, inspect, moment_after};
use tollgate::{NewApiKey, Scope};

use crate::{Failure, say};

#[derive(clap::Subcommand)]
pub(crate) enum Key {
    /// Make a key: print it once, with the TOML to store
    New(New),
}

#[derive(clap::Args)]
pub(crate) struct New {
    /// The policy whose prefix the key gets [default: config/tollgate.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Whose key it is
    #[arg(long)]
    client: String,
    /// The public name of the key [default: made from the client]
    #[arg(long)]
    id: Option<String>,
    /// A scope to grant; may be repeated
    #[arg(long = "scope")]
    scopes: Vec<Scope>,
    /// A role to grant; may be repeated
    #[arg(long = "role")]
    roles: Vec<String>,
    /// The plan that limits are chosen by
    #[arg(long)]
    plan: Option<String>,
    /// When it expires, from now, such as `90d`
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Append it to this policy or key file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Key {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::New(new) = self;
        new.run()
    }
}

impl New {
    fn run(self) -> Result<ExitCode, Failure> {
        let target = self.write.as_deref().map(Target::read).transpose()?;
        let key = NewApiKey::generate(&self.prefix(target.as_ref())?)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let id = self.id.clone().unwrap_or_else(|| default_id(&self.client, key.digest()));
        let header = match target.as_ref().map(|target| &target.kind) {
            Some(KeyFile::Keys) => "[[key]]",
            Some(KeyFile::Policy { .. }) | None => "[[api_keys.key]]",
        };
        let entry = self.entry(header, &id, &key);
        let text = target.as_ref().map_or("", |target| &target.text);
        check_key(&entry, &id, text).map_err(Failure::Usage)?;
        if let Some(target) = &target {
            target.append(&entry)?;
        }
        if self.json {
            let digest = key.digest();
            let shown = json!({"key": key.reveal(), "id": id, "digest": digest, "toml": entry});
            say(format_args!("{shown:#}\n"))?;
        } else {
            say(format_args!("{}\n", key.reveal()))?;
            match &target {
                Some(target) => eprintln!(
                    "{id} was added to {}. The key above is not shown again.",
                    target.path.display()
                ),
                None => say(format_args!(
                    "\n# Store this; the key above is not shown again.\n{entry}\n"
                ))?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The prefix of the policy: the one that is written to, or the one that was named.
    fn prefix(&self, target: Option<&Target<'_>>) -> Result<String, Failure> {
        const DEFAULT: &str = "tg";
        if let Some(KeyFile::Policy { prefix }) = target.map(|target| &target.kind) {
            return Ok(prefix.clone().unwrap_or_else(|| DEFAULT.into()));
        }
        let usual = Path::new("config/tollgate.toml");
        let path = match &self.policy {
            Some(path) => path,
            None if usual.exists() => usual,
            None => return Ok(DEFAULT.into()),
        };
        match Target::read(path)?.kind {
            KeyFile::Policy { prefix } => Ok(prefix.unwrap_or_else(|| DEFAULT.into())),
            KeyFile::Keys => Ok(DEFAULT.into()),
        }
    }

    fn entry(&self, header: &str, id: &str, key: &NewApiKey) -> String {
        let mut entry = format!("{header}\n");
        let mut line = |name: &str, value: String| {
            // INVARIANT: writing to a String does not fail.
            let _ = writeln!(entry, "{name:<7} = {value}");
        };
        line("id", quote(id));
        line("client", quote(&self.client));
        line("digest", quote(key.digest()));
        if !self.scopes.is_empty() {
            line("scopes", array(self.scopes.iter().map(Scope::as_str)));
        }
        if !self.roles.is_empty() {
            line("roles", array(self.roles.iter().map(String::as_str)));
        }
        if let Some(plan) = &self.plan {
            line("plan", quote(plan));
        }
        if let Some(expires) = self.expires {
            line("expires", moment_after(expires));
        }
        entry
    }
}

/// A file that keys are written to.
struct Target<'p> {
    path: &'p Path,
    text: String,
    kind: KeyFile,
}

impl<'p> Target<'p> {
    /// A file that does not exist is a new key file.
    fn read(path: &'p Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && path
                        .parent()
                        .is_some_and(|folder| folder == Path::new("") || folder.is_dir()) =>
            {
                String::new()
            }
            Err(error) => {
                return Err(Failure::Usage(format!("cannot read `{}`: {error}", path.display())));
            }
        };
        let kind = inspect(&text).map_err(|error| {
            Failure::Refused(format!("`{}` is not TOML: {error}", path.display()))
        })?;
        Ok(Self { path, text, kind })
    }

    /// Appends an entry, unless the file would no longer be TOML. The file is replaced as a
    /// whole, so that a reader never sees half of it.
    fn append(&self, entry: &str) -> Result<(), Failure> {
        let gap = match &self.text {
            text if text.is_empty() => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        let text = format!("{}{gap}{entry}", self.text);
        inspect(&text).map_err(|error| {
            Failure::Refused(format!(
                "the key cannot be appended to `{}`, nothing was written: {error}",
                self.path.display()
            ))
        })?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        let written = fs::write(&beside, text)
            .and_then(|()| match fs::metadata(self.path) {
                Ok(old) => fs::set_permissions(&beside, old.permissions()),
                Err(_) => Ok(()),
            })
            .and_then(|()| fs::rename(&beside, self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            Failure::Usage(format!("cannot write `{}`: {error}", self.path.display()))
        })
    }
}

/// The client's name, and some digits that tell its keys apart.
fn default_id(client: &str, digest: &str) -> String {
    let name: String = client
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(48)
        .collect();
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{name}-{}", digits.get(..8).unwrap_or(digits))
}

/// A TOML basic string: its escapes are those of JSON.
fn quote(text: &str) -> String {
    json!(text).to_string().replace('\u{7f}', "\\u007f")
}

fn array<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", texts.map(quote).collect::<Vec<_>>().join(", "))
}
