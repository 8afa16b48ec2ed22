//! Finds the rule of a request: the most specific one whose path and method cover it.
//!
//! Paths are matched with `matchit`, on the raw path, as axum does. Every method that a rule
//! names has a table of its own, which also holds the rules without methods; so a rule that
//! covers the path but not the method never hides a less specific one that covers both. Methods with
//! the same rules share their table.
//!
//! A path that other software may read in another way is covered by no rule: one with empty or
//! dot segments, with backslashes or NULs, encoded or not. Letters, digits and slashes that are
//! encoded are part of a segment, as they are to axum, and never part of `{*rest}`.

use std::collections::HashMap;
use std::ops::Index;
use std::sync::Arc;

use http::Method;
use matchit::Router;

use super::fault::{Fault, Faults, Place};
use super::path::{is_ambiguous, is_odd, normal, specificity};
use super::problem::problems;
use super::rule::Rule;

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
    rules: Vec<Entry>,
    /// Methods and the indices of their tables.
    by_method: Vec<(Method, usize)>,
    /// For methods that no rule names.
    other: usize,
    /// Each once: GET and HEAD, for one, mostly have the same rules.
    tables: Vec<PathTable>,
}

/// Why no rule covers a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoRule {
    Path,
    /// Rules cover the path for these methods.
    Method(Vec<Method>),
}

/// A rule, and what is known of its path.
#[derive(Debug)]
struct Entry {
    rule: Arc<Rule>,
    /// Compares as the patterns do: of several that match a path, the greatest counts.
    specificity: Box<[u8]>,
    /// Whether it ends with `{*rest}`.
    takes_rest: bool,
}

/// A rule of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleId(usize);

impl Index<RuleId> for RuleTable {
    type Output = Arc<Rule>;

    fn index(&self, id: RuleId) -> &Arc<Rule> {
        &self.rules[id.0].rule
    }
}

/// Patterns and their rules. `matchit` cannot hold `/a/{x}` and `/a/{*rest}` together, so
/// those that conflict go to a further router; of several matches the most specific counts.
#[derive(Debug)]
struct PathTable {
    tiers: Vec<Router<usize>>,
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
        let tables = distinct.into_iter().map(PathTable::new).collect();
        let entry = |rule: Rule| Entry {
            specificity: specificity(&rule.path).into(),
            takes_rest: rule.path.contains("{*"),
            rule: Arc::new(rule),
        };
        Self { rules: rules.into_iter().map(entry).collect(), by_method, other, tables }
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<RuleId, NoRule> {
        if is_odd(path) {
            return Err(NoRule::Path);
        }
        let table = match self.by_method.iter().find(|(named, _)| named == method) {
            Some((_, table)) => Some(*table),
            // Neither is for an application to answer (RFC 9110 sections 9.3.6 and 9.3.8).
            None if matches!(*method, Method::TRACE | Method::CONNECT) => None,
            None => Some(self.other),
        };
        if let Some(index) = table.and_then(|table| self.find_in(table, path)) {
            // What answers behind `{*rest}`, such as a server of files, decodes what it stands
            // for, and may find itself on a path of another rule.
            let misleads = self.rules[index].takes_rest && is_ambiguous(path);
            return if misleads { Err(NoRule::Path) } else { Ok(RuleId(index)) };
        }
        let covers = |(_, table): &&(Method, usize)| self.find_in(*table, path).is_some();
        let allowed: Vec<Method> =
            self.by_method.iter().filter(covers).map(|(method, _)| method.clone()).collect();
        Err(if allowed.is_empty() { NoRule::Path } else { NoRule::Method(allowed) })
    }

    /// The index of the rule that covers a path in one of the tables.
    fn find_in(&self, table: usize, path: &str) -> Option<usize> {
        let found = |tier: &Router<usize>| tier.at(path).ok().map(|found| *found.value);
        match &self.tables.get(table)?.tiers[..] {
            [] => None,
            [only] => found(only),
            tiers => {
                let specificity = |index: &usize| &self.rules[*index].specificity;
                tiers.iter().filter_map(found).max_by_key(specificity)
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|entry| &entry.rule)
    }
}

/// Patterns in the order of their text, each with the index of its rule.
type Patterns = Vec<(String, usize)>;

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

impl PathTable {
    fn new(patterns: Patterns) -> Self {
        let mut table = Self { tiers: Vec::new() };
        for (pattern, index) in patterns {
            table.insert(pattern, index);
        }
        table
    }

    fn insert(&mut self, pattern: String, index: usize) {
        for tier in &mut self.tiers {
            if tier.insert(pattern.clone(), index).is_ok() {
                return;
            }
        }
        let mut tier = Router::new();
        if tier.insert(pattern, index).is_ok() {
            self.tiers.push(tier);
        }
    }
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

/// Two rules for one method and path: only one of them could ever decide.
fn report_twins(rules: &[Rule], places: &[Place], faults: &Faults) {
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

problems! {
    /// What may be wrong with rules as they stand beside each other.
    enum TableFault: Fault {
        /// Only the first could ever decide.
        TwoRulesForOneRequest { method: String, path: Box<str>, first: Arc<str>, second: Arc<str> } => {
            message: "two rules cover {method} of {path}",
            label: "rule `{first}` covers it already",
            help: "merge `{second}` into `{first}`: one rule can let in callers without a credential too (`\"none\"` in `credentials`), accept one of several demands (`any`), and have limits that spare some addresses (`exempt`); or give the two different methods or paths",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Source;
    use super::super::path::check_path;
    use super::super::rule::{Access, Mode};
    use super::*;

    fn table(rules: &[(&str, &[Method], &str)]) -> (RuleTable, usize) {
        let rule = |(name, methods, path): &(&str, &[Method], &str)| {
            check_path(path).unwrap();
            Rule {
                index: 0,
                admitted: Default::default(),
                name: (*name).into(),
                methods: methods.to_vec(),
                path: (*path).into(),
                access: Access::Public,
                addresses: vec![],
                limits: vec![],
                cost: crate::limit::ONE,
                mode: Mode::Enforce,
                listed: true,
                needs_address: false,
            }
        };
        let source = Arc::new(Source { name: "p".into(), text: "p".into() });
        let places = vec![Place { source, span: 0..1 }; rules.len()];
        let faults = Faults::default();
        let table = RuleTable::new(rules.iter().map(rule).collect(), &places, &faults);
        (table, faults.into_sorted().len())
    }

    fn name(table: &RuleTable, method: &Method, path: &str) -> String {
        match table.find(method, path) {
            Ok(rule) => table[rule].name.to_string(),
            Err(NoRule::Path) => "-".into(),
            Err(NoRule::Method(allowed)) => {
                allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(",")
            }
        }
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let (get, post) = (Method::GET, Method::POST);
        let (table, faults) = table(&[
            ("all", &[], "/{*rest}"),
            ("list", &[Method::GET], "/orders"),
            ("orders", &[], "/orders"),
            ("one", &[Method::GET], "/orders/{id}"),
            ("change", &[Method::PUT, Method::DELETE], "/orders/{order}"),
            ("mine", &[Method::GET], "/orders/mine"),
            ("below", &[], "/orders/{*rest}"),
            ("lines", &[], "/orders/{id}/lines"),
        ]);
        assert_eq!(faults, 0);
        for (method, path, expected) in [
            (&get, "/orders", "list"),
            (&Method::HEAD, "/orders", "list"),
            (&post, "/orders", "orders"),
            (&get, "/orders/7", "one"),
            (&Method::HEAD, "/orders/7", "one"),
            (&Method::PUT, "/orders/7", "change"),
            (&post, "/orders/7", "below"),
            (&get, "/orders/mine", "mine"),
            (&post, "/orders/mine", "below"),
            (&get, "/orders/7/lines", "lines"),
            (&get, "/orders/7/8", "below"),
            (&get, "/other", "all"),
            (&get, "/", "-"),
            (&get, "*", "-"),
            (&get, "", "-"),
        ] {
            assert_eq!(name(&table, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_path_without_the_method_names_those_it_has() {
        let (table, _) = table(&[
            ("read", &[Method::GET], "/a"),
            ("write", &[Method::DELETE, Method::POST], "/a"),
            ("other", &[Method::PUT], "/b"),
        ]);
        assert_eq!(name(&table, &Method::PUT, "/a"), "GET,HEAD,POST,DELETE");
        assert_eq!(name(&table, &Method::OPTIONS, "/a"), "GET,HEAD,POST,DELETE");
        assert_eq!(name(&table, &Method::GET, "/c"), "-");
    }

    #[test]
    fn two_rules_for_one_method_and_path_are_reported() {
        assert_eq!(table(&[("a", &[], "/x/{a}"), ("b", &[], "/x/{b}")]).1, 1);
        assert_eq!(
            table(&[("a", &[Method::GET], "/x"), ("b", &[Method::GET, Method::PUT], "/x")]).1,
            1
        );
        assert_eq!(table(&[("a", &[Method::GET], "/x"), ("b", &[Method::HEAD], "/x")]).1, 0);
        assert_eq!(table(&[("a", &[Method::GET], "/x"), ("b", &[], "/x")]).1, 0);
    }

    #[test]
    fn odd_paths_are_covered_by_no_rule() {
        let (table, _) = table(&[("all", &[], "/{*rest}")]);
        for path in [
            "/a//b",
            "//a",
            "/a/./b",
            "/a/..",
            "/../a",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%5cb",
            "/%61",
            "/a%2fb",
            "/a%2Fb",
            "/a\\b",
            "/a%00",
            "/a/.",
        ] {
            assert_eq!(name(&table, &Method::GET, path), "-", "{path}");
        }
        for path in
            ["/a", "/a.b", "/.well-known/x", "/a/...", "/a%20b", "/a%25b", "/a;b", "/a/", "/a%7Eb"]
        {
            assert_eq!(name(&table, &Method::GET, path), "all", "{path}");
        }
        let (table, _) = self::table(&[("one", &[], "/a/{id}")]);
        for path in ["/a/b%2fc", "/a/%61"] {
            assert_eq!(name(&table, &Method::GET, path), "one", "a segment, as axum has it");
        }
    }

    #[test]
    fn patterns_are_ordered_where_they_part() {
        let (table, _) = table(&[
            ("version", &[], "/v{n}"),
            ("slug", &[], "/{slug}"),
            ("rest", &[], "/{*rest}"),
            ("below", &[], "/x/{*rest}"),
            ("any", &[], "/{a}/b"),
        ]);
        for (path, expected) in [
            ("/v1", "version"),
            ("/w1", "slug"),
            ("/x/b", "below"),
            ("/y/b", "any"),
            ("/y/c", "rest"),
        ] {
            assert_eq!(name(&table, &Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn trace_and_connect_are_never_admitted() {
        let (table, _) = table(&[("all", &[], "/a"), ("get", &[Method::GET], "/a")]);
        for method in [Method::TRACE, Method::CONNECT] {
            assert_eq!(name(&table, &method, "/a"), "GET,HEAD");
        }
        assert_eq!(name(&table, &Method::PATCH, "/a"), "all");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_paths_never_panic(path in "[/a-c.%2eEfF5cC0\\\\{}*]{0,24}") {
            let _ = is_odd(&path);
            let _ = check_path(&path);
            let (table, _) = table(&[("one", &[], "/a/{x}"), ("rest", &[], "/a/{*rest}")]);
            let _ = table.find(&Method::GET, &path);
        }
    }
}
