//! A key file of many keys is what a small one is: each key works, a change counts, and what is wrong has
//! its place.

use std::fs;
use std::path::Path;

use axum::Router;
use tollgate::keys::KeyDigest;
use tollgate::{ManualClock, OpenError, Tollgate};

use super::support::{NOW, Server, serve};

const POLICY: &str = "version = 1\n[api_keys]\nformat = \"any\"\nfile = \"keys.toml\"\n\
                      [[rule]]\nname = \"all\"\npath = \"/{*rest}\"\nscopes = [\"orders:read\"]\n";
const COUNT: usize = 20_000;

fn entry(number: usize, rest: &str) -> String {
    let digest = KeyDigest::of(format!("key-{number}").as_bytes());
    format!(
        "[[key]]\nid = \"k{number}\"\nclient = \"client-{number}\"\ndigest = \"{digest}\"\n{rest}\n"
    )
}

/// Every seventh is written in another way.
fn entries() -> Vec<String> {
    let scopes = "scopes = [\"orders:read\"] # all of them\n";
    let entry_of = |number: usize| match number % 7 {
        3 => entry(number, "\"scopes\" = [\n  \"orders\\u003aread\", # escaped\n]\n"),
        _ => entry(number, scopes),
    };
    (0..COUNT).map(entry_of).collect()
}

async fn open(folder: &Path) -> Result<(Tollgate, Server), OpenError> {
    let clock = ManualClock::at(NOW);
    let path = folder.join("tollgate.toml");
    fs::write(&path, POLICY).unwrap();
    let gate = Tollgate::builder().policy_file(path).clock(clock.clone()).watch(false);
    let gate = gate.build().await?;
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    Ok((gate, serve(app, clock).await))
}

#[tokio::test]
async fn each_key_of_a_large_file_works_and_a_change_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let mut entries = entries();
    fs::write(&file, entries.concat()).unwrap();
    let (gate, server) = open(folder.path()).await.unwrap();
    let get = async |number: usize| {
        let key = format!("key-{number}");
        server.get_http2("/orders", &[("x-api-key", &key)]).await
    };
    for number in [0, 3, 4, 10_000, 10_002, COUNT - 1] {
        assert_eq!(get(number).await.status, 200, "{number}");
    }
    assert_eq!(get(COUNT).await.code(), "api_key_unknown");

    entries[10_000] += "revoked = true\n";
    entries[3] = entry(3, "scopes = []\n");
    entries.push(entry(COUNT, "scopes = [\"orders:read\"]\n"));
    fs::write(&file, entries.concat()).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(get(10_000).await.code(), "api_key_revoked");
    assert_eq!(get(3).await.code(), "insufficient_scope");
    assert_eq!(get(COUNT).await.status, 200);
    assert_eq!(get(10_002).await.status, 200);

    // The file is as it was: what the policy makes of it is not.
    let asking = POLICY.replace("scopes = [\"orders:read\"]", "scopes = [\"orders:list\"]");
    let granting = format!("{asking}[scopes]\n\"orders:read\" = [\"orders:list\"]\n");
    for (policy, status) in
        [(asking.as_str(), 403), (granting.as_str(), 200), (asking.as_str(), 403)]
    {
        fs::write(folder.path().join("tollgate.toml"), policy).unwrap();
        gate.reload().await.unwrap();
        for number in [0, 10_002, COUNT] {
            assert_eq!(get(number).await.status, status, "{number}");
        }
        assert_eq!(get(10_000).await.code(), "api_key_revoked");
    }
}

#[tokio::test]
async fn every_fault_of_a_large_file_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut entries = entries();
    let line_of = |entries: &[String], at: usize| 1 + entries[..at].concat().matches('\n').count();
    entries[9_999] = entry(7, "");
    entries[15_000] = entry(15_000, "scpoes = [\"orders:read\"]\n");
    entries[19_999] = entry(19_999, "plan = \"free\n");
    let lines = [9_999, 15_000, 19_999].map(|at| line_of(&entries, at));
    fs::write(folder.path().join("keys.toml"), entries.concat()).unwrap();
    let Err(error) = open(folder.path()).await else { panic!("the file has faults") };
    let mut found = error.faults().iter().map(|fault| (fault.line(), fault.message().to_owned()));
    assert_eq!(found.next(), Some((lines[0] + 1, "two keys are called `k7`".into())));
    assert_eq!(found.next(), Some((lines[0] + 3, "two keys have this digest".into())));
    assert_eq!(found.next(), Some((lines[1] + 4, "unknown key `scpoes` in [[key]]".into())));
    let (line, message) = found.next().unwrap();
    assert_eq!(line, lines[2] + 4);
    assert!(message.contains("TOML"), "{message}");
    assert_eq!(found.next(), None);
    let help = error.faults().iter().map(|fault| fault.help().to_owned()).collect::<Vec<_>>();
    assert!(help.iter().any(|help| help.contains("did you mean `scopes`?")), "{help:?}");
}
