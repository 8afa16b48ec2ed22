//! The floor: the least that does the work of a gate at all, in one layer.
//!
//! A digest, a look-up, one compare-and-swap, two header fields; a refusal is a ready body with a
//! fresh id in it. It knows no rules, scopes, tokens, addresses or plans, bounds no memory, and
//! writes no log. What a gate costs beyond this is what all the rest costs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use tollgate::NewApiKey;
use tower::{Layer, Service};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

pub(crate) fn floor(router: Router, keys: &[NewApiKey], burst: u64) -> Router {
    let client = |(n, key): (usize, &NewApiKey)| {
        (digest(key.reveal().as_bytes()), Arc::new(Client { name: format!("c{n}"), full_at: AtomicU64::new(0) }))
    };
    let clock = quanta::Clock::new();
    let shared = Shared { clients: keys.iter().enumerate().map(client).collect(), start: clock.raw(), clock, burst };
    router.layer(Floor(Arc::new(shared)))
}

struct Shared {
    clients: HashMap<[u8; 32], Arc<Client>, ahash::RandomState>,
    clock: quanta::Clock,
    start: u64,
    burst: u64,
}

struct Client {
    name: String,
    full_at: AtomicU64,
}

/// Microseconds that a token takes to come back: a day where one is all there is.
const fn period(burst: u64) -> u64 {
    if burst == 1 { 86_400_000_000 } else { 1 }
}

fn digest(key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key).as_ref());
    bytes
}

impl Shared {
    fn decide(&self, key: Option<&HeaderValue>) -> Option<(Arc<Client>, u64)> {
        let client = self.clients.get(&digest(key?.as_bytes()))?;
        let now = self.clock.delta_as_nanos(self.start, self.clock.raw()) / 1000;
        let capacity = self.burst * period(self.burst);
        let taken = client.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now) + period(self.burst);
            (next - now <= capacity).then_some(next)
        });
        let missing = taken.ok()?.max(now) + period(self.burst) - now;
        Some((client.clone(), (capacity - missing) / period(self.burst)))
    }
}

#[derive(Clone)]
struct Floor(Arc<Shared>);

#[derive(Clone)]
struct FloorService<S>(S, Arc<Shared>);

impl<S> Layer<S> for Floor {
    type Service = FloorService<S>;

    fn layer(&self, inner: S) -> FloorService<S> {
        FloorService(inner, self.0.clone())
    }
}

/// Who called, for the handler.
#[derive(Clone)]
struct Caller(#[expect(dead_code, reason = "as a gate hands it over")] Arc<Client>);

impl<S> Service<Request<Body>> for FloorService<S>
where
    S: Service<Request<Body>, Error = Infallible>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = Infallible;
    type Future = FloorFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.1.decide(request.headers().get("x-api-key")) {
            Some((client, left)) => {
                std::hint::black_box(&client.name);
                request.extensions_mut().insert(Caller(client));
                FloorFuture::Admitted { inner: self.0.call(request), left }
            }
            None => FloorFuture::Refused { response: Some(refusal()) },
        }
    }
}

/// A body of usual size, with an id of its own.
fn refusal() -> Response {
    static BODY: [u8; 660] = [b'x'; 660];
    let mut body = Vec::with_capacity(BODY.len() + 45);
    body.extend_from_slice(&BODY);
    let mut buffer = [0; uuid::fmt::Urn::LENGTH];
    body.extend_from_slice(uuid::Uuid::new_v4().urn().encode_lower(&mut buffer).as_bytes());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

pin_project_lite::pin_project! {
    #[project = Projection]
    enum FloorFuture<F> {
        Admitted { #[pin] inner: F, left: u64 },
        Refused { response: Option<Response> },
    }
}

impl<F, R> Future for FloorFuture<F>
where
    F: Future<Output = Result<R, Infallible>>,
    R: IntoResponse,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Admitted { inner, left } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                let headers = response.headers_mut();
                headers.insert(POLICY, HeaderValue::from_static("\"per-client\";q=4000000;w=1"));
                let state = format!("\"per-client\";r={left};t=1");
                headers.insert(STATE, HeaderValue::try_from(state).expect("text"));
                Poll::Ready(Ok(response))
            }
            Projection::Refused { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}

/// The same for a token that was proven before: the whole token is looked up, and its end looked at.
pub(crate) fn floor_token(router: Router, tokens: &[String]) -> Router {
    let clock = quanta::Clock::new();
    let client = |(n, token): (usize, &String)| {
        let client = Client { name: format!("client-{n}"), full_at: AtomicU64::new(0) };
        (token.as_bytes().into(), (Arc::new(client), 4_000_000_000_000_000))
    };
    let start = clock.raw();
    let proven = Proven { tokens: tokens.iter().enumerate().map(client).collect(), start, clock };
    router.layer(FloorToken(Arc::new(proven)))
}

type Tokens = HashMap<Box<[u8]>, (Arc<Client>, u64), foldhash::quality::RandomState>;

struct Proven {
    tokens: Tokens,
    clock: quanta::Clock,
    start: u64,
}

#[derive(Clone)]
struct FloorToken(Arc<Proven>);

#[derive(Clone)]
struct FloorTokenService<S>(S, Arc<Proven>);

impl<S> Layer<S> for FloorToken {
    type Service = FloorTokenService<S>;

    fn layer(&self, inner: S) -> FloorTokenService<S> {
        FloorTokenService(inner, self.0.clone())
    }
}

impl<S> Service<Request<Body>> for FloorTokenService<S>
where
    S: Service<Request<Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        let line = request.headers().get(http::header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = line.and_then(|line| line.strip_prefix(b"Bearer ")).expect("a bearer token");
        let (client, ends) = self.1.tokens.get(token).expect("a token that was proven");
        let now = self.1.clock.delta_as_nanos(self.1.start, self.1.clock.raw()) / 1000;
        assert!(now < *ends);
        let full_at = client.full_at.load(Ordering::Relaxed).max(now) + 1;
        client.full_at.store(full_at, Ordering::Relaxed);
        let caller = Caller(client.clone());
        request.extensions_mut().insert(caller);
        self.0.call(request)
    }
}
