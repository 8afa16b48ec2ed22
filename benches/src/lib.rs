//! What requests are measured with: the rows, how a round of them is timed, and what is counted.
//!
//! `main.rs` sets the rows beside the peers; `bin/alone.rs` does without them, so that they need not
//! be built.

pub mod credentials;
pub mod floor;
pub mod rows;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use tollgate::TollgateService;
use tower::Service as _;

use crate::credentials::scattered;

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

/// How a gate stands before the routes.
#[derive(Clone)]
pub enum Mount {
    /// As a layer of a router, which is before each route.
    Router(axum::Router),
    /// Around the router.
    Around(TollgateService<axum::Router>),
}

impl Mount {
    /// Made ready as `axum::serve` does, so that layers are laid once and not for each request.
    pub fn router(router: axum::Router) -> Self {
        Self::Router(router.with_state(()))
    }
}

/// So many requests are made, and then timed: few enough to be in the cache still, as they are when
/// a server has just read them.
pub const BATCH: usize = 32;

/// How many calls make a round, where a row does not say otherwise.
pub const CALLS: usize = 4000;

/// The requests of a row: alike but for the value of one field.
pub struct Requests {
    template: Request<()>,
    field: HeaderName,
    /// None: the field is not sent.
    values: Vec<String>,
    is_random: bool,
}

impl Requests {
    /// Requests with these values of a field, in turn.
    pub fn new(field: HeaderName, values: Vec<String>) -> Self {
        let mut template = Request::new(());
        *template.uri_mut() = "/orders/7".parse().expect("a path");
        // What a client of an API sends beside its credential.
        for (name, value) in [("host", "api.example.com"), ("user-agent", "orders/2.1"), ("accept", "application/json"), ("accept-encoding", "gzip")] {
            template.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
        template.extensions_mut().insert(ConnectInfo(peer));
        Self { template, field, values, is_random: false }
    }

    /// Requests without a credential.
    pub fn bare() -> Self {
        Self::new(http::header::AUTHORIZATION, Vec::new())
    }

    /// In an order that looks like none, and is the same in every run.
    pub fn at_random(self) -> Self {
        Self { is_random: true, ..self }
    }

    fn place(&self, n: usize) -> usize {
        let n = if self.is_random { scattered(n as u64) as usize } else { n };
        n % self.values.len().max(1)
    }

    /// The values of the field lie in one page, which was just written, as where a server reads from
    /// a connection: what a client sends is in the cache even where what is known of it is not.
    fn batch(&self, places: impl Iterator<Item = usize>, into: &mut Vec<Request<Body>>) {
        let mut page = BytesMut::with_capacity(BATCH * 1024);
        for place in places {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = self.template.uri().clone();
            request.headers_mut().clone_from(self.template.headers());
            if let Some(value) = self.values.get(place) {
                page.extend_from_slice(value.as_bytes());
                let value = HeaderValue::from_maybe_shared(page.split().freeze()).expect("a value");
                request.headers_mut().insert(&self.field, value);
            }
            *request.extensions_mut() = self.template.extensions().clone();
            into.push(request);
        }
    }

    /// The fields of the first request.
    pub fn fields(&self) -> Vec<(HeaderName, String)> {
        let mut batch = Vec::new();
        self.batch(std::iter::once(0), &mut batch);
        let field = |(name, value): (&HeaderName, &HeaderValue)| (name.clone(), value.to_str().expect("text").to_owned());
        batch[0].headers().iter().map(field).collect()
    }
}

/// A row that is made only when it is asked for.
pub struct Entry {
    pub name: String,
    status: StatusCode,
    requests: Box<dyn FnOnce() -> Requests>,
    mount: Pin<Box<dyn Future<Output = Mount>>>,
    calls: usize,
}

impl Entry {
    /// All requests are answered with this status, after the first of each value.
    pub fn new(
        name: impl Into<String>,
        status: StatusCode,
        requests: impl FnOnce() -> Requests + 'static,
        mount: impl Future<Output = Mount> + 'static,
    ) -> Self {
        Self { name: name.into(), status, requests: Box::new(requests), mount: Box::pin(mount), calls: CALLS }
    }

    /// How many calls make a round.
    pub fn calls(self, calls: usize) -> Self {
        Self { calls, ..self }
    }

    /// The row, each of whose values was sent once.
    pub async fn make(self) -> Row {
        let Self { name, status, requests, mount, calls } = self;
        let mut row = Row { name, mount: mount.await, requests: requests(), status, calls };
        row.warm_up();
        row
    }
}

/// The entries of this name; where there is none, those whose names hold this text.
fn chosen(mut entries: Vec<Entry>, only: &str) -> Vec<Entry> {
    let is_whole = entries.iter().any(|entry| entry.name == only);
    entries.retain(|entry| if is_whole { entry.name == only } else { entry.name.contains(only) });
    entries
}

/// A service that is measured.
pub struct Row {
    pub name: String,
    pub mount: Mount,
    pub requests: Requests,
    pub calls: usize,
    status: StatusCode,
}

impl Row {
    /// A request of each value, and two batches at least: the first of a row that refuses is admitted,
    /// and the first of a client makes its bucket.
    fn warm_up(&mut self) {
        let mut requests = Vec::with_capacity(BATCH);
        let values = self.requests.values.len().max(1);
        let places: Vec<usize> = (0..values.max(BATCH * 2)).map(|n| n % values).collect();
        for places in places.chunks(BATCH) {
            self.requests.batch(places.iter().copied(), &mut requests);
            for request in requests.drain(..) {
                drop(one(&mut self.mount, request));
            }
        }
    }

    fn batch(&self, from: usize, into: &mut Vec<Request<Body>>) {
        self.requests.batch((from..from + BATCH).map(|n| self.requests.place(n)), into);
    }

    /// Nanoseconds per request.
    pub fn round(&mut self, offset: usize) -> f64 {
        let mut elapsed = Duration::ZERO;
        let mut requests = Vec::with_capacity(BATCH);
        for batch in 0..self.calls / BATCH {
            self.batch(offset + batch * BATCH, &mut requests);
            let start = Instant::now();
            for request in requests.drain(..) {
                let response = one(&mut self.mount, request);
                assert_eq!(response.status(), self.status, "{}", self.name);
            }
            elapsed += start.elapsed();
        }
        elapsed.as_nanos() as f64 / (self.calls / BATCH * BATCH) as f64
    }

    /// Allocations per request, of so many batches.
    pub fn allocations(&mut self, batches: usize) -> f64 {
        let mut requests = Vec::with_capacity(BATCH);
        let mut allocations = 0;
        for batch in 0..batches {
            self.batch(batch * BATCH, &mut requests);
            let before = ALLOCATIONS.get();
            let answered = counted(&mut self.mount, &mut requests, self.status);
            allocations += ALLOCATIONS.get() - before;
            assert_eq!(answered, BATCH, "{}", self.name);
        }
        allocations as f64 / (batches * BATCH) as f64
    }
}

/// What was measured of a row.
pub struct Figure {
    pub name: String,
    pub ns: f64,
    pub least: f64,
    pub most: f64,
    pub allocations: f64,
}

/// Times the entries that `[ROUNDS [ROW [CALLS]]]` asks for, and prints them.
pub async fn timed(entries: Vec<Entry>, words: &[&str]) -> Vec<Figure> {
    let rounds = words.first().and_then(|n| n.parse().ok()).unwrap_or(15);
    let calls = words.get(2).and_then(|n| n.parse::<usize>().ok());
    let mut rows = Vec::new();
    for entry in chosen(entries, words.get(1).copied().unwrap_or_default()) {
        let mut row = entry.make().await;
        row.calls = calls.unwrap_or(row.calls);
        row.round(0);
        rows.push(row);
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
            allocations: row.allocations(2),
        });
    }
    print(&figures);
    figures
}

fn print(figures: &[Figure]) {
    let Some(bare) = figures.iter().find(|figure| figure.name == "bare axum") else {
        return figures.iter().for_each(|figure| println!("{}: {:.0} ns, {:.1} allocations", figure.name, figure.ns, figure.allocations));
    };
    println!("| service | ns/request | least / most | over bare, ns | allocations over bare | whole ÷ bare |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for figure in figures {
        let over = figure.ns - bare.ns;
        let allocations = figure.allocations - bare.allocations;
        println!(
            "| {} | {:.0} | {:.0} / {:.0} | {over:.0} | {allocations:+.1} | {:.2} |",
            figure.name, figure.ns, figure.least, figure.most, figure.ns / bare.ns
        );
    }
}

/// One request. No row waits for anything, so one poll is enough.
#[inline(never)]
fn one(mount: &mut Mount, request: Request<Body>) -> Response {
    let response = match mount {
        Mount::Router(router) => router.call(request).now_or_never(),
        Mount::Around(gate) => gate.call(request).now_or_never(),
    };
    let Ok(response) = response.expect("nothing is waited for");
    std::hint::black_box(response)
}

/// A batch, and how many of it had this status. Callgrind counts by the name of this function.
#[inline(never)]
#[unsafe(no_mangle)]
fn counted(mount: &mut Mount, requests: &mut Vec<Request<Body>>, status: StatusCode) -> usize {
    requests.drain(..).map(|request| usize::from(one(mount, request).status() == status)).sum()
}
