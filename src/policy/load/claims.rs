//! Reads claims that are named in a policy, and what they must be.

use toml::de::DeValue;

use super::checks::check_word;
use super::rule_faults::RuleFault;
use crate::claims::{ClaimMatch, ClaimPath, Pattern, Template, TemplateError, Wanted};
use crate::policy::fault::Fault;
use crate::policy::section::{At, Section};
use crate::policy::warning::Warning;
use crate::verify::ClaimNames;

/// A claim's name, or a JSON Pointer.
pub(super) fn parse_claim(text: &str) -> Result<ClaimPath, String> {
    check_word(text)?;
    ClaimPath::parse(text)
}

/// Reads one `*_claim`: a claim, or an array of claims.
pub(super) fn load_claim(section: &Section<'_>, name: &'static str) -> Option<ClaimNames> {
    let paths = section.one_or_more(name, "name of a claim", parse_claim)?;
    if paths.is_empty() && section.is_empty(name) {
        section.push(
            Fault::at(&section.key_place(name), format!("`{name}` is empty"))
                .label("names no claim")
                .with_help("leave it out for the default"),
        );
    }
    report_dotted(section, &paths);
    ClaimNames::new(paths.into_iter().map(|path| path.value).collect())
}

/// Warns of names that look like paths, wherever a claim is named: they are found only where a member has the whole name.
pub(super) fn report_dotted(section: &Section<'_>, paths: &[At<ClaimPath>]) {
    for path in paths {
        let name = path.value.as_str();
        // URIs are names that many issuers use.
        let first = name.split('/').next().unwrap_or_default();
        let is_uri = name.starts_with("urn:")
            || name.contains('/') && (first.is_empty() || first.contains(['.', ':']));
        if is_uri || !name.contains(['.', '/', '[']) {
            continue;
        }
        let inside = name.trim_start_matches(['$', '.']).replace(['.', '[', '/'], "/");
        let inside = inside.replace([']', '"', '\''], "");
        let pointer = format!("/{}", inside.trim_matches('/'));
        let claim = name.to_owned();
        section.push(Fault::warning(&path.place, &Warning::ClaimPath { claim, pointer }));
    }
}

/// What braces in the values of claims are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Braces {
    /// `{id}` is the path's parameter.
    Parameters,
    /// Characters as others.
    Plain,
}

/// Reads `claims = { name = value }`: each value is a text with `*` for any run of characters, a
/// whole number, `true` or `false`, or an array of these.
pub(super) fn load_claims(section: &Section<'_>, braces: Braces) -> Vec<ClaimMatch> {
    let mut claims = Vec::new();
    for (name, value) in section.entries() {
        let claim = match parse_claim(name.value) {
            Ok(claim) => claim,
            Err(help) => {
                let shown = name.value.escape_debug();
                section.push(
                    Fault::at(&name.place, format!("`{shown}` is no name of a claim"))
                        .label("is no name of a claim")
                        .with_help(help),
                );
                continue;
            }
        };
        report_dotted(
            section,
            std::slice::from_ref(&At { value: claim.clone(), place: name.place.clone() }),
        );
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect::<Vec<_>>(),
            _ => vec![value],
        };
        if items.is_empty() {
            section.push(
                Fault::at(
                    &section.at_span(value.span()),
                    format!("the claim `{}` can have no value", name.value.escape_debug()),
                )
                .label("holds no value")
                .with_help("list the values that the claim may have"),
            );
            continue;
        }
        let mut wanted = Vec::new();
        for item in items {
            let bound = match item.get_ref() {
                DeValue::String(text) if braces == Braces::Parameters => Template::parse(text),
                _ => Ok(None),
            };
            if let Err(error) = bound {
                let (message, label, help) = match error {
                    TemplateError::Unclosed => (
                        "a brace does not close",
                        "names no parameter of the path",
                        "`{id}` is the path's parameter; a brace itself is written `\\{`",
                    ),
                    TemplateError::Adjacent => (
                        "a parameter of the path follows another",
                        "does not say where the first one ends",
                        "put text between them that the first one never holds: `{org}/{repo}`",
                    ),
                };
                let place = section.at_span(item.span());
                section.push(Fault::at(&place, message).label(label).with_help(help));
                continue;
            }
            let bound = bound.ok().flatten().map(Wanted::Bound);
            match bound.or_else(|| wanted_value(item.get_ref())) {
                Some(value) => wanted.push(value),
                None => {
                    let odd = RuleFault::IncomparableClaim { claim: name.value.to_owned() };
                    section.push(Fault::of(&section.at_span(item.span()), &odd));
                }
            }
        }
        claims.push(ClaimMatch::new(claim, wanted));
    }
    claims
}

fn wanted_value(value: &DeValue<'_>) -> Option<Wanted> {
    match value {
        DeValue::String(text) => Some(Wanted::Text(Pattern::new(text))),
        DeValue::Boolean(flag) => Some(Wanted::Flag(*flag)),
        DeValue::Integer(number) => {
            let digits: String =
                number.as_str().chars().filter(|c| !matches!(c, '_' | '+')).collect();
            let number = i128::from_str_radix(&digits, number.radix()).ok()?;
            let is_in_range = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number);
            is_in_range.then(|| Wanted::Whole(number.to_string().into()))
        }
        _ => None,
    }
}
