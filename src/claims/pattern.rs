//! What a claim must be: one of some values, or an array that holds one of them.

use std::borrow::Cow;
use std::fmt;

use super::{ClaimPath, Claims, is_whole, text};

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
    /// What to write instead, where a brace does not close.
    pub(crate) fn parse(written: &str) -> Result<Option<Self>, String> {
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
                        .ok_or("`{id}` is the path's parameter; a brace itself is written `\\{`")?;
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
    fn fits(&self, text: &str, parameter: &Parameters<'_>) -> bool {
        let (mut parts, mut part) = (Vec::new(), String::new());
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => part.push_str(text),
                Piece::Run => parts.push(std::mem::take(&mut part)),
                Piece::Parameter(name) => match parameter(name) {
                    Some(value) => part.push_str(&value),
                    None => return false,
                },
            }
        }
        parts.push(part);
        fit(&parts, text)
    }
}

/// The value of a path's parameter.
pub(crate) type Parameters<'p> = dyn Fn(&str) -> Option<Cow<'p, str>> + 'p;

/// A claim, and what it must be.
#[derive(Clone, Debug)]
pub(crate) struct ClaimMatch {
    pub(crate) claim: ClaimPath,
    /// One of these.
    wanted: Box<[Wanted]>,
}

/// A value that a claim may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    Text(Pattern),
    /// Text with parameters of the path.
    Bound(Template),
    /// A whole number, as its digits.
    Whole(Box<str>),
    Flag(bool),
}

/// In which way a claim is not what it must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mismatch {
    /// It is not there, or `null`.
    Absent,
    /// It has another value.
    Different,
    /// The caller came with an API key, which has no claims.
    ApiKey,
}

impl Mismatch {
    /// The name in denials.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Different => "different",
            Self::ApiKey => "api_key",
        }
    }
}

impl ClaimMatch {
    pub(crate) fn new(claim: ClaimPath, wanted: Vec<Wanted>) -> Self {
        Self { claim, wanted: wanted.into() }
    }

    /// Whether the claim has one of the values, or is an array that holds one. Values with
    /// parameters of a path are never met.
    pub(crate) fn check(&self, claims: &impl Claims) -> Result<(), Mismatch> {
        self.check_with(claims, &|_| None)
    }

    /// The same, with the parameters of the path.
    pub(crate) fn check_with(
        &self,
        claims: &impl Claims,
        parameter: &Parameters<'_>,
    ) -> Result<(), Mismatch> {
        let value = self.claim.find(claims).ok_or(Mismatch::Absent)?;
        let is_met = match super::items(value) {
            Some(items) => items.iter().any(|item| self.is_met_by(item.get(), parameter)),
            None => self.is_met_by(value, parameter),
        };
        if is_met { Ok(()) } else { Err(Mismatch::Different) }
    }

    /// The parameters of the path that decide.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().flat_map(Wanted::parameters)
    }

    fn is_met_by(&self, value: &str, parameter: &Parameters<'_>) -> bool {
        // A whole number counts as its digits, so that `42` and `"42"` are equal.
        let word = match value.as_bytes().first() {
            Some(b'"') => text(value),
            _ if is_whole(value) => Some(value.into()),
            _ => None,
        };
        self.wanted.iter().any(|wanted| match (wanted, &word) {
            (Wanted::Text(pattern), Some(word)) => pattern.fits(word),
            (Wanted::Bound(template), Some(word)) => template.fits(word, parameter),
            (Wanted::Whole(digits), Some(word)) => **digits == **word,
            (Wanted::Flag(flag), None) => value == if *flag { "true" } else { "false" },
            _ => false,
        })
    }
}

impl Wanted {
    fn parameters(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Self::Bound(template) => Some(template),
            _ => None,
        };
        template.into_iter().flat_map(Template::parameters)
    }
}

impl fmt::Display for ClaimMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.claim.as_str())?;
        match &*self.wanted {
            [only] => only.fmt(f),
            several => {
                for (index, wanted) in several.iter().enumerate() {
                    write!(f, "{}{wanted}", if index == 0 { "[" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(pattern) => pattern.fmt(f),
            Self::Bound(template) => template.fmt(f),
            Self::Whole(digits) => f.write_str(digits),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

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

    use super::super::StrictObject;
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
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
        let template = Template::parse("{a}-*-{b}").unwrap().unwrap();
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(template.to_string(), "\"{a}-*-{b}\"");
    }

    #[test]
    fn values_are_compared_by_type_and_whole_numbers_by_digits() {
        let text = |text| Wanted::Text(Pattern::new(text));
        let whole = |digits: &str| Wanted::Whole(digits.into());
        for (wanted, json, expected) in [
            (vec![text("acme")], r#""acme""#, Ok(())),
            (vec![text("acme")], r#""\u0061cme""#, Ok(())),
            (vec![text("acme")], r#"["x","acme"]"#, Ok(())),
            (vec![text("acme")], r#"[["acme"]]"#, Err(Mismatch::Different)),
            (vec![text("acme")], r#"{"acme":1}"#, Err(Mismatch::Different)),
            (vec![text("acme"), text("b*")], r#""beta""#, Ok(())),
            (vec![text("acme")], "[]", Err(Mismatch::Different)),
            (vec![text("acme")], "null", Err(Mismatch::Absent)),
            (vec![text("*")], "null", Err(Mismatch::Absent)),
            (vec![text("*")], "[null]", Err(Mismatch::Different)),
            (vec![text("*")], "true", Err(Mismatch::Different)),
            (vec![text("42")], "42", Ok(())),
            (vec![whole("42")], "42", Ok(())),
            (vec![whole("42")], r#""42""#, Ok(())),
            (vec![whole("42")], "42.0", Err(Mismatch::Different)),
            (vec![whole("42")], "4.2e1", Err(Mismatch::Different)),
            (vec![whole("-1")], "-1", Ok(())),
            (vec![whole("18446744073709551615")], "18446744073709551615", Ok(())),
            (vec![text("*")], "18446744073709551616", Err(Mismatch::Different)),
            (vec![Wanted::Flag(true)], "true", Ok(())),
            (vec![Wanted::Flag(true)], r#""true""#, Err(Mismatch::Different)),
            (vec![Wanted::Flag(false)], "[true,false]", Ok(())),
            (vec![text("true")], "true", Err(Mismatch::Different)),
        ] {
            let payload = format!("{{\"c\":{json}}}");
            let claims = StrictObject::parse(payload.as_bytes()).unwrap();
            let demand = ClaimMatch::new(ClaimPath::parse("c").unwrap(), wanted.clone());
            assert_eq!(demand.check(&claims), expected, "{wanted:?} and {json}");
        }
    }
}
