//! Reads `[api_keys]` and the key file.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use toml::de::DeTable;

use super::checks::{
    check_name, check_unique, check_word, parse_cidr, parse_header, parse_scope, read_file,
    report_syntax,
};
use crate::credential::{CredentialPolicy, KeyFormat, is_key_prefix};
use crate::policy::fault::{Fault, Faults, Source};
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::warning::Warning;
use crate::principal::{Origin, Principal, Proven};
use crate::scope::Scope;
use crate::verify::{KeyRecord, KeyTable};

/// `[api_keys]` with its keys.
pub(super) struct Keys {
    pub(super) credential: CredentialPolicy,
    pub(super) table: KeyTable,
    /// The plans of the keys, each where it is written.
    pub(super) plans: Vec<At<Arc<str>>>,
    /// Whether there may be more keys, in a store.
    pub(super) has_store: bool,
}

impl Keys {
    /// The roles that any of the keys has.
    pub(super) fn granted_roles(&self) -> BTreeSet<&str> {
        self.table.iter().flat_map(|key| key.principal.roles()).collect()
    }

    /// The scopes that any of the keys grants.
    pub(super) fn granted(&self) -> BTreeSet<&str> {
        self.table.iter().flat_map(|key| key.principal.scopes().iter().map(Scope::as_str)).collect()
    }
}

/// `section` is `[api_keys]`, `plain` the `[[key]]` of the policy, which count as `[[api_keys.key]]`.
pub(super) fn load_keys(
    section: Option<Section<'_>>,
    plain: Vec<Section<'_>>,
    sources: &Sources,
    tokens: bool,
    faults: &Faults,
) -> Keys {
    let mut credential = CredentialPolicy {
        key_header: HeaderName::from_static("x-api-key"),
        keys_as_bearer: false,
        prefix: "tg".into(),
        format: KeyFormat::Checked { prefix: "tg".into() },
        tokens,
        token_headers: Vec::new(),
    };
    let mut seen = Seen::default();
    let mut records: Vec<KeyRecord> =
        plain.into_iter().filter_map(|key| load_key(key, &mut seen)).collect();
    let Some(section) = section else {
        let table = KeyTable::new(credential.format.clone(), records);
        return Keys { table, credential, plans: seen.plans, has_store: false };
    };
    let header = section.parse("header", "name of a header for keys", |text| {
        let name = parse_header(text)?;
        if name == AUTHORIZATION {
            return Err(
                "`Authorization: ApiKey <key>` is always understood: name another header".into()
            );
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
    credential.format = section.one_of("format", &[("checked", true), ("any", false)]).map_or(
        checked.clone(),
        |is_checked| {
            if is_checked { checked } else { KeyFormat::Any }
        },
    );

    let inner = section.sections("key", "[[api_keys.key]]").into_iter();
    records.extend(inner.filter_map(|key| load_key(key, &mut seen)));
    if let Some(file) = section.text("file") {
        records.extend(load_key_file(&file, sources, faults, &mut seen));
    }
    let has_store = section.holds("store");
    section.finish();
    let table = KeyTable::new(credential.format.clone(), records);
    Keys { table, credential, plans: seen.plans, has_store }
}

fn load_key_file(
    file: &At<&str>,
    sources: &Sources,
    faults: &Faults,
    seen: &mut Seen,
) -> Vec<KeyRecord> {
    let Some(text) = read_file(file.value, &file.place, sources, faults) else {
        return Vec::new();
    };
    let Ok(text) = str::from_utf8(&text) else {
        faults.push(Fault::of(&file.place, &KeyFault::FileNotUtf8));
        return Vec::new();
    };
    let name = sources.path(file.value).display().to_string();
    let source = Arc::new(Source { name, text: text.to_owned() });
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = report_syntax(&errors, &source, faults);
    if lines.is_none_or(|lines| !lines.is_empty()) {
        return Vec::new();
    }
    let root = Section::new("the key file", table.get_ref(), &source, 0..0, faults);
    let mut keys = root.sections("key", "[[key]]");
    // As in a policy, so that what is printed for one fits the other.
    if let Some(section) = root.section("api_keys", "[api_keys]") {
        keys.extend(section.sections("key", "[[api_keys.key]]"));
        section.finish();
    }
    let records = keys.into_iter().filter_map(|key| load_key(key, seen)).collect();
    root.finish();
    records
}

/// What was read of keys so far.
#[derive(Default)]
struct Seen {
    /// Must not be used twice.
    ids: HashSet<String>,
    /// Must not be used twice.
    digests: HashSet<[u8; 32]>,
    plans: Vec<At<Arc<str>>>,
}

fn load_key(section: Section<'_>, seen: &mut Seen) -> Option<KeyRecord> {
    let raw = ["key", "secret", "value", "raw"].into_iter().find(|name| section.holds(name));
    if let Some(raw) = raw {
        section.forget(raw);
        section.push(Fault::of(&section.key_place(raw), &KeyFault::RawKey));
    }
    let id = section.required_text("id", "name the key: `id = \"billing-2026\"`");
    let id = id.and_then(|_| section.parse("id", "key id", check_name));
    let client = section
        .required_text("client", "say whose key it is: `client = \"billing\"`")
        .and_then(|_| section.parse("client", "client", check_word));
    let digest = if raw.is_some() {
        section.has("digest").then(|| section.text("digest")).flatten()
    } else {
        section.required_text("digest", "`tollgate key new` prints the key and its digest")
    };
    let digest = digest.and_then(|digest| {
        let parsed = parse_digest(digest.value);
        if parsed.is_none() {
            // It may be the key itself.
            let masked = digest.place.span.clone();
            section.push(Fault::of(&digest.place, &KeyFault::InvalidDigest).mask(masked));
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
    if let (Some(from), Some(until)) = (&not_before, &expires)
        && from.value >= until.value
    {
        section.push(Fault::of(&until.place, &KeyFault::ExpiresBeforeValid));
    } else if let (Some(id), Some(expires), false) = (&id, &expires, revoked) {
        warn_of_lifetime(&section, id, expires);
    }
    if let Some(id) = &id {
        check_unique(section.faults(), &mut seen.ids, id, "keys");
    }
    if let Some(digest) = &digest
        && !seen.digests.insert(digest.value)
    {
        section.push(Fault::of(&digest.place, &KeyFault::DigestUsedTwice));
    }
    let plan = plan.map(|plan| At { value: Arc::<str>::from(plan.value), place: plan.place });
    seen.plans.extend(plan.clone());
    section.finish();

    let (id, client) = (Arc::<str>::from(id?.value), client?.value);
    let proven = Proven {
        origin: Origin::Key { id: id.clone() },
        client: client.into(),
        scopes: scopes.into_iter().map(|scope| scope.value).collect(),
        roles: roles.into_iter().map(|role| role.value.into()).collect(),
        plan: plan.map(|plan| (*plan.value).into()),
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
        form_proven: Default::default(),
    })
}

/// Two years, one of them a leap year: a key that is valid for longer is a warning.
const LONG_LIFE: u64 = 731 * 24 * 60 * 60;

/// Warns of a key that has expired, and of one whose end is so far ahead that it may be a slip.
fn warn_of_lifetime(section: &Section<'_>, id: &At<String>, expires: &At<u64>) {
    let Some(now) = section.faults().now else { return };
    let key = id.value.as_str().into();
    if expires.value <= now {
        section.push(Fault::warning(&expires.place, &Warning::ExpiredKey { key }));
    } else if expires.value - now > LONG_LIFE {
        section.push(Fault::warning(&expires.place, &Warning::LongLivedKey { key }));
    }
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

problems! {
    /// What may be wrong with an API key or a key file.
    enum KeyFault: Fault {
        /// A key file in another encoding.
        FileNotUtf8 => {
            message: "the key file is not UTF-8",
            label: "cannot be read",
            help: "a key file is TOML with [[key]] tables",
        }
        /// A secret where a digest belongs.
        RawKey => {
            message: "a policy never holds a key itself",
            label: "is a secret",
            help: "store `digest = \"sha256:<64 hex digits>\"` of the whole key; `tollgate key new` prints both",
        }
        /// A text that is not a digest; it may be the key itself.
        InvalidDigest => {
            message: "`digest` is not a valid SHA-256 digest",
            label: "is not `sha256:` and 64 hex digits",
            help: "store the digest of the whole key, never the key itself; `tollgate key new` prints both",
        }
        /// A key that is never valid.
        ExpiresBeforeValid => {
            message: "the key expires before it is valid",
            label: "is not after `not_before`",
            help: "set `expires` to a later moment",
        }
        /// One key under two entries.
        DigestUsedTwice => {
            message: "two keys have this digest",
            label: "is used already",
            help: "one key has one entry: make a second key with `tollgate key new`",
        }
    }
}
