//! Reads `[api_keys]` and the key file.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::headers::parse_credential_header;
use super::key_cache::load_key_cache;
use super::key_file::load_key_file;
use super::key_place::load_key_place;
use super::loaded_keys::{AllKeys, KeyPlan, LoadedKeys};
use super::one_key::read_keys;
use crate::credential::{CredentialPolicy, KeyFormat, is_key_prefix};
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::problem::problems;
use crate::policy::section::Section;
use crate::policy::sources::Sources;
use crate::principal::Terms;
use crate::scope::{Scope, ScopeHierarchy};
use crate::verify::KeyTable;
use crate::verify::key_store::{KeyCacheSettings, StorePlace};

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
            let scheme_twice = SchemeFault::SchemeTwice { scheme: scheme.value.clone() };
            section.push(Fault::of(&scheme.place, &scheme_twice));
        } else if schemes.len() == MAX_SCHEMES {
            let too_many = SchemeFault::TooManySchemes { most: MAX_SCHEMES };
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

problems! {
    /// What may be wrong with the headers of API keys.
    enum SchemeFault: Fault {
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
