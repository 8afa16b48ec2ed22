//! Reads claims that are named in a policy, and what they must be.

use toml::de::DeValue;

use super::checks::check_word;
use super::rule_faults::RuleFault;
use crate::claims::{ClaimMatch, ClaimPath, Pattern, Template, TemplateError, Wanted};
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
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
        section.push(Fault::of(&section.key_place(name), &NamedClaimFault::NoName { key: name }));
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
                let name_shown = name.value.escape_debug().to_string();
                let fault = NamedClaimFault::NotAName { name: name_shown, help };
                section.push(Fault::of(&name.place, &fault));
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
            let none = NamedClaimFault::NoValue { claim: name.value.to_owned() };
            section.push(Fault::of(&section.at_span(value.span()), &none));
            continue;
        }
        let mut wanted = Vec::new();
        for item in items {
            let bound = match item.get_ref() {
                DeValue::String(text) if braces == Braces::Parameters => Template::parse(text),
                _ => Ok(None),
            };
            if let Err(error) = bound {
                let fault = match error {
                    TemplateError::Unclosed => NamedClaimFault::UnclosedBrace,
                    TemplateError::Adjacent => NamedClaimFault::AdjacentParameters,
                };
                section.push(Fault::of(&section.at_span(item.span()), &fault));
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

problems! {
    /// What may be wrong with claims that are named in a policy.
    enum NamedClaimFault: Fault {
        /// `*_claim = []`.
        NoName { key: &'static str } => {
            message: "`{key}` is empty",
            label: "names no claim",
            help: "leave it out for the default",
        }
        /// A key of `claims` that names no claim.
        NotAName { name: String, help: String } => {
            message: ("`{}` is no name of a claim", name.escape_debug()),
            label: "is no name of a claim",
            help: "{help}",
        }
        /// A claim with an empty list of values.
        NoValue { claim: String } => {
            message: ("the claim `{}` can have no value", claim.escape_debug()),
            label: "holds no value",
            help: "list the values that the claim may have",
        }
        /// A value with a brace that does not close.
        UnclosedBrace => {
            message: "a brace does not close",
            label: "names no parameter of the path",
            help: "`{{id}}` is the path's parameter; a brace itself is written `\\{{`",
        }
        /// A value with two parameters and nothing between.
        AdjacentParameters => {
            message: "a parameter of the path follows another",
            label: "does not say where the first one ends",
            help: "put text between them that the first one never holds: `{{org}}/{{repo}}`",
        }
    }
}
