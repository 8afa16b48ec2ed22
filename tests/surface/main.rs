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

/// Types of dependencies that signatures may name: those of `axum`, `http` and `tower`, whose users know them.
const OF_THE_FIELD: [&str; 11] = [
    "Body",
    "FromRequestParts",
    "HeaderName",
    "IntoResponse",
    "Layer",
    "OptionalFromRequestParts",
    "Parts",
    "Request",
    "Response",
    "Router",
    "Service",
];

/// Names without a page that are nobody's to use: a bound that seals a trait, and one that a macro makes.
const UNREACHABLE: [&str; 2] = ["NamedScopes", "PinnedFieldsOf"];

#[test]
fn signatures_name_no_other_types_of_dependencies() {
    let conversion = "<h3 class=\"code-header\">impl <a href=\"#\">From</a>&lt;Error&gt; for \
                      <a href=\"#\">KeyStoreError</a></h3>";
    assert_eq!(unlinked(conversion), BTreeSet::from(["Error".to_owned()]), "headers are read");

    let docs = document(&PathBuf::from(env!("CARGO_MANIFEST_DIR"))).join("tollgate");
    let mut found = BTreeSet::new();
    for (item, page) in items(&docs, "tollgate") {
        let names = unlinked(&fs::read_to_string(docs.join(page)).unwrap());
        found.extend(names.into_iter().map(|name| (name, item.clone())));
    }
    let is_meant = |name: &str| OF_THE_FIELD.contains(&name) || UNREACHABLE.contains(&name);
    let other: Vec<_> = found.iter().filter(|(name, _)| !is_meant(name)).collect();
    assert!(other.is_empty(), "types of dependencies in the public API: {other:#?}");
    let found: BTreeSet<&str> = found.iter().map(|(name, _)| &**name).collect();
    assert!(OF_THE_FIELD.iter().all(|name| found.contains(name)), "{found:?}");
}

/// The names in signatures that lead nowhere: documentation has pages of its own items and of the standard
/// library, and not of dependencies.
fn unlinked(page: &str) -> BTreeSet<String> {
    let own: BTreeSet<&str> = quoted(page, " id=\"variant.").collect();
    let page = page.split("id=\"synthetic-implementations\"").next().unwrap();
    let mut names = BTreeSet::new();
    for header in page.split("class=\"code-header\">").skip(1) {
        let header = header.split("</h3>").next().and_then(|header| header.split("</h4>").next());
        let text = without_links(header.unwrap()).replace("::", " § ").replace('=', " = ");
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '§' | '=');
        let words = text.split(|c| !is_part(c)).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        for (at, word) in words.iter().enumerate() {
            let is_generic = word.len() == 1 || *word == "Self";
            // `S::Error`, `type Error`, `Item = T`: names of traits.
            let is_associated = at > 0 && matches!(words[at - 1], "§" | "type")
                || words.get(at + 1).is_some_and(|next| *next == "=");
            let is_type = word.starts_with(|c: char| c.is_ascii_uppercase());
            if is_type && !is_generic && !is_associated && !own.contains(word) {
                names.insert((*word).to_owned());
            }
        }
    }
    names
}

/// The text of a piece of a page, without that of its links.
fn without_links(html: &str) -> String {
    let mut text = String::new();
    let mut links = html.split("<a ");
    let first = links.next().unwrap_or_default();
    let behind = links.map(|link| link.split_once("</a>").map_or("", |(_, behind)| behind));
    for piece in std::iter::once(first).chain(behind) {
        let mut tags = piece.split('<');
        text.push_str(tags.next().unwrap_or_default());
        for tag in tags {
            text.push(' ');
            text.push_str(tag.split_once('>').map_or("", |(_, behind)| behind));
        }
        text.push(' ');
    }
    text
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
    for (item, page) in items(folder, library) {
        let page = fs::read_to_string(folder.join(page)).unwrap();
        let _infallible = writeln!(text, "{item}");
        for part in parts(&page) {
            let _infallible = writeln!(text, "    {part}");
        }
    }
}

/// The public items of a library, and the pages that document them.
fn items(folder: &Path, library: &str) -> Vec<(String, String)> {
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
    items
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
