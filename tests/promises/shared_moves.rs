//! Slots of a cluster that move from one server to another while their buckets are used: no bucket is
//! made anew beside the one that is there, and no decision is lost.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::shared_rights;
use super::support::redis::Redis;
use super::support::root;
use super::support::shared::{Node, cluster, cluster_node, policy};

/// Two limits of one client, which lie in one slot.
const TWO: &str = "[[limit]]\nname = \"each-rule\"\nrate = \"1/day\"\nburst = 50000\n\
    per = [\"rule\", \"client\"]\n\
    [[rule]]\nname = \"two\"\npath = \"/two\"\nlimits = [\"few\", \"each-rule\"]\n";

/// The rights that the page names for a cluster, for the user of these tests.
fn rights() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/shared-limits.md")).unwrap();
    let more = page.split("In a cluster it needs `").nth(1).unwrap().split('`').next().unwrap();
    let word = |word: &str| match word {
        "tollgate" => "gate".to_owned(),
        ">example-password" => ">hunter2".to_owned(),
        other => other.to_owned(),
    };
    let words = shared_rights::rights();
    words.iter().map(|known| word(known)).chain(more.split(' ').map(str::to_owned)).collect()
}

/// A cluster of three, and a fourth server that has no slot yet.
struct Cluster {
    servers: Vec<Redis>,
}

impl Cluster {
    async fn start() -> Self {
        let mut servers = cluster().await;
        let new = cluster_node(None);
        let port = servers[0].port.to_string();
        let _: () = new.run(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        servers.push(new);
        let end = Instant::now() + Duration::from_secs(60);
        let knows_all =
            |server: &Redis| server.run::<String>(&["CLUSTER", "NODES"]).lines().count() == 4;
        let is_up = |server: &Redis| {
            server.run::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        };
        while !servers.iter().all(|server| knows_all(server) && is_up(server)) {
            assert!(Instant::now() < end, "the fourth server does not join");
        }
        let rights = rights();
        let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
        for server in &servers {
            let _: () = server.run(&rights);
        }
        Self { servers }
    }

    fn store(&self) -> String {
        let login = "username = \"gate\"\npassword_env = \"PASSWORD\"";
        format!("cluster = [\"{}\"]\n{login}", self.servers[0].url())
    }

    /// The server that has a bucket, the one that is new, and the slot.
    fn way_of_the_bucket(&self) -> Move<'_> {
        let mut with_bucket = self.servers.iter().filter(|server| !server.keys().is_empty());
        let from = with_bucket.next().unwrap();
        assert!(with_bucket.next().is_none());
        let slot: u16 = from.run(&["CLUSTER", "KEYSLOT", &from.keys()[0]]);
        Move { all: &self.servers, from, to: &self.servers[3], slot: slot.to_string() }
    }
}

/// A slot on its way.
struct Move<'s> {
    all: &'s [Redis],
    from: &'s Redis,
    to: &'s Redis,
    slot: String,
}

fn id(server: &Redis) -> String {
    server.run(&["CLUSTER", "MYID"])
}

impl<'s> Move<'s> {
    fn begin(&self) {
        let (from, to) = (id(self.from), id(self.to));
        let _: () = self.to.run(&["CLUSTER", "SETSLOT", &self.slot, "IMPORTING", &from]);
        let _: () = self.from.run(&["CLUSTER", "SETSLOT", &self.slot, "MIGRATING", &to]);
    }

    fn carry(&self, key: &str) {
        let port = self.to.port.to_string();
        let carried: String = self.from.run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        assert_eq!(carried, "OK", "{key}");
    }

    /// Carries all keys that are left.
    fn carry_all(&self) {
        loop {
            let keys: Vec<String> = self.from.run(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "100"]);
            if keys.is_empty() {
                return;
            }
            keys.iter().for_each(|key| {
                let port = self.to.port.to_string();
                // A probe may have ended meanwhile.
                let _carried: String =
                    self.from.run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            });
        }
    }

    fn end(&self) {
        let to = id(self.to);
        for server in [self.to, self.from].into_iter().chain(self.all) {
            // A server that has no slot may refuse to hear of it.
            let _told: Result<(), _> =
                server.try_run(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &to]);
        }
    }

    /// Waits until all servers have heard of it from each other: a slot that moves on before that may be
    /// claimed by one that has it no more.
    async fn is_known(&self) {
        let (to, end) = (id(self.to), Instant::now() + Duration::from_secs(60));
        let seen = |server: &Redis| {
            let nodes: String = server.run(&["CLUSTER", "NODES"]);
            let line = nodes.lines().find(|line| line.starts_with(&to)).unwrap();
            let mut words = line.split(' ').skip(6).map(str::to_owned);
            let epoch = words.next();
            let info: String = server.run(&["CLUSTER", "INFO"]);
            let current =
                info.lines().find(|line| line.starts_with("cluster_current_epoch")).unwrap();
            (epoch, current.to_owned(), words.skip(1).collect::<Vec<_>>())
        };
        while self.all.iter().any(|server| seen(server) != seen(self.to)) {
            assert!(Instant::now() < end, "the servers do not agree");
            tokio::task::yield_now().await;
        }
    }

    fn back(&self) -> Move<'s> {
        Move { all: self.all, from: self.to, to: self.from, slot: self.slot.clone() }
    }
}

async fn node(cluster: &Cluster, burst: &str) -> Node {
    let (policy, key) = policy(&cluster.store(), "on_store_failure = \"closed\"");
    let policy = policy.replace("burst = 20", burst).replace("\"3s\"", "\"5s\"");
    let node = Node::open(&format!("{policy}{TWO}"), &key).await;
    node.until(|store| store.is_available).await;
    node
}

#[tokio::test]
async fn a_bucket_is_asked_for_where_it_is_while_its_slot_moves() {
    let cluster = Cluster::start().await;
    let node = node(&cluster, "burst = 20").await;
    assert_eq!(node.admits("/a", 3).await, 3);
    let moving = cluster.way_of_the_bucket();
    let bucket = moving.from.keys().remove(0);

    moving.begin();
    assert_eq!(node.admits("/a", 2).await, 2);
    assert_eq!(moving.to.keys().len(), 0, "it has not moved, so it is not made anew");

    moving.carry(&bucket);
    assert_eq!(node.admits("/a", 4).await, 4, "the target is asked");
    assert_eq!(moving.from.keys().len(), 0);

    moving.end();
    assert_eq!(node.left("/look").await, 20 - 9);
    assert_eq!(node.admits("/a", 20).await, 11);
    assert_eq!(moving.to.keys(), [bucket]);
    // The server that had no slot is on the map by now.
    node.until(|_| node.stores().len() == 4).await;
}

#[tokio::test]
async fn a_bucket_that_is_nowhere_yet_is_made_where_its_slot_goes() {
    let cluster = Cluster::start().await;
    let node = node(&cluster, "burst = 20").await;
    assert_eq!(node.admits("/a", 1).await, 1);
    let moving = cluster.way_of_the_bucket();
    let _: u64 = moving.from.run(&["DEL", &moving.from.keys()[0]]);
    moving.begin();
    assert_eq!(node.admits("/a", 30).await, 20);
    assert_eq!((moving.from.keys().len(), moving.to.keys().len()), (0, 1));
}

#[tokio::test]
async fn limits_of_one_decision_are_taken_while_one_of_their_keys_has_moved() {
    let cluster = Cluster::start().await;
    let node = node(&cluster, "burst = 20").await;
    assert_eq!(node.admits("/two", 3).await, 3);
    let moving = cluster.way_of_the_bucket();
    let keys = moving.from.keys();
    assert_eq!(keys.len(), 2, "{keys:?}");

    moving.begin();
    assert_eq!(node.admits("/two", 2).await, 2);
    assert_eq!(moving.to.keys().len(), 0);
    moving.carry(&keys[0]);
    assert_eq!(node.admits("/two", 4).await, 4, "each key is asked for where it is");
    assert_eq!((moving.from.keys().len(), moving.to.keys().len()), (1, 1));
    moving.carry(&keys[1]);
    assert_eq!(node.admits("/two", 4).await, 4);
    moving.end();
    assert_eq!(node.admits("/two", 30).await, 20 - 13);
    assert_eq!((moving.from.keys().len(), moving.to.keys().len()), (0, 2));
}

#[tokio::test]
async fn a_hot_client_whose_slot_moves_back_and_forth_is_charged_for_what_is_admitted() {
    let cluster = Cluster::start().await;
    let nodes = [node(&cluster, "burst = 50000").await, node(&cluster, "burst = 50000").await];
    let mut admitted = nodes[0].admits("/two", 1).await;
    let moving = cluster.way_of_the_bucket();
    let moves = [&moving, &moving.back()];
    let (is_moving, decisions) = (AtomicBool::new(true), AtomicUsize::new(0));
    let hot = async |node: &Node, path: &str| {
        let mut admitted = 0;
        while is_moving.load(Ordering::Relaxed) {
            let status = node.status(path).await;
            assert_eq!(status, 200, "nobody is refused, and no decision is lost");
            admitted += 1;
            decisions.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    };
    // In each state of the move each of the three decides a few times.
    let some = async || {
        let before = decisions.load(Ordering::Relaxed);
        while decisions.load(Ordering::Relaxed) < before + 15 {
            tokio::task::yield_now().await;
        }
    };
    let mover = async {
        for turn in 0..6 {
            let moving = moves[turn % 2];
            moving.begin();
            some().await;
            let mut keys = moving.from.keys();
            if turn % 3 == 0 {
                keys.reverse();
            }
            for key in keys {
                moving.carry(&key);
                some().await;
            }
            moving.carry_all();
            some().await;
            moving.end();
            some().await;
            moving.is_known().await;
        }
        is_moving.store(false, Ordering::Relaxed);
    };
    let (one, two, few, ()) =
        tokio::join!(hot(&nodes[0], "/two"), hot(&nodes[1], "/two"), hot(&nodes[1], "/a"), mover);
    admitted += one + two;
    let left = 50_000 - u32::try_from(admitted + few).unwrap();
    assert_eq!(nodes[0].left("/look").await, left, "each was charged once");
    println!("{} decisions while the slot moved six times", admitted + few);
}

#[tokio::test]
async fn a_replica_that_takes_over_goes_on_with_what_its_primary_had_taken() {
    let mut cluster = Cluster::start().await;
    let node = node(&cluster, "burst = 20").await;
    assert_eq!(node.admits("/a", 8).await, 8);
    let lost = cluster.servers.iter().position(|server| !server.keys().is_empty()).unwrap();
    let (primary, replica) = (&cluster.servers[lost], &cluster.servers[3]);
    let _: () = replica.run(&["CLUSTER", "REPLICATE", &id(primary)]);
    let end = Instant::now() + Duration::from_secs(60);
    let has = |server: &Redis, about: &str, line: &str| {
        server.run::<String>(&["INFO", about]).lines().any(|found| found == line)
    };
    while !has(replica, "replication", "master_link_status:up") || replica.keys().is_empty() {
        assert!(Instant::now() < end, "the replica has no copy");
    }
    assert_eq!(node.admits("/a", 2).await, 2);
    // `WAIT` would wait for the writes of its own connection alone.
    let offset = |server: &Redis, name: &str| -> u64 {
        let about = server.run::<String>(&["INFO", "replication"]);
        about.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap()
    };
    let written = offset(primary, "master_repl_offset:");
    while offset(replica, "slave_repl_offset:") < written {
        assert!(Instant::now() < end, "the replica lacks what was written last");
    }

    cluster.servers[lost].kill();
    let mut admitted = 10;
    while admitted == 10 {
        assert!(Instant::now() < end, "{:?}", node.stores());
        let status = node.status("/a").await;
        assert!(status == 200 || status == 503, "{status}");
        admitted += usize::from(status == 200);
        tokio::task::yield_now().await;
    }
    assert_eq!(node.admits("/a", 30).await, 20 - admitted);
    assert!(has(&cluster.servers[3], "replication", "role:master"));
}
