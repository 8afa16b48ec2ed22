//! `tollgate key rotate`: a new key in place of another one.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tollgate::NewApiKey;
use tollgate::workbench::{KeyEntry, duration, moment_after, moment_text, successor_of};

use super::places::{Keys, Places};
use super::store::Store;
use super::{lifetime, may_be_stored, not_stored};
use crate::{Failure, show_key, tell};

#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// The public name of the key that is replaced
    id: String,
    #[command(flatten)]
    keys: Keys,
    /// How long both keys are valid
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7d")]
    overlap: Duration,
    /// The public name of the new key [default: that of the old one with a number]
    #[arg(long, value_name = "ID")]
    new_id: Option<String>,
    /// When the new key expires, from now, such as `90d` [default: when the old one was to expire]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let places = self.keys.read()?;
        let key = places.generate()?;
        let (old, new, ends, place) = match self.stored(&places)? {
            Some((store, old)) => {
                let is_taken = |id: &str| Ok(places.hold(id) || store.find(id)?.is_some());
                let new = self.replacement(&old, is_taken, &key)?;
                let ends = end_of(&old, self.overlap);
                self.show(&key, &old, &new, ends)?;
                let replaced = store.replace(&self.id, &new, ends);
                replaced.map_err(|failure| may_be_stored(failure, &new.id))?;
                (old, new, ends, store.name())
            }
            None => {
                let open = places.open(&self.id)?;
                let document = &open.document;
                let old = document.entry(&self.id)?;
                let is_taken = |id: &str| Ok(places.hold(id) || document.holds(id));
                let new = self.replacement(&old, is_taken, &key)?;
                let ends = end_of(&old, self.overlap);
                let added = document.with_added(std::slice::from_ref(&new))?;
                let ending = moment_text(ends);
                let changed = document.again(&added)?.with_set(&self.id, "expires", &ending)?;
                self.show(&key, &old, &new, ends)?;
                open.replace(&changed).map_err(not_stored)?;
                (old, new, ends, document.path.display().to_string())
            }
        };
        if !self.json {
            tell(format_args!(
                "{} was added to {place}. The key above is not shown again.\n{} is valid until {}.",
                new.id,
                old.id,
                moment_text(ends)
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(
        &self,
        key: &NewApiKey,
        old: &KeyEntry,
        new: &KeyEntry,
        ends: u64,
    ) -> Result<(), Failure> {
        if !self.json {
            return show_key(format_args!("{}\n", key.reveal()));
        }
        let shown = json!({
            "key": key.reveal(), "id": new.id, "digest": new.digest,
            "replaces": old.id, "old_expires": moment_text(ends),
        });
        show_key(format_args!("{shown:#}\n"))
    }

    /// The key in the store of the policy, where no file has it.
    fn stored(&self, places: &Places) -> Result<Option<(Store, KeyEntry)>, Failure> {
        if places.hold(&self.id) {
            return Ok(None);
        }
        let Some(store) = places.store()? else { return Ok(None) };
        let found = store.find(&self.id)?;
        Ok(found.map(|record| (store, KeyEntry::from(&record))))
    }

    /// The new key, with the terms of the old one.
    fn replacement(
        &self,
        old: &KeyEntry,
        is_taken: impl Fn(&str) -> Result<bool, Failure>,
        key: &NewApiKey,
    ) -> Result<KeyEntry, Failure> {
        let refused = |why: &str, help: &str| Err(Failure::Usage(format!("{why}\nhelp: {help}")));
        if old.revoked {
            return refused(
                &format!("`{}` is revoked, and does not become valid again by rotation", old.id),
                "make a new key with `tollgate key new`",
            );
        }
        let expires = self.expires.map(moment_after).or(old.expires);
        if expires.is_some_and(|expires| expires <= moment_after(Duration::ZERO)) {
            return refused(
                &format!("`{}` has expired, and the new key would have expired too", old.id),
                "say when the new key expires: `--expires 90d`",
            );
        }
        let id = match &self.new_id {
            Some(id) if is_taken(id)? => {
                return refused(
                    &format!("there is a key `{id}` already"),
                    "choose another `--new-id`",
                );
            }
            Some(id) => id.clone(),
            None => next_id(&old.id, is_taken)?,
        };
        let digest = key.digest().to_owned();
        let new = KeyEntry { id, digest, expires, ..old.clone() };
        new.record().map_err(Failure::Usage)?;
        Ok(new)
    }
}

/// When the old key ends: after the overlap, unless it ends before.
fn end_of(old: &KeyEntry, overlap: Duration) -> u64 {
    let end = moment_after(overlap);
    old.expires.map_or(end, |expires| expires.min(end))
}

/// The first of its successors that no other key has.
fn next_id(old: &str, is_taken: impl Fn(&str) -> Result<bool, Failure>) -> Result<String, Failure> {
    let mut id = successor_of(old);
    while is_taken(&id)? {
        id = successor_of(&id);
    }
    Ok(id)
}
