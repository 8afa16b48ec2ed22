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
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use http::Method;

use super::fault::{Fault, Faults, Place};
use super::path::{normal, values};
use super::path_table::{PathTables, Patterns};
use super::problem::problems;
use super::reading::{
    Oddity, Semicolon, has_encoded_slash, has_semicolon, is_plain, oddity, read_path, read_pattern,
};
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

/// Why no rule covers a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoRule {
    Path,
    /// Rules cover the path for these methods.
    Method(Vec<Method>),
    /// Software behind the gate may read the path in another way than its rule does.
    Ambiguous(Ambiguity),
}

/// In which way a path is ambiguous. It is shown as a cause, for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ambiguity {
    /// Such paths never pass.
    Odd(Oddity),
    /// The rule says `encoded_slashes = false`.
    EncodedSlash { rule: Arc<str> },
    /// Read once more, the path falls to another rule.
    OtherRule { raw: Arc<str>, read: Arc<str> },
    /// No rule covers it as it was sent; this one does, once the path is decoded.
    OnlyRead { read: Arc<str> },
    /// Read once more, a parameter that decides has another value.
    OtherValue { rule: Arc<str>, parameter: Box<str> },
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Odd(oddity) => f.write_str(match oddity {
                Oddity::EmptySegment => "the path has an empty segment",
                Oddity::Backslash => "the path has a backslash",
                Oddity::DotSegment => "the path has a dot segment, encoded or not",
                Oddity::NotUtf8 => "the path, percent-decoded, is not UTF-8",
                Oddity::ControlCharacter => "the path has an encoded control character",
            }),
            Self::EncodedSlash { rule } => {
                write!(
                    f,
                    "the path has an encoded slash, and rule {rule} says encoded_slashes = false"
                )
            }
            Self::OtherRule { raw, read } => {
                write!(f, "the path falls to rule {raw}, and to rule {read} once it is decoded")
            }
            Self::OnlyRead { read } => {
                write!(f, "the path falls to no rule, and to rule {read} once it is decoded")
            }
            Self::OtherValue { rule, parameter } => write!(
                f,
                "rule {rule} depends on the path parameter {parameter}, which has another value once the path is decoded"
            ),
        }
    }
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
        self.table(method).and_then(|table| self.raw.find(table, path)).ok_or_else(|| {
            let covers = |(_, table): &&(Method, usize)| self.raw.find(*table, path).is_some();
            let allowed: Vec<Method> =
                self.by_method.iter().filter(covers).map(|(method, _)| method.clone()).collect();
            if allowed.is_empty() { NoRule::Path } else { NoRule::Method(allowed) }
        })
    }

    /// The table of a method; `None` for the two that are not for an application to answer
    /// (RFC 9110 sections 9.3.6 and 9.3.8), unless a rule names them.
    fn table(&self, method: &Method) -> Option<usize> {
        match self.by_method.iter().find(|(named, _)| named == method) {
            Some((_, table)) => Some(*table),
            None if matches!(*method, Method::TRACE | Method::CONNECT) => None,
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

/// Two rules that are written apart and read alike, for a method: whichever it falls to, the request
/// is refused.
fn report_read_twins(rules: &[Rule], places: &[Place], faults: &Faults) {
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
                counters: Default::default(),
                name: (*name).into(),
                methods: methods.to_vec(),
                path: (*path).into(),
                access: Access::Public,
                addresses: vec![],
                limits: vec![],
                anonymous_limits: None,
                waits: false,
                mode: Mode::Enforce,
                status: None,
                description: None,
                listed: true,
                needs_address: false,
                encoded_slashes: !name.starts_with("no-slash"),
                path_parameters: name.split('=').skip(1).map(Into::into).collect(),
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
            Err(NoRule::Ambiguous(why)) => format!("! {why}"),
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
        for path in ["/a//b", "//a", "/a/./b", "/a/%2e%2E/b", "/a\\b", "/a%00", "/a%ff", "/a%2f.."]
        {
            assert!(name(&table, &Method::GET, path).starts_with("! the path"), "{path}");
        }
        for path in [
            "/a",
            "/a.b",
            "/.well-known/x",
            "/a/...",
            "/a%20b",
            "/a%25b",
            "/a;b",
            "/a/",
            "/a%7Eb",
            "/%61",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a/..;/b",
            "/%2F",
        ] {
            assert_eq!(name(&table, &Method::GET, path), "all", "{path}");
        }
    }

    #[test]
    fn a_path_that_reads_as_one_of_another_rule_is_refused() {
        let (table, faults) = table(&[
            ("any", &[], "/u/{id}"),
            ("root", &[], "/u/root"),
            ("file", &[], "/f/{name}"),
            ("secret", &[], "/f/secret/{name}"),
            ("open", &[], "/open/{*rest}"),
            ("admin", &[Method::GET], "/admin"),
            ("get", &[Method::GET], "/m/{id}"),
            ("post", &[Method::POST], "/m/x/{id}"),
        ]);
        assert_eq!(faults, 0);
        for (path, other) in [
            ("/u/%72oot", "root"),
            ("/u/root;x", "root"),
            ("/u/root%3Bx", "root"),
            ("/u/root%2F", "root"),
            ("/f/secret%2Fkey", "secret"),
            ("/f/secret%5ckey", "secret"),
            ("/f/x%2f..;%2fsecret%2fkey", "secret"),
            ("/open/..;/admin", "admin"),
            ("/open/%2e%2e;a=b/admin", "admin"),
            ("/open/..;%2Fx/admin", "admin"),
            ("/open/..;/u/7", "any"),
            // For its method there is no rule, but for another one.
            ("/m/x%2F7", "post"),
            // As it is there is none.
            ("/f%2Fkey", "file"),
            ("/nowhere/..;/admin", "admin"),
        ] {
            let answer = name(&table, &Method::GET, path);
            let expected = format!(", and to rule {other} once it is decoded");
            assert!(answer.ends_with(&expected), "{path}: {answer}");
        }
        for (path, rule) in [
            ("/u/r%6Fot2", "any"),
            ("/u/a%2Fb", "any"),
            ("/u/https%3A%2F%2Fexample.com%2F", "any"),
            ("/u/a;v=1", "any"),
            ("/u/%2572oot", "any"),
            ("/open/a/..;/b", "open"),
            ("/open/..;/nowhere", "open"),
            ("/m/x%2F7%2F8", "get"),
            ("/nowhere%2Fkey", "-"),
        ] {
            assert_eq!(name(&table, &Method::GET, path), rule, "{path}");
        }
    }

    /// Software that drops `;` before it decodes, after it, or never: none is let in by a rule
    /// that is not its path's.
    #[test]
    fn semicolons_are_read_in_each_way() {
        let (table, _) = table(&[
            ("public", &[], "/f/{*rest}"),
            ("a", &[], "/f/a"),
            ("b", &[], "/f/a/b"),
            ("one", &[], "/g/{name}"),
            ("two", &[], "/g/a/{name}"),
        ]);
        for path in ["/f/a;%2Fx", "/f/a%3Bx%2Fb", "/f/a;x/b", "/g/a%2F;x", "/g/a%2F..;x"] {
            assert!(name(&table, &Method::GET, path).starts_with('!'), "{path}");
        }
    }

    #[test]
    fn patterns_are_decoded_alike() {
        let (table, faults) = table(&[
            ("any", &[], "/{x}"),
            ("space", &[], "/a%20b"),
            ("letter", &[], "/%72oot"),
            ("brace", &[], "/%7Bx%7D"),
            ("cafe", &[], "/caf%C3%A9"),
            ("version", &[], "/v;n={n}"),
            ("below", &[], "/d%2Fe/{*rest}"),
        ]);
        assert_eq!(faults, 0);
        for (path, rule) in [
            ("/a%20b", "space"),
            ("/%72oot", "letter"),
            ("/caf%C3%A9", "cafe"),
            ("/v;n=7", "version"),
            ("/d%2Fe/f", "below"),
            ("/other", "any"),
            ("/v", "any"),
        ] {
            assert_eq!(name(&table, &Method::GET, path), rule, "{path}");
        }
        for path in [
            "/%61%20b",
            "/root",
            "/x%2F..;%2F%72oot",
            "/{x}",
            "/%7bx%7d",
            "/café",
            "/caf%c3%a9",
            "/v;m=7",
        ] {
            assert!(name(&table, &Method::GET, path).starts_with('!'), "{path}");
        }
    }

    #[test]
    fn paths_that_are_one_once_decoded_are_reported() {
        for (a, b, expected) in [
            ("/a", "/%61", 1),
            ("/caf%C3%A9", "/caf%c3%a9", 1),
            ("/{x}/a;v", "/{y}/a", 1),
            ("/a%2Fb", "/a/b", 1),
            ("/a%20b", "/a%2520b", 0),
        ] {
            assert_eq!(table(&[("a", &[], a), ("b", &[], b)]).1, expected, "{a} {b}");
            let apart: &[(&str, &[Method], &str)] =
                &[("a", &[Method::GET], a), ("b", &[Method::POST], b)];
            assert_eq!(table(apart).1, 0, "{a} {b}, for other methods");
        }
    }

    #[test]
    fn a_rule_may_refuse_encoded_slashes() {
        let (table, _) = table(&[("no-slash", &[], "/a/{id}"), ("slash", &[], "/b/{id}")]);
        for (path, expected) in [
            (
                "/a/x%2Fy",
                "! the path has an encoded slash, and rule no-slash says encoded_slashes = false",
            ),
            (
                "/a/x%5cy",
                "! the path has an encoded slash, and rule no-slash says encoded_slashes = false",
            ),
            ("/a/x%20y", "no-slash"),
            ("/b/x%2Fy", "slash"),
        ] {
            assert_eq!(name(&table, &Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn parameters_that_decide_have_one_value() {
        let (table, _) = table(&[
            ("t=tenant", &[], "/t/{tenant}/x/{id}"),
            ("r=rest", &[], "/r/{*rest}"),
            ("o", &[], "/o/{id}"),
        ]);
        for (path, parameter, value) in [
            ("/t/acme/x/1", "tenant", "acme"),
            ("/t/%61cme/x/1%20a", "tenant", "acme"),
            ("/t/acme/x/1;v", "id", "1;v"),
            // Where there is no second rule, the raw value counts.
            ("/t/acme%2Fx/x/1", "tenant", "acme/x"),
            ("/r/a%2Fb/c", "rest", "a/b/c"),
            ("/o/a;b", "id", "a;b"),
        ] {
            let id = table.find(&Method::GET, path).unwrap();
            assert_eq!(table.parameter(id, path, parameter).as_deref(), Some(value), "{path}");
            assert_eq!(table.parameter(id, path, "other"), None);
        }
        for path in
            ["/t/acme;x/x/1", "/t/acme%3Bx/x/1", "/t/x%2F..;%2Facme/x/1", "/r/a/..;/b", "/r/a%2F"]
        {
            assert!(name(&table, &Method::GET, path).starts_with('!'), "{path}");
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
        fn arbitrary_paths_never_panic(path in "[/a-c.%2eEfF5cC0\\\\{}*;]{0,24}") {
            let _ = check_path(&path);
            let (table, _) = table(&[("one", &[], "/a/{x}"), ("rest", &[], "/a/{*rest}"), ("p", &[], "/%7B/;{x}")]);
            if let Ok(id) = table.find(&Method::GET, &path) {
                let _ = table.parameter(id, &path, "x");
            }
        }
    }
}
