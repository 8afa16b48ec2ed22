//! Faults of a policy: what is wrong, where, and what to do about it.
//!
//! ```text
//! policy.toml:14:13: unknown limit `per-cleint`
//!    |
//! 14 | limits  = ["per-cleint"]
//!    |            ^^^^^^^^^^^^ no limit has this name
//! help: did you mean `per-client`?
//! ```

use std::fmt;
use std::ops::Range;

use super::place::Place;
use super::problem::{Problem, Severity};
use super::secret_part::secret_part;
use super::warning::Warning;

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
    pub(super) place: Place,
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
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.place.source.name
    }

    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        1 + self.place.source.lines_before + self.before().matches('\n').count()
    }

    /// The column in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        1 + self.before().rsplit('\n').next().unwrap_or_default().chars().count()
    }

    /// The kind of fault or warning, such as `unused-limit`: for a warning the name by which
    /// `allow` silences it. `None` where the kind has no name yet. Names of warnings do not
    /// change; new ones may come.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, in one sentence.
    #[must_use]
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::place::Source;
    use super::*;

    #[test]
    fn a_fault_shows_its_line_and_a_caret() {
        let text = "version = 1\nkind = \"ä\" # secret-stuff\n".to_owned();
        let at = text.find("\"ä\"").unwrap();
        let place =
            Place { source: Arc::new(Source::new("p.toml", text.clone())), span: at..at + 4 };
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
}
