//! One direction: each room of the house uses those above it, never those below.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::support::root;

/// From top to bottom: each uses those before it.
const ROOMS: [&str; 18] = [
    "time",
    "fields",
    "scope",
    "claims",
    "principal",
    "address",
    "ask",
    "credential",
    "verify",
    "limit",
    "watch",
    "policy",
    "decision",
    "accept",
    "denial",
    "gate",
    "reference",
    "workbench",
];

pub(super) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines of a file before its tests.
pub(super) fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().position(|line| line.starts_with("mod tests"));
    let end = end.filter(|at| is_for_tests(&lines[..*at])).unwrap_or(lines.len());
    let is_code = |line: &&&str| !line.trim_start().starts_with("//");
    lines[..end].iter().filter(is_code).copied().collect::<Vec<_>>().join("\n")
}

/// Whether the attributes that end these lines make what follows a test.
fn is_for_tests(lines: &[&str]) -> bool {
    let mut attributes = lines.iter().rev().take_while(|line| line.starts_with("#["));
    attributes.any(|line| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,"))
}

/// Whether a file is compiled for tests alone.
pub(super) fn is_of_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let (folder, declared) = (path.parent().unwrap(), format!("mod {name};"));
    [folder.join("mod.rs"), folder.with_extension("rs")].iter().any(|door| {
        let door = fs::read_to_string(door).unwrap_or_default();
        let lines: Vec<&str> = door.lines().collect();
        let at = lines.iter().position(|line| *line == declared);
        at.is_some_and(|at| is_for_tests(&lines[..at]))
    })
}

/// The module that a file of `src` is: `src/limit/mod.rs` is `limit`.
pub(super) fn module_of(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut module: Vec<String> =
        inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

/// What code does with a path that it names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    Uses,
    /// `pub use`: others may take it from here.
    HandsOn,
    /// `pub(in ..)`.
    Bounds,
}

/// The paths from the root of the crate that code in `module` names: `limit::Quota`. The empty path
/// is the root itself.
fn paths_in(module: &[String], code: &str) -> Vec<String> {
    named_in(module, code).into_iter().map(|(_, path)| path).collect()
}

/// The same, with what is done with each.
pub(super) fn named_in(module: &[String], code: &str) -> Vec<(How, String)> {
    let words = words(code);
    let is_child = |at: usize| words[at - 1] == "mod" && words[at + 1] == ";";
    let children: HashSet<&str> = (1..words.len().saturating_sub(1))
        .filter(|at| is_child(*at))
        .map(|at| &*words[at])
        .collect();
    let (file, mut named, mut at) = (module, Vec::new(), 0);
    // The module, and at which depth of braces each inner one ends.
    let (mut module, mut inner, mut depth) = (module.to_vec(), Vec::new(), 0);
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1).map_or("", String::as_str);
        let before = |count: usize| at.checked_sub(count).map_or("", |at| &*words[at]);
        match &**word {
            "mod" if words.get(at + 2).is_some_and(|word| word == "{") => {
                module.push(next.to_owned());
                inner.push(depth);
                at += 1;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inner.pop_if(|outside| *outside == depth).is_some() {
                    module.pop();
                }
            }
            word if matches!(word, "crate" | "super" | "self") && next == "::"
                || word == "crate" && next == "as"
                || children.contains(word)
                    && next == "::"
                    && module == file
                    && !matches!(before(1), "::" | ".") =>
            {
                let how = match (before(2), before(1)) {
                    (_, "in") => How::Bounds,
                    ("pub" | ")", "use") => How::HandsOn,
                    _ => How::Uses,
                };
                let mut paths = Vec::new();
                at = follow(&words, at, module.clone(), &mut paths);
                named.extend(paths.into_iter().map(|path| (how, path)));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// Adds the path that starts at a word, or all of a group; the index of the word after it.
fn follow(
    words: &[String],
    mut at: usize,
    mut path: Vec<String>,
    paths: &mut Vec<String>,
) -> usize {
    loop {
        match &*words[at] {
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            "self" | "*" => {}
            "{" => {
                at += 1;
                while words[at] != "}" {
                    at = follow(words, at, path.clone(), paths);
                    at += usize::from(words[at] == ",");
                }
                return at + 1;
            }
            // As in `collect::<Vec<_>>`.
            "<" => break,
            name => path.push(name.to_owned()),
        }
        at += 1;
        match words.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("as") => {
                at += 2;
                break;
            }
            _ => break,
        }
    }
    paths.push(path.join("::"));
    at
}

/// The words and signs of code, without comments, texts and lifetimes.
fn words(code: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), code);
    let until = |text: &str, end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    while let Some(first) = rest.chars().next() {
        let of_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_raw = rest.starts_with("r\"") || rest.starts_with("r#");
        let length = if rest.starts_with("//") {
            until(rest, "\n")
        } else if rest.starts_with("/*") {
            until(rest, "*/")
        } else if is_raw && rest[1..].trim_start_matches('#').starts_with('"') {
            let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
            let start = hashes + 2;
            start + until(&rest[start..], &format!("\"{}", "#".repeat(hashes)))
        } else if first == '"' {
            let mut text = rest.char_indices().skip(1);
            loop {
                match text.next() {
                    Some((_, '\\')) => drop(text.next()),
                    Some((at, '"')) => break at + 1,
                    Some(_) => {}
                    None => break rest.len(),
                }
            }
        } else if first == '\'' {
            // A character ends with a quote; a lifetime does not.
            match rest.char_indices().nth(2) {
                _ if rest.starts_with("'\\") => 3 + until(&rest[3..], "'"),
                Some((at, '\'')) => at + 1,
                _ => 1 + rest[1..].find(|c| !of_word(c)).unwrap_or(rest.len() - 1),
            }
        } else {
            let word = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            let sign = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            let length = word.max(sign);
            if !first.is_whitespace() {
                words.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    words
}

#[test]
fn the_test_of_directions_sees_every_way_to_name_a_path() {
    let seen = |module: &str, code: &str| {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        paths_in(&module, code).join(" ")
    };
    for (module, code, expected) in [
        ("time", "use crate::gate::Gate;", "gate::Gate"),
        ("time", "use crate::gate;", "gate"),
        (
            "time",
            "use crate::{fields, gate::{self, Voice as V, reload::*}};",
            "fields gate gate::Voice gate::reload",
        ),
        ("time", "pub(crate) use crate::{\n    limit::quota::{Quota},\n};", "limit::quota::Quota"),
        ("time", "fn f() -> crate::gate::Gate { crate :: limit::ONE }", "gate::Gate limit::ONE"),
        ("time", "impl From<crate::gate::Gate> for T<'_> {}", "gate::Gate"),
        ("time", "use super::{gate::Gate, limit};", "gate::Gate limit"),
        ("limit::quota", "use super::{Limit, super::gate::Gate};", "limit::Limit gate::Gate"),
        ("limit::quota", "super::super::gate::start()", "gate::start"),
        ("limit::quota", "self::inner::f()", "limit::quota::inner::f"),
        ("limit", "mod a { use super::super::gate; } use super::time;", "gate time"),
        ("limit", "use crate::*;", ""),
        ("limit", "pub(in crate::limit) fn f() {}", "limit"),
        (
            "limit",
            "let c = '\"'; let s = \"crate::gate \\\" crate::gate\"; crate::time::now()",
            "time::now",
        ),
        (
            "limit",
            "r#\"\" crate::gate\"# /* crate::gate */ 'a' // crate::gate\n crate::time::now()",
            "time::now",
        ),
    ] {
        assert_eq!(seen(module, code), expected, "{code}");
    }
}

fn room_of(path: &Path) -> Option<usize> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    ROOMS.iter().position(|room| *room == first.trim_end_matches(".rs"))
}

/// The index of the room that a path leads to. A name of the crate's root leads to the room that it
/// is taken from.
fn room_at(path: &str, public: &HashMap<String, String>) -> usize {
    let first = path.split("::").next().unwrap();
    let room = public.get(first).map_or(first, String::as_str);
    let place = ROOMS.iter().position(|name| *name == room);
    place.unwrap_or_else(|| panic!("`crate::{path}` leads to no room"))
}

/// The rooms that the public names of the crate's root are taken from.
fn public_names() -> HashMap<String, String> {
    let text = code(&root().join("src/lib.rs"));
    let mut names = HashMap::new();
    for part in text.split("pub use ").skip(1) {
        // Another name is given to one item at a time.
        let mut named = part.split(';').next().unwrap().split(" as ");
        let (used, other) = (named.next().unwrap(), named.next());
        for path in paths_in(&[], &format!("self::{used}")) {
            let (room, _) = path.split_once("::").unwrap_or((&path, ""));
            let name = other.unwrap_or(path.rsplit("::").next().unwrap()).trim();
            names.insert(name.to_owned(), room.to_owned());
        }
    }
    names
}

#[test]
fn no_room_reaches_back() {
    let public = public_names();
    assert_eq!(public.get("Denial").map(String::as_str), Some("denial"), "{public:?}");
    let mut edges = HashSet::new();
    for path in sources(&root().join("src")) {
        let Some(room) = room_of(&path).filter(|_| !is_of_tests(&path)) else { continue };
        for named in paths_in(&module_of(&path), &code(&path)) {
            let used = room_at(&named, &public);
            edges.insert((room, used));
            assert!(
                used <= room,
                "{} is above {}, and names `{named}`: {}",
                ROOMS[room],
                ROOMS[used],
                path.display()
            );
        }
    }
    edges.retain(|(room, used)| room != used);
    assert!(edges.len() > 50, "the test sees the arrows: {edges:?}");
}

#[test]
fn every_file_is_in_a_room() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let is_outside = ["lib.rs", "bin"].iter().any(|name| path.ends_with(name));
        assert!(is_outside || room_of(&path).is_some(), "{} is in no room", path.display());
    }
}

#[test]
fn statuses_live_where_denials_are_written() {
    for path in sources(&root().join("src")) {
        let allowed = ["src/denial", "src/gate", "src/bin"]
            .iter()
            .any(|room| path.starts_with(root().join(room)));
        assert!(allowed || !code(&path).contains("StatusCode"), "{}", path.display());
    }
}

/// Crates that users of this one do not see: a new version of them is no break.
const UNSEEN: [&str; 15] = [
    "ahash",
    "arc_swap",
    "aws_lc_rs",
    "base64",
    "dashmap",
    "ipnet",
    "jsonwebtoken",
    "matchit",
    "quanta",
    "quick_cache",
    "serde_json",
    "smallvec",
    "time",
    "toml",
    "uuid",
];

/// What is public in code: signatures, fields, and enums and traits as a whole.
fn public_items(words: &[String]) -> Vec<&[String]> {
    let mut items = Vec::new();
    for (at, _) in words.iter().enumerate().filter(|(_, word)| *word == "pub") {
        let item = &words[at + 1..];
        let (is_field, is_whole) =
            (item[1] == ":", matches!(&*item[0], "enum" | "trait" | "unsafe"));
        if matches!(&*item[0], "(" | "use" | "mod") {
            continue;
        }
        let mut depth = 0;
        let mut ends = |word: &String| {
            match &**word {
                "{" if !is_whole => return true,
                "{" | "(" | "[" | "<" => depth += 1,
                "}" | ")" | "]" | ">" => depth -= 1,
                "," => return is_field && depth == 0,
                ";" => return !is_whole && depth == 0,
                _ => {}
            }
            // Of a field, that is the end of its type's.
            depth < 0 || is_whole && depth == 0 && word == "}"
        };
        let arrows = |at: usize| at > 0 && item[at] == ">" && item[at - 1] == "-";
        let end = (0..item.len()).find(|at| !arrows(*at) && ends(&item[*at]));
        items.push(&item[..end.unwrap_or(item.len())]);
    }
    items
}

/// The names by which code knows crates that are not to be seen: their own, and what it imports.
fn unseen_names(words: &[String]) -> HashSet<String> {
    let mut names: HashSet<String> = UNSEEN.iter().map(|name| (*name).to_owned()).collect();
    // The module of that name is ours.
    names.remove("time");
    for (at, word) in words.iter().enumerate() {
        if word == "use" && UNSEEN.contains(&&*words[at + 1]) {
            let mut paths = Vec::new();
            follow(words, at + 1, Vec::new(), &mut paths);
            names.extend(paths.iter().map(|path| path.rsplit("::").next().unwrap().to_owned()));
        }
    }
    names
}

#[test]
fn the_test_of_public_types_sees_all_that_is_public() {
    let seen = |code: &str| {
        let words = words(code);
        let unseen = unseen_names(&words);
        public_items(&words).iter().flat_map(|item| item.iter()).any(|word| unseen.contains(word))
    };
    for code in [
        "pub fn f(\n    a: u8,\n    b: toml::Value,\n) {}",
        "pub fn f() -> Result<(), toml::Error> {}",
        "pub const fn f<T: Into<uuid::Uuid>>(t: T);",
        "use serde_json::{Map, Value}; pub struct S { a: u8, pub b: Option<Value> }",
        "pub struct S(pub ipnet::IpNet);",
        "use time::OffsetDateTime; pub static NOW: OffsetDateTime = now();",
        "pub enum E { A, B { c: uuid::Uuid } }",
        "pub trait T { fn f(&self) -> u8; fn g(&self) -> toml::Value; }",
        "pub type T = dashmap::DashMap<u8, u8>;",
    ] {
        assert!(seen(code), "{code}");
    }
    for code in [
        "pub fn f(a: u8) -> u8 { toml::read(a) }",
        "pub(crate) fn f(a: toml::Value) {}",
        "use serde_json::Value; pub struct S { pub a: u8, b: Value }",
        "pub use time::Clock; fn f() -> toml::Value {}",
        "pub trait T { fn f(&self) -> u8; } fn f() -> toml::Value {}",
    ] {
        assert!(!seen(code), "{code}");
    }
}

#[test]
fn no_type_of_another_crate_is_public() {
    let mut count = 0;
    for path in sources(&root().join("src")) {
        if ["src/bin", "src/workbench", "src/workbench.rs"]
            .iter()
            .any(|place| path.starts_with(root().join(place)))
        {
            continue;
        }
        let words = words(&code(&path));
        let unseen = unseen_names(&words);
        for item in public_items(&words) {
            count += 1;
            let is_seen = item.iter().any(|word| unseen.contains(word));
            assert!(!is_seen, "{}: pub {}", path.display(), item.join(" "));
        }
    }
    assert!(count > 150, "the test sees what is public: {count}");
}
