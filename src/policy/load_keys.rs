//! Reads `[api_keys]`, the key file, and `[[issuer]]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;
use toml::de::DeTable;

use super::fault::{Fault, Faults, Place, Source, suggest};
use super::load::{check_link, check_name, check_unique, parse_cidr, parse_header};
use super::section::{At, Section};
use crate::credential::{CredentialPolicy, KeyFormat, Secret, is_key_prefix};
use crate::limit::parse_duration;
use crate::principal::{Origin, Principal, Proven};
use crate::scope::Scope;
use crate::verify::{
    Issuer, KeyRecord, KeySet, KeyTable, KeyTrouble, algorithm, algorithm_name, hash_length,
    is_symmetric,
};

/// `[api_keys]` with its keys.
pub(super) struct Keys {
    pub(super) credential: CredentialPolicy,
    pub(super) table: KeyTable,
}

/// `[[issuer]]`, all of them.
pub(super) struct LoadedIssuers {
    pub(super) list: Vec<Issuer>,
    /// Whether any stands in the policy, faulty or not.
    pub(super) declared: bool,
}

pub(super) fn load_keys(
    section: Option<Section<'_>>,
    folder: &Path,
    tokens: bool,
    faults: &Faults,
) -> Keys {
    let mut credential = CredentialPolicy {
        key_header: HeaderName::from_static("x-api-key"),
        keys_as_bearer: false,
        prefix: "tg".into(),
        format: KeyFormat::Checked { prefix: "tg".into() },
        tokens,
    };
    let Some(section) = section else {
        return Keys { table: KeyTable::new(credential.format.clone(), Vec::new()), credential };
    };
    let header = section.parse("header", "name of a header for keys", |text| {
        let name = parse_header(text)?;
        if name == AUTHORIZATION {
            return Err("`Authorization: ApiKey <key>` is always understood: name another header".into());
        }
        Ok(name)
    });
    if let Some(header) = header {
        credential.key_header = header.value;
    }
    credential.keys_as_bearer = section.flag("bearer").unwrap_or(false);
    let prefix = section.parse("prefix", "prefix of keys", |text| {
        let help = "a prefix begins with a letter and has up to 32 letters, digits, `_` and `-`";
        if is_key_prefix(text) { Ok(text.to_owned()) } else { Err(help.into()) }
    });
    if let Some(prefix) = prefix {
        credential.prefix = prefix.value.into();
    }
    let checked = KeyFormat::Checked { prefix: credential.prefix.clone() };
    credential.format =
        section.one_of("format", &[("checked", true), ("any", false)]).map_or(checked.clone(), |is_checked| {
            if is_checked { checked } else { KeyFormat::Any }
        });

    let mut seen = Seen::default();
    let mut records: Vec<KeyRecord> = section
        .sections("key", "[[api_keys.key]]")
        .into_iter()
        .filter_map(|key| load_key(key, &mut seen))
        .collect();
    if let Some(file) = section.text("file") {
        records.extend(load_key_file(&file, folder, faults, &mut seen));
    }
    section.finish();
    Keys { table: KeyTable::new(credential.format.clone(), records), credential }
}

fn load_key_file(
    file: &At<&str>,
    folder: &Path,
    faults: &Faults,
    seen: &mut Seen,
) -> Vec<KeyRecord> {
    let path = folder.join(file.value);
    let Some(text) = read_file(&path, &file.place, faults) else { return Vec::new() };
    let Ok(text) = String::from_utf8(text) else {
        faults.push(
            Fault::at(&file.place, "the key file is not UTF-8")
                .label("cannot be read")
                .with_help("a key file is TOML with [[key]] tables"),
        );
        return Vec::new();
    };
    let source = Arc::new(Source { name: path.display().to_string(), text: text.clone() });
    let table = match DeTable::parse(&text) {
        Ok(table) => table,
        Err(error) => {
            let place = Place { source, span: error.span().unwrap_or(0..0) };
            faults.push(
                Fault::at(&place, format!("not TOML: {}", error.message().replace('\n', ", ")))
                    .label("cannot be read")
                    .with_help("a key file is TOML with [[key]] tables"),
            );
            return Vec::new();
        }
    };
    let root = Section::new("the key file", table.get_ref(), &source, 0..0, faults);
    let keys = root.sections("key", "[[key]]");
    let records = keys.into_iter().filter_map(|key| load_key(key, seen)).collect();
    root.finish();
    records
}

/// What must not be used twice.
#[derive(Default)]
struct Seen {
    ids: Vec<String>,
    digests: Vec<[u8; 32]>,
}

fn load_key(section: Section<'_>, seen: &mut Seen) -> Option<KeyRecord> {
    let raw = ["key", "secret", "value", "raw"].into_iter().find(|name| section.has(name));
    if let Some(raw) = raw {
        let span = section.text(raw).map_or(0..0, |text| text.place.span);
        section.push(
            Fault::at(&section.key_place(raw), "a policy holds no raw keys")
                .label("is a secret")
                .with_help("store `digest = \"sha256:<64 hex digits>\"` of the whole key; `tollgate key new` prints both")
                .mask(span),
        );
    }
    let id = section.required_text("id", "name the key: `id = \"billing-2026\"`");
    let id = id.and_then(|_| section.parse("id", "key id", check_name));
    let client = section
        .required_text("client", "say whose key it is: `client = \"billing\"`")
        .and_then(|_| section.parse("client", "client", check_client));
    let digest = if raw.is_some() { section.has("digest").then(|| section.text("digest")).flatten() } else {
        section.required_text("digest", "`tollgate key new` prints the key and its digest")
    };
    let digest = digest.and_then(|digest| {
        let parsed = parse_digest(digest.value);
        if parsed.is_none() {
            section.push(
                Fault::at(&digest.place, "`digest` is no SHA-256 digest")
                    .label("is not `sha256:` and 64 hex digits")
                    .with_help("store the digest of the whole key, never the key itself; `tollgate key new` prints both")
                    .mask(digest.place.span.clone()),
            );
        }
        parsed.map(|value| At { value, place: digest.place })
    });
    let scopes = section.list("scopes", "scope", parse_scope).unwrap_or_default();
    let roles = section.list("roles", "role", check_word).unwrap_or_default();
    let plan = section.parse("plan", "plan", check_name);
    let not_before = section.moment("not_before");
    let expires = section.moment("expires");
    let revoked = section.flag("revoked").unwrap_or(false);
    let addresses = section.list("addresses", "range of addresses", parse_cidr).unwrap_or_default();
    if let (Some(from), Some(until)) = (&not_before, &expires) {
        if from.value >= until.value {
            section.push(
                Fault::at(&until.place, "the key expires before it is valid")
                    .label("is not after `not_before`")
                    .with_help("set `expires` to a later moment"),
            );
        }
    }
    if let Some(id) = &id {
        check_unique(section.faults(), &mut seen.ids, id, "id");
    }
    if let Some(digest) = &digest {
        if seen.digests.contains(&digest.value) {
            section.push(
                Fault::at(&digest.place, "two keys have this digest")
                    .label("is used already")
                    .with_help("one key has one entry: make a second key with `tollgate key new`"),
            );
        }
        seen.digests.push(digest.value);
    }
    section.finish();

    let (id, client) = (Arc::<str>::from(id?.value), client?.value);
    let proven = Proven {
        origin: Origin::Key { id: id.clone() },
        client: client.into(),
        scopes: scopes.into_iter().map(|scope| scope.value).collect(),
        roles: roles.into_iter().map(|role| role.value.into()).collect(),
        plan: plan.map(|plan| plan.value.into()),
        claims: None,
    };
    Some(KeyRecord {
        id,
        digest: digest?.value,
        not_before: not_before.map(|moment| moment.value),
        expires: expires.map(|moment| moment.value),
        revoked,
        addresses: addresses.into_iter().map(|range| range.value).collect(),
        principal: Principal::new(proven),
    })
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?;
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(digest)
}

pub(super) fn load_issuers(sections: Vec<Section<'_>>, folder: &Path) -> LoadedIssuers {
    let declared = !sections.is_empty();
    let (mut names, mut isses) = (Vec::new(), Vec::new());
    let list =
        sections.into_iter().filter_map(|section| load_issuer(section, folder, &mut names, &mut isses));
    LoadedIssuers { list: list.collect(), declared }
}

fn load_issuer(
    section: Section<'_>,
    folder: &Path,
    names: &mut Vec<String>,
    isses: &mut Vec<String>,
) -> Option<Issuer> {
    let name = section
        .required_text("name", "name the issuer: `name = \"main\"`")
        .and_then(|_| section.parse("name", "name", check_name));
    if let Some(name) = &name {
        check_unique(section.faults(), names, name, "name");
    }
    let iss = section.required_text("iss", "write the `iss` of its tokens, byte by byte");
    let iss = iss.and_then(|_| section.parse("iss", "issuer", check_word));
    if let Some(iss) = &iss {
        check_unique(section.faults(), isses, iss, "iss");
    }
    let audiences = required_list(&section, "audiences", "audience", "name this API as tokens do: `audiences = [\"https://api.example.com\"]`");
    let algorithms = load_algorithms(&section);
    let keys = load_key_set(&section, folder, algorithms.as_deref());
    let leeway = section.parse("leeway", "duration", |text| {
        parse_duration(text).ok_or_else(|| DURATION_HELP.into())
    });
    if let Some(wide) = leeway.as_ref().filter(|leeway| leeway.value > Duration::from_secs(300)) {
        section.push(
            Fault::doubt(&wide.place, "the leeway is wide")
                .label("lets expired tokens in for that long")
                .with_help("clocks seldom differ by more than a minute"),
        );
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
    let claim = |name: &'static str| section.parse(name, "name of a claim", check_word);
    let (client, scope, roles, plan) =
        (claim("client_claim"), claim("scope_claim"), claim("roles_claim"), claim("plan_claim"));
    let required = section.list("required_claims", "name of a claim", check_word).unwrap_or_default();
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

const DURATION_HELP: &str = "a duration is a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `7d`";

fn required_list(
    section: &Section<'_>,
    name: &'static str,
    what: &str,
    help: &str,
) -> Option<Vec<Box<str>>> {
    let list = section.list(name, what, check_word);
    match &list {
        None if !section.has(name) => section.push(
            Fault::at(section.place(), format!("[[issuer]] needs `{name}`"))
                .label("is missing a key")
                .with_help(help),
        ),
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
    let help = "list what the issuer signs with: `algorithms = [\"RS256\"]`";
    let list = section.list("algorithms", "algorithm", |text| {
        algorithm(text).ok_or_else(|| suggest(text, "the algorithms are", NAMES))
    });
    if list.as_ref().map_or(!section.has("algorithms"), Vec::is_empty) && section.texts("algorithms").is_none_or(|texts| texts.is_empty()) {
        section.push(
            Fault::at(&section.key_place("algorithms"), "[[issuer]] needs `algorithms`")
                .label("accepts no token")
                .with_help(help),
        );
    }
    let mut algorithms: Vec<Algorithm> = list?.into_iter().map(|algorithm| algorithm.value).collect();
    let mut seen = Vec::new();
    algorithms.retain(|algorithm| {
        let is_new = !seen.contains(algorithm);
        seen.push(*algorithm);
        is_new
    });
    Some(algorithms)
}

fn load_key_set(
    issuer: &Section<'_>,
    folder: &Path,
    algorithms: Option<&[Algorithm]>,
) -> Option<KeySet> {
    const FORMS: &str = "write one of `{ jwks_file = \"jwks.json\" }`, `{ pem_file = \"public.pem\" }`, `{ secret_env = \"JWT_SECRET\" }`";
    if !issuer.has("keys") {
        issuer.push(
            Fault::at(issuer.place(), "[[issuer]] needs `keys`")
                .label("is missing a key")
                .with_help(FORMS),
        );
    }
    let keys = issuer.section("keys", "keys")?;
    let secret = keys.text("secret_env");
    let encoding = keys.one_of("encoding", &[("base64", true), ("text", false)]);
    let (pem, jwks, url) = (keys.text("pem_file"), keys.text("jwks_file"), keys.text("jwks_url"));
    if let Some(url) = &url {
        keys.push(
            Fault::at(&url.place, "key sets by URL are not in this release")
                .label("cannot be fetched yet")
                .with_help("fetch the set when you deploy, and name it with `jwks_file`"),
        );
    }
    let sources = [&secret, &pem, &jwks, &url].into_iter().flatten().count();
    let place = keys.place().clone();
    if sources != 1 && ["secret_env", "pem_file", "jwks_file", "jwks_url"].iter().filter(|name| keys.has(name)).count() != 1 {
        keys.push(
            Fault::at(&place, "`keys` names one source of keys")
                .label(if sources == 0 { "names none" } else { "names several" })
                .with_help(FORMS),
        );
    }
    if encoding.is_some() && secret.is_none() {
        keys.push(
            Fault::at(&keys.key_place("encoding"), "`encoding` belongs to `secret_env`")
                .label("has no effect here")
                .with_help("leave it out"),
        );
    }
    let faults = keys.faults();
    keys.finish();
    let algorithms = algorithms?;
    if sources != 1 {
        return None;
    }
    match (secret, pem, jwks) {
        (Some(variable), ..) => {
            if !check_family(issuer, true, &place, algorithms) {
                return None;
            }
            load_secret(&variable, encoding.unwrap_or(false), algorithms, faults)
        }
        (_, Some(file), _) | (_, _, Some(file)) if !check_family(issuer, false, &file.place, algorithms) => None,
        (_, Some(file), _) => {
            let text = read_file(&folder.join(file.value), &file.place, faults)?;
            KeySet::from_pem(&text, algorithms)
                .map_err(|trouble| report_trouble(&trouble, &file.place, faults))
                .ok()
        }
        (_, _, Some(file)) => {
            let text = read_file(&folder.join(file.value), &file.place, faults)?;
            let (keys, troubles) = match KeySet::from_jwks(&text, algorithms) {
                Ok((keys, troubles)) => (Some(keys), troubles),
                Err(troubles) => (None, troubles),
            };
            troubles.iter().for_each(|trouble| report_trouble(trouble, &file.place, faults));
            keys
        }
        _ => None,
    }
}

/// HMAC goes with a secret, and all else with public keys; otherwise what one side publishes
/// would be what the other signs with (RFC 8725 section 3.1).
fn check_family(issuer: &Section<'_>, secret: bool, keys: &Place, algorithms: &[Algorithm]) -> bool {
    let odd = algorithms.iter().find(|algorithm| is_symmetric(**algorithm) != secret);
    if let Some(odd) = odd {
        let (message, help) = if secret {
            ("needs a public key, not a secret", "name a `jwks_file` or `pem_file`, or list HS256, HS384 or HS512")
        } else {
            ("needs a secret, not a public key", "name a `secret_env`, or list the algorithm of the key")
        };
        let written = issuer.texts("algorithms").unwrap_or_default();
        let place = written.iter().find(|text| algorithm(text.value) == Some(*odd));
        issuer.push(
            Fault::at(place.map_or(keys, |text| &text.place), format!("{} {message}", algorithm_name(*odd)))
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
    faults: &Faults,
) -> Option<KeySet> {
    let shown = variable.value.escape_debug();
    let is_name = !variable.value.is_empty() && !variable.value.contains(['=', '\0']);
    let Some(text) = is_name.then(|| std::env::var_os(variable.value)).flatten() else {
        faults.push(
            Fault::at(&variable.place, format!("the environment has no variable `{shown}`"))
                .label("is not set")
                .with_help(format!("set {shown} to the secret before the gate starts")),
        );
        return None;
    };
    let bytes = text.into_encoded_bytes();
    let secret = if base64 {
        let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
        let Some(secret) = engines.iter().find_map(|engine| engine.decode(bytes.trim_ascii()).ok()) else {
            faults.push(
                Fault::at(&variable.place, format!("the variable `{shown}` is not base64"))
                    .label("does not hold base64")
                    .with_help("leave out `encoding` if the secret is plain text"),
            );
            return None;
        };
        Secret::new(secret)
    } else {
        Secret::new(bytes)
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
        KeyTrouble::Refused(message) => Fault::at(place, message)
            .label("cannot be used")
            .with_help("give the gate public keys only, RSA of 2048 bits and more, each with a `kid` of its own"),
        KeyTrouble::Skipped(message) => Fault::doubt(place, message)
            .label("is passed over")
            .with_help("tokens that are signed with it will be refused"),
    });
}

fn read_file(path: &Path, place: &Place, faults: &Faults) -> Option<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| {
            faults.push(
                Fault::at(place, format!("cannot read `{}`: {error}", path.display()))
                    .label("cannot be read")
                    .with_help("paths are relative to the folder of the policy"),
            );
        })
        .ok()
}

pub(super) fn parse_scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|error: crate::scope::InvalidScope| error.to_string())
}

/// Text without control characters, not empty and not endless.
pub(super) fn check_word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err("use 1 to 256 characters, without control characters".into());
    }
    Ok(text.to_owned())
}

fn check_client(text: &str) -> Result<String, String> {
    check_word(text)
}
