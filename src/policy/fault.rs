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
            place: place.clone(),
            name: Some(problem.name()),
            message: problem.message(),
            label: problem.label(),
            help: problem.help(),
            masked: None,
        }
    }

    /// A warning at this place.
    pub(crate) fn warning(place: &Place, warning: &Warning) -> Self {
        Self::of(place, warning)
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
            // A file may hold what moves the cursor of a terminal.
            _ if shown.is_control() => char::REPLACEMENT_CHARACTER,
            _ => shown,
        };
        line.char_indices().map(show).collect()
    }
}

/// At most `MOST_SHOWN` characters of a line, those around the place at `column`, with `…` where it is
/// cut; and the column there.
fn window(line: String, column: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= MOST_SHOWN {
        return (line, column);
    }
    let first = column.saturating_sub(MOST_SHOWN / 3).min(length - MOST_SHOWN);
    let last = first + MOST_SHOWN - 1;
    let cut = |at: usize| (at == first && at > 0) || (at == last && at + 1 < length);
    let shown = line.chars().enumerate().skip(first).take(MOST_SHOWN);
    (shown.map(|(at, shown)| if cut(at) { '…' } else { shown }).collect(), column - first)
}

const MOST_SHOWN: usize = 200;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line(), self.column());
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let (excerpt, shown_column) = window(self.excerpt(), column);
        let (message, _) = window(self.message.clone(), 1);
        let severity = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{line}:{column}: {severity}{message}", self.file())?;
        match &self.name {
            Some(name) if self.severity == Severity::Warning => writeln!(f, " [{name}]")?,
            _ => writeln!(f)?,
        }
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        let text = &self.place.source.text;
        let marked = text.get(self.place.span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let room = excerpt.chars().count().saturating_sub(shown_column - 1);
        let carets = "^".repeat(marked.min(room).max(1));
        let under = format!("{}{carets} {}", " ".repeat(shown_column - 1), self.label);
        writeln!(f, "{gutter} | {}", under.trim_end())?;
        write!(f, "help: {}", self.help)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::place::Source;
    use super::super::problem::problems;
    use super::*;

    problems! {
        /// One row.
        enum Sample: Fault {
            /// An example.
            NoSuchKind => { message: "no such kind", label: "here", help: "write another" }
            /// A long message.
            Long { text: String } => { message: "{text}", label: "here", help: "write less" }
        }
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        for (before, after) in [(0, 0), (0, 500), (500, 0), (500, 500), (100, 120), (50_000, 7)] {
            let text = format!("{}KEY{}\n", "ä".repeat(before), "ö".repeat(after));
            let at = text.find("KEY").unwrap();
            let source = Arc::new(Source::new("p.toml", &text));
            let fault = Fault::of(
                &Place { source, span: at..at + 3 },
                &Sample::Long { text: "x".repeat(5_000) },
            );
            let shown = fault.to_string();
            let lines: Vec<&str> = shown.lines().collect();
            let (line, under) = (lines[2], lines[3]);
            let column = under.chars().position(|shown| shown == '^').unwrap();
            assert_eq!(line.chars().skip(column).take(3).collect::<String>(), "KEY", "{shown}");
            assert!(lines.iter().all(|line| line.chars().count() < 250), "{shown}");
            assert!(shown.starts_with(&format!("p.toml:1:{}: xxx", before + 1)), "{shown}");
        }
    }

    #[test]
    fn a_file_cannot_move_the_cursor() {
        let text = "kind = 1 # \u{1b}[2J\u{7}\u{9b}\n".to_owned();
        let source = Arc::new(Source::new("p.toml", &text));
        let fault = Fault::of(&Place { source, span: 7..8 }, &Sample::NoSuchKind);
        assert!(
            fault.to_string().contains("1 | kind = 1 # \u{fffd}[2J\u{fffd}\u{fffd}\n"),
            "{fault}"
        );
    }

    #[test]
    fn a_fault_shows_its_line_and_a_caret() {
        let text = "version = 1\nkind = \"ä\" # secret-stuff\n".to_owned();
        let at = text.find("\"ä\"").unwrap();
        let place =
            Place { source: Arc::new(Source::new("p.toml", text.clone())), span: at..at + 4 };
        let secret = text.find("secret").unwrap();
        let fault = Fault::of(&place, &Sample::NoSuchKind).mask(secret..text.len());
        assert_eq!(
            fault.to_string(),
            "p.toml:2:8: no such kind\n  |\n2 | kind = \"ä\" # ************\n  |        ^^^ here\nhelp: write another"
        );
    }
}
