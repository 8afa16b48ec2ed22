//! Whether the time of a look-up tells how far a presented key agrees with a stored one.
//!
//! ```text
//! timing [SAMPLES]   # of each kind
//! ```
//!
//! Two kinds of keys are presented in a random order, neither of which exists: one has all digits of a stored key
//! but the last, the other is random. Both are made alike, by changing the last digit of a key from a list: of the
//! stored keys, or of as many that nobody has. Each sample is the time of sixteen requests of one kind, whole, in process.
//! Welch's t tells how sure it is that their means differ: beyond 4.5 it is a leak. The last row is a look-up that
//! leaks on purpose, which shows that the instrument would see one. Figures are for people; nothing is gated.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use tollgate::Tollgate;
use tower::Service as _;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEYS: usize = 1000;
/// Requests of a sample.
const BATCH: usize = 16;

fn main() {
    let samples = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let lists = [(); 2].map(|()| (0..KEYS).map(|_| key(&mut random)).collect::<Vec<_>>());
    let stored = &lists[0];
    println!("| look-up | shared, ns | random, ns | t | t, fastest 99 % | t, fastest 90 % | t, fastest half |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (label, format) in [("gate, checked format", "checked"), ("gate, `format = \"any\"`", "any")] {
        let mut gate = runtime.block_on(gate(stored, format));
        measure(label, samples, &lists, &mut random, |keys| {
            let mut requests: Vec<_> = keys.iter().map(|key| request(key)).collect();
            let start = Instant::now();
            for request in requests.drain(..) {
                let answer = gate.call(request).now_or_never().expect("nothing is waited for");
                let Ok(answer) = answer;
                assert_eq!(black_box(answer).status(), StatusCode::UNAUTHORIZED);
            }
            start.elapsed().as_nanos() as f64
        });
    }
    measure("digit by digit, until one differs", samples, &lists, &mut random, |keys| {
        let start = Instant::now();
        for key in keys {
            let agrees = |stored: &&String| stored.bytes().zip(key.bytes()).all(|(one, other)| black_box(one) == other);
            assert!(black_box(stored.iter().find(agrees)).is_none());
        }
        start.elapsed().as_nanos() as f64
    });
}

/// Times samples of both kinds in a random order, and prints how they differ.
fn measure(label: &str, samples: usize, lists: &[Vec<String>; 2], random: &mut Random, mut time: impl FnMut(&[String]) -> f64) {
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    // The first ones warm up.
    for n in 0..2 * samples + 1000 {
        let kind = usize::from(random.next() & 1 == 1);
        let keys: Vec<String> = (0..BATCH).map(|_| neighbour(&lists[kind][random.below(KEYS)], random)).collect();
        let elapsed = time(&keys) / BATCH as f64;
        if n >= 1000 {
            times[kind].push(elapsed);
        }
    }
    let mut pooled: Vec<f64> = times.iter().flatten().copied().collect();
    pooled.sort_by(f64::total_cmp);
    let below = |share: f64| pooled[((pooled.len() - 1) as f64 * share) as usize];
    let means = times.iter().map(|times| moments(times, below(0.99)).1);
    let mut row = format!("| {label} |");
    for mean in means {
        write!(row, " {mean:.1} |").expect("a string takes all");
    }
    for share in [1.0, 0.99, 0.9, 0.5] {
        write!(row, " {:+.2} |", welch(&times, below(share))).expect("a string takes all");
    }
    println!("{row}");
}

/// Welch's t of the times up to a bound: what the machine did meanwhile is beyond it.
fn welch([one, other]: &[Vec<f64>; 2], bound: f64) -> f64 {
    let ((n, mean, variance), (m, other_mean, other_variance)) = (moments(one, bound), moments(other, bound));
    (mean - other_mean) / (variance / n + other_variance / m).sqrt()
}

/// Count, mean and variance of the times up to a bound.
fn moments(times: &[f64], bound: f64) -> (f64, f64, f64) {
    let kept = || times.iter().copied().filter(|time| *time <= bound);
    let count = kept().count() as f64;
    let mean = kept().sum::<f64>() / count;
    (count, mean, kept().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

async fn gate(stored: &[String], format: &str) -> Router {
    let mut policy = format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[failures]\nenabled = false\n[api_keys]\nformat = \"{format}\"\n"
    );
    for (n, key) in stored.iter().enumerate() {
        let digest = digest(&SHA256, key.as_bytes());
        let hex: String = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(policy, "[[api_keys.key]]\nid = \"k{n}\"\nclient = \"c{n}\"\ndigest = \"sha256:{hex}\"").expect("a string takes all");
    }
    policy.push_str("[[rule]]\nname = \"all\"\npath = \"/\"\n");
    let gate = Tollgate::builder().policy(policy).build().await.expect("a policy");
    Router::new().fallback(|| async { "ok" }).layer(gate.layer()).with_state(())
}

fn request(key: &str) -> Request<Body> {
    let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
    let mut request = Request::get("/").header("x-api-key", key).body(Body::empty()).expect("a request");
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// A key with right check digits that nobody has.
fn key(random: &mut Random) -> String {
    let secret = (0..43).map(|_| char::from(DIGITS[random.below(62)]));
    checked(format!("tg_{}", secret.collect::<String>()))
}

/// A key that agrees with another in all digits but the last of its secret, with right check digits.
fn neighbour(key: &str, random: &mut Random) -> String {
    let (begin, last) = (&key[..45], key.as_bytes()[45]);
    let digit = loop {
        let digit = DIGITS[random.below(62)];
        if digit != last {
            break digit;
        }
    };
    checked(format!("{begin}{}", char::from(digit)))
}

fn checked(body: String) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = ['0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(DIGITS[rest % 62]);
        rest /= 62;
    }
    body + &digits.iter().collect::<String>()
}

/// Numbers that look random, the same in each run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
