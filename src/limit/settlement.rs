//! How the charges of a request went.

use super::charge::{Charges, Settled};

/// How the charges of a request went.
#[derive(Debug)]
#[must_use]
pub(crate) enum Taken<S> {
    Granted,
    /// One of them is not there, and nothing was taken.
    Refused,
    /// That is not known, and a limit is closed meanwhile.
    Unavailable(Unavailable),
    /// The store is asked. The charges are in what waits.
    Later(Box<S>),
}

/// The store does not answer, and a limit of the rule says `on_store_failure = "closed"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unavailable;

impl Unavailable {
    /// Seconds after which it is worth another try.
    pub(crate) const RETRY_AFTER: u64 = 1;
}

/// How a decision was settled that had waited.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) charges: Charges,
    pub(crate) settled: Result<Settled, Unavailable>,
}
