//! Collects what is wrong with a policy, and leaves out the warnings that it allows.

use std::cell::RefCell;
use std::collections::HashSet;

use super::fault::Fault;
use super::place::Place;
use super::problem::{Problem as _, Severity};
use super::value_fault::SyntaxFault;
use super::warning::Warning;
use crate::time::Wall;

/// Collects faults, so that all of a policy are reported together.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: RefCell<Vec<Fault>>,
    /// Names of warnings that the policy allows, and where it does.
    allowed: RefCell<Vec<(String, Place)>>,
    /// The present. If `None`, nothing is said of what depends on it.
    pub(crate) now: Option<Wall>,
}

impl Faults {
    /// With the present, for warnings that depend on it.
    pub(crate) fn at_time(now: Wall) -> Self {
        Self { now: Some(now), ..Self::default() }
    }

    pub(crate) fn push(&self, fault: Fault) {
        self.found.borrow_mut().push(fault);
    }

    /// Silences the warnings of this name; `place` is that of the entry that says so.
    pub(crate) fn allow(&self, warning: &str, place: Place) {
        self.allowed.borrow_mut().push((warning.to_owned(), place));
    }

    /// All faults and warnings, in the order of their places, without the warnings that the policy
    /// allows.
    pub(crate) fn into_sorted(self) -> Vec<Fault> {
        let is_whole = self.count() == 0;
        let mut faults = self.found.into_inner();
        let of_unused = Warning::UnusedAllow { warning: String::new() }.name();
        let (last, first): (Vec<_>, Vec<_>) =
            self.allowed.into_inner().into_iter().partition(|(name, _)| *name == of_unused);
        for entries in [first, last] {
            let unused = silence(&mut faults, &entries);
            // A policy with faults was not read whole: what silences nothing now may do so then.
            faults.extend(unused.into_iter().filter(|_| is_whole));
        }
        faults.sort_by(|a, b| {
            let place = |fault: &Fault| {
                let span = fault.place.in_file();
                (span.start, span.end)
            };
            a.file().cmp(b.file()).then_with(|| place(a).cmp(&place(b)))
        });
        faults.dedup_by(|a, b| {
            a.message() == b.message()
                && a.place.in_file() == b.place.in_file()
                && a.file() == b.file()
        });
        faults
    }

    /// How many faults there are, warnings aside: to tell whether a part was read whole.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().iter().filter(|fault| fault.severity() == Severity::Fault).count()
    }

    /// How many faults and warnings there are.
    pub(crate) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// Takes back what follows from errors of syntax: warnings, and faults on the same lines.
    pub(crate) fn drop_followers(&self, lines: &[usize]) {
        let syntax = SyntaxFault::NotToml { error: String::new() }.name();
        self.found.borrow_mut().retain(|fault| {
            let is_syntax = fault.name() == Some(&*syntax);
            is_syntax || (fault.severity() == Severity::Fault && !lines.contains(&fault.line()))
        });
    }
}

/// Takes out the warnings that are allowed. Returns a warning for each entry that takes out none.
fn silence(faults: &mut Vec<Fault>, entries: &[(String, Place)]) -> Vec<Fault> {
    let is_named = |fault: &Fault, name: &str| {
        fault.severity() == Severity::Warning && fault.name() == Some(name)
    };
    let mut seen = HashSet::new();
    let mut unused = Vec::new();
    for (name, place) in entries {
        if !seen.insert(name) || !faults.iter().any(|fault| is_named(fault, name)) {
            unused.push(Fault::warning(place, &Warning::UnusedAllow { warning: name.clone() }));
        }
    }
    faults.retain(|fault| !entries.iter().any(|(name, _)| is_named(fault, name)));
    unused
}
