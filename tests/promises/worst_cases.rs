//! Limits that several processes share: what `check` says of them.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::support::root;

const POLICY: &str = "version = 1\n[api_keys]\n[store]\nkind = \"redis\"\nurl_env = \"TOLLGATE_TEST_ABSENT\"\n\
    [[limit]]\nname = \"per-client\"\nrate = \"20/minute\"\nburst = 200\nper = [\"client\"]\n\
    plans.partner = { rate = \"100/second\", burst = 1000 }\n\
    [[limit]]\nname = \"logins\"\nrate = \"5/minute\"\nper = [\"address\"]\non_store_failure = \"closed\"\n\
    [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"per-client\", \"logins\"]\n";

fn check(policy: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args([&["check", "--policy", "policy.toml"], arguments].concat())
        .current_dir(folder.path())
        .output()
        .unwrap()
}

#[test]
fn a_check_says_the_worst_case_of_each_shared_limit() {
    let output = check(POLICY, &["--without-secrets"]);
    let report = String::from_utf8(output.stdout).unwrap();
    for sentence in [
        "limit `per-client`: at most 220 in any minute while Redis answers, 4 × 55 more while it does not; \
         200 more each time it comes back without its buckets\n",
        // 1000 + 100·1.005; each of 4: 250 + 25.
        "limit `per-client`, plan `partner`: at most 1100 in any second while Redis answers, 4 × 275 more \
         while it does not; 1000 more each time it comes back without its buckets\n",
        "limit `logins`: at most 10 in any minute while Redis answers, none more while it does not; \
         5 more each time it comes back without its buckets\n",
    ] {
        assert!(report.contains(sentence), "{report}");
    }
    assert_eq!(output.status.code(), Some(0));
    let in_memory = POLICY.replace("kind = \"redis\"\nurl_env = \"TOLLGATE_TEST_ABSENT\"\n", "");
    let in_memory = in_memory.replace("on_store_failure = \"closed\"\n", "");
    let report = String::from_utf8(check(&in_memory, &[]).stdout).unwrap();
    assert!(report.contains("fine") && !report.contains("at most"), "{report}");
}

#[test]
fn a_program_can_read_the_worst_case() {
    let output = check(POLICY, &["--without-secrets", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let limits = report["shared_limits"].as_array().unwrap();
    let without_words = |limit: &Value| {
        let mut limit = limit.clone();
        assert!(limit["in_words"].as_str().unwrap().starts_with("limit `"), "{limit}");
        limit.as_object_mut().unwrap().remove("in_words");
        limit
    };
    assert_eq!(limits.len(), 3);
    assert_eq!(
        without_words(&limits[0]),
        json!({
            "limit": "per-client", "plan": null, "unit": "requests", "interval_ms": 60_000,
            "while_answering": 220, "on_store_failure": "local_share", "nodes": 4,
            "more_per_node": 55, "largest_cost_then": 50, "more_per_loss": 200,
        })
    );
    assert_eq!(
        without_words(&limits[2]),
        json!({
            "limit": "logins", "plan": null, "unit": "requests", "interval_ms": 60_000,
            "while_answering": 10, "on_store_failure": "closed", "nodes": null,
            "more_per_node": 0, "largest_cost_then": 0, "more_per_loss": 5,
        })
    );
}

#[test]
fn a_variable_that_is_absent_is_a_fault_of_what_is_served_and_no_other_fault_is_hidden() {
    let refused = check(POLICY, &["--json"]);
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["faults"][0]["name"], "variable-not-set", "{report}");
    assert_eq!(report["shared_limits"], json!([]));
    let also = POLICY.replace("per = [\"client\"]", "per = [\"clients\"]");
    assert_eq!(check(&also, &["--without-secrets"]).status.code(), Some(1));
}

/// What `check` says of a policy that is in the repository, with its exit code.
fn check_file(path: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["check", "--without-secrets", "--strict", "--policy"])
        .arg(root().join(path))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_policies_of_the_example_are_fine_and_share_their_limit() {
    // 20 + 5·(1 + the deadline); each of 2: 10 + 2.5.
    for (policy, most) in [("tollgate.toml", 30), ("balanced.toml", 25)] {
        let (code, report) = check_file(&format!("examples/two_replicas/{policy}"));
        assert_eq!(code, Some(0), "{report}");
        let sentence = format!(
            "limit `per-address`: at most {most} in any second while Redis answers, 2 × 12 more while it does not"
        );
        assert!(report.contains(&sentence), "{report}");
    }
}

#[test]
fn the_balancer_of_the_example_is_the_one_that_is_trusted() {
    let folder = root().join("examples/two_replicas");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (compose, policy, nginx) =
        (read("compose.yaml"), read("balanced.toml"), read("nginx.conf"));
    let address = compose.split("ipv4_address: ").nth(1).unwrap().lines().next().unwrap();
    assert!(policy.contains(&format!("trusted = [\"{address}/32\"]")), "{address}");
    assert!(compose.contains("/etc/tollgate/balanced.toml"), "{compose}");
    assert!(compose.contains("./nginx.conf:") && compose.contains("replicas: 2"), "{compose}");
    // A list that the client began would be believed as far as the proxies are trusted.
    assert!(nginx.contains("X-Forwarded-For $remote_addr;"), "{nginx}");
    // The balancer asks the service by the name and port that the replicas listen on.
    assert!(nginx.contains("server replica:8080") && compose.contains("0.0.0.0:8080"), "{nginx}");
}

#[test]
fn the_policies_of_the_page_are_fine_and_its_numbers_are_those_of_check() {
    let page = fs::read_to_string(root().join("docs/shared-limits.md")).unwrap();
    let policy = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let output = check(policy, &["--without-secrets", "--strict"]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "there is no key yet: {report}");
    let said = page.split("```text\nlimit `per-client`").nth(1).unwrap();
    let said = format!("limit `per-client`{}", said.split("```").next().unwrap());
    assert!(report.contains(said.trim()), "{report}");
}
