//! In place of the counters, where the feature `metrics` is off.

use crate::denial::Denial;
use crate::policy::Mode;

pub(super) fn admitted(_rule: &str) {}

pub(super) fn denied(_denial: &Denial, _mode: Mode) {}
