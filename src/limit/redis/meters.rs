//! What the metrics say of a shared store.
//!
//! | metric | labels |
//! | --- | --- |
//! | `tollgate_store_decisions_total` | `mode` (`store`, `spared`, `local_share`, `closed`, `open`), `outcome` (`granted`, `refused`, `unavailable`) |
//! | `tollgate_store_calls_total` | `outcome` (`answered`, or why it failed) |
//! | `tollgate_store_call_seconds` | |
//! | `tollgate_store_decisions_per_call` | |
//! | `tollgate_store_asked` | `server`: 1 while it is asked, 0 while it is left alone |
//! | `tollgate_store_debits_total` | `outcome` (`sent`, `lost`) |

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::limit::charge::Settled;

/// Tells the recorder what each of them is.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "tollgate_store_decisions_total",
        "Decisions under shared limits, by what decided and how."
    );
    describe_counter!("tollgate_store_calls_total", "Calls of the store, by their outcome.");
    describe_histogram!("tollgate_store_call_seconds", "How long calls of the store take.");
    describe_histogram!("tollgate_store_decisions_per_call", "Decisions that ride in one call.");
    describe_gauge!("tollgate_store_asked", "Whether a server of the store is asked.");
    describe_counter!(
        "tollgate_store_debits_total",
        "What was charged without waiting: sent after the store was away, or lost."
    );
}

/// What decided, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Decided {
    ByStore(Settled),
    /// Refused by what the store said before.
    Spared,
    ByShare(Settled),
    Closed,
    Open,
}

/// Counts a decision. Names and labels are literals: without a recorder nothing is done, and one that is
/// installed later finds the counter by a hash that is known already.
pub(super) fn decided(decided: Decided) {
    macro_rules! decisions {
        ($mode:literal, $outcome:literal) => {
            counter!("tollgate_store_decisions_total", "mode" => $mode, "outcome" => $outcome)
        };
    }
    let decisions = match decided {
        Decided::ByStore(Settled::Granted) => decisions!("store", "granted"),
        Decided::ByStore(Settled::Refused) => decisions!("store", "refused"),
        Decided::Spared => decisions!("spared", "refused"),
        Decided::ByShare(Settled::Granted) => decisions!("local_share", "granted"),
        Decided::ByShare(Settled::Refused) => decisions!("local_share", "refused"),
        Decided::Closed => decisions!("closed", "unavailable"),
        Decided::Open => decisions!("open", "granted"),
    };
    decisions.increment(1);
}

pub(super) fn called(outcome: &'static str, took: Duration) {
    counter!("tollgate_store_calls_total", "outcome" => outcome).increment(1);
    histogram!("tollgate_store_call_seconds").record(took.as_secs_f64());
}

pub(super) fn sent(decisions: usize) {
    histogram!("tollgate_store_decisions_per_call").record(decisions as f64);
}

pub(super) fn state(server: &str, is_asked: bool) {
    let asked = if is_asked { 1.0 } else { 0.0 };
    gauge!("tollgate_store_asked", "server" => server.to_owned()).set(asked);
}

pub(super) fn debited(buckets: usize) {
    counter!("tollgate_store_debits_total", "outcome" => "sent").increment(buckets as u64);
}

pub(super) fn lost_debt() {
    counter!("tollgate_store_debits_total", "outcome" => "lost").increment(1);
}
