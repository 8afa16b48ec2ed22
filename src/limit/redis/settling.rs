//! A decision that waits for the store.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use super::away::Away;
use super::far::{FarCharge, Side};
use super::heard::Said;
use super::limits::SharedLimits;
use super::link::Way;
use super::meters::{self, Decided};
use super::queue::{Answer, Job};
use super::redirect;
use super::script::{Operation, Record, Reply};
use super::shard::{Shard, State};
use crate::limit::bucket::{Standing, Wait};
use crate::limit::bucket_id::BucketName;
use crate::limit::charge::{Charge, Charges, Settled};
use crate::limit::store::{Settlement, Taken};
use crate::time::Steady;

/// The script counts the charges of a decision in a byte.
const MOST_IN_DECISION: usize = 200;

/// A decision whose charges the store is asked for. Dropped, it is charged if it was sent.
pub(crate) struct Settling {
    limits: SharedLimits,
    charges: Charges,
    asked: Instant,
    parts: SmallVec<[Part; 1]>,
}

/// Charges that one script settles.
struct Part {
    /// Indices of the charges.
    charges: SmallVec<[usize; 4]>,
    shard: Option<Arc<Shard>>,
    state: PartState,
}

enum PartState {
    Asked(oneshot::Receiver<Answer>),
    Answered(Answer),
}

impl SharedLimits {
    /// Adds a charge of the bucket that is kept for `name`.
    pub(crate) fn charge(
        &self,
        charges: &mut Charges,
        limit: usize,
        quota: usize,
        name: &impl BucketName,
        cost: u32,
    ) {
        let store = &self.0.store;
        let charge = Charge::new(limit, quota, store.local.bucket(name), cost);
        let key = store.namer.key(&self.of(&charge).key, name);
        charges.far.push(FarCharge { key, side: Side::Store });
        charges.push(charge);
    }

    /// Takes every charge, or none. Where that is not known at once, the charges go with what waits.
    pub(crate) fn take(&self, charges: &mut Charges) -> Taken {
        if charges.is_empty() {
            return Taken::Granted;
        }
        if self.is_spared(charges) {
            meters::decided(Decided::Spared);
            return Taken::Refused;
        }
        let asked = Instant::now();
        let parts = self.parts(charges, asked);
        let charges_of = std::mem::take(charges);
        let settling = Settling { limits: self.clone(), charges: charges_of, asked, parts };
        if settling.parts.iter().any(|part| matches!(part.state, PartState::Asked(_))) {
            return Taken::Later(Box::new(settling));
        }
        let settlement = settling.end();
        *charges = settlement.charges;
        match settlement.settled {
            Ok(Settled::Granted) => Taken::Granted,
            Ok(Settled::Refused) => Taken::Refused,
            Err(unavailable) => Taken::Unavailable(unavailable),
        }
    }

    /// Whether the store would refuse, by what it has said. Then each charge knows how its bucket
    /// stands. Only where all of them were heard of: the client is told of all.
    fn is_spared(&self, charges: &mut Charges) -> bool {
        let now = self.0.store.now();
        let (mut is_short, mut likely) = (false, SmallVec::<[u64; 4]>::new());
        for charge in charges.iter() {
            let Some(said) = self.said(charge) else { return false };
            let quota = self.terms(charge).quota();
            let least = Standing::of(said.least(quota, now), quota, charge.cost);
            is_short |= least.wait > Wait::None;
            likely.push(said.likely(quota, now));
        }
        if is_short {
            for (charge, missing) in charges.list.iter_mut().zip(likely) {
                charge.missing = missing;
            }
        }
        is_short
    }

    pub(super) fn said(&self, charge: &Charge) -> Option<Said> {
        self.0.store.heard.of(self.of(charge).id, charge.bucket, charge.quota)
    }

    /// Asks for all charges: with one script, and in a cluster with one for each slot.
    fn parts(&self, charges: &Charges, asked: Instant) -> SmallVec<[Part; 1]> {
        let mut parts: SmallVec<[(u16, SmallVec<[usize; 4]>); 1]> = SmallVec::new();
        for (index, far) in charges.far.iter().enumerate() {
            let slot = far.key.slot;
            let is_room = |(other, part): &&mut (u16, SmallVec<[usize; 4]>)| {
                *other == slot && part.len() < MOST_IN_DECISION
            };
            match parts.iter_mut().find(is_room) {
                Some((_, part)) => part.push(index),
                None => parts.push((slot, smallvec![index])),
            }
        }
        let ask = |(_, indices)| self.part(charges, indices, asked);
        parts.into_iter().map(ask).collect()
    }

    /// Asks for these charges, which lie in one slot, with one script.
    fn part(&self, charges: &Charges, indices: SmallVec<[usize; 4]>, asked: Instant) -> Part {
        let (sender, receiver) = oneshot::channel();
        let slot = charges.far[indices[0]].key.slot;
        let job = Job { asked, ..self.job(charges, &indices, Operation::Take, Some(sender)) };
        let asked = PartState::Asked(receiver);
        let failed = |away| PartState::Answered(Err(away));
        let link = &self.0.store.link;
        let (shard, state) = match link.way(slot) {
            Way::To(shard) => {
                let state = shard.ask(job).map_or_else(|(_, away)| failed(away), |()| asked);
                (Some(shard), state)
            }
            Way::Unknown => match link.common.strays.send(Some(job)) {
                Ok(()) => (None, asked),
                Err(_) => (None, failed(Away::Unreachable)),
            },
            Way::None(away) => (None, failed(away)),
        };
        Part { charges: indices, shard, state }
    }

    pub(super) fn job(
        &self,
        charges: &Charges,
        indices: &[usize],
        operation: Operation,
        answer: Option<oneshot::Sender<Answer>>,
    ) -> Job {
        let last = indices.len() - 1;
        let record = |(place, index): (usize, &usize)| {
            let charge = &charges.list[*index];
            // Lossless: a decision has fewer than 256 charges.
            let following = if operation == Operation::Take { (last - place) as u8 } else { 0 };
            let (terms, cost) = (*self.terms(charge), charge.cost);
            (charges.far[*index].key.clone(), Record { operation, following, terms, cost })
        };
        Job {
            charges: indices.iter().enumerate().map(record).collect(),
            asked: Instant::now(),
            is_debt: answer.is_none(),
            answer,
            way: redirect::Way::default(),
        }
    }

    fn note_heard(&self, charge: &Charge, missing: u64, asked: Steady, heard: Steady) {
        let said = Said { quota: charge.quota, missing, asked, heard };
        self.0.store.heard.note(self.of(charge).id, charge.bucket, said);
    }
}

impl Future for Settling {
    type Output = Settlement;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Settlement> {
        let this = &mut *self;
        let (mut waits, mut at) = (false, 0);
        while let Some(part) = this.parts.get_mut(at) {
            at += 1;
            let PartState::Asked(receiver) = &mut part.state else { continue };
            let Poll::Ready(answer) = Pin::new(receiver).poll(context) else {
                waits = true;
                continue;
            };
            // Nobody is left to answer where the store is being closed.
            let answer = answer.unwrap_or(Err(Away::Unreachable));
            let is_half_moved = matches!(answer, Err(Away::HalfMoved));
            part.state = PartState::Answered(answer);
            if is_half_moved && part.charges.len() > 1 {
                // Nothing was done: each key is asked for where it is.
                let charges = std::mem::take(&mut part.charges);
                for index in charges {
                    let part = this.limits.part(&this.charges, smallvec![index], this.asked);
                    this.parts.push(part);
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(self.take_out().end()) }
    }
}

impl Settling {
    fn take_out(&mut self) -> Self {
        let (charges, parts) = (std::mem::take(&mut self.charges), std::mem::take(&mut self.parts));
        Self { limits: self.limits.clone(), charges, asked: self.asked, parts }
    }

    /// Decides, now that all parts are answered.
    fn end(self) -> Settlement {
        let Self { limits, mut charges, parts, .. } = self;
        let (mut granted, mut away) = (SmallVec::<[usize; 4]>::new(), SmallVec::<[_; 4]>::new());
        let (mut is_refused, now) = (false, limits.0.store.now());
        for part in parts {
            let since = match &part.shard {
                Some(shard) if shard.state() == State::LeftAlone => shard.away_since(),
                _ => now,
            };
            let answered = match part.state {
                PartState::Answered(Ok(answered))
                    if answered.replies.len() == part.charges.len() =>
                {
                    answered
                }
                _ => {
                    away.extend(part.charges.iter().map(|index| (*index, since)));
                    continue;
                }
            };
            if answered.replies.contains(&Reply::Broken) {
                for (index, reply) in part.charges.iter().zip(&answered.replies) {
                    if *reply == Reply::Broken {
                        let name = &limits.of(&charges.list[*index]).name;
                        limits.0.store.alarm(name, &charges.far[*index].key);
                    }
                }
                away.extend(part.charges.iter().map(|index| (*index, since)));
                continue;
            }
            for (index, reply) in part.charges.iter().zip(&answered.replies) {
                let charge = &mut charges.list[*index];
                let (Reply::Granted(missing) | Reply::Refused(missing)) = *reply else { continue };
                charge.missing = missing;
                limits.note_heard(charge, missing, answered.asked, answered.heard);
                match reply {
                    Reply::Granted(_) => granted.push(*index),
                    _ => is_refused = true,
                }
            }
        }
        let settled = match is_refused {
            true => Ok(Settled::Refused),
            false => limits.decide_without(&mut charges, &away, now),
        };
        if away.is_empty()
            && let Ok(settled) = settled
        {
            meters::decided(Decided::ByStore(settled));
        }
        charges.taken = settled == Ok(Settled::Granted);
        if !charges.taken {
            // All or none: what another script took is given back.
            for index in granted {
                limits.give_back(&charges, index);
                let charge = &mut charges.list[index];
                let quota = limits.terms(charge).quota();
                let units = u64::from(charge.cost).saturating_mul(quota.period());
                charge.missing = charge.missing.saturating_sub(units);
            }
        }
        Settlement { charges, settled }
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settling").field("charges", &self.charges).finish_non_exhaustive()
    }
}
