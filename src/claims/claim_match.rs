//! What a claim must be: one of some values, or an array that holds one of them.

use std::fmt;

use super::pattern::{Parameters, Pattern, Template};
use super::{ClaimPath, Claims, is_whole, text};

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

#[cfg(test)]
mod tests {
    use super::super::StrictObject;
    use super::*;

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
