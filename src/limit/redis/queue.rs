//! Decisions that wait for a server, and which of them ride in its next call.
//!
//! The task that asks is on another thread, and to wake it costs more than a decision. So it says how many have
//! to wait before it is woken: one while it has little to do, a whole call while calls are under way.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use super::away::Away;
use super::key::Key;
use super::meters;
use super::redirect::Way;
use super::script::{Record, Reply};
use crate::time::Steady;

/// At most so many charges are settled by one call: while a script runs, a server does nothing else.
pub(super) const MOST_IN_CALL: usize = 32;

/// Decisions that wait to be sent.
const MOST_WAITING: usize = 16_384;

/// What a request asks of the store: its charges that are settled together.
pub(super) struct Job {
    pub(super) charges: SmallVec<[(Key, Record); 2]>,
    pub(super) asked: Instant,
    /// Nobody waits for what is charged after the work, or given back.
    pub(super) answer: Option<oneshot::Sender<Answer>>,
    /// Charges that nobody waits for, from the beginning.
    pub(super) is_debt: bool,
    /// How it came here.
    pub(super) way: Way,
}

pub(super) type Answer = Result<Answered, Away>;

/// What the script replied to the charges of a job.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) replies: SmallVec<[Reply; 2]>,
    /// When the call began, and when it ended.
    pub(super) asked: Steady,
    pub(super) heard: Steady,
}

impl Job {
    /// Whether a request waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether it was a decision, and has been answered.
    pub(super) fn is_over(&self) -> bool {
        !self.is_awaited() && !self.is_debt
    }

    /// Whether the request that waited for it is gone.
    fn is_given_up(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn is_overdue(&self, deadline: Duration, now: Instant) -> bool {
        self.is_awaited() && now.saturating_duration_since(self.asked) >= deadline
    }

    /// Answers the request that waits for it, if it has waited for so long.
    pub(super) fn answer_overdue(&mut self, deadline: Duration, now: Instant) -> bool {
        let is_overdue = self.is_overdue(deadline, now);
        if is_overdue {
            self.answer(Err(Away::Late));
        }
        is_overdue
    }

    /// Answers the request that waits for it, if one does: once.
    pub(super) fn answer(&mut self, answer: Answer) {
        match self.answer.take() {
            // The request may be gone by now.
            Some(sender) => drop(sender.send(answer)),
            None => {
                if answer.is_err() && self.is_debt {
                    meters::lost_debt();
                }
            }
        }
    }
}

/// What waits for one server, in the order it came in.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    enough: Notify,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// With so many the task is woken.
    enough: usize,
    is_closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; it comes back where too many wait.
    pub(super) fn push(&self, job: Job) -> Result<(), Job> {
        let mut waiting = self.waiting();
        if waiting.jobs.len() >= MOST_WAITING {
            return Err(job);
        }
        waiting.jobs.push_back(job);
        let is_enough = waiting.jobs.len() == waiting.enough;
        drop(waiting);
        if is_enough {
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Adds what is owed, however much waits.
    pub(super) fn extend(&self, debts: impl IntoIterator<Item = Job>) {
        self.waiting().jobs.extend(debts);
    }

    /// Puts jobs back whose call did nothing, before all that wait.
    pub(super) fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut waiting = self.waiting();
        jobs.rev().for_each(|job| waiting.jobs.push_front(job));
    }

    /// Nobody asks any more.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.enough.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting().is_closed
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().jobs.len()
    }

    /// Waits until so many wait, or it is closed.
    pub(super) async fn holds(&self, enough: usize) {
        loop {
            {
                let mut waiting = self.waiting();
                waiting.enough = enough;
                if waiting.jobs.len() >= enough || waiting.is_closed {
                    return;
                }
            }
            self.enough.notified().await;
        }
    }

    /// Since when the first has waited who is waited for.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let waiting = self.waiting();
        waiting.jobs.iter().find(|job| job.is_awaited()).map(|job| job.asked)
    }

    /// Answers those who have waited for so long. What nobody waits for stays.
    pub(super) fn answer_overdue(&self, deadline: Duration, now: Instant) {
        self.waiting().jobs.retain_mut(|job| !job.answer_overdue(deadline, now));
    }

    /// Takes everything.
    pub(super) fn take_all(&self) -> VecDeque<Job> {
        std::mem::take(&mut self.waiting().jobs)
    }

    /// Takes the jobs of the next call, if so many wait.
    pub(super) fn next_call(&self, enough: usize) -> Option<Vec<Job>> {
        let mut waiting = self.waiting();
        while waiting.jobs.len() >= enough.max(1) {
            let jobs = next_call(&mut waiting.jobs);
            if !jobs.is_empty() {
                return Some(jobs);
            }
        }
        None
    }
}

/// Takes the jobs of the next call: those of one slot. Decisions that nobody waits for any more, since
/// their requests are gone, are dropped unasked.
fn next_call(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut jobs = Vec::with_capacity(waiting.len().min(MOST_IN_CALL));
    let (mut charges, mut slot) = (0, None);
    let mut at = 0;
    // A look at some more than a call takes finds those of the same slot, where there are many.
    while at < waiting.len().min(4 * MOST_IN_CALL) {
        let job = &waiting[at];
        let is_gone = job.is_given_up();
        let job_slot = job.charges.first().map(|(key, _)| key.slot);
        let is_together = slot == job_slot && !job.way.is_alone();
        let fits = charges == 0 || is_together && charges + job.charges.len() <= MOST_IN_CALL;
        if !is_gone && !fits {
            at += 1;
            continue;
        }
        let Some(job) = waiting.remove(at) else { break };
        let mut is_alone = false;
        if !is_gone {
            charges += job.charges.len();
            slot = job_slot;
            is_alone = job.way.is_alone();
            jobs.push(job);
        }
        if is_alone || charges >= MOST_IN_CALL {
            break;
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::super::script::{Operation, Terms};
    use super::*;
    use crate::limit::store_laws::quota;
    use crate::time::MICROS;

    /// A job of so many charges in a slot, and who waits for it.
    fn job(slot: u16, charges: usize) -> (Job, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let terms = Terms::new(quota(1, MICROS, 5), None);
        let record = Record { operation: Operation::Take, following: 0, terms, cost: 1 };
        let key = Key { name: slot.to_le_bytes().into(), slot };
        let charges = std::iter::repeat_n((key, record), charges).collect();
        let (asked, answer) = (Instant::now(), Some(sender));
        (Job { charges, asked, answer, is_debt: false, way: Way::default() }, receiver)
    }

    fn push(queue: &Queue, slot: u16, charges: usize) -> oneshot::Receiver<Answer> {
        let (job, receiver) = job(slot, charges);
        assert!(queue.push(job).is_ok());
        receiver
    }

    fn slots(jobs: &[Job]) -> Vec<u16> {
        jobs.iter().map(|job| job.charges[0].0.slot).collect()
    }

    #[test]
    fn decisions_of_one_slot_ride_together_in_order() {
        let queue = Queue::default();
        let waits: Vec<_> = [7, 8, 7, 8, 8].map(|slot| push(&queue, slot, 1)).into();
        assert_eq!(slots(&queue.next_call(1).unwrap()), [7, 7]);
        assert_eq!(slots(&queue.next_call(1).unwrap()), [8, 8, 8]);
        assert!(queue.next_call(0).is_none());
        drop(waits);
    }

    #[test]
    fn a_call_takes_so_many_charges_and_whole_decisions() {
        let queue = Queue::default();
        let waits: Vec<_> = (0..MOST_IN_CALL).map(|_| push(&queue, 0, 3)).collect();
        assert!(queue.next_call(MOST_IN_CALL + 1).is_none(), "fewer wait");
        let mut jobs = 0;
        while let Some(call) = queue.next_call(1) {
            assert!(call.len() * 3 <= MOST_IN_CALL);
            jobs += call.len();
        }
        assert_eq!(jobs, waits.len());
        let large = push(&queue, 0, MOST_IN_CALL + 1);
        assert_eq!(queue.next_call(1).unwrap().len(), 1, "alone, where it is more than a call");
        drop(large);
    }

    #[test]
    fn who_is_gone_is_not_asked_for() {
        let queue = Queue::default();
        drop(push(&queue, 0, 1));
        let waits = push(&queue, 0, 1);
        drop(push(&queue, 0, 1));
        assert_eq!(queue.next_call(1).unwrap().len(), 1);
        assert!(queue.next_call(1).is_none());
        drop(waits);
    }

    #[test]
    fn what_is_too_much_comes_back() {
        let queue = Queue::default();
        let waits: Vec<_> = (0..MOST_WAITING).map(|_| push(&queue, 0, 1)).collect();
        assert!(queue.push(job(0, 1).0).is_err());
        drop(waits);
    }

    #[test]
    fn it_wakes_with_enough_and_when_it_is_closed() {
        use std::future::Future as _;
        use std::pin::pin;
        use std::task::{Context, Poll, Waker};

        let (queue, mut context) = (Queue::default(), Context::from_waker(Waker::noop()));
        let mut waits = Vec::new();
        {
            let mut holds = pin!(queue.holds(2));
            assert_eq!(holds.as_mut().poll(&mut context), Poll::Pending);
            waits.push(push(&queue, 0, 1));
            assert_eq!(holds.as_mut().poll(&mut context), Poll::Pending);
            waits.push(push(&queue, 0, 1));
            assert_eq!(holds.as_mut().poll(&mut context), Poll::Ready(()));
        }
        assert_eq!(pin!(queue.holds(2)).poll(&mut context), Poll::Ready(()), "they are there");
        let mut holds = pin!(queue.holds(3));
        assert_eq!(holds.as_mut().poll(&mut context), Poll::Pending);
        queue.close();
        assert_eq!(holds.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn who_has_waited_for_long_enough_is_answered_and_debts_stay() {
        let queue = Queue::default();
        let mut waits = push(&queue, 0, 1);
        let (mut debt, _) = job(0, 1);
        (debt.answer, debt.is_debt) = (None, true);
        assert!(queue.push(debt).is_ok());
        let deadline = Duration::from_millis(5);
        let asked = queue.oldest().unwrap();
        queue.answer_overdue(deadline, asked + Duration::from_millis(4));
        assert!(waits.try_recv().is_err());
        queue.answer_overdue(deadline, asked + deadline);
        assert!(matches!(waits.try_recv(), Ok(Err(Away::Late))));
        assert!(queue.oldest().is_none() && queue.len() == 1);
    }
}
