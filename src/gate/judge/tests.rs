use http::{HeaderMap, HeaderName, Method};

use super::super::lasting::Lasting;
use super::super::observe::Observer;
use super::*;
use crate::denial::Registry;
use crate::policy::{Faults, Sources, load};
use crate::time::ManualClock;

/// What lives as long as the process, and its policies.
struct Process {
    clock: ManualClock,
    lasting: Lasting,
}

impl Process {
    fn new() -> Self {
        let clock = ManualClock::at(1_800_000_000);
        let observer = Arc::new(Observer::new(HeaderName::from_static("x-request-id")));
        Self { lasting: Lasting::new(Arc::new(clock.clone()), observer), clock }
    }

    /// Puts a policy in force whose rules are public, with a limit of this burst for each address.
    fn enforce(&self, burst: u32, more: &str) -> Snapshot {
        let text = format!(
            "version = 1\n[[limit]]\nname = \"few\"\nrate = \"1/minute\"\nburst = {burst}\n\
             per = [\"address\"]\n\
             [[rule]]\nname = \"all\"\npath = \"/a\"\npublic = true\nlimits = [\"few\"]\n{more}"
        );
        let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
        Snapshot::new(policy, Registry::default(), Vec::new(), &self.lasting)
    }

    fn judge(&self, snapshot: &Snapshot, path: &str) -> Verdict {
        let headers = HeaderMap::new();
        let ask = Ask {
            method: &Method::GET,
            path,
            headers: &headers,
            fields: snapshot.policy().credential.fields(&headers),
            peer: Some(std::net::IpAddr::from([192, 0, 2, 1]).into()),
            moment: Moment::of(&self.clock),
            came: Came::NOTHING,
        };
        snapshot.judge(&ask, Media::Document)
    }

    fn admits(&self, snapshot: &Snapshot, path: &str) -> bool {
        matches!(self.judge(snapshot, path), Verdict::Admitted(_))
    }
}

#[test]
fn buckets_outlive_the_policy_that_filled_them() {
    let process = Process::new();
    let before = process.enforce(3, "");
    assert!((0..2).all(|_| process.admits(&before, "/a")));
    let after = process.enforce(3, "");
    assert!(process.admits(&after, "/a"));
    assert!(!process.admits(&after, "/a"), "two were taken under the policy before");
    assert!(!process.admits(&before, "/a"), "which may still judge, by the same buckets");
    process.clock.advance(std::time::Duration::from_secs(60));
    assert!(process.admits(&after, "/a"));
}

#[test]
fn an_admission_of_a_replaced_policy_still_charges() {
    let process = Process::new();
    let before = process.enforce(5, "");
    let Verdict::Admitted(open) = process.judge(&before, "/a") else { panic!("refused") };
    drop(before);
    let after = process.enforce(5, "");
    open.charge(4);
    assert!(!process.admits(&after, "/a"), "the stream took what was left");
    let left: Vec<_> = open.limits().map(|balance| balance.remaining).collect();
    assert_eq!(left, [0]);
}

#[test]
fn what_is_refused_in_shadow_mode_is_admitted_with_the_reason() {
    let process = Process::new();
    let dark = "[[rule]]\nname = \"dark\"\npath = \"/b\"\nmode = \"shadow\"\npublic = true\n\
                limits = [\"few\"]\n";
    let snapshot = process.enforce(1, dark);
    assert!(process.admits(&snapshot, "/a"));
    let Verdict::Admitted(admission) = process.judge(&snapshot, "/b") else {
        panic!("a rule in shadow mode refuses nobody")
    };
    assert_eq!(admission.shadow(), Some("rate_limited"));
    assert_eq!(admission.limits().count(), 0, "and took nothing");
}

#[test]
fn what_no_rule_covers_is_answered_as_a_denial() {
    let process = Process::new();
    let snapshot = process.enforce(1, "");
    let Verdict::Denied(response) = process.judge(&snapshot, "/nowhere") else {
        panic!("no rule covers it")
    };
    assert!(response.status().is_client_error());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}
