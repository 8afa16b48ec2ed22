//! The public API has the names that `docs/api.txt` says, and no others: what is published is a promise.
//!
//! The names are those of the documentation: rustdoc knows what can be reached from outside, and the
//! anchors on its pages (`method.open`) have been the same for years. Names alone are compared, so that
//! how a version of rustdoc shows a signature does not matter.
//!
//! Run with `UPDATE=1` to write the file anew, and read the difference.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Implemented by the compiler. Its list of others grows.
const AUTOMATIC: [&str; 3] = ["Send", "Sync", "Unpin"];

#[test]
fn the_public_names_are_those_in_the_committed_file() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let docs = document(&root);
    let mut text =
        "# The names of the public API, with all features. `UPDATE=1 cargo test --all-features \
                    --test surface` writes them.\n"
            .to_owned();
    for library in ["tollgate", "tollgate_client"] {
        write_names(&mut text, &docs.join(library), library);
    }
    assert!(lines(&text).contains("struct tollgate::Tollgate: method open"), "the pages are read");

    let file = root.join("docs/api.txt");
    let committed = fs::read_to_string(&file).unwrap_or_default();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap();
        return;
    }
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (lines(&committed), lines(&text));
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(
        committed == text,
        "the public API has other names than docs/api.txt says.\ngone: {gone:#?}\nnew: {new:#?}\n\
         Where that is meant, run `UPDATE=1 cargo test --all-features --test surface`, and commit it"
    );
}

/// Each line with the item that it belongs to.
fn lines(text: &str) -> BTreeSet<String> {
    let mut item = "";
    let mut lines = BTreeSet::new();
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(part) => lines.insert(format!("{item}: {part}")),
            None => {
                item = line;
                lines.insert(line.to_owned())
            }
        };
    }
    lines
}

/// Documents the workspace as `tests/run` does, so that nothing is done where it did; the folder.
fn document(root: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new("cargo")
        .args(["doc", "--quiet", "--workspace", "--all-features", "--no-deps", "--target-dir"])
        .arg(target)
        .current_dir(root)
        .env("RUSTDOCFLAGS", "-D warnings")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("doc")
}

fn write_names(text: &mut String, folder: &Path, library: &str) {
    let all = fs::read_to_string(folder.join("all.html")).unwrap();
    let mut items: Vec<(String, String)> = Vec::new();
    for page in quoted(&all, "href=\"") {
        let Some(name) = page.strip_suffix(".html").filter(|name| !name.starts_with("../")) else {
            continue;
        };
        let (modules, item) = name.rsplit_once('/').unwrap_or(("", name));
        let Some((kind, item)) = item.split_once('.') else { continue };
        // The client is a crate of its own, and is listed there.
        if library == "tollgate" && modules == "client" {
            continue;
        }
        let mut path = library.to_owned();
        for part in modules.split('/').filter(|part| !part.is_empty()).chain([item]) {
            path = format!("{path}::{part}");
        }
        items.push((format!("{kind} {path}"), page.to_owned()));
    }
    items.sort();
    items.dedup();
    assert!(items.len() >= 10, "{items:?}");
    for (item, page) in items {
        let page = fs::read_to_string(folder.join(page)).unwrap();
        let _infallible = writeln!(text, "{item}");
        for part in parts(&page) {
            let _infallible = writeln!(text, "    {part}");
        }
    }
}

/// What the page of an item lists: its own parts, the traits that it implements, and those of the
/// traits that the compiler implements which matter.
fn parts(page: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    let mut section = "";
    for id in quoted(page, " id=\"") {
        match id {
            "trait-implementations"
            | "synthetic-implementations"
            | "blanket-implementations"
            | "implementors"
            | "foreign-impls" => section = id,
            _ => {}
        }
        let implemented = || {
            let name = id.strip_prefix("impl-")?.rsplit_once("-for-")?.0;
            Some(name.replace("%3C", "<").replace("%3E", ">").replace(",+", ", "))
        };
        match section {
            "" => {
                let Some((kind, name)) = id.split_once('.') else { continue };
                let kind = match kind {
                    "method" | "tymethod" => "method",
                    "structfield" => "field",
                    "variant" => "variant",
                    "associatedtype" => "type",
                    "associatedconstant" => "constant",
                    _ => continue,
                };
                parts.insert(format!("{kind} {name}"));
            }
            "trait-implementations" => {
                let part = implemented().filter(|name| name != "StructuralPartialEq");
                parts.extend(part.map(|name| format!("implements {name}")));
            }
            "synthetic-implementations" => {
                let part = implemented().filter(|name| AUTOMATIC.contains(&&**name));
                parts.extend(part.map(|name| format!("implements {name}")));
            }
            _ => {}
        }
    }
    parts
}

/// What stands between `before` and the next quote.
fn quoted<'t>(text: &'t str, before: &str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}
