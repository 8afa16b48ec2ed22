//! `tollgate key new`: a new API key, shown once, and what the policy stores of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tollgate::workbench::{KeyEntry, KeyFile, moment_after};
use tollgate::{NewApiKey, Scope};

use super::document::{Open, table};
use super::places::Places;
use super::{lifetime, may_be_stored, not_stored};
use crate::{Failure, say, show_key, tell};

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
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// A role to grant; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The plan that limits are chosen by
    #[arg(long)]
    plan: Option<String>,
    /// When it expires, from now, such as `90d`
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Duration>,
    /// Add it to this policy or key file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Put it into the store that the policy names
    #[arg(long, conflicts_with = "write")]
    store: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl New {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let target = self.write.as_deref().map(Open::new).transpose()?;
        let policy = self.policy(target.as_ref())?;
        let key = policy.as_ref().unwrap_or(&Places::default()).generate()?;
        let entry = self.entry(&key)?;
        let id = entry.id.as_str();
        let header = target.as_ref().map_or("[[api_keys.key]]", |target| target.document.header());
        let toml = table(header, &entry);
        let shown = if self.json {
            let shown =
                json!({"key": key.reveal(), "id": id, "digest": entry.digest, "toml": toml});
            format!("{shown:#}\n")
        } else {
            format!("{}\n", key.reveal())
        };
        let place = if let Some(target) = &target {
            let beside = policy.iter().filter(|places| places.have_file(&target.document.path));
            let ids = beside.flat_map(Places::ids);
            if target.document.holds(id) || ids.into_iter().any(|known| known == id) {
                return Err(taken(id));
            }
            let added = target.document.with_added(std::slice::from_ref(&entry))?;
            show_key(shown)?;
            target.replace(&added).map_err(not_stored)?;
            target.document.path.display().to_string()
        } else if self.store {
            let policy = policy.as_ref().ok_or_else(|| {
                Failure::Usage(
                    "there is no policy that names a store\nhelp: name the policy with `--policy FILE`".into(),
                )
            })?;
            let store = policy.required_store()?;
            if policy.hold(id) || store.find(id)?.is_some() {
                return Err(taken(id));
            }
            show_key(shown)?;
            store.insert(&entry).map_err(|failure| may_be_stored(failure, id))?;
            store.name()
        } else {
            say(shown)?;
            if !self.json {
                say(format_args!("\n# Store this; the key above is not shown again.\n{toml}\n"))?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        if !self.json {
            tell(format_args!("{id} was added to {place}. The key above is not shown again."));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The policy whose prefix the key gets, with its key file: the one that is written to, the one
    /// that was named, or the usual one.
    fn policy(&self, target: Option<&Open>) -> Result<Option<Places>, Failure> {
        if let (Some(path), Some(KeyFile::Policy { .. })) =
            (&self.write, target.map(|target| &target.document.kind))
        {
            return Places::read(path).map(Some);
        }
        match &self.policy {
            Some(path) => Places::read(path).map(Some),
            None => Places::usual(),
        }
    }

    fn entry(&self, key: &NewApiKey) -> Result<KeyEntry, Failure> {
        let digest = key.digest().to_owned();
        let entry = KeyEntry {
            id: self.id.clone().unwrap_or_else(|| default_id(&self.client, &digest)),
            client: self.client.clone(),
            digest,
            scopes: self.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            roles: self.roles.clone(),
            plan: self.plan.clone(),
            expires: self.expires.map(moment_after),
            ..KeyEntry::default()
        };
        entry.record().map_err(Failure::Usage)?;
        Ok(entry)
    }
}

fn taken(id: &str) -> Failure {
    Failure::Usage(format!("there is a key `{id}` already\nhelp: choose another `--id`"))
}

/// The client's name, and some digits that tell its keys apart. It begins with a letter or a digit: an
/// id that begins with `-` would be an option to `tollgate key revoke`.
fn default_id(client: &str, digest: &str) -> String {
    let name: String = client
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(48)
        .collect();
    let name = if name.is_empty() { "key" } else { name.trim_end_matches('-') };
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{name}-{}", digits.get(..8).unwrap_or(digits))
}
