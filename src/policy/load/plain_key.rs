//! Reads an entry of a key file that is written plainly, without making a tree of it.
//!
//! Plain are strings of one line without escapes, arrays of them, `true`, `false`, and moments such as
//! `2027-01-01T00:00:00Z`, each under a bare key, with or without comments. Of anything else nothing is
//! said, and nothing of what is wrong: then the entry is read as TOML is. What is plain means here what it
//! means there.

use std::ops::Range;

use crate::time::unix_seconds;

/// An entry, as it is written. Nothing of it is checked but the form of its values.
#[derive(Debug, Default)]
pub(crate) struct PlainKey<'t> {
    pub(crate) id: &'t str,
    pub(crate) client: &'t str,
    pub(crate) digest: &'t str,
    /// Arrays with their brackets; empty where they are absent.
    pub(crate) scopes: &'t str,
    pub(crate) roles: &'t str,
    pub(crate) addresses: &'t str,
    pub(crate) plan: Option<Plain<&'t str>>,
    pub(crate) not_before: Option<Plain<u64>>,
    pub(crate) expires: Option<Plain<u64>>,
    pub(crate) revoked: bool,
}

/// A value, and where it is written in the file.
#[derive(Clone, Debug)]
pub(crate) struct Plain<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The entry whose keys begin at `begin`, behind its header, and where it ends: at the line of the next
/// header, or with the text. `None` where it is not plain.
pub(crate) fn plain_key(text: &str, begin: usize) -> Option<(PlainKey<'_>, usize)> {
    let mut cursor = Cursor { text, at: begin };
    let (mut key, mut seen) = (PlainKey::default(), 0_u16);
    loop {
        let line = cursor.at;
        cursor.pass_blanks();
        match cursor.peek() {
            None => return Some((key, cursor.at)),
            Some(b'[') => return Some((key, line)),
            Some(b'#' | b'\r' | b'\n') => {}
            Some(_) => {
                let field = cursor.field(&mut key)?;
                if seen & field != 0 {
                    return None;
                }
                seen |= field;
            }
        }
        cursor.pass_line_end()?;
    }
}

/// The strings of an array that was found plain.
pub(crate) fn strings_of(array: &str) -> impl Iterator<Item = &str> {
    let mut rest = array;
    std::iter::from_fn(move || {
        let begin = rest.find(['"', '\''])?;
        let (quote, behind) = rest.get(begin..)?.split_at_checked(1)?;
        let (text, behind) = behind.split_once(quote)?;
        rest = behind;
        Some(text)
    })
}

/// Where a header ends that begins at `at`, its line included; `None` where there is another one than
/// `[[key]]` and `[[api_keys.key]]`.
pub(super) fn behind_header(text: &str, at: usize) -> Option<usize> {
    let mut cursor = Cursor { text, at };
    cursor.pass_blanks();
    cursor.pass("[[")?;
    cursor.pass_blanks();
    if cursor.pass("api_keys").is_some() {
        cursor.pass_blanks();
        cursor.pass(".")?;
        cursor.pass_blanks();
    }
    cursor.pass("key")?;
    cursor.pass_blanks();
    cursor.pass("]]")?;
    cursor.pass_blanks();
    cursor.pass_line_end()?;
    Some(cursor.at)
}

/// Where the first line begins that is neither blank nor a comment, or where the text ends; `None` where a
/// comment is not valid.
pub(super) fn behind_comments(text: &str) -> Option<usize> {
    // A mark of the order of bytes is no part of the text.
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut cursor = Cursor { text, at };
    loop {
        let line = cursor.at;
        cursor.pass_blanks();
        match cursor.peek() {
            Some(b'#' | b'\r' | b'\n') => cursor.pass_line_end()?,
            _ => return Some(line),
        }
    }
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, expected: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(expected.as_bytes()).then(|| self.at += expected.len())
    }

    fn pass_while(&mut self, fits: impl Fn(u8) -> bool) -> &'t str {
        let begin = self.at;
        let rest = self.text.as_bytes().get(begin..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len());
        // INVARIANT: both ends are beside ASCII, or ends of the text: what is passed over ends before an
        // ASCII byte, since whole characters fit or do not.
        self.text.get(begin..self.at).unwrap_or_default()
    }

    fn pass_blanks(&mut self) {
        self.pass_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Blanks and ends of lines.
    fn pass_space(&mut self) -> Option<()> {
        loop {
            self.pass_blanks();
            match self.peek() {
                Some(b'\r' | b'\n') => self.pass_line_end()?,
                _ => return Some(()),
            }
        }
    }

    /// A comment, if there is one, and the end of the line or of the text.
    fn pass_line_end(&mut self) -> Option<()> {
        if self.peek() == Some(b'#') {
            self.pass_while(|byte| {
                is_printable(byte) || byte == b'"' || byte == b'\'' || byte == b'\\'
            });
        }
        match self.peek() {
            None => Some(()),
            Some(b'\n') => self.pass("\n"),
            Some(b'\r') => self.pass("\r\n"),
            Some(_) => None,
        }
    }

    /// Reads `name = value`; which of the fields it is, as a bit.
    fn field(&mut self, key: &mut PlainKey<'t>) -> Option<u16> {
        let name = self.pass_while(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        self.pass_blanks();
        self.pass("=")?;
        self.pass_blanks();
        let bit = match name {
            "id" => {
                key.id = self.string()?.value;
                1
            }
            "client" => {
                key.client = self.string()?.value;
                1 << 1
            }
            "digest" => {
                key.digest = self.string()?.value;
                1 << 2
            }
            "scopes" => {
                key.scopes = self.array()?;
                1 << 3
            }
            "roles" => {
                key.roles = self.array()?;
                1 << 4
            }
            "addresses" => {
                key.addresses = self.array()?;
                1 << 5
            }
            "plan" => {
                key.plan = Some(self.string()?);
                1 << 6
            }
            "not_before" => {
                key.not_before = Some(self.moment()?);
                1 << 7
            }
            "expires" => {
                key.expires = Some(self.moment()?);
                1 << 8
            }
            "revoked" => {
                key.revoked = match self.pass_while(|byte| byte.is_ascii_alphanumeric()) {
                    "true" => true,
                    "false" => false,
                    _ => return None,
                };
                1 << 9
            }
            _ => return None,
        };
        self.pass_blanks();
        Some(bit)
    }

    fn string(&mut self) -> Option<Plain<&'t str>> {
        let begin = self.at;
        let quote = match self.peek()? {
            b'"' => "\"",
            b'\'' => "'",
            _ => return None,
        };
        self.pass(quote)?;
        // Both quotes end it: a string that holds the other one is not plain.
        let value = self.pass_while(is_printable);
        self.pass(quote)?;
        Some(Plain { value, span: begin..self.at })
    }

    /// An array of strings, with its brackets.
    fn array(&mut self) -> Option<&'t str> {
        let begin = self.at;
        self.pass("[")?;
        loop {
            self.pass_space()?;
            if self.peek()? == b']' {
                break;
            }
            self.string()?;
            self.pass_space()?;
            match self.peek()? {
                b',' => self.pass(",")?,
                b']' => break,
                _ => return None,
            }
        }
        self.pass("]")?;
        self.text.get(begin..self.at)
    }

    fn moment(&mut self) -> Option<Plain<u64>> {
        let begin = self.at;
        let text = self.pass_while(|byte| byte.is_ascii_alphanumeric() || b"-:".contains(&byte));
        let form = b"0000-00-00T00:00:00Z";
        let fits = |(byte, form): (u8, &u8)| {
            if *form == b'0' { byte.is_ascii_digit() } else { byte == *form }
        };
        let is_plain = text.len() == form.len() && text.bytes().zip(form).all(fits);
        // A leap second is not plain.
        let seconds = unix_seconds(text).filter(|_| is_plain && !text.ends_with(":60Z"))?;
        Some(Plain { value: u64::try_from(seconds).ok()?, span: begin..self.at })
    }
}

/// Whether a byte stands for itself in each kind of string of one line.
fn is_printable(byte: u8) -> bool {
    !matches!(byte, 0..=8 | 10..=31 | 127 | b'"' | b'\'' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_up_to_the_next_header() {
        let text = "id = 'a' # first\r\n\tscopes=[ \"r\",\n 'w' , ]\n\n# x\nexpires = 2027-01-01T00:00:00Z\n \
                    revoked = true\nplan = \"é\"\n  [[key]]\n";
        let (key, end) = plain_key(text, 0).unwrap();
        assert_eq!(&text[end..], "  [[key]]\n");
        assert_eq!((key.id, key.client, key.roles, key.revoked), ("a", "", "", true));
        assert_eq!(strings_of(key.scopes).collect::<Vec<_>>(), ["r", "w"]);
        assert_eq!(key.expires.map(|expires| expires.value), Some(1_798_761_600));
        let plan = key.plan.unwrap();
        assert_eq!((plan.value, &text[plan.span]), ("é", "\"é\""));
        assert_eq!(strings_of("[]").count() + strings_of("").count(), 0);
    }

    #[test]
    fn of_what_is_not_plain_nothing_is_said() {
        for line in [
            "id = \"a\\u0062\"",
            "id = \"a'b\"",
            "id = 7",
            "\"id\" = \"a\"",
            "id.x = \"a\"",
            "id = \"a\" x",
            "id = \"a",
            "id = \"\"\"a\"\"\"",
            "id = \"a\"\rclient = \"b\"",
            "id = \"a\" # \u{1}",
            "id = \"a\"\nid = \"b\"",
            "scopes = [\"a\" \"b\"]",
            "scopes = [,]",
            "scopes = [\"a\", # first\n]",
            "scopes = [\"a\"",
            "scopes = \"a\"",
            "expires = 2027-01-01 00:00:00Z",
            "expires = 2027-01-01T00:00:00.5Z",
            "expires = 2027-02-29T00:00:00Z",
            "expires = 2016-12-31T23:59:60Z",
            "expires = 1969-12-31T23:59:59Z",
            "expires = 2027-01-01",
            "revoked = TRUE",
            "revoked = truely",
            "other = \"a\"",
            "= \"a\"",
            "id",
        ] {
            assert!(plain_key(line, 0).is_none(), "{line}");
        }
    }

    #[test]
    fn headers_are_those_of_keys() {
        for header in
            ["[[key]]", " [[ key\t]] # x\r\n", "[[api_keys.key]]\n", "[[ api_keys . key ]]"]
        {
            assert_eq!(behind_header(header, 0), Some(header.len()), "{header}");
        }
        for other in [
            "[key]",
            "[[keys]]",
            "[[key.x]]",
            "[[\"key\"]]",
            "[ [key]]",
            "[[key]] x",
            "[[key] ]",
            "",
        ] {
            assert_eq!(behind_header(other, 0), None, "{other}");
        }
    }

    #[test]
    fn comments_before_the_first_header_are_passed_over() {
        for (text, expected) in [
            ("", Some("")),
            ("\u{feff}# a\n\r\n\t[[key]]", Some("\t[[key]]")),
            ("# a", Some("")),
            ("x = 1", Some("x = 1")),
            ("# \u{7f}\n", None),
            ("\r", None),
        ] {
            assert_eq!(behind_comments(text).map(|at| &text[at..]), expected, "{text:?}");
        }
    }
}
