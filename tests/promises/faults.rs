//! What an operator reads when a policy is refused: the whole message of each fault.
//!
//! `tests/faults/NAME.toml` is a policy with the fault that its name tells, `NAME.txt` the
//! report. Run with `UPDATE=1` to write the reports anew, and read the difference.

use std::fs;
use std::process::Command;

use super::support::root;

/// What the command says of a policy in `tests/faults`, and its exit status.
fn check(name: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["check", "--policy", name])
        .current_dir(root().join("tests/faults"))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Whether the first line of a finding says so, after its place.
fn is_warning(finding: &str) -> bool {
    finding.lines().next().is_some_and(|line| line.contains(": warning: "))
}

fn verdict_of(name: &str, faults: usize, warnings: usize) -> String {
    let verdict = if faults > 0 { "refused" } else { "fine" };
    let count = |count, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    format!("{name}: {verdict} ({}, {})", count(faults, "fault"), count(warnings, "warning"))
}

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
        let (status, report) = check(name);
        assert!(!report.contains("sk_live_"), "{name} shows a secret:\n{report}");
        let mut findings: Vec<&str> = report.trim_end().split("\n\n").collect();
        let verdict = findings.pop().unwrap();
        // The worst case of a shared limit is no finding.
        findings.retain(|finding| !finding.starts_with("limit `"));
        let warnings = findings.iter().filter(|finding| is_warning(finding)).count();
        let faults = findings.len() - warnings;
        assert_eq!(status, Some(i32::from(faults > 0)), "{name}:\n{report}");
        assert_eq!(verdict, verdict_of(name, faults, warnings), "{name}:\n{report}");
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
    let (status, report) = check("ten-faults.toml");
    assert_eq!(status, Some(1));
    assert!(report.ends_with("ten-faults.toml: refused (10 faults, 0 warnings)\n"), "{report}");
    assert_eq!(report.matches("\nhelp: ").count(), 10);
}
