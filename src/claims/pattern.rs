//! Patterns: text with `*` for any run of characters, and with parameters of a path.

use std::borrow::Cow;
use std::fmt;

/// Text in which `*` stands for any run of characters, the empty one too.
///
/// `\*` is the star itself, and `\{` a brace. Any other backslash is itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pattern {
    /// The texts between the stars, in order: one where there is no star.
    parts: Box<[Box<str>]>,
}

impl Pattern {
    pub(crate) fn new(written: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut characters = written.chars().peekable();
        while let Some(character) = characters.next() {
            // INVARIANT: there is always a last part.
            let Some(part) = parts.last_mut() else { break };
            match (character, characters.peek()) {
                ('\\', Some('*' | '{')) => part.extend(characters.next()),
                ('*', _) => parts.push(String::new()),
                _ => part.push(character),
            }
        }
        Self { parts: parts.into_iter().map(Into::into).collect() }
    }

    /// Whether the pattern fits the whole text.
    pub(crate) fn fits(&self, text: &str) -> bool {
        fit(&self.parts, text)
    }
}

/// Whether a text is made of these parts, in order, with any run of characters between them.
fn fit<P: AsRef<str>>(parts: &[P], text: &str) -> bool {
    let (first, middle, last) = match parts {
        [first, middle @ .., last] => (first, middle, last),
        whole => return whole.iter().all(|whole| whole.as_ref() == text),
    };
    let rest = text.strip_prefix(first.as_ref());
    let rest = rest.and_then(|rest| rest.strip_suffix(last.as_ref()));
    let Some(mut rest) = rest else { return false };
    for part in middle {
        // The leftmost place leaves the most room for the parts that follow.
        let Some(at) = rest.find(part.as_ref()) else { return false };
        rest = &rest[at + part.as_ref().len()..];
    }
    true
}

/// A pattern in which `{id}` stands for the value of the path's parameter `id`, as it is: a `*` in
/// the value is a star.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template(Box<[Piece]>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(Box<str>),
    Run,
    Parameter(Box<str>),
}

impl Template {
    /// Reads a pattern with parameters; `None` where it has none.
    ///
    /// # Errors
    ///
    /// Where a brace does not close, or a parameter follows another without text between: then two
    /// paths with other values would fit one text.
    pub(crate) fn parse(written: &str) -> Result<Option<Self>, TemplateError> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = written;
        while let Some(at) = rest.find(['\\', '*', '{']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(escaped) = rest.strip_prefix("\\*").or(rest.strip_prefix("\\{")) {
                plain.push_str(&rest[1..2]);
                rest = escaped;
            } else if let Some(parameter) = rest.strip_prefix('{') {
                let (name, after) =
                    (parameter.split_once('}').filter(|(name, _)| !name.is_empty()))
                        .ok_or(TemplateError::Unclosed)?;
                if plain.is_empty() && matches!(pieces.last(), Some(Piece::Parameter(_))) {
                    return Err(TemplateError::Adjacent);
                }
                pieces.extend([Piece::Text(std::mem::take(&mut plain).into())]);
                pieces.push(Piece::Parameter(name.into()));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('*') {
                pieces.extend([Piece::Text(std::mem::take(&mut plain).into()), Piece::Run]);
                rest = after;
            } else {
                plain.push('\\');
                rest = &rest[1..];
            }
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain.into()));
        let has_parameter = pieces.iter().any(|piece| matches!(piece, Piece::Parameter(_)));
        Ok(has_parameter.then(|| Self(pieces.into())))
    }

    /// The names of the parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether it fits the whole text, with these parameters. One that has no value fits nothing.
    ///
    /// Between two parameters, the text that separates them ends the first: of `a/b` and `c`, or `a`
    /// and `b/c`, only the second fits `{x}/{y}`, so that no text stands for two pairs of values.
    pub(super) fn fits(&self, text: &str, parameter: &Parameters<'_>) -> bool {
        let (mut parts, mut part) = (Vec::new(), String::new());
        // Where in `part` the last parameter begins and ends.
        let mut last: Option<(usize, usize)> = None;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => part.push_str(text),
                Piece::Run => {
                    parts.push(std::mem::take(&mut part));
                    last = None;
                }
                Piece::Parameter(name) => {
                    let Some(value) = parameter(name) else { return false };
                    if let Some((begin, end)) = last
                        && part[begin..].find(&part[end..]) != Some(end - begin)
                    {
                        return false;
                    }
                    last = Some((part.len(), part.len() + value.len()));
                    part.push_str(&value);
                }
            }
        }
        parts.push(part);
        fit(&parts, text)
    }
}

/// Why a text is no pattern with parameters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TemplateError {
    /// A brace does not close, or holds no name.
    Unclosed,
    /// A parameter follows another without text between.
    Adjacent,
}

/// The value of a path's parameter.
pub(crate) type Parameters<'p> = dyn Fn(&str) -> Option<Cow<'p, str>> + 'p;

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(|part| part.replace('*', "\\*")).collect();
        write!(f, "\"{}\"", parts.join("*").replace('"', "\\\""))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => {
                    let text = text.replace('*', "\\*").replace('{', "\\{");
                    f.write_str(&text.replace('"', "\\\""))?;
                }
                Piece::Run => f.write_str("*")?,
                Piece::Parameter(name) => write!(f, "{{{name}}}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, yes, no) in [
            ("a", &["a"][..], &["", "aa", "A", "*"][..]),
            ("", &[""], &["a"]),
            ("*", &["", "a", "*"], &[]),
            ("**", &["", "a"], &[]),
            (
                "refs/tags/v*",
                &["refs/tags/v", "refs/tags/v1/x"],
                &["refs/tags/nv1", "x/refs/tags/v1"],
            ),
            (
                "*@example.com",
                &["a@example.com", "@example.com"],
                &["a@example.com.evil", "example.com"],
            ),
            (
                "refs/pull/*/merge",
                &["refs/pull/7/merge", "refs/pull//merge"],
                &["refs/pull/merge", "refs/pull/7/merge/x"],
            ),
            ("aa*aa", &["aaaa", "aabaa"], &["aa", "aaa"]),
            ("*ab*ab*", &["abab", "xabyabz"], &["ab", "aab"]),
            (r"\*", &["*"], &["", "a", r"\*"]),
            (r"a\**", &["a*", "a*b"], &["a", "ab"]),
            (r"\{id}", &["{id}"], &[r"\{id}"]),
            (r"CORP\alice", &[r"CORP\alice"], &["CORPalice"]),
            (r"CORP\", &[r"CORP\"], &["CORP"]),
            ("ä*ö", &["äö", "äüö"], &["ä", "ö"]),
        ] {
            let parsed = Pattern::new(pattern);
            for text in yes {
                assert!(parsed.fits(text), "{pattern} fits {text}");
            }
            for text in no {
                assert!(!parsed.fits(text), "{pattern} does not fit {text}");
            }
        }
    }

    /// The plain definition, which tries every length of every run.
    fn fits_slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|run| fits_slowly(rest, &text[run..])),
            Some((first, rest)) => text.first() == Some(first) && fits_slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn the_leftmost_place_is_enough(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let slow: (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Pattern::new(&pattern).fits(&text), fits_slowly(&slow.0, &slow.1));
        }
    }

    #[test]
    fn no_text_stands_for_two_pairs_of_values() {
        let fits = |written: &str, a: &str, b: &str, text: &str| {
            let values: &Parameters<'_> =
                &|name| Some(if name == "a" { a.to_owned() } else { b.to_owned() }.into());
            Template::parse(written).unwrap().unwrap().fits(text, values)
        };
        for (written, a, b, text, expected) in [
            ("{a}/{b}", "x", "y", "x/y", true),
            ("{a}/{b}", "x", "y/z", "x/y/z", true),
            ("{a}/{b}", "x/y", "z", "x/y/z", false),
            ("{a}/{b}", "x/", "z", "x//z", false),
            ("{a}--{b}", "x", "-y", "x---y", true),
            ("{a}--{b}", "x-", "y", "x---y", false),
            ("/{a}/{b}", "x", "y", "/x/y", true),
            ("p-{a}-{b}-{a}", "x", "y", "p-x-y-x", true),
            ("p-{a}-{b}-{a}", "x", "y-x", "p-x-y-x-x", false),
            ("{a}*{b}", "x", "y", "x-y", true),
        ] {
            assert_eq!(fits(written, a, b, text), expected, "{written} with {a} and {b}");
        }
    }

    #[test]
    fn parameters_stand_for_their_values_and_are_never_patterns() {
        let values: &Parameters<'_> = &|name| match name {
            "id" => Some("7".into()),
            "odd" => Some("a*{id}".into()),
            _ => None,
        };
        for (written, yes, no) in [
            ("{id}", &["7"][..], &["", "8", "{id}"][..]),
            ("tenant-{id}", &["tenant-7"], &["7", "tenant-"]),
            ("{id}/*", &["7/", "7/x"], &["7", "8/x"]),
            ("*{id}*", &["7", "x7y"], &["x"]),
            ("{odd}", &["a*{id}"], &["ab{id}", "a*7", "a"]),
            (r"\{id}{id}\*", &["{id}7*"], &["77*", "{id}7x"]),
            ("{other}*", &[], &["", "x"]),
        ] {
            let template = Template::parse(written).unwrap();
            let template = template.unwrap();
            for text in yes {
                assert!(template.fits(text, values), "{written} fits {text}");
            }
            for text in no {
                assert!(!template.fits(text, values), "{written} does not fit {text}");
            }
        }
        for plain in ["a", "a*", r"\{id}", "a}b"] {
            assert_eq!(Template::parse(plain), Ok(None), "{plain}");
        }
        for broken in ["{", "{id", "a{}", "{id}{"] {
            assert_eq!(Template::parse(broken), Err(TemplateError::Unclosed), "{broken}");
        }
        assert_eq!(Template::parse("{a}{b}"), Err(TemplateError::Adjacent));
        let template = Template::parse("{a}-*-{b}").unwrap().unwrap();
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(template.to_string(), "\"{a}-*-{b}\"");
    }
}
