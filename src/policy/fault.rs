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
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::problem::Problem;
use super::value_fault::SyntaxFault;
use super::warning::Warning;
use crate::time::Wall;

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
    /// The policy can be used, and probably does not do what was meant. `allow` at the top of a
    /// policy silences a warning by its [name](Fault::name).
    Warning,
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
    name: Option<String>,
    message: String,
    label: String,
    help: String,
    /// What must not be shown of the line: a raw secret.
    masked: Option<Range<usize>>,
}

impl Fault {
    /// The problem at this place.
    pub(crate) fn of<P: Problem>(place: &Place, problem: &P) -> Self {
        Self {
            severity: P::SEVERITY,
            name: Some(problem.name()),
            ..Self::at(place, problem.message()).label(problem.label()).with_help(problem.help())
        }
    }

    /// A warning at this place.
    pub(crate) fn warning(place: &Place, warning: &Warning) -> Self {
        Self::of(place, warning)
    }

    /// A fault without a type of its own; [`of`](Self::of) is better.
    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fault,
            place: place.clone(),
            name: None,
            message: message.into(),
            label: String::new(),
            help: String::new(),
            masked: None,
        }
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

    /// The kind of fault or warning, such as `unused-limit`: for a warning the name by which
    /// `allow` silences it. `None` where the kind has no name yet. Names of warnings do not
    /// change; new ones may come.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
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
        let severity = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{line}:{column}: {severity}{}", self.file(), self.message)?;
        match &self.name {
            Some(name) if self.severity == Severity::Warning => writeln!(f, " [{name}]")?,
            _ => writeln!(f)?,
        }
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
    /// Names of warnings that the policy allows, and where it does.
    allowed: RefCell<Vec<(String, Place)>>,
    /// The present. If `None`, nothing is said of what depends on it.
    pub(crate) now: Option<Wall>,
}

impl Faults {
    /// With the present, for warnings that depend on it.
    pub(crate) fn at_time(now: Wall) -> Self {
        Self { now: Some(now), ..Self::default() }
    }

    pub(crate) fn push(&self, fault: Fault) {
        self.found.borrow_mut().push(fault);
    }

    /// Silences the warnings of this name; `place` is that of the entry that says so.
    pub(crate) fn allow(&self, warning: &str, place: Place) {
        self.allowed.borrow_mut().push((warning.to_owned(), place));
    }

    /// All faults and warnings, in the order of their places, without the warnings that the policy
    /// allows.
    pub(crate) fn into_sorted(self) -> Vec<Fault> {
        let is_whole = self.count() == 0;
        let mut faults = self.found.into_inner();
        let of_unused = Warning::UnusedAllow { warning: String::new() }.name();
        let (last, first): (Vec<_>, Vec<_>) =
            self.allowed.into_inner().into_iter().partition(|(name, _)| *name == of_unused);
        for entries in [first, last] {
            let unused = silence(&mut faults, &entries);
            // A policy with faults was not read whole: what silences nothing now may do so then.
            faults.extend(unused.into_iter().filter(|_| is_whole));
        }
        faults.sort_by(|a, b| {
            let place = |fault: &Fault| (fault.place.span.start, fault.place.span.end);
            a.file().cmp(b.file()).then_with(|| place(a).cmp(&place(b)))
        });
        faults.dedup_by(|a, b| {
            a.message == b.message && a.place.span == b.place.span && a.file() == b.file()
        });
        faults
    }

    /// How many faults there are, warnings aside: to tell whether a part was read whole.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().iter().filter(|fault| fault.severity == Severity::Fault).count()
    }

    /// Takes back what follows from errors of syntax: warnings, and faults on the same lines.
    pub(crate) fn drop_followers(&self, lines: &[usize]) {
        let syntax = SyntaxFault::NotToml { error: String::new() }.name();
        self.found.borrow_mut().retain(|fault| {
            let is_syntax = fault.name() == Some(&*syntax);
            is_syntax || (fault.severity == Severity::Fault && !lines.contains(&fault.line()))
        });
    }
}

/// Takes out the warnings that are allowed. Returns a warning for each entry that takes out none.
fn silence(faults: &mut Vec<Fault>, entries: &[(String, Place)]) -> Vec<Fault> {
    let is_named = |fault: &Fault, name: &str| {
        fault.severity == Severity::Warning && fault.name() == Some(name)
    };
    let mut seen = HashSet::new();
    let mut unused = Vec::new();
    for (name, place) in entries {
        if !seen.insert(name) || !faults.iter().any(|fault| is_named(fault, name)) {
            unused.push(Fault::warning(place, &Warning::UnusedAllow { warning: name.clone() }));
        }
    }
    faults.retain(|fault| !entries.iter().any(|(name, _)| is_named(fault, name)));
    unused
}

/// The part of a line that may be a raw secret: what stands in front of the host of an address, or what
/// is given to a key that holds secrets
/// where people put them by mistake. Well-formed digests and names of variables are none.
fn secret_part(line: &str) -> Range<usize> {
    const NAMES: [&str; 14] = [
        "key",
        "keys",
        "secret",
        "value",
        "raw",
        "digest",
        "secret_env",
        "url_env",
        "password_env",
        "hash_key_env",
        "password",
        "token",
        "api_key",
        "jwks_url",
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
            "url_env" | "password_env" | "hash_key_env" => is_variable(text),
            "secret_env" => {
                let names = value.split(']').next().unwrap_or_default().trim_start_matches('[');
                is_variable(text)
                    || (value.starts_with('[') && names.split(',').all(is_quoted_variable))
            }
            "keys" => value.starts_with('{'),
            // A password in front of the host.
            "jwks_url" => !text.contains('@'),
            _ => false,
        };
        if NAMES.contains(&name) && !harmless {
            return equals + 1..line.len();
        }
    }
    // Before the `@` of an address, and behind the `?` of a socket's.
    match (line.find("://"), line.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => scheme + 3..at,
        (Some(scheme), _) if line[scheme..].contains("pass=") => scheme + 3..line.len(),
        _ => 0..0,
    }
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
