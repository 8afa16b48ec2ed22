//! Reads a key file, which may have a million keys.
//!
//! 1. A small file is read as TOML, as a whole: what is wrong with it is told best so.
//! 2. A larger one is looked through first: whether it is a list of `[[key]]` tables and nothing else, so
//!    that each entry is TOML by itself and means what it means in the file. Headers of other tables and
//!    strings of several lines make it another file, which is read as a whole.
//! 3. Each entry of a list is read [as it is written](super::plain_key) where it is plain, and as TOML where
//!    it is not, or where something is wrong with it.
//!
//! To read a file as a whole takes some two kilobytes a key, so that is not done with the largest.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;
use memchr::memmem::find;
use toml::de::DeTable;

use super::checks::{ListHelp, read_list_file, report_syntax};
use super::loaded_keys::LoadedKeys;
use super::one_key::read_keys;
use super::plain_key::{behind_comments, behind_header, plain_key};
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::{Place, Source};
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;

/// Reads the key file that a policy names.
pub(super) fn load_key_file(
    file: &At<&str>,
    sources: &Sources,
    faults: &Faults,
    loaded: &mut LoadedKeys,
) {
    let help = ListHelp {
        too_large: "keep so many keys in a store, such as `store = { sqlite = \"keys.db\" }`",
        missing: "; `tollgate key new --client NAME --write FILE` makes it",
    };
    let text = read_list_file(file.value, &file.place, &help, sources, faults);
    let Some(text) = text else { return };
    let Ok(text) = str::from_utf8(&text) else {
        faults.push(Fault::of(&file.place, &FileFault::FileNotUtf8));
        return;
    };
    let name = sources.path(file.value).display().to_string();
    KeyFile { name: &name, text, faults, counted: Cell::default() }.read(loaded, Bounds::DEFAULT);
}

/// Sizes of files, in bytes.
#[derive(Clone, Copy)]
struct Bounds {
    /// A file of this size or less is read as a whole.
    small: usize,
    /// A file of this size or less may be read as a whole.
    whole: usize,
}

impl Bounds {
    const DEFAULT: Self = Self { small: 256 << 10, whole: 64 << 20 };
}

struct KeyFile<'f> {
    name: &'f str,
    text: &'f str,
    faults: &'f Faults,
    /// How many lines are before a place.
    counted: Cell<(usize, usize)>,
}

/// A file that is a list of keys and nothing else, all of one title. Each entry is TOML by itself, and means
/// what it means in the file.
pub struct KeyList {
    /// Whether the title of each is `[[api_keys.key]]`, and not `[[key]]`.
    pub is_of_policy: bool,
    /// In their order.
    pub keys: Vec<ListedKey>,
}

/// An entry of a list.
pub struct ListedKey {
    /// From the line of its header to that of the next one, in bytes.
    pub range: Range<usize>,
    /// Where its id is written; `None` where the entry is not written plainly, and need not be valid.
    pub id: Option<Range<usize>>,
}

impl KeyList {
    /// Looks a text through. `None` where it is another file, or one with two titles.
    pub fn new(text: &str) -> Option<Self> {
        let faults = Faults::default();
        let file = KeyFile { name: "", text, faults: &faults, counted: Cell::default() };
        let mut list = Self { is_of_policy: false, keys: Vec::new() };
        list.keys.reserve_exact(file.count_entries().ok()?);
        let mut at = behind_comments(text)?;
        while let Some(begin) = behind_header(text, at) {
            let title = text.get(at..begin)?.split(']').next()?;
            let is_of_policy = title.contains("api_keys");
            if !list.keys.is_empty() && is_of_policy != list.is_of_policy {
                return None;
            }
            list.is_of_policy = is_of_policy;
            let plain = plain_key(text, begin);
            let end = plain.as_ref().map_or_else(|| file.next_header(begin), |(_, end)| *end);
            let id = plain.filter(|(key, _)| !key.id.is_empty()).map(|(key, _)| {
                let from = key.id.as_ptr().addr() - text.as_ptr().addr();
                from..from + key.id.len()
            });
            list.keys.push(ListedKey { range: at..end, id });
            at = end;
        }
        (at == text.len()).then_some(list)
    }
}

/// What is not a list of keys begins at this byte.
struct Odd(usize);

impl KeyFile<'_> {
    fn read(&self, loaded: &mut LoadedKeys, bounds: Bounds) {
        if self.text.len() <= bounds.small {
            return self.read_whole(loaded);
        }
        match self.count_entries() {
            Ok(count) => {
                loaded.reserve(count);
                self.read_entries(loaded);
            }
            Err(_) if self.text.len() <= bounds.whole => self.read_whole(loaded),
            Err(Odd(at)) => {
                let largest = bounds.whole >> 20;
                self.push_at(at, &FileFault::LargeFileNotAList { largest });
            }
        }
    }

    fn read_whole(&self, loaded: &mut LoadedKeys) {
        let source = Arc::new(Source::new(self.name, self.text));
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let lines = report_syntax(&errors, &source, self.faults);
        if lines.is_some_and(|lines| lines.is_empty()) {
            self.read_tables(table.get_ref(), &source, loaded);
        }
    }

    fn read_tables(&self, table: &DeTable<'_>, source: &Arc<Source>, loaded: &mut LoadedKeys) {
        let root = Section::new("the key file", table, source, 0..0, self.faults);
        read_keys(root.sections("key", "[[key]]"), loaded);
        // As in a policy, so that what is printed for one fits the other.
        if let Some(section) = root.section("api_keys", "[api_keys]") {
            read_keys(section.sections("key", "[[api_keys.key]]"), loaded);
            section.finish();
        }
        root.finish();
    }

    /// How many entries the file has, where it is a list of them and nothing else.
    fn count_entries(&self) -> Result<usize, Odd> {
        let text = self.text;
        let quotes = ["\"\"\"", "'''"].map(|quotes| find(text.as_bytes(), quotes.as_bytes()));
        if let Some(at) = quotes.into_iter().flatten().min() {
            return Err(Odd(at));
        }
        let first = behind_comments(text).ok_or(Odd(0))?;
        if first == text.len() {
            return Ok(0);
        }
        behind_header(text, first).ok_or(Odd(first))?;
        // INVARIANT: every line that begins with `[` is looked at, blanks before it aside. One within an
        // array makes the file odd too; none is in a string, since those are of one line.
        let mut count = 0;
        for at in memchr_iter(b'[', text.as_bytes()) {
            let Some(line) = self.line_of_header(at) else { continue };
            behind_header(text, line).ok_or(Odd(at))?;
            count += 1;
        }
        Ok(count)
    }

    /// Where the line begins whose first character is the one at `at`; `None` where that is not the first.
    fn line_of_header(&self, at: usize) -> Option<usize> {
        let before = self.text.as_bytes().get(..at)?;
        let blanks = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = at - blanks;
        let is_begin = line == 0 || before.get(..line) == Some(BYTE_ORDER_MARK.as_bytes());
        (is_begin || before.get(line - 1) == Some(&b'\n')).then_some(line)
    }

    /// INVARIANT: the file is a list of entries.
    fn read_entries(&self, loaded: &mut LoadedKeys) {
        let (text, now) = (self.text, self.faults.now);
        let before = self.faults.len();
        let mut at = behind_comments(text).unwrap_or(text.len());
        while let Some(begin) = behind_header(text, at) {
            // Places are in lines as they are written.
            let from = if text.get(..at) == Some(BYTE_ORDER_MARK) { 0 } else { at };
            let plain = plain_key(text, begin);
            let end = plain.as_ref().map_or_else(|| self.next_header(begin), |(_, end)| *end);
            let is_added = plain.is_some_and(|(key, _)| {
                loaded.add_plain(&key, now, |span| self.place(from..end, span))
            });
            if !is_added {
                self.read_entry(from..end, loaded);
            }
            if self.faults.len() - before >= MOST_FAULTS && end < text.len() {
                self.push_at(end, &FileFault::TooManyFaults { most: MOST_FAULTS });
                return;
            }
            at = end;
        }
    }

    /// The line of the first header at or behind `at`, which is the begin of a line.
    fn next_header(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let mut found = memchr_iter(b'[', rest.as_bytes()).map(|found| at + found);
        found.find_map(|found| self.line_of_header(found)).unwrap_or(self.text.len())
    }

    /// Reads an entry as TOML.
    fn read_entry(&self, entry: Range<usize>, loaded: &mut LoadedKeys) {
        let source = self.part(entry);
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        report_syntax(&errors, &source, self.faults);
        if errors.is_empty() {
            self.read_tables(table.get_ref(), &source, loaded);
        }
    }

    fn part(&self, range: Range<usize>) -> Arc<Source> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        Arc::new(Source::part(self.name, text, range.start, self.lines_before(range.start)))
    }

    /// A place within an entry.
    fn place(&self, entry: Range<usize>, span: Range<usize>) -> Place {
        let span = span.start - entry.start..span.end - entry.start;
        Place { source: self.part(entry), span }
    }

    /// Reports what is wrong with a line.
    fn push_at(&self, at: usize, fault: &FileFault) {
        let end = memchr::memchr(b'\n', self.text.get(at..).unwrap_or_default().as_bytes());
        let end = end.map_or(self.text.len(), |length| at + length);
        let begin = self.text.get(..at).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let place = self.place(begin..end, at..end);
        self.faults.push(Fault::of(&place, fault));
    }

    /// How many lines are before `at`. Places are asked for in their order, mostly.
    fn lines_before(&self, at: usize) -> usize {
        let (from, lines) = match self.counted.get() {
            (from, lines) if from <= at => (from, lines),
            _ => (0, 0),
        };
        let between = self.text.as_bytes().get(from..at).unwrap_or_default();
        let lines = lines + memchr_iter(b'\n', between).count();
        self.counted.set((at, lines));
        lines
    }
}

/// It may stand before the text, and is no part of it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A file with more has one cause, which shows in the first ones.
const MOST_FAULTS: usize = 1_000;

problems! {
    /// What may be wrong with a key file as a whole.
    enum FileFault: Fault {
        /// A key file in another encoding.
        FileNotUtf8 => {
            message: "the key file is not UTF-8",
            label: "cannot be read",
            help: "a key file is TOML with [[key]] tables",
        }
        /// Something else than entries in a file that is too large to be read as a whole.
        LargeFileNotAList { largest: usize } => {
            message: "a key file above {largest} MiB is a list of [[key]] tables, and nothing else is in it",
            label: "is something else",
            help: "write each key as a table that begins with a line `[[key]]`, with strings of one line",
        }
        /// More faults than anybody reads.
        TooManyFaults { most: usize } => {
            message: "the key file has more than {most} faults and warnings",
            label: "was not read, nor what follows",
            help: "correct those before this line first",
        }
    }
}

#[cfg(test)]
mod tests;
