//! Reads one table of a TOML file, strictly.
//!
//! Every key is asked for by name. What is of the wrong type is reported where it stands, and
//! [`finish`](Section::finish) reports the keys that nobody asked for.

mod values;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::faults::Faults;
use super::place::{Place, Source};
use super::suggest::nearest;
use super::value_fault::ValueFault;

/// A table, and where its faults go.
pub(crate) struct Section<'a> {
    /// As the operator calls it: `[denial]`, `[[rule]]`.
    name: &'static str,
    table: &'a DeTable<'a>,
    place: Place,
    faults: &'a Faults,
    asked: RefCell<Vec<&'static str>>,
    /// Keys that are not understood, and were reported otherwise.
    forgotten: RefCell<Vec<&'static str>>,
    /// Keys that are required and absent, with help: reported at the end, because one that is
    /// misspelt is reported as that alone.
    missing: RefCell<Vec<(&'static str, String)>>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        name: &'static str,
        table: &'a DeTable<'a>,
        source: &Arc<Source>,
        span: Range<usize>,
        faults: &'a Faults,
    ) -> Self {
        let place = Place { source: source.clone(), span };
        let (asked, forgotten, missing) = Default::default();
        Self { name, table, place, faults, asked, forgotten, missing }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn faults(&self) -> &'a Faults {
        self.faults
    }

    pub(crate) fn push(&self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Declares keys of the table, so that they are understood even where they are not read.
    pub(crate) fn knows(&self, names: &[&'static str]) {
        let mut asked = self.asked.borrow_mut();
        for name in names {
            if !asked.contains(name) {
                asked.push(name);
            }
        }
    }

    /// The place of a key that stands in the table, for faults about the pair as a whole.
    pub(crate) fn key_place(&self, name: &str) -> Place {
        let key = self.table.keys().find(|key| key.get_ref() == name);
        key.map_or_else(|| self.place.clone(), |key| self.at_span(key.span()))
    }

    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.value(name).is_some()
    }

    /// Whether the key stands in the table, without making it one that is understood.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.table.keys().any(|key| key.get_ref() == name)
    }

    /// Whether an unknown key of the table is probably meant to be this one. The keys of the table
    /// must have been [declared](Self::knows).
    pub(crate) fn misspells(&self, name: &str) -> bool {
        let asked = self.asked.borrow();
        self.table.keys().any(|key| {
            let key = key.get_ref().as_ref();
            !asked.contains(&key) && nearest(key, asked.iter().copied()) == Some(name)
        })
    }

    /// Passes over a key that was reported already.
    pub(crate) fn forget(&self, name: &'static str) {
        self.forgotten.borrow_mut().push(name);
    }

    /// Whether nothing is written in the table.
    pub(crate) fn has_no_keys(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the key has an array or a table without anything in it.
    pub(crate) fn is_empty(&self, name: &'static str) -> bool {
        self.value(name).is_some_and(|value| match value.get_ref() {
            DeValue::Array(array) => array.is_empty(),
            DeValue::Table(table) => table.is_empty(),
            _ => false,
        })
    }

    /// Reports the key as missing where it is.
    pub(crate) fn require(&self, name: &'static str, help: &str) {
        if !self.has(name) {
            self.missing.borrow_mut().push((name, help.to_owned()));
        }
    }

    /// Whether the key has a text.
    pub(crate) fn is_text(&self, name: &'static str) -> bool {
        self.value(name).is_some_and(|value| value.get_ref().is_str())
    }

    /// The table `name` in this one.
    pub(crate) fn section(&self, name: &'static str, title: &'static str) -> Option<Section<'a>> {
        let value = self.value(name)?;
        let table = value.get_ref().as_table();
        let table = self.typed(name, value, table, "a table", &form(title, name))?;
        Some(Section::new(title, table.value, &self.place.source, value.span(), self.faults))
    }

    /// The tables `[[name]]` in this one.
    pub(crate) fn sections(&self, name: &'static str, title: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let array = value.get_ref().as_array();
        let help = form(title, name);
        let Some(array) = self.typed(name, value, array, "an array of tables", &help) else {
            return Vec::new();
        };
        let table = |item: &'a Spanned<DeValue<'a>>| {
            let table =
                self.typed(name, item, item.get_ref().as_table(), "made of tables", &help)?;
            Some(Section::new(title, table.value, &self.place.source, item.span(), self.faults))
        };
        array.value.iter().filter_map(table).collect()
    }

    /// The keys of the table with their values, for tables whose keys are names.
    pub(crate) fn entries(&self) -> Vec<(At<&'a str>, &'a Spanned<DeValue<'a>>)> {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let key: &'a Spanned<std::borrow::Cow<'a, str>> = key;
            (At { value: key.get_ref().as_ref(), place: self.at_span(key.span()) }, value)
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|(key, _)| key.place.span.start);
        entries
    }

    pub(crate) fn at_span(&self, span: Range<usize>) -> Place {
        Place { source: self.place.source.clone(), span }
    }

    /// Reports the keys that nobody asked for, and those that are missing.
    pub(crate) fn finish(self) {
        let missing = self.missing.borrow();
        let absent = || missing.iter().map(|(name, _)| *name);
        let mut misspelt = Vec::new();
        let asked = self.asked.borrow();
        // Here a raw secret may have been put where a digest or a name belongs.
        let holds_secrets =
            ["[[api_keys.key]]", "[[key]]", "keys", "[api_keys]", "`store`"].contains(&self.name);
        for (key, value) in self.entries() {
            if asked.contains(&key.value) || self.forgotten.borrow().contains(&key.value) {
                continue;
            }
            let meant =
                nearest(key.value, absent()).or_else(|| nearest(key.value, asked.iter().copied()));
            misspelt.extend(meant);
            let unknown = ValueFault::UnknownKey {
                key: key.value.to_owned(),
                table: self.name,
                meant: meant.map(str::to_owned),
                known: asked.clone(),
            };
            let is_secret = holds_secrets && value.get_ref().is_str();
            self.push(Fault::of(&key.place, &unknown).mask(if is_secret {
                value.span()
            } else {
                0..0
            }));
        }
        for (key, help) in missing.iter().filter(|(key, _)| !misspelt.contains(key)) {
            let help = help.clone();
            self.push(Fault::of(
                &self.place,
                &ValueFault::MissingKey { key, table: self.name, help },
            ));
        }
    }

    fn value(&self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.borrow().contains(&name) {
            self.asked.borrow_mut().push(name);
        }
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    fn typed<T>(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        typed: Option<T>,
        expected: &str,
        help: &str,
    ) -> Option<At<T>> {
        let place = self.at_span(value.span());
        if typed.is_none() {
            let wrong = ValueFault::WrongType {
                key: name.to_owned(),
                expected: expected.to_owned(),
                found: value.get_ref().type_str(),
                help: help.to_owned(),
            };
            self.push(Fault::of(&place, &wrong));
        }
        typed.map(|value| At { value, place })
    }
}

/// How a table is written.
fn form(title: &str, name: &str) -> String {
    match title {
        "keys" => "write `keys = { jwks_file = \"jwks.json\" }`".into(),
        "`allow`" => "write `allow = [{ warning = \"unused-limit\", reason = \"...\" }]`".into(),
        "`store`" => "write `store = { sqlite = \"keys.db\" }`".into(),
        "claims" => "write `claims = { tenant = \"acme\" }`".into(),
        "`any`" => "write `any = [{ scopes = [\"orders:read\"] }, { roles = [\"clerk\"] }]`".into(),
        "may_grant" => "write `may_grant = { scopes = [\"orders:*\"] }`".into(),
        title if title.starts_with('[') => format!("begin it with a line `{title}`"),
        _ => format!("write `{name} = {{ ... }}`"),
    }
}
