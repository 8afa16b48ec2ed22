//! The header `Forwarded` (RFC 7239).

use std::net::IpAddr;

use super::entry::{is_blank, parse_entry};

/// The `for` addresses of one `Forwarded` line, from its right end.
///
/// A proxy may append its element to what the client sent, whatever that was. So elements are
/// read from the right, and what is broken on the left spoils nothing that stands right of it.
pub(super) fn forwarded_from_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = rightmost_unquoted(line, b',');
        rest = comma.map(|at| &line[..at]);
        Some(comma.map_or(line, |at| &line[at + 1..]))
    })
    .filter(|element| !is_blank(element))
    .map(|element| std::str::from_utf8(element).ok().and_then(parse_forwarded))
}

/// The last `mark` with whole quoted strings, or none, behind it.
fn rightmost_unquoted(text: &[u8], mark: u8) -> Option<usize> {
    let mut quotes = 0;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' => quotes += 1,
            _ if *byte == mark && quotes % 2 == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The address of an element's `for`, where it has one that is an address. `None` too where the
/// element breaks the grammar of RFC 7239 section 4.
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_unquoted(element, ';')? {
        let pair = pair.trim_matches([' ', '\t']);
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            found = Some(parse_node(value)?);
        }
    }
    found
}

/// A node of RFC 7239 section 6. IPv6 addresses must be in brackets and quotes there; both
/// are forgiven, as in `X-Forwarded-For`.
fn parse_node(value: &str) -> Option<IpAddr> {
    if value.contains('\\') {
        let unescaped: String = value.replace('\\', "");
        return parse_entry(unescaped.as_bytes());
    }
    parse_entry(value.as_bytes())
}

/// Splits at `mark` outside of quoted strings; `None` where a quoted string does not end.
fn split_unquoted(text: &str, mark: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == mark && !quoted => {
                parts.push(text.get(start..at)?);
                start = at + mark.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then_some(parts)
}
