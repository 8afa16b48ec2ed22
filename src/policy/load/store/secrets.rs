//! Secrets of a shared store, which are in the environment.

use super::fault::StoreFault;
use crate::credential::Secret;
use crate::policy::fault::Fault;
use crate::policy::secret_part::is_variable;
use crate::policy::section::Section;
use crate::policy::sources::Sources;

/// As long as the hash that it keys.
const MIN_HASH_KEY: usize = 32;

/// The secret in the variable that `key` names. One that is absent and forgiven is empty.
pub(super) fn load_secret(
    section: &Section<'_>,
    key: &'static str,
    sources: &Sources,
) -> Option<Secret> {
    let variable = section.text(key)?;
    let name = variable.value;
    if !is_variable(name) {
        // It may be the secret itself.
        let raw = StoreFault::NotAVariable { key };
        section.push(Fault::of(&variable.place, &raw).mask(variable.place.span.clone()));
        return None;
    }
    let given = sources.variable(name);
    if given.is_none() && sources.forgives_absent_secrets() {
        return Some(Secret::new(Vec::new()));
    }
    if given.is_none() {
        let unset = StoreFault::VariableNotSet { key, variable: name.to_owned() };
        section.push(Fault::of(&variable.place, &unset));
    }
    given
}

pub(super) fn load_hash_key(section: &Section<'_>, sources: &Sources) -> Option<Secret> {
    let key = load_secret(section, "hash_key_env", sources)?;
    if key.expose().len() < MIN_HASH_KEY && !sources.forgives_absent_secrets() {
        let place = section.text("hash_key_env")?.place;
        section.push(Fault::of(&place, &StoreFault::ShortHashKey { least: MIN_HASH_KEY }));
        return None;
    }
    Some(key)
}

pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}
