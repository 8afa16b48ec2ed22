//! What an operator reads when a policy is refused: the whole message of each fault.
//!
//! `tests/faults/NAME.toml` is a policy with the fault that its name tells, `NAME.txt` the
//! report. Run with `UPDATE=1` to write the reports anew, and read the difference.

use std::fs;
use std::process::Command;

use super::support::root;

#[test]
fn every_report_is_as_it_was_approved() {
    let folder = root().join("tests/faults");
    let update = std::env::var_os("UPDATE").is_some();
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["check", "--policy", name])
            .current_dir(&folder)
            .output()
            .unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(!report.contains("sk_live_"), "{name} shows a secret:\n{report}");
        let is_refused = output.status.code() == Some(1);
        assert_eq!(is_refused, report.contains(": refused ("), "{name}");
        let approved = path.with_extension("txt");
        if update {
            fs::write(&approved, &report).unwrap();
        } else if fs::read_to_string(&approved).unwrap_or_default() != report {
            wrong.push(format!("{name}:\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "not as approved:\n{}", wrong.join("\n"));
    assert!(count >= 60, "{count} cases");
}

#[test]
fn ten_faults_are_reported_together() {
    let report = fs::read_to_string(root().join("tests/faults/ten-faults.txt")).unwrap();
    assert!(report.ends_with("ten-faults.toml: refused (10 faults, 0 warnings)\n"), "{report}");
    assert_eq!(report.matches("\nhelp: ").count(), 10);
}
