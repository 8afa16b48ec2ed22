//! A document as it was written, and the places in it that change from one denial to the next.

use std::ops::Range;

/// What was written, and the places in it where documents of one form differ.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// Where each begins and ends, in order.
    pub(super) holes: Vec<(usize, usize, Hole)>,
    /// Where the text of `detail` is, quotes included.
    pub(super) detail: Option<Range<usize>>,
    /// Whether something had to be left out, for want of room, or may have to be with what others
    /// fill in.
    pub(super) is_cut: bool,
}

/// What changes from one document of a form to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hole {
    Instance,
    RetryAfter,
    /// Of the limit with this index in the balance.
    Remaining(usize),
    Reset(usize),
    /// The public name of the caller's key.
    KeyId,
    /// The address of the client.
    Address,
    /// The name of the rule.
    Rule,
}

impl Written {
    pub(super) fn hole(&mut self, hole: Hole, text: &str) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.holes.push((begin, self.bytes.len(), hole));
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.holes.retain(|(_, end, _)| *end <= length);
    }
}
