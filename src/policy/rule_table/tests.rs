//! Which rule decides about which request.

use super::super::path::check_path;
use super::super::place::Source;
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
    let source = Arc::new(Source::new("p", "p"));
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
    for path in ["/a//b", "//a", "/a/./b", "/a/%2e%2E/b", "/a\\b", "/a%00", "/a%ff", "/a%2f.."] {
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
    for (path, expected) in
        [("/v1", "version"), ("/w1", "slug"), ("/x/b", "below"), ("/y/b", "any"), ("/y/c", "rest")]
    {
        assert_eq!(name(&table, &Method::GET, path), expected, "{path}");
    }
}

#[test]
fn trace_and_tunnels_are_never_admitted() {
    let (table, _) = table(&[
        ("all", &[], "/a"),
        ("get", &[Method::GET], "/a"),
        ("rest", &[], "/{*rest}"),
        ("root", &[], "/"),
    ]);
    assert_eq!(name(&table, &Method::TRACE, "/a"), "GET,HEAD");
    assert_eq!(name(&table, &Method::PATCH, "/a"), "all");
    assert_eq!(name(&table, &Method::CONNECT, "/a"), "all", "a WebSocket over HTTP/2");
    assert_eq!(name(&table, &Method::CONNECT, ""), "-", "the path of a tunnel");
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
