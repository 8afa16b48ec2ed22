//! What a reload changed, in sentences for the log.
//!
//! A value is shown only where its key is listed as harmless; all else is named only, and
//! digests are neither shown nor named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::outline::{CONTENT, Fields, Kind, Mark, Outline, TOP};
use crate::principal::KeyRecord;
use crate::verify::KeyTable;

impl Outline {
    /// What changed since `before`, of `most` sentences at most. `keys` are those of before and of now.
    pub(crate) fn changes_since(
        &self,
        before: &Self,
        keys: (&KeyTable, &KeyTable),
        most: usize,
    ) -> Changes {
        let mut changes = Changes { sentences: Vec::new(), more: 0, most };
        let names: BTreeSet<_> = before.tables.keys().chain(self.tables.keys()).collect();
        for key @ (kind, name) in names {
            let title = kind.title(name);
            match (before.tables.get(key), self.tables.get(key)) {
                (None, Some(_)) => changes.push(|| match kind {
                    Kind::Limit => format!("{title} added: its buckets are full"),
                    _ => format!("{title} added"),
                }),
                (Some(_), None) => changes.push(|| match kind {
                    Kind::Issuer => format!("{title} removed: its tokens are refused"),
                    _ => format!("{title} removed"),
                }),
                (Some(old), Some(new)) if old != new => {
                    changes.push(|| changed(*kind, &title, old, new));
                }
                _ => {}
            }
        }
        add_keys(keys.0, keys.1, &mut changes);
        let added = surplus(&self.revoked, &before.revoked);
        let removed = surplus(&before.revoked, &self.revoked);
        for (count, what) in [(added, "added to"), (removed, "removed from")] {
            if count > 0 {
                let entries = if count == 1 { "entry" } else { "entries" };
                changes.push(|| format!("{count} {entries} {what} [[revoked]]"));
            }
        }
        changes
    }
}

/// A key before and now.
type Versions<'k> = (Option<&'k Arc<KeyRecord>>, Option<&'k Arc<KeyRecord>>);

/// The keys that differ, in the order of their ids.
fn add_keys(before: &KeyTable, now: &KeyTable, changes: &mut Changes) {
    // Nearly all are the same, and lie in the same order: they are found by their digests fastest.
    let is_same = |new: &&Arc<KeyRecord>| {
        let old = before.records().find(&new.digest);
        old.is_some_and(|old| Arc::ptr_eq(old, new) || old.says_the_same(new))
    };
    let differs: Vec<Versions<'_>> = now
        .iter()
        .filter(|new| !is_same(new))
        .map(|new| (before.by_id(&new.id), Some(new)))
        .collect();
    let added = differs.iter().filter(|(old, _)| old.is_none()).count();
    let is_any_removed = now.records().count() - added < before.records().count();
    let old = before.iter().filter(|_| is_any_removed);
    let removed = old.filter(|old| !now.has_id(&old.id)).map(|old| (Some(old), None));
    // Only the first ones are told: a whole file of keys may be new.
    let mut first: BTreeMap<&str, Versions<'_>> = BTreeMap::new();
    let mut count = 0;
    for (old, new) in removed.chain(differs) {
        let Some(key) = new.or(old) else { continue };
        count += 1;
        first.insert(&key.id, (old, new));
        if first.len() > changes.most {
            first.pop_last();
        }
    }
    let more = count - first.len();
    for (id, key) in first {
        let shown = id.escape_debug();
        changes.push(|| match key {
            (None, Some(key)) if key.revoked => format!("key `{shown}` added, revoked"),
            (None, _) => format!("key `{shown}` added"),
            (Some(_), None) => format!("key `{shown}` removed"),
            (Some(old), Some(new)) => match (old.revoked, new.revoked) {
                (false, true) => format!("key `{shown}` revoked"),
                (true, false) => format!("key `{shown}` is no longer revoked"),
                _ => format!("key `{shown}` changed"),
            },
        });
    }
    changes.more += more;
}

impl Kind {
    fn title(self, name: &str) -> String {
        let shown = name.escape_debug();
        match self {
            Self::Section if name == TOP => "the policy".into(),
            Self::Section => format!("[{shown}]"),
            Self::Code => format!("denial code `{shown}`"),
            Self::Issuer => format!("issuer `{shown}`"),
            Self::Limit => format!("limit `{shown}`"),
            Self::Rule => format!("rule `{shown}`"),
        }
    }
}

/// Sentences, and how many were left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Changes {
    pub(crate) sentences: Vec<String>,
    pub(crate) more: usize,
    most: usize,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.sentences.is_empty() && self.more == 0
    }

    fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < self.most {
            self.sentences.push(sentence());
        } else {
            self.more += 1;
        }
    }
}

/// `rule `orders` added; limit `per-client`: ...; and 3 more`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing that is compared changed");
        }
        f.write_str(&self.sentences.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A table of the policy whose fields differ.
fn changed(kind: Kind, title: &str, old: &Fields, new: &Fields) -> String {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differ: Vec<_> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| (name, old.get(name).map(Box::as_ref), new.get(name).map(Box::as_ref)))
        .collect();
    let mut parts: Vec<String> =
        differ.iter().take(MOST_FIELDS).map(|(name, old, new)| field(name, *old, *new)).collect();
    if differ.len() > MOST_FIELDS {
        parts.push(format!("and {} more", differ.len() - MOST_FIELDS));
    }
    let has = |field: &str| differ.iter().any(|(name, _, _)| &***name == field);
    let effect = match kind {
        Kind::Issuer => ": its proven tokens are dropped",
        Kind::Limit if has("per") => ": its buckets are new and full",
        Kind::Section if title == "[scopes]" => ": all proven tokens are dropped",
        Kind::Section if title == "[store]" && STORE_PLACES.into_iter().any(has) => OTHER_BUCKETS,
        Kind::Section if title == "[store]" => ": its buckets are kept",
        Kind::Section if has("header") && title == "[api_keys]" => CORS,
        Kind::Section if has("ratelimit_headers") => CORS,
        _ => "",
    };
    format!("{title}: {}{effect}", parts.join(", "))
}

/// What says where the buckets are, and what they are called there.
const STORE_PLACES: [&str; 6] = ["kind", "url", "url_env", "cluster", "prefix", "hash_key_env"];

const OTHER_BUCKETS: &str =
    ": buckets are those of the new place, and what was spent in the old one does not count there";

const CORS: &str = ": CORS layers keep the lists of headers that they were given at start";

fn field(name: &str, old: Option<&str>, new: Option<&str>) -> String {
    if let Some((_, file)) = name.split_once(CONTENT) {
        return format!("the file `{}` changed", file.escape_debug());
    }
    let shown = name.escape_debug();
    if is_harmless(name) {
        let value = |value: Option<&str>| value.map_or("unset".into(), shorten);
        return format!("{shown} {} -> {}", value(old), value(new));
    }
    match (old, new) {
        (None, _) => format!("{shown} added"),
        (_, None) => format!("{shown} removed"),
        _ => format!("{shown} changed"),
    }
}

/// Whether the values of a key may stand in a log. What is not listed may hold a secret.
fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 36] = [
        "algorithms",
        "anonymous_limits",
        "audiences",
        "burst",
        "cache",
        "consistency",
        "cost",
        "credentials",
        "deadline",
        "disclosure",
        "enabled",
        "failures",
        "header",
        "ipv6_prefix",
        "issuers",
        "kind",
        "leeway",
        "limits",
        "listed",
        "max_buckets",
        "max_bytes",
        "max_lifetime",
        "methods",
        "mode",
        "nodes",
        "on_store_failure",
        "overshoot",
        "path",
        "per",
        "preflights",
        "public",
        "published",
        "rate",
        "ratelimit_headers",
        "scopes",
        "status",
    ];
    let of_plan = |quota: &str| name.starts_with("plans.") && name.ends_with(quota);
    NAMES.contains(&name) || [".rate", ".burst"].iter().any(|quota| of_plan(quota))
}

fn shorten(value: &str) -> String {
    const MOST: usize = 80;
    let shown: String = value.chars().take(MOST).collect();
    let shown = shown.trim_matches('"');
    if value.chars().count() > MOST { format!("{shown}…") } else { shown.to_owned() }
}

fn surplus(more: &BTreeMap<Mark, usize>, less: &BTreeMap<Mark, usize>) -> usize {
    let of = |mark| less.get(mark).copied().unwrap_or(0);
    more.iter().map(|(mark, count)| count.saturating_sub(of(mark))).sum()
}

const MOST_FIELDS: usize = 5;

#[cfg(test)]
mod tests;
