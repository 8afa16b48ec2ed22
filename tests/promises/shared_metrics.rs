//! What the metrics say of shared limits: each that the page names, with a real server that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::support::redis::Redis;
use super::support::root;
use super::support::shared::{Choices, Node, policy};

/// The recorder is that of the whole process, since the store has a thread of its own.
#[test]
fn each_metric_of_the_page_counts_what_it_says() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shared_metrics::in_a_process_of_its_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

/// What was counted so far, by name and labels.
struct Seen {
    snapshots: Snapshotter,
    values: BTreeMap<String, f64>,
    names: BTreeSet<String>,
}

impl Seen {
    fn look(&mut self) {
        for (key, _, description, value) in self.snapshots.snapshot().into_vec() {
            let name = key.key().name().to_owned();
            assert!(description.is_some(), "{name} is not described");
            let labels: Vec<String> = key
                .key()
                .labels()
                .map(|label| format!(" {}={}", label.key(), label.value()))
                .collect();
            let labelled = format!("{name}{}", labels.concat());
            let kept = self.values.entry(labelled).or_default();
            match value {
                DebugValue::Counter(count) => *kept += count as f64,
                // A look takes it away, so it is what was set since the last one.
                DebugValue::Gauge(value) => *kept = value.0,
                DebugValue::Histogram(values) => *kept += values.len() as f64,
            }
            self.names.insert(name);
        }
    }

    fn value(&self, labelled: &str) -> f64 {
        self.values.get(labelled).copied().unwrap_or_default()
    }
}

fn names_of_the_page() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/shared-limits.md")).unwrap();
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    page.split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("tollgate_store_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
#[ignore = "started by the test above, alone in its process"]
async fn in_a_process_of_its_own() {
    let mut redis = Redis::start();
    let store = format!("url = \"{}\"", redis.url());
    let early = {
        let (policy, key) = policy(&store, "");
        Node::open(&policy, &key).await
    };
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    recorder.install().unwrap();
    let mut seen = Seen { snapshots, values: BTreeMap::new(), names: BTreeSet::new() };

    // Gates that are opened later describe the metrics of all.
    let choices = Choices::open(&store).await;
    let asked = format!("tollgate_store_asked server=127.0.0.1:{}", redis.port);
    seen.look();
    assert_eq!(seen.value(&asked), 1.0);
    let decided = |seen: &Seen, mode: &str, outcome: &str| {
        seen.value(&format!("tollgate_store_decisions_total mode={mode} outcome={outcome}"))
    };

    assert_eq!(early.admits("/a", 25).await, 20);
    seen.look();
    assert_eq!(decided(&seen, "store", "granted"), 20.0);
    assert_eq!(
        decided(&seen, "store", "refused"),
        0.0,
        "what was left was heard with the last grant"
    );
    assert_eq!(decided(&seen, "spared", "refused"), 5.0);
    assert_eq!(seen.value("tollgate_store_calls_total outcome=answered"), 20.0);
    assert_eq!(seen.value("tollgate_store_call_seconds"), 20.0);
    assert_eq!(seen.value("tollgate_store_decisions_per_call"), 20.0);
    // Another gate has not heard of it.
    let (policy, key) = policy(&store, "");
    let other = Node::open(&policy, &key).await;
    assert_eq!(other.admits("/a", 1).await, 0);
    seen.look();
    assert_eq!(decided(&seen, "store", "refused"), 1.0);

    // What is charged when the server has just failed is lost.
    let _: () = redis.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(choices.open.status("/charge").await, 200);
    let end = Instant::now() + Duration::from_secs(60);
    while seen.value("tollgate_store_debits_total outcome=lost") < 1.0 {
        assert!(Instant::now() < end, "{:?}", seen.values);
        tokio::task::yield_now().await;
        seen.look();
    }
    let _: () = redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(seen.value("tollgate_store_calls_total outcome=full"), 2.0);
    assert_eq!(decided(&seen, "open", "granted"), 1.0);

    redis.kill();
    choices.do_without("no connection").await;
    seen.look();
    assert!(
        seen.value("tollgate_store_calls_total outcome=unreachable") >= 3.0,
        "{:?}",
        seen.values
    );
    assert_eq!(decided(&seen, "local_share", "granted"), 5.0);
    assert!(decided(&seen, "local_share", "refused") >= 25.0);
    assert!(decided(&seen, "closed", "unavailable") >= 1.0);
    assert!(decided(&seen, "open", "granted") >= 30.0);
    assert_eq!(seen.value("tollgate_store_debits_total outcome=sent"), 0.0);

    redis.restart();
    choices.recover().await;
    seen.look();
    assert_eq!(seen.value(&asked), 1.0, "it is asked again");
    assert_eq!(
        seen.value("tollgate_store_debits_total outcome=sent"),
        2.0,
        "of the share and of the open limit"
    );

    let again = Node::open(&policy, &key).await;
    redis.kill();
    again.admits_until_left_alone("/a").await;
    seen.look();
    assert_eq!(seen.value(&asked), 0.0, "set to 1 by the new gate, and then to 0");

    let of_store = |name: &String| name.starts_with("tollgate_store_");
    let found: BTreeSet<String> =
        seen.names.iter().filter(|name| of_store(name)).cloned().collect();
    assert_eq!(found, names_of_the_page());
}
