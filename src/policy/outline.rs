//! What a policy says, in a form that can be compared with another.
//!
//! Of the text, not of the checked policy: what is added to a table later is compared without a word about
//! it here. API keys are compared as they were loaded, since there may be a million of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::parts::parts;
use crate::watch::{Taken, digest_of};

/// What a policy and its files say, table by table, for comparison.
///
/// It holds the text of all tables but those of keys and revocations; no content of other files.
#[derive(Clone, Default)]
pub(crate) struct Outline {
    pub(super) tables: BTreeMap<(Kind, Box<str>), Fields>,
    /// Entries of `[[revoked]]`, and how often each is written.
    pub(super) revoked: BTreeMap<Mark, usize>,
}

/// The keys of a table, those of tables within it with dots between, and their values as text.
pub(super) type Fields = BTreeMap<Box<str>, Box<str>>;

/// What differs where two texts differ.
pub(super) type Mark = [u8; 16];

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    Section,
    Code,
    Issuer,
    Limit,
    Rule,
}

impl Outline {
    /// Of the policy `text`, with the `files` that were read for it; those that it names are in
    /// `folder`. What cannot be read as TOML says nothing.
    pub(crate) fn new(text: &str, folder: &Path, files: &Taken) -> Self {
        let mut outline = Self::default();
        let Ok(policy) = DeTable::parse(text) else { return outline };
        let named = outline.add_policy(policy.get_ref(), folder, files);
        if let Some(content) = named.and_then(|path| files.get(&path).ok()) {
            let text = str::from_utf8(&content).unwrap_or_default();
            for part in parts(text, "[[revoked]]").unwrap_or_else(|| vec![text]) {
                let Ok(table) = DeTable::parse(part) else { continue };
                if let Some(entries) = table.get_ref().get("revoked") {
                    outline.add_revoked(entries.get_ref());
                }
            }
        }
        outline
    }

    /// Adds the tables of a policy; the file of revocations that they name.
    fn add_policy(
        &mut self,
        policy: &DeTable<'_>,
        folder: &Path,
        files: &Taken,
    ) -> Option<PathBuf> {
        let mut named = None;
        for (key, value) in policy {
            let name = key.get_ref().as_ref();
            match (name, value.get_ref()) {
                ("rule", DeValue::Array(_)) => self.add_named(Kind::Rule, value.get_ref(), "name"),
                ("limit", DeValue::Array(_)) => {
                    self.add_named(Kind::Limit, value.get_ref(), "name");
                }
                ("issuer", DeValue::Array(issuers)) => {
                    self.add_named(Kind::Issuer, value.get_ref(), "name");
                    for issuer in issuers {
                        self.add_key_files(issuer.get_ref(), folder, files);
                    }
                }
                ("key", DeValue::Array(_)) => {}
                ("revoked", DeValue::Array(_)) => self.add_revoked(value.get_ref()),
                (_, DeValue::Table(table)) => {
                    self.add_section(name, table);
                    let file = value.get_ref().get("file").and_then(|file| file.get_ref().as_str());
                    if let (Some(file), "revocations") = (file, name) {
                        named = Some(folder.join(file));
                    }
                }
                (_, value) => {
                    let mut fields = Fields::new();
                    flatten(name, value, &mut fields);
                    let top = self.tables.entry((Kind::Section, TOP.into())).or_default();
                    top.append(&mut fields);
                }
            }
        }
        named
    }

    /// A table such as `[denial]`; lists of named tables in it are compared one by one.
    fn add_section(&mut self, name: &str, table: &DeTable<'_>) {
        let mut fields = Fields::new();
        for (key, value) in table {
            match (name, key.get_ref().as_ref(), value.get_ref()) {
                ("api_keys", "key", DeValue::Array(_)) => {}
                ("denial", "code", value @ DeValue::Array(_)) => {
                    self.add_named(Kind::Code, value, "code");
                }
                (_, key, value) => flatten(key, value, &mut fields),
            }
        }
        self.tables.insert((Kind::Section, name.into()), fields);
    }

    fn add_named(&mut self, kind: Kind, tables: &DeValue<'_>, naming: &str) {
        for (at, table) in tables.as_array().into_iter().flatten().enumerate() {
            let Some(table) = table.get_ref().as_table() else { continue };
            let mut fields = Fields::new();
            for (key, value) in table {
                flatten(key.get_ref(), value.get_ref(), &mut fields);
            }
            let name = table.get(naming).and_then(|name| name.get_ref().as_str());
            let name = name.map_or_else(|| format!("#{}", at + 1), str::to_owned);
            self.tables.insert((kind, name.into()), fields);
        }
    }

    /// The files that an issuer's keys are in belong to the issuer: other keys, other issuer. Not
    /// the credential that a key set is fetched with: it is renewed often, and proves no token.
    fn add_key_files(&mut self, issuer: &DeValue<'_>, folder: &Path, files: &Taken) {
        let name = issuer.get("name").and_then(|name| name.get_ref().as_str());
        let keys = issuer.get("keys").and_then(|keys| keys.get_ref().as_table());
        let (Some(name), Some(keys)) = (name, keys) else { return };
        let Some(fields) = self.tables.get_mut(&(Kind::Issuer, name.into())) else { return };
        let is_file = |name: &str| name.ends_with("_file") && name != "bearer_file";
        for (key, value) in keys.iter().filter(|(key, _)| is_file(key.get_ref())) {
            let listed = value.get_ref().as_array().into_iter().flatten();
            let texts = std::iter::once(value).chain(listed);
            for file in texts.filter_map(|text| text.get_ref().as_str()) {
                let path = folder.join(file);
                let mark = files.get(&path).map(|content| hexadecimal(&mark_of(&content)));
                let field = format!("keys.{}{CONTENT}{file}", key.get_ref());
                fields.insert(field.into(), mark.unwrap_or_default().into());
            }
        }
    }

    fn add_revoked(&mut self, entries: &DeValue<'_>) {
        for entry in entries.as_array().into_iter().flatten() {
            let mark = mark_of(normal(entry.get_ref()).as_bytes());
            *self.revoked.entry(mark).or_default() += 1;
        }
    }
}

/// Digests are not shown.
impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.tables.keys().collect();
        f.debug_struct("Outline").field("tables", &names).finish_non_exhaustive()
    }
}

/// Writes a value under its key; tables key by key.
fn flatten(name: &str, value: &DeValue<'_>, fields: &mut Fields) {
    match value {
        DeValue::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                flatten(&format!("{name}.{}", key.get_ref()), value.get_ref(), fields);
            }
        }
        value => {
            fields.insert(name.into(), normal(value).into());
        }
    }
}

/// The text of a value, whatever way it is written.
fn normal(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace(['_', '+'], "");
            i128::from_str_radix(&digits, number.radix()).map_or(digits, |value| value.to_string())
        }
        DeValue::Float(number) => number.as_str().replace(['_', '+'], ""),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| normal(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let mut pairs: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{:?} = {}", key.get_ref(), normal(value.get_ref())))
                .collect();
            pairs.sort();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn mark_of(content: &[u8]) -> Mark {
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest_of(content)[..16]);
    mark
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The keys at the top of a policy, which belong to no table.
pub(super) const TOP: &str = "";
/// Stands in the name of a field that holds a digest of a file.
pub(super) const CONTENT: &str = " content of ";
