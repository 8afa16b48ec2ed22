//! What a server of shared limits may answer in place of a decision, provoked for real: the status says
//! why it is not asked, each limit does what its `on_store_failure` says, and it recovers.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::redis::Redis;
use super::support::shared::{Choices, Node, policy};

/// Waits until the server answers a script that writes with this error.
fn until_refused(redis: &Redis, code: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let write = ["EVAL", "return redis.call('SET', KEYS[1], 'x', 'PX', 1)", "1", "probe"];
        match redis.try_run::<String>(&write) {
            Err(error) if is(&error, code) => return,
            answer => assert!(Instant::now() < end, "{answer:?} in place of {code}"),
        }
    }
}

/// Before version 7 a server wraps what befalls a command of a script.
fn is(error: &redis::RedisError, code: &str) -> bool {
    error.code() == Some(code) || error.to_string().contains(&format!(": -{code} "))
}

/// A fault that commands begin, and commands end.
async fn provoked(code: &str, why: &str, begin: &[&[&str]], end: &[&[&str]]) {
    let redis = Redis::start();
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    for command in begin {
        let _: redis::Value = redis.run(command);
    }
    until_refused(&redis, code);
    choices.do_without(why).await;
    for command in end {
        let _: redis::Value = redis.run(command);
    }
    choices.recover().await;
}

#[tokio::test]
async fn a_server_without_memory_grants_nothing() {
    let (begin, end) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
    provoked("OOM", "its memory is full", &[&begin], &[&end]).await;
}

#[tokio::test]
async fn a_server_that_became_a_replica_grants_nothing() {
    let (begin, end) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
    provoked("READONLY", "a replica", &[&begin], &[&end]).await;
}

#[tokio::test]
async fn a_replica_whose_primary_is_gone_and_that_serves_nothing_old_is_left_alone() {
    let begin: [&[&str]; 2] =
        [&["CONFIG", "SET", "replica-serve-stale-data", "no"], &["REPLICAOF", "127.0.0.1", "1"]];
    provoked("MASTERDOWN", "or its primary, is down", &begin, &[&["REPLICAOF", "NO", "ONE"]]).await;
}

#[tokio::test]
async fn a_server_that_lacks_replicas_grants_nothing() {
    let set = |number| ["CONFIG", "SET", "min-replicas-to-write", number];
    provoked("NOREPLICAS", "it takes no writes", &[&set("1")], &[&set("0")]).await;
}

#[tokio::test]
async fn a_user_without_the_right_to_scripts_is_told_apart() {
    let (begin, end) =
        (["ACL", "SETUSER", "default", "-evalsha"], ["ACL", "SETUSER", "default", "+evalsha"]);
    let redis = Redis::start();
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    let _: () = redis.run(&begin);
    choices.do_without("may not run the script").await;
    let _: () = redis.run(&end);
    choices.recover().await;
}

#[tokio::test]
async fn a_server_that_cannot_write_to_its_disk_grants_nothing() {
    let redis = Redis::start();
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    let _: () = redis.run(&["CONFIG", "SET", "save", "36000 1000000"]);
    // No file can take the place of a folder that holds something.
    let file = redis.directory().join("dump.rdb");
    fs::create_dir_all(file.join("inside")).unwrap();
    let _: String = redis.run(&["BGSAVE"]);
    until_refused(&redis, "MISCONF");
    choices.do_without("its disk cannot be written to").await;
    fs::remove_dir_all(file).unwrap();
    let _: () = redis.run(&["CONFIG", "SET", "save", ""]);
    choices.recover().await;
}

#[tokio::test]
async fn a_server_that_another_script_keeps_busy_is_left_alone() {
    let redis = Redis::start();
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    let _: () = redis.run(&["CONFIG", "SET", "lua-time-limit", "1"]);
    let port = redis.port.to_string();
    let mut script = Command::new("redis-cli")
        .args(["-p", &port, "EVAL", "while true do end", "0"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until_refused(&redis, "BUSY");
    choices.do_without("keeps it busy").await;
    let _: () = redis.run(&["SCRIPT", "KILL"]);
    script.wait().unwrap();
    choices.recover().await;
}

#[tokio::test]
async fn a_server_that_reads_its_data_is_left_alone_until_it_has() {
    // It looks at its connections after each key.
    let mut redis = Redis::start_with(&[
        "--rdbcompression",
        "no",
        "--loading-process-events-interval-bytes",
        "1024",
        "--key-load-delay",
        "50000",
    ]);
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    let fill = "for n = 1, 1000 do redis.call('SET', 'filler-' .. n, string.rep('x', 2048)) end";
    let _: () = redis.run(&["EVAL", fill, "0"]);
    let _: () = redis.run(&["SAVE"]);
    redis.kill();
    redis.restart_with_its_data();
    until_loading(&redis);
    choices.do_without("it is loading its data").await;
    let _: () = redis.run(&["CONFIG", "SET", "key-load-delay", "0"]);
    choices.recover().await;
}

fn until_loading(redis: &Redis) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match redis.try_run::<String>(&["GET", "filler-1"]) {
            Err(error) if error.code() == Some("LOADING") => return,
            answer => assert!(Instant::now() < end, "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_cluster_with_a_slot_that_nobody_has_is_left_alone() {
    let redis = Redis::start_with(&["--cluster-enabled", "yes"]);
    let slots: Vec<String> = (0..16_384).map(|slot| slot.to_string()).collect();
    let slots: Vec<&str> = slots.iter().map(String::as_str).collect();
    let _: () = redis.run(&[&["CLUSTER", "ADDSLOTS"], &slots[..]].concat());
    let until = |state: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        while !redis.run::<String>(&["CLUSTER", "INFO"]).contains(state) {
            assert!(Instant::now() < end, "{state}");
        }
    };
    until("cluster_state:ok");
    let choices = Choices::open(&format!("cluster = [\"{}\"]", redis.url())).await;
    // A slot that no bucket of this test is in, and no probe.
    let _: () = redis.run(&["CLUSTER", "DELSLOTS", "16383"]);
    until("cluster_state:fail");
    choices.do_without("its cluster").await;
    let _: () = redis.run(&["CLUSTER", "ADDSLOTS", "16383"]);
    until("cluster_state:ok");
    choices.recover().await;
}

/// The server is not to blame, so it is asked for all other buckets.
#[tokio::test]
async fn what_is_no_bucket_is_decided_as_if_its_server_were_away() {
    let redis = Redis::start();
    let choices = Choices::open(&format!("url = \"{}\"", redis.url())).await;
    for node in [&choices.share, &choices.closed, &choices.open] {
        assert_eq!(node.admits("/a", 1).await, 1);
    }
    for bucket in redis.keys() {
        let _: () = redis.run(&["SET", &bucket, "full"]);
    }
    assert_eq!(choices.share.admits("/a", 30).await, 5);
    assert_eq!(
        (choices.closed.status("/a").await, choices.closed.admits("/a", 30).await),
        (503, 0)
    );
    assert_eq!(choices.open.admits("/a", 30).await, 30);
    for node in [&choices.share, &choices.closed, &choices.open] {
        assert!(node.stores()[0].is_available, "{:?}", node.stores());
    }
    for bucket in redis.keys() {
        let _: () = redis.run(&["DEL", &bucket]);
    }
    for node in [&choices.share, &choices.closed, &choices.open] {
        assert_eq!(node.admits("/a", 30).await, 20, "the key is a full bucket again");
    }
}

const PLENTY: &str = "[[limit]]\nname = \"plenty\"\nrate = \"1/hour\"\nburst = 1000000\nper = [\"client\"]\n\
    [[rule]]\nname = \"plenty\"\npath = \"/plenty\"\nlimits = [\"plenty\"]\n";

#[tokio::test]
async fn a_share_begins_with_no_more_than_the_store_last_said() {
    let mut redis = Redis::start();
    let (policy, key) = policy(&format!("url = \"{}\"\nnodes = 4", redis.url()), "");
    let policy = format!("{policy}{PLENTY}");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    assert_eq!(nodes[0].admits("/a", 18).await, 18);
    redis.kill();
    for node in &nodes {
        node.admits_until_left_alone("/plenty").await;
    }
    assert_eq!(nodes[0].admits("/a", 30).await, 2, "it was heard that two are left");
    assert_eq!(nodes[1].admits("/a", 30).await, 5, "nothing was heard: a quarter of the burst");
    redis.restart();
    for node in &nodes {
        node.until(|store| store.is_available).await;
    }
    nodes[0].until_left(13).await;
}
