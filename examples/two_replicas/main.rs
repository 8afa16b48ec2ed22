//! Two replicas of one API, and one limit, which they share through Redis.
//!
//! ```text
//! cargo run --example two_replicas --features redis
//! ```
//!
//! It starts a `redis-server` of its own where one is installed (`apt-get install redis-server`);
//! `REDIS_URL=redis://host:6379` uses another one. Requests go to the replicas in turn, as a load
//! balancer sends them. Both together admit what one would: `burst + rate·t`.
//!
//! `compose.yaml` beside this file has the same with a load balancer, for Docker.

use std::error::Error;
use std::net::{SocketAddr, TcpListener as Port};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tollgate::Tollgate;

type Failure = Box<dyn Error + Send + Sync>;

/// What stands in `tollgate.toml`.
const BURST: f64 = 20.0;
const RATE: f64 = 5.0;
const DEADLINE: f64 = 0.05;

const REQUESTS: usize = 60;

/// A server that ends with this value.
struct Redis {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start() -> Result<Self, Failure> {
        let port = Port::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("cannot start redis-server ({error}): install it, or set REDIS_URL")
            })?;
        let url = format!("redis://127.0.0.1:{port}");
        Ok(Self { process, url, _folder: folder })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Serves the API behind a gate of its own; the address that it listens on.
async fn replica(name: &'static str, redis: &str) -> Result<SocketAddr, Failure> {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/two_replicas/tollgate.toml");
    let gate = Tollgate::builder()
        .policy_file(policy)
        .secret("REDIS_URL", redis.as_bytes().to_vec())
        .build()
        .await?;
    let app = Router::new().route("/", get(move || async move { name })).layer(gate.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// What the clients saw.
struct Seen {
    admitted: [usize; 2],
    refused: usize,
    others: Vec<u16>,
    took: Duration,
    /// The RateLimit field of the last answer.
    last: String,
}

impl Seen {
    fn together(&self) -> usize {
        self.admitted.iter().sum()
    }

    fn bound(&self) -> f64 {
        BURST + RATE * (self.took.as_secs_f64() + DEADLINE)
    }
}

/// Sends requests to the replicas in turn.
async fn drive(replicas: [SocketAddr; 2]) -> Result<Seen, Failure> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    let (mut admitted, mut refused, mut others, mut last) = ([0, 0], 0, Vec::new(), String::new());
    for number in 0..REQUESTS {
        let which = number % 2;
        let answer = client.get(format!("http://{}/", replicas[which])).send().await?;
        match answer.status().as_u16() {
            200 => admitted[which] += 1,
            429 => refused += 1,
            other => others.push(other),
        }
        if let Some(field) = answer.headers().get("ratelimit") {
            last = field.to_str()?.to_owned();
        }
    }
    Ok(Seen { admitted, refused, others, took: began.elapsed(), last })
}

async fn run() -> Result<Seen, Failure> {
    let (own, url) = match std::env::var("REDIS_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let redis = Redis::start()?;
            let url = redis.url.clone();
            println!("redis-server on {url}");
            (Some(redis), url)
        }
    };
    let replicas = [replica("one", &url).await?, replica("two", &url).await?];
    println!("replica one on http://{}, replica two on http://{}", replicas[0], replicas[1]);
    let seen = drive(replicas).await?;
    println!(
        "{REQUESTS} requests in turn, {:.2} s: one admitted {}, two admitted {}, {} were refused",
        seen.took.as_secs_f64(),
        seen.admitted[0],
        seen.admitted[1],
        seen.refused
    );
    println!(
        "together {}, of at most {BURST} + {RATE}·({:.2} s + {DEADLINE} s) = {:.1}",
        seen.together(),
        seen.took.as_secs_f64(),
        seen.bound()
    );
    println!("RateLimit: {}", seen.last);
    drop(own);
    Ok(seen)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(seen) if seen.together() as f64 <= seen.bound() && seen.others.is_empty() => {
            ExitCode::SUCCESS
        }
        Ok(seen) => {
            eprintln!("more than the bound, or other answers: {:?}", seen.others);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_replicas_admit_what_one_would() {
        let seen = run().await.unwrap();
        assert!(seen.others.is_empty(), "{:?}", seen.others);
        assert!(seen.together() as f64 <= seen.bound(), "{:?}", seen.admitted);
        // Each alone would have admitted the burst.
        assert!(seen.together() >= BURST as usize, "{:?}", seen.admitted);
        assert!(seen.admitted.iter().all(|admitted| *admitted > 0), "{:?}", seen.admitted);
    }
}
