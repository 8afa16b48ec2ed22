//! What was spent in this process while the store was away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::key::Key;
use super::script::{Operation, Record, Terms};
use crate::limit::Quota;
use crate::time::Steady;

/// Buckets whose spending is noted. What is spent from others is forgotten: they begin as the store has
/// them.
const MOST: usize = 65_536;

/// By the name of the key.
#[derive(Default)]
pub(super) struct Ledger(Mutex<HashMap<Box<[u8]>, Entry>>);

/// What was spent from a bucket, and is not refilled by this process's share of the rate.
struct Entry {
    key: Key,
    terms: Terms,
    share: Quota,
    /// Units of the share.
    spent: u64,
    at: Steady,
}

impl Ledger {
    /// Notes that so many tokens were spent.
    pub(super) fn note(&self, key: &Key, terms: &Terms, share: &Quota, tokens: u32, now: Steady) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(&*key.name) {
            return;
        }
        let entry = entries.entry((*key.name).into()).or_insert_with(|| Entry {
            key: key.clone(),
            terms: *terms,
            share: *share,
            spent: 0,
            at: now,
        });
        entry.refill(now);
        let units = u64::from(tokens).saturating_mul(entry.share.period());
        entry.spent = entry.spent.saturating_add(units);
    }

    /// Ends the account: what the store is to be debited.
    pub(super) fn close(&self, now: Steady) -> Vec<(Key, Record)> {
        let entries = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let debit = |mut entry: Entry| {
            entry.refill(now);
            let tokens = entry.spent.div_ceil(entry.share.period());
            let cost = u32::try_from(tokens).unwrap_or(u32::MAX);
            let (operation, terms) = (Operation::Debit, entry.terms);
            let record = Record { operation, following: 0, terms, cost };
            (cost > 0).then_some((entry.key, record))
        };
        entries.into_values().filter_map(debit).collect()
    }
}

impl Entry {
    fn refill(&mut self, now: Steady) {
        let elapsed = now.micros().saturating_sub(self.at.micros());
        self.spent = self.spent.saturating_sub(elapsed.saturating_mul(self.share.tokens()));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::store_laws::quota;
    use crate::time::MICROS;

    #[test]
    fn what_was_spent_and_not_refilled_is_debited_once() {
        let ledger = Ledger::default();
        let key = |n: u8| Key { name: vec![n].into(), slot: 0 };
        let (whole, share) = (quota(1, MICROS, 10), quota(1, 2 * MICROS, 5));
        let terms = Terms::new(whole, None);
        let at = |seconds: u64| Steady::from_micros(seconds * MICROS);
        ledger.note(&key(1), &terms, &share, 3, at(0));
        ledger.note(&key(1), &terms, &share, 2, at(2));
        ledger.note(&key(2), &terms, &share, 1, at(0));
        let debits: Vec<_> = ledger
            .close(at(4))
            .into_iter()
            .map(|(key, record)| (key.name[0], record.cost))
            .collect();
        assert_eq!(debits, [(1, 3)], "five, of which two were refilled; and one that was");
        assert!(ledger.close(at(4)).is_empty());
    }
}
