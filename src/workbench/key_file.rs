//! Files that keys are written to.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What kind of file keys are written to, and the prefix that it sets.
pub enum KeyFile {
    /// A policy: keys are `[[api_keys.key]]`.
    Policy {
        /// `api_keys.prefix`, where it is set.
        prefix: Option<String>,
    },
    /// A file of keys alone: `[[key]]`.
    Keys,
}

/// Tells a policy from a key file.
///
/// # Errors
///
/// When the text is no TOML.
pub fn inspect(text: &str) -> Result<KeyFile, String> {
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    let root = table.get_ref();
    let is_policy = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        // In a key file, `[[api_keys.key]]` is another way to write `[[key]]`.
        let settings = value.get_ref().as_table();
        match name.get_ref().as_ref() {
            "key" => false,
            "api_keys" => {
                settings.is_none_or(|table| table.keys().any(|key| key.get_ref() != "key"))
            }
            _ => true,
        }
    };
    if !root.iter().any(is_policy) {
        return Ok(KeyFile::Keys);
    }
    let prefix = root.get("api_keys").and_then(|keys| keys.get_ref().get("prefix").cloned());
    let prefix = prefix.and_then(|prefix| prefix.get_ref().as_str().map(str::to_owned));
    Ok(KeyFile::Policy { prefix })
}
