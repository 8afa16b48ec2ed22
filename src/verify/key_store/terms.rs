//! Equal terms of keys in memory are kept once: most keys of a service have those of a few plans.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::record::ApiKeyRecord;
use crate::principal::Terms;

/// The terms that keys share.
#[derive(Debug, Default)]
pub(super) struct SharedTerms(Mutex<HashSet<Arc<Terms>>>);

/// So many are shared at most, and none that takes more bytes: they are counted for no key.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 1024;

impl SharedTerms {
    /// Lets a key share the terms of others that has equal ones.
    pub(super) fn share(&self, record: &mut ApiKeyRecord) {
        if bytes(record.terms()) > MOST_BYTES {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(terms) = known.get(record.terms()) {
            record.share(terms);
            return;
        }
        if known.len() >= MOST {
            known.retain(|terms| Arc::strong_count(terms) > 1);
        }
        if known.len() < MOST {
            known.insert(record.terms().clone());
        }
    }
}

/// What terms count for a key: nothing, where others may share them.
pub(super) fn own_bytes(terms: &Terms) -> usize {
    Some(bytes(terms)).filter(|bytes| *bytes > MOST_BYTES).unwrap_or_default()
}

/// About how many bytes they take.
fn bytes(terms: &Terms) -> usize {
    /// What they take when they are empty, with what allocations take beside.
    const EMPTY: usize = 112;
    let Terms { scopes, roles, plan, addresses } = terms;
    let scopes = scopes.iter().map(|scope| scope.as_str());
    let texts = scopes.chain(roles.iter().map(|role| &**role)).chain(plan.as_deref());
    let texts: usize = texts.map(|text| 24 + text.len()).sum();
    EMPTY + texts + 24 * addresses.len()
}

#[cfg(test)]
mod tests {
    use super::super::KeyDigest;
    use super::*;

    fn record(key: u32, scope: &str) -> ApiKeyRecord {
        let digest = KeyDigest::of(&key.to_be_bytes());
        let builder = ApiKeyRecord::builder(format!("key-{key}"), "client", digest);
        builder.scopes([scope]).plan("free").build().unwrap()
    }

    #[test]
    fn equal_terms_are_kept_once() {
        let shared = SharedTerms::default();
        let share = |key, scope: &str| {
            let mut record = record(key, scope);
            shared.share(&mut record);
            record
        };
        let [first, second, other] =
            [(1, "read"), (2, "read"), (3, "write")].map(|(k, s)| share(k, s));
        assert!(Arc::ptr_eq(first.terms(), second.terms()));
        assert!(!Arc::ptr_eq(first.terms(), other.terms()));
        assert!(second.id() == "key-2" && second.scopes().contains("read"));
        // One that somebody else holds too.
        let mut mine = record(4, "read");
        let theirs = mine.clone();
        shared.share(&mut mine);
        assert!(Arc::ptr_eq(first.terms(), mine.terms()) && theirs.id() == mine.id());
    }

    #[test]
    fn what_is_shared_is_bounded() {
        let shared = SharedTerms::default();
        let long = "x".repeat(MOST_BYTES);
        let mut large = [record(1, &long), record(2, &long)];
        large.iter_mut().for_each(|record| shared.share(record));
        assert!(!Arc::ptr_eq(large[0].terms(), large[1].terms()));
        assert!(own_bytes(large[0].terms()) > MOST_BYTES, "they count for their key");
        let mut kept = record(0, "scope-0");
        shared.share(&mut kept);
        for key in 0..25_000 {
            shared.share(&mut record(key, &format!("scope-{key}")));
        }
        assert!(shared.0.lock().unwrap().len() <= MOST);
        let mut again = record(1, "scope-0");
        shared.share(&mut again);
        assert!(Arc::ptr_eq(kept.terms(), again.terms()), "it is in use");
    }
}
