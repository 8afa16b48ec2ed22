//! Patterns: what they may be, how they are ordered, and what their parameters stand for.

use matchit::Router;

use super::reading::{Oddity, Semicolon, oddity, read_pattern};

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
    if let Some(oddity) = oddity(pattern) {
        let what = match oddity {
            Oddity::EmptySegment => "empty segments (`//`)",
            Oddity::Backslash => "backslashes",
            Oddity::DotSegment => "`.` and `..` segments, encoded or not,",
            Oddity::NotUtf8 => "encoded octets that are not UTF-8",
            Oddity::ControlCharacter => "encoded control characters",
        };
        return Err(format!("requests with {what} are always denied: leave them out"));
    }
    if let Some(old) = pattern.split('/').find(|segment| segment.starts_with([':', '*'])) {
        return Err(format!(
            "`{}` is the form of older routers: write `{{id}}` for a segment and `{{*rest}}` for the rest",
            old.escape_debug()
        ));
    }
    let is_pattern = |pattern: &str| Router::new().insert(pattern, ()).is_ok();
    let has_slash_within =
        |name: &str| name.split('}').next().is_some_and(|name| name.contains('/'));
    if !is_pattern(pattern) || pattern.replace("{{", "").split('{').skip(1).any(has_slash_within) {
        return Err(
            "a parameter is a whole segment, `/orders/{id}`, and `{*rest}` stands last; write `{{` and `}}` for the characters themselves".into(),
        );
    }
    let mut named = Vec::new();
    for name in parameters(pattern) {
        if named.contains(&name) {
            return Err(format!(
                "two parameters are called `{}`: give each a name of its own",
                name.escape_debug()
            ));
        }
        named.push(name);
    }
    // Without what follows the `;`, the pattern would no longer match what it matched.
    let ends_open = |pattern: &str| before_rest(pattern).is_some();
    let loses_rest = |kind| ends_open(pattern) && !ends_open(&read_pattern(pattern, kind));
    if Semicolon::ALL.into_iter().any(loses_rest) {
        return Err("a `;` cannot stand in the segment of `{*rest}`".into());
    }
    match Semicolon::ALL.into_iter().all(|semicolon| is_pattern(&read_pattern(pattern, semicolon)))
    {
        true => Ok(()),
        false => Err("percent-decoded, it is not a path pattern".into()),
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

/// What stands before the `{*rest}` of a pattern that has one.
pub(super) fn before_rest(pattern: &str) -> Option<&str> {
    let last = pattern.rfind('/')? + 1;
    match parameter(&pattern[last..])? {
        (at, Parameter::Rest) => Some(&pattern[..last + at]),
        (_, Parameter::One) => None,
    }
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

/// The parameters of a pattern and what they stand for in a path that it matches, as it is there.
pub(super) fn values<'p>(
    pattern: &'p str,
    path: &'p str,
) -> impl Iterator<Item = (&'p str, &'p str)> {
    let mut rest = Some(path);
    pattern.split('/').filter_map(move |segment| {
        let (value, behind) = match rest?.split_once('/') {
            Some((value, behind)) => (value, Some(behind)),
            None => (rest?, None),
        };
        let (at, kind) = match parameter(segment) {
            Some(found) => found,
            None => {
                rest = behind;
                return None;
            }
        };
        let prefix = literal_length(&segment[..at]);
        let name = segment[at..].trim_matches(['{', '*', '}']);
        let value = match kind {
            Parameter::One => value.get(prefix..),
            Parameter::Rest => rest?.get(prefix..),
        };
        rest = behind;
        Some((name, value?))
    })
}

/// The names of a pattern's parameters.
pub(super) fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(|segment| {
        let (at, _) = parameter(segment)?;
        Some(segment[at..].trim_matches(['{', '*', '}']))
    })
}

/// How long the text of a pattern is in a path.
fn literal_length(text: &str) -> usize {
    text.len() - text.matches("{{").count() - text.matches("}}").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for bad in [
            "",
            "orders",
            "/a//b",
            "/a/../b",
            "/a?b",
            "/a#b",
            "/ä",
            "/a b",
            "/{",
            "/{}",
            "/{a}{b}",
            "/{*a}/b",
            "/{a}x",
            "/a\\b",
            "/a%00",
            "/a%ff",
            "/a/%2e/b",
            "/a%2f..",
            "/{a/b}",
            "/a;{*rest}",
            "/a%3b{*rest}",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in [
            "/",
            "/a",
            "/a/",
            "/{a}/{b}",
            "/a/{*rest}",
            "/{{a}}",
            "/a%20b",
            "/v{n}",
            "/a%5cb",
            "/a%2f{*rest}",
            "/a;v={n}",
        ] {
            assert!(check_path(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn parameters_stand_for_what_they_match() {
        for (pattern, path, expected) in [
            ("/", "/", &[][..]),
            ("/a/{id}", "/a/7", &[("id", "7")]),
            ("/{a}/x/{b}/", "/1/x/2/", &[("a", "1"), ("b", "2")]),
            ("/v{n}/{*rest}", "/v2/a/b/", &[("n", "2"), ("rest", "a/b/")]),
            ("/{{x}}{n}", "/{x}7", &[("n", "7")]),
            ("/f{*rest}", "/f1/2", &[("rest", "1/2")]),
        ] {
            assert_eq!(values(pattern, path).collect::<Vec<_>>(), expected, "{pattern}");
        }
    }
}
