//! Reads the keys of an issuer: secrets, PEM files, JWK sets, and where sets are fetched from.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;

use super::checks::{read_file, read_secret_file};
use super::remote_keys::{self, RemoteSource};
use crate::credential::Secret;
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::Place;
use crate::policy::problem::problems;
use crate::policy::secret_part::is_variable;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::warning::Warning;
use crate::verify::{
    Iss, IssuerKeys, KeySet, KeyTrouble, MAX_TRIED_KEYS, algorithm, algorithm_name, hash_length,
    is_symmetric,
};
use crate::watch::Trouble;

/// Where an issuer's keys come from, as the policy names it.
enum KeySource {
    /// Variables of the environment.
    Variables(Vec<At<String>>),
    /// Files, each with one secret.
    Secrets(Vec<At<String>>),
    Pem(Vec<At<String>>),
    Jwks(At<String>),
    /// A set over the network.
    Remote(RemoteSource),
}

/// How secrets are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Text,
    Base64,
}

const KEY_SOURCES: &str = "write one of `{ discovery = true }`, `{ jwks_url = \"https://...\" }`, `{ jwks_file = \"jwks.json\" }`, `{ pem_file = \"public.pem\" }`, `{ secret_env = \"JWT_SECRET\" }`";

/// Reads `keys = { ... }` of an issuer with this name, and `iss`.
pub(super) fn load_issuer_keys(
    issuer: &Section<'_>,
    sources: &Sources,
    name: Option<&str>,
    iss: Option<&Iss>,
    algorithms: Option<&[Algorithm]>,
) -> Option<IssuerKeys> {
    issuer.require("keys", KEY_SOURCES);
    let keys = issuer.section("keys", "keys")?;
    let (place, faults) = (keys.place().clone(), keys.faults());
    let source = load_key_source(keys);
    let ((source, encoding), algorithms) = (source?, algorithms?);
    let (is_secret, place) = match &source {
        KeySource::Variables(_) | KeySource::Secrets(_) => (true, place),
        KeySource::Pem(files) => (false, files.first()?.place.clone()),
        KeySource::Jwks(file) => (false, file.place.clone()),
        KeySource::Remote(remote) => (false, remote.place.clone()),
    };
    if !check_family(issuer, is_secret, &place, algorithms) {
        return None;
    }
    let keys = match source {
        KeySource::Variables(variables) => {
            let secret = |variable: &At<String>| {
                load_variable(variable, encoding, algorithms, sources, faults)
            };
            load_secrets(&variables, secret, algorithms)
        }
        KeySource::Secrets(files) => {
            let secret = |file: &At<String>| {
                let path = sources.path(&file.value);
                if sources.forgives_absent_secrets()
                    && matches!(sources.read_secret(&path), Err(Trouble::Missing))
                {
                    return unknown_secret();
                }
                let text = read_secret_file(&file.value, &file.place, sources, faults)?;
                let shown = format!("the file `{}`", file.value.escape_debug());
                read_secret(
                    Secret::new(without_newline(text.to_vec())),
                    encoding,
                    algorithms,
                    &file.place,
                    &shown,
                    faults,
                )
            };
            load_secrets(&files, secret, algorithms)
        }
        KeySource::Pem(files) => load_pem(&files, sources, algorithms, faults),
        KeySource::Jwks(file) => {
            let text = read_file(&file.value, &place, sources, faults)?;
            let (keys, troubles) = match KeySet::from_jwks(&text, algorithms) {
                Ok((keys, troubles)) => (Some(keys), troubles),
                Err(trouble) => (None, vec![trouble]),
            };
            troubles.iter().for_each(|trouble| report_trouble(trouble, &place, faults));
            keys
        }
        KeySource::Remote(remote) => {
            return remote.load(name, iss, algorithms, sources, faults);
        }
    }?;
    if let Some(algorithm) = keys.overfull(algorithms) {
        faults.push(Fault::of(&place, &IssuerKeyFault::TooManyKeys { algorithm }));
    }
    Some(keys.into())
}

fn load_pem(
    files: &[At<String>],
    sources: &Sources,
    algorithms: &[Algorithm],
    faults: &Faults,
) -> Option<KeySet> {
    let load = |file: &At<String>| {
        let text = read_file(&file.value, &file.place, sources, faults)?;
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
    let is_known =
        |name: &str| name == "encoding" || NAMES.contains(&name) || remote_keys::is_setting(name);
    // An unknown key may be a misspelt source: then it is reported as that alone.
    let misspelt = named == 0 && keys.entries().iter().any(|(key, _)| !is_known(key.value));
    if named != 1 && !misspelt {
        keys.push(Fault::of(keys.place(), &IssuerKeyFault::NotOneSource { named }));
    }
    let remote = RemoteSource::read(&keys);
    let encodings = [("base64", Encoding::Base64), ("text", Encoding::Text)];
    let encoding = keys.one_of("encoding", &encodings);
    if encoding.is_some() && !keys.has("secret_env") && !keys.has("secret_file") {
        keys.push(Fault::of(&keys.key_place("encoding"), &IssuerKeyFault::EncodingWithoutSecret));
    }
    let several = |name: &'static str| {
        let list = keys.one_or_more(name, "source of keys", |text| Ok(text.to_owned()))?;
        if list.is_empty() && keys.is_empty(name) {
            keys.push(Fault::of(&keys.key_place(name), &IssuerKeyFault::NoKey { key: name }));
        }
        (!list.is_empty()).then_some(list)
    };
    let owned = |text: At<&str>| At { value: text.value.to_owned(), place: text.place };
    let (variables, files) = (several("secret_env"), several("secret_file"));
    let pem = several("pem_file");
    let source = (variables.map(KeySource::Variables))
        .or_else(|| files.map(KeySource::Secrets))
        .or_else(|| pem.map(KeySource::Pem))
        .or_else(|| keys.text("jwks_file").map(|file| KeySource::Jwks(owned(file))))
        .or_else(|| remote.map(KeySource::Remote));
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
        let fault = match secret {
            true => IssuerKeyFault::NeedsPublicKey { algorithm: *odd },
            false => IssuerKeyFault::NeedsSecret { algorithm: *odd },
        };
        let written = issuer.texts("algorithms").unwrap_or_default();
        let place = written.iter().find(|text| algorithm(text.value) == Some(*odd));
        issuer.push(Fault::of(place.map_or(keys, |text| &text.place), &fault));
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
    sources: &Sources,
    faults: &Faults,
) -> Option<Secret> {
    let name = variable.value.as_str();
    // What does not look like a name may be the secret itself: it is not repeated.
    let shown = if is_variable(name) { name } else { "named here" };
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    let Some(given) = sources.variable(name) else {
        if is_name && sources.forgives_absent_secrets() {
            return unknown_secret();
        }
        let is_name = is_variable(name);
        let unset = IssuerKeyFault::VariableNotSet { shown: shown.to_owned(), is_name };
        faults.push(Fault::of(&variable.place, &unset));
        return None;
    };
    let shown = format!("the variable `{shown}`");
    read_secret(given, encoding, algorithms, &variable.place, &shown, faults)
}

/// One that nobody knows, which takes the place of one that is absent.
fn unknown_secret() -> Option<Secret> {
    let mut unknown = vec![0; 64];
    SystemRandom::new().fill(&mut unknown).ok()?;
    Some(Secret::new(unknown))
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
    text: Secret,
    encoding: Encoding,
    algorithms: &[Algorithm],
    place: &Place,
    shown: &str,
    faults: &Faults,
) -> Option<Secret> {
    let secret = match encoding {
        Encoding::Text => text,
        Encoding::Base64 => {
            let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
            let text = text.expose().trim_ascii();
            let Some(secret) = engines.iter().find_map(|engine| engine.decode(text).ok()) else {
                let fault = IssuerKeyFault::NotBase64 { shown: shown.to_owned() };
                faults.push(Fault::of(place, &fault));
                return None;
            };
            Secret::new(secret)
        }
    };
    let needed = algorithms.iter().copied().max_by_key(|algorithm| hash_length(*algorithm))?;
    if secret.expose().len() < hash_length(needed) {
        faults.push(Fault::of(place, &IssuerKeyFault::ShortSecret { algorithm: needed }));
        return None;
    }
    Some(secret)
}

fn report_trouble(trouble: &KeyTrouble, place: &Place, faults: &Faults) {
    faults.push(match trouble {
        KeyTrouble::Refused(trouble, help) => {
            Fault::of(place, &IssuerKeyFault::Unusable { trouble: trouble.clone(), help })
        }
        KeyTrouble::Skipped(message) => {
            Fault::warning(place, &Warning::SkippedKey { trouble: message.to_string() })
        }
    });
}

problems! {
    /// What may be wrong with the keys of an issuer.
    enum IssuerKeyFault: Fault {
        /// More keys without ids than are tried for a token.
        TooManyKeys { algorithm: Algorithm } => {
            message: ("more than {MAX_TRIED_KEYS} keys fit the algorithm {}", algorithm_name(*algorithm)),
            label: "names too many keys",
            help: "each of them is tried for each token: remove those that no longer sign",
        }
        /// No source of keys, or several.
        NotOneSource { named: usize } => {
            message: "`keys` names one source of keys",
            label: { if *named == 0 { "names none" } else { "names several" } },
            help: { KEY_SOURCES },
        }
        /// `encoding` beside keys that are no secrets.
        EncodingWithoutSecret => {
            message: "`encoding` belongs to `secret_env`",
            label: "has no effect here",
            help: "leave it out",
        }
        /// An empty list of secrets or files.
        NoKey { key: &'static str } => {
            message: "`{key}` is empty",
            label: "names no key",
            help: { KEY_SOURCES },
        }
        /// A secret, and an algorithm of public keys.
        NeedsPublicKey { algorithm: Algorithm } => {
            message: ("{} needs a public key, not a secret", algorithm_name(*algorithm)),
            label: "does not go with `keys`",
            help: "name a `jwks_file` or `pem_file`, or list HS256, HS384 or HS512",
        }
        /// Public keys, and an algorithm of secrets.
        NeedsSecret { algorithm: Algorithm } => {
            message: ("{} needs a secret, not a public key", algorithm_name(*algorithm)),
            label: "does not go with `keys`",
            help: "name a `secret_env`, or list the algorithm of the key",
        }
        /// A variable that the environment lacks. What does not look like a name is not repeated.
        VariableNotSet { shown: String, is_name: bool } => {
            message: "the environment has no variable `{shown}`",
            label: "is not set",
            help: {
                if *is_name {
                    "set it to the secret before the gate starts; `tollgate check --without-secrets` does without"
                } else {
                    "name a variable, `secret_env = \"JWT_SECRET\"`, and set it to the secret before the gate starts"
                }
            },
        }
        /// `encoding = "base64"`, and a secret that is not.
        NotBase64 { shown: String } => {
            message: "{shown} is not base64",
            label: "does not hold base64",
            help: "leave out `encoding` if the secret is plain text",
        }
        /// A secret that is shorter than its hash.
        ShortSecret { algorithm: Algorithm } => {
            message: ("the secret is shorter than the hash of {}", algorithm_name(*algorithm)),
            label: ("holds fewer than {} bytes", hash_length(*algorithm)),
            help: (
                "use {0} random bytes or more (RFC 7518 section 3.2): `openssl rand -base64 {0}`, with `encoding = \"base64\"`",
                hash_length(*algorithm)
            ),
        }
        /// Keys, or a file of them, that cannot be used at all.
        Unusable { trouble: String, help: &'static str } => {
            message: "{trouble}",
            label: "cannot be used",
            help: "{help}",
        }
    }
}
