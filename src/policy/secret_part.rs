//! What must not be shown of a policy when a line of it is: secrets that were written where none belong.

use std::ops::Range;

/// The part of a line that may be a raw secret: what stands in front of the host of an address, or what
/// is given to a key that holds secrets where people put them by mistake. Well-formed digests and names of variables are none.
pub(super) fn secret_part(line: &str) -> Range<usize> {
    const NAMES: [&str; 15] = [
        "key",
        "keys",
        "secret",
        "value",
        "raw",
        "digest",
        "secret_env",
        "url_env",
        "password_env",
        "hash_key_env",
        "postgres_env",
        "password",
        "token",
        "api_key",
        "jwks_url",
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    for (equals, _) in line.match_indices('=') {
        let before = line[..equals].trim_end().trim_end_matches(['"', '\'']);
        let name = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
        let value = line[equals + 1..].trim_start();
        let text = value.trim_start_matches(['"', '\'']);
        let text = text.split(['"', '\'']).next().unwrap_or_default();
        let harmless = match name {
            "digest" => is_digest(text),
            "url_env" | "password_env" | "hash_key_env" | "postgres_env" => is_variable(text),
            "secret_env" => {
                let names = value.split(']').next().unwrap_or_default().trim_start_matches('[');
                is_variable(text)
                    || (value.starts_with('[') && names.split(',').all(is_quoted_variable))
            }
            "keys" => value.starts_with('{'),
            // A password in front of the host.
            "jwks_url" => !text.contains('@'),
            _ => false,
        };
        if NAMES.contains(&name) && !harmless {
            return equals + 1..line.len();
        }
    }
    // Before the `@` of an address, and behind the `?` of a socket's.
    match (line.find("://"), line.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => scheme + 3..at,
        (Some(scheme), _) if line[scheme..].contains("pass=") => scheme + 3..line.len(),
        _ => 0..0,
    }
}

/// Whether an item of an array is the name of a variable.
fn is_quoted_variable(item: &str) -> bool {
    is_variable(item.trim().trim_matches(['"', '\'']))
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text looks like the name of an environment variable, and not like a secret.
pub(crate) fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}
