//! Look-ups under way: one for each key, however many requests wait for it, and bounds on those.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::digest::KeyDigest;
use crate::address::Address;
use crate::ask::LookedUp;

/// How many requests wait at once for keys that are in memory, and as many for others.
const MOST_WAITING: u32 = 1000;
/// How many of them may come from one address.
const MOST_OF_AN_ADDRESS: u32 = 100;
/// How many more may wait, each of an address that has none waiting: so a flood from few addresses
/// leaves room for others.
const MOST_FIRST: u32 = 250;
/// How many keys that are in memory are looked up again at once.
const MOST_REFRESHES: usize = 1000;

/// Why a key is looked up. Neither kind waits behind the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// It is in memory, and has become old; or it was there lately.
    Refresh,
    /// Nothing is known of it.
    Unknown,
}

/// One look-up.
#[derive(Debug)]
pub(super) struct Flight {
    outcome: watch::Sender<Option<LookedUp>>,
    /// Whether the key changed after it began.
    outdated: AtomicBool,
}

impl Flight {
    pub(super) fn end(&self, looked_up: LookedUp) {
        self.outcome.send_replace(Some(looked_up));
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Open>);

#[derive(Debug, Default)]
pub(super) struct Open {
    flights: HashMap<KeyDigest, Arc<Flight>>,
    /// Requests that wait, by why.
    waiting: [u32; 2],
    of_address: HashMap<Address, u32>,
}

/// A request that waits. Dropped, it waits no more.
#[derive(Debug)]
pub(super) struct Place {
    flights: Arc<Flights>,
    why: Why,
    address: Option<Address>,
}

impl Flights {
    /// What is under way cannot change while this is held.
    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those who wait; `None` where there are too many.
    pub(super) fn place(self: &Arc<Self>, why: Why, address: Option<Address>) -> Option<Place> {
        let mut open = self.open();
        let is_first = address.is_some_and(|address| !open.of_address.contains_key(&address));
        let most = if is_first { MOST_WAITING + MOST_FIRST } else { MOST_WAITING };
        if open.waiting[why as usize] >= most {
            return None;
        }
        if let Some(address) = address {
            let waiting = open.of_address.entry(address).or_default();
            if *waiting >= MOST_OF_AN_ADDRESS {
                return None;
            }
            *waiting += 1;
        }
        open.waiting[why as usize] += 1;
        Some(Place { flights: self.clone(), why, address })
    }
}

impl Open {
    /// The look-up of this key that is under way, and tells what is so now.
    pub(super) fn find(&self, digest: &KeyDigest) -> Option<watch::Receiver<Option<LookedUp>>> {
        self.flights.get(digest).map(|flight| flight.outcome.subscribe())
    }

    /// Begins one, unless there are too many.
    pub(super) fn begin(&mut self, digest: KeyDigest, why: Why) -> Option<Arc<Flight>> {
        if why == Why::Refresh && self.flights.len() >= MOST_REFRESHES + MOST_WAITING as usize {
            return None;
        }
        let flight = Arc::new(Flight {
            outcome: watch::Sender::new(None),
            outdated: AtomicBool::new(false),
        });
        self.flights.insert(digest, flight.clone());
        Some(flight)
    }

    /// Takes away one that has ended.
    pub(super) fn remove(&mut self, digest: &KeyDigest, flight: &Arc<Flight>) {
        if self.flights.get(digest).is_some_and(|open| Arc::ptr_eq(open, flight)) {
            self.flights.remove(digest);
        }
    }

    /// The key has changed: what is under way may tell what was so before, and nobody joins it.
    pub(super) fn outdate(&mut self, digest: &KeyDigest) {
        if let Some(flight) = self.flights.remove(digest) {
            flight.outdated.store(true, Ordering::Release);
        }
    }

    pub(super) fn outdate_all(&mut self) {
        for (_, flight) in self.flights.drain() {
            flight.outdated.store(true, Ordering::Release);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.flights.open();
        open.waiting[self.why as usize] -= 1;
        if let Some(Entry::Occupied(mut waiting)) = self.address.map(|at| open.of_address.entry(at))
        {
            match waiting.get() {
                0 | 1 => drop(waiting.remove()),
                more => *waiting.get_mut() = more - 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn places_are_bounded_for_all_and_for_each_address() {
        let flights = Arc::new(Flights::default());
        let address = |n: u8| Some(Address::from(IpAddr::from([192, 0, 2, n])));
        let take = |n: u8| flights.place(Why::Unknown, address(n));
        let mut held: Vec<Place> = (0..200).filter_map(|_| take(1)).collect();
        assert_eq!(held.len(), MOST_OF_AN_ADDRESS as usize);
        assert!(flights.place(Why::Refresh, address(1)).is_none(), "of either kind");
        held.pop();
        held.push(take(1).expect("it waits no more at once"));
        held.extend((200..1100).map(|n| (n / 100) as u8).filter_map(take));
        assert_eq!(held.len(), MOST_WAITING as usize);
        assert!(take(2).is_none() && flights.place(Why::Unknown, None).is_none());
        held.extend(take(99));
        assert!(
            held.len() > MOST_WAITING as usize && take(99).is_none(),
            "the first of its address"
        );
        assert!(
            flights.place(Why::Refresh, address(100)).is_some(),
            "good keys do not queue behind"
        );
        let firsts = |n: u16| {
            let address = Address::from(IpAddr::from([198, 51, (n / 256) as u8, n as u8]));
            flights.place(Why::Unknown, Some(address))
        };
        held.extend((0..2000).filter_map(firsts));
        assert_eq!(held.len(), (MOST_WAITING + MOST_FIRST) as usize);
        drop(held);
        assert!(flights.open().of_address.is_empty());
        assert_eq!(flights.open().waiting, [0, 0]);
    }

    #[test]
    fn nobody_joins_a_look_up_that_is_outdated() {
        let flights = Flights::default();
        let digest = KeyDigest::of(b"key");
        let first = flights.open().begin(digest, Why::Unknown).unwrap();
        assert!(flights.open().find(&digest).is_some());
        flights.open().outdate(&digest);
        assert!(flights.open().find(&digest).is_none() && first.is_outdated());
        let second = flights.open().begin(digest, Why::Unknown).unwrap();
        flights.open().remove(&digest, &first);
        assert!(flights.open().find(&digest).is_some(), "the second one goes on");
        flights.open().outdate_all();
        assert!(second.is_outdated());
    }
}
