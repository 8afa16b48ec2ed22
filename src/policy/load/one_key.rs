//! Reads one `[[key]]`, as a table of TOML.

use super::checks::{check_name, check_word, parse_cidr, parse_scope, report_twice};
use super::loaded_keys::{LoadedKeys, WholeKey};
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::principal::Terms;
use crate::verify::key_store::KeyDigest;

/// Reads tables of keys.
pub(super) fn read_keys(sections: Vec<Section<'_>>, loaded: &mut LoadedKeys) {
    loaded.reserve(sections.len());
    for section in sections {
        load_key(section, loaded);
    }
}

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
    /// What may be wrong with an API key.
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
        /// One key under two entries.
        DigestUsedTwice => {
            message: "two keys have this digest",
            label: "is used already",
            help: "one key has one entry: make a second key with `tollgate key new`",
        }
    }
}
