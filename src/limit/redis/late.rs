//! What is charged after the work, or given back: nobody waits for it.

use smallvec::smallvec;

use super::away::Away;
use super::far::Side;
use super::heard::Said;
use super::limits::SharedLimits;
use super::link::Way;
use super::meters;
use super::script::Operation;
use crate::limit::OnStoreFailure;
use crate::limit::charge::{Charge, Charges, Settle};

impl SharedLimits {
    /// Settles charges of an admitted request once more, without waiting.
    pub(crate) fn settle(&self, charges: &mut Charges, how: Settle) {
        match how {
            Settle::Owe => self.each(charges, Self::owe),
            Settle::GiveBack if charges.taken => {
                self.each(charges, Self::give_back);
                charges.taken = false;
            }
            Settle::GiveBack | Settle::Take => {}
            Settle::Look => {}
        }
        // How the buckets stand now, as last heard and less what was charged since.
        let now = self.0.store.now();
        for charge in &mut charges.list {
            if let Some(said) = self.0.store.heard.of(
                self.0.limits[charge.limit as usize].id,
                charge.bucket,
                charge.quota,
            ) {
                charge.missing = said.likely(self.terms(charge).quota(), now);
            }
        }
    }

    fn each(&self, charges: &Charges, settle: impl Fn(&Self, &Charges, usize)) {
        (0..charges.list.len()).for_each(|index| settle(self, charges, index));
    }

    fn owe(&self, charges: &Charges, index: usize) {
        let (store, charge) = (&self.0.store, &charges.list[index]);
        if let Some(said) = self.said(charge) {
            let units = u64::from(charge.cost).saturating_mul(self.terms(charge).quota().period());
            let said = Said { missing: said.missing.saturating_add(units), ..said };
            store.heard.note(self.of(charge).id, charge.bucket, said);
        }
        let Err(away) = self.send(charges, index, Operation::Owe) else { return };
        if away == Away::Crowded {
            return meters::lost_debt();
        }
        self.note_spent(charges, index);
        if self.of(charge).on_failure == OnStoreFailure::LocalShare {
            let mut local = Charges { list: smallvec![*charge], ..Charges::default() };
            let shares = &self.0.shares;
            let _settled = store.local.settle(shares, &mut local, Settle::Owe, store.now());
        }
    }

    pub(super) fn give_back(&self, charges: &Charges, index: usize) {
        let (store, charge) = (&self.0.store, &charges.list[index]);
        match charges.far[index].side {
            Side::Nowhere => {}
            Side::Local(bucket) => {
                let list = smallvec![Charge { bucket, ..*charge }];
                let mut local = Charges { list, taken: true, ..Charges::default() };
                let shares = &self.0.shares;
                let _given = store.local.settle(shares, &mut local, Settle::GiveBack, store.now());
            }
            Side::Store => {
                store.heard.forget(self.of(charge).id, charge.bucket);
                if self.send(charges, index, Operation::GiveBack).is_err() {
                    meters::lost_debt();
                }
            }
        }
    }

    /// Sends one charge for which nobody waits.
    fn send(&self, charges: &Charges, index: usize, operation: Operation) -> Result<(), Away> {
        let slot = charges.far[index].key.slot;
        let job = self.job(charges, &[index], operation, None);
        match self.0.store.link.way(slot) {
            Way::To(shard) => shard.ask(job).map_err(|(_, away)| away),
            Way::Unknown => Err(Away::Unreachable),
            Way::None(away) => Err(away),
        }
    }
}
