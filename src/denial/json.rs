//! Writes the JSON of a document, member by member, and keeps it small.

use std::ops::Range;

use super::template::Text;

/// A document stays below this, so that it fits wherever it is read.
const MAX_BODY: usize = 4096;

/// Detail and remedy are cut at this length.
const MAX_SENTENCE: usize = 800;

/// What is filled into a hole is not longer: names have at most 64 bytes, each of which may be
/// percent-encoded.
const MOST_IN_A_HOLE: usize = 192;

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

/// An object that is being written, member by member.
pub(super) struct Json(Written);

impl Json {
    pub(super) fn open() -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.push(b'{');
        Self(Written { bytes, ..Written::default() })
    }

    pub(super) fn close(mut self) -> Written {
        self.0.bytes.push(b'}');
        let filled = self.0.bytes.len() + MOST_IN_A_HOLE * self.0.holes.len();
        self.0.is_cut |= !self.0.holes.is_empty() && filled > MAX_BODY;
        self.0
    }

    /// Names are small letters, digits and `_`.
    pub(super) fn name(&mut self, name: &str) {
        self.bytes(if matches!(self.0.bytes.last(), Some(b'{')) { b"\"" } else { b",\"" });
        self.bytes(name.as_bytes());
        self.bytes(b"\":");
    }

    pub(super) fn bytes(&mut self, json: &[u8]) {
        self.0.bytes.extend_from_slice(json);
    }

    pub(super) fn quoted(&mut self, write: impl FnOnce(&mut Text<'_>)) {
        self.bytes(b"\"");
        let holes = self.0.holes.len();
        let mut text = Text::new(&mut self.0, MAX_SENTENCE);
        write(&mut text);
        let room = text.room();
        let more = self.0.holes.len().saturating_sub(holes);
        self.0.is_cut |= more > 0 && room < MOST_IN_A_HOLE * more;
        self.bytes(b"\"");
    }

    pub(super) fn text(&mut self, name: &str, write: impl FnOnce(&mut Text<'_>)) {
        self.name(name);
        self.quoted(write);
    }

    pub(super) fn detail(&mut self, write: impl FnOnce(&mut Text<'_>)) {
        self.name("detail");
        let begin = self.0.bytes.len();
        self.quoted(write);
        self.0.detail = Some(begin..self.0.bytes.len());
    }

    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.bytes(json.as_bytes());
    }

    /// Writes a number that changes from one document of a form to the next.
    pub(super) fn changing(&mut self, name: &str, hole: Hole, number: u64) {
        self.name(name);
        self.0.hole(hole, itoa::Buffer::new().format(number));
    }

    /// Writes a member, unless it has no value or the document would become too large: the
    /// members that every denial has come first.
    pub(super) fn fact(&mut self, name: &str, write: impl FnOnce(&mut Self) -> bool) {
        let before = self.0.bytes.len();
        self.name(name);
        let any = write(self);
        let fits = self.0.bytes.len() + 1 < MAX_BODY;
        self.0.is_cut |= !fits;
        if !any || !fits {
            self.0.truncate(before);
        }
    }

    /// Writes as many items of an array as there is room for; whether there is any.
    pub(super) fn items<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        write: impl Fn(T, &mut Self),
    ) -> bool {
        self.bytes(b"[");
        let first = self.0.bytes.len();
        for item in items {
            let before = self.0.bytes.len();
            if before > first {
                self.bytes(b",");
            }
            write(item, self);
            if self.0.bytes.len() + 3 >= MAX_BODY {
                self.0.truncate(before);
                self.0.is_cut = true;
                break;
            }
        }
        let any = self.0.bytes.len() > first;
        self.bytes(b"]");
        any
    }
}
