//! Writes the JSON of a document, member by member, and keeps it small.

use serde::Serialize;

use super::template::Text;

/// A document stays below this, so that it fits wherever it is read.
const MAX_BODY: usize = 4096;

/// Detail and remedy are cut at this length.
const MAX_SENTENCE: usize = 800;

/// An object that is being written, member by member.
pub(super) struct Json(Vec<u8>);

impl Json {
    pub(super) fn open() -> Self {
        let mut json = Vec::with_capacity(1024);
        json.push(b'{');
        Self(json)
    }

    pub(super) fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    /// Names are small letters, digits and `_`.
    pub(super) fn name(&mut self, name: &str) {
        self.bytes(if self.0.len() > 1 { b",\"" } else { b"\"" });
        self.bytes(name.as_bytes());
        self.bytes(b"\":");
    }

    pub(super) fn bytes(&mut self, json: &[u8]) {
        self.0.extend_from_slice(json);
    }

    pub(super) fn quoted(&mut self, write: impl FnOnce(&mut Text<'_>)) {
        self.0.push(b'"');
        write(&mut Text::new(&mut self.0, MAX_SENTENCE));
        self.0.push(b'"');
    }

    pub(super) fn value(&mut self, value: &impl Serialize) {
        // INVARIANT: facts are made of text and numbers, and a Vec takes all that is written.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    pub(super) fn text(&mut self, name: &str, write: impl FnOnce(&mut Text<'_>)) {
        self.name(name);
        self.quoted(write);
    }

    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.bytes(json.as_bytes());
    }

    /// Writes a member, unless it has no value or the document would become too large: the
    /// members that every denial has come first.
    pub(super) fn fact(&mut self, name: &str, write: impl FnOnce(&mut Self) -> bool) {
        let before = self.0.len();
        self.name(name);
        if !write(self) || self.0.len() + 1 >= MAX_BODY {
            self.0.truncate(before);
        }
    }

    /// Writes as many items of an array as there is room for; whether there is any.
    pub(super) fn items<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        write: impl Fn(T, &mut Self),
    ) -> bool {
        self.0.push(b'[');
        let first = self.0.len();
        for item in items {
            let before = self.0.len();
            if before > first {
                self.0.push(b',');
            }
            write(item, self);
            if self.0.len() + 3 >= MAX_BODY {
                self.0.truncate(before);
                break;
            }
        }
        let any = self.0.len() > first;
        self.0.push(b']');
        any
    }
}
