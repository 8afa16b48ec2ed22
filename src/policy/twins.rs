//! Rules of which only one could ever decide, or neither.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::fault::Fault;
use super::faults::Faults;
use super::path::normal;
use super::place::Place;
use super::problem::problems;
use super::reading::{Semicolon, read_pattern};
use super::rule::Rule;

/// Two rules for one method and path: only one of them could ever decide.
pub(super) fn report_twins(rules: &[Rule], places: &[Place], faults: &Faults) {
    let mut seen: HashMap<(String, &str), &Rule> = HashMap::new();
    for (rule, place) in rules.iter().zip(places) {
        let named = rule.methods.iter().map(Method::as_str);
        let all = rule.methods.is_empty().then_some("all methods");
        for method in named.chain(all) {
            let Some(first) = seen.insert((normal(&rule.path), method), rule) else { continue };
            let twins = TableFault::TwoRulesForOneRequest {
                method: method.to_owned(),
                path: rule.path.clone(),
                first: first.name.clone(),
                second: rule.name.clone(),
            };
            faults.push(Fault::of(place, &twins));
            break;
        }
    }
}

/// Two rules that are written apart and read alike, for a method: whichever it falls to, the request
/// is refused.
pub(super) fn report_read_twins(rules: &[Rule], places: &[Place], faults: &Faults) {
    let mut seen: HashMap<(usize, String), Vec<&Rule>> = HashMap::new();
    for (rule, place) in rules.iter().zip(places) {
        let mut twin = None;
        for (at, kind) in Semicolon::ALL.into_iter().enumerate() {
            let alike = seen.entry((at, normal(&read_pattern(&rule.path, kind)))).or_default();
            let is_twin = |other: &&&Rule| {
                normal(&other.path) != normal(&rule.path) && have_common_method(other, rule)
            };
            twin = twin.or_else(|| alike.iter().find(is_twin).copied());
            alike.push(rule);
        }
        if let Some(first) = twin {
            let alike =
                TableFault::ReadAlike { rule: rule.name.clone(), first: first.name.clone() };
            faults.push(Fault::of(place, &alike));
        }
    }
}

/// Whether a request may be of both rules by its method.
pub(super) fn have_common_method(a: &Rule, b: &Rule) -> bool {
    let takes = |rule: &Rule, method: &Method| {
        rule.methods.contains(method)
            || (*method == Method::HEAD && rule.methods.contains(&Method::GET))
    };
    a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| takes(b, method))
        || b.methods.iter().any(|method| takes(a, method))
}

problems! {
    /// What may be wrong with rules as they stand beside each other.
    enum TableFault: Fault {
        /// Only the first could ever decide.
        TwoRulesForOneRequest { method: String, path: Box<str>, first: Arc<str>, second: Arc<str> } => {
            message: "two rules cover {method} of {path}",
            label: "rule `{first}` covers it already",
            help: "merge `{second}` into `{first}`: one rule can let in callers without a credential too (`\"none\"` in `credentials`), accept one of several demands (`any`), and have limits that spare some addresses (`exempt`); or give the two different methods or paths",
        }
        /// Neither could ever decide.
        ReadAlike { rule: Arc<str>, first: Arc<str> } => {
            message: "the rule `{rule}` can never match",
            label: "is the path of `{first}`, once it is decoded",
            help: "remove one of the two: requests that may be read as the path of another rule are denied",
        }
    }
}
