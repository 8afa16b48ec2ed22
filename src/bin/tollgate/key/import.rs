//! `tollgate key import`: adds keys that were made elsewhere.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use tollgate::workbench::{KeyEntry, keys_of_csv};

use super::document::Open;
use super::places::{Keys, Places};
use crate::{Failure, tell};

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The table: `id,client,digest`, and more columns
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// Put them into the store that the policy names [default: where it names no key file]
    #[arg(long)]
    store: bool,
    /// Read secrets from a column `key`, and store their digests
    #[arg(long)]
    hash_keys: bool,
}

impl Import {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let shown = self.csv.display();
        let text = fs::read_to_string(&self.csv)
            .map_err(|error| Failure::cannot_read("", &self.csv, &error))?;
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
        let place = if self.store || (places.documents.len() == 1 && places.store()?.is_some()) {
            put(&keys, &places)?
        } else {
            // The key file, where the policy names one.
            let Some(target) = places.documents.last() else { return Ok(ExitCode::SUCCESS) };
            let open = Open::new(&target.path)?;
            // Read anew: while the lock was waited for, keys may have been added.
            refuse_known(&keys, &self.keys.read()?)?;
            open.replace(&open.document.with_added(&keys)?)?;
            target.path.display().to_string()
        };
        let plural = if keys.len() == 1 { "key was" } else { "keys were" };
        tell(format_args!("{} {plural} added to {place}.", keys.len()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts keys into the store of the policy: all of them, or none.
fn put(keys: &[KeyEntry], places: &Places) -> Result<String, Failure> {
    let store = places.required_store()?;
    refuse_known(keys, places)?;
    let taken = store.insert_all(keys)?;
    refuse(taken.iter().filter_map(|at| keys.get(*at)), "id or digest")?;
    Ok(store.name())
}

/// Lets no key be added whose id or digest is in a file.
fn refuse_known(keys: &[KeyEntry], places: &Places) -> Result<(), Failure> {
    let (ids, digests): (HashSet<Cow<'_, str>>, HashSet<Cow<'_, str>>) =
        (places.ids().collect(), places.digests().collect());
    refuse(keys.iter().filter(|key| ids.contains(key.id.as_str())), "id")?;
    refuse(keys.iter().filter(|key| digests.contains(key.digest.as_str())), "digest")
}

fn refuse<'k>(twice: impl Iterator<Item = &'k KeyEntry>, what: &str) -> Result<(), Failure> {
    let twice: Vec<String> = twice.map(named).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let more = match twice.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Err(Failure::Refused(format!(
        "nothing was imported: there are keys with the {what} of: {}{more}\n\
         help: leave them out of the table, or give them other ids",
        twice[..twice.len().min(MOST_NAMED)].join(", ")
    )))
}

/// So many keys are named at most.
const MOST_NAMED: usize = 20;

fn named(key: &KeyEntry) -> String {
    match key.line {
        Some(line) => format!("{} (line {line})", key.id),
        None => key.id.clone(),
    }
}
