//! The end of a credential, as a future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::admission::Admission;
use super::ends::{Version, Waiting};
use crate::decision::StillProven;
use crate::denial::Denial;
use crate::time::Moment;

impl Admission {
    /// Ends when the credential of the request does, with the denial that a new request would get. For a
    /// WebSocket, an event stream, or any work that goes on after the request was judged.
    ///
    /// It ends within 3 s when
    ///
    /// - the token expires, its issuer's leeway included, or the API key does (`token_expired`,
    ///   `api_key_expired`);
    /// - one of them is revoked: by [`Revocations`](crate::Revocations), by `[[revoked]]`, or by
    ///   `revoked = true` of the key (`token_revoked`, `api_key_revoked`);
    /// - the key, or the issuer of the token, is no longer in the policy (`api_key_unknown`,
    ///   `token_issuer_unknown`).
    ///
    /// [`Denial::code`] says which of them it is. A later policy counts: a key whose `expires` is moved to
    /// later does not end before. No other change of a policy ends it, nor do other keys of an issuer. For a
    /// request without a credential it never ends.
    ///
    /// It keeps no policy in memory that was replaced. [`TollgateBuilder::end_bodies`](crate::TollgateBuilder::end_bodies)
    /// ends bodies of responses without it.
    ///
    /// ```
    /// use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
    /// use tollgate::Admission;
    ///
    /// async fn serve(mut socket: WebSocket, admission: Admission) {
    ///     let mut ended = admission.ended();
    ///     loop {
    ///         tokio::select! {
    ///             message = socket.recv() => match message {
    ///                 Some(Ok(message)) => drop(socket.send(message).await),
    ///                 _ => return,
    ///             },
    ///             denial = &mut ended => {
    ///                 let reason = denial.code().to_owned().into();
    ///                 let frame = CloseFrame { code: close_code::POLICY, reason };
    ///                 return drop(socket.send(Message::Close(Some(frame))).await);
    ///             }
    ///         }
    ///     }
    /// }
    /// # let _ = serve;
    /// ```
    pub fn ended(&self) -> Ended {
        Ended::of(self.clone())
    }
}

/// Ends when the credential of a request does: see [`Admission::ended`](crate::Admission::ended).
///
/// After its end it is pending for ever.
#[must_use = "futures do nothing unless they are polled"]
pub struct Ended {
    admission: Admission,
    /// What was so when the caller was last found proven, and how many looks there had been.
    seen: Option<(Version, u64)>,
    /// How it was found then.
    still: StillProven,
    /// Where the stream waits, and what is woken.
    waits: Option<(u64, Waker)>,
    is_over: bool,
}

impl Ended {
    fn of(admission: Admission) -> Self {
        let still = StillProven { until: None, may_change: false };
        Self { admission, seen: None, still, waits: None, is_over: false }
    }

    /// What a new request would be refused with, where the credential has ended now. Asked again and
    /// again, it costs a look at the clock.
    pub(super) fn look(&mut self) -> Option<Denial> {
        let caller = self.admission.principal().filter(|_| !self.is_over)?;
        let ends = self.admission.ends();
        let (version, looks) = (ends.version(), ends.looks());
        let (moment, is_told) = (Moment::of(&*ends.clock), self.waits.is_some());
        let now = moment.wall();
        let is_as_it_was = self.seen.is_some_and(|(seen, at)| {
            seen == version && (!self.still.may_change || (is_told && at == looks))
        });
        if is_as_it_was && self.still.until.is_none_or(|end| now < end) {
            return None;
        }
        match ends.still_proven(caller, &moment) {
            Ok(still) => {
                (self.seen, self.still) = (Some((version, looks)), still);
                None
            }
            Err(refused) => {
                let denial = self.admission.has_ended(refused, now);
                self.leave();
                self.is_over = true;
                Some(denial)
            }
        }
    }

    /// Has the task woken when the credential may have ended.
    fn wait(&mut self, waker: &Waker) {
        let ends = self.admission.ends();
        let place = self.waits.as_ref().map(|(place, _)| *place);
        let place = ends.wait(place, Waiting { still: self.still, waker: waker.clone() });
        self.waits = Some((place, waker.clone()));
    }

    fn leave(&mut self) {
        if let Some((place, _)) = self.waits.take() {
            self.admission.ends().leave(place);
        }
    }
}

impl Future for Ended {
    type Output = Denial;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Denial> {
        // A request without a credential has none that could end.
        if self.is_over || self.admission.principal().is_none() {
            return Poll::Pending;
        }
        let waker = context.waker();
        // First it waits, then it looks: no change between the two is missed.
        if !self.waits.as_ref().is_some_and(|(_, held)| held.will_wake(waker)) {
            self.wait(waker);
        }
        let before = self.still;
        if let Some(denial) = self.look() {
            return Poll::Ready(denial);
        }
        if self.still != before {
            self.wait(waker);
        }
        Poll::Pending
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("rule", &self.admission.rule()).finish_non_exhaustive()
    }
}
