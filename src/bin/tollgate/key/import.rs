//! `tollgate key import`: adds keys that were made elsewhere.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use tollgate::workbench::{KeyEntry, keys_of_csv};

use super::document::Open;
use super::places::Keys;
use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The table: `id,client,digest`, and more columns
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// Read secrets from a column `key`, and store their digests
    #[arg(long)]
    hash_keys: bool,
}

impl Import {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let shown = self.csv.display();
        let text = fs::read_to_string(&self.csv)
            .map_err(|error| Failure::Usage(format!("cannot read `{shown}`: {error}")))?;
        let keys = keys_of_csv(&shown.to_string(), &text, self.hash_keys).map_err(|faults| {
            let count = faults.len();
            let plural = if count == 1 { "" } else { "s" };
            let faults: Vec<String> = faults.iter().map(|fault| format!("{fault}\n\n")).collect();
            Failure::Refused(format!(
                "{}nothing was imported: {count} fault{plural}",
                faults.concat()
            ))
        })?;
        let places = self.keys.read()?;
        // The key file, where the policy names one.
        let target = places.documents.last().map(|document| document.path.clone());
        let Some(target) = target else { return Ok(ExitCode::SUCCESS) };
        let open = Open::new(&target)?;
        // Read anew: while the lock was waited for, keys may have been added.
        refuse_known(&keys, &self.keys.read()?.ids().collect(), |key| &key.id, "id")?;
        refuse_known(&keys, &self.keys.read()?.digests().collect(), |key| &key.digest, "digest")?;
        open.replace(&open.document.with_added(&keys)?)?;
        let plural = if keys.len() == 1 { "key was" } else { "keys were" };
        eprintln!("{} {plural} added to {}.", keys.len(), target.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Lets no key be added whose id or digest is there.
fn refuse_known(
    keys: &[KeyEntry],
    known: &HashSet<&str>,
    of: impl Fn(&KeyEntry) -> &str,
    what: &str,
) -> Result<(), Failure> {
    let twice: Vec<&str> =
        keys.iter().filter(|key| known.contains(of(key))).map(|key| key.id.as_str()).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "nothing was imported: there are keys with the {what} of: {}\n\
         help: leave them out of the table, or give them other ids",
        twice.join(", ")
    )))
}
