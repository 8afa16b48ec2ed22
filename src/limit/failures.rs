//! How often an address may fail to prove a credential.
//!
//! Guessing is slowed by the address it comes from: each failed authentication takes a token from
//! the address's bucket, and while there is none the address waits. A second bucket of the same
//! size bounds the proofs that cost more than a look into memory, while it waits.

use super::charge::{Charge, Charges};
use super::memory::MemoryStore;
use super::{ONE, Wait};
use crate::address::Address;

/// The failure buckets, two for each address: two tables of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    /// The first of the two.
    table: u32,
}

impl Failures {
    /// `table` and the one after it are the tables of the store that have the quota of failures.
    pub(super) fn new(table: u32) -> Self {
        Self { table }
    }

    /// How many microseconds the address has to wait; `None` where it need not.
    pub(crate) fn wait(&self, store: &MemoryStore, address: Address, now: u64) -> Option<u64> {
        match store.peek(&attempt(store, self.table, address), now).wait() {
            Wait::Micros(wait) => Some(wait),
            // INVARIANT: one token is never above a burst of at least one.
            Wait::None | Wait::Never => None,
        }
    }

    /// Notes that an attempt from `address` failed.
    pub(crate) fn charge(&self, store: &MemoryStore, address: Address, now: u64) {
        // An attempt that ran beside the one that took the last token has nothing to take.
        let _taken = store.take(&mut attempt(store, self.table, address), now);
    }

    /// Takes one of the proofs that an address may ask for while it waits; whether there was one.
    pub(crate) fn take_proof(&self, store: &MemoryStore, address: Address, now: u64) -> bool {
        store.take(&mut attempt(store, self.table + 1, address), now)
    }
}

fn attempt(store: &MemoryStore, table: u32, address: Address) -> Charges {
    let mut attempt = Charges::new(ONE);
    attempt.push(Charge { limit: table, quota: 0, key: store.key(address) });
    attempt
}
