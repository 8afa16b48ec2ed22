//! `tollgate key list`: the keys, without what proves them.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tollgate::workbench::{KeyEntry, moment_text};

use super::places::Keys;
use crate::{Failure, say_by};

#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    keys: Keys,
    /// Only the keys of this client
    #[arg(long)]
    client: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let places = self.keys.read()?;
        let stored = places.store()?.map_or_else(|| Ok(Vec::new()), |store| store.entries())?;
        // There may be a million: they are read twice, and none is kept.
        let is_meant = |listed: &Listed| {
            let client = self.client.as_ref();
            listed.as_ref().map_or(true, |(entry, _)| client.is_none_or(|c| entry.client == *c))
        };
        let entries = || places.entries().chain(stored.iter().cloned().map(Ok)).filter(is_meant);
        let mut widths = HEAD.map(str::len);
        for listed in entries() {
            let (entry, place) = listed?;
            for (width, cell) in widths.iter_mut().zip(cells(&entry, &place)) {
                *width = cell.chars().count().max(*width);
            }
        }
        let entries = entries().filter_map(Result::ok);
        if self.json {
            say_by(|out| write_json(out, entries))?;
        } else {
            say_by(|out| write_columns(out, entries, widths))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A key, and where it is.
type Listed = Result<(KeyEntry, Arc<str>), Failure>;

/// `{"keys": [...]}`, indented.
fn write_json(
    out: &mut dyn Write,
    entries: impl Iterator<Item = (KeyEntry, Arc<str>)>,
) -> io::Result<()> {
    let moment = |seconds: Option<u64>| seconds.map(moment_text);
    let mut before = "{\n  \"keys\": [";
    for (entry, place) in entries {
        let key = json!({
            "id": entry.id, "client": entry.client, "scopes": entry.scopes,
            "roles": entry.roles, "plan": entry.plan,
            "not_before": moment(entry.not_before), "expires": moment(entry.expires),
            "revoked": entry.revoked, "addresses": entry.addresses,
            "last_used": moment(entry.last_used), "state": entry.state(), "in": *place,
        });
        // No text of JSON holds an end of a line.
        let key = format!("\n{key:#}").replace('\n', "\n    ");
        write!(out, "{before}{key}")?;
        before = ",";
    }
    match before {
        "," => writeln!(out, "\n  ]\n}}"),
        _ => writeln!(out, "{before}]\n}}"),
    }
}

const HEAD: [&str; 8] = ["ID", "CLIENT", "STATE", "EXPIRES", "LAST USED", "PLAN", "SCOPES", "IN"];

fn cells<'e>(entry: &'e KeyEntry, place: &'e str) -> [Cow<'e, str>; 8] {
    let moment = |seconds: Option<u64>| seconds.map_or("-".into(), |at| moment_text(at).into());
    let scopes = entry.scopes.join(" ");
    [
        entry.id.as_str().into(),
        entry.client.as_str().into(),
        entry.state().into(),
        moment(entry.expires),
        moment(entry.last_used),
        entry.plan.as_deref().unwrap_or("-").into(),
        if scopes.is_empty() { "-".into() } else { scopes.into() },
        place.into(),
    ]
}

/// A line for each key, in columns. Control characters cannot move anything: names have none.
fn write_columns(
    out: &mut dyn Write,
    entries: impl Iterator<Item = (KeyEntry, Arc<str>)>,
    widths: [usize; 8],
) -> io::Result<()> {
    let line = |cells: [Cow<'_, str>; 8]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    out.write_all(line(HEAD.map(Cow::from)).as_bytes())?;
    for (entry, place) in entries {
        out.write_all(line(cells(&entry, &place)).as_bytes())?;
    }
    Ok(())
}
