//! The floor: a sketch that keeps the main promises of a gate in one layer, by the cheapest means known.
//!
//! The rule of the request, the peer's address, a proof, a scope, one compare-and-swap, what handlers
//! ask for, and the header fields of the response. A refusal is a ready body with a fresh id in it.
//! It knows no odd paths, doubled credentials, keys that end, plans or proxies, bounds no memory,
//! and writes no log. What a gate costs beyond this is what all the rest costs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::BytesMut;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Method, Request, StatusCode};
use tower::{Layer, Service};

use crate::credentials::{Key, sha256};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// API keys, with header fields.
pub fn floor_key(router: Router, keys: &[Key], burst: u64) -> Router {
    let digests = keys.iter().map(Key::digest);
    floor(router, Proof::Keys(digests.zip(clients()).collect()), burst, true)
}

/// Tokens that were proven before: the whole token is looked up, and its end looked at.
pub fn floor_token(router: Router, tokens: &[String]) -> Router {
    let tokens = tokens.iter().map(|token| token.as_bytes());
    let entry = |(token, client): (&[u8], _)| (*end(token).expect("long"), (token.into(), client));
    floor(router, Proof::Tokens(tokens.zip(clients()).map(entry).collect()), 4_000_000, false)
}

/// A handler that decides nothing, and answers with as much as a denial for the rate, made beforehand:
/// the least that an answer of that length costs, to the server and to whoever reads it.
pub fn ready_answer() -> Router {
    static BODY: [u8; 577] = [b'x'; 577];
    static FIELDS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let fields = [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("vary", "accept"),
            ("retry-after", "86400"),
            ("ratelimit-policy", "\"per-client\";q=1;w=86400"),
            ("ratelimit", "\"per-client\";r=0;t=86400"),
        ];
        let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        fields.map(field).into_iter().collect()
    });
    let answer = async || {
        let mut response = Response::new(Body::from(&BODY[..]));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().clone_from(&FIELDS);
        response
    };
    Router::new().route("/orders/{id}", get(answer))
}

fn clients() -> impl Iterator<Item = Arc<Client>> {
    let client = |n| Client {
        name: format!("c{n}"),
        scopes: vec!["orders:read".into(), "orders:write".into()],
        ends: u64::MAX,
        full_at: AtomicU64::new(0),
    };
    (0..).map(move |n: usize| Arc::new(client(n)))
}

fn floor(router: Router, proof: Proof, burst: u64, fields: bool) -> Router {
    let mut rules = matchit::Router::new();
    rules.insert("/orders/{id}", (Method::GET, "orders:read")).expect("a pattern");
    let clock = quanta::Clock::new();
    let start = clock.raw();
    router.layer(Floor(Arc::new(Shared { rules, proof, clock, start, burst, fields })))
}

struct Shared {
    rules: matchit::Router<(Method, &'static str)>,
    proof: Proof,
    clock: quanta::Clock,
    start: u64,
    burst: u64,
    fields: bool,
}

enum Proof {
    Keys(HashMap<[u8; 32], Arc<Client>, ahash::RandomState>),
    /// By their ends; and the whole token, which is compared.
    Tokens(HashMap<[u8; 64], Held, ahash::RandomState>),
}

type Held = (Box<[u8]>, Arc<Client>);

fn end(token: &[u8]) -> Option<&[u8; 64]> {
    token.last_chunk()
}

struct Client {
    name: String,
    scopes: Vec<Box<str>>,
    ends: u64,
    full_at: AtomicU64,
}

/// What a handler may ask for.
struct Passage {
    client: Arc<Client>,
    peer: SocketAddr,
    left: u64,
}

#[derive(Clone)]
struct Admitted(Arc<Passage>);

/// Microseconds that a token takes to come back: a day where one is all there is.
const fn period(burst: u64) -> u64 {
    if burst == 1 { 86_400_000_000 } else { 1 }
}

impl Proof {
    fn client(&self, headers: &HeaderMap) -> Option<&Arc<Client>> {
        match self {
            Self::Keys(keys) => keys.get(&sha256(headers.get("x-api-key")?.as_bytes())),
            Self::Tokens(tokens) => {
                let token = headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")?;
                let (held, client) = tokens.get(end(token)?)?;
                (**held == *token).then_some(client)
            }
        }
    }
}

impl Shared {
    fn decide(&self, request: &Request<Body>) -> Option<Admitted> {
        let extensions = request.extensions();
        let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
        let (method, scope) = self.rules.at(uri.path()).ok()?.value;
        let peer = extensions.get::<ConnectInfo<SocketAddr>>()?.0;
        let client = self.proof.client(request.headers())?;
        let now = self.clock.delta_as_nanos(self.start, self.clock.raw()) / 1000;
        let may = client.scopes.iter().any(|held| **held == **scope);
        if method != request.method() || now >= client.ends || !may {
            return None;
        }
        let capacity = self.burst * period(self.burst);
        let taken = client.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now) + period(self.burst);
            (next - now <= capacity).then_some(next)
        });
        let missing = taken.ok()?.max(now) + period(self.burst) - now;
        let left = (capacity - missing) / period(self.burst);
        Some(Admitted(Arc::new(Passage { client: client.clone(), peer, left })))
    }
}

/// Cut from a page of memory that serves many.
fn state(left: u64) -> HeaderValue {
    thread_local! {
        static PAGE: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(2048));
    }
    PAGE.with_borrow_mut(|page| {
        page.extend_from_slice(b"\"per-client\";r=");
        page.extend_from_slice(itoa::Buffer::new().format(left).as_bytes());
        page.extend_from_slice(b";t=1");
        HeaderValue::from_maybe_shared(page.split().freeze()).expect("text")
    })
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
        match self.1.decide(&request) {
            Some(admitted) => {
                std::hint::black_box((&admitted.0.client.name, &admitted.0.peer));
                request.extensions_mut().insert(admitted.clone());
                let fields = self.1.fields;
                FloorFuture::Admitted { inner: self.0.call(request), admitted, fields }
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
        Admitted { #[pin] inner: F, admitted: Admitted, fields: bool },
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
            Projection::Admitted { inner, admitted, fields } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                let headers = response.headers_mut();
                if *fields {
                    headers.insert(POLICY, HeaderValue::from_static("\"per-client\";q=4000000;w=1"));
                    headers.insert(STATE, state(admitted.0.left));
                }
                headers.append(VARY, HeaderValue::from_static("authorization, x-api-key"));
                Poll::Ready(Ok(response))
            }
            Projection::Refused { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}
