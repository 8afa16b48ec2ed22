//! API keys that are malformed, unknown, or not valid now or from here.

use std::borrow::Cow;

use crate::credential::{KeyFault, KeyMistake, MalformedKey};
use crate::denial::facts::Facts;
use crate::denial::known::Known;
use crate::principal::KeyRecord;
use crate::time::{MICROS, Wall, rfc3339};
use crate::verify::KeyError;

/// In seconds: a source that does not answer is tried once a second.
const RETRY_AFTER: u64 = 1;

/// What is wrong with a key.
pub(super) fn refused_key(known: &Known, error: &KeyError, now: Wall) -> Facts {
    let about = |key: &KeyRecord| {
        let cause = format!("key {} of client {}", key.id, key.client);
        Facts::default().text("key_id", key.id.to_string()).because(cause)
    };
    let server_time = || rfc3339(now.seconds());
    match error {
        KeyError::Malformed(malformed) => malformed_key(known, *malformed),
        KeyError::Unknown => match known.format.expected_prefix() {
            Some(prefix) => Facts::default().text("expected_prefix", prefix.to_owned()),
            None => Facts::default().remedy(
                "It was probably deleted or replaced: look it up where you manage your keys, and ask its owner for a new one[, or {support}]. If it is listed there, check that it is sent whole and to the right environment.",
            ),
        },
        KeyError::Revoked(key) if key.revoked => about(key),
        KeyError::Revoked(key) => {
            let cause = format!("key {} of client {}, on a list of revocations", key.id, key.client);
            about(key).because(cause)
        }
        KeyError::Expired(key, at) => {
            about(key).text("expired_at", rfc3339(*at)).text("server_time", server_time())
        }
        KeyError::NotYetValid(key, from) => about(key)
            .text("valid_from", rfc3339(*from))
            .text("server_time", server_time())
            .wait(Wall::from_seconds(*from).micros().saturating_sub(now.micros())),
        KeyError::AddressNotAllowed(key, address) => about(key)
            .text("address", address.to_string())
            .texts("allowed_addresses", &key.terms.addresses),
        KeyError::AddressUnread(key) => {
            about(key).unread_address().texts("allowed_addresses", &key.terms.addresses)
        }
        KeyError::AddressUnknown => Facts::default(),
        KeyError::SourceUnavailable(look_up) => {
            let source = look_up.source();
            let trouble = source.error.unwrap_or_else(|| "too many keys are looked up".into());
            let cause = format!("the key is not in memory; {}: {trouble}", source.kind);
            Facts::default().wait(RETRY_AFTER * MICROS).because(cause)
        }
    }
}

fn malformed_key(known: &Known, MalformedKey { fault, mistake }: MalformedKey) -> Facts {
    let (detail, remedy) = about_key(fault, mistake);
    let mut facts = Facts::naming_accepted()
        .detail(detail)
        .remedy(remedy)
        .text("failed_check", fault.as_str())
        .because(match mistake {
            None => Cow::Borrowed(fault.as_str()),
            Some(mistake) => format!("{}: {}", fault.as_str(), mistake.as_str()).into(),
        });
    if let Some(prefix) = known.format.expected_prefix() {
        facts = facts.text("expected_prefix", prefix.to_owned());
    }
    if let Some(length) = known.format.expected_length() {
        facts = facts.number("expected_length", length as u64);
    }
    facts
}

/// What is wrong with what was sent as a key, and the remedy.
fn about_key(fault: KeyFault, mistake: Option<KeyMistake>) -> (&'static str, &'static str) {
    match (mistake, fault) {
        (Some(KeyMistake::UnsetVariable), _) => (
            "A placeholder was sent in place of the API key.",
            "Set the variable that holds the key, and check that the program puts its value in.",
        ),
        (Some(KeyMistake::Quoted), _) => (
            "The API key has quotes around it.",
            "Send the key without quotes: look at the file or the variable that it is read from.",
        ),
        (Some(KeyMistake::SchemeBefore), _) => {
            ("The API key has the name of a scheme before it.", "Send the key alone in its header.")
        }
        (Some(KeyMistake::OtherEnvironment), _) => (
            "The API key is whole, and of another environment.",
            "Send a key of this environment: it begins with {expected_prefix}_. Or call the host that the key is for.",
        ),
        (None, KeyFault::Empty) => (
            "The API key is empty.",
            "Set the variable that holds the key, and check that the program reads it.",
        ),
        (None, KeyFault::Prefix) => (
            "The API key does not begin with {expected_prefix}_.",
            "Check which value the program sends: it is of another service, or something stands before the key.",
        ),
        (None, KeyFault::Length) => (
            "The API key does not have {expected_length} characters.",
            "Copy the whole key again: a part is missing, or something was added at its end.",
        ),
        (None, KeyFault::Characters) => (
            "The API key has a character that no key has.",
            "Copy the key again, without blanks and line breaks in it.",
        ),
        (None, KeyFault::CheckDigits) => (
            "The API key is misspelt: its check digits do not fit.",
            "Copy the key again in place of typing it: some of its characters are wrong.",
        ),
    }
}
