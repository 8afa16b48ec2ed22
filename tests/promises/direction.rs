//! One direction: each room of the house uses those above it, never those below.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::root;

/// From top to bottom.
const ROOMS: [&str; 17] = [
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
];

fn sources(folder: &Path) -> Vec<PathBuf> {
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
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text[..end].lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

fn room_of(path: &Path) -> Option<usize> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    ROOMS.iter().position(|room| *room == first.trim_end_matches(".rs"))
}

#[test]
fn no_room_reaches_back() {
    let mut edges = 0;
    for path in sources(&root().join("src")) {
        let Some(room) = room_of(&path) else { continue };
        for part in code(&path).split("crate::").skip(1) {
            let used: String =
                part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let Some(used) = ROOMS.iter().position(|name| *name == used) else { continue };
            edges += 1;
            assert!(used <= room, "{} is above {}: {}", ROOMS[room], ROOMS[used], path.display());
        }
    }
    assert!(edges > 50, "the test sees the edges: {edges}");
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

#[test]
fn no_type_of_another_crate_is_public() {
    for path in sources(&root().join("src")) {
        if path.starts_with(root().join("src/bin")) || path.ends_with("workbench.rs") {
            continue;
        }
        for line in code(&path).lines().filter(|line| line.trim_start().starts_with("pub fn")) {
            for foreign in [
                "jsonwebtoken",
                "aws_lc_rs",
                "dashmap",
                "toml::",
                "serde_json",
                "uuid",
                "ipnet",
                "Uuid",
            ] {
                assert!(!line.contains(foreign), "{}: {line}", path.display());
            }
        }
    }
}
