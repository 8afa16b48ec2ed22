//! Warnings have names, can be silenced by them, and are all that is left of a policy that is
//! probably not meant.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use tollgate::{ManualClock, OpenError, Severity, Tollgate};

use super::support::{NOW, root};

const KEY: &str = "[[api_keys.key]]\nid = \"a\"\nclient = \"a\"\n\
    digest = \"sha256:b907b4ac6522c5ef9da414c092c964437c69bedaf1c06642eaf0c6f039a45c4e\"\n";

/// The names of the warnings of a policy, at [`NOW`].
async fn warnings(policy: &str) -> Vec<String> {
    let gate = Tollgate::builder().policy(policy).clock(ManualClock::at(NOW)).build().await;
    let warnings = gate.unwrap_or_else(|error| panic!("{error}")).warnings();
    assert!(warnings.iter().all(|warning| warning.severity() == Severity::Warning));
    warnings.iter().map(|warning| warning.name().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_name_of_the_contract_can_be_allowed() {
    const NAMES: [&str; 20] = [
        "unused-limit",
        "unused-scope",
        "shadowed-rule",
        "unknown-plan",
        "unknown-role",
        "expired-key",
        "long-lived-key",
        "public-rest",
        "public-rest-without-limits",
        "rules-differ-in-case-or-slash",
        "unproven-limit-key",
        "limit-per-proxy",
        "claim-path",
        "claim-in-iss",
        "any-issuer",
        "any-audience",
        "exempt-proxy",
        "no-anonymous-limits",
        "uniform-status-for-tokens",
        "skipped-key",
    ];
    for name in NAMES {
        let rule = "[[rule]]\nname = \"a\"\npath = \"/\"\npublic = true\n";
        let policy = format!(
            "version = 1\nallow = [{{ warning = \"{name}\", reason = \"tested\" }}]\n{rule}"
        );
        assert_eq!(warnings(&policy).await, ["unused-allow"], "{name}");
    }
}

#[tokio::test]
async fn an_allowed_warning_is_gone_and_no_other() {
    let limits = "[[limit]]\nname = \"a\"\nrate = \"1/second\"\nper = [\"client\"]\n";
    let allow = "allow = [{ warning = \"unused-limit\", reason = \"tested\" }]\n";
    assert_eq!(warnings(&format!("version = 1\n{limits}")).await, ["no-rules", "unused-limit"]);
    assert_eq!(warnings(&format!("version = 1\n{allow}{limits}")).await, ["no-rules"]);
}

#[tokio::test]
async fn a_key_is_told_of_when_it_has_expired_and_when_it_is_valid_for_too_long() {
    let policy = |expires: &str| {
        format!("version = 1\n{KEY}expires = {expires}\n[[rule]]\nname = \"a\"\npath = \"/\"\n")
    };
    for (expires, expected) in [
        ("2027-01-15T08:00:00Z", &["expired-key"][..]),
        ("2027-01-15T08:00:01Z", &[]),
        ("2029-01-15T08:00:00Z", &[]),
        ("2029-01-15T08:00:01Z", &["long-lived-key"]),
    ] {
        assert_eq!(warnings(&policy(expires)).await, expected, "{expires}");
    }
}

#[tokio::test]
async fn a_check_needs_none_of_the_environment_and_opens_no_gate() {
    let policy = "version = 1\n[denial]\nstatus = \"standard\"\n[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\n\
        audiences = [\"a\"]\nalgorithms = [\"HS256\"]\nleeway = \"1h\"\n\
        keys = { secret_env = \"TOLLGATE_TEST_ABSENT\" }\n\
        [[rule]]\nname = \"a\"\npath = \"/\"\n";
    let builder = || Tollgate::builder().policy(policy);
    let refused = builder().build().await.unwrap_err();
    assert!(matches!(&refused, OpenError::Refused { faults } if faults.len() == 2), "{refused}");
    let warnings = builder().check_without_secrets().await.unwrap();
    let names: Vec<_> = warnings.iter().map(|warning| warning.name()).collect();
    assert_eq!(names, [Some("wide-leeway")]);
    let faulty = Tollgate::builder().policy("version = 2\n").check_without_secrets().await;
    assert!(faulty.is_err(), "faults are faults without the environment too");
}

#[tokio::test]
async fn tokens_are_warned_of_where_no_rule_for_them_tells_the_cause() {
    let rule = |name: &str, lines: &str| {
        format!("[[rule]]\nname = \"{name}\"\npath = \"/{name}\"\n{lines}\n")
    };
    let with = |denial: &str, rules: &[String]| {
        format!("version = 1\n{denial}{KEY}{}{}", super::support::issuer(), rules.concat())
    };
    let (keys, public) = ("credentials = [\"api_key\"]", "public = true");
    let (standard, uniform) = ("status = \"standard\"", "status = \"uniform\"");
    let named = &["uniform-status-for-tokens"][..];
    for (label, denial, rules, expected) in [
        ("the default", "", vec![rule("a", "")], named),
        ("written", "[denial]\nstatus = \"uniform\"\n", vec![rule("a", "")], named),
        ("each rule written", "[denial]\nstatus = \"standard\"\n", vec![rule("a", uniform)], named),
        ("no rule for tokens", "", vec![rule("a", keys), rule("b", public)], &[]),
        ("the policy's", "[denial]\nstatus = \"standard\"\n", vec![rule("a", "")], &[]),
        ("one of the rules", "", vec![rule("a", ""), rule("b", standard)], &[]),
        (
            "a rule for others",
            "",
            vec![rule("a", ""), rule("b", &format!("{public}\n{standard}"))],
            named,
        ),
        (
            "allowed",
            "allow = [{ warning = \"uniform-status-for-tokens\", reason = \"tested\" }]\n",
            vec![rule("a", "")],
            &[],
        ),
    ] {
        assert_eq!(warnings(&with(denial, &rules)).await, expected, "{label}");
    }
    let without_issuer = format!("version = 1\n{KEY}{}", rule("a", ""));
    assert_eq!(warnings(&without_issuer).await, [""; 0]);
}

#[test]
fn the_command_names_warnings_and_refuses_those_that_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let check = |policy: &str, arguments: &[&str]| -> Output {
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args([&["check", "--policy", "policy.toml"], arguments].concat())
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let left = "version = 1\n";
    let allowed = "version = 1\nallow = [{ warning = \"no-rules\", reason = \"tested\" }]\n";
    assert_eq!(check(left, &["--strict"]).status.code(), Some(1));
    assert_eq!(check(allowed, &["--strict"]).status.code(), Some(0));

    let report = String::from_utf8(check(left, &[]).stdout).unwrap();
    let first = report.lines().next().unwrap();
    assert_eq!(first, "policy.toml:1:1: warning: the policy has no rules [no-rules]");
    let report = check(left, &["--json"]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["warnings"][0]["name"], "no-rules");
    let report = check("version = 1\nrulse = 1\n", &["--json"]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["faults"][0]["name"], "unknown-key");

    let policy = "version = 1\n[denial]\nstatus = \"standard\"\n[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\n\
        audiences = [\"a\"]\nalgorithms = [\"HS256\"]\n\
        keys = { secret_env = \"TOLLGATE_TEST_ABSENT\" }\n\
        [[rule]]\nname = \"a\"\npath = \"/\"\n";
    // In a variable, and in a file that is mounted in production alone.
    let in_a_file = policy.replace("secret_env", "secret_file");
    let encoded = in_a_file.replace("ABSENT\"", "ABSENT\", encoding = \"base64\"");
    for policy in [policy, &in_a_file, &encoded] {
        assert_eq!(check(policy, &[]).status.code(), Some(1), "{policy}");
        let without = check(policy, &["--without-secrets", "--strict"]);
        assert_eq!(without.status.code(), Some(0), "{policy}");
    }
}

/// The page of warnings names each of them, and nothing else.
#[test]
fn every_warning_is_documented() {
    let page = fs::read_to_string(root().join("docs/warnings.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    // Where `allow` names none that is like another, the report lists all of them.
    let report = "tests/faults/allow-unknown-warning-like-no-other.txt";
    let report = fs::read_to_string(root().join(report)).unwrap();
    let (_, list) = report.split_once("help: the warnings are ").unwrap();
    let known: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(documented, known);
    assert!(known.len() > 30);
}
