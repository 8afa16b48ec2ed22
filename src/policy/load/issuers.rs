//! Reads `[[issuer]]`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;

use super::checks::{check_link, check_name, check_unique, check_word};
use super::claims::{Braces, load_claim, load_claims, parse_claim, report_dotted};
use super::headers::parse_credential_header;
use super::issuer_keys::load_issuer_keys;
use crate::claims::{ClaimMatch, ClaimPath, Pattern};
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::Place;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::suggest::{list, nearest};
use crate::policy::warning::Warning;
use crate::scope::ScopeHierarchy;
use crate::verify::{Audiences, BoundTokens, Grants, Iss, IssName, Issuer, algorithm};

/// Reads the issuers; `key_header` is where API keys are sent.
pub(super) fn load_issuers(
    sections: Vec<Section<'_>>,
    sources: &Sources,
    key_header: &str,
    hierarchy: &Arc<ScopeHierarchy>,
) -> Vec<Issuer> {
    let mut context = Context {
        sources,
        key_header,
        hierarchy,
        names: HashSet::new(),
        isses: HashSet::new(),
        headers: HashSet::new(),
        any: None,
    };
    let count = sections.len();
    let load = |section| load_issuer(section, &mut context);
    let issuers = sections.into_iter().filter_map(load).collect();
    if let Some((place, faults)) = context.any.filter(|_| count > 1) {
        faults.push(
            Fault::at(&place, "`iss = \"any\"` is for a sole issuer")
                .label("takes the tokens of every issuer")
                .with_help("name this issuer as its tokens do, or remove the other [[issuer]]"),
        );
    }
    issuers
}

/// What issuers are checked against.
struct Context<'a> {
    sources: &'a Sources,
    key_header: &'a str,
    hierarchy: &'a Arc<ScopeHierarchy>,
    names: HashSet<String>,
    isses: HashSet<String>,
    headers: HashSet<HeaderName>,
    /// Where an issuer goes by any name.
    any: Option<(Place, &'a Faults)>,
}

fn load_issuer<'a>(section: Section<'a>, context: &mut Context<'a>) -> Option<Issuer> {
    let name = section
        .required_text("name", "name the issuer: `name = \"main\"`")
        .and_then(|_| section.parse("name", "name", check_name));
    if let Some(name) = &name {
        check_unique(section.faults(), &mut context.names, name, "issuers");
    }
    let claims =
        section.section("claims", "claims").map(|claims| load_claims(&claims, Braces::Plain));
    let claims = claims.unwrap_or_default();
    let iss = load_iss(&section, context, &claims);
    let audiences = load_audiences(&section);
    let algorithms = load_algorithms(&section);
    let called = name.as_ref().map(|name| name.value.as_str());
    let (named, signed) = (iss.as_ref(), algorithms.as_deref());
    let keys = load_issuer_keys(&section, context.sources, called, named, signed);
    let header = load_header(&section, context);
    let leeway = section.duration("leeway");
    if let Some(wide) = leeway.as_ref().filter(|leeway| leeway.value > Duration::from_secs(300)) {
        section.push(Fault::warning(&wide.place, &Warning::WideLeeway));
    }
    let max_lifetime = section.duration("max_lifetime");
    let obtain = section.parse("obtain", "URI", |text| check_link(text, &["https", "http"], false));
    let types = section.list("types", "type", check_word);
    if types.as_ref().is_some_and(Vec::is_empty) {
        section.push(
            Fault::at(&section.key_place("types"), "`types` is empty")
                .label("accepts no token")
                .with_help("leave it out for `[\"at+jwt\", \"JWT\"]`"),
        );
    }
    let bound_tokens = section.one_of(
        "bound_tokens",
        &[("refuse", BoundTokens::Refuse), ("accept", BoundTokens::Accept)],
    );
    let claim = |name: &'static str| load_claim(&section, name);
    let (audience, client) = (claim("audience_claim"), claim("client_claim"));
    let (scope, roles, plan) = (claim("scope_claim"), claim("roles_claim"), claim("plan_claim"));
    let separator = section.parse("roles_separator", "separator of roles", check_word);
    let required =
        section.list("required_claims", "name of a claim", parse_claim).unwrap_or_default();
    report_dotted(&section, &required);
    let may_grant = section.section("may_grant", "may_grant").map(load_grants);
    section.finish();

    let plain = Issuer::new(name?.value.into(), iss?, audiences?, algorithms?, keys?);
    let needs_type = types.is_some();
    let types = types.map(|types| types.into_iter().map(|typ| typ.value.into()).collect());
    Some(Issuer {
        header,
        leeway: leeway.map_or(plain.leeway, |leeway| leeway.value),
        max_lifetime: max_lifetime.map(|lifetime| lifetime.value),
        obtain: obtain.map(|obtain| obtain.value.into()),
        types: types.unwrap_or(plain.types),
        needs_type,
        bound_tokens: bound_tokens.unwrap_or(plain.bound_tokens),
        audience_claim: audience.unwrap_or(plain.audience_claim),
        client_claim: client.unwrap_or(plain.client_claim),
        scope_claim: scope.unwrap_or(plain.scope_claim),
        roles_claim: roles.unwrap_or(plain.roles_claim),
        roles_separator: separator.map(|separator| separator.value.into()),
        plan_claim: plan.unwrap_or(plain.plan_claim),
        required_claims: required.into_iter().map(|claim| claim.value).collect(),
        claims,
        hierarchy: context.hierarchy.clone(),
        may_grant,
        ..plain
    })
}

/// How many headers may hold tokens: each is looked for in each request.
const MAX_HEADERS: usize = 32;

/// The header that holds the issuer's tokens; `None` for `Authorization: Bearer`.
fn load_header(section: &Section<'_>, context: &mut Context<'_>) -> Option<HeaderName> {
    let header = section.parse("header", "name of a header for tokens", |text| {
        let header = parse_credential_header(text)?;
        if header.as_str().eq_ignore_ascii_case(context.key_header) {
            return Err("API keys are sent in this header: name another one".into());
        }
        Ok(header)
    })?;
    if header.value == AUTHORIZATION {
        return None;
    }
    context.headers.insert(header.value.clone());
    if context.headers.len() > MAX_HEADERS {
        section.push(
            Fault::at(&header.place, format!("at most {MAX_HEADERS} headers hold tokens"))
                .label("is one too many")
                .with_help("have the proxies send their tokens in one header"),
        );
    }
    Some(header.value)
}

/// What `iss` of the issuer's tokens is: a text, several, or `"any"`.
fn load_iss<'a>(
    section: &Section<'a>,
    context: &mut Context<'a>,
    claims: &[ClaimMatch],
) -> Option<Iss> {
    const HELP: &str = "write the `iss` of its tokens, byte by byte";
    let text = if section.is_text("iss") { section.text("iss") } else { None };
    if let Some(At { place, .. }) = text.filter(|iss| iss.value == "any") {
        section.push(Fault::warning(&place, &Warning::AnyIssuer));
        context.any = Some((place, section.faults()));
        return Some(Iss::Any);
    }
    if !section.has("iss") {
        section.required_text("iss", HELP);
        return None;
    }
    let written = section.one_or_more("iss", "issuer", check_word)?;
    if written.is_empty() && section.is_empty("iss") {
        section.push(
            Fault::at(&section.key_place("iss"), "`iss` is empty")
                .label("accepts no token")
                .with_help(HELP),
        );
    }
    let mut names = Vec::new();
    for iss in written {
        check_unique(section.faults(), &mut context.isses, &iss, "values of `iss`");
        names.push(read_iss(section, &iss, claims)?);
    }
    (!names.is_empty()).then_some(Iss::Named(names))
}

/// One name, with the claim that stands in it in braces.
fn read_iss(section: &Section<'_>, iss: &At<String>, claims: &[ClaimMatch]) -> Option<IssName> {
    let exactly = || Some(IssName { written: iss.value.as_str().into(), claim: None });
    if !iss.value.contains(['{', '}']) {
        return exactly();
    }
    let parts = iss.value.split_once('{').and_then(|(before, rest)| {
        let (claim, after) = rest.split_once('}')?;
        Some((before, claim, after))
    });
    let is_claim = |claim: &str| !claim.is_empty() && !claim.contains('{');
    let Some((before, claim, after)) = parts.filter(|(_, claim, _)| is_claim(claim)) else {
        section.push(Fault::warning(&iss.place, &Warning::BracesInIss));
        return exactly();
    };
    if after.contains(['{', '}']) {
        section.push(
            Fault::at(&iss.place, "`iss` holds more than one claim")
                .label("names its issuer by several claims")
                .with_help("put one claim into it, and bind others with `claims`"),
        );
        return None;
    }
    let path = match ClaimPath::parse(claim) {
        Ok(path) => path,
        Err(help) => {
            section.push(
                Fault::at(&iss.place, format!("`{}` is no name of a claim", claim.escape_debug()))
                    .label("holds no name of a claim")
                    .with_help(help),
            );
            return None;
        }
    };
    if !claims.iter().any(|bound| bound.claim == path) {
        let unbound = Warning::ClaimInIss { claim: claim.to_owned() };
        section.push(Fault::warning(&iss.place, &unbound));
    }
    Some(IssName {
        written: iss.value.as_str().into(),
        claim: Some((before.into(), path, after.into())),
    })
}

/// What the audience of the issuer's tokens is: one of a list, or `"any"`.
fn load_audiences(section: &Section<'_>) -> Option<Audiences> {
    const HELP: &str = "name this API as tokens do: `audiences = [\"https://api.example.com\"]`";
    if section.is_text("audiences") {
        let text = section.text("audiences")?;
        if text.value == "any" {
            section.push(Fault::warning(&text.place, &Warning::AnyAudience));
            return Some(Audiences::Any);
        }
    }
    let list = section.list("audiences", "audience", check_word);
    match &list {
        None => section.require("audiences", HELP),
        Some(list) if list.is_empty() => section.push(
            Fault::at(&section.key_place("audiences"), "`audiences` is empty")
                .label("accepts no token")
                .with_help(HELP),
        ),
        _ => {}
    }
    Some(Audiences::Named(list?.into_iter().map(|item| item.value.into()).collect()))
}

/// What an issuer may grant. What is left out is `[]`.
fn load_grants(section: Section<'_>) -> Grants {
    let patterns = |name: &'static str, what: &str| -> Vec<Pattern> {
        let list = section.list(name, what, check_word).unwrap_or_default();
        list.iter().map(|pattern| Pattern::new(&pattern.value)).collect()
    };
    let grants = Grants {
        scopes: patterns("scopes", "scope"),
        roles: patterns("roles", "role"),
        plans: patterns("plans", "plan"),
    };
    section.finish();
    grants
}

fn load_algorithms(section: &Section<'_>) -> Option<Vec<Algorithm>> {
    const NAMES: [&str; 13] = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
        "ES384", "EdDSA", "Ed25519",
    ];
    let written = section.texts("algorithms");
    let list = section.list("algorithms", "algorithm", |text| {
        algorithm(text).ok_or_else(|| match nearest(text, NAMES) {
            // Another family is no misspelling.
            Some(near) if near.get(..2) == text.to_uppercase().get(..2) => {
                format!("did you mean `{near}`?")
            }
            _ => format!("the algorithms are {}", list(&NAMES)),
        })
    });
    if !section.has("algorithms") || section.is_empty("algorithms") {
        section.push(
            Fault::at(&section.key_place("algorithms"), "[[issuer]] needs `algorithms`")
                .label("accepts no token")
                .with_help("list what the issuer signs with: `algorithms = [\"RS256\"]`"),
        );
    }
    // What could not be read would give rise to faults of keys that are none.
    if list.as_ref().map(Vec::len) != written.as_ref().map(Vec::len) || written?.is_empty() {
        return None;
    }
    let mut algorithms: Vec<Algorithm> =
        list?.into_iter().map(|algorithm| algorithm.value).collect();
    let mut seen = Vec::new();
    algorithms.retain(|algorithm| {
        let is_new = !seen.contains(algorithm);
        seen.push(*algorithm);
        is_new
    });
    Some(algorithms)
}
