//! Where in the files of a policy something is written.

use std::ops::Range;
use std::sync::Arc;

/// A file of the policy, or a part of one that begins with a line.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path, as it was given.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where the text begins in the file, in bytes.
    pub(super) begin: usize,
    /// How many lines of the file are before it.
    pub(super) lines_before: usize,
}

impl Source {
    /// A whole file.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), begin: 0, lines_before: 0 }
    }

    /// A part of a file. It is enough to show its faults, and a large file need not be kept for them.
    pub(super) fn part(
        name: impl Into<String>,
        text: impl Into<String>,
        begin: usize,
        lines_before: usize,
    ) -> Self {
        Self { name: name.into(), text: text.into(), begin, lines_before }
    }
}

/// A place in a file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    /// Within the text of the source.
    pub(crate) span: Range<usize>,
}

impl Place {
    /// The same in the whole file.
    pub(super) fn in_file(&self) -> Range<usize> {
        let begin = self.source.begin;
        begin + self.span.start..begin + self.span.end
    }
}
