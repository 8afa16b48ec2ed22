//! Reads `[api_keys]` and the key file.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::checks::{check_name, check_word, parse_cidr, parse_scope, report_twice};
use super::headers::parse_credential_header;
use super::key_cache::load_key_cache;
use super::key_file::load_key_file;
use super::key_place::load_key_place;
use super::loaded_keys::{AllKeys, KeyPlan, LoadedKeys, WholeKey};
use crate::credential::{CredentialPolicy, KeyFormat, is_key_prefix};
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::principal::Terms;
use crate::scope::{Scope, ScopeHierarchy};
use crate::verify::KeyTable;
use crate::verify::key_store::{KeyCacheSettings, KeyDigest, StorePlace};

/// `[api_keys]` with its keys.
pub(super) struct Keys {
    pub(super) credential: CredentialPolicy,
    pub(super) table: KeyTable,
    /// How keys of a store are remembered.
    pub(super) cache: KeyCacheSettings,
    /// The plans of the keys, and where they are written.
    pub(super) plans: Vec<KeyPlan>,
    /// Whether there may be more keys, in a store.
    pub(super) has_store: bool,
    /// The store, as far as it could be read.
    pub(super) place: Option<StorePlace>,
    /// The terms of all keys, each once.
    terms: HashSet<Arc<Terms>>,
}

impl Keys {
    /// The roles that any of the keys has.
    pub(super) fn granted_roles(&self) -> BTreeSet<&str> {
        self.terms.iter().flat_map(|terms| terms.roles.iter().map(AsRef::as_ref)).collect()
    }

    /// The scopes that any of the keys grants, or that are implied by them.
    pub(super) fn granted(&self) -> BTreeSet<&str> {
        self.terms.iter().flat_map(|terms| terms.scopes.with_implied().map(Scope::as_str)).collect()
    }
}

/// Reads `[api_keys]`, and `plain`, the `[[key]]` of the policy, which count as `[[api_keys.key]]`.
/// `tokens` says where tokens are sent: with it come the issuers' places.
pub(super) fn load_keys(
    section: Option<Section<'_>>,
    plain: Vec<Section<'_>>,
    sources: &Sources,
    hierarchy: &Arc<ScopeHierarchy>,
    tokens: bool,
    faults: &Faults,
) -> Keys {
    let mut credential = CredentialPolicy { tokens, ..CredentialPolicy::default() };
    let mut loaded = LoadedKeys::new(hierarchy, sources.known_keys());
    read_keys(plain, &mut loaded);
    let Some(section) = section else {
        return into_keys(loaded, credential, false, faults);
    };
    let header = section.parse("header", "name of a header for keys", |text| {
        let name = parse_credential_header(text)?;
        if name == AUTHORIZATION {
            return Err("keys in `Authorization` are set by `schemes`, `bearer` and `basic`: name another header".into());
        }
        Ok(name)
    });
    if let Some(header) = header {
        credential.key_header = header.value;
    }
    load_schemes(&section, &mut credential);
    credential.keys_as_bearer = section.flag("bearer").unwrap_or(false);
    credential.basic = section.flag("basic").unwrap_or(false);
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

    read_keys(section.sections("key", "[[api_keys.key]]"), &mut loaded);
    if let Some(file) = section.text("file") {
        load_key_file(&file, sources, faults, &mut loaded);
    }
    let has_store = section.holds("store");
    let place = load_key_place(&section, sources);
    let cache = load_key_cache(&section);
    section.finish();
    Keys { place, cache, ..into_keys(loaded, credential, has_store, faults) }
}

/// Reads tables of keys.
pub(super) fn read_keys(sections: Vec<Section<'_>>, loaded: &mut LoadedKeys) {
    loaded.reserve(sections.len());
    for section in sections {
        load_key(section, loaded);
    }
}

fn into_keys(
    loaded: LoadedKeys,
    credential: CredentialPolicy,
    has_store: bool,
    faults: &Faults,
) -> Keys {
    let AllKeys { records, plans, terms } = loaded.finish(faults);
    let table = KeyTable::new(credential.format.clone(), records);
    let cache = KeyCacheSettings::default();
    Keys { credential, table, cache, terms, plans, has_store, place: None }
}

/// The schemes of `Authorization` that hold a key; the empty one is a key without a scheme.
fn load_schemes(section: &Section<'_>, credential: &mut CredentialPolicy) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "bearer" => Err("write `bearer = true` to take keys as `Authorization: Bearer`".into()),
        "basic" => Err("write `basic = true` to take keys as `Authorization: Basic`".into()),
        _ if text.len() <= 64 && text.bytes().all(is_token) => Ok(text.to_owned()),
        _ => {
            Err("a scheme is one word, such as `Token`; `\"\"` takes a key without a scheme".into())
        }
    };
    let Some(texts) = section.texts("schemes") else { return };
    let (mut schemes, mut bare): (Vec<Box<str>>, bool) = (Vec::new(), false);
    for scheme in texts.iter().filter_map(|text| section.parsed(text, "scheme for keys", parse)) {
        let is_known = match &*scheme.value {
            "" => std::mem::replace(&mut bare, true),
            name => schemes.iter().any(|known| known.eq_ignore_ascii_case(name)),
        };
        if is_known {
            let scheme_twice = KeyFault::SchemeTwice { scheme: scheme.value.clone() };
            section.push(Fault::of(&scheme.place, &scheme_twice));
        } else if schemes.len() == MAX_SCHEMES {
            let too_many = KeyFault::TooManySchemes { most: MAX_SCHEMES };
            section.push(Fault::of(&scheme.place, &too_many));
            break;
        } else if !scheme.value.is_empty() {
            schemes.push(scheme.value.into());
        }
    }
    (credential.schemes, credential.bare) = (schemes, bare);
}

/// Each scheme is listed in every denial that names the credentials.
const MAX_SCHEMES: usize = 16;

fn load_key(section: Section<'_>, loaded: &mut LoadedKeys) {
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
        let parsed = digest.value.parse::<KeyDigest>().ok();
        if parsed.is_none() {
            // It may be the key itself.
            let masked = digest.place.span.clone();
            section.push(Fault::of(&digest.place, &KeyFault::InvalidDigest).mask(masked));
        }
        parsed.map(|value| At { value: *value.as_bytes(), place: digest.place })
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
        let now = section.faults().now;
        loaded.add_end(&id.value, expires.value, now, || expires.place.clone());
    }
    if let Some(id) = id.as_ref().filter(|id| loaded.has_id(&id.value)) {
        report_twice(section.faults(), id, "keys");
    }
    if let Some(digest) = digest.as_ref().filter(|digest| loaded.has_digest(&digest.value)) {
        section.push(Fault::of(&digest.place, &KeyFault::DigestUsedTwice));
    }
    if let Some(plan) = &plan {
        loaded.add_plan(&plan.value, || plan.place.clone());
    }
    section.finish();

    let (Some(id), Some(client), Some(digest)) = (&id, &client, &digest) else {
        loaded.add_faulty(id.map(|id| id.value), digest.map(|digest| digest.value));
        return;
    };
    let terms = Terms {
        scopes: scopes.into_iter().map(|scope| scope.value).collect(),
        roles: roles.into_iter().map(|role| role.value.into()).collect(),
        plan: plan.map(|plan| plan.value.into()),
        addresses: addresses.into_iter().map(|range| range.value).collect(),
    };
    loaded.add(WholeKey {
        id: id.value.clone(),
        client: client.value.clone(),
        digest: digest.value,
        terms,
        not_before: not_before.map(|moment| moment.value),
        expires: expires.map(|moment| moment.value),
        revoked,
    });
}

problems! {
    /// What may be wrong with an API key or a key file.
    enum KeyFault: Fault {
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
        /// A scheme of `Authorization`, listed once more.
        SchemeTwice { scheme: String } => {
            message: "the scheme `{scheme}` is listed twice",
            label: "is listed already",
            help: "list each scheme once: case makes no difference",
        }
        /// More schemes than a denial can list.
        TooManySchemes { most: usize } => {
            message: "there are more than {most} schemes",
            label: "is one too many",
            help: "list the schemes that clients use",
        }
        /// One key under two entries.
        DigestUsedTwice => {
            message: "two keys have this digest",
            label: "is used already",
            help: "one key has one entry: make a second key with `tollgate key new`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Faults, Sources, load};

    #[test]
    fn keys_share_what_is_equal_among_them() {
        let entry = |number: u32, rest: &str| {
            format!(
                "[[api_keys.key]]\nid = \"{number}\"\ndigest = \"sha256:{number:064}\"\n{rest}\n"
            )
        };
        let text = format!(
            "version = 1\n[api_keys]\n{}{}{}",
            entry(1, "client = \"a\"\nscopes = [\"r\", \"w\"]\nplan = \"p\""),
            entry(2, "client = \"a\"\nscopes = [\"w\", \"r\"]\nplan = \"p\""),
            entry(3, "client = \"b\"\nscopes = [\"r\"]\nplan = \"p\""),
        );
        let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
        let find = |id: &str| policy.keys.iter().find(|key| &*key.id == id).unwrap();
        let (one, two, three) = (find("1"), find("2"), find("3"));
        assert!(Arc::ptr_eq(&one.terms, &two.terms) && Arc::ptr_eq(&one.client, &two.client));
        assert_ne!(one.terms, three.terms);
        assert_eq!(&*three.client, "b");
    }
}
