//! Limits that several processes share through Redis: together never above, whatever happens to the
//! server.

use std::time::{Duration, Instant};

use super::support::redis::Redis;
use super::support::shared::{Node, cluster, policy};

#[tokio::test]
async fn two_gates_together_admit_no_more_than_one_would() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    let admitted = tokio::join!(nodes[0].admits("/a", 15), nodes[1].admits("/a", 15));
    assert_eq!(admitted.0 + admitted.1, 20);
    let keys = redis.keys();
    assert_eq!(keys.len(), 1);
    assert!(!keys[0].contains("acme"), "nothing of the client stands in {}", keys[0]);
    let refused = nodes[0].call("/a").await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((86_000..=86_400).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"few\";q=20;w=1728000");
}

#[tokio::test]
async fn who_has_to_wait_is_refused_without_a_call() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let node = Node::open(&policy, &key).await;
    assert_eq!(node.admits("/a", 21).await, 20);
    let calls = redis.scripts();
    assert_eq!(node.admits("/a", 100).await, 0);
    assert_eq!(redis.scripts(), calls);
    // What the store has forgotten is seen by whoever asks it: here by a gate that was not told.
    let _: () = redis.run(&["FLUSHALL"]);
    let other = Node::open(&policy, &key).await;
    assert_eq!(other.admits("/a", 1).await, 1);
}

#[tokio::test]
async fn what_is_charged_later_and_given_back_is_seen_by_all() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    assert_eq!(nodes[0].status("/charge").await, 200);
    // It is sent in the background.
    nodes[1].until_left(16).await;
    assert_eq!(nodes[0].status("/fails").await, 503);
    nodes[1].until_left(16).await;
    assert_eq!(nodes[0].left("/look").await, 16);
}

#[tokio::test]
async fn a_server_that_lost_its_scripts_is_given_them_again() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let node = Node::open(&policy, &key).await;
    let mut admitted = 0;
    for _ in 0..25 {
        let _: () = redis.run(&["SCRIPT", "FLUSH"]);
        admitted += node.admits("/a", 1).await;
    }
    assert_eq!(admitted, 20);
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_each_process_its_share() {
    let mut redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"\nnodes = 4", redis.url()), "");
    let node = Node::open(&policy, &key).await;
    assert_eq!(node.admits("/a", 10).await, 10);
    redis.kill();
    let admitted = node.admits_until_left_alone("/a").await;
    node.is_left_alone("no connection").await;
    assert_eq!(admitted + node.admits("/a", 30).await, 5, "a quarter of the burst");
    redis.restart();
    node.until(|store| store.is_available).await;
    assert_eq!(node.left("/look").await, 15, "it came back empty, and was debited once");
    assert_eq!(node.admits("/a", 30).await, 15);
}

#[tokio::test]
async fn a_closed_limit_refuses_and_says_whose_fault_it_is() {
    let mut redis = Redis::start();
    let closed = "on_store_failure = \"closed\"";
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), closed);
    let node = Node::open(&policy, &key).await;
    redis.kill();
    assert_eq!(node.admits_until_left_alone("/a").await + node.admits("/a", 10).await, 0);
    let refused = node.call("/a").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["x-should-retry"], "true");
    assert!(!refused.headers().contains_key("ratelimit"));
    let body = axum::body::to_bytes(refused.into_body(), 10_000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "limiter_unavailable");
    assert_eq!(body["retryable"], true);
    redis.restart();
    node.until(|store| store.is_available).await;
    assert_eq!(node.admits("/a", 30).await, 20);
}

#[tokio::test]
async fn an_open_limit_admits_all_and_is_debited_afterwards() {
    let mut redis = Redis::start();
    let open = "on_store_failure = \"open\"";
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), open);
    let node = Node::open(&policy, &key).await;
    redis.kill();
    node.admits_until_left_alone("/a").await;
    assert_eq!(node.admits("/a", 40).await, 40);
    redis.restart();
    node.until(|store| store.is_available).await;
    assert_eq!(node.admits("/a", 30).await, 0);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_alone_and_asked_again() {
    let redis = Redis::start();
    let store = format!("url = \"{}\"\nnodes = 4", redis.url());
    let (policy, key) = policy(&store, "");
    let policy = policy.replace("\"3s\"", "\"150ms\"");
    let node = Node::open(&policy, &key).await;
    let mut admitted = node.admits("/a", 3).await;
    redis.signal("STOP");
    admitted += node.admits_until_left_alone("/a").await;
    node.is_left_alone("deadline").await;
    admitted += node.admits("/a", 100).await;
    assert!(admitted <= 3 + 5, "{admitted}");
    redis.signal("CONT");
    node.until(|store| store.is_available).await;
    admitted += node.admits("/a", 30).await;
    assert!(admitted <= 20, "{admitted}: what was sent while it hung was charged then");
}

#[tokio::test]
async fn a_gate_opens_while_its_store_is_away() {
    let mut redis = Redis::start();
    redis.kill();
    let (policy, key) = policy(&format!("url = \"{}\"\nnodes = 2", redis.url()), "");
    let node = Node::open_unconnected(&policy, &key).await;
    assert_eq!(node.admits("/a", 30).await, 10);
    redis.restart();
    node.until(|store| store.is_available).await;
    assert_eq!(node.admits("/a", 30).await, 10);
    let store = &node.stores()[0];
    let version = store.version.as_ref().unwrap();
    assert!(version.starts_with("redis ") || version.starts_with("valkey "), "{store:?}");
}

#[tokio::test]
async fn a_value_that_is_no_bucket_is_left_as_it_is() {
    let redis = Redis::start();
    let closed = "on_store_failure = \"closed\"";
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), closed);
    let node = Node::open(&policy, &key).await;
    assert_eq!(node.admits("/a", 1).await, 1);
    let bucket = redis.keys().remove(0);
    let _: () = redis.run(&["SET", &bucket, "full"]);
    assert_eq!(node.status("/a").await, 503);
    let kept: String = redis.run(&["GET", &bucket]);
    assert_eq!(kept, "full");
    assert!(node.stores()[0].is_available, "the server is not to blame");
    let _: () = redis.run(&["DEL", &bucket]);
    let _: () = redis.run(&["LPUSH", &bucket, "full"]);
    assert_eq!(node.status("/a").await, 503);
    let _: () = redis.run(&["DEL", &bucket]);
    assert_eq!(node.status("/a").await, 200);
}

/// What a user needs, and no more.
const GRANTED: &[&str] = &[
    "ACL",
    "SETUSER",
    "gate",
    "reset",
    "on",
    ">hunter2",
    "~tollgate:*",
    "+evalsha",
    "+eval",
    "+script|load",
    "+get",
    "+set",
    "+del",
    "+time",
];

#[tokio::test]
async fn what_the_server_refuses_is_told_apart() {
    let redis = Redis::start();
    let _: () = redis.run(GRANTED);
    let store = format!(
        "url = \"{}\"\nusername = \"gate\"\npassword_env = \"PASSWORD\"\nnodes = 1",
        redis.url()
    );
    let (policy, key) = policy(&store, "");
    let plenty = "[[limit]]\nname = \"plenty\"\nrate = \"1/hour\"\nburst = 1000000\nper = [\"client\"]\n\
                  [[rule]]\nname = \"plenty\"\npath = \"/plenty\"\nlimits = [\"plenty\"]\n";
    let node = Node::open(&format!("{policy}{plenty}"), &key).await;
    assert_eq!(node.admits("/a", 1).await, 1);
    let troubles: [(&[&str], &str, &[&str]); 5] = [
        (&["ACL", "SETUSER", "gate", "-evalsha"], "may not run the script", GRANTED),
        (&["ACL", "SETUSER", "gate", "-set"], "may not run the script", GRANTED),
        (
            &["CONFIG", "SET", "maxmemory", "1"],
            "memory is full",
            &["CONFIG", "SET", "maxmemory", "0"],
        ),
        (&["REPLICAOF", "127.0.0.1", "1"], "replica", &["REPLICAOF", "NO", "ONE"]),
        (&["ACL", "SETUSER", "gate", "off"], "user or the password", GRANTED),
    ];
    for (trouble, why, end) in troubles {
        let _: () = redis.run(trouble);
        if trouble.last() == Some(&"off") {
            let _: u64 = redis.run(&["CLIENT", "KILL", "USER", "gate"]);
        }
        // Whatever is admitted meanwhile is this process's share.
        node.admits_until_left_alone("/plenty").await;
        node.is_left_alone(why).await;
        let _: () = redis.run(end);
        node.until(|store| store.is_available).await;
    }
    assert!(node.admits("/a", 30).await <= 19);
}

#[tokio::test]
async fn a_quota_that_changes_refills_nothing() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let node = Node::open(&policy, &key).await;
    assert_eq!(node.admits("/a", 15).await, 15);
    let lower = Node::open(&policy.replace("burst = 20", "burst = 10"), &key).await;
    assert_eq!(lower.left("/look").await, 0);
    assert_eq!(lower.admits("/a", 5).await, 0);
    let higher = Node::open(&policy.replace("burst = 20", "burst = 30"), &key).await;
    assert_eq!(higher.left("/look").await, 15);
    assert_eq!(node.left("/look").await, 5);
}

#[tokio::test]
async fn a_rule_in_shadow_mode_waits_for_the_store_and_refuses_nobody() {
    let redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"", redis.url()), "");
    let dark =
        "[[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\nlimits = [\"few\"]\n";
    let node = Node::open(&format!("{policy}{dark}"), &key).await;
    assert_eq!(node.admits("/dark", 30).await, 30);
    assert_eq!(node.admits("/a", 1).await, 0);
}

#[tokio::test]
async fn limits_of_one_client_lie_in_one_slot_of_a_cluster() {
    let mut servers = cluster().await;
    let store =
        format!("cluster = [\"{}\", \"{}\"]\nnodes = 4", servers[0].url(), servers[1].url());
    let (policy, key) = policy(&store, "");
    let more = "[[limit]]\nname = \"each-rule\"\nrate = \"1/day\"\nburst = 9\nper = [\"rule\", \"client\"]\n\
                [[limit]]\nname = \"all\"\nrate = \"1/day\"\nburst = 4\nper = [\"global\"]\n\
                [[rule]]\nname = \"two\"\npath = \"/two\"\nlimits = [\"few\", \"each-rule\"]\n\
                [[rule]]\nname = \"spread\"\npath = \"/spread\"\nlimits = [\"few\", \"all\"]\n";
    let policy = format!("{policy}{more}");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    nodes[0].until(|store| store.is_available && store.version.is_some()).await;
    nodes[1].until(|store| store.is_available && store.version.is_some()).await;
    assert_eq!(nodes[0].stores().len(), 3);

    // One script: the stricter of both holds.
    assert_eq!(nodes[0].admits("/two", 6).await + nodes[1].admits("/two", 6).await, 9);
    let with_bucket: Vec<_> = servers.iter().filter(|server| !server.keys().is_empty()).collect();
    assert_eq!(with_bucket.len(), 1, "all keys of the client are on one server");
    assert_eq!(nodes[0].left("/look").await, 11);

    // Two scripts: what one took is given back where the other refuses.
    assert_eq!(nodes[0].admits("/spread", 6).await + nodes[1].admits("/spread", 6).await, 4);
    nodes[0].until_left(7).await;

    // The server with the client's buckets goes down: others still decide, and its share is taken.
    let lost =
        servers.iter().position(|server| server.keys().iter().any(|key| key.contains(":few:")));
    let others = servers.len() - 1;
    servers[lost.unwrap()].kill();
    let end = Instant::now() + Duration::from_secs(60);
    let mut admitted = 0;
    while nodes[0].stores().iter().all(|store| store.is_available) {
        admitted += nodes[0].admits("/a", 1).await;
        assert!(Instant::now() < end);
    }
    admitted += nodes[0].admits("/a", 30).await;
    assert_eq!(admitted, 5, "a quarter of the burst");
    let available = nodes[0].stores().iter().filter(|store| store.is_available).count();
    assert!(
        available <= others,
        "the cluster may refuse on the others, too, while a slot has no server"
    );
}
