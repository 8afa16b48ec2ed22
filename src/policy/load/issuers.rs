//! Reads `[[issuer]]` and the keys of issuers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;

use super::checks::{
    check_link, check_name, check_unique, check_word, read_file, warn_of_claim_path,
};
use crate::credential::Secret;
use crate::policy::fault::{Fault, Faults, Place, is_variable, list, nearest};
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::warning::Warning;
use crate::verify::{
    Issuer, KeySet, KeyTrouble, algorithm, algorithm_name, hash_length, is_symmetric,
};

pub(super) fn load_issuers(sections: Vec<Section<'_>>, sources: &Sources) -> Vec<Issuer> {
    let (mut names, mut isses) = (HashSet::new(), HashSet::new());
    let load = |section| load_issuer(section, sources, &mut names, &mut isses);
    sections.into_iter().filter_map(load).collect()
}

fn load_issuer(
    section: Section<'_>,
    sources: &Sources,
    names: &mut HashSet<String>,
    isses: &mut HashSet<String>,
) -> Option<Issuer> {
    let name = section
        .required_text("name", "name the issuer: `name = \"main\"`")
        .and_then(|_| section.parse("name", "name", check_name));
    if let Some(name) = &name {
        check_unique(section.faults(), names, name, "issuers");
    }
    let iss = section.required_text("iss", "write the `iss` of its tokens, byte by byte");
    let iss = iss.and_then(|_| section.parse("iss", "issuer", check_word));
    if let Some(iss) = &iss {
        check_unique(section.faults(), isses, iss, "values of `iss`");
    }
    let audiences = required_list(
        &section,
        "audiences",
        "audience",
        "name this API as tokens do: `audiences = [\"https://api.example.com\"]`",
    );
    let algorithms = load_algorithms(&section);
    let keys = load_key_set(&section, sources, algorithms.as_deref());
    let leeway = section.duration("leeway");
    if let Some(wide) = leeway.as_ref().filter(|leeway| leeway.value > Duration::from_secs(300)) {
        section.push(Fault::warning(&wide.place, &Warning::WideLeeway));
    }
    let obtain = section.parse("obtain", "URI", |text| check_link(text, &["https", "http"], false));
    let types = section.list("types", "type", check_word);
    if types.as_ref().is_some_and(Vec::is_empty) {
        section.push(
            Fault::at(&section.key_place("types"), "`types` is empty")
                .label("accepts no token")
                .with_help("leave it out for `[\"at+jwt\", \"JWT\"]`"),
        );
    }
    let claim = |name: &'static str| {
        let claim = section.parse(name, "name of a claim", check_word)?;
        warn_of_claim_path(&section, &claim);
        Some(claim)
    };
    let (client, scope, roles, plan) =
        (claim("client_claim"), claim("scope_claim"), claim("roles_claim"), claim("plan_claim"));
    let required =
        section.list("required_claims", "name of a claim", check_word).unwrap_or_default();
    section.finish();

    let named = |claim: Option<At<String>>, default: &str| -> Arc<str> {
        claim.map_or_else(|| default.into(), |claim| claim.value.into())
    };
    let types = types.map_or_else(
        || vec!["at+jwt".into(), "JWT".into()],
        |types| types.into_iter().map(|typ| typ.value.into()).collect(),
    );
    Some(Issuer {
        name: name?.value.into(),
        iss: iss?.value.into(),
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        leeway: leeway.map_or(Duration::from_secs(30), |leeway| leeway.value),
        obtain: obtain.map(|obtain| obtain.value.into()),
        types,
        client_claim: named(client, "sub"),
        scope_claim: named(scope, "scope"),
        roles_claim: named(roles, "roles"),
        plan_claim: named(plan, "plan"),
        required_claims: required.into_iter().map(|claim| claim.value.into()).collect(),
    })
}

fn required_list(
    section: &Section<'_>,
    name: &'static str,
    what: &str,
    help: &str,
) -> Option<Vec<Box<str>>> {
    let list = section.list(name, what, check_word);
    match &list {
        None => section.require(name, help),
        Some(list) if list.is_empty() => section.push(
            Fault::at(&section.key_place(name), format!("`{name}` is empty"))
                .label("accepts no token")
                .with_help(help),
        ),
        _ => {}
    }
    list.map(|list| list.into_iter().map(|item| item.value.into()).collect())
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
enum KeySource<'a> {
    Secret { variable: At<&'a str>, base64: bool },
    Pem(At<&'a str>),
    Jwks(At<&'a str>),
}

const KEY_SOURCES: &str = "write one of `{ jwks_file = \"jwks.json\" }`, `{ pem_file = \"public.pem\" }`, `{ secret_env = \"JWT_SECRET\" }`";

fn load_key_set(
    issuer: &Section<'_>,
    sources: &Sources,
    algorithms: Option<&[Algorithm]>,
) -> Option<KeySet> {
    issuer.require("keys", KEY_SOURCES);
    let keys = issuer.section("keys", "keys")?;
    let (place, faults) = (keys.place().clone(), keys.faults());
    let source = load_key_source(keys);
    let (source, algorithms) = (source?, algorithms?);
    let place = match &source {
        KeySource::Secret { .. } => place,
        KeySource::Pem(file) | KeySource::Jwks(file) => file.place.clone(),
    };
    if !check_family(issuer, matches!(source, KeySource::Secret { .. }), &place, algorithms) {
        return None;
    }
    match source {
        KeySource::Secret { variable, base64 } => {
            load_secret(&variable, base64, algorithms, sources, faults)
        }
        KeySource::Pem(file) => {
            let text = read_file(file.value, &place, sources, faults)?;
            KeySet::from_pem(&text, algorithms)
                .map_err(|trouble| report_trouble(&trouble, &place, faults))
                .ok()
        }
        KeySource::Jwks(file) => {
            let text = read_file(file.value, &place, sources, faults)?;
            let (keys, troubles) = match KeySet::from_jwks(&text, algorithms) {
                Ok((keys, troubles)) => (Some(keys), troubles),
                Err(troubles) => (None, troubles),
            };
            troubles.iter().for_each(|trouble| report_trouble(trouble, &place, faults));
            keys
        }
    }
}

/// The one source that `keys = { ... }` names.
fn load_key_source<'a>(keys: Section<'a>) -> Option<KeySource<'a>> {
    const NAMES: [&str; 4] = ["secret_env", "pem_file", "jwks_file", "jwks_url"];
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
    if let Some(url) = keys.text("jwks_url") {
        keys.push(
            Fault::at(&url.place, "key sets by URL are not in this release")
                .label("cannot be fetched yet")
                .with_help("fetch the set when you deploy, and name it with `jwks_file`"),
        );
    }
    let encoding = keys.one_of("encoding", &[("base64", true), ("text", false)]);
    if encoding.is_some() && !keys.has("secret_env") {
        keys.push(
            Fault::at(&keys.key_place("encoding"), "`encoding` belongs to `secret_env`")
                .label("has no effect here")
                .with_help("leave it out"),
        );
    }
    let base64 = encoding.unwrap_or(false);
    let secret = keys.text("secret_env").map(|variable| KeySource::Secret { variable, base64 });
    let source = (secret)
        .or_else(|| keys.text("pem_file").map(KeySource::Pem))
        .or_else(|| keys.text("jwks_file").map(KeySource::Jwks));
    keys.finish();
    source.filter(|_| named == 1)
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

fn load_secret(
    variable: &At<&str>,
    base64: bool,
    algorithms: &[Algorithm],
    sources: &Sources,
    faults: &Faults,
) -> Option<KeySet> {
    // What does not look like a name may be the secret itself: it is not repeated.
    let shown = if is_variable(variable.value) { variable.value } else { "named here" };
    let is_name = !variable.value.is_empty() && !variable.value.contains(['=', '\0']);
    let Some(given) = sources.variable(variable.value) else {
        if is_name && sources.forgives_absent_secrets() {
            // One that nobody knows stands in for it.
            let mut unknown = [0; 64];
            SystemRandom::new().fill(&mut unknown).ok()?;
            return Some(KeySet::from_secret(&unknown, algorithms));
        }
        faults.push(
            Fault::at(&variable.place, format!("the environment has no variable `{shown}`"))
                .label("is not set")
                .with_help("name a variable, `secret_env = \"JWT_SECRET\"`, and set it to the secret before the gate starts"),
        );
        return None;
    };
    let secret = if base64 {
        let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
        let Some(secret) =
            engines.iter().find_map(|engine| engine.decode(given.expose().trim_ascii()).ok())
        else {
            faults.push(
                Fault::at(&variable.place, format!("the variable `{shown}` is not base64"))
                    .label("does not hold base64")
                    .with_help("leave out `encoding` if the secret is plain text"),
            );
            return None;
        };
        Secret::new(secret)
    } else {
        given
    };
    let needed = algorithms.iter().copied().max_by_key(|algorithm| hash_length(*algorithm))?;
    if secret.expose().len() < hash_length(needed) {
        faults.push(
            Fault::at(&variable.place, format!("the secret is shorter than the hash of {}", algorithm_name(needed)))
                .label(format!("holds fewer than {} bytes", hash_length(needed)))
                .with_help(format!(
                    "use {} random bytes or more (RFC 7518 section 3.2): `openssl rand -base64 {}`, with `encoding = \"base64\"`",
                    hash_length(needed), hash_length(needed)
                )),
        );
        return None;
    }
    Some(KeySet::from_secret(secret.expose(), algorithms))
}

fn report_trouble(trouble: &KeyTrouble, place: &Place, faults: &Faults) {
    faults.push(match trouble {
        KeyTrouble::Refused(message, help) => {
            Fault::at(place, message).label("cannot be used").with_help(*help)
        }
        KeyTrouble::Skipped(message) => {
            Fault::warning(place, &Warning::SkippedKey { trouble: message.to_string() })
        }
    });
}
