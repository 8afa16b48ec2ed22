//! Warnings about rules whose paths lie close together.

use std::collections::HashMap;

use crate::policy::fault::Fault;
use crate::policy::path::{before_rest, normal};
use crate::policy::place::Place;
use crate::policy::rule::Rule;
use crate::policy::rule_table::RuleTable;
use crate::policy::section::Section;
use crate::policy::twins::have_common_method;
use crate::policy::warning::Warning;

/// Warns of public rules for all that follows, and of paths that are easily taken for each other.
pub(super) fn report_paths(table: &RuleTable, places: &[Place], root: &Section<'_>) {
    let is_guarded = |rule: &Rule| !rule.takes_anybody();
    let guarded: Vec<&Rule> =
        table.iter().map(|rule| &**rule).filter(|rule| is_guarded(rule)).collect();
    let mut alike: HashMap<String, &Rule> = HashMap::new();
    for (rule, place) in table.iter().zip(places) {
        let open = before_rest(&rule.path).filter(|_| !is_guarded(rule));
        if let Some(before) = open {
            let is_under =
                |other: &&&Rule| is_under(&other.path, before) && have_common_method(rule, other);
            if let Some(other) = guarded.iter().find(is_under) {
                let (guarded, path) = (other.name.clone(), other.path.as_ref().into());
                let (rule, open) = (rule.name.clone(), open_word(rule));
                let warning = Warning::PublicRest { rule, open, guarded, path };
                root.push(Fault::warning(place, &warning));
            }
            // That `anonymous_limits` are empty has a warning of its own.
            if rule.limits_of(None).is_empty() && rule.anonymous_limits.is_none() {
                let (rule, open) = (rule.name.clone(), open_word(rule));
                let warning = Warning::PublicRestWithoutLimits { rule, open };
                root.push(Fault::warning(place, &warning));
            }
        }
        let path = normal(&rule.path);
        let folded = path.trim_end_matches('/').to_ascii_lowercase();
        let first = *alike.entry(folded).or_insert(rule);
        if normal(&first.path) != path {
            let (first, second) = (first.name.clone(), rule.name.clone());
            let warning = Warning::RulesDifferInCaseOrSlash { first, second };
            root.push(Fault::warning(place, &warning));
        }
    }
}

/// What a rule that lets everybody in is called.
fn open_word(rule: &Rule) -> &'static str {
    match rule.demands() {
        None => "public rule",
        Some(_) => "rule with `\"none\"`",
    }
}

/// Whether a path of the pattern may begin with `before`, which stands before `{*rest}`.
fn is_under(pattern: &str, before: &str) -> bool {
    let (pattern, before) = (normal(pattern), normal(before));
    let mut segments = pattern.split('/');
    let mut open = before.split('/').peekable();
    while let Some(prefix) = open.next() {
        let Some(segment) = segments.next() else { return false };
        let has_parameter = |text: &str| text.replace("{{", "").contains('{');
        let fits = match open.peek() {
            // The last one is the text right before the parameter, mostly none.
            None => segment.starts_with(prefix) || segment.starts_with('{'),
            Some(_) => segment == prefix || has_parameter(segment) || has_parameter(prefix),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_lie_under_a_prefix_if_a_path_of_theirs_does() {
        for (pattern, before, expected) in [
            ("/open/admin", "/open/", true),
            ("/open/{*rest}", "/open/", true),
            ("/open", "/open/", false),
            ("/opened/x", "/open/", false),
            ("/{a}/x", "/open/", true),
            ("/a/b", "/{x}/", true),
            ("/a", "/", true),
            ("/a/b", "/c/{x}/", false),
            ("/v1/x", "/v", true),
        ] {
            assert_eq!(is_under(pattern, before), expected, "{pattern} under {before}");
        }
    }
}
