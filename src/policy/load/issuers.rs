//! Reads `[[issuer]]` and the keys of issuers.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;

use super::checks::{
    check_link, check_name, check_unique, check_word, parse_credential_header, read_file,
};
use super::claims::{Braces, load_claim, load_claims, parse_claim, report_dotted};
use crate::claims::{ClaimMatch, ClaimPath, Pattern};
use crate::credential::Secret;
use crate::limit::parse_duration;
use crate::policy::fault::{Fault, Faults, Place, is_variable, list, nearest};
use crate::policy::section::{At, Section};
use crate::verify::{
    Audiences, BoundTokens, Grants, Iss, IssName, Issuer, KeySet, KeyTrouble, MAX_TRIED_KEYS,
    algorithm, algorithm_name, hash_length, is_symmetric,
};

/// Reads the issuers; `key_header` is where API keys are sent.
pub(super) fn load_issuers(
    sections: Vec<Section<'_>>,
    folder: &Path,
    key_header: &str,
) -> Vec<Issuer> {
    let mut context = Context {
        folder,
        key_header,
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
    folder: &'a Path,
    key_header: &'a str,
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
    let keys = load_key_set(&section, context.folder, algorithms.as_deref());
    let header = load_header(&section, context);
    let leeway = load_duration(&section, "leeway");
    if let Some(wide) = leeway.as_ref().filter(|leeway| leeway.value > Duration::from_secs(300)) {
        section.push(
            Fault::doubt(&wide.place, "the leeway is wide")
                .label("lets expired tokens in for that long")
                .with_help("clocks seldom differ by more than a minute"),
        );
    }
    let max_lifetime = load_duration(&section, "max_lifetime");
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

fn load_duration(section: &Section<'_>, name: &'static str) -> Option<At<Duration>> {
    section.parse(name, "duration", |text| parse_duration(text).ok_or_else(|| DURATION_HELP.into()))
}

const DURATION_HELP: &str =
    "a duration is a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `7d`";

/// What `iss` of the issuer's tokens is: a text, several, or `"any"`.
fn load_iss<'a>(
    section: &Section<'a>,
    context: &mut Context<'a>,
    claims: &[ClaimMatch],
) -> Option<Iss> {
    const HELP: &str = "write the `iss` of its tokens, byte by byte";
    let text = if section.is_text("iss") { section.text("iss") } else { None };
    if let Some(At { place, .. }) = text.filter(|iss| iss.value == "any") {
        section.push(
            Fault::doubt(&place, "tokens of this issuer may have any `iss`, or none")
                .label("is not looked at")
                .with_help("have the tokens name their issuer, and write that name here"),
        );
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
        section.push(
            Fault::doubt(&iss.place, "the braces in `iss` name no claim")
                .label("is compared with its braces")
                .with_help("a claim within it is written `{tid}`"),
        );
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
        let shown = claim.escape_debug();
        section.push(
            Fault::doubt(&iss.place, format!("every value of `{shown}` is accepted in `iss`"))
                .label("takes the tokens of every tenant")
                .with_help(format!(
                    "list those that you mean: `claims = {{ {shown} = [\"...\"] }}`"
                )),
        );
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
            section.push(
                Fault::doubt(&text.place, "tokens of this issuer may be for any audience")
                    .label("is not looked at")
                    .with_help("a token that was made for another API is accepted: name this one"),
            );
            return Some(Audiences::Any);
        }
    }
    let list = section.list("audiences", "audience", check_word);
    match &list {
        None if !section.has("audiences") => section.push(
            Fault::at(section.place(), "[[issuer]] needs `audiences`")
                .label("is missing a key")
                .with_help(HELP),
        ),
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

/// Where an issuer's keys come from, as the policy names it.
enum KeySource {
    /// Variables of the environment.
    Variables(Vec<At<String>>),
    /// Files, each with one secret.
    Secrets(Vec<At<String>>),
    Pem(Vec<At<String>>),
    Jwks(At<String>),
}

/// How secrets are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Text,
    Base64,
}

const KEY_SOURCES: &str = "write one of `{ jwks_file = \"jwks.json\" }`, `{ pem_file = \"public.pem\" }`, `{ secret_env = \"JWT_SECRET\" }`";

fn load_key_set(
    issuer: &Section<'_>,
    folder: &Path,
    algorithms: Option<&[Algorithm]>,
) -> Option<KeySet> {
    if !issuer.has("keys") {
        issuer.push(
            Fault::at(issuer.place(), "[[issuer]] needs `keys`")
                .label("is missing a key")
                .with_help(KEY_SOURCES),
        );
    }
    let keys = issuer.section("keys", "keys")?;
    let (place, faults) = (keys.place().clone(), keys.faults());
    let source = load_key_source(keys);
    let ((source, encoding), algorithms) = (source?, algorithms?);
    let (is_secret, place) = match &source {
        KeySource::Variables(_) | KeySource::Secrets(_) => (true, place),
        KeySource::Pem(files) => (false, files.first()?.place.clone()),
        KeySource::Jwks(file) => (false, file.place.clone()),
    };
    if !check_family(issuer, is_secret, &place, algorithms) {
        return None;
    }
    let keys = match source {
        KeySource::Variables(variables) => {
            let secret =
                |variable: &At<String>| load_variable(variable, encoding, algorithms, faults);
            load_secrets(&variables, secret, algorithms)
        }
        KeySource::Secrets(files) => {
            let secret = |file: &At<String>| {
                let text = read_file(&folder.join(&file.value), &file.place, faults)?;
                let shown = format!("the file `{}`", file.value.escape_debug());
                read_secret(
                    without_newline(text),
                    encoding,
                    algorithms,
                    &file.place,
                    &shown,
                    faults,
                )
            };
            load_secrets(&files, secret, algorithms)
        }
        KeySource::Pem(files) => load_pem(&files, folder, algorithms, faults),
        KeySource::Jwks(file) => {
            let text = read_file(&folder.join(&file.value), &place, faults)?;
            let (keys, troubles) = match KeySet::from_jwks(&text, algorithms) {
                Ok((keys, troubles)) => (Some(keys), troubles),
                Err(trouble) => (None, vec![trouble]),
            };
            troubles.iter().for_each(|trouble| report_trouble(trouble, &place, faults));
            keys
        }
    }?;
    if let Some(algorithm) = keys.overfull(algorithms) {
        faults.push(
            Fault::at(
                &place,
                format!(
                    "more than {MAX_TRIED_KEYS} keys fit the algorithm {}",
                    algorithm_name(algorithm)
                ),
            )
            .label("names too many keys")
            .with_help("each of them is tried for each token: remove those that no longer sign"),
        );
    }
    Some(keys)
}

fn load_pem(
    files: &[At<String>],
    folder: &Path,
    algorithms: &[Algorithm],
    faults: &Faults,
) -> Option<KeySet> {
    let load = |file: &At<String>| {
        let text = read_file(&folder.join(&file.value), &file.place, faults)?;
        KeySet::from_pem(&text, algorithms)
            .map_err(|trouble| report_trouble(&trouble, &file.place, faults))
            .ok()
    };
    // All are read, so that all faults are reported.
    let sets: Vec<Option<KeySet>> = files.iter().map(load).collect();
    let mut sets = sets.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
    let mut keys = sets.next()?;
    sets.for_each(|set| keys.extend(set));
    Some(keys)
}

/// The one source that `keys = { ... }` names.
fn load_key_source(keys: Section<'_>) -> Option<(KeySource, Encoding)> {
    const NAMES: [&str; 6] =
        ["secret_env", "secret_file", "pem_file", "jwks_file", "jwks_url", "discovery"];
    let named = NAMES.iter().filter(|name| keys.has(name)).count();
    let is_known = |name: &str| name == "encoding" || NAMES.contains(&name);
    // An unknown key may be a misspelt source: then it is reported as that alone.
    let misspelt = named == 0 && keys.entries().iter().any(|(key, _)| !is_known(key.value));
    if named != 1 && !misspelt {
        keys.push(
            Fault::at(keys.place(), "`keys` names one source of keys")
                .label(if named == 0 { "names none" } else { "names several" })
                .with_help(KEY_SOURCES),
        );
    }
    const FETCH: &str = "fetch the set when you deploy, and name it with `jwks_file`";
    if let Some(url) = keys.text("jwks_url") {
        keys.push(
            Fault::at(&url.place, "key sets by URL are not in this release")
                .label("cannot be fetched yet")
                .with_help(FETCH),
        );
    }
    if keys.flag("discovery").is_some() {
        keys.push(
            Fault::at(&keys.key_place("discovery"), "discovery of keys is not in this release")
                .label("cannot be fetched yet")
                .with_help(FETCH),
        );
    }
    let encodings = [("base64", Encoding::Base64), ("text", Encoding::Text)];
    let encoding = keys.one_of("encoding", &encodings);
    if encoding.is_some() && !keys.has("secret_env") && !keys.has("secret_file") {
        keys.push(
            Fault::at(&keys.key_place("encoding"), "`encoding` belongs to `secret_env`")
                .label("has no effect here")
                .with_help("leave it out"),
        );
    }
    let several = |name: &'static str| {
        let list = keys.one_or_more(name, "source of keys", |text| Ok(text.to_owned()))?;
        if list.is_empty() && keys.is_empty(name) {
            keys.push(
                Fault::at(&keys.key_place(name), format!("`{name}` is empty"))
                    .label("names no key")
                    .with_help(KEY_SOURCES),
            );
        }
        (!list.is_empty()).then_some(list)
    };
    let owned = |text: At<&str>| At { value: text.value.to_owned(), place: text.place };
    let (variables, files) = (several("secret_env"), several("secret_file"));
    let pem = several("pem_file");
    let source = (variables.map(KeySource::Variables))
        .or_else(|| files.map(KeySource::Secrets))
        .or_else(|| pem.map(KeySource::Pem))
        .or_else(|| keys.text("jwks_file").map(|file| KeySource::Jwks(owned(file))));
    keys.finish();
    source.filter(|_| named == 1).map(|source| (source, encoding.unwrap_or(Encoding::Text)))
}

/// HMAC goes with a secret, and all else with public keys; otherwise what one side publishes
/// would be what the other signs with (RFC 8725 section 3.1).
fn check_family(
    issuer: &Section<'_>,
    secret: bool,
    keys: &Place,
    algorithms: &[Algorithm],
) -> bool {
    let odd = algorithms.iter().find(|algorithm| is_symmetric(**algorithm) != secret);
    if let Some(odd) = odd {
        let (message, help) = if secret {
            (
                "needs a public key, not a secret",
                "name a `jwks_file` or `pem_file`, or list HS256, HS384 or HS512",
            )
        } else {
            (
                "needs a secret, not a public key",
                "name a `secret_env`, or list the algorithm of the key",
            )
        };
        let written = issuer.texts("algorithms").unwrap_or_default();
        let place = written.iter().find(|text| algorithm(text.value) == Some(*odd));
        issuer.push(
            Fault::at(
                place.map_or(keys, |text| &text.place),
                format!("{} {message}", algorithm_name(*odd)),
            )
            .label("does not go with `keys`")
            .with_help(help),
        );
    }
    odd.is_none()
}

/// The secrets of several places. All are read, so that all faults are reported.
fn load_secrets(
    places: &[At<String>],
    load: impl Fn(&At<String>) -> Option<Secret>,
    algorithms: &[Algorithm],
) -> Option<KeySet> {
    let secrets: Vec<Option<Secret>> = places.iter().map(load).collect();
    let secrets = secrets.into_iter().collect::<Option<Vec<_>>>()?;
    Some(KeySet::from_secrets(secrets.iter().map(Secret::expose), algorithms))
}

fn load_variable(
    variable: &At<String>,
    encoding: Encoding,
    algorithms: &[Algorithm],
    faults: &Faults,
) -> Option<Secret> {
    let name = variable.value.as_str();
    // What does not look like a name may be the secret itself: it is not repeated.
    let shown = if is_variable(name) { name } else { "named here" };
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    let Some(text) = is_name.then(|| std::env::var_os(name)).flatten() else {
        if is_name && faults.forgives_absent_secrets {
            // One that nobody knows stands in for it.
            let mut unknown = vec![0; 64];
            SystemRandom::new().fill(&mut unknown).ok()?;
            return Some(Secret::new(unknown));
        }
        faults.push(
            Fault::at(&variable.place, format!("the environment has no variable `{shown}`"))
                .label("is not set")
                .with_help("name a variable, `secret_env = \"JWT_SECRET\"`, and set it to the secret before the gate starts"),
        );
        return None;
    };
    let shown = format!("the variable `{shown}`");
    read_secret(text.into_encoded_bytes(), encoding, algorithms, &variable.place, &shown, faults)
}

/// Editors and `echo` end a file with a newline, which is no part of the secret.
fn without_newline(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    text
}

fn read_secret(
    bytes: Vec<u8>,
    encoding: Encoding,
    algorithms: &[Algorithm],
    place: &Place,
    shown: &str,
    faults: &Faults,
) -> Option<Secret> {
    let secret = match encoding {
        Encoding::Text => Secret::new(bytes),
        Encoding::Base64 => {
            let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
            let text = Secret::new(bytes);
            let text = text.expose().trim_ascii();
            let Some(secret) = engines.iter().find_map(|engine| engine.decode(text).ok()) else {
                faults.push(
                    Fault::at(place, format!("{shown} is not base64"))
                        .label("does not hold base64")
                        .with_help("leave out `encoding` if the secret is plain text"),
                );
                return None;
            };
            Secret::new(secret)
        }
    };
    let needed = algorithms.iter().copied().max_by_key(|algorithm| hash_length(*algorithm))?;
    if secret.expose().len() < hash_length(needed) {
        faults.push(
            Fault::at(place, format!("the secret is shorter than the hash of {}", algorithm_name(needed)))
                .label(format!("holds fewer than {} bytes", hash_length(needed)))
                .with_help(format!(
                    "use {} random bytes or more (RFC 7518 section 3.2): `openssl rand -base64 {}`, with `encoding = \"base64\"`",
                    hash_length(needed), hash_length(needed)
                )),
        );
        return None;
    }
    Some(secret)
}

fn report_trouble(trouble: &KeyTrouble, place: &Place, faults: &Faults) {
    faults.push(match trouble {
        KeyTrouble::Refused(message, help) => {
            Fault::at(place, message).label("cannot be used").with_help(*help)
        }
        KeyTrouble::Skipped(message) => {
            Fault::doubt(place, message).label("cannot serve").with_help(
                "tokens that are signed with it will be refused: correct the set, or `algorithms`",
            )
        }
    });
}
