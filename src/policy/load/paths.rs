//! Warnings about rules whose paths lie close together.

use std::collections::HashMap;

use crate::policy::fault::{Fault, Place};
use crate::policy::path::{before_rest, normal};
use crate::policy::rule::Rule;
use crate::policy::rule_table::{RuleTable, have_common_method};
use crate::policy::section::Section;

/// Warns of public rules for all that follows, and of paths that are easily taken for each other.
pub(super) fn report_paths(table: &RuleTable, places: &[Place], root: &Section<'_>) {
    let is_guarded = |rule: &Rule| rule.demands().is_some();
    let guarded: Vec<&Rule> =
        table.iter().map(|rule| &**rule).filter(|rule| is_guarded(rule)).collect();
    let mut alike: HashMap<String, &Rule> = HashMap::new();
    for (rule, place) in table.iter().zip(places) {
        let open = before_rest(&rule.path).filter(|_| !is_guarded(rule));
        if let Some(before) = open {
            let is_under =
                |other: &&&Rule| is_under(&other.path, before) && have_common_method(rule, other);
            if let Some(other) = guarded.iter().find(is_under) {
                report_public_rest(rule, other, place, root);
            }
            if rule.limits.is_empty() {
                report_without_limits(rule, place, root);
            }
        }
        let path = normal(&rule.path);
        let folded = path.trim_end_matches('/').to_ascii_lowercase();
        let first = *alike.entry(folded).or_insert(rule);
        if normal(&first.path) != path {
            report_alike(rule, first, place, root);
        }
    }
}

/// `public-rest`
fn report_public_rest(rule: &Rule, guarded: &Rule, place: &Place, root: &Section<'_>) {
    root.push(
        Fault::doubt(
            place,
            format!("the public rule `{}` covers every path beside `{}`", rule.name, guarded.name),
        )
        .label(format!("is next to the guarded path {}", guarded.path))
        .with_help(
            "a path that is new, or misspelt in its rule, is open to everybody: list the public paths one by one, or move them under a path of their own",
        ),
    );
}

/// `public-rest-without-limits`
fn report_without_limits(rule: &Rule, place: &Place, root: &Section<'_>) {
    root.push(
        Fault::doubt(place, format!("the public rule `{}` has no limits", rule.name))
            .label("is open to everybody, and nothing is counted")
            .with_help("add a limit per address: `limits = [\"per-address\"]`"),
    );
}

/// `rules-differ-in-case-or-slash`
fn report_alike(rule: &Rule, first: &Rule, place: &Place, root: &Section<'_>) {
    root.push(
        Fault::doubt(
            place,
            format!(
                "the paths of `{}` and `{}` differ in letter case or a last slash alone",
                first.name, rule.name
            ),
        )
        .label(format!("is close to {}", first.path))
        .with_help("paths are compared to the letter: check that the application tells the two apart, or remove one"),
    );
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
