//! What a request costs, side by side with what a user would use otherwise.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml [ROUNDS [ROW [CALLS]]]
//! cargo run --release --manifest-path benches/Cargo.toml clients | policies | flood
//! benches/wire             # end to end: needs wrk
//! benches/instructions     # needs valgrind
//! ```
//!
//! Every row is a whole service, called in process without a socket. Rows take turns in rounds,
//! so that a machine that slows down slows all of them; the median of the rounds counts, and
//! ratios within one run. Allocations are counted by the allocator.

mod credentials;
mod flood;
mod floor;
mod growth;
mod rows;
mod wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use tollgate::TollgateService;
use tower::Service as _;

/// Counts allocations of this thread: a count that threads share would cost more than many an
/// allocation.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Threads allocate while they end, too.
    let _ended = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A service that is measured.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) mount: Mount,
    /// Requests, taken in turn.
    pub(crate) requests: Vec<Request<()>>,
    pub(crate) status: StatusCode,
    /// How many calls make a round.
    pub(crate) calls: usize,
}

/// How a gate stands before the routes.
#[derive(Clone)]
pub(crate) enum Mount {
    /// As a layer of a router, which is before each route.
    Router(axum::Router),
    /// Around the router.
    Around(TollgateService<axum::Router>),
}

/// So many requests are made, and then timed: few enough to be in the cache still, as they are when
/// a server has just read them.
pub(crate) const BATCH: usize = 32;

/// What was measured of a row.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ns: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) allocations: f64,
}

impl Row {
    fn request(&self, n: usize) -> Request<Body> {
        let template = &self.requests[n % self.requests.len()];
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = template.uri().clone();
        request.headers_mut().clone_from(template.headers());
        *request.extensions_mut() = template.extensions().clone();
        request
    }

    fn round(&mut self, offset: usize) -> f64 {
        let mut elapsed = Duration::ZERO;
        let mut requests = Vec::with_capacity(BATCH);
        for batch in 0..self.calls / BATCH {
            requests.extend((0..BATCH).map(|n| self.request(offset + batch * BATCH + n)));
            let start = Instant::now();
            for request in requests.drain(..) {
                let response = one(&mut self.mount, request);
                assert_eq!(response.status(), self.status, "{}", self.name);
            }
            elapsed += start.elapsed();
        }
        elapsed.as_nanos() as f64 / (self.calls / BATCH * BATCH) as f64
    }

    fn allocations(&mut self) -> f64 {
        let requests: Vec<_> = (0..64).map(|n| self.request(n)).collect();
        let before = ALLOCATIONS.get();
        for request in requests {
            std::hint::black_box(&one(&mut self.mount, request));
        }
        (ALLOCATIONS.get() - before) as f64 / 64.0
    }
}

/// One request. No row waits for anything, so one poll is enough. The name is what callgrind
/// counts instructions by.
#[inline(never)]
fn one(mount: &mut Mount, request: Request<Body>) -> Response {
    let response = match mount {
        Mount::Router(router) => router.call(request).now_or_never(),
        Mount::Around(gate) => gate.call(request).now_or_never(),
    };
    let Ok(response) = response.expect("nothing is waited for");
    std::hint::black_box(response)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words[..] {
        ["clients"] => growth::clients(),
        ["memory", store, clients] => growth::memory(store, clients.parse().expect("a number")),
        ["policies"] => runtime.block_on(growth::policies()),
        ["flood"] => flood::flood(),
        ["serve", row, address] => runtime.block_on(wire::serve(row, address)),
        _ => table(&runtime),
    }
}

/// The rows in process.
fn table(runtime: &tokio::runtime::Runtime) {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(15);
    let only = std::env::args().nth(2);
    let calls = std::env::args().nth(3).and_then(|n| n.parse::<usize>().ok());
    let figures = runtime.block_on(async {
        let mut rows = rows::all().await;
        if let Some(only) = only {
            let is_whole = rows.iter().any(|row| row.name == only);
            rows.retain(|row| if is_whole { row.name == only } else { row.name.contains(&only) });
        }
        for row in &mut rows {
            row.calls = calls.unwrap_or(row.calls);
            // The first request of a row that refuses is admitted.
            row.allocations();
            row.round(0);
        }
        let mut samples = vec![Vec::new(); rows.len()];
        for round in 0..rounds {
            for (row, samples) in rows.iter_mut().zip(&mut samples) {
                samples.push(row.round(round * row.calls));
            }
        }
        let mut figures = Vec::new();
        for (row, mut samples) in rows.iter_mut().zip(samples) {
            samples.sort_by(f64::total_cmp);
            figures.push(Figure {
                name: row.name.clone(),
                ns: samples[samples.len() / 2],
                least: samples[0],
                most: samples[samples.len() - 1],
                allocations: row.allocations(),
            });
        }
        figures
    });
    rows::print(&figures);
}
