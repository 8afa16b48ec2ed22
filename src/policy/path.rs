//! Paths: what a pattern may be, how patterns are ordered, and which paths are too odd to match.

use matchit::Router;

/// Checks a path pattern.
///
/// # Errors
///
/// What is wrong with it, as help for the operator.
pub(super) fn check_path(pattern: &str) -> Result<(), String> {
    if !pattern.starts_with('/') {
        return Err("a path begins with `/`".into());
    }
    if let Some(odd) =
        pattern.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\'))
    {
        return Err(format!(
            "the character `{}` never stands in the path of a request: percent-encode it, and leave out query and fragment",
            odd.escape_debug()
        ));
    }
    if is_odd(pattern) {
        return Err(
            "empty and dot segments, backslashes and NULs match no request, encoded or not".into(),
        );
    }
    if let Some(old) = pattern.split('/').find(|segment| segment.starts_with([':', '*'])) {
        return Err(format!(
            "`{}` is the form of older routers: write `{{id}}` for a segment and `{{*rest}}` for the rest",
            old.escape_debug()
        ));
    }
    match Router::new().insert(pattern, ()) {
        Ok(()) => Ok(()),
        Err(_) => Err(
            "a parameter is a whole segment, `/orders/{id}`, and `{*rest}` stands last; write `{{` and `}}` for the characters themselves".into(),
        ),
    }
}

/// The pattern with the names of its parameters dropped, so that equal ones compare equal.
pub(super) fn normal(pattern: &str) -> String {
    let segment = |segment: &str| match parameter(segment) {
        Some((at, Parameter::Rest)) => format!("{}{{*p}}", &segment[..at]),
        Some((at, Parameter::One)) => format!("{}{{p}}", &segment[..at]),
        None => segment.to_owned(),
    };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Orders patterns that match one path: where they part, text comes before a parameter, and a
/// parameter before the rest.
pub(super) fn specificity(pattern: &str) -> Vec<u8> {
    let mut order = Vec::with_capacity(pattern.len());
    for segment in pattern.split('/') {
        match parameter(segment) {
            Some((at, kind)) => {
                order.extend(std::iter::repeat_n(2, at));
                order.push(match kind {
                    Parameter::One => 1,
                    Parameter::Rest => 0,
                });
            }
            None => order.extend(std::iter::repeat_n(2, segment.len())),
        }
        order.push(2);
    }
    order
}

enum Parameter {
    One,
    Rest,
}

/// The parameter that a segment is, or ends with (`v{n}`), and where it begins. Doubled braces
/// stand for themselves.
fn parameter(segment: &str) -> Option<(usize, Parameter)> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'{', Some(b'{')) | (b'}', Some(b'}')) => at += 2,
            (b'{', Some(b'*')) => return Some((at, Parameter::Rest)),
            (b'{', _) => return Some((at, Parameter::One)),
            _ => at += 1,
        }
    }
    None
}

/// Whether other software may read the path in another way than the router does.
pub(super) fn is_odd(path: &str) -> bool {
    let bytes = path.as_bytes();
    // One pass over the bytes finds whether any of the rest is worth looking for. Letters, digits
    // and most of what else stands in a path come after the slash.
    let mut previous = 0;
    let suspicious = bytes.iter().any(|byte| {
        let is_odd = match *byte {
            b'%' | b'\\' => true,
            b'.' | b'/' => previous == b'/',
            _ => false,
        };
        previous = *byte;
        is_odd
    });
    suspicious
        && (bytes.contains(&b'\\')
            || path.contains("//")
            || path.split('/').any(is_dot_segment)
            || has_encoded_oddity(bytes))
}

/// `.` or `..`, with dots encoded or not.
fn is_dot_segment(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = match rest.strip_prefix('.') {
            Some(rest) => rest,
            None if rest.len() >= 3
                && rest.is_char_boundary(3)
                && rest[..3].eq_ignore_ascii_case("%2e") =>
            {
                &rest[3..]
            }
            None => return false,
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

fn has_encoded_oddity(path: &[u8]) -> bool {
    encoded(path).any(|byte| matches!(byte, 0 | b'\\'))
}

/// Whether a part of the path is encoded that need not be (RFC 3986 section 6.2.2.2), or a slash
/// is: decoded, the path may be that of another rule.
pub(super) fn is_ambiguous(path: &str) -> bool {
    encoded(path.as_bytes())
        .any(|byte| matches!(byte, b'/' | b'-' | b'.' | b'_') || byte.is_ascii_alphanumeric())
}

/// The bytes that stand in a path percent-encoded.
fn encoded(path: &[u8]) -> impl Iterator<Item = u8> {
    path.windows(3).filter(|window| window[0] == b'%').filter_map(|window| {
        let digit = |at: usize| char::from(window[at]).to_digit(16);
        // In range: two hex digits.
        digit(1).zip(digit(2)).map(|(high, low)| (high * 16 + low) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for bad in [
            "", "orders", "/a//b", "/a/../b", "/a?b", "/a#b", "/ä", "/a b", "/{", "/{}", "/{a}{b}",
            "/{*a}/b", "/{a}x", "/a%5cb", "/a\\b",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in ["/", "/a", "/a/", "/{a}/{b}", "/a/{*rest}", "/{{a}}", "/a%20b", "/v{n}"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
    }
}
