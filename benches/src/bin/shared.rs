//! Decisions under a shared limit, in process, beside what a client of Redis does on the same runtime.
//!
//! ```text
//! shared URL ROW [AT_ONCE [SECONDS]]      # one JSON object
//! ```
//!
//! `ROW` is `decision`, `memory` (the same gate with its buckets in memory), `plain` (a plain GCRA script) or
//! `get`. With one at once the time of each is measured. One thread makes the requests. Started by
//! `benches/shared speed`, which has the server and redis-benchmark beside it.

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
        // A gate in memory never waits, and a task that never does would leave others no turn.
        tokio::task::consume_budget().await;
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

/// A gate with one limit that nobody reaches, whose buckets are in this store.
async fn gate(
    store: &str,
    limit: &str,
    others: Arc<AtomicU64>,
) -> Gate<impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static>
{
    let policy = format!(
        "version = 1\nallow = [{{ warning = \"unproven-limit-key\", reason = \"measured\" }}]\n\
         {store}\n[[limit]]\nname = \"plenty\"\nrate = \"1000000/second\"\nper = [\"header:x-client\"]\n{limit}\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\nlimits = [\"plenty\"]\n"
    );
    let tollgate = Tollgate::builder().policy(policy).watch(false).build().await.expect("a gate");
    let ok = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let gate = Gate(tower::Layer::layer(&tollgate.layer(), ok), others);
    let ask = || Request::get("/").body(Body::empty()).expect("a request");
    while gate.clone().0.oneshot(ask()).await.map_or(true, |answer| answer.status() != StatusCode::OK) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate
}

/// Seconds of this process on a CPU.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // In hundredths, as Linux shows them.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// One row: calls a second, what they take of this process, and how long one takes that is alone.
async fn row(call: &impl Call, at_once: usize, lasts: Duration) -> String {
    if at_once == 1 {
        return format!("\"alone_us\":{:.1}", latency(call, 10_000).await);
    }
    let before = cpu();
    let found = rate(call, at_once, lasts).await;
    let micros = (cpu() - before) / (found * lasts.as_secs_f64()) * 1e6;
    format!("\"a_second\":{found:.0},\"cpu_us\":{micros:.2}")
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (Some(url), Some(name)) = (words.get(1), words.get(2)) else {
        panic!("shared URL ROW [AT_ONCE [SECONDS]]");
    };
    let number = |index: usize, otherwise: u64| {
        words.get(index).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (at_once, lasts) = (number(3, 512) as usize, Duration::from_secs(number(4, 2)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(measure(url, name, at_once, lasts));
}

async fn measure(url: &str, name: &str, at_once: usize, lasts: Duration) {
    let others = Arc::new(AtomicU64::new(0));
    let found = match name {
        "decision" => {
            let store = format!("[store]\nkind = \"redis\"\nurl = \"{url}\"\ndeadline = \"250ms\"");
            let gate = gate(&store, "on_store_failure = \"closed\"", others.clone()).await;
            others.store(0, Ordering::Relaxed);
            row(&gate, at_once, lasts).await
        }
        "memory" => row(&gate("", "", others.clone()).await, at_once, lasts).await,
        _ => {
            let client = redis::Client::open(url).expect("an address");
            let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(PLAIN);
            let sha = load.query_async(&mut connection).await.expect("a script");
            match name {
                "plain" => row(&Plain(connection, sha), at_once, lasts).await,
                _ => row(&Get(connection), at_once, lasts).await,
            }
        }
    };
    println!("{{{found},\"not_admitted\":{}}}", others.load(Ordering::Relaxed));
}
