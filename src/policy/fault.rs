//! Faults of a policy: what is wrong, where, and what to do about it.
//!
//! ```text
//! policy.toml:14:13: unknown limit `per-cleint`
//!    |
//! 14 | limits  = ["per-cleint"]
//!    |            ^^^^^^^^^^^^ no limit has this name
//! help: did you mean `per-client`?
//! ```

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file of the policy.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path, as it was given.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A place in a file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) span: Range<usize>,
}

/// Whether the policy is refused for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// The policy cannot be used.
    Fault,
    /// The policy can be used, and probably does not do what was meant.
    Doubt,
}

/// One thing that is wrong with a policy, with its place and help.
///
/// Shown, it is the message with the line it is about and a caret below:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let error = tollgate::Tollgate::builder()
///     .policy("version = 1\n[denial]\nrelam = \"orders\"\n")
///     .build()
///     .await
///     .expect_err("the key is misspelt");
/// let fault = error.faults().iter().find(|fault| fault.line() == 3).unwrap();
/// assert_eq!((fault.line(), fault.column()), (3, 1));
/// assert_eq!(fault.message(), "unknown key `relam` in [denial]");
/// assert_eq!(fault.help(), "did you mean `realm`?");
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    severity: Severity,
    place: Place,
    message: String,
    label: String,
    help: String,
    /// What must not be shown of the line: a raw secret.
    masked: Option<Range<usize>>,
}

impl Fault {
    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fault,
            place: place.clone(),
            message: message.into(),
            label: String::new(),
            help: String::new(),
            masked: None,
        }
    }

    pub(crate) fn doubt(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Doubt, ..Self::at(place, message) }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Hides a part of the file wherever the fault is shown.
    pub(crate) fn mask(mut self, span: Range<usize>) -> Self {
        self.masked = Some(span);
        self
    }

    /// Whether the policy is refused for it.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.place.source.name
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        1 + self.before().matches('\n').count()
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        1 + self.before().rsplit('\n').next().unwrap_or_default().chars().count()
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, in one sentence.
    pub fn help(&self) -> &str {
        &self.help
    }

    fn before(&self) -> &str {
        let text = &self.place.source.text;
        let mut end = self.place.span.start.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        &text[..end]
    }

    /// The line with the place, secrets hidden.
    fn excerpt(&self) -> String {
        let text = &self.place.source.text;
        let start = self.before().rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let secret = secret_part(line);
        let hidden = |at: usize| {
            self.masked.as_ref().is_some_and(|masked| masked.contains(&at))
                || secret.contains(&(at - start))
        };
        let show = |(at, shown): (usize, char)| match shown {
            '"' | '\'' | ' ' | '[' | ']' | '{' | '}' | ',' => shown,
            _ if hidden(start + at) => '*',
            '\t' => ' ',
            _ => shown,
        };
        line.char_indices().map(show).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line(), self.column());
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let excerpt = self.excerpt();
        let doubt = if self.severity == Severity::Doubt { "doubt: " } else { "" };
        writeln!(f, "{}:{line}:{column}: {doubt}{}", self.file(), self.message)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        let text = &self.place.source.text;
        let marked = text.get(self.place.span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let room = excerpt.chars().count().saturating_sub(column - 1);
        let carets = "^".repeat(marked.min(room).max(1));
        let under = format!("{}{carets} {}", " ".repeat(column - 1), self.label);
        writeln!(f, "{gutter} | {}", under.trim_end())?;
        write!(f, "help: {}", self.help)
    }
}

/// Collects faults, so that all of a policy are reported together.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: RefCell<Vec<Fault>>,
    /// Whether a secret that is not there is one: it is, for all but documents.
    pub(crate) forgives_absent_secrets: bool,
}

impl Faults {
    /// For a policy that is read to be told of, where no request is judged by it.
    pub(crate) fn of_documents() -> Self {
        Self { forgives_absent_secrets: true, ..Self::default() }
    }

    pub(crate) fn push(&self, fault: Fault) {
        self.found.borrow_mut().push(fault);
    }

    /// All faults and doubts, in the order of their places.
    pub(crate) fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.found.into_inner();
        faults.sort_by(|a, b| {
            let place = |fault: &Fault| (fault.place.span.start, fault.place.span.end);
            a.file().cmp(b.file()).then_with(|| place(a).cmp(&place(b)))
        });
        faults.dedup_by(|a, b| {
            a.message == b.message && a.place.span == b.place.span && a.file() == b.file()
        });
        faults
    }

    /// How many faults there are, doubts aside: to tell whether a part was read whole.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().iter().filter(|fault| fault.severity == Severity::Fault).count()
    }

    /// Takes back what follows from errors of syntax: doubts, and faults on the same lines.
    pub(crate) fn drop_followers(&self, lines: &[usize]) {
        self.found.borrow_mut().retain(|fault| {
            let is_syntax = fault.message.starts_with(NOT_TOML);
            is_syntax || (fault.severity == Severity::Fault && !lines.contains(&fault.line()))
        });
    }
}

/// How the message of a syntax error begins.
pub(crate) const NOT_TOML: &str = "not TOML: ";

/// The part of a line that may be a raw secret: what is given to a key that holds secrets
/// where people put them by mistake. Well-formed digests and names of variables are none.
fn secret_part(line: &str) -> Range<usize> {
    const NAMES: [&str; 10] = [
        "key",
        "keys",
        "secret",
        "value",
        "raw",
        "digest",
        "secret_env",
        "password",
        "token",
        "api_key",
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    for (equals, _) in line.match_indices('=') {
        let before = line[..equals].trim_end().trim_end_matches(['"', '\'']);
        let name = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
        let value = line[equals + 1..].trim_start();
        let text = value.trim_start_matches(['"', '\'']);
        let text = text.split(['"', '\'']).next().unwrap_or_default();
        let harmless = match name {
            "digest" => is_digest(text),
            "secret_env" => {
                let names = value.split(']').next().unwrap_or_default().trim_start_matches('[');
                is_variable(text)
                    || (value.starts_with('[') && names.split(',').all(is_quoted_variable))
            }
            "keys" => value.starts_with('{'),
            _ => false,
        };
        if NAMES.contains(&name) && !harmless {
            return equals + 1..line.len();
        }
    }
    0..0
}

/// Whether an item of an array is the name of a variable.
fn is_quoted_variable(item: &str) -> bool {
    is_variable(item.trim().trim_matches(['"', '\'']))
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text looks like the name of an environment variable, and not like a secret.
pub(crate) fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// The name in `names` that is meant by `wrong`, where one is near.
pub(crate) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// `did you mean ...`, where a name is near, and otherwise all names.
pub(crate) fn suggest<'n>(
    wrong: &str,
    what: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(wrong, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there are none yet".into(),
        None => format!("{what} {}", list(&names)),
    }
}

/// Names in backticks, with commas between.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_and_a_caret() {
        let text = "version = 1\nkind = \"ä\" # secret-stuff\n".to_owned();
        let at = text.find("\"ä\"").unwrap();
        let place = Place {
            source: Arc::new(Source { name: "p.toml".into(), text: text.clone() }),
            span: at..at + 4,
        };
        let secret = text.find("secret").unwrap();
        let fault = Fault::at(&place, "no such kind")
            .label("here")
            .with_help("write another")
            .mask(secret..text.len());
        assert_eq!(
            fault.to_string(),
            "p.toml:2:8: no such kind\n  |\n2 | kind = \"ä\" # ************\n  |        ^^^ here\nhelp: write another"
        );
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("per-cleint", ["per-address", "per-client"]), Some("per-client"));
        assert_eq!(nearest("xyz", ["per-address", "per-client"]), None);
    }
}
