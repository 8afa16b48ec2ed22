//! What is committed in `docs/errors` is what this build writes.
//!
//! Run with `UPDATE=1` to write the files anew, and read the difference.

use std::fs;
use std::process::Command;

use super::support::root;

/// The files, by the form that is asked for.
const FILES: [(&str, &str); 4] = [
    ("json-schema", "denial.schema.json"),
    ("openapi", "openapi.json"),
    ("typescript", "denial.ts"),
    ("markdown", "README.md"),
];

fn written(format: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["schema", "--format", format])
        .output()
        .unwrap();
    assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_committed_files_are_current() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut stale = Vec::new();
    for (format, file) in FILES {
        let path = root().join("docs/errors").join(file);
        let text = written(format);
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if update {
            fs::write(&path, text).unwrap();
        } else {
            stale.push(file);
        }
    }
    assert!(
        stale.is_empty(),
        "docs/errors is stale: {stale:?}. Run `UPDATE=1 cargo test --test promises committed`, \
         read the difference, and commit it"
    );
}
