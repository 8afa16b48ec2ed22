use serde_json::json;

use super::*;
use crate::policy::{Faults, Sources, load};

#[test]
fn a_status_is_serialized_as_documented() {
    let seen = |path: &str, state| Seen { path: path.into(), state, changed: None };
    let status = Status {
        revision: Revision::new(3, "9f86d081884c7d65"),
        loaded_at: rfc3339(1_800_000_000),
        last_fault: Some(LastFault::of_text(
            "the file is empty",
            Wall::from_seconds(1_800_000_100),
        )),
        warnings: Warnings::new(["wide-leeway", "unknown-plan", "wide-leeway"]),
        sources: vec![
            SourceStatus::of_file(
                &seen("tollgate.toml", SeenState::InForce),
                Some(Duration::from_millis(61_900)),
            ),
            SourceStatus::of_file(&seen("keys.toml", SeenState::Trouble(Trouble::Missing)), None),
            SourceStatus::of_file(&seen("a.pem", SeenState::Trouble(Trouble::Empty)), None),
            SourceStatus::of_file(&seen("b.pem", SeenState::Other), None),
        ],
        stores: vec![StoreStatus::memory("buckets")],
        forwarded_ignored: false,
        revocations: RevocationStatus { listed: 2, ..RevocationStatus::default() },
    };
    let value = serde_json::to_value(&status).unwrap();
    assert_eq!(value["revision"], json!({"number": 3, "digest": "9f86d081884c7d65"}));
    assert_eq!(value["loaded_at"], "2027-01-15T08:00:00Z");
    let fault = json!({
        "text": "the file is empty", "count": 1, "at": "2027-01-15T08:01:40Z", "is_current": true
    });
    assert_eq!(value["last_fault"], fault);
    let warnings = json!({"count": 3, "names": ["unknown-plan", "wide-leeway"]});
    assert_eq!(value["warnings"], warnings);
    let states: Vec<_> = status.sources.iter().map(|source| source.state).collect();
    use SourceState::{Current, Missing, Refused};
    assert_eq!(states, [Current, Missing, Refused, Refused]);
    let policy = json!({
        "name": "tollgate.toml", "state": "current", "age_seconds": 61, "detail": null,
        "issuer": null, "keys": null
    });
    assert_eq!(value["sources"][0], policy);
    assert_eq!(value["sources"][1]["detail"], "the file does not exist");
    let store = json!({
        "name": "buckets", "kind": "memory", "is_available": true, "age_seconds": null,
        "detail": null, "version": null, "keys": null
    });
    assert_eq!(value["stores"][0], store);
    let revocations = json!({"listed": 2, "file": null, "told": 0, "age_seconds": null});
    assert_eq!(value["revocations"], revocations);
}

#[test]
fn a_key_set_says_how_old_it_is_and_why_it_is_not_newer() {
    let status = |age: Option<u64>, keys, error: Option<&str>| {
        let (issuer, address) = ("main".into(), "https://id.example.com/jwks.json".to_owned());
        let (age, error) = (age.map(Duration::from_secs), error.map(str::to_owned));
        let status = RemoteStatus { issuer, address, age, keys, error };
        serde_json::to_value(SourceStatus::of_keys(status)).unwrap()
    };
    let good = json!({
        "name": "https://id.example.com/jwks.json", "state": "current", "age_seconds": 61,
        "detail": null, "issuer": "main", "keys": 2
    });
    assert_eq!(status(Some(61), 2, None), good);
    let stale = status(Some(900), 2, Some("no answer"));
    assert_eq!((&stale["state"], &stale["detail"]), (&json!("refused"), &json!("no answer")));
    for error in [None, Some("no answer")] {
        let absent = status(None, 0, error);
        assert_eq!((&absent["state"], &absent["keys"]), (&json!("missing"), &json!(0)));
    }
}

#[test]
fn the_last_fault_has_places_and_a_bound() {
    let faults = Faults::default();
    let wrong: String = (0..30).map(|n| format!("wrong{n} = 1\n")).collect();
    load("p.toml", &format!("version = 1\n{wrong}"), &Sources::default(), &faults);
    let mut fault = LastFault::of_policy(&faults.into_sorted(), Wall::from_seconds(1_800_000_000));
    assert!(fault.text.starts_with("p.toml:2:1: unknown key `wrong0`"), "{}", fault.text);
    assert!(fault.text.ends_with("and 20 more"), "{}", fault.text);
    assert_eq!(fault.count, 30);
    fault.is_over();
    assert!(!fault.is_current);
}
