//! What a decision costs when there are many clients, threads, rules and keys, and what each
//! client takes of memory.

use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use governor::{DefaultKeyedRateLimiter, Quota};
use tollgate::workbench::Buckets;
use tollgate::Tollgate;
use tollgate_benches::credentials::Key;
use tower::{Layer as _, Service as _};

const DECISIONS: u64 = 2_000_000;
const BURST: u32 = 1_000_000;

/// A store of buckets, ours or a peer's.
enum Store {
    Tollgate(Buckets),
    GovernorText(DefaultKeyedRateLimiter<String>),
    GovernorNumber(DefaultKeyedRateLimiter<u64>),
}

const STORES: [&str; 3] = ["tollgate", "governor, text keys", "governor, u64 keys"];

impl Store {
    fn new(name: &str) -> Self {
        // Slow enough that no bucket is full again, and dropped, while it is measured.
        let quota = Quota::per_hour(NonZeroU32::MIN).allow_burst(NonZeroU32::new(BURST).expect("not zero"));
        match name {
            "tollgate" => {
                Self::Tollgate(Buckets::new(Duration::from_secs(3600), BURST, 100_000_000).expect("a quota"))
            }
            "governor, text keys" => Self::GovernorText(DefaultKeyedRateLimiter::keyed(quota)),
            _ => Self::GovernorNumber(DefaultKeyedRateLimiter::keyed(quota)),
        }
    }

    /// `text` is room for the client's name, which all stores but that of numbers need.
    fn take(&self, client: u64, text: &mut String) -> bool {
        text.clear();
        let _always_fits = write!(text, "client-{client:010}");
        match self {
            Self::Tollgate(buckets) => buckets.take(text),
            Self::GovernorText(limiter) => limiter.check_key(text).is_ok(),
            Self::GovernorNumber(limiter) => limiter.check_key(&client).is_ok(),
        }
    }
}

/// A cheap sequence of numbers without order (xorshift).
pub(crate) struct Shuffled(pub(crate) u64);

impl Shuffled {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What a decision costs without any store: choosing a client and writing its name.
fn choice_alone(clients: u64) -> f64 {
    let (mut text, mut shuffled) = (String::new(), Shuffled(88_172_645_463_325_252));
    let start = Instant::now();
    for _ in 0..DECISIONS {
        text.clear();
        let _always_fits = write!(text, "client-{:010}", shuffled.below(clients));
        black_box(&text);
    }
    start.elapsed().as_nanos() as f64 / DECISIONS as f64
}

fn filled(name: &str, clients: u64) -> Store {
    let (store, mut text) = (Store::new(name), String::new());
    for client in 0..clients {
        store.take(client, &mut text);
    }
    store
}

fn ns_per_decision(store: &Store, clients: u64, threads: u64) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let (mut text, mut shuffled) = (String::new(), Shuffled(88_172_645_463_325_252 + thread * 7919));
                for _ in 0..DECISIONS {
                    black_box(store.take(shuffled.below(clients), &mut text));
                }
            });
        }
    });
    start.elapsed().as_nanos() as f64 / (DECISIONS * threads) as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Runs in a process of its own, so that nothing else counts: prints bytes per bucket.
pub(crate) fn memory(store: &str, clients: u64) {
    let before = resident();
    let store = filled(store, clients);
    println!("{:.1}", (resident() - before) as f64 / clients as f64);
    black_box(&store);
}

fn memory_apart(store: &str, clients: u64) -> String {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(["memory", store, &clients.to_string()]).output().expect("a run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn clients() {
    println!("ns per decision, clients chosen at random; the choice of a client and its name ({:.0} ns) is taken off.\n", choice_alone(1_000_000));
    println!("| store | 1 thousand | 1 million | 10 million | last ÷ first | bytes per bucket at 1 million | at 10 million |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for name in STORES {
        let mut row = Vec::new();
        for clients in [1_000, 1_000_000, 10_000_000] {
            let store = filled(name, clients);
            let alone = choice_alone(clients);
            row.push(median((0..5).map(|_| ns_per_decision(&store, clients, 1)).collect()) - alone);
        }
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.1} | {} | {} |",
            row[0], row[1], row[2], row[2] / row[0], memory_apart(name, 1_000_000), memory_apart(name, 10_000_000)
        );
    }
    whole_decisions();
    println!("\nMillion decisions per second, names written too.\n");
    println!("| store | 1 thread, 1 million clients | 2 threads | 2 ÷ 1 | 1 thread, one hot client | 2 threads | 2 ÷ 1 |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let stores = STORES.map(|name| (name, filled(name, 1_000_000), filled(name, 1)));
    let mut rounds: [[Vec<f64>; 4]; 3] = Default::default();
    // In turn, since how fast two threads are together changes with where the machine puts them.
    for _ in 0..9 {
        for ((_, many, hot), figures) in stores.iter().zip(&mut rounds) {
            let runs = [(many, 1_000_000, 1), (many, 1_000_000, 2), (hot, 1, 1), (hot, 1, 2)];
            for ((store, clients, threads), figures) in runs.into_iter().zip(figures) {
                figures.push(1000.0 / ns_per_decision(store, clients, threads));
            }
        }
    }
    for ((name, ..), figures) in stores.iter().zip(rounds) {
        let [one, two, hot_one, hot_two] = figures.map(median);
        println!(
            "| {name} | {one:.2} | {two:.2} | {:.2} | {hot_one:.2} | {hot_two:.2} | {:.2} |",
            two / one, hot_two / hot_one
        );
    }
}

/// The same through the gate: a public rule with a limit for each value of a header.
fn whole_decisions() {
    let policy = "version = 1\n[store]\nmax_buckets = 100000000\n[[limit]]\nname = \"per-client\"\nrate = \"1/hour\"\nburst = 1000000\n\
                  per = [\"header:x-client\"]\n[[rule]]\nname = \"all\"\npath = \"/orders\"\npublic = true\nlimits = [\"per-client\"]\n";
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut row = Vec::new();
    for clients in [1_000, 1_000_000, 10_000_000] {
        let gate = runtime.block_on(Tollgate::builder().policy(policy).build()).expect("a gate");
        let mut service = service(&gate);
        let ask = |client: u64| {
            http::Request::get("/orders").header("x-client", format!("client-{client:010}")).body(()).expect("a request")
        };
        for client in 0..clients {
            black_box(service.call(ask(client)).now_or_never());
        }
        let mut shuffled = Shuffled(88_172_645_463_325_252);
        let round = |_| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..20_000 / crate::BATCH {
                let requests: Vec<_> = (0..crate::BATCH).map(|_| ask(shuffled.below(clients))).collect();
                let start = Instant::now();
                for request in requests {
                    black_box(service.call(request).now_or_never());
                }
                elapsed += start.elapsed();
            }
            elapsed.as_nanos() as f64 / 20_000.0
        };
        row.push(median((0..15).map(round).collect()));
    }
    println!("| tollgate, whole gate | {:.0} | {:.0} | {:.0} | {:.1} | | |", row[0], row[1], row[2], row[2] / row[0]);
}

type Empty = std::future::Ready<Result<axum::response::Response, std::convert::Infallible>>;

type Answer = fn(http::Request<()>) -> Empty;

/// The gate in front of a service that answers nothing.
fn service(gate: &Tollgate) -> tollgate::TollgateService<tower::util::ServiceFn<Answer>> {
    let answer: Answer =
        |_| std::future::ready(Ok(axum::response::Response::new(axum::body::Body::empty())));
    gate.layer().layer(tower::service_fn(answer))
}

/// Rules and keys.
pub(crate) async fn policies() {
    println!("| policy | load, ms | resident, MiB | ns per request |");
    println!("| --- | --- | --- | --- |");
    for (rules, keys) in [(10, 1000), (1000, 1000), (10_000, 1000), (10, 10), (10, 100_000), (10_000, 100_000), (10, 1_000_000)] {
        policy(rules, keys).await;
    }
}

async fn policy(rules: usize, keys: usize) {
    let shown = 1000.min(keys);
    let mut file = String::from("version = 1\n[failures]\nenabled = false\n[api_keys]\n");
    let mut secrets = Vec::new();
    for n in 0..keys {
        let key = Key::new(n);
        let _always_fits = writeln!(
            file, "[[api_keys.key]]\nid = \"k{n}\"\nclient = \"c{n}\"\ndigest = \"{}\"\nscopes = [\"orders:read\"]", key.digest_text()
        );
        if n % (keys / shown) == 0 {
            secrets.push(key);
        }
    }
    file.push_str("[[limit]]\nname = \"per-client\"\nrate = \"4000000/second\"\nburst = 4000000\nper = [\"client\"]\n");
    for n in 0..rules {
        let _always_fits = writeln!(
            file, "[[rule]]\nname = \"r{n}\"\nmethods = [\"GET\"]\npath = \"/a{n}/orders/{{id}}\"\nscopes = [\"orders:read\"]\nlimits = [\"per-client\"]"
        );
    }
    let before = resident();
    let start = Instant::now();
    let gate = Tollgate::builder().policy(file).build().await.expect("a gate");
    let load = start.elapsed();
    let after = resident();
    let mut service = service(&gate);
    let mut shuffled = Shuffled(88_172_645_463_325_252);
    let requests: Vec<http::Request<()>> = (0..20_000)
        .map(|_| {
            let (rule, key) = (shuffled.below(rules as u64), shuffled.below(secrets.len() as u64) as usize);
            let request = http::Request::get(format!("/a{rule}/orders/7")).header("x-api-key", secrets[key].text());
            request.body(()).expect("a request")
        })
        .collect();
    let mut figures = Vec::new();
    for _ in 0..9 {
        let mut elapsed = Duration::ZERO;
        for batch in requests.chunks(crate::BATCH) {
            let batch: Vec<http::Request<()>> = batch.iter().map(|request| {
                let mut copy = http::Request::new(());
                *copy.uri_mut() = request.uri().clone();
                copy.headers_mut().clone_from(request.headers());
                copy
            }).collect();
            let start = Instant::now();
            for request in batch {
                let Ok(response) = service.call(request).await;
                assert_eq!(response.status(), http::StatusCode::OK);
                black_box(response);
            }
            elapsed += start.elapsed();
        }
        figures.push(elapsed.as_nanos() as f64 / 20_000.0);
    }
    println!(
        "| {rules} rules, {keys} keys | {:.0} | {:.1} | {:.0} |",
        load.as_secs_f64() * 1e3, (after.saturating_sub(before)) as f64 / f64::from(1 << 20), median(figures)
    );
}
