//! How a path is read: raw, as the router reads it, and once more as a handler, a file server or
//! another backend may.
//!
//! For the second reading, in this order:
//!
//! 1. it is percent-decoded, once;
//! 2. it is split at `/` and `\`, encoded or not;
//! 3. `;` and what follows it is dropped from each segment;
//! 4. empty segments but the last are dropped, and the last too where an encoded slash made it;
//! 5. `.` and `..` are resolved (RFC 3986 section 5.2.4).
//!
//! Software disagrees about `;`: a file server keeps it, a servlet container drops it before it
//! decodes the path, others after. So a path with a `;` has a second reading of each
//! [kind](Semicolon).
//!
//! Patterns are read alike, so that `/a%20b` is also `/a b`.

/// What becomes of a `;` and what follows it in its segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Semicolon {
    Kept,
    /// Dropped after decoding: `%3B` is one as well, and an encoded slash ends what it begins.
    DroppedDecoded,
    /// Dropped before decoding: up to the next slash that is not encoded.
    DroppedRaw,
}

impl Semicolon {
    pub(super) const ALL: [Self; 3] = [Self::Kept, Self::DroppedDecoded, Self::DroppedRaw];
}

/// Why a path never passes, whatever rules there are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Oddity {
    /// `//`
    EmptySegment,
    /// `\`, not encoded
    Backslash,
    /// `.` or `..` between slashes, any of them encoded or not
    DotSegment,
    /// Encoded octets that are not UTF-8
    NotUtf8,
    /// An encoded control character
    ControlCharacter,
}

/// Whether there is one way to read the path: it has no `%`, `\`, `;`, `//` and `/.`.
///
/// Every request pays for this. The bytes are looked at sixteen at a time, by vector instructions.
pub(super) fn is_plain(path: &str) -> bool {
    let mut rest = path.as_bytes();
    while let Some((window, _)) = rest.split_first_chunk::<WINDOW>() {
        if !is_plain_window(window) {
            return false;
        }
        // The last byte of a window is the first of the next one: pairs are looked at.
        rest = &rest[WINDOW - 1..];
    }
    let mut last = [0; WINDOW];
    last[..rest.len()].copy_from_slice(rest);
    is_plain_window(&last)
}

const WINDOW: usize = 17;

/// Of the last byte only whether it stands behind a slash.
fn is_plain_window(window: &[u8; WINDOW]) -> bool {
    // No branches within: the compiler makes vector instructions of it.
    let mut is_odd = false;
    for at in 0..WINDOW - 1 {
        let (byte, next) = (window[at], window[at + 1]);
        is_odd |= (byte == b'%') | (byte == b'\\') | (byte == b';');
        is_odd |= (byte == b'/') & ((next == b'/') | (next == b'.'));
    }
    !is_odd
}

/// Whether the path never passes.
pub(super) fn oddity(path: &str) -> Option<Oddity> {
    if path.contains('\\') {
        return Some(Oddity::Backslash);
    }
    if path.contains("//") {
        return Some(Oddity::EmptySegment);
    }
    let decoded: Vec<u8> = Tokens::of_path(path).filter_map(|token| token.octet()).collect();
    let Ok(decoded) = String::from_utf8(decoded) else { return Some(Oddity::NotUtf8) };
    if decoded.contains(char::is_control) {
        return Some(Oddity::ControlCharacter);
    }
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    decoded.split(['/', '\\']).any(is_dots).then_some(Oddity::DotSegment)
}

/// The second reading of a path. INVARIANT: it has no [`oddity`].
pub(super) fn read_path(path: &str, semicolon: Semicolon) -> String {
    read(Tokens::of_path(path), semicolon, false)
}

/// The same of a pattern: again a pattern.
pub(super) fn read_pattern(pattern: &str, semicolon: Semicolon) -> String {
    read(Tokens::of_pattern(pattern), semicolon, true)
}

/// Whether the kinds of [`Semicolon`] make a difference.
pub(super) fn has_semicolon(path: &str) -> bool {
    Tokens::of_path(path).any(|token| token.octet() == Some(b';'))
}

/// Whether a `/` or `\` is encoded.
pub(super) fn has_encoded_slash(path: &str) -> bool {
    let is_slash = |token| matches!(token, Token::Octet { value: b'/' | b'\\', is_encoded: true });
    Tokens::of_path(path).any(is_slash)
}

/// Decodes a part of a path, once.
pub(super) fn decode(text: &str) -> String {
    let octets: Vec<u8> = Tokens::of_path(text).filter_map(|token| token.octet()).collect();
    String::from_utf8_lossy(&octets).into_owned()
}

fn read(tokens: Tokens<'_>, semicolon: Semicolon, is_pattern: bool) -> String {
    let mut segments = Segments::default();
    let (mut segment, mut drops) = (Vec::new(), false);
    for token in tokens {
        match token {
            Token::Octet { value: b'/' | b'\\', is_encoded }
                if !(drops && is_encoded && semicolon == Semicolon::DroppedRaw) =>
            {
                segments.add(std::mem::take(&mut segment));
                segments.is_behind_encoded = is_encoded;
                drops = false;
            }
            _ if drops => {}
            Token::Octet { value: b';', is_encoded }
                if semicolon == Semicolon::DroppedDecoded
                    || (semicolon == Semicolon::DroppedRaw && !is_encoded) =>
            {
                drops = true;
            }
            Token::Octet { value, .. } => {
                segment.push(value);
                if is_pattern && matches!(value, b'{' | b'}') {
                    segment.push(value);
                }
            }
            Token::Parameter(text) => segment.extend_from_slice(text.as_bytes()),
        }
    }
    segments.add(segment);
    segments.join()
}

/// The segments of a path that were read so far, dots resolved.
#[derive(Default)]
struct Segments {
    held: Vec<Vec<u8>>,
    /// Whether the slash before the present segment is encoded.
    is_behind_encoded: bool,
    /// Whether the path ends with a slash, if it ends here.
    ends_with_slash: bool,
}

impl Segments {
    fn add(&mut self, segment: Vec<u8>) {
        let is_place = matches!(&segment[..], b"" | b"." | b"..");
        self.ends_with_slash = is_place && !self.is_behind_encoded;
        if segment == b".." {
            self.held.pop();
        } else if !is_place {
            self.held.push(segment);
        }
    }

    fn join(self) -> String {
        let mut path = Vec::new();
        for segment in &self.held {
            path.push(b'/');
            path.extend_from_slice(segment);
        }
        if path.is_empty() || self.ends_with_slash {
            path.push(b'/');
        }
        // INVARIANT: lossless; what is not UTF-8 is an oddity.
        String::from_utf8_lossy(&path).into_owned()
    }
}

/// A part of a path or pattern.
enum Token<'p> {
    Octet {
        value: u8,
        is_encoded: bool,
    },
    /// As it is written: `{id}`.
    Parameter(&'p str),
}

impl Token<'_> {
    fn octet(&self) -> Option<u8> {
        match self {
            Token::Octet { value, .. } => Some(*value),
            Token::Parameter(_) => None,
        }
    }
}

/// The parts of a path or pattern, percent-decoded. A `%` that encodes nothing is itself.
struct Tokens<'p> {
    text: &'p str,
    at: usize,
    is_pattern: bool,
}

impl<'p> Tokens<'p> {
    fn of_path(text: &'p str) -> Self {
        Self { text, at: 0, is_pattern: false }
    }

    fn of_pattern(text: &'p str) -> Self {
        Self { text, at: 0, is_pattern: true }
    }
}

impl<'p> Iterator for Tokens<'p> {
    type Item = Token<'p>;

    fn next(&mut self) -> Option<Token<'p>> {
        let rest = &self.text.as_bytes()[self.at..];
        let octet = |value, is_encoded| Token::Octet { value, is_encoded };
        let (token, length) = match *rest {
            [] => return None,
            [b'{', b'{', ..] | [b'}', b'}', ..] if self.is_pattern => (octet(rest[0], false), 2),
            [b'{', ..] if self.is_pattern => {
                let length =
                    rest.iter().position(|byte| *byte == b'}').map_or(rest.len(), |at| at + 1);
                // On boundaries of characters: braces are ASCII.
                let text = self.text.get(self.at..self.at + length).unwrap_or_default();
                (Token::Parameter(text), length)
            }
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (octet(high << 4 | low, true), 3),
                _ => (octet(b'%', false), 1),
            },
            [byte, ..] => (octet(byte, false), 1),
        };
        self.at += length;
        Some(token)
    }
}

fn hex(digit: u8) -> Option<u8> {
    // In range: a digit is below 16.
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_readings() {
        for (path, kept, dropped_decoded, dropped_raw) in [
            ("/", "/", "/", "/"),
            ("/a/b/", "/a/b/", "/a/b/", "/a/b/"),
            ("/%72oot", "/root", "/root", "/root"),
            ("/%2572oot", "/%72oot", "/%72oot", "/%72oot"),
            ("/a%2Fb%5cc", "/a/b/c", "/a/b/c", "/a/b/c"),
            ("/a%2F%2Fb", "/a/b", "/a/b", "/a/b"),
            ("/%2Fa", "/a", "/a", "/a"),
            ("/a%2F", "/a", "/a", "/a"),
            ("/a/%2F", "/a", "/a", "/a"),
            ("/a%2F/", "/a/", "/a/", "/a/"),
            ("/%2F", "/", "/", "/"),
            ("/a;v=1/b;w", "/a;v=1/b;w", "/a/b", "/a/b"),
            ("/a%3Bv/b", "/a;v/b", "/a/b", "/a;v/b"),
            ("/a;%2Fb", "/a;/b", "/a/b", "/a"),
            ("/a;%2Fb/c", "/a;/b/c", "/a/b/c", "/a/c"),
            ("/open/..;/admin", "/open/..;/admin", "/admin", "/admin"),
            ("/open/.%2e;x/admin", "/open/..;x/admin", "/admin", "/admin"),
            ("/a/b/..;", "/a/b/..;", "/a/", "/a/"),
            ("/a/b%2F..;", "/a/b/..;", "/a", "/a"),
            ("/..;/..;/a", "/..;/..;/a", "/a", "/a"),
            ("/a/;/..;/b", "/a/;/..;/b", "/b", "/b"),
            ("/a/;x", "/a/;x", "/a/", "/a/"),
            ("/100%/%zz", "/100%/%zz", "/100%/%zz", "/100%/%zz"),
            ("/caf%C3%A9", "/café", "/café", "/café"),
            ("/{a}/%7B", "/{a}/{", "/{a}/{", "/{a}/{"),
        ] {
            let read = Semicolon::ALL.map(|semicolon| read_path(path, semicolon));
            assert_eq!(read, [kept, dropped_decoded, dropped_raw], "{path}");
            assert_eq!(oddity(path), None, "{path}");
        }
    }

    #[test]
    fn patterns_are_read_as_paths_are() {
        for (pattern, read) in [
            ("/a%20b/{id}", "/a b/{id}"),
            ("/%7Bid%7D/{{x}}", "/{{id}}/{{x}}"),
            ("/a%2F{*rest}", "/a/{*rest}"),
            ("/a;v={n}/b", "/a/b"),
            ("/v%31{n}", "/v1{n}"),
        ] {
            assert_eq!(read_pattern(pattern, Semicolon::DroppedDecoded), read, "{pattern}");
        }
    }

    #[test]
    fn odd_paths_never_pass() {
        for (path, why) in [
            ("/a//b", Oddity::EmptySegment),
            ("//a", Oddity::EmptySegment),
            ("/a\\b", Oddity::Backslash),
            ("/a/./b", Oddity::DotSegment),
            ("/a/..", Oddity::DotSegment),
            ("/../a", Oddity::DotSegment),
            ("/a/%2e%2E/b", Oddity::DotSegment),
            ("/a/.%2e", Oddity::DotSegment),
            ("/a/.", Oddity::DotSegment),
            ("/a%2f..%2fb", Oddity::DotSegment),
            ("/a%5c%2e%2e", Oddity::DotSegment),
            ("/a%00", Oddity::ControlCharacter),
            ("/a%0d%0ab", Oddity::ControlCharacter),
            ("/a%7f", Oddity::ControlCharacter),
            ("/a%C2%85", Oddity::ControlCharacter),
            ("/a%ff", Oddity::NotUtf8),
            ("/a%C3/%A9", Oddity::NotUtf8),
            ("/%c0%ae%c0%ae/a", Oddity::NotUtf8),
        ] {
            assert_eq!(oddity(path), Some(why), "{path}");
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn plain_paths_are_told_wherever_the_odd_part_stands() {
        for length in 0..70 {
            let path = format!("/{}", "a".repeat(length));
            assert!(is_plain(&path), "{path}");
            assert!(is_plain(&path.replace("aa", "a/")), "{path}");
            for at in 0..=path.len() {
                for odd in ["%", "\\", ";", "//", "/."] {
                    let (before, behind) = path.split_at(at);
                    let path = format!("{before}{odd}{behind}");
                    assert!(!is_plain(&path), "{path}");
                }
            }
        }
        for path in ["/", "/a.b/c.", "/...a"] {
            assert_eq!(is_plain(path), !path.contains("/."), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_plain_path_reads_as_itself(path in "(/[a-c.{}=~é]{0,3}){1,8}") {
            if is_plain(&path) {
                proptest::prop_assert_eq!(oddity(&path), None);
                for semicolon in Semicolon::ALL {
                    proptest::prop_assert_eq!(read_path(&path, semicolon), &*path);
                }
            }
        }
    }
}
