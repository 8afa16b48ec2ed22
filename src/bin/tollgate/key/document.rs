//! The keys of a TOML file, and changes to them that leave every other byte of it as it was.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tollgate::workbench::{KeyEntry, KeyFile, inspect, moment_of, moment_text};
use toml_edit::{Document, Item, TableLike, Value};

use super::file::Locked;
use crate::Failure;

/// A policy or a key file.
pub(super) struct KeyDocument {
    pub(super) path: PathBuf,
    pub(super) kind: KeyFile,
    toml: Document<String>,
}

/// A key of a document: its place among the keys.
pub(super) struct Held<'d> {
    table: &'d dyn TableLike,
    /// `{ id = ... }` in an array, and not `[[key]]`.
    is_inline: bool,
    header: Option<Range<usize>>,
}

impl KeyDocument {
    /// Reads the document of a file that is locked, or was read otherwise.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let not_toml =
            |error: String| Failure::Refused(format!("`{}` is not TOML: {error}", path.display()));
        let kind = inspect(text).map_err(not_toml)?;
        let toml = Document::parse(text.to_owned()).map_err(|error| not_toml(error.to_string()))?;
        Ok(Self { path: path.to_owned(), kind, toml })
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::Usage(format!("cannot read `{}`: {error}", path.display()))
        })?;
        Self::parse(path, &text)
    }

    fn text(&self) -> &str {
        self.toml.raw()
    }

    /// A text of `[api_keys]`.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.toml.as_table().get("api_keys")?.get(name)?.as_str()
    }

    /// Whether `[api_keys]` has a setting.
    pub(super) fn has_setting(&self, name: &str) -> bool {
        self.toml.as_table().get("api_keys").is_some_and(|section| section.get(name).is_some())
    }

    /// The keys of both forms, in no promised order.
    pub(super) fn keys(&self) -> Vec<Held<'_>> {
        let root = self.toml.as_table();
        let inner = root.get("api_keys").and_then(|section| section.get("key"));
        [root.get("key"), inner].into_iter().flatten().flat_map(held).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<Held<'_>> {
        self.keys().into_iter().find(|key| key.id() == Some(id))
    }

    /// What is stored of the keys.
    pub(super) fn entries(&self) -> Result<Vec<KeyEntry>, Failure> {
        let keys = self.keys();
        keys.iter().map(|key| key.entry().map_err(|what| self.unreadable(key.id(), what))).collect()
    }

    /// What is stored of a key that is there.
    pub(super) fn entry(&self, id: &str) -> Result<KeyEntry, Failure> {
        let key = self.find(id).ok_or("id").and_then(|key| key.entry());
        key.map_err(|what| self.unreadable(Some(id), what))
    }

    fn unreadable(&self, id: Option<&str>, what: &str) -> Failure {
        let key =
            id.map_or_else(|| "a key".to_owned(), |id| format!("the key `{}`", id.escape_debug()));
        Failure::Refused(format!(
            "{}: {key} cannot be read: its `{what}` is missing or of the wrong type\n\
             help: `tollgate check` shows every fault with its place",
            self.path.display()
        ))
    }

    /// The document with another text.
    pub(super) fn again(&self, text: &str) -> Result<Self, Failure> {
        Self::parse(&self.path, text)
    }

    /// The text with more keys, behind those that are there.
    pub(super) fn with_added(&self, entries: &[KeyEntry]) -> Result<String, Failure> {
        let text = self.text();
        let header = self.header();
        let root = self.toml.as_table();
        let listed = match header {
            "[[key]]" => root.get("key"),
            _ => root.get("api_keys").and_then(|section| section.get("key")),
        };
        let keys = listed.map(held).unwrap_or_default();
        let added = match (listed.and_then(Item::as_array), keys.last()) {
            (Some(array), _) => {
                let last = array.iter().filter_map(Value::span).last();
                let entries: Vec<String> = entries.iter().map(inline).collect();
                let entries = entries.join(", ");
                match (last, array.span()) {
                    (Some(last), _) => splice(text, last.end..last.end, &format!(", {entries}")),
                    (None, Some(array)) => splice(text, array.start + 1..array.start + 1, &entries),
                    (None, None) => text.to_owned(),
                }
            }
            (None, Some(last)) => {
                let at = behind_comments(text, last.end_of_line(text));
                let gap = if text[..at].ends_with('\n') { "\n" } else { "\n\n" };
                splice(text, at..at, &in_style_of(text, gap, &tables(header, entries)))
            }
            (None, None) => {
                let gap = match text {
                    "" => "",
                    text if text.ends_with("\n\n") || text.ends_with("\n\r\n") => "",
                    text if text.ends_with('\n') => "\n",
                    _ => "\n\n",
                };
                format!("{text}{}", in_style_of(text, gap, &tables(header, entries)))
            }
        };
        self.confirm(added, self.keys().len() + entries.len())
    }

    /// The text in which a setting of a key has this value, written as TOML.
    pub(super) fn with_set(&self, id: &str, name: &str, value: &str) -> Result<String, Failure> {
        let text = self.text();
        let changed = match self.find(id) {
            None => text.to_owned(),
            Some(key) => match key.table.get(name).and_then(Item::span) {
                Some(span) => splice(text, span, value),
                None if key.is_inline => {
                    let end = key.end();
                    splice(text, end..end, &format!(", {name} = {value}"))
                }
                None => {
                    let end = key.end_of_line(text);
                    let gap = if text[..end].ends_with('\n') { "" } else { "\n" };
                    let line = in_style_of(text, gap, &format!("{name:<7} = {value}\n"));
                    splice(text, end..end, &line)
                }
            },
        };
        self.confirm(changed, self.keys().len())
    }

    /// How this document introduces a key.
    pub(super) fn header(&self) -> &'static str {
        // An inline table cannot be added to from outside, and policies take `[[key]]` too.
        let is_closed =
            self.toml.as_table().get("api_keys").is_some_and(|section| section.is_inline_table());
        match self.kind {
            KeyFile::Policy { .. } if !is_closed => "[[api_keys.key]]",
            KeyFile::Policy { .. } | KeyFile::Keys => "[[key]]",
        }
    }

    /// Lets nothing be written that is not TOML with so many keys.
    fn confirm(&self, text: String, keys: usize) -> Result<String, Failure> {
        let is_whole = Self::parse(&self.path, &text)?.keys().len() == keys;
        if is_whole {
            return Ok(text);
        }
        Err(Failure::Refused(format!(
            "the keys of `{}` are written in a way that cannot be changed by program; nothing was written\n\
             help: write them as tables, one {} each",
            self.path.display(),
            self.header()
        )))
    }
}

impl<'d> Held<'d> {
    pub(super) fn id(&self) -> Option<&'d str> {
        self.table.get("id")?.as_str()
    }

    pub(super) fn digest(&self) -> Option<&'d str> {
        self.table.get("digest")?.as_str()
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.table.get("revoked").and_then(Item::as_bool) == Some(true)
    }

    /// What is stored of the key, or the name of what cannot be read.
    pub(super) fn entry(&self) -> Result<KeyEntry, &'static str> {
        let item = |name: &str| self.table.get(name);
        let text = |name: &'static str| match item(name) {
            None => Ok(None),
            Some(item) => item.as_str().map(|text| Some(text.to_owned())).ok_or(name),
        };
        let texts = |name: &'static str| {
            let Some(item) = item(name) else { return Ok(Vec::new()) };
            let array = item.as_array().ok_or(name)?;
            let texts = array.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().ok_or(name)
        };
        let moment = |name: &'static str| match item(name) {
            None => Ok(None),
            Some(item) => {
                let moment = item.as_datetime().and_then(|date| moment_of(&date.to_string()));
                moment.map(Some).ok_or(name)
            }
        };
        let revoked = item("revoked").map_or(Ok(false), |item| item.as_bool().ok_or("revoked"))?;
        Ok(KeyEntry {
            id: text("id")?.ok_or("id")?,
            client: text("client")?.ok_or("client")?,
            digest: text("digest")?.ok_or("digest")?,
            scopes: texts("scopes")?,
            roles: texts("roles")?,
            plan: text("plan")?,
            not_before: moment("not_before")?,
            expires: moment("expires")?,
            revoked,
            addresses: texts("addresses")?,
            last_used: None,
            line: None,
        })
    }

    /// The end of the last of its values.
    fn end(&self) -> usize {
        let values = self.table.iter().filter_map(|(_, item)| item.span());
        values.chain(self.header.clone()).map(|span| span.end).max().unwrap_or_default()
    }

    /// Behind the line on which the last of its values ends.
    fn end_of_line(&self, text: &str) -> usize {
        let end = self.end();
        text[end..].find('\n').map_or(text.len(), |at| end + at + 1)
    }
}

/// The keys of an array of either form.
fn held(item: &Item) -> Vec<Held<'_>> {
    if let Some(tables) = item.as_array_of_tables() {
        let held = |table| Held { table, is_inline: false, header: None };
        return tables.iter().map(|table| Held { header: table.span(), ..held(table) }).collect();
    }
    let values = item.as_array().into_iter().flatten().filter_map(Value::as_inline_table);
    values
        .map(|table| Held {
            table,
            is_inline: true,
            header: table.span().filter(|_| table.is_empty()),
        })
        .collect()
}

fn splice(text: &str, at: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..at.start], &text[at.end..])
}

/// Behind the comments that directly follow a key and lead to nothing else.
fn behind_comments(text: &str, from: usize) -> usize {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        match line.trim() {
            comment if comment.starts_with('#') => at += line.len(),
            "" => return at,
            // They belong to what comes next.
            _ => return from,
        }
    }
    at
}

/// With the line ends of the file.
fn in_style_of(text: &str, gap: &str, new: &str) -> String {
    let new = format!("{gap}{new}");
    if text.contains("\r\n") { new.replace('\n', "\r\n") } else { new }
}

fn tables(header: &str, entries: &[KeyEntry]) -> String {
    entries.iter().map(|entry| table(header, entry)).collect::<Vec<_>>().join("\n")
}

/// A key as a table of its own.
pub(super) fn table(header: &str, entry: &KeyEntry) -> String {
    let mut text = format!("{header}\n");
    for (name, value) in settings(entry) {
        // INVARIANT: writing to a String does not fail.
        let _ = writeln!(text, "{name:<7} = {value}");
    }
    text
}

fn inline(entry: &KeyEntry) -> String {
    let settings: Vec<String> =
        settings(entry).into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", settings.join(", "))
}

/// What is written of a key: nothing that says what is so anyway.
fn settings(entry: &KeyEntry) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("id", quote(&entry.id)),
        ("client", quote(&entry.client)),
        ("digest", quote(&entry.digest)),
    ];
    let mut list = |name, texts: &[String]| {
        if !texts.is_empty() {
            let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
            settings.push((name, format!("[{}]", texts.join(", "))));
        }
    };
    list("scopes", &entry.scopes);
    list("roles", &entry.roles);
    settings.extend(entry.plan.as_ref().map(|plan| ("plan", quote(plan))));
    settings.extend(entry.not_before.map(|from| ("not_before", moment_text(from))));
    settings.extend(entry.expires.map(|until| ("expires", moment_text(until))));
    settings.extend(entry.revoked.then(|| ("revoked", "true".to_owned())));
    if !entry.addresses.is_empty() {
        let addresses: Vec<String> = entry.addresses.iter().map(|text| quote(text)).collect();
        settings.push(("addresses", format!("[{}]", addresses.join(", "))));
    }
    settings
}

/// A TOML basic string: its escapes are those of JSON.
fn quote(text: &str) -> String {
    serde_json::json!(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A document that is about to be changed.
pub(super) struct Open {
    pub(super) document: KeyDocument,
    file: Locked,
}

impl Open {
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        let file = Locked::open(path)?;
        Ok(Self { document: KeyDocument::parse(path, file.text())?, file })
    }

    pub(super) fn replace(&self, text: &str) -> Result<(), Failure> {
        self.file.replace(text)
    }
}
