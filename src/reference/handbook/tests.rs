use super::codes::codes_of;
use super::*;
use crate::policy::{Faults, Sources, load};

fn policy(lines: &str) -> Policy {
    load("policy", &format!("version = 1\n{lines}"), &Sources::default(), &Faults::default())
        .unwrap()
}

fn codes(policy: &Policy, rule: usize) -> Vec<&'static str> {
    let rule = policy.rules.iter().nth(rule).unwrap();
    codes_of(policy, rule).iter().map(|code| code.code).collect()
}

const RULES: &str = r#"
[api_keys]
[[limit]]
name = "few"
rate = "5/minute"
per = ["address"]
[[rule]]
name = "open"
path = "/open"
public = true
[[rule]]
name = "files"
path = "/files/{*rest}"
public = true
limits = ["few"]
addresses = ["10.0.0.0/8"]
[[rule]]
name = "orders"
path = "/orders"
roles = ["clerk"]
[[rule]]
name = "secret"
path = "/secret"
listed = false
"#;

#[test]
fn keys_that_are_looked_up_may_be_out_of_reach() {
    let says = |mut policy: Policy, looks_keys_up: bool| {
        policy.looks_keys_up |= looks_keys_up;
        let rule = policy.rules.iter().next().unwrap().clone();
        codes_of(&policy, &rule).iter().any(|code| code.code == "key_source_unavailable")
    };
    let rule = |credentials: &str| {
        let key = "[[api_keys.key]]\nid = \"a\"\nclient = \"a\"\n";
        let digest = format!("digest = \"sha256:{:064}\"\n", 1);
        policy(&format!("{key}{digest}[[rule]]\nname = \"r\"\npath = \"/\"\n{credentials}\n"))
    };
    assert!(!says(rule(""), false), "the policy holds them all");
    assert!(says(rule(""), true));
    assert!(!says(rule("public = true"), true));
}

#[test]
fn codes_are_those_that_the_rule_can_lead_to() {
    let policy = policy(RULES);
    assert_eq!(codes(&policy, 0), ["decision_failed"]);
    assert_eq!(
        codes(&policy, 1),
        ["address_not_allowed", "no_matching_rule", "rate_limited", "decision_failed"]
    );
    let orders = codes(&policy, 2);
    for code in ["credentials_missing", "api_key_revoked", "insufficient_role", "too_many_failures"]
    {
        assert!(orders.contains(&code), "{code}");
    }
    for code in ["token_expired", "rate_limited", "claim_mismatch", "no_matching_rule"] {
        assert!(!orders.contains(&code), "{code}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn a_limit_that_is_closed_without_its_store_may_be_unavailable() {
    let policy = policy(
        "[store]\nkind = \"redis\"\nurl = \"redis://localhost\"\n\
         [[limit]]\nname = \"open\"\nrate = \"5/minute\"\nper = [\"global\"]\non_store_failure = \"local_share\"\n\
         [[limit]]\nname = \"closed\"\nrate = \"5/minute\"\nper = [\"global\"]\non_store_failure = \"closed\"\n\
         [[rule]]\nname = \"a\"\npath = \"/a\"\npublic = true\nlimits = [\"open\"]\n\
         [[rule]]\nname = \"b\"\npath = \"/b\"\npublic = true\nlimits = [\"open\", \"closed\"]\n",
    );
    assert_eq!(codes(&policy, 0), ["rate_limited", "decision_failed"]);
    assert_eq!(codes(&policy, 1), ["rate_limited", "limiter_unavailable", "decision_failed"]);
}

#[test]
fn at_minimal_the_groups_are_told() {
    let policy = policy(&format!("[denial]\ndisclosure = \"minimal\"\n{RULES}"));
    assert_eq!(
        codes(&policy, 2),
        ["credentials_missing", "invalid_credentials", "access_denied", "temporarily_unavailable"]
    );
}

#[test]
fn what_is_not_listed_is_left_out() {
    let policy = policy(RULES);
    let handbook = Handbook::of(&policy);
    let names: Vec<&str> = handbook.rules.iter().map(|entry| &*entry.rule.name).collect();
    assert_eq!(names, ["open", "files", "orders"]);
    assert_eq!(handbook.rules[1].networks, "certain networks only");
    assert_eq!(handbook.credentials.len(), 2);
}
