//! What the log says of a change.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::credential::KeyFormat;
use crate::policy::{Faults, Sources, load};
use crate::verify::KeyRecords;
use crate::watch::Taken;

/// A policy and its keys; what is wrong with it makes no difference.
struct Version(Outline, KeyTable);

impl Version {
    fn of(policy: &str, files: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| {
            let content = Arc::new(text.as_bytes().to_vec().into());
            (Path::new("config").join(name), Ok(content))
        };
        let taken: Taken = files.iter().map(file).collect();
        let outline = Outline::new(policy, Path::new("config"), &taken);
        let sources = Sources::of_taken("config", taken);
        let loaded = load("policy", policy, &sources, &Faults::default());
        let nothing = || KeyTable::new(KeyFormat::Any, KeyRecords::default());
        Self(outline, loaded.map_or_else(nothing, |policy| policy.keys))
    }

    fn since(&self, before: &Self) -> Changes {
        self.0.changes_since(&before.0, (&before.1, &self.1), 20)
    }
}

fn changes(old: &str, new: &str) -> Vec<String> {
    Version::of(new, &[]).since(&Version::of(old, &[])).sentences
}

fn digest(digit: &str) -> String {
    format!("digest = \"sha256:{}\"\n", digit.repeat(64))
}

#[test]
fn each_change_has_its_sentence() {
    const RULE: &str = "[[rule]]\nname = \"orders\"\npath = \"/orders\"\n";
    const LIMIT: &str = "[[limit]]\nname = \"per-client\"\nrate = \"100/minute\"\nburst = 1000\nper = [\"client\"]\n";
    let key = format!("[[api_keys.key]]\nid = \"billing-2026\"\nclient = \"b\"\n{}", digest("0"));
    let key = key.as_str();
    let issuer = |more: &str| format!("[[issuer]]\nname = \"main\"\n{more}");
    let cases: &[(&str, String, String, &[&str])] = &[
        ("nothing", RULE.into(), RULE.into(), &[]),
        ("comments and order", format!("{RULE}{LIMIT}"), format!("# new\n{LIMIT}{RULE}"), &[]),
        (
            "another way to write it",
            LIMIT.into(),
            LIMIT.replace("1000", "1_000").replace("[\"client\"]", "[ 'client', ]"),
            &[],
        ),
        ("a new rule", String::new(), RULE.into(), &["rule `orders` added"]),
        ("a rule less", RULE.into(), String::new(), &["rule `orders` removed"]),
        (
            "a path",
            RULE.into(),
            RULE.replace("\"/orders\"", "\"/v2\""),
            &["rule `orders`: path /orders -> /v2"],
        ),
        (
            "another mode",
            RULE.into(),
            format!("{RULE}mode = \"shadow\"\n"),
            &["rule `orders`: mode unset -> shadow"],
        ),
        (
            "a rate",
            LIMIT.into(),
            LIMIT.replace("100/", "200/"),
            &["limit `per-client`: rate 100/minute -> 200/minute"],
        ),
        (
            "a plan",
            LIMIT.into(),
            format!("{LIMIT}plans.partner = {{ rate = \"9/second\" }}\n"),
            &["limit `per-client`: plans.partner.rate unset -> 9/second"],
        ),
        (
            "other buckets",
            LIMIT.into(),
            LIMIT.replace("\"client\"", "\"address\""),
            &[
                "limit `per-client`: per [\"client\"] -> [\"address\"]: its buckets are new and full",
            ],
        ),
        (
            "a limit renamed",
            LIMIT.into(),
            LIMIT.replace("per-client", "each"),
            &["limit `each` added: its buckets are full", "limit `per-client` removed"],
        ),
        (
            "what a scope implies",
            "[scopes]\n\"a:b\" = [\"c\"]\n".into(),
            "[scopes]\n\"a:b\" = [\"d\"]\n".into(),
            &["[scopes]: a:b changed: all proven tokens are dropped"],
        ),
        ("a key", "[api_keys]\n".into(), key.into(), &["key `billing-2026` added"]),
        (
            "a key revoked",
            key.into(),
            format!("{key}revoked = true\n"),
            &["key `billing-2026` revoked"],
        ),
        (
            "a key used again",
            format!("{key}revoked = true\n"),
            format!("{key}revoked = false\n"),
            &["key `billing-2026` is no longer revoked"],
        ),
        ("another digest", key.into(), key.replace("00", "11"), &["key `billing-2026` changed"]),
        (
            "an issuer",
            issuer("audiences = [\"a\"]"),
            issuer("audiences = [\"b\"]"),
            &["issuer `main`: audiences [\"a\"] -> [\"b\"]: its proven tokens are dropped"],
        ),
        (
            "an issuer less",
            issuer(""),
            String::new(),
            &["issuer `main` removed: its tokens are refused"],
        ),
        (
            "a section",
            "[denial]\nstatus = \"uniform\"\n".into(),
            "[denial]\nstatus = \"standard\"\nrealm = \"orders\"\n".into(),
            &["[denial]: realm added, status uniform -> standard"],
        ),
        (
            "another store",
            "[store]\n".into(),
            "[store]\nkind = \"redis\"\nurl = \"redis://db\"\n".into(),
            &[
                "[store]: kind unset -> redis, url added: buckets are those of the new place, and what was spent in the old one does not count there",
            ],
        ),
        (
            "the settings of a store",
            "[store]\nkind = \"redis\"\nnodes = 4\n".into(),
            "[store]\nkind = \"redis\"\nnodes = 8\ndeadline = \"9ms\"\n".into(),
            &["[store]: deadline unset -> 9ms, nodes 4 -> 8: its buckets are kept"],
        ),
        (
            "another failure of the store",
            LIMIT.into(),
            format!("{LIMIT}on_store_failure = \"closed\"\n"),
            &["limit `per-client`: on_store_failure unset -> closed"],
        ),
        (
            "a header",
            "[api_keys]\n".into(),
            "[api_keys]\nheader = \"x-key\"\n".into(),
            &[
                "[api_keys]: header unset -> x-key: CORS layers keep the lists of headers that they were given at start",
            ],
        ),
        (
            "a code",
            "[denial]\n".into(),
            "[denial]\n[[denial.code]]\ncode = \"order_locked\"\n".into(),
            &["denial code `order_locked` added"],
        ),
        (
            "revocations",
            "[[revoked]]\njti = \"a\"\n".into(),
            "[[revoked]]\njti = \"b\"\n[[revoked]]\njti = \"b\"\n".into(),
            &["2 entries added to [[revoked]]", "1 entry removed from [[revoked]]"],
        ),
        (
            "the top",
            "version = 1\n".into(),
            "version = 1\nallow = []\n".into(),
            &["the policy: allow added"],
        ),
    ];
    for (label, old, new, expected) in cases {
        assert_eq!(changes(old, new), *expected, "{label}");
    }
}

#[test]
fn no_value_that_may_be_secret_is_shown() {
    let secret = |n: u8| {
        format!(
            "[store]\nurl = \"redis://:hunter{n}@db\"\n[store.header]\nrate = \"hunter{n}\"\n\
             [api_keys]\n[[api_keys.key]]\nid = \"k\"\nclient = \"hunter{n}\"\n{}\
             [[issuer]]\nname = \"main\"\nkeys = {{ secret_env = \"hunter{n}\", path = \"hunter{n}\" }}\n\
             claims = {{ status = \"hunter{n}\" }}\n\
             [[rule]]\nname = \"r\"\nclaims = {{ path = \"hunter{n}\" }}\nany = [{{ claims = {{ path = \"hunter{n}\" }} }}]\n\
             [[revoked]]\njti = \"hunter{n}\"\n[denial]\nunknown = \"hunter{n}\"\n",
            digest(&n.to_string())
        )
    };
    let found = Version::of(&secret(2), &[]).since(&Version::of(&secret(1), &[]));
    assert_eq!(found.sentences.len(), 7, "{found}");
    assert!(found.sentences.iter().any(|sentence| sentence == "key `k` changed"), "{found}");
    for secret in ["hunter", "1111", "2222"] {
        assert!(!found.to_string().contains(secret), "{found}");
    }
    assert!(!format!("{:?}", Version::of(&secret(1), &[]).0).contains("hunter"));
}

#[test]
fn keys_and_revocations_in_files_are_compared_alike() {
    let policy = "[api_keys]\nfile = \"keys.toml\"\n[revocations]\nfile = \"revoked.toml\"\n";
    let key = |id: &str, digit| format!("id = \"{id}\"\nclient = \"c\"\n{}", digest(digit));
    let old = format!("[[key]]\n{}", key("a", "0"));
    let new =
        format!("[[key]]\n{}revoked = true\n[[api_keys.key]]\n{}", key("a", "0"), key("b", "1"));
    let before = Version::of(policy, &[("keys.toml", &old)]);
    let after = Version::of(
        policy,
        &[("keys.toml", &new), ("revoked.toml", "[[revoked]]\nclient = \"mallory\"\n")],
    );
    let found = after.since(&before).sentences;
    let expected = ["key `a` revoked", "key `b` added", "1 entry added to [[revoked]]"];
    assert_eq!(found, expected);
}

#[test]
fn a_key_that_moves_to_the_file_is_no_change() {
    let key = format!("id = \"a\"\nclient = \"c\"\n{}", digest("0"));
    let before = Version::of(&format!("[api_keys]\n[[api_keys.key]]\n{key}"), &[]);
    let file = format!("[[key]]\n{key}");
    let after = Version::of("[api_keys]\nfile = \"keys.toml\"\n", &[("keys.toml", &file)]);
    let found = after.since(&before).sentences;
    assert_eq!(found, ["[api_keys]: file added"]);
    // The policy takes both forms, too.
    let after = Version::of(&format!("[api_keys]\n[[key]]\n{key}"), &[]);
    assert_eq!(after.since(&before).sentences, [""; 0]);
}

#[test]
fn an_issuer_with_other_keys_in_its_file_is_another() {
    let policy = "[[issuer]]\nname = \"main\"\nkeys = { pem_file = [\"a.pem\", \"b.pem\"] }\n\
                  [[issuer]]\nname = \"other\"\nkeys = { jwks_file = \"set.json\" }\n";
    let with = |b: &str| Version::of(policy, &[("a.pem", "a"), ("b.pem", b), ("set.json", "{}")]);
    let (before, same, after) = (with("b"), with("b"), with("c"));
    assert!(same.since(&before).is_empty());
    let found = after.since(&before).to_string();
    let expected = "issuer `main`: the file `b.pem` changed: its proven tokens are dropped";
    assert_eq!(found, expected);
}

#[test]
fn sentences_are_bounded_in_number_and_length() {
    let rules: String = (10..60).map(|n| format!("[[rule]]\nname = \"r{n}\"\n")).collect();
    let found = Version::of(&rules, &[]).since(&Version::of("", &[]));
    assert_eq!((found.sentences.len(), found.more), (20, 30));
    assert!(found.to_string().ends_with("rule `r29` added; and 30 more"), "{found}");

    let plans = |rate: u32| {
        let plan = |n| format!("plans.p{n} = {{ rate = \"{rate}/minute\" }}\n");
        let plans: String = (0..1000).map(plan).collect();
        format!("[[limit]]\nname = \"l\"\npath = \"{}\"\n{plans}", "x".repeat(5000 + rate as usize))
    };
    let found = changes(&plans(1), &plans(2));
    assert_eq!(found.len(), 1);
    assert!(found[0].len() < 600 && found[0].ends_with(", and 996 more"), "{found:?}");
}

#[test]
fn a_renewed_credential_for_the_key_set_leaves_the_issuer_as_it_is() {
    let policy =
        "[[issuer]]\nname = \"main\"\nkeys = { ca_file = \"ca.pem\", bearer_file = \"token\" }\n";
    let with = |ca: &str, token: &str| Version::of(policy, &[("ca.pem", ca), ("token", token)]);
    assert!(with("a", "new").since(&with("a", "old")).is_empty());
    assert!(!with("b", "old").since(&with("a", "old")).is_empty());
}

#[test]
fn what_is_not_toml_has_nothing_to_compare() {
    for text in ["", "\u{0}", "[[rule", "not toml at all"] {
        let found = Version::of(text, &[]).since(&Version::of("", &[]));
        assert!(found.is_empty(), "{text:?}: {found}");
    }
}

#[test]
fn of_many_keys_the_first_are_named_and_the_others_counted() {
    let keys = |from: u8, to: u8| {
        let keys: String = (from..to)
            .map(|key| {
                let digest = format!("sha256:{key:064}");
                format!("[[key]]\nid = \"k{key:03}\"\nclient = \"c\"\ndigest = \"{digest}\"\n")
            })
            .collect();
        Version::of(&keys, &[])
    };
    let found = keys(10, 110).since(&keys(0, 100));
    let expected = (0..10).map(|key| format!("key `k{key:03}` removed"));
    let expected = expected.chain((100..110).map(|key| format!("key `k{key:03}` added")));
    assert_eq!(found.sentences, expected.collect::<Vec<_>>());
    assert_eq!(found.more, 0);
    let found = keys(50, 150).since(&keys(0, 0));
    assert_eq!((found.sentences.len(), found.more), (20, 80));
    assert_eq!(found.sentences[19], "key `k069` added");
}
