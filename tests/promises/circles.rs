//! No circles inside rooms: of two files, one at most uses the other, itself or by way of others.

use std::collections::{BTreeMap, BTreeSet};

use super::direction::{How, code, is_of_tests, module_of, named_in, sources};
use super::support::root;

/// Circles that are still there.
const KNOWN: [&str; 2] = ["limit", "verify::key_store::postgres"];

/// The code of each module that is a file.
type Files = BTreeMap<String, String>;
/// Which files each file uses, by their modules.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Where what a path leads to is written: names that a door hands on are taken from behind it.
fn file_of(path: &str, files: &Files, handed_on: &BTreeMap<&str, Vec<String>>) -> Option<String> {
    let mut path = path.to_owned();
    // More doors than are behind each other.
    for _ in 0..8 {
        let names: Vec<&str> = path.split("::").collect();
        let module = (1..=names.len()).rev().map(|count| names[..count].join("::"));
        let module = module.into_iter().find(|module| files.contains_key(module))?;
        let rest = path[module.len()..].trim_start_matches("::").to_owned();
        let first = rest.split("::").next().unwrap();
        let ends_so = |behind: &&String| behind.rsplit("::").next() == Some(first);
        match handed_on.get(&*module).and_then(|paths| paths.iter().find(ends_so)) {
            Some(behind) if *behind != path => path = format!("{behind}{}", &rest[first.len()..]),
            _ => return Some(module),
        }
    }
    None
}

fn arrows(files: &Files) -> Arrows {
    let (mut uses, mut handed_on) = (BTreeMap::new(), BTreeMap::new());
    for (module, code) in files {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        let named = named_in(&module, code);
        let all = |how: How| {
            let of = named.iter().filter(move |(done, _)| *done == how);
            of.map(|(_, path)| path.clone()).collect::<Vec<_>>()
        };
        uses.insert(module.join("::"), all(How::Uses));
        handed_on.insert(module.join("::"), all(How::HandsOn));
    }
    let handed_on = handed_on.iter().map(|(module, paths)| (&**module, paths.clone())).collect();
    let used = |module: &str, paths: &[String]| -> BTreeSet<String> {
        let found = paths.iter().filter_map(|path| file_of(path, files, &handed_on));
        found.filter(|used| used != module).collect()
    };
    uses.iter().map(|(module, paths)| (module.clone(), used(module, paths))).collect()
}

/// The circles, each as the files on it.
fn circles(arrows: &Arrows) -> BTreeSet<Vec<&str>> {
    let reached = |from: &str| {
        let (mut reached, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            for next in arrows.get(file).into_iter().flatten() {
                if reached.insert(&**next) {
                    left.push(next);
                }
            }
        }
        reached
    };
    let all: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (&**file, reached(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in all.iter().filter(|(file, reached)| reached.contains(*file)) {
        let is_on = |other: &&str| all[other].contains(file);
        circles.insert(reached.iter().copied().filter(is_on).collect());
    }
    circles
}

#[test]
fn the_test_of_circles_sees_them() {
    let found = |files: &[(&str, &str)]| {
        let files: Files =
            files.iter().map(|(module, code)| ((*module).into(), (*code).into())).collect();
        let arrows = arrows(&files);
        circles(&arrows).iter().map(|circle| circle.join(" ")).collect::<Vec<_>>().join("; ")
    };
    let door = ("a", "mod b; mod c; pub(crate) use b::B; pub use c::{C, D as E};");
    let rows: [(&[(&str, &str)], &str); 7] = [
        (&[door, ("a::b", "use super::c::C;"), ("a::c", "use super::b::B;")], "a::b a::c"),
        (&[door, ("a::b", "use super::C;"), ("a::c", "use crate::a::B;")], "a::b a::c"),
        (&[door, ("a::b", "use super::c; c::f()"), ("a::c", "fn f(b: super::B)")], "a::b a::c"),
        (&[door, ("a::b", "use super::C;"), ("a::c", "pub(in crate::a) fn f()")], ""),
        (&[door, ("a::b", "use super::{C, c::D};"), ("a::c", "use crate::d;")], ""),
        (&[("a", "mod b; mod c; use b::B;"), ("a::b", "use super::f;"), ("a::c", "")], "a a::b"),
        (&[("a", "mod b; fn f() { b::g() }"), ("a::b", "use super::*;")], "a a::b"),
    ];
    for (files, expected) in rows {
        assert_eq!(found(files), expected, "{files:?}");
    }
}

#[test]
fn no_room_has_a_circle_inside() {
    let mut files = Files::new();
    for path in sources(&root().join("src")) {
        let module = module_of(&path).join("::");
        let is_in_a_room = !module.is_empty() && !module.starts_with("bin::");
        if is_in_a_room && !is_of_tests(&path) {
            files.insert(module, code(&path));
        }
    }
    let arrows = arrows(&files);
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 1000, "the test sees the arrows: {count}");
    for circle in circles(&arrows) {
        let is_known = KNOWN.iter().any(|room| circle.iter().all(|file| file.starts_with(room)));
        let ties = circle.iter().map(|file| {
            let used = arrows[*file].iter().filter(|used| circle.contains(&&***used));
            format!("{file} uses {}", used.cloned().collect::<Vec<_>>().join(", "))
        });
        assert!(is_known, "a circle:\n{}", ties.collect::<Vec<_>>().join("\n"));
    }
}
