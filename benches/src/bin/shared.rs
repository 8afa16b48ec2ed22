//! Decisions under a shared limit, in process, beside what a client of Redis does on the same runtime.
//!
//! ```text
//! shared URL [SECONDS]      # one JSON object
//! ```
//!
//! Started by `benches/shared speed`, which has the server and redis-benchmark beside it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use redis::aio::MultiplexedConnection;
use tollgate::{Tollgate, TollgateService};
use tower::{Service, ServiceExt as _, service_fn};

const CLIENTS: u64 = 10_000;

/// As many requests wait at once as the server of a busy API has.
const MANY: usize = 512;

/// As `shared.py` has it: one bucket, its theoretical arrival time as text.
const PLAIN: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local new = tat + emission * cost
if new - now > emission * burst then return {0, 0, math.ceil(new - now - emission * burst)} end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
return {1, math.floor((emission * burst - (new - now)) / emission), 0}
";

/// One call of what is measured, for a client of this number.
trait Call: Clone + Send + 'static {
    fn call(&mut self, client: u64) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
struct Gate<S>(TollgateService<S>, Arc<AtomicU64>);

impl<S> Call for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn call(&mut self, client: u64) {
        let request = Request::get("/").header("x-client", client).body(Body::empty()).expect("a request");
        let Ok(answer) = self.0.ready().await.expect("it is ready").call(request).await;
        if answer.status() != StatusCode::OK {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Clone)]
struct Get(MultiplexedConnection);

impl Call for Get {
    async fn call(&mut self, client: u64) {
        let _value: Option<String> =
            redis::cmd("GET").arg(client).query_async(&mut self.0).await.expect("an answer");
    }
}

#[derive(Clone)]
struct Plain(MultiplexedConnection, String);

impl Call for Plain {
    async fn call(&mut self, client: u64) {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.1).arg(1).arg(format!("plain:{client}")).arg(1).arg(1_000_000).arg(1);
        let _reply: Vec<i64> = call.query_async(&mut self.0).await.expect("an answer");
    }
}

/// Calls a second, of so many at once.
async fn rate(call: &impl Call, at_once: usize, lasts: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..at_once as u64)
        .map(|number| {
            let (mut call, stop) = (call.clone(), stop.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    call.call((number * 7919 + calls) % CLIENTS).await;
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    tokio::time::sleep(lasts).await;
    stop.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("it does not panic");
    }
    calls as f64 / began.elapsed().as_secs_f64()
}

/// The median of single calls, in microseconds.
async fn latency(call: &impl Call, calls: u64) -> f64 {
    let mut call = call.clone();
    let mut taken = Vec::new();
    for client in 0..calls {
        let began = Instant::now();
        call.call(client % CLIENTS).await;
        taken.push(began.elapsed());
    }
    taken.sort();
    taken[taken.len() / 2].as_nanos() as f64 / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let url = words.get(1).expect("the address of a server");
    let lasts = Duration::from_secs(words.get(2).map_or(2, |text| text.parse().expect("seconds")));
    let policy = format!(
        "version = 1\nallow = [{{ warning = \"unproven-limit-key\", reason = \"measured\" }}]\n\
         [store]\nkind = \"redis\"\nurl = \"{url}\"\ndeadline = \"250ms\"\n[[limit]]\nname = \"plenty\"\n\
         rate = \"1000000/second\"\nper = [\"header:x-client\"]\non_store_failure = \"closed\"\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\nlimits = [\"plenty\"]\n"
    );
    let tollgate = Tollgate::builder().policy(policy).watch(false).build().await.expect("a gate");
    let ok = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let others = Arc::new(AtomicU64::new(0));
    let gate = Gate(tower::Layer::layer(&tollgate.layer(), ok), others.clone());
    while gate.clone().0.oneshot(Request::get("/").body(Body::empty()).expect("a request")).await.map_or(true, |answer| answer.status() != StatusCode::OK) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let client = redis::Client::open(url.as_str()).expect("an address");
    let connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(PLAIN).query_async(&mut connection.clone()).await.expect("a script");
    let (get, plain) = (Get(connection.clone()), Plain(connection, sha));

    let (mut many, mut one) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    others.store(0, Ordering::Relaxed);
    for _ in 0..5 {
        many[0].push(rate(&gate, MANY, lasts).await);
        many[1].push(rate(&plain, MANY, lasts).await);
        many[2].push(rate(&get, MANY, lasts).await);
        one[0].push(latency(&gate, 4000).await);
        one[1].push(latency(&plain, 4000).await);
        one[2].push(latency(&get, 4000).await);
    }
    let ([decisions, plains, gets], [decision, plain, get]) = (many.map(median), one.map(median));
    println!(
        "{{\"decisions\":{decisions:.0},\"plain_scripts\":{plains:.0},\"gets\":{gets:.0},\"decision_us\":{decision:.1},\
         \"plain_us\":{plain:.1},\"get_us\":{get:.1},\"not_admitted\":{}}}",
        others.load(Ordering::Relaxed)
    );
}
