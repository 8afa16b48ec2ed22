//! Counters, by the `metrics` facade: the application chooses where they go.
//!
//! | counter | labels |
//! | --- | --- |
//! | `tollgate_admitted_total` | `rule` |
//! | `tollgate_denied_total` | `code` (the true one), `rule` (absent where none decided), `mode` (`enforce` or `shadow`) |

use std::borrow::Cow;

use metrics::{Label, counter};

use crate::denial::Denial;
use crate::policy::Mode;

pub(super) fn admitted(rule: &str) {
    counter!("tollgate_admitted_total", "rule" => rule.to_owned()).increment(1);
}

pub(super) fn denied(denial: &Denial, mode: Mode) {
    let mode = match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    };
    let code = Cow::<'static, str>::Owned(denial.code().to_owned());
    let rule = denial.draft().rule.as_ref().map(|rule| Label::new("rule", rule.name.to_string()));
    let labels = [Label::new("code", code), Label::new("mode", mode)];
    counter!("tollgate_denied_total", labels.into_iter().chain(rule).collect::<Vec<_>>())
        .increment(1);
}
