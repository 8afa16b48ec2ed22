//! The decision: what becomes of a request, and why. Nothing else happens here.
//!
//! 1. An [`Ask`](crate::ask::Ask) holds the facts of the request: method, path, headers, peer.
//! 2. A [`Judge`] holds what they are judged by: the policy, the proven tokens, the buckets.
//! 3. [`Judge::decide`] goes through the stages in order: rule, address, principal, permit,
//!    charges. [`pipeline`] is that story, in one function.
//! 4. Each stage takes what the last one made and adds one value.
//! 5. A stage that says no returns an error of its own, which carries the evidence; together they
//!    are [`Refused`].
//! 6. Either way the result is a [`Decision`]: the rule, the caller as far as it is known, and the
//!    outcome.
//! 7. Deciding reads facts and takes tokens from buckets. It writes no log, counts nothing, and
//!    knows no status and no response.
//! 8. So a decision can be made for its own sake, on buckets that nobody else uses: the examples
//!    of the documentation are made in this way.
//! 9. A [`Trace`] is told of each step; the trace `()` is compiled to nothing.
//! 10. The gate observes the decision and answers; `denial/` turns a refusal into a document.

mod attempts;
mod bucket_key;
mod caller;
mod grounds;
mod judge;
mod outcome;
mod pipeline;
mod proof;
mod refused;
mod still_proven;
mod trace;

pub(crate) use caller::Caller;
pub(crate) use grounds::Grounds;
pub(crate) use judge::Judge;
pub(crate) use outcome::{Decision, Outcome, Permit};
pub(crate) use refused::{Refused, TooManyFailures, WaitCause};
pub(crate) use still_proven::StillProven;
pub(crate) use trace::{Step, Trace};
