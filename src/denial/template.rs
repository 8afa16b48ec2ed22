//! Text that goes into a JSON string: filled from templates, escaped, and never too long.
//!
//! In a template `{name}` stands for a member, and a part in `[` and `]` is left out when a
//! member in it is absent.

use super::written::{Hole, Written};

/// A JSON string that is being written, with room for so many bytes.
pub(super) struct Text<'o> {
    out: &'o mut Written,
    room: usize,
}

impl<'o> Text<'o> {
    pub(super) fn new(out: &'o mut Written, room: usize) -> Self {
        Self { out, room }
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Writes as much of the text as there is room for, cut at a character.
    pub(super) fn push(&mut self, text: &str) {
        let mut end = text.len().min(self.room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.out.is_cut |= end < text.len();
        let text = &text[..end];
        self.room -= end;
        // Without an early end the compiler looks at many bytes at once.
        let odd = |odd, byte| odd | (byte < 0x20) | (byte == b'"') | (byte == b'\\');
        if text.bytes().fold(false, odd) {
            let quoted = serde_json::Value::from(text).to_string();
            self.out.bytes.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        } else {
            self.out.bytes.extend_from_slice(text.as_bytes());
        }
    }

    pub(super) fn number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number));
    }

    /// Writes what changes from one document of a form to the next. It needs no escapes.
    pub(super) fn changing(&mut self, hole: Hole, text: &str) {
        if text.len() > self.room {
            return self.push(text);
        }
        self.room -= text.len();
        self.out.hole(hole, text);
    }

    /// Writes a list with commas between: its first items, and how many more there are.
    pub(super) fn list<'t>(&mut self, items: impl ExactSizeIterator<Item = &'t str>) {
        const MOST: usize = 200;
        let (mut left, mut used) = (items.len(), 0);
        for item in items {
            if used > 0 {
                if used + item.len() > MOST {
                    break;
                }
                self.push(", ");
            }
            self.push(item);
            used += item.len() + 2;
            left -= 1;
        }
        if left > 0 {
            self.push(" and ");
            self.number(left as u64);
            self.push(" more");
        }
    }

    /// Fills a template. `member` writes the member of a name, or tells that it is absent; such
    /// a name stands for itself outside of brackets.
    pub(super) fn fill(&mut self, template: &str, member: &dyn Fn(&str, &mut Text<'_>) -> bool) {
        let mut rest = template;
        while let Some(open) = rest.find('[') {
            let Some(close) = rest[open..].find(']').map(|close| open + close) else { break };
            self.fill_plain(&rest[..open], member);
            let before = (self.out.bytes.len(), self.room);
            if !self.fill_plain(&rest[open + 1..close], member) {
                self.out.truncate(before.0);
                self.room = before.1;
            }
            rest = &rest[close + 1..];
        }
        self.fill_plain(rest, member);
    }

    /// Whether every member was there.
    fn fill_plain(&mut self, template: &str, member: &dyn Fn(&str, &mut Text<'_>) -> bool) -> bool {
        let mut rest = template;
        let mut whole = true;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|close| open + close) else { break };
            self.push(&rest[..open]);
            let name = &rest[open + 1..close];
            if !member(name, self) {
                whole = false;
                self.push(name);
            }
            rest = &rest[close + 1..];
        }
        self.push(rest);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, room: usize) -> String {
        let mut out = Written::default();
        Text::new(&mut out, room).fill(template, &|name, text| match name {
            "here" => {
                text.push("X\"");
                true
            }
            _ => false,
        });
        String::from_utf8(out.bytes).unwrap()
    }

    #[test]
    fn parts_with_absent_members_are_left_out() {
        assert_eq!(filled("a {here}[ b {here}][ c {here} {gone}].", 99), "a X\\\" b X\\\".");
        assert_eq!(filled("{gone} [", 99), "gone [");
        assert_eq!(filled("open {here", 99), "open {here");
    }

    #[test]
    fn text_is_cut_at_a_character_and_never_within_an_escape() {
        assert_eq!(filled("äöü", 3), "ä");
        assert_eq!(filled("abc{here}{here}", 5), "abcX\\\"");
    }

    #[test]
    fn a_long_list_tells_how_many_more_there_are() {
        let list = |items: &[&str]| {
            let mut out = Written::default();
            Text::new(&mut out, 1000).list(items.iter().copied());
            String::from_utf8(out.bytes).unwrap()
        };
        assert_eq!(list(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a, b");
        let long = "x".repeat(150);
        assert_eq!(list(&[&long, &long, &long]), format!("{long} and 2 more"));
    }
}
