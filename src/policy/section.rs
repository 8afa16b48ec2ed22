//! Reads one table of a TOML file, strictly.
//!
//! Every key is asked for by name. What is of the wrong type is reported where it stands, and
//! [`finish`](Section::finish) reports the keys that nobody asked for.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::faults::Faults;
use super::place::{Place, Source};
use super::suggest::nearest;
use super::value_fault::ValueFault;
use crate::limit::parse_duration;
use crate::time::{unix_seconds, unix_seconds_up};

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

    pub(crate) fn text(&self, name: &'static str) -> Option<At<&'a str>> {
        let value = self.value(name)?;
        let text = value.get_ref().as_str();
        self.typed(name, value, text, "a string", &format!("write `{name} = \"...\"`"))
    }

    /// Reports the key as missing where it is.
    pub(crate) fn required_text(&self, name: &'static str, help: &str) -> Option<At<&'a str>> {
        self.require(name, help);
        self.text(name)
    }

    /// Reports the key as missing where it is.
    pub(crate) fn require(&self, name: &'static str, help: &str) {
        if !self.has(name) {
            self.missing.borrow_mut().push((name, help.to_owned()));
        }
    }

    /// Reads a text by `parse`, which says what to write instead.
    pub(crate) fn parse<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.text(name)?;
        self.parsed(&text, what, parse)
    }

    /// Reads a text that was found by `parse`, which says what to write instead.
    pub(crate) fn parsed<T>(
        &self,
        text: &At<&str>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        match parse(text.value) {
            Ok(value) => Some(At { value, place: text.place.clone() }),
            Err(help) => {
                let shown = text.value.escape_debug();
                let (shown, what) = (shown.to_string(), what.to_owned());
                let fault = match text.value {
                    "" => ValueFault::Empty { what, help },
                    _ => ValueFault::Invalid { shown, what, help },
                };
                self.push(Fault::of(&text.place, &fault));
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words = words.iter().map(|(word, _)| (*word).to_owned()).collect();
        self.push(Fault::of(
            &text.place,
            &ValueFault::NotOneOf { key: name, found: text.value.to_owned(), words },
        ));
        None
    }

    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        let flag = value.get_ref().as_bool();
        let help = "write `true` or `false`, without quotes";
        self.typed(name, value, flag, "true or false", help).map(|at| at.value)
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, name: &'static str, range: Range<u64>) -> Option<At<u64>> {
        let (least, most) = (range.start, range.end - 1);
        let help = format!("write a whole number from {least} to {most}, without quotes");
        self.number_or(name, range, &help)
    }

    /// The same, where it needs other help.
    pub(crate) fn number_or(
        &self,
        name: &'static str,
        range: Range<u64>,
        help: &str,
    ) -> Option<At<u64>> {
        let value = self.value(name)?;
        let number = value.get_ref().as_integer().map(|number| {
            let digits: String =
                number.as_str().chars().filter(|c| !matches!(c, '_' | '+')).collect();
            i128::from_str_radix(&digits, number.radix()).unwrap_or(i128::MAX)
        });
        let (least, most) = (range.start, range.end - 1);
        let number = self.typed(name, value, number, "a whole number", help)?;
        match u64::try_from(number.value) {
            Ok(value) if range.contains(&value) => Some(At { value, place: number.place }),
            _ => {
                self.push(Fault::of(
                    &number.place,
                    &ValueFault::OutOfRange { key: name, least, most },
                ));
                None
            }
        }
    }

    /// A moment, in Unix seconds.
    pub(crate) fn moment(&self, name: &'static str) -> Option<At<u64>> {
        self.moment_by(name, unix_seconds)
    }

    /// A moment, in Unix seconds that are rounded up.
    pub(crate) fn moment_rounded_up(&self, name: &'static str) -> Option<At<u64>> {
        self.moment_by(name, unix_seconds_up)
    }

    fn moment_by(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<i64>,
    ) -> Option<At<u64>> {
        let value = self.value(name)?;
        let help = format!("{name} = 2027-01-01T00:00:00Z");
        let date = value.get_ref().as_datetime();
        let date = self.typed(name, value, date, "a moment", &format!("write `{help}`"))?;
        let seconds = read(&date.value.to_string());
        match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(value) => Some(At { value, place: date.place }),
            None => {
                self.push(Fault::of(&date.place, &ValueFault::NotAMoment { key: name }));
                None
            }
        }
    }

    /// A time with its unit, such as `"30s"`.
    pub(crate) fn duration(&self, name: &'static str) -> Option<At<Duration>> {
        let value = self.value(name)?;
        if let Some(number) = value.get_ref().as_integer() {
            let number = number.as_str().to_owned();
            let place = self.at_span(value.span());
            self.push(Fault::of(&place, &ValueFault::DurationWithoutUnit { key: name, number }));
            return None;
        }
        self.parse(name, "duration", |text| {
            parse_duration(text).ok_or_else(|| {
                "a duration is a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `7d`".into()
            })
        })
    }

    pub(crate) fn texts(&self, name: &'static str) -> Option<Vec<At<&'a str>>> {
        let value = self.value(name)?;
        let help = format!("write `{name} = [\"...\"]`");
        let array = value.get_ref().as_array();
        let array = self.typed(name, value, array, "an array of strings", &help)?;
        let item = |item: &'a Spanned<DeValue<'a>>| {
            self.typed(name, item, item.get_ref().as_str(), "made of strings", &help)
        };
        Some(array.value.iter().filter_map(item).collect())
    }

    /// The items of an array, of any types. `None` where the key is absent.
    pub(crate) fn items(
        &self,
        name: &'static str,
        expected: &str,
        help: &str,
    ) -> Option<&'a [Spanned<DeValue<'a>>]> {
        let value = self.value(name)?;
        let array = value.get_ref().as_array();
        self.typed(name, value, array, expected, help).map(|array| &**array.value)
    }

    /// Reads each text of an array by `parse`. `None` where the key is absent.
    pub(crate) fn list<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let texts = self.texts(name)?;
        Some(texts.iter().filter_map(|text| self.parsed(text, what, &parse)).collect())
    }

    /// One text, or each text of an array, read by `parse`. `None` where the key is absent.
    pub(crate) fn one_or_more<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        match self.value(name)?.get_ref() {
            DeValue::Array(_) => self.list(name, what, parse),
            _ => self.parse(name, what, parse).map(|one| vec![one]),
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
