//! Whose turn it is to look up a key that nothing is known of.
//!
//! So many have a turn at once. Who comes later waits, and turns go from address to address: one that
//! sends a thousand keys is behind by a thousand of its own, and everybody else by one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::address::Address;

#[derive(Debug)]
pub(super) struct Turns {
    at_once: usize,
    queue: Mutex<Queue>,
}

/// INVARIANT: each address in `order` is there once, and has a line that is not empty.
#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    order: VecDeque<Option<Address>>,
    lines: HashMap<Option<Address>, VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn. Dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Turn(Option<Arc<Turns>>);

impl Turns {
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self { at_once, queue: Mutex::default() })
    }

    /// Waits for a turn on behalf of an address. Dropped, it waits no more.
    pub(super) async fn take(self: &Arc<Self>, address: Option<Address>) -> Turn {
        let turn = {
            let mut queue = self.queue();
            if queue.taken < self.at_once {
                // Nobody waits while a turn is free.
                queue.taken += 1;
                return Turn(Some(self.clone()));
            }
            queue.line_up(address)
        };
        // INVARIANT: the other end is dropped by `next` alone, and not before it was sent to.
        turn.await.unwrap_or(Turn(None))
    }

    /// Hands a turn on to whoever waits longest of the address that had none for the longest time.
    fn hand_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.queue();
                let Some(next) = queue.next() else {
                    queue.taken -= 1;
                    return;
                };
                next
            };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // It waits no more: the turn is still to be handed on.
                Err(mut turn) => drop(turn.0.take()),
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn line_up(&mut self, address: Option<Address>) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        let line = self.lines.entry(address).or_default();
        if line.is_empty() {
            self.order.push_back(address);
        }
        // Those who gave up take no room.
        while line.front().is_some_and(oneshot::Sender::is_closed) {
            line.pop_front();
        }
        line.push_back(sender);
        receiver
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let address = self.order.pop_front()?;
        let line = self.lines.get_mut(&address)?;
        let next = line.pop_front();
        match line.is_empty() {
            true => drop(self.lines.remove(&address)),
            false => self.order.push_back(address),
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::pin::Pin;

    use futures_util::FutureExt as _;

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn line_up(turns: &Arc<Turns>, address: u8) -> Waiting {
        let (turns, address) = (turns.clone(), Address::from(IpAddr::from([192, 0, 2, address])));
        let mut waiting: Waiting = Box::pin(async move { turns.take(Some(address)).await });
        assert!((&mut waiting).now_or_never().is_none(), "all turns are taken");
        waiting
    }

    #[test]
    fn turns_go_from_address_to_address() {
        let turns = Turns::new(1);
        let mut turn = turns.take(None).now_or_never();
        let mut waiting: Vec<(u8, Waiting)> =
            [1, 1, 1, 1, 2, 2, 3].map(|address| (address, line_up(&turns, address))).into();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(turn.take());
            let next = waiting.iter_mut().position(|(_, waiting)| {
                turn = waiting.now_or_never();
                turn.is_some()
            });
            order.push(waiting.remove(next.expect("somebody has the turn")).0);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
        drop(turn);
        assert!(turns.take(None).now_or_never().is_some());
    }

    #[test]
    fn a_turn_passes_by_those_who_gave_up_and_none_is_lost() {
        let turns = Turns::new(2);
        let held = [turns.take(None).now_or_never(), turns.take(None).now_or_never()];
        drop([line_up(&turns, 1), line_up(&turns, 1), line_up(&turns, 2)]);
        let mut patient = line_up(&turns, 3);
        let has_the_turn_and_gives_up = line_up(&turns, 4);
        drop(held);
        let turn = (&mut patient).now_or_never();
        assert!(turn.is_some());
        drop(has_the_turn_and_gives_up);
        let (one, two) = (turns.take(None).now_or_never(), turns.take(None).now_or_never());
        assert!(one.is_some() && two.is_none(), "two at once");
        drop((turn, one));
        let queue = turns.queue();
        assert!(queue.taken == 0 && queue.order.is_empty() && queue.lines.is_empty());
    }
}
