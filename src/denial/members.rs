//! The members of the document: each once, with its JSON Schema and its meaning.
//!
//! A row of the catalogue names the members of its code, and when they are there. Schemas,
//! types and pages are made from both tables.

/// A member of the document.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    /// A JSON Schema 2020-12, as JSON. It refers to [`ITEMS`] as `#/$defs/Name`.
    pub(crate) schema: &'static str,
    /// What it says, in Markdown.
    pub(crate) meaning: &'static str,
}

impl Member {
    /// Its type, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        ["array", "boolean", "integer"]
            .into_iter()
            .find(|kind| self.schema.starts_with(&format!("{{\"type\":\"{kind}\"")))
            .unwrap_or("string")
    }
}

/// What an array of the document is made of.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: &'static str,
    /// A JSON Schema 2020-12 of an open object, as JSON.
    pub(crate) schema: &'static str,
}

/// When a member is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Presence {
    /// Whenever this code is shown at `disclosure = "standard"` or `"detailed"`.
    Always,
    /// When it applies.
    Sometimes,
    /// At `disclosure = "detailed"` alone, and there when it applies.
    Detailed,
}

impl Presence {
    /// As it is told to client developers.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Sometimes => "when it applies",
            Self::Detailed => "where details are shown",
        }
    }
}

/// The members that a denial has whatever its code, in the order of the document.
pub(crate) const BASE: &[(&str, Presence)] = &[
    ("type", Presence::Always),
    ("title", Presence::Always),
    ("status", Presence::Always),
    ("code", Presence::Always),
    ("category", Presence::Always),
    ("detail", Presence::Sometimes),
    ("remedy", Presence::Always),
    ("action", Presence::Always),
    ("actor", Presence::Always),
    ("help", Presence::Sometimes),
    ("support", Presence::Sometimes),
    ("retryable", Presence::Always),
    ("retry_after", Presence::Sometimes),
    ("instance", Presence::Always),
    ("rule", Presence::Detailed),
];

/// The member of this name.
pub(crate) fn find(name: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| member.name == name)
}

/// Members that every document may have; an application cannot give them another meaning.
const RESERVED: &[&str] = &[
    "type",
    "title",
    "status",
    "code",
    "category",
    "detail",
    "remedy",
    "action",
    "actor",
    "help",
    "support",
    "retryable",
    "retry_after",
    "instance",
    "rule",
];

/// Whether an application may add a member with this name (RFC 9457 section 4).
pub(super) fn is_member_name(name: &str) -> bool {
    name.len() >= 3
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !RESERVED.contains(&name)
}

macro_rules! members {
    ($($name:literal: $schema:literal, $meaning:literal;)+) => {
        /// Every member, in the order of the document.
        pub(crate) static MEMBERS: &[Member] =
            &[$(Member { name: $name, schema: $schema, meaning: $meaning }),+];
    };
}

members! {
    "type": r#"{"type":"string","format":"uri-reference","minLength":1}"#,
        "The address of the page about the code. It ends with the code.";
    "title": r#"{"type":"string","minLength":1}"#,
        "What happened, in a few words that are the same for every denial of this code.";
    "status": r#"{"type":"integer","minimum":400,"maximum":599}"#,
        "The status of the response. Decide by `code` and `category`: many APIs answer every denial with 403.";
    "code": r#"{"type":"string","pattern":"^[a-z][a-z0-9_]{2,62}$"}"#,
        "The stable name of the reason. New codes may be added: fall back on `category` for one that you do not know.";
    "category": r#"{"type":"string","enum":["credentials","token","authorization","limit","server"]}"#,
        "What kind of reason it is; the list is closed.";
    "detail": r#"{"type":"string","minLength":1}"#,
        "What happened to this request, in a sentence for people. Every fact in it is also a member. It is absent where the API tells as little as it can.";
    "remedy": r#"{"type":"string","minLength":1}"#,
        "What to do next, in sentences for the developer of the client.";
    "action": r#"{"type":"string","anyOf":[{"enum":["fix_request","renew","step_up","wait","ask","report","stop"]},{"type":"string"}]}"#,
        "What has to be done: `fix_request`, `renew` (get a new credential with the same rights), `step_up` (get one with more scopes), `wait`, `ask` (somebody grants what is missing), `report` (the fault is the server's) or `stop`. The list is open: take a word that you do not know for `stop`.";
    "actor": r#"{"type":"string","anyOf":[{"enum":["client","user","owner","provider"]},{"type":"string"}]}"#,
        "Who does it: the `client` (a program), the `user` who signed in, the `owner` (who administers the account) or the `provider` of the API. The list is open.";
    "help": r#"{"type":"string","format":"uri-reference","minLength":1}"#,
        "What the rule that refused asks for: its entry in the handbook of the API.";
    "support": r#"{"type":"string","format":"uri","minLength":1}"#,
        "Whom to ask. Quote `instance`.";
    "retryable": r#"{"type":"boolean"}"#,
        "Whether the same request may succeed later, unchanged.";
    "retry_after": r#"{"type":"integer","minimum":1}"#,
        "How many seconds to wait before the same request may succeed; equal to the header `Retry-After`.";
    "instance": r#"{"type":"string","format":"uri","pattern":"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}"#,
        "Names this one denial. The server's log knows it under the same name.";
    "accepted_credentials": r##"{"type":"array","items":{"$ref":"#/$defs/AcceptedCredential"},"minItems":1}"##,
        "The credentials that are accepted here, and where each is sent.";
    "presented": r##"{"type":"array","items":{"$ref":"#/$defs/PresentedCredential"},"minItems":1}"##,
        "Where credentials were found in the request, one entry for each; never their values.";
    "failed_check": r#"{"type":"string","anyOf":[{"enum":["empty","prefix","length","characters","check_digits"]},{"type":"string"}]}"#,
        "The first check of the key's form that failed: `prefix` speaks for another environment, `length` for a key that was cut off, `check_digits` for a typing error.";
    "expected_prefix": r#"{"type":"string","minLength":1}"#,
        "What keys of this environment begin with, before the `_`; a key that is unknown has it.";
    "expected_length": r#"{"type":"integer","minimum":1}"#,
        "How many characters a key has.";
    "key_id": r#"{"type":"string","minLength":1}"#,
        "The public name of the API key, which was proven. It is not a secret.";
    "expired_at": r#"{"type":"string","format":"date-time"}"#,
        "When the credential expired.";
    "valid_from": r#"{"type":"string","format":"date-time"}"#,
        "From when on the credential is good.";
    "server_time": r#"{"type":"string","format":"date-time"}"#,
        "What the server's clock said, to compare your own with.";
    "max_bytes": r#"{"type":"integer","minimum":1}"#,
        "How large a token may be, in bytes.";
    "accepted_issuers": r##"{"type":"array","items":{"$ref":"#/$defs/AcceptedIssuer"},"minItems":1}"##,
        "Whose tokens are accepted.";
    "accepted_algorithms": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "What `alg` of a token may be, for its issuer.";
    "expected_audience": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "What `aud` of a token may be: one of these is enough.";
    "expected_type": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "What `typ` in the header of a token may be.";
    "claim": r#"{"type":"string","minLength":1}"#,
        "The claim of the token that is at fault, or that is needed.";
    "mismatch": r#"{"type":"string","anyOf":[{"enum":["absent","different","api_key"]},{"type":"string"}]}"#,
        "In which way the claim does not match: it is absent, it has another value, or the caller sent an API key, which has no claims.";
    "looks_like": r#"{"type":"string","anyOf":[{"enum":["id_token"]},{"type":"string"}]}"#,
        "What the token seems to be instead: it has claims that only ID tokens have.";
    "required_scopes": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "The scopes that are needed here, all of them.";
    "missing_scopes": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "Those of the required scopes that the credential does not hold.";
    "any_scopes": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "Scopes of which at least one is needed.";
    "granted_scopes": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "The scopes that the credential holds.";
    "required_roles": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "Roles of which the caller needs at least one.";
    "address": r#"{"type":"string","minLength":1}"#,
        "The address that the server saw the request come from. Behind a proxy or NAT it is the outer one.";
    "allowed_addresses": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "The ranges of addresses that are allowed (CIDR).";
    "allowed_methods": r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1}"#,
        "The methods that the path is open for; equal to the header `Allow`.";
    "last_failure": r#"{"type":"string","pattern":"^[a-z][a-z0-9_]{2,62}$"}"#,
        "The code of what failed now. Absent where the address waits and the credential was not looked at.";
    "cost": r#"{"type":"integer","minimum":0}"#,
        "How many tokens this request takes: of each limit, or, where their costs differ, of the limit with the longest wait.";
    "limits": r##"{"type":"array","items":{"$ref":"#/$defs/LimitState"},"minItems":1}"##,
        "Every limit of this request that clients are told of, longest wait first.";
    "rule": r#"{"type":"string","minLength":1}"#,
        "The rule of the API's policy that decided.";
}

/// What the arrays of the document are made of.
pub(crate) static ITEMS: &[Item] = &[
    Item {
        name: "AcceptedCredential",
        schema: r#"{
            "description": "A way to send a credential.",
            "type": "object",
            "properties": {
                "kind": {"description": "Which credential: an API key or a bearer token.", "type": "string", "anyOf": [{"enum": ["api_key", "token"]}, {"type": "string"}]},
                "in": {"description": "Where it is sent.", "type": "string", "anyOf": [{"enum": ["header"]}, {"type": "string"}]},
                "name": {"description": "The name of the header.", "type": "string", "minLength": 1},
                "scheme": {"description": "The scheme before the credential, as in `Authorization: Bearer <token>`. Without one the credential is the whole value.", "type": "string", "anyOf": [{"enum": ["ApiKey", "Bearer", "Basic"]}, {"type": "string"}]}
            },
            "required": ["kind", "in", "name"]
        }"#,
    },
    Item {
        name: "PresentedCredential",
        schema: r#"{
            "description": "Where a credential was found.",
            "type": "object",
            "properties": {
                "in": {"description": "Where it was sent.", "type": "string", "anyOf": [{"enum": ["header"]}, {"type": "string"}]},
                "name": {"description": "The name of the header.", "type": "string", "minLength": 1},
                "scheme": {"description": "The scheme before the credential, where it is one that is known.", "type": "string", "anyOf": [{"enum": ["ApiKey", "Bearer", "Basic"]}, {"type": "string"}]}
            },
            "required": ["in", "name"]
        }"#,
    },
    Item {
        name: "AcceptedIssuer",
        schema: r#"{
            "description": "An issuer whose tokens are accepted.",
            "type": "object",
            "properties": {
                "iss": {"description": "What `iss` of the token is, byte by byte.", "type": "string", "minLength": 1},
                "obtain": {"description": "Where to get tokens.", "type": "string", "format": "uri", "minLength": 1}
            },
            "required": ["iss"]
        }"#,
    },
    Item {
        name: "LimitState",
        schema: r#"{
            "description": "How a limit stands.",
            "type": "object",
            "properties": {
                "limit": {"description": "The name of the limit.", "type": "string", "minLength": 1},
                "per": {"description": "What the limit is counted for: `client`, `address`, `rule`, `global`, `claim:<name>`, `header:<name>` or `path:<parameter>`, or several together.", "type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                "rate": {"description": "How fast it refills, such as `100/minute`.", "type": "string", "minLength": 1},
                "unit": {"description": "What is counted.", "type": "string", "anyOf": [{"enum": ["requests"]}, {"type": "string"}]},
                "cost": {"description": "How many tokens this request takes of this limit, where its limits have different costs.", "type": "integer", "minimum": 0},
                "quota": {"description": "How much it holds when it is full: what can be spent at once.", "type": "integer", "minimum": 1},
                "window": {"description": "How many seconds it takes to fill.", "type": "integer", "minimum": 1},
                "remaining": {"description": "How much is left now.", "type": "integer", "minimum": 0},
                "reset": {"description": "In how many seconds there is enough for this request; 0 when there is. Absent when there never will be.", "type": "integer", "minimum": 0}
            },
            "required": ["limit", "per", "rate", "unit", "quota", "window", "remaining"]
        }"#,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::catalogue::CATALOGUE;
    use super::*;

    #[test]
    fn every_member_is_told_once_and_used() {
        let mut names = BTreeSet::new();
        for member in MEMBERS {
            assert!(names.insert(member.name), "{} stands twice", member.name);
            assert!(member.meaning.ends_with('.'), "{}", member.name);
            let schema: Value = serde_json::from_str(member.schema).unwrap();
            assert!(schema["type"].is_string(), "{}", member.name);
            for item in member.schema.split("#/$defs/").skip(1) {
                let item = item.split('"').next().unwrap();
                assert!(ITEMS.iter().any(|known| known.name == item), "{item}");
            }
            let in_row = |row: &&super::super::DenialCode| {
                row.members.iter().any(|(name, _)| *name == member.name)
            };
            let is_base = BASE.iter().any(|(name, _)| *name == member.name);
            assert!(is_base || CATALOGUE.iter().any(in_row), "{} is used", member.name);
        }
        for item in ITEMS {
            let schema: Value = serde_json::from_str(item.schema).unwrap();
            let required = schema["required"].as_array().unwrap();
            assert!(
                required
                    .iter()
                    .all(|name| schema["properties"][name.as_str().unwrap()].is_object())
            );
        }
    }

    #[test]
    fn rows_name_members_in_the_order_of_the_document() {
        let place = |name: &str| MEMBERS.iter().position(|member| member.name == name);
        for row in CATALOGUE {
            let places: Vec<usize> = (row.members.iter())
                .map(|(name, _)| place(name).unwrap_or_else(|| panic!("{}: {name}", row.code)))
                .collect();
            assert!(places.is_sorted_by(|one, next| one < next), "{}", row.code);
        }
        let places: Vec<_> = BASE.iter().map(|(name, _)| place(name)).collect();
        assert!(places.is_sorted() && !places.contains(&None));
    }

    #[test]
    fn sentences_speak_of_members_that_are_there() {
        for row in CATALOGUE {
            for sentence in [row.detail, row.remedy] {
                let mut optional = false;
                for part in sentence.split_inclusive(['[', ']', '}']) {
                    let named = part.strip_suffix('}').and_then(|part| part.rsplit_once('{'));
                    if let Some((_, name)) = named {
                        let held = (row.members.iter().chain(BASE))
                            .find(|(held, _)| *held == name)
                            .unwrap_or_else(|| panic!("{} has no {name}", row.code));
                        let is_sure = held.1 == Presence::Always;
                        assert!(optional || is_sure, "{}: {name} may be absent", row.code);
                    }
                    optional = part.ends_with('[') || (optional && !part.ends_with(']'));
                }
            }
        }
    }
}
