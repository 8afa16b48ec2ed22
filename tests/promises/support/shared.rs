//! Processes that share their limits through Redis: what the tests of shared limits have in common.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response};
use tollgate::{Admission, Denial, StoreStatus, Tollgate};
use tower::ServiceExt as _;

use super::key;
use super::redis::{Redis, Tls};

/// A process's application, behind a gate of its own.
pub(crate) struct Node {
    pub(crate) gate: Tollgate,
    app: Router,
    key: String,
}

impl Node {
    /// Waits until the gate has reached the store.
    pub(crate) async fn open(policy: &str, key: &str) -> Self {
        let node = Self::open_unconnected(policy, key).await;
        node.until(|store| store.is_available).await;
        node
    }

    pub(crate) async fn open_unconnected(policy: &str, key: &str) -> Self {
        let gate = Tollgate::builder().policy(policy).secret("PASSWORD", "hunter2").watch(false);
        let gate = gate.build().await.unwrap();
        Self { app: app(&gate), gate, key: key.to_owned() }
    }

    pub(crate) async fn is_left_alone(&self, why: &str) {
        self.until(|store| store.detail.as_ref().is_some_and(|detail| detail.contains(why))).await;
    }

    /// Sends requests until the gate leaves the store alone; how many of them were admitted.
    pub(crate) async fn admits_until_left_alone(&self, path: &str) -> usize {
        let (mut admitted, end) = (0, Instant::now() + Duration::from_secs(60));
        while self.stores().iter().all(|store| store.is_available) {
            admitted += self.admits(path, 1).await;
            assert!(Instant::now() < end, "the store is still asked");
        }
        admitted
    }

    /// The servers that have the buckets.
    pub(crate) fn stores(&self) -> Vec<StoreStatus> {
        let stores = self.gate.status().stores;
        stores.into_iter().filter(|store| store.name == "buckets").collect()
    }

    pub(crate) async fn until(&self, is_so: impl Fn(&StoreStatus) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.stores().iter().all(&is_so) {
            assert!(Instant::now() < end, "{:?}", self.stores());
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn call(&self, path: &str) -> Response<Body> {
        let request = Request::get(path).header("x-api-key", &self.key);
        self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(crate) async fn status(&self, path: &str) -> u16 {
        self.call(path).await.status().as_u16()
    }

    /// How many of so many requests are admitted.
    pub(crate) async fn admits(&self, path: &str, requests: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..requests {
            admitted += usize::from(self.status(path).await == 200);
        }
        admitted
    }

    pub(crate) async fn until_left(&self, tokens: u32) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.left("/look").await != tokens {
            assert!(Instant::now() < end, "{}", self.left("/look").await);
        }
    }

    /// The tokens that are left, by the response's own field.
    pub(crate) async fn left(&self, path: &str) -> u32 {
        let response = self.call(path).await;
        let field = response.headers()["ratelimit"].to_str().unwrap().to_owned();
        let left = field.split(";r=").nth(1).unwrap();
        left.split([';', ',']).next().unwrap().parse().unwrap()
    }
}

fn app(gate: &Tollgate) -> Router {
    Router::new()
        .route("/charge", get(|admission: Admission| async move { admission.charge(3) }))
        .route("/fails", get(|| async { Denial::named("nobody_declared_it") }))
        .fallback(|| async { "ok" })
        .layer(gate.layer())
}

/// One gate for each `on_store_failure`, on one server, each with buckets of its own.
pub(crate) struct Choices {
    /// A quarter of the limit.
    pub(crate) share: Node,
    pub(crate) closed: Node,
    pub(crate) open: Node,
}

impl Choices {
    /// `store` says where the buckets are. Nothing waits for the store.
    pub(crate) async fn open_unconnected(store: &str) -> Self {
        let node = async |choice: &str| {
            let store = format!("{store}\nnodes = 4\nprefix = \"{choice}\"");
            let (policy, key) = policy(&store, &format!("on_store_failure = \"{choice}\""));
            Node::open_unconnected(&policy, &key).await
        };
        let share = node("local_share").await;
        Self { share, closed: node("closed").await, open: node("open").await }
    }

    /// Waits until all of them have reached the store.
    pub(crate) async fn open(store: &str) -> Self {
        let choices = Self::open_unconnected(store).await;
        for node in choices.all() {
            node.until(|store| store.is_available).await;
        }
        choices
    }

    fn all(&self) -> [&Node; 3] {
        [&self.share, &self.closed, &self.open]
    }

    /// While the store is away each does what its policy says, and the status says why.
    pub(crate) async fn do_without(&self, why: &str) {
        let share = self.share.admits_until_left_alone("/a").await;
        self.share.is_left_alone(why).await;
        assert_eq!(share + self.share.admits("/a", 30).await, 5, "{why}: a quarter of the burst");
        assert_eq!(self.closed.admits_until_left_alone("/a").await, 0, "{why}");
        self.closed.is_left_alone(why).await;
        let refused = self.closed.call("/a").await;
        assert_eq!(refused.status(), 503, "{why}");
        assert_eq!(refused.headers()["retry-after"], "1", "{why}");
        self.open.admits_until_left_alone("/a").await;
        self.open.is_left_alone(why).await;
        assert_eq!(self.open.admits("/a", 30).await, 30, "{why}");
    }

    /// The store answers again, with what it held or without: it is debited with what was spent.
    pub(crate) async fn recover(&self) {
        for node in self.all() {
            node.until(|store| store.is_available).await;
        }
        self.share.until_left(15).await;
        assert_eq!(self.closed.admits("/a", 30).await, 20);
        self.open.until_left(0).await;
    }
}

/// A limit per client whose burst is all that a test sees: it gains one token a day.
pub(crate) fn policy(store: &str, limit: &str) -> (String, String) {
    let (key, entry) = key("one", "{acme}", "");
    let policy = format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[api_keys]\n{entry}\
         [store]\nkind = \"redis\"\ndeadline = \"3s\"\n{store}\n\
         [[limit]]\nname = \"few\"\nrate = \"1/day\"\nburst = 20\nper = [\"client\"]\n{limit}\n\
         [[rule]]\nname = \"all\"\npath = \"/{{*rest}}\"\nlimits = [\"few\"]\n\
         [[rule]]\nname = \"look\"\npath = \"/look\"\nlimits = [{{ limit = \"few\", cost = 0 }}]\n"
    );
    (policy, key)
}

/// Three primaries.
pub(crate) async fn cluster() -> Vec<Redis> {
    cluster_of(None)
}

/// A server that may join a cluster.
pub(crate) fn cluster_node(tls: Option<&Tls>) -> Redis {
    let mut node = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    // A server whose last slot moves away stays what it is, and does not become a replica.
    node.extend(["--cluster-allow-replica-migration", "no"]);
    match tls {
        None => Redis::start_with(&node),
        Some(tls) => Redis::start_with_tls(tls, &[&node[..], &["--tls-cluster", "yes"]].concat()),
    }
}

/// Three primaries, which speak TLS too where there is a certificate, also among each other.
pub(crate) fn cluster_of(tls: Option<&Tls>) -> Vec<Redis> {
    let servers: Vec<Redis> = (0..3).map(|_| cluster_node(tls)).collect();
    let port = |server: &Redis| server.tls_port.unwrap_or(server.port);
    let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", port(server)));
    let ca = tls.map(|tls| tls.ca().display().to_string());
    let cli = ca.iter().flat_map(|ca| ["--tls", "--cacert", ca]);
    let created = std::process::Command::new("redis-cli")
        .args(cli)
        .args(["--cluster", "create"])
        .args(addresses)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    let end = Instant::now() + Duration::from_secs(60);
    let is_ok =
        |server: &Redis| server.run::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
    while !servers.iter().all(is_ok) {
        assert!(Instant::now() < end, "the cluster does not come up");
    }
    servers
}
