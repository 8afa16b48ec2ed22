//! The keys of a TOML file, and changes to them that leave every other byte of it as it was.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tollgate::workbench::{KeyEntry, KeyFile, KeyList, ListedKey, inspect, moment_of, moment_text};
use toml_edit::{Document, Item, Table, TableLike, Value};

use super::file::Locked;
use crate::Failure;

/// A policy or a key file.
pub(super) struct KeyDocument {
    pub(super) path: PathBuf,
    pub(super) kind: KeyFile,
    body: Body,
    /// Whether new lines end as those of Windows do.
    is_crlf: bool,
}

enum Body {
    Whole(Document<String>),
    /// A large list of keys: as a whole it would take some thirty times its size of memory. What is asked
    /// of one key is asked of its entry alone, which is a document by itself.
    List(String, KeyList),
}

/// A key of a document: its place among the keys.
struct Held<'d> {
    table: &'d dyn TableLike,
    /// `{ id = ... }` in an array, and not `[[key]]`.
    is_inline: bool,
    header: Option<Range<usize>>,
}

impl KeyDocument {
    /// Reads the document of a file that is locked, or was read otherwise.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        Self::parse_above(path, text, LARGE)
    }

    /// The same, where texts of more than `large` bytes are lists, if they can be.
    fn parse_above(path: &Path, text: &str, large: usize) -> Result<Self, Failure> {
        let is_crlf = text.contains("\r\n");
        if text.len() > large
            && let Some(list) = KeyList::new(text)
        {
            let body = Body::List(text.to_owned(), list);
            let list = Self { path: path.to_owned(), kind: KeyFile::Keys, body, is_crlf };
            // What is wrong with the file is told best as a whole.
            if list.odd_entries().all(|entry| entry.is_ok()) {
                return Ok(list);
            }
        }
        Self::parse_whole(path, text, is_crlf)
    }

    fn parse_whole(path: &Path, text: &str, is_crlf: bool) -> Result<Self, Failure> {
        let refused = |error: &str| Failure::Refused(format!("{}:{error}", path.display()));
        let kind = inspect(text).map_err(|error| refused(&error))?;
        let toml = Document::parse(text.to_owned())
            .map_err(|error| refused(&format!(" not TOML: {}", error.message())))?;
        Ok(Self { path: path.to_owned(), kind, body: Body::Whole(toml), is_crlf })
    }

    /// An entry of a list, as a document.
    fn part(&self, range: &Range<usize>) -> Result<Self, Failure> {
        Self::parse_whole(&self.path, &self.text()[range.clone()], self.is_crlf)
    }

    /// The entries of a list that are not written plainly.
    fn odd_entries(&self) -> impl Iterator<Item = Result<Self, Failure>> {
        let keys = match &self.body {
            Body::List(_, list) => &*list.keys,
            Body::Whole(_) => &[],
        };
        keys.iter().filter(|key| key.id.is_none()).map(|key| self.part(&key.range))
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::cannot_read("", path, &error))?;
        Self::parse(path, &text)
    }

    fn text(&self) -> &str {
        match &self.body {
            Body::Whole(toml) => toml.raw(),
            Body::List(text, _) => text,
        }
    }

    /// The table of the document; a list has but keys.
    fn root(&self) -> Option<&Table> {
        match &self.body {
            Body::Whole(toml) => Some(toml.as_table()),
            Body::List(..) => None,
        }
    }

    /// A text of `[api_keys]`.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.section()?.get(name)?.as_str()
    }

    /// Whether `[api_keys]` has a setting.
    pub(super) fn has_setting(&self, name: &str) -> bool {
        self.section().is_some_and(|section| section.get(name).is_some())
    }

    fn section(&self) -> Option<&Item> {
        self.root()?.get("api_keys")
    }

    /// The keys of both forms, in no promised order; none of a list.
    fn keys(&self) -> Vec<Held<'_>> {
        let listed = self.root().and_then(|root| root.get("key"));
        let inner = self.section().and_then(|section| section.get("key"));
        [listed, inner].into_iter().flatten().flat_map(held).collect()
    }

    fn count(&self) -> usize {
        match &self.body {
            Body::Whole(_) => self.keys().len(),
            Body::List(_, list) => list.keys.len(),
        }
    }

    /// The key of a whole document.
    fn find(&self, id: &str) -> Option<Held<'_>> {
        self.keys().into_iter().find(|key| key.id() == Some(id))
    }

    /// The entry of a list with this id.
    fn listed(&self, id: &str) -> Option<&ListedKey> {
        let Body::List(text, list) = &self.body else { return None };
        list.keys.iter().find(|key| match &key.id {
            Some(range) => text[range.clone()] == *id,
            None => self.part(&key.range).is_ok_and(|part| part.find(id).is_some()),
        })
    }

    /// The document that holds a key and little else, where this is a list that holds it.
    fn part_with(&self, id: &str) -> Option<Self> {
        self.part(&self.listed(id)?.range).ok()
    }

    pub(super) fn holds(&self, id: &str) -> bool {
        self.find(id).is_some() || self.listed(id).is_some()
    }

    pub(super) fn is_revoked(&self, id: &str) -> bool {
        let part = self.part_with(id);
        part.as_ref().unwrap_or(self).find(id).is_some_and(|key| key.is_revoked())
    }

    /// The ids of all keys that have one.
    pub(super) fn ids(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        match &self.body {
            Body::Whole(_) => {
                Box::new(self.keys().into_iter().filter_map(|key| key.id()).map(Cow::from))
            }
            Body::List(text, list) => Box::new(list.keys.iter().filter_map(|key| match &key.id {
                Some(range) => Some(Cow::from(&text[range.clone()])),
                None => {
                    self.part(&key.range).ok()?.ids().next().map(|id| Cow::from(id.into_owned()))
                }
            })),
        }
    }

    /// The digests of all keys that have one.
    pub(super) fn digests(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        match &self.body {
            Body::Whole(_) => {
                Box::new(self.keys().into_iter().filter_map(|key| key.digest()).map(Cow::from))
            }
            Body::List(text, list) => Box::new(list.keys.iter().filter_map(|key| {
                let digest = match KeyEntry::plain(&text[key.range.clone()]) {
                    Some(entry) => entry.digest,
                    None => self.part(&key.range).ok()?.digests().next()?.into_owned(),
                };
                Some(Cow::from(digest))
            })),
        }
    }

    /// What is stored of the keys, one after the other.
    pub(super) fn entries(&self) -> Box<dyn Iterator<Item = Result<KeyEntry, Failure>> + '_> {
        match &self.body {
            Body::Whole(_) => Box::new(
                self.keys()
                    .into_iter()
                    .map(|key| key.entry().map_err(|what| self.unreadable(key.id(), what))),
            ),
            Body::List(text, list) => Box::new(list.keys.iter().flat_map(|key| {
                if let Some(entry) = KeyEntry::plain(&text[key.range.clone()]) {
                    return vec![Ok(entry)];
                }
                let part = self.part(&key.range);
                part.map_or_else(|error| vec![Err(error)], |part| part.entries().collect())
            })),
        }
    }

    /// What is stored of a key that is there.
    pub(super) fn entry(&self, id: &str) -> Result<KeyEntry, Failure> {
        let part = self.part_with(id);
        let key = part.as_ref().unwrap_or(self).find(id).ok_or("id").and_then(|key| key.entry());
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
        let listed = match header {
            "[[key]]" => self.root().and_then(|root| root.get("key")),
            _ => self.section().and_then(|section| section.get("key")),
        };
        let keys = listed.map(held).unwrap_or_default();
        let end = match &self.body {
            Body::Whole(_) => keys.last().map(|last| last.end_of_line(text)),
            Body::List(_, list) => self.end_of_list(list)?,
        };
        let added = match (listed.and_then(Item::as_array), end) {
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
            (None, Some(end)) => {
                let at = behind_comments(text, end);
                let gap = if text[..at].ends_with('\n') { "\n" } else { "\n\n" };
                splice(text, at..at, &self.in_style(gap, &tables(header, entries)))
            }
            (None, None) => {
                let gap = match text {
                    "" => "",
                    text if text.ends_with("\n\n") || text.ends_with("\n\r\n") => "",
                    text if text.ends_with('\n') => "\n",
                    _ => "\n\n",
                };
                format!("{text}{}", self.in_style(gap, &tables(header, entries)))
            }
        };
        self.confirm(added, self.count() + entries.len())
    }

    /// Where the line ends on which the last `[[key]]` of a list does.
    fn end_of_list(&self, list: &KeyList) -> Result<Option<usize>, Failure> {
        let Some(last) = list.keys.last().filter(|_| !list.is_of_policy) else { return Ok(None) };
        let part = self.part(&last.range)?;
        let end = part.keys().last().map(|key| key.end_of_line(part.text()));
        Ok(end.map(|end| last.range.start + end))
    }

    /// The text in which a setting of a key has this value, written as TOML.
    pub(super) fn with_set(&self, id: &str, name: &str, value: &str) -> Result<String, Failure> {
        let text = self.text();
        if let Some(listed) = self.listed(id) {
            let part = self.part(&listed.range)?.with_set(id, name, value)?;
            return self.confirm(splice(text, listed.range.clone(), &part), self.count());
        }
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
                    let line = self.in_style(gap, &format!("{name:<7} = {value}\n"));
                    splice(text, end..end, &line)
                }
            },
        };
        self.confirm(changed, self.count())
    }

    /// With the line ends of the file.
    fn in_style(&self, gap: &str, new: &str) -> String {
        let new = format!("{gap}{new}");
        if self.is_crlf { new.replace('\n', "\r\n") } else { new }
    }

    /// How this document introduces a key.
    pub(super) fn header(&self) -> &'static str {
        // An inline table cannot be added to from outside, and policies take `[[key]]` too.
        let is_closed = self.section().is_some_and(Item::is_inline_table);
        match self.kind {
            KeyFile::Policy { .. } if !is_closed => "[[api_keys.key]]",
            KeyFile::Policy { .. } | KeyFile::Keys => "[[key]]",
        }
    }

    /// Lets nothing be written that is not TOML with so many keys.
    fn confirm(&self, text: String, keys: usize) -> Result<String, Failure> {
        let is_whole = Self::parse(&self.path, &text)?.count() == keys;
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
    fn id(&self) -> Option<&'d str> {
        self.table.get("id")?.as_str()
    }

    fn digest(&self) -> Option<&'d str> {
        self.table.get("digest")?.as_str()
    }

    fn is_revoked(&self) -> bool {
        self.table.get("revoked").and_then(Item::as_bool) == Some(true)
    }

    /// What is stored of the key, or the name of what cannot be read.
    fn entry(&self) -> Result<KeyEntry, &'static str> {
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

/// Smaller files are read as a whole.
const LARGE: usize = 256 << 10;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a document says of itself, and what becomes of it by each change: the same whichever way the
    /// document is read.
    fn told(document: &KeyDocument) -> Vec<String> {
        let shown = |changed: Result<String, Failure>| match changed {
            Ok(text) => text,
            Err(Failure::Refused(message) | Failure::Usage(message)) => message,
        };
        let entry = |entry: Result<KeyEntry, Failure>| shown(entry.map(|it| format!("{it:?}")));
        let added = |id: &str| {
            let (client, digest) = ("c".to_owned(), format!("sha256:{}", "7".repeat(64)));
            KeyEntry { id: id.to_owned(), client, digest, ..KeyEntry::default() }
        };
        let mut told = vec![format!("{} {}", document.count(), document.header())];
        told.extend(document.entries().map(entry));
        told.extend(document.ids().chain(document.digests()).map(Cow::into_owned));
        told.push(shown(document.with_added(&[added("new"), added("newer")])));
        for id in ["a", "b", "c", "é", "b\"", "absent"] {
            told.push(format!("{id} {} {}", document.holds(id), document.is_revoked(id)));
            told.push(entry(document.entry(id)));
            for (name, value) in
                [("revoked", "true"), ("expires", "2030-01-01T00:00:00Z"), ("client", "\"d\"")]
            {
                told.push(shown(document.with_set(id, name, value)));
            }
        }
        told
    }

    fn agree(text: &str) -> bool {
        let path = Path::new("keys.toml");
        match [0, usize::MAX].map(|large| KeyDocument::parse_above(path, text, large)) {
            [Ok(list), Ok(whole)] => {
                assert_eq!(told(&list), told(&whole), "{text}");
                matches!(list.body, Body::List(..))
            }
            [Err(Failure::Refused(list)), Err(Failure::Refused(whole))] => {
                assert_eq!(list, whole, "{text}");
                false
            }
            _ => panic!("read in one way alone: {text}"),
        }
    }

    #[test]
    fn a_list_is_changed_as_a_whole_document_is() {
        let digest = |digit: &str| format!("digest = \"sha256:{}\"\n", digit.repeat(64));
        let (one, two) = (digest("1"), digest("2"));
        let a = format!("[[key]]\nid = \"a\"\nclient = \"acme\"\n{one}");
        let firsts = [
            a.clone(),
            format!(
                "[[ key ]] # api_keys\nid = 'a' # its name\n\nclient = 'é'\n{one}revoked = false # not yet\n"
            ),
            format!(
                "[[key]]\n{one}scopes = [ 'x:y',\n  \"z\" ] # two\nclient = \"acme\"\nid = \"\\u0061\"\n"
            ),
            format!("[[key]]\nclient = \"acme\"\n{one}"),
            format!("[[key]]\nid = \"a\"\nclient = 7\n{one}revoked = true\n"),
            format!(
                "[[key]]\nid = \"\"\nclient = \"acme\"\n{one}expires = 2027-06-01 00:00:00.25Z\n"
            ),
        ];
        let seconds = [
            String::new(),
            format!(
                "\n# The second.\n[[key]]\nid = \"b\"\nclient = \"acme\"\n{two}plan = 'p' # last\n# That was it.\n"
            ),
            format!(
                "[[key]]\nid = \"b\\\"\"\nclient = \"acme\"\n{two}roles = [\"r\"]\naddresses = [\"192.0.2.0/24\"]\n\n# More.\n"
            ),
            format!(
                "  [[key]]\n\tid = \"a\"\n\tclient = \"acme\"\n\t{two}\texpires = 2027-06-01T00:00:00Z"
            ),
        ];
        let mut lists = 0;
        for first in &firsts {
            for second in &seconds {
                for before in ["", "# Hand-made.\n\n", "\u{feff}# x\n"] {
                    let text = format!("{before}{first}{second}");
                    let of_policy = text.replace("[[key]]", "[[api_keys.key]]");
                    let cut = text.trim_end().to_owned();
                    for text in [text.replace('\n', "\r\n"), text, of_policy, cut] {
                        lists += usize::from(agree(&text));
                    }
                }
            }
        }
        assert!(lists > 200, "{lists}");
        // What is no list, or is wrong, is read as a whole.
        let mixed = format!("{a}[[api_keys.key]]\nid = \"b\"\nclient = \"c\"\n{two}");
        for other in [
            String::new(),
            format!("key = [{{ id = 'a', client = 'c', {} }}]\n", one.trim_end()),
            format!("[api_keys]\nfile = \"x\"\n{}", a.replace("[[key]]", "[[api_keys.key]]")),
            format!("{a}[key.meta]\nx = 1\n"),
            format!("{a}id = \"a\"\n"),
            format!("{a}[[key]]\nid = \"b\n"),
            format!("{a}note = '''\n[[key]]\n'''\n"),
            mixed,
        ] {
            let is_list = agree(&other);
            assert!(!is_list || other.is_empty(), "{other}");
        }
    }
}
