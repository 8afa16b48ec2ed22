//! Writes the JSON of a document, member by member, and keeps it small.

use super::template::Text;
use super::written::{Hole, Written};

/// A document stays below this, so that it fits wherever it is read.
const MAX_BODY: usize = 4096;

/// Detail and remedy are cut at this length.
const MAX_SENTENCE: usize = 800;

/// What is filled into a hole is not longer: names have at most 64 bytes, each of which may be
/// percent-encoded.
const MOST_IN_A_HOLE: usize = 192;

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
