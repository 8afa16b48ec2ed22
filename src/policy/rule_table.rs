//! Finds the rule of a request: the most specific one whose path and method cover it.
//!
//! Paths are matched with `matchit`, on the raw path, as axum does. Every method that a rule
//! names has a table of its own, which also holds the rules without methods; so a rule that
//! covers the path but not the method never hides a less specific one that covers both. Methods with
//! the same rules share their table.
//!
//! A path that other software may read in another way is looked up once more, as it would be read
//! there ([`reading`](super::reading)). Where that falls to another rule, the request is refused: so
//! nobody reaches by one rule what another one guards.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Index;
use std::sync::Arc;

use http::Method;

use super::faults::Faults;
use super::no_rule::{Ambiguity, NoRule};
use super::path::{normal, values};
use super::path_table::{PathTables, Patterns};
use super::place::Place;
use super::reading::{
    Semicolon, has_encoded_slash, has_semicolon, is_plain, oddity, read_path, read_pattern,
};
use super::rule::Rule;
use super::twins::{report_read_twins, report_twins};

/// The methods that most rules name, in the order of RFC 9110.
pub(super) const USUAL_METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The rules of a policy, ready to be searched.
#[derive(Debug, Default)]
pub(crate) struct RuleTable {
    rules: Vec<Arc<Rule>>,
    /// Methods and the indices of their tables.
    by_method: Vec<(Method, usize)>,
    /// For methods that no rule names.
    other: usize,
    /// Each once: GET and HEAD, for one, mostly have the same rules.
    raw: PathTables,
    /// The same tables for the second readings, by kind of [`Semicolon`]. None where no pattern
    /// reads otherwise than it is written: then the raw ones serve for all.
    read: Vec<PathTables>,
}

/// A rule of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleId(usize);

impl Index<RuleId> for RuleTable {
    type Output = Arc<Rule>;

    fn index(&self, id: RuleId) -> &Arc<Rule> {
        &self.rules[id.0]
    }
}

impl RuleTable {
    /// INVARIANT: paths were accepted by `check_path`.
    pub(crate) fn new(mut rules: Vec<Rule>, places: &[Place], faults: &Faults) -> Self {
        report_twins(&rules, places, faults);
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.index = index;
        }
        let mut distinct: Vec<Patterns> = Vec::new();
        let mut table_of = |rank: &dyn Fn(&Rule) -> Option<u8>| {
            let patterns = patterns(&rules, rank);
            distinct.iter().position(|known| *known == patterns).unwrap_or_else(|| {
                distinct.push(patterns);
                distinct.len() - 1
            })
        };
        let mut by_method = Vec::new();
        for method in methods_in_use(&rules) {
            // On one path the rule that names the method wins, then GET for HEAD, then a rule
            // without methods.
            let table = table_of(&|rule| match &rule.methods {
                methods if methods.contains(&method) => Some(0),
                methods if method == Method::HEAD && methods.contains(&Method::GET) => Some(1),
                methods if methods.is_empty() => Some(2),
                _ => None,
            });
            by_method.push((method, table));
        }
        let other = table_of(&|rule| rule.methods.is_empty().then_some(0));

        let reads_otherwise = |rule: &Rule| {
            Semicolon::ALL.iter().any(|kind| read_pattern(&rule.path, *kind) != *rule.path)
        };
        let read = if rules.iter().any(reads_otherwise) {
            report_read_twins(&rules, places, faults);
            let read = |kind| {
                let pattern =
                    |(pattern, index): &(String, usize)| (read_pattern(pattern, kind), *index);
                let tables = distinct.iter().map(|table| table.iter().map(pattern).collect());
                let paths = rules.iter().map(|rule| read_pattern(&rule.path, kind));
                PathTables::new(tables.collect(), paths)
            };
            Semicolon::ALL.map(read).into()
        } else {
            Vec::new()
        };
        let raw = PathTables::new(distinct, rules.iter().map(|rule| rule.path.to_string()));
        Self { rules: rules.into_iter().map(Arc::new).collect(), by_method, other, raw, read }
    }

    /// The rule of a request. Its parameters can be asked for afterwards, by [`parameter`](Self::parameter).
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<RuleId, NoRule> {
        if self.read.is_empty() && is_plain(path) {
            self.find_raw(method, path).map(RuleId)
        } else {
            self.find_unambiguous(method, path).map(RuleId)
        }
    }

    /// What a parameter of the rule's path stands for in a path that [`find`](Self::find) found the
    /// rule for.
    pub(crate) fn parameter<'p>(
        &'p self,
        id: RuleId,
        path: &'p str,
        name: &str,
    ) -> Option<Cow<'p, str>> {
        self[id].parameter(path, name)
    }

    #[inline]
    fn find_raw(&self, method: &Method, path: &str) -> Result<usize, NoRule> {
        let found = self.table(method).and_then(|table| self.raw.find(table, path));
        found.ok_or_else(|| self.no_rule(path))
    }

    /// Why no rule covers a path with one method: whether rules cover it with others.
    #[cold]
    fn no_rule(&self, path: &str) -> NoRule {
        let covers = |(_, table): &&(Method, usize)| self.raw.find(*table, path).is_some();
        let allowed: Vec<Method> =
            self.by_method.iter().filter(covers).map(|(method, _)| method.clone()).collect();
        if allowed.is_empty() { NoRule::Path } else { NoRule::Method(allowed) }
    }

    /// The table of a method; `None` for the one that is not for an application to answer (RFC 9110
    /// section 9.3.8). `CONNECT` with a path opens a WebSocket over HTTP/2 (RFC 8441); for a tunnel it
    /// has none, and no rule covers it.
    fn table(&self, method: &Method) -> Option<usize> {
        match self.by_method.iter().find(|(named, _)| named == method) {
            Some((_, table)) => Some(*table),
            None if *method == Method::TRACE => None,
            None => Some(self.other),
        }
    }

    /// Finds the rule of a path that can be read in several ways. It is refused unless all readings
    /// fall to that rule, or to none for any method.
    #[cold]
    fn find_unambiguous(&self, method: &Method, path: &str) -> Result<usize, NoRule> {
        let is_plain = is_plain(path);
        if !is_plain && let Some(oddity) = oddity(path) {
            return Err(NoRule::Ambiguous(Ambiguity::Odd(oddity)));
        }
        let index = match self.find_raw(method, path) {
            Err(NoRule::Path) => return Err(self.find_read(path, is_plain)),
            found => found?,
        };
        self.check_readings(method, path, index, is_plain).map_err(NoRule::Ambiguous)?;
        Ok(index)
    }

    /// Why no rule covers a path: where one would once the path is decoded, that is the reason.
    fn find_read(&self, path: &str, is_plain: bool) -> NoRule {
        let mut read = self
            .readings(path, is_plain)
            .filter_map(|(kind, tables)| tables.find_anywhere(&read_path(path, kind)));
        read.next().map_or(NoRule::Path, |found| {
            NoRule::Ambiguous(Ambiguity::OnlyRead { read: self.rules[found].name.clone() })
        })
    }

    /// The ways in which a path is read, beside the raw one.
    fn readings(
        &self,
        path: &str,
        is_plain: bool,
    ) -> impl Iterator<Item = (Semicolon, &PathTables)> {
        // A plain path reads as itself; it may still be what a pattern means by `%72`.
        let kinds = match is_plain || (self.read.is_empty() && !has_semicolon(path)) {
            true => &Semicolon::ALL[..1],
            false => &Semicolon::ALL[..],
        };
        kinds.iter().zip(0..).map(|(kind, at)| (*kind, self.read.get(at).unwrap_or(&self.raw)))
    }

    fn check_readings(
        &self,
        method: &Method,
        path: &str,
        index: usize,
        is_plain: bool,
    ) -> Result<(), Ambiguity> {
        let rule = &self.rules[index];
        if !rule.encoded_slashes && has_encoded_slash(path) {
            return Err(Ambiguity::EncodedSlash { rule: rule.name.clone() });
        }
        for (kind, tables) in self.readings(path, is_plain) {
            let read = read_path(path, kind);
            let same_method = self.table(method).and_then(|table| tables.find(table, &read));
            let Some(found) = same_method.or_else(|| tables.find_anywhere(&read)) else { continue };
            if same_method != Some(index) {
                let read = self.rules[found].name.clone();
                return Err(Ambiguity::OtherRule { raw: rule.name.clone(), read });
            }
            let pattern = read_pattern(&rule.path, kind);
            for name in &rule.path_parameters {
                let value = values(&pattern, &read).find(|(known, _)| *known == &**name);
                if value.map(|(_, value)| value.into()) != self.parameter(RuleId(index), path, name)
                {
                    let (rule, parameter) = (rule.name.clone(), name.clone());
                    return Err(Ambiguity::OtherValue { rule, parameter });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }
}

/// For each pattern the rule with the lowest rank; of equals the first.
fn patterns(rules: &[Rule], rank: &dyn Fn(&Rule) -> Option<u8>) -> Patterns {
    let mut best: HashMap<String, (u8, usize)> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(rank) = rank(rule) else { continue };
        let entry = best.entry(normal(&rule.path)).or_insert((rank, index));
        if rank < entry.0 {
            *entry = (rank, index);
        }
    }
    let mut patterns: Patterns = best.into_iter().map(|(path, (_, index))| (path, index)).collect();
    patterns.sort();
    patterns
}

/// The methods that rules name, HEAD beside GET, in the order of RFC 9110 and then by name.
fn methods_in_use(rules: &[Rule]) -> Vec<Method> {
    let mut methods: Vec<Method> = rules.iter().flat_map(|rule| rule.methods.clone()).collect();
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    let place = |method: &Method| {
        USUAL_METHODS.iter().position(|known| known == method).unwrap_or(USUAL_METHODS.len())
    };
    methods.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.as_str().cmp(b.as_str())));
    methods.dedup();
    methods
}

#[cfg(test)]
mod tests;
