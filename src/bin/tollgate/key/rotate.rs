//! `tollgate key rotate`: a new key in place of another one.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tollgate::NewApiKey;
use tollgate::workbench::{KeyEntry, duration, moment_after, moment_text};

use super::places::{Keys, Places};
use crate::{Failure, say};

#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// The public name of the key that is replaced
    id: String,
    #[command(flatten)]
    keys: Keys,
    /// How long both keys are valid
    #[arg(long, value_parser = duration, default_value = "7d")]
    overlap: Duration,
    /// The public name of the new key [default: that of the old one with a number]
    #[arg(long, value_name = "ID")]
    new_id: Option<String>,
    /// When the new key expires, from now, such as `90d` [default: when the old one was to expire]
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rotate {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let places = self.keys.read()?;
        let open = places.open(&self.id)?;
        let document = &open.document;
        let old = document.entry(&self.id)?;
        let key = places.generate()?;
        let new = self.replacement(&old, &places, &key)?;
        let ends = end_of(&old, self.overlap);
        let added = document.with_added(std::slice::from_ref(&new))?;
        let changed = document.again(&added)?.with_set(&self.id, "expires", &moment_text(ends))?;
        open.replace(&changed)?;
        if self.json {
            let shown = json!({
                "key": key.reveal(), "id": new.id, "digest": new.digest,
                "replaces": old.id, "old_expires": moment_text(ends),
            });
            say(format_args!("{shown:#}\n"))?;
        } else {
            say(format_args!("{}\n", key.reveal()))?;
            eprintln!(
                "{} was added to {}. The key above is not shown again.\n{} is valid until {}.",
                new.id,
                document.path.display(),
                old.id,
                moment_text(ends)
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The new key, with the terms of the old one.
    fn replacement(
        &self,
        old: &KeyEntry,
        places: &Places,
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
            Some(id) if places.ids().any(|known| known == id) => {
                return refused(
                    &format!("there is a key `{id}` already"),
                    "choose another `--new-id`",
                );
            }
            Some(id) => id.clone(),
            None => next_id(&old.id, |id| places.ids().any(|known| known == id)),
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

/// `billing`, `billing-2`, `billing-3`. A year at the end counts as a part of the name.
fn next_id(old: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = old.rsplit_once('-').and_then(|(name, number)| {
        let is_count = number.len() < 4 && !number.starts_with('0');
        let number: u64 = number.parse().ok().filter(|number| is_count && *number > 1)?;
        Some((name, number))
    });
    let (name, number) = numbered.unwrap_or((old, 1));
    (number + 1..)
        .map(|number| format!("{name}-{number}"))
        .find(|id| !is_taken(id))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_on_and_years_are_names() {
        let free = |_: &str| false;
        for (old, new) in [
            ("billing", "billing-2"),
            ("billing-2", "billing-3"),
            ("billing-9", "billing-10"),
            ("billing-2026", "billing-2026-2"),
            ("billing-1", "billing-1-2"),
            ("billing-07", "billing-07-2"),
            ("billing-x", "billing-x-2"),
        ] {
            assert_eq!(next_id(old, free), new);
        }
        assert_eq!(next_id("a", |id| id != "a-5"), "a-5");
    }
}
