//! The decision: what becomes of a request, and why. Nothing else happens here.
//!
//! 1. An [`Ask`](crate::ask::Ask) holds the facts of the request: method, path, headers, peer, and
//!    what came while it waited.
//! 2. [`Grounds`] are what decisions rest on until the next reload: the policy, keys, proven tokens,
//!    revocations. A [`Judge`] decides by them, and by the buckets.
//! 3. [`Judge::decide`] goes through the stages in order: rule, address, principal, permit,
//!    charges. [`pipeline`] is that story, in one function; [`proof`] is its longest stage.
//! 4. Each stage takes what the last one made and adds one value. One that says no returns an error of
//!    its own, which carries the evidence; together they are [`Refused`].
//! 5. Either way the result is a [`Decision`]: the caller as far as it is known, and the [`Outcome`]
//!    with the rule.
//! 6. Deciding takes tokens from buckets, and remembers failed [`attempts`] and when a key was used. It
//!    writes no log, counts nothing, and knows no status and no response.
//! 7. Deciding never waits. Where keys have to be asked for first, the refusal says so
//!    ([`Refused::asks_again`]), and the request is decided about once more with what came.
//! 8. Where a shared store is asked for the tokens, the outcome is unsettled, and [`Decision::settled`]
//!    is the decision when it has answered.
//! 9. A decision can be made for its own sake, on buckets that nobody else uses: the examples of the
//!    documentation are made in this way. A [`Trace`] is told of each step; `()` is compiled to nothing.
//! 10. A stream that stays open asks whether its caller is [still proven](Grounds::still_proven). All else
//!     is not decided here: the gate observes and answers; `denial/` turns a refusal into a document.

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
