//! Places for the requests that wait for a key set.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::Address;
use crate::ask::Wait;

/// How many requests wait for a set at once.
const PLACES: usize = 1000;

/// How many of them one address may have, so that it cannot take those of others.
const PLACES_OF_AN_ADDRESS: usize = 50;

/// What comes of asking for a refresh that may change an answer.
pub(crate) enum Asked {
    /// It has begun. The wait ends with it, or when the request has waited long enough.
    Waits(Wait),
    /// Too many requests wait already, from this address or in all.
    Crowded,
}

/// The places of a set.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only addresses that have a place are among them.
    by_address: HashMap<Address, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: Option<Address>,
}

impl Places {
    /// A place for a request from `address`; `None` where all places are taken, or all that one
    /// address may have. Requests whose address is not known are bounded by all places alone.
    pub(super) fn take(&self, address: Option<Address>) -> Option<Place> {
        let mut taken = self.lock();
        if taken.all >= PLACES {
            return None;
        }
        if let Some(address) = address {
            let of_address = taken.by_address.entry(address).or_default();
            if *of_address >= PLACES_OF_AN_ADDRESS {
                return None;
            }
            *of_address += 1;
        }
        taken.all += 1;
        Some(Place { places: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        // INVARIANT: what is given back was taken.
        taken.all = taken.all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(of_address) = taken.by_address.get_mut(&address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(n: u8) -> Option<Address> {
        Some(IpAddr::from([192, 0, 2, n]).into())
    }

    fn taken(places: &Places, address: Option<Address>) -> Vec<Place> {
        std::iter::from_fn(|| places.take(address)).collect()
    }

    #[test]
    fn an_address_has_fifty_places_and_all_have_a_thousand() {
        let places = Places::default();
        let crowd: Vec<_> = (0..20).flat_map(|n| taken(&places, address(n))).collect();
        assert_eq!(crowd.len(), 1000);
        assert!(places.take(address(20)).is_none() && places.take(None).is_none());
        drop(crowd);
        assert_eq!(taken(&places, address(20)).len(), 50, "what was taken is given back");
        assert_eq!(taken(&places, None).len(), 1000, "nobody knows whose they are");
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_has_left() {
        let places = Places::default();
        for n in 0..200 {
            let _left = places.take(address(n));
        }
        let taken = places.lock();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
