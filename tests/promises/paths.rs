//! Paths are read twice: nobody reaches by one rule what another one guards, however the path is
//! spelt.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::future::{Ready, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use futures_util::FutureExt as _;
use http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tollgate::{Admission, Tollgate};
use tower::util::ServiceExt as _;
use tower::{Layer as _, Service as _};
use tower_http::services::ServeDir;

use super::support::{self, trial};

/// Each with what it shows, the path, and the rule that admits it; `-` where it is denied for how it
/// may be read, `?` where no reading has a rule.
const CASES: [(&str, &str, &str); 49] = [
    ("as it is written", "/u/7", "any"),
    ("the more specific rule", "/u/root", "root"),
    ("a letter encoded", "/u/%72oot", "-"),
    ("all letters encoded", "/u/%72%6F%6f%74", "-"),
    ("encoded twice is decoded once", "/u/%2572oot", "any"),
    ("a parameter behind it", "/u/root;x=1", "-"),
    ("an encoded parameter behind it", "/u/root%3Bx", "-"),
    ("a last slash that is encoded", "/u/root%2F", "-"),
    ("a letter encoded in a path without a rule of its own", "/u/r%6Fot2", "any"),
    ("a space", "/u/a%20b", "any"),
    ("a parameter in an id", "/u/7;v=1", "any"),
    ("a slash in an id", "/u/a%2Fb", "any"),
    ("a URL as an id", "/u/https%3A%2F%2Fexample.com%2Fx", "any"),
    ("a slash that leads to another rule", "/f/secret%2Fkey", "-"),
    ("a small slash that leads to another rule", "/f/secret%2fkey", "-"),
    ("a backslash that leads to another rule", "/f/secret%5Ckey", "-"),
    ("a slash and a letter encoded", "/f/%73ecret%2Fkey", "-"),
    ("empty segments that are dropped", "/f/secret%2F%2Fkey", "-"),
    ("a slash elsewhere", "/f/public%2Fkey", "file"),
    ("a double slash", "/f//x", "-"),
    ("a double slash in front", "//f/x", "-"),
    ("a dot segment", "/open/./x", "-"),
    ("a double dot segment", "/open/../x", "-"),
    ("an encoded dot segment", "/open/%2e%2E/x", "-"),
    ("a half encoded dot segment", "/open/.%2e/x", "-"),
    ("a dot segment between encoded slashes", "/open/a%2F..%2Fb", "-"),
    ("a dot segment between encoded backslashes", "/open/a%5C..%5Cb", "-"),
    ("a last dot segment", "/open/a/..", "-"),
    ("three dots are a name", "/open/.../x", "open"),
    ("dots with a parameter lead to another rule", "/open/..;/admin", "-"),
    ("encoded dots with a parameter", "/open/%2e%2e;a=b/admin", "-"),
    ("a parameter that ends at an encoded slash", "/open/..;%2Fx/admin", "-"),
    ("dots with a parameter stay under the rule", "/open/a/..;/b", "open"),
    ("dots with a parameter lead to no rule", "/open/..;/nowhere", "open"),
    ("for another method there is a rule", "/m/x%2F7", "-"),
    ("no rule for any method", "/m/x%2F7%2F8", "get"),
    ("an octet that is not UTF-8", "/open/%ff", "-"),
    ("overlong dots", "/open/%c0%ae%c0%ae/x", "-"),
    ("an encoded NUL", "/open/a%00", "-"),
    ("an encoded line break", "/open/a%0d%0ab", "-"),
    ("an encoded DEL", "/open/a%7F", "-"),
    ("a percent sign alone", "/open/100%", "open"),
    ("the rule refuses a slash", "/n/a%2Fb", "-"),
    ("the rule refuses a backslash", "/n/a%5cb", "-"),
    ("the rule takes a space", "/n/a%20b", "no-slashes"),
    ("a pattern with a space", "/a%20b", "space"),
    ("a pattern's own letter encoded", "/%61%20b", "-"),
    ("a path without a rule", "/nowhere", "?"),
    ("a well-known path", "/.well-known/x", "well-known"),
];

const POLICY: &str = r#"
version = 1
rule = [
    { name = "any", path = "/u/{id}", public = true },
    { name = "root", path = "/u/root", public = true },
    { name = "file", path = "/f/{name}", public = true },
    { name = "secret", path = "/f/secret/{name}", public = true },
    { name = "open", path = "/open/{*rest}", public = true },
    { name = "admin", path = "/admin", public = true },
    { name = "get", methods = ["GET"], path = "/m/{id}", public = true },
    { name = "post", methods = ["POST"], path = "/m/x/{id}", public = true },
    { name = "no-slashes", path = "/n/{id}", public = true, encoded_slashes = false },
    { name = "space", path = "/a%20b", public = true },
    { name = "well-known", path = "/.well-known/{name}", public = true },
]
"#;

#[tokio::test]
async fn named_cases() {
    let (gate, clock) = support::gate(POLICY).await;
    let rule = async |admission: Admission| admission.rule().to_owned();
    let server = support::serve(Router::new().fallback(rule).layer(gate.layer()), clock).await;
    for (what, path, expected) in CASES {
        let answer = server.get(path, &[]).await;
        if matches!(expected, "-" | "?") {
            assert_eq!(answer.code(), "no_matching_rule", "{what}: {path}");
            let remedy = answer.json()["remedy"].as_str().unwrap().to_owned();
            let says_why = remedy.contains("read in more than one way");
            assert_eq!(says_why, expected == "-", "{what}: {remedy}");
        } else {
            assert_eq!(answer.text, expected, "{what}: {path}");
        }
    }
}

#[tokio::test]
async fn at_minimal_an_ambiguous_path_is_denied_as_any_other() {
    let policy = format!("{POLICY}[denial]\ndisclosure = \"minimal\"\n");
    let server = trial(&policy).await;
    let documents = ["/u/%72oot", "/open//x", "/n/a%2Fb", "/nowhere"];
    let mut documents = futures_util::future::join_all(documents.map(async |path| {
        let mut document = server.get(path, &[]).await.json();
        document["instance"] = "".into();
        document
    }))
    .await;
    assert_eq!(documents[0]["code"], "access_denied");
    documents.dedup();
    assert_eq!(documents.len(), 1, "{documents:#?}");
}

/// The raw backslash is no character of a URI that this client would send.
#[tokio::test]
async fn a_raw_backslash_never_passes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = trial(POLICY).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /open/a\\b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    // The server itself may refuse it.
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

// ---- The rule of the contract, written once more, slowly ----

/// Stands for a parameter in a pattern.
const ONE: char = '\u{e000}';
/// Stands for `{*rest}`.
const REST: char = '\u{e001}';
/// Stands for an encoded slash: encoded control characters never pass.
const ENCODED: char = '\u{1}';

#[derive(Clone, Copy, Debug)]
enum Reading {
    Raw,
    Kept,
    DroppedAfterDecoding,
    DroppedBeforeDecoding,
}

const READINGS: [Reading; 4] =
    [Reading::Raw, Reading::Kept, Reading::DroppedAfterDecoding, Reading::DroppedBeforeDecoding];

fn percent_decoded(text: &str, slash: char) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let code = rest.get(1..3).filter(|code| letter == '%' && !code.starts_with('+'));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(b'/' | b'\\') => {
                octets.extend(slash.to_string().bytes());
                rest = &rest[3..];
            }
            Some(octet) => {
                octets.push(octet);
                rest = &rest[3..];
            }
            None => {
                octets.extend(letter.to_string().bytes());
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    String::from_utf8(octets).ok()
}

fn never_passes(path: &str) -> bool {
    let Some(decoded) = percent_decoded(path, '/') else { return true };
    path.contains("//")
        || path.contains('\\')
        || decoded.chars().any(char::is_control)
        || decoded.split('/').any(|segment| segment == "." || segment == "..")
}

fn read(path: &str, reading: Reading) -> String {
    let cut = |text: &str, slashes: &[char]| -> String {
        let cut = |part: &str| {
            let (segment, slash) = match part.strip_suffix(slashes) {
                Some(segment) => (segment, &part[segment.len()..]),
                None => (part, ""),
            };
            format!("{}{slash}", segment.split(';').next().unwrap_or_default())
        };
        text.split_inclusive(slashes).map(cut).collect()
    };
    let decoded = |text: &str| percent_decoded(text, ENCODED).expect("UTF-8");
    let text = match reading {
        Reading::Raw => return path.to_owned(),
        Reading::Kept => decoded(path),
        Reading::DroppedAfterDecoding => cut(&decoded(path), &['/', ENCODED]),
        Reading::DroppedBeforeDecoding => decoded(&cut(path, &['/'])),
    };
    let segments: Vec<&str> = text.split(['/', ENCODED]).collect();
    let last = segments.last().copied().unwrap_or_default();
    let mut resolved: Vec<&str> = Vec::new();
    for segment in &segments {
        match *segment {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            name => resolved.push(name),
        }
    }
    let is_place = ["", ".", ".."].contains(&last);
    let by_plain_slash = text[..text.len() - last.len()].ends_with('/');
    let slash = if is_place && by_plain_slash && !resolved.is_empty() { "/" } else { "" };
    format!("/{}{slash}", resolved.join("/"))
}

/// A pattern with one character for each parameter.
fn compact(pattern: &str) -> String {
    let escaped = pattern.replace("{{", "\u{2}").replace("}}", "\u{3}");
    let mut text = String::new();
    let mut rest = &*escaped;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').expect("a whole pattern");
        text += before;
        text.push(if name.starts_with('*') { REST } else { ONE });
        rest = behind;
    }
    (text + rest).replace('\u{2}', "{").replace('\u{3}', "}")
}

fn matches(pattern: &[char], path: &[char]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [REST] => !path.is_empty(),
        [ONE, behind @ ..] => {
            let end = path.iter().position(|letter| *letter == '/').unwrap_or(path.len());
            // Within a path, a parameter behind text may be empty: so has it axum.
            !path.is_empty() && matches(behind, &path[end..])
        }
        [letter, behind @ ..] => path.first() == Some(letter) && matches(behind, &path[1..]),
    }
}

type Rank = Vec<(usize, bool)>;

/// Of two patterns that match one path, the one that is text for longer is more specific, and a
/// parameter is more so than the rest.
fn rank(pattern: &str) -> Rank {
    let rank = |segment: &str| match segment.find([ONE, REST]) {
        None => (usize::MAX, true),
        Some(at) => (segment[..at].chars().count(), segment.ends_with(ONE)),
    };
    pattern.split('/').map(rank).collect()
}

#[derive(Clone)]
struct Sketch {
    path: String,
    methods: Vec<&'static str>,
    is_public: bool,
    /// The pattern in each reading, and its rank.
    read: [(Vec<char>, Rank); 4],
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} public: {}", self.methods, self.path, self.is_public)
    }
}

impl Sketch {
    fn public(path: &str) -> Self {
        let read = READINGS.map(|reading| {
            let pattern = read(&compact(path), reading);
            (pattern.chars().collect(), rank(&pattern))
        });
        Self { path: path.into(), methods: Vec::new(), is_public: true, read }
    }

    fn pattern(&self, reading: Reading) -> &[char] {
        &self.read[reading as usize].0
    }

    fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(&method)
    }
}

/// The rule that a reading of the path falls to, of those that take the method.
fn falls_to(rules: &[Sketch], method: &str, path: &str, reading: Reading) -> Option<usize> {
    let text: Vec<char> = read(path, reading).chars().collect();
    let matching = (rules.iter().enumerate())
        .filter(|(_, rule)| rule.takes(method) && matches(rule.pattern(reading), &text));
    let best =
        matching.max_by_key(|(_, rule)| (&rule.read[reading as usize].1, !rule.methods.is_empty()));
    best.map(|(index, _)| index)
}

/// The rule that admits a request, or the code that denies it.
fn expected(rules: &[Sketch], method: &str, path: &str) -> Result<usize, &'static str> {
    let anywhere = |reading| {
        ["GET", "POST", "DELETE"]
            .into_iter()
            .find_map(|method| falls_to(rules, method, path, reading))
    };
    let is_plain = !["%", "\\", ";", "//", "/."].iter().any(|odd| path.contains(odd));
    if !is_plain && never_passes(path) {
        return Err("no_matching_rule");
    }
    let Some(rule) = falls_to(rules, method, path, Reading::Raw) else {
        let covered = anywhere(Reading::Raw).is_some();
        return Err(if covered { "method_not_allowed" } else { "no_matching_rule" });
    };
    // A plain path is what an encoded pattern means, too.
    let readings = if is_plain { &READINGS[1..2] } else { &READINGS[1..] };
    for reading in readings {
        let same_method = falls_to(rules, method, path, *reading);
        if same_method.or_else(|| anywhere(*reading)).is_some() && same_method != Some(rule) {
            return Err("no_matching_rule");
        }
    }
    Ok(rule)
}

// ---- Random rules and paths ----

/// SplitMix64: the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("below sides")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

const WORDS: [&str; 8] = ["a", "b", "ab", "root", "v1", "a b", "é", "{x}"];

fn encoded(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~;".contains(&octet);
    let octet = |octet: u8| match plain(octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    text.bytes().map(octet).collect()
}

fn random_pattern(dice: &mut Dice) -> String {
    let mut pattern = String::new();
    let count = 1 + dice.roll(3);
    for at in 0..count {
        pattern.push('/');
        pattern += &match dice.roll(16) {
            0..=6 => encoded(dice.pick(&WORDS)),
            7..=11 => format!("{{p{at}}}"),
            12 => format!("v{{p{at}}}"),
            13 => {
                dice.pick(&["%61", "a%2Fb", "a;v", "%3Bb", "r%6fot", "a;{p}", "%2F{p}"]).to_owned()
            }
            _ if at + 1 == count => "{*rest}".to_owned(),
            _ => "b".to_owned(),
        };
    }
    if dice.one_in(8) && !pattern.ends_with("{*rest}") {
        pattern.push('/');
    }
    pattern
}

/// A path near the patterns, spelt as an attacker might.
fn random_path(dice: &mut Dice, rules: &[Sketch]) -> String {
    let base = match dice.roll(4) {
        0 => random_pattern(dice),
        _ => rules[dice.roll(rules.len())].path.clone(),
    };
    let mut path = String::new();
    for letter in compact(&base).chars() {
        match letter {
            ONE | REST => {
                let count = if letter == REST { 1 + dice.roll(2) } else { 1 };
                for at in 0..count {
                    if at > 0 {
                        path += dice.pick(&["/", "/", "%2F"]);
                    }
                    path += &encoded(dice.pick(&WORDS));
                    if dice.one_in(6) {
                        path += dice.pick(&["%2F", "%5c", "%2Fa", "%2Froot", "%2f;a"]);
                        path += &encoded(dice.pick(&WORDS));
                    }
                }
            }
            '/' if !path.is_empty() => {
                path += dice.pick(&[
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "/",
                    "%2F",
                    "%2f",
                    "%5C",
                    "/..;/",
                    "/x/..;/",
                    "/.;/",
                    "/%2e%2e;x/",
                    "/;/",
                    "/.%2e/",
                    "//",
                    "%2F%2F",
                    "%2F..;%2F",
                    ";v/",
                    "%3B/",
                    ";%2Fx/",
                    "/x%2F..;%2F",
                ]);
            }
            letter if letter.is_alphanumeric() && dice.one_in(12) => {
                let mut octets = [0; 4];
                for octet in letter.encode_utf8(&mut octets).bytes() {
                    path += &if dice.one_in(2) {
                        format!("%{octet:02X}")
                    } else {
                        format!("%{octet:02x}")
                    };
                }
            }
            letter => path.push(letter),
        }
    }
    if dice.one_in(8) {
        path += dice.pick(&[
            "/", "%2F", ";", ";a/b", "/..;", "%2F..;", "%", "%00", "%ff", "/.", "%2E%2e", "%2Fb",
        ]);
    }
    path
}

/// The path of a pattern with letters encoded and slashes added, as they do no harm to a file server.
fn respelt(dice: &mut Dice, pattern: &str) -> String {
    let mut path = String::new();
    for letter in compact(pattern).chars() {
        let is_within_code = path.bytes().rev().take(2).any(|octet| octet == b'%');
        match letter {
            ONE | REST => path += "a",
            letter if is_within_code => path.push(letter),
            '/' if path == "/open" => path.push('/'),
            '/' if !path.is_empty() => path += dice.pick(&["/", "/", "%2F", "%2F%2F", "/%2F"]),
            letter if letter.is_alphanumeric() && dice.one_in(6) => {
                let mut octets = [0; 4];
                path.extend(
                    letter.encode_utf8(&mut octets).bytes().map(|octet| format!("%{octet:02x}")),
                );
            }
            letter => path.push(letter),
        }
    }
    path
}

/// A policy in which every rule is named by its number; `None` where it is refused.
fn open(rules: &[Sketch]) -> Option<Tollgate> {
    let mut policy = "version = 1\n[api_keys]\n".to_owned();
    for (index, Sketch { path, methods, is_public, .. }) in rules.iter().enumerate() {
        policy += &format!("[[rule]]\nname = \"{index}\"\npath = '{path}'\npublic = {is_public}\n");
        if !methods.is_empty() {
            policy += &format!("methods = {methods:?}\n");
        }
    }
    Tollgate::builder().policy(policy).build().now_or_never().expect("nothing to wait for").ok()
}

fn request(method: &str, path: &str) -> Option<Request<Body>> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse::<Uri>().ok().filter(|uri| uri.path() == path)?;
    *request.method_mut() = method.parse().expect("a method");
    Some(request)
}

fn body_of(response: Response) -> String {
    let body =
        response.into_body().collect().now_or_never().expect("a whole body").expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8")
}

fn code_of(response: Response) -> String {
    let document: serde_json::Value = serde_json::from_str(&body_of(response)).expect("a denial");
    document["code"].as_str().expect("a code").to_owned()
}

/// Answers with the rule that admitted the request.
fn tell_rule(request: Request<Body>) -> Ready<Result<Response, Infallible>> {
    let rule = request.extensions().get::<Admission>().map(|admission| admission.rule().to_owned());
    ready(Ok(rule.expect("admitted").into_response()))
}

#[test]
fn random_paths_are_judged_as_the_contract_says() {
    let mut dice = Dice(1);
    let (mut tried, mut policies, mut refused, mut admitted) = (0, 0, 0, 0);
    let mut ambiguous = 0;
    while tried < 200_000 {
        let rules: Vec<Sketch> = (0..1 + dice.roll(7))
            .map(|_| {
                let mut rule = Sketch::public(&random_pattern(&mut dice));
                if dice.one_in(3) {
                    rule.methods = dice.pick(&[&["GET"][..], &["POST"], &["GET", "POST"]]).to_vec();
                }
                rule
            })
            .collect();
        let Some(gate) = open(&rules) else {
            refused += 1;
            continue;
        };
        policies += 1;
        let mut service = gate.layer().layer(tower::service_fn(tell_rule));
        for _ in 0..250 {
            let path = random_path(&mut dice, &rules);
            let method = dice.pick(&["GET", "GET", "POST"]);
            let Some(request) = request(method, &path) else { continue };
            tried += 1;
            let response =
                service.call(request).now_or_never().expect("at once").expect("infallible");
            let was_admitted = response.status().is_success();
            let expected = expected(&rules, method, &path);
            let found = if was_admitted { Ok(body_of(response)) } else { Err(code_of(response)) };
            let told = expected.map(|rule| rule.to_string()).map_err(str::to_owned);
            assert_eq!(found, told, "{method} {path} with {rules:#?}");
            admitted += usize::from(was_admitted);
            let has_raw_rule = falls_to(&rules, method, &path, Reading::Raw).is_some();
            ambiguous += usize::from(!was_admitted && has_raw_rule && !never_passes(&path));
        }
    }
    println!(
        "{tried} paths, {admitted} admitted, {ambiguous} ambiguous; {policies} policies, {refused} refused"
    );
    assert!(admitted > tried / 5 && ambiguous > tried / 50 && policies > refused / 2);
}

/// The router of the application and the gate agree, and what a handler is told is of no other
/// rule.
#[test]
fn axum_gives_a_request_to_the_route_of_the_rule_that_admitted_it() {
    let mut dice = Dice(2);
    let (mut tried, mut handled, mut policies) = (0, 0, 0);
    while tried < 60_000 {
        // As routes, patterns must not conflict.
        let mut routes = matchit::Router::new();
        let mut rules = Vec::new();
        for _ in 0..2 + dice.roll(5) {
            let pattern = random_pattern(&mut dice);
            if routes.insert(&pattern, ()).is_ok() {
                rules.push(Sketch::public(&pattern));
            }
        }
        let Some(gate) = open(&rules) else { continue };
        policies += 1;
        let mut app = Router::new();
        for (index, rule) in rules.iter().enumerate() {
            let tell = move |params: RawPathParams, admission: Admission| async move {
                let values: Vec<String> =
                    params.iter().map(|(_, value)| value.to_owned()).collect();
                assert_eq!(admission.rule(), index.to_string(), "the rule of the route");
                serde_json::to_string(&(index, values)).expect("JSON")
            };
            app = app.route(&rule.path, any(tell));
        }
        let mut service = gate.layer().layer(app);
        for _ in 0..250 {
            let path = random_path(&mut dice, &rules);
            let Some(request) = request("GET", &path) else { continue };
            tried += 1;
            let response =
                service.call(request).now_or_never().expect("at once").expect("infallible");
            if !response.status().is_success() {
                continue;
            }
            handled += 1;
            let (index, values): (usize, Vec<String>) =
                serde_json::from_str(&body_of(response)).expect("the handler's answer");
            // What the handler is told, in place of the parameters of its route.
            let mut values = values.into_iter();
            let told = rules[index].pattern(Reading::Kept).iter().map(|letter| match letter {
                '\u{e000}' | '\u{e001}' => values.next().expect("a value"),
                letter => letter.to_string(),
            });
            let told = told.collect::<String>().replace('\\', "/");
            let segments: Vec<&str> = told.split('/').filter(|name| !name.is_empty()).collect();
            let slash = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
            let told = format!("/{}{slash}", segments.join("/"));
            let text: Vec<char> = told.chars().collect();
            let best = (rules.iter().enumerate())
                .filter(|(_, rule)| matches(rule.pattern(Reading::Kept), &text))
                .max_by_key(|(_, rule)| &rule.read[Reading::Kept as usize].1);
            assert!(
                best.is_none_or(|(best, _)| best == index),
                "{path} with {rules:#?}: the handler of {index} is told {told}, which is of {best:?}"
            );
        }
    }
    println!("{tried} paths, {handled} handled, {policies} policies");
    assert!(handled > tried / 5);
}

const NAMES: [&str; 14] = [
    "a", "b", "secret", "a b", "é", "a;b", ";a", "..;", "...", "%61", "a%2Fb", "{x}", ".hidden",
    "b;",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_server_serves_no_file_that_another_rule_guards() {
    let mut dice = Dice(3);
    let (mut tried, mut served, mut guarded_files) = (0, 0, 0);
    while tried < 40_000 {
        let folder = tempfile::tempdir().unwrap();
        let mut files = BTreeMap::new();
        for _ in 0..14 {
            let depth = 1 + dice.roll(3);
            let names: Vec<&str> = (0..depth).map(|_| dice.pick(&NAMES)).collect();
            let place = names.iter().fold(folder.path().to_owned(), |place, name| place.join(name));
            let is_free = place.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok());
            if is_free && !place.is_dir() && fs::write(&place, names.join("/")).is_ok() {
                files.insert(names.join("/"), names);
            }
        }
        let mut rules = vec![Sketch::public("/open/{*rest}")];
        for names in files.values() {
            // By its path, by that of its folder, or not at all.
            let spelt: Vec<String> = names.iter().map(|name| encoded(name)).collect();
            let pattern = match (dice.roll(4), &spelt[..]) {
                (0, spelt) => format!("/open/{}", spelt.join("/")),
                (1, [folder, .., _]) => format!("/open/{folder}/{{*rest}}"),
                (1, [_]) if dice.one_in(8) => "/open/{name}".to_owned(),
                (2, [before @ .., _]) if !before.is_empty() => {
                    format!("/open/{}/{{name}}", before.join("/"))
                }
                _ => continue,
            };
            let rule = Sketch { is_public: false, ..Sketch::public(&pattern) };
            let more: Vec<Sketch> = rules.iter().chain([&rule]).cloned().collect();
            if open(&more).is_some() {
                rules = more;
            }
        }
        let gate = open(&rules).expect("a policy");
        let is_guarded = |names: &[&str]| {
            let text: Vec<char> = format!("/open/{}", names.join("/")).chars().collect();
            rules[1..].iter().any(|rule| matches(rule.pattern(Reading::Kept), &text))
        };
        guarded_files += files.values().filter(|names| is_guarded(names)).count();
        let server = ServeDir::new(folder.path()).append_index_html_on_directories(false);
        let service = gate.layer().layer(Router::new().nest_service("/open", server));
        for _ in 0..400 {
            let base = match dice.roll(3) {
                0 => rules[dice.roll(rules.len())].clone(),
                _ => {
                    let names = files.values().nth(dice.roll(files.len())).expect("a file");
                    let spelt: Vec<String> = names.iter().map(|name| encoded(name)).collect();
                    Sketch::public(
                        &format!("/open/{}", spelt.join("/")).replace('{', "{{").replace('}', "}}"),
                    )
                }
            };
            let path = match dice.roll(3) {
                0 => respelt(&mut dice, &base.path),
                _ => random_path(&mut dice, &[base]),
            };
            let Some(request) = request("GET", &path) else { continue };
            tried += 1;
            let response = service.clone().oneshot(request).await.expect("infallible");
            if response.status() != http::StatusCode::OK {
                continue;
            }
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let name = String::from_utf8(body.to_vec()).expect("a name");
            served += 1;
            let names = &files[&name];
            assert!(!is_guarded(names), "{path} served {name} with {rules:#?}");
        }
    }
    println!("{tried} paths, {served} served; {guarded_files} guarded files");
    assert!(served > tried / 20 && guarded_files > 100);
}

fn fixed() -> (Vec<Sketch>, Tollgate) {
    let patterns = [
        "/{a}",
        "/a/{b}",
        "/a/a",
        "/a/{*rest}",
        "/b/{*rest}",
        "/b/a/{c}/b",
        "/a%20b",
        "/b/a%2Fb",
        "/a/",
        "/;a/b",
    ];
    let rules: Vec<Sketch> = patterns.map(Sketch::public).into();
    let gate = open(&rules).expect("a policy");
    (rules, gate)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_is_judged_as_the_contract_says(path in "(/|%2F|%5c|a|b|%61|;|%3b|\\.|%2e|\\.\\.;|%20|%|%C3%A9){0,14}") {
        static FIXED: std::sync::LazyLock<(Vec<Sketch>, Tollgate)> = std::sync::LazyLock::new(fixed);
        let (rules, gate) = &*FIXED;
        let path = format!("/{path}");
        if let Some(request) = request(Method::GET.as_str(), &path) {
            let mut service = gate.layer().layer(tower::service_fn(tell_rule));
            let response = service.call(request).now_or_never().expect("at once").expect("infallible");
            let found = match response.status().is_success() {
                true => Ok(body_of(response)),
                false => Err(code_of(response)),
            };
            let expected = expected(rules, "GET", &path);
            prop_assert_eq!(found, expected.map(|rule| rule.to_string()).map_err(str::to_owned));
        }
    }
}
