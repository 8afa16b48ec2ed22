//! A decision that waits for the store, and what decides where the store does not.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use super::away::Away;
use super::heard::Said;
use super::key::Key;
use super::limits::SharedLimits;
use super::link::Way;
use super::meters::{self, Mode};
use super::script::{Operation, Record, Reply};
use super::shard::{Answer, Job, Shard, State};
use crate::limit::bucket::{Standing, Wait};
use crate::limit::bucket_id::{BucketId, BucketName};
use crate::limit::charge::{Charge, Charges, Settle, Settled};
use crate::limit::store::{Settlement, Taken, Unavailable};
use crate::limit::{OnStoreFailure, Quota};
use crate::time::Steady;

/// The script counts the charges of a decision in a byte.
const MOST_IN_DECISION: usize = 200;

/// Where the buckets of charges are, in the order of the charges.
///
/// One word: charges of memory carry it too, and it is nothing there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far(Option<Box<FarCharges>>);

#[derive(Clone, Debug, Default)]
struct FarCharges(SmallVec<[FarCharge; 2]>);

#[derive(Clone, Debug)]
pub(crate) struct FarCharge {
    key: Key,
    side: Side,
}

/// Where a charge was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Store,
    /// From this process's share, in this bucket.
    Local(BucketId),
    /// Nowhere: the limit is open while the store is away.
    Nowhere,
}

impl Far {
    /// Where those charges are whose index is kept.
    pub(crate) fn only(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let Some(far) = &self.0 else { return Self(None) };
        let kept = far.0.iter().enumerate().filter(|(index, _)| is_kept(*index));
        Self(Some(Box::new(FarCharges(kept.map(|(_, charge)| charge.clone()).collect()))))
    }

    fn push(&mut self, charge: FarCharge) {
        self.0.get_or_insert_default().0.push(charge);
    }

    fn iter(&self) -> impl Iterator<Item = &FarCharge> {
        self.0.iter().flat_map(|far| far.0.iter())
    }
}

impl Index<usize> for Far {
    type Output = FarCharge;

    /// INVARIANT: a charge of a shared limit is pushed with its place.
    fn index(&self, index: usize) -> &FarCharge {
        &self.0.as_deref().map_or(&[][..], |far| &far.0)[index]
    }
}

impl IndexMut<usize> for Far {
    fn index_mut(&mut self, index: usize) -> &mut FarCharge {
        &mut self.0.as_deref_mut().map_or(&mut [][..], |far| &mut far.0)[index]
    }
}

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
            meters::decided(Mode::Spared, "refused");
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

    fn said(&self, charge: &Charge) -> Option<Said> {
        self.0.store.heard.of(self.of(charge).id, charge.bucket, charge.quota)
    }

    /// Asks for all charges: with one script, and in a cluster with one for each slot.
    fn parts(&self, charges: &Charges, asked: Instant) -> SmallVec<[Part; 1]> {
        let store = &self.0.store;
        let mut parts: SmallVec<[(u16, SmallVec<[usize; 4]>); 1]> = SmallVec::new();
        for (index, far) in charges.far.iter().enumerate() {
            let slot = if store.is_cluster { far.key.slot } else { 0 };
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

    fn job(
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
            way: super::redirect::Way::default(),
        }
    }

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

    fn give_back(&self, charges: &Charges, index: usize) {
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

    /// Notes what was spent while the store is away.
    fn note_spent(&self, charges: &Charges, index: usize) {
        let (store, charge) = (&self.0.store, &charges.list[index]);
        let key = &charges.far[index].key;
        if let Way::To(shard) = store.link.way(key.slot) {
            let (terms, share) = (self.terms(charge), self.share(charge));
            shard.ledger.note(key, terms, &share.quota, charge.cost, store.now());
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
        let outcome = match settled {
            Ok(Settled::Granted) => "granted",
            Ok(Settled::Refused) => "refused",
            Err(_) => "unavailable",
        };
        if away.is_empty() {
            meters::decided(Mode::Store, outcome);
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

impl SharedLimits {
    /// Decides about the charges that the store did not decide about, each with the moment since when
    /// its server is away: as the `on_store_failure` of their limits says.
    fn decide_without(
        &self,
        charges: &mut Charges,
        away: &[(usize, Steady)],
        now: Steady,
    ) -> Result<Settled, Unavailable> {
        if away.is_empty() {
            return Ok(Settled::Granted);
        }
        let of = |index: usize, charges: &Charges| self.of(&charges.list[index]).on_failure;
        if away.iter().any(|(index, _)| of(*index, charges) == OnStoreFailure::Closed) {
            meters::decided(Mode::Closed, "unavailable");
            return Err(Unavailable);
        }
        let (mut local, mut indices) = (Charges::default(), SmallVec::<[usize; 4]>::new());
        let mut empty_for = None;
        for (index, since) in away {
            let charge = charges.list[*index];
            match of(*index, charges) {
                OnStoreFailure::Open => {
                    meters::decided(Mode::Open, "granted");
                    charges.far[*index].side = Side::Nowhere;
                    charges.list[*index].missing = 0;
                }
                OnStoreFailure::LocalShare | OnStoreFailure::Closed => {
                    if let Some(wait) = self.begins_empty(&charge, *since, now) {
                        let missing = missing_for(wait, self.terms(&charge).quota(), charge.cost);
                        charges.list[*index].missing = missing;
                        empty_for = empty_for.max(Some(wait));
                    }
                    local.push(charge);
                    indices.push(*index);
                }
            }
        }
        let store = &self.0.store;
        if empty_for.is_none() {
            local.iter().for_each(|charge| self.lower_share(charge, now));
        }
        let settled = match empty_for {
            Some(_) => Settled::Refused,
            None => store.local.settle(&self.0.shares, &mut local, Settle::Take, now),
        };
        if empty_for.is_none() {
            for (index, charge) in indices.iter().zip(&local.list) {
                charges.far[*index].side = Side::Local(charge.bucket);
                charges.list[*index].missing = self.estimate(charge);
            }
        }
        if settled == Settled::Granted {
            away.iter().for_each(|(index, _)| self.note_spent(charges, *index));
        }
        if !indices.is_empty() {
            let outcome = if settled == Settled::Granted { "granted" } else { "refused" };
            meters::decided(Mode::LocalShare, outcome);
        }
        Ok(settled)
    }

    /// A share never holds more than the store last said of the whole bucket, with what that gained since:
    /// a client that was refused gets no burst when the store goes away.
    fn lower_share(&self, charge: &Charge, now: Steady) {
        let Some(said) = self.said(charge) else { return };
        let (quota, share) = (self.terms(charge).quota(), &self.share(charge).quota);
        let left = quota.capacity().saturating_sub(said.likely(quota, now));
        let left = u128::from(left) * u128::from(share.period()) / u128::from(quota.period());
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        let missing = share.capacity().saturating_sub(left);
        if missing > 0 {
            self.0.shares.lower(charge, missing, now);
        }
    }

    /// How long a share of less than one token still has to gain its first one, where nothing was taken
    /// from it since the store is away.
    fn begins_empty(&self, charge: &Charge, since: Steady, now: Steady) -> Option<u64> {
        let share = self.share(charge);
        let is_used = self.0.shares.kept(charge.limit as usize, charge.bucket).is_some();
        if !share.begins_empty || is_used {
            return None;
        }
        let first = share.quota.period().div_ceil(share.quota.tokens());
        let left = first.saturating_sub(now.micros().saturating_sub(since.micros()));
        (left > 0).then_some(left)
    }

    /// What the whole bucket would be short of, to stand as this process's share does.
    fn estimate(&self, local: &Charge) -> u64 {
        let (quota, share) = (self.terms(local).quota(), &self.share(local).quota);
        let standing = Standing::of(local.missing, share, local.cost);
        match standing.wait {
            Wait::None => {
                let left = u64::from(standing.remaining) * quota.period();
                quota.capacity().saturating_sub(left)
            }
            Wait::Micros(wait) => missing_for(wait, quota, local.cost),
            // Above the share, but the whole bucket may have it: soon, and never by the share.
            Wait::Never => missing_for(share.capacity() / share.tokens(), quota, local.cost),
        }
    }
}

/// What a bucket is short of from which a cost is to be had in so many microseconds.
fn missing_for(wait: u64, quota: &Quota, cost: u32) -> u64 {
    let needed = u64::from(cost.max(1)).saturating_mul(quota.period());
    let gained = wait.saturating_mul(quota.tokens());
    quota.capacity().saturating_sub(needed).saturating_add(gained)
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settling").field("charges", &self.charges).finish_non_exhaustive()
    }
}
