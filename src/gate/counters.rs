//! The counters of decisions, and what all metrics are.
//!
//! | counter | labels |
//! | --- | --- |
//! | `tollgate_admitted_total` | `rule` |
//! | `tollgate_denied_total` | `code` (the true one), `rule` (absent where none decided), `mode` (`enforce` or `shadow`) |
//! | `tollgate_ended_total` | `code` |

use std::sync::Arc;

use metrics::{Counter, Label, SharedString, counter, describe_counter, describe_gauge};

use crate::policy::{Mode, Rule};

/// Tells the recorder what each metric is. It is told again with each look at the files: one that was
/// installed after the gate was opened hears it too.
pub(super) fn describe() {
    describe_counter!("tollgate_admitted_total", "Requests that were admitted.");
    describe_counter!(
        "tollgate_denied_total",
        "Requests that were denied, and those that a rule in shadow mode would have denied."
    );
    describe_counter!("tollgate_reloads_total", "Changes of the policy, by their outcome.");
    describe_gauge!("tollgate_policy_revision", "The number of the policy in force.");
    describe_gauge!(
        "tollgate_snapshots",
        "Policies in memory: the one in force, and those that requests still end with."
    );
    describe_gauge!("tollgate_buckets", "Buckets that are kept for a limit.");
    describe_counter!(
        "tollgate_ended_total",
        "Open streams whose credential ended, by the code that says why."
    );
    describe_gauge!(
        "tollgate_revocations",
        "Entries of lists of revocations, of the policy and of the application."
    );
    describe_gauge!("tollgate_failure_buckets", "Addresses whose failures are counted.");
    crate::verify::describe_metrics();
    crate::limit::describe_metrics();
}

pub(super) fn admitted(rule: &Arc<str>) -> Counter {
    counter!("tollgate_admitted_total", "rule" => SharedString::from(rule.clone()))
}

pub(super) fn denied(rule: Option<&Arc<Rule>>, code: &str, mode: Mode) -> Counter {
    let rule = rule.map(|rule| Label::new("rule", SharedString::from(rule.name.clone())));
    let labels = [
        Label::new("code", SharedString::from(code.to_owned())),
        Label::new("mode", mode.as_str()),
    ];
    let labels: Vec<Label> = labels.into_iter().chain(rule).collect();
    counter!("tollgate_denied_total", labels)
}
