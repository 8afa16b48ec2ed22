//! `tollgate key list`: the keys, without what proves them.

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate::workbench::{KeyEntry, moment_text};

use super::places::Keys;
use crate::{Failure, say};

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
        let mut entries = places.entries()?;
        if let Some(store) = places.store()? {
            entries.extend(store.entries()?);
        }
        if let Some(client) = &self.client {
            entries.retain(|(entry, _)| entry.client == *client);
        }
        if self.json {
            let shown = |(entry, place): &(KeyEntry, String)| {
                let moment = |seconds: Option<u64>| seconds.map(moment_text);
                json!({
                    "id": entry.id, "client": entry.client, "scopes": entry.scopes,
                    "roles": entry.roles, "plan": entry.plan,
                    "not_before": moment(entry.not_before), "expires": moment(entry.expires),
                    "revoked": entry.revoked, "addresses": entry.addresses,
                    "last_used": moment(entry.last_used), "state": entry.state(), "in": place,
                })
            };
            let keys: Vec<Value> = entries.iter().map(shown).collect();
            say(format_args!("{:#}\n", json!({"keys": keys})))?;
        } else {
            say(columns(&entries))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each key, in columns. Control characters cannot move anything: names have none.
fn columns(entries: &[(KeyEntry, String)]) -> String {
    let head = ["ID", "CLIENT", "STATE", "EXPIRES", "LAST USED", "PLAN", "SCOPES", "IN"];
    let head = head.map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(entries.iter().map(|(entry, place)| {
        let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let (expires, last_used) =
            (entry.expires.map(moment_text), entry.last_used.map(moment_text));
        let scopes = Some(entry.scopes.join(" ")).filter(|scopes| !scopes.is_empty());
        [
            entry.id.clone(),
            entry.client.clone(),
            entry.state().to_owned(),
            or_none(expires.as_deref()),
            or_none(last_used.as_deref()),
            or_none(entry.plan.as_deref()),
            or_none(scopes.as_deref()),
            place.clone(),
        ]
    }));
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
