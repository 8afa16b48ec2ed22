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

/// What decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Store,
    /// What the store said before.
    Spared,
    LocalShare,
    Closed,
    Open,
}

pub(super) fn decided(mode: Mode, outcome: &'static str) {
    let mode = match mode {
        Mode::Store => "store",
        Mode::Spared => "spared",
        Mode::LocalShare => "local_share",
        Mode::Closed => "closed",
        Mode::Open => "open",
    };
    counter!("tollgate_store_decisions_total", "mode" => mode, "outcome" => outcome).increment(1);
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
