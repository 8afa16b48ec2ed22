//! Reads keys from a table of comma-separated values (RFC 4180).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{KeyEntry, moment_of};
use crate::policy::{
    Fault, Place, Source, check_name, check_word, nearest, parse_cidr, parse_scope, problems,
};
use crate::verify::key_store::KeyDigest;

/// The columns, and what they are for.
const COLUMNS: [&str; 11] = [
    "id",
    "client",
    "digest",
    "key",
    "scopes",
    "roles",
    "plan",
    "not_before",
    "expires",
    "revoked",
    "addresses",
];

/// A field: where it stands, quotes included, and its text.
struct Field<'t> {
    span: Range<usize>,
    text: Cow<'t, str>,
}

/// Reads keys from a table. The first line names the columns; `hash_keys` allows the column `key`,
/// whose texts are replaced by their digests.
///
/// # Errors
///
/// Everything that is wrong with the table: none of it is of use then.
pub fn keys_of_csv(name: &str, text: &str, hash_keys: bool) -> Result<Vec<KeyEntry>, Vec<Fault>> {
    let source = Arc::new(Source::new(name, text));
    let mut table = Table { source, hash_keys, faults: Vec::new() };
    let keys = table.read(text);
    if table.faults.is_empty() { Ok(keys) } else { Err(table.faults) }
}

struct Table {
    source: Arc<Source>,
    hash_keys: bool,
    faults: Vec<Fault>,
}

impl Table {
    fn read(&mut self, text: &str) -> Vec<KeyEntry> {
        let mut rows = match rows(text) {
            Ok(rows) => rows.into_iter(),
            Err(at) => {
                self.push_masked(&(at..at + 1), &CsvFault::UnclosedQuote, line_of(text, at));
                return Vec::new();
            }
        };
        let Some(first) = rows.next() else {
            self.push(&(0..0), &CsvFault::Empty);
            return Vec::new();
        };
        let Some(columns) = self.columns(&first) else { return Vec::new() };
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        let mut keys = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for row in rows {
            let Some(mut key) = self.key(&row, &columns, first.len()) else { continue };
            let start = row.first().map_or(counted, |field| field.span.start);
            line += text[counted..start].matches('\n').count();
            counted = start;
            key.line = Some(line);
            let place = |name| columns.get(name).map_or(0..0, |at| row[*at].span.clone());
            if !ids.insert(key.id.clone()) {
                let secret = secret_of(&row, &columns);
                self.push_masked(&place("id"), &CsvFault::Twice { what: "id" }, secret);
            }
            if !digests.insert(key.digest.clone()) {
                let name = if columns.contains_key("digest") { "digest" } else { "key" };
                let place = place(name);
                self.push_masked(&place, &CsvFault::Twice { what: "digest" }, place.clone());
            }
            keys.push(key);
        }
        keys
    }

    /// The places of the columns, unless the first line does not name what is needed.
    fn columns(&mut self, first: &[Field<'_>]) -> Option<HashMap<&'static str, usize>> {
        let mut columns = HashMap::new();
        let before = self.faults.len();
        // A table whose first line is forgotten begins with a key.
        let is_named = first.iter().all(|field| is_name_of_column(&field.text));
        let secret = match is_named {
            true => 0..0,
            false => line_of(&self.source.text, first.first().map_or(0, |field| field.span.start)),
        };
        for (at, field) in first.iter().enumerate() {
            let name = field.text.trim().to_ascii_lowercase();
            match COLUMNS.into_iter().find(|column| *column == name) {
                None => {
                    let meant = nearest(&name, COLUMNS).map(str::to_owned);
                    let unknown = CsvFault::UnknownColumn { meant };
                    self.push_masked(&field.span, &unknown, secret.clone());
                }
                Some("key") if !self.hash_keys => {
                    self.push_masked(&field.span, &CsvFault::RawKeys, secret.clone());
                }
                Some(column) if columns.insert(column, at).is_some() => {
                    self.push_masked(&field.span, &CsvFault::ColumnTwice, secret.clone());
                }
                Some(_) => {}
            }
        }
        let whole = first.first().map_or(0, |field| field.span.start)
            ..first.last().map_or(0, |field| field.span.end);
        if self.faults.len() == before {
            for column in ["id", "client"].into_iter().filter(|name| !columns.contains_key(name)) {
                self.push(&whole, &CsvFault::MissingColumn { column });
            }
            match (columns.contains_key("digest"), columns.contains_key("key")) {
                (false, false) => self.push(&whole, &CsvFault::MissingColumn { column: "digest" }),
                (true, true) => self.push(&whole, &CsvFault::DigestAndKey),
                _ => {}
            }
        }
        (self.faults.len() == before).then_some(columns)
    }

    /// The key of a row, unless something is wrong with it.
    fn key(
        &mut self,
        row: &[Field<'_>],
        columns: &HashMap<&'static str, usize>,
        wanted: usize,
    ) -> Option<KeyEntry> {
        if row.len() != wanted {
            let whole = row.first()?.span.start..row.last()?.span.end;
            let line = line_of(&self.source.text, whole.start);
            let fault = CsvFault::OtherCount { found: row.len(), wanted };
            self.push_masked(&whole, &fault, line);
            return None;
        }
        let secret = secret_of(row, columns);
        let before = self.faults.len();
        let mut key = KeyEntry::default();
        for column in COLUMNS {
            let Some(field) = columns.get(column).map(|at| &row[*at]) else { continue };
            let text = field.text.trim();
            let is_needed = matches!(column, "id" | "client" | "digest" | "key");
            let read = match text {
                "" if is_needed => Err("every key needs one".to_owned()),
                "" => Ok(()),
                text => set(&mut key, column, text),
            };
            if let Err(help) = read {
                let fault = CsvFault::Invalid { column, help };
                self.push_masked(&field.span, &fault, secret.clone());
            }
        }
        if let (Some(from), Some(until), Some(at)) =
            (key.not_before, key.expires, columns.get("expires"))
            && from >= until
        {
            let help = "set it to a later moment than `not_before`".to_owned();
            let fault = CsvFault::Invalid { column: "expires", help };
            self.push_masked(&row[*at].span, &fault, secret);
        }
        (self.faults.len() == before).then_some(key)
    }

    fn push(&mut self, span: &Range<usize>, fault: &CsvFault) {
        self.push_masked(span, fault, 0..0);
    }

    fn push_masked(&mut self, span: &Range<usize>, fault: &CsvFault, secret: Range<usize>) {
        let place = Place { source: self.source.clone(), span: span.clone() };
        self.faults.push(Fault::of(&place, fault).mask(secret));
    }
}

/// What is shown in no fault of a row: a key, or what stands in place of a digest and may be one.
fn secret_of(row: &[Field<'_>], columns: &HashMap<&'static str, usize>) -> Range<usize> {
    let field = |name| columns.get(name).and_then(|at| row.get(*at));
    let no_digest = field("digest").filter(|field| digest(field.text.trim()).is_none());
    field("key").or(no_digest).map_or(0..0, |field| field.span.clone())
}

/// Whether a text may be meant as the name of a column: no key is so short and without a digit.
fn is_name_of_column(text: &str) -> bool {
    let text = text.trim();
    text.len() <= 16
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_- ".contains(&byte))
}

fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    start..end
}

/// Sets what a column says, or answers what to write in it.
fn set(key: &mut KeyEntry, column: &str, text: &str) -> Result<(), String> {
    let list = |check: fn(&str) -> Result<(), String>| {
        let words = text.split_ascii_whitespace();
        words.map(|word| check(word).map(|()| word.to_owned())).collect::<Result<Vec<_>, _>>()
    };
    let moment = || {
        let day = format!("{text}T00:00:00Z");
        let moment = moment_of(text).or_else(|| moment_of(&day));
        moment.ok_or_else(|| "write `2027-01-01T00:00:00Z`, or the day alone".to_owned())
    };
    match column {
        "id" => key.id = check_name(text)?,
        "client" => key.client = check_word(text)?,
        "digest" => {
            key.digest = digest(text).ok_or(
                "write the SHA-256 digest of the whole key: `sha256:` and 64 hex digits, 64 hex digits alone, or base64",
            )?;
        }
        "key" => key.digest = KeyDigest::of(text.as_bytes()).to_string(),
        "scopes" => key.scopes = list(|scope| parse_scope(scope).map(drop))?,
        "roles" => key.roles = list(|role| check_word(role).map(drop))?,
        "plan" => key.plan = Some(check_name(text)?),
        "not_before" => key.not_before = Some(moment()?),
        "expires" => key.expires = Some(moment()?),
        "revoked" => {
            key.revoked = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => true,
                "false" | "no" | "0" => false,
                _ => return Err("write `true` or `false`".into()),
            };
        }
        _ => key.addresses = list(|range| parse_cidr(range).map(drop))?,
    }
    Ok(())
}

/// A digest as policies hold it.
fn digest(text: &str) -> Option<String> {
    let plain = text.parse().or_else(|_| format!("sha256:{text}").parse()).ok();
    let digest = plain.or_else(|| {
        // 32 bytes; no hex digits have this length.
        let bytes = STANDARD.decode(text).ok()?;
        Some(KeyDigest::from_bytes(bytes.try_into().ok()?))
    })?;
    Some(digest.to_string())
}

/// The rows of a table, empty lines left out; or where a quote begins that does not end.
fn rows(text: &str) -> Result<Vec<Vec<Field<'_>>>, usize> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let (field, next) = field(text, at)?;
        row.push(field);
        let rest = &text[next..];
        at = next;
        if rest.starts_with(',') {
            at += 1;
            if at < text.len() {
                continue;
            }
            row.push(Field { span: at..at, text: "".into() });
        } else {
            at += rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        }
        let line = std::mem::take(&mut row);
        if line.len() > 1 || line.iter().any(|field| !field.text.trim().is_empty()) {
            rows.push(line);
        }
    }
    Ok(rows)
}

/// The field that begins at `at`, and where it ends: at a comma, at the end of the line or the text.
fn field(text: &str, at: usize) -> Result<(Field<'_>, usize), usize> {
    let rest = &text[at..];
    let plain = || {
        let end = rest.find([',', '\n']).map_or(text.len(), |end| at + end);
        let end_of_text = at + text[at..end].trim_end_matches('\r').len();
        (Field { span: at..end_of_text, text: text[at..end_of_text].into() }, end)
    };
    let Some(quoted) = rest.strip_prefix('"') else { return Ok(plain()) };
    let mut end = 0;
    loop {
        let Some(quote) = quoted[end..].find('"') else { return Err(at) };
        end += quote + 1;
        if !quoted[end..].starts_with('"') {
            break;
        }
        end += 1;
    }
    let inner = &quoted[..end - 1];
    let behind = at + 1 + end;
    let after = &text[behind..];
    if !(after.is_empty() || after.starts_with([',', '\n']) || after.starts_with("\r\n")) {
        return Err(at);
    }
    let inner: Cow<'_, str> =
        if inner.contains('"') { inner.replace("\"\"", "\"").into() } else { inner.into() };
    Ok((Field { span: at..behind, text: inner }, behind))
}

problems! {
    /// What may be wrong with a table of keys.
    enum CsvFault: Fault {
        /// Nothing, or no line with anything on it.
        Empty => {
            message: "the table is empty",
            label: "holds no line",
            help: "name the columns on the first line: `id,client,digest,scopes,plan`",
        }
        /// A quote that does not end, or not at the end of its field.
        UnclosedQuote => {
            message: "a quoted field does not end",
            label: "begins here",
            help: "end it with `\"` before the next comma, and write a quote inside it twice (RFC 4180)",
        }
        /// A column that is not known.
        UnknownColumn { meant: Option<String> } => {
            message: "unknown column",
            label: "is not a column of keys",
            help: ("{}", match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "columns are `id`, `client`, `digest`, `scopes`, `roles`, `plan`, `not_before`, `expires`, `revoked`, `addresses`".to_owned(),
            }),
        }
        /// Raw keys where nobody said that they are to be read.
        RawKeys => {
            message: "the column `key` holds secrets",
            label: "is not read",
            help: "give `digest`, or say `--hash-keys` to have the digests made of them; delete the file afterwards",
        }
        /// A column that is there already.
        ColumnTwice => {
            message: "the column is named twice",
            label: "is named already",
            help: "name each column once",
        }
        /// A column that each key needs.
        MissingColumn { column: &'static str } => {
            message: "the column `{column}` is missing",
            label: "does not name it",
            help: "every key needs `id`, `client` and `digest`; the first line names the columns",
        }
        /// Two columns that say the same.
        DigestAndKey => {
            message: "`digest` and `key` are both there",
            label: "names both",
            help: "give one of them: `digest` is made of `key`",
        }
        /// A row with more or fewer fields than there are columns.
        OtherCount { found: usize, wanted: usize } => {
            message: "the line has {found} fields, and there are {wanted} columns",
            label: "has another number of fields",
            help: "write a field for each column, empty ones too, and quote what holds a comma",
        }
        /// A field that cannot be read.
        Invalid { column: &'static str, help: String } => {
            message: "`{column}` is invalid",
            label: "is not a valid `{column}`",
            help: "{help}",
        }
        /// An id or a digest of an earlier row.
        Twice { what: &'static str } => {
            message: "two keys have this {what}",
            label: "is used already",
            help: "each key has its own id and digest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    fn read(text: &str) -> Result<Vec<KeyEntry>, Vec<Fault>> {
        keys_of_csv("keys.csv", text, false)
    }

    #[test]
    fn a_table_is_read_with_quotes_and_any_line_end() {
        let text = format!(
            "\u{feff}id,client,digest,scopes,expires,revoked\r\n\r\n\
             a,\"one, \"\"two\"\"\",sha256:{DIGEST},x:y z,2027-01-01,\r\n\
             b,\"three\nfour\",{},,2027-01-01T01:00:00+01:00,TRUE",
            STANDARD.encode([7; 32])
        );
        let faults = read(&text).unwrap_err();
        assert_eq!(
            (faults[0].line(), faults[0].column()),
            (4, 3),
            "control characters: {faults:?}"
        );
        let keys = read(&text.replace("three\nfour", "three")).unwrap();
        assert_eq!(keys[0].client, "one, \"two\"");
        assert_eq!(keys[0].digest, format!("sha256:{DIGEST}"));
        assert_eq!(keys[0].scopes, ["x:y", "z"]);
        assert_eq!((keys[0].expires, keys[0].revoked), (Some(1_798_761_600), false));
        assert_eq!((keys[1].expires, keys[1].revoked), (Some(1_798_761_600), true));
        assert_eq!(keys[1].digest, format!("sha256:{}", "07".repeat(32)));
        assert_eq!(read(&format!("id,client,digest,plan\na,b,{DIGEST},")).unwrap().len(), 1);
    }

    #[test]
    fn every_bad_line_is_reported_with_its_place_and_nothing_is_kept() {
        let text = format!(
            "id,client,digest,expires\na,b,{DIGEST},\na,b,tg_secretsecret,soon\n\
             c,d,{DIGEST},2027-01-01\ne,f\na b,,{},",
            "0".repeat(64)
        );
        let faults = read(&text).unwrap_err();
        let places: Vec<_> = faults.iter().map(|f| (f.line(), f.column(), f.message())).collect();
        assert_eq!(
            places,
            [
                (3, 5, "`digest` is invalid"),
                (3, 21, "`expires` is invalid"),
                (4, 5, "two keys have this digest"),
                (5, 1, "the line has 2 fields, and there are 4 columns"),
                (6, 1, "`id` is invalid"),
                (6, 5, "`client` is invalid"),
            ]
        );
        let shown = faults.iter().map(Fault::to_string).collect::<String>();
        assert!(!shown.contains("tg_secretsecret"), "{shown}");
    }

    #[test]
    fn raw_keys_are_read_only_where_somebody_said_so() {
        let text = "id,client,key\na,b,foo";
        let faults = read(text).unwrap_err();
        assert!(faults[0].help().contains("--hash-keys"));
        let keys = keys_of_csv("keys.csv", text, true).unwrap();
        assert_eq!(keys[0].digest, format!("sha256:{DIGEST}"));
    }

    #[test]
    fn no_fault_shows_a_key() {
        let keys = ["tg_secret", DIGEST, &STANDARD.encode([7; 32])];
        for key in keys {
            for (text, message) in [
                (format!("id,client,key,expires\na,b,{key},soon"), "`expires` is invalid"),
                (
                    format!("id,client,key,expires,not_before\na,b,{key},2026-01-01,2027-01-01"),
                    "`expires` is invalid",
                ),
                (format!("id,client,key\na,b,x\na,c,{key}"), "two keys have this id"),
                (format!("id,client,key\na,b,{key}\nc,d,{key}"), "two keys have this digest"),
                (
                    format!("id,client,key\na,{key}"),
                    "the line has 2 fields, and there are 3 columns",
                ),
                (format!("id,client,key\na,b,\"{key}"), "a quoted field does not end"),
                (format!("id,client,key\na,\"b,{key}"), "a quoted field does not end"),
                (format!("a,b,{key}1\nc,d,x"), "unknown column"),
                (format!("id,client,{key}1"), "unknown column"),
                (format!("id,key,id,{key}1"), "the column is named twice"),
            ] {
                let faults = keys_of_csv("keys.csv", &text, true).unwrap_err();
                assert!(
                    faults.iter().any(|fault| fault.message() == message),
                    "{text}: {faults:?}"
                );
                let shown = faults.iter().map(Fault::to_string).collect::<String>();
                assert!(!shown.contains(key), "{shown}");
            }
        }
        let shown = read("id,client,digests\n").unwrap_err()[0].to_string();
        assert!(shown.contains("id,client,digests"), "{shown}");
    }

    #[test]
    fn the_columns_are_checked_before_the_rows() {
        for (text, message) in [
            ("", "the table is empty"),
            ("\n \n", "the table is empty"),
            ("id,client\na,b", "the column `digest` is missing"),
            ("id,cleint,digest", "unknown column"),
            ("id,id,client,digest", "the column is named twice"),
            ("id,client,digest\n\"a,b,c", "a quoted field does not end"),
            ("id,client,digest\n\"a\"x,b,c", "a quoted field does not end"),
        ] {
            assert_eq!(read(text).unwrap_err()[0].message(), message, "{text:?}");
        }
    }
}
