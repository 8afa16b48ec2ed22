//! The gate as a layer and a service of tower.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    EXPIRES, HeaderName, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE,
};
use http::{Extensions, HeaderValue, Request};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::admission::Admission;
use super::observe;
use super::pipeline::{Caller, Gate, Head, Verdict};
use crate::denial::{Denial, Media, Renderer};

/// Puts the gate in front of a service; made by [`Tollgate::layer`](crate::Tollgate::layer).
#[derive(Clone, Debug)]
pub struct TollgateLayer {
    gate: Arc<Gate>,
}

impl TollgateLayer {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for TollgateLayer {
    type Service = TollgateService<S>;

    fn layer(&self, inner: S) -> TollgateService<S> {
        TollgateService { inner, gate: self.gate.clone() }
    }
}

/// A service behind the gate. Requests that are denied do not reach it.
#[derive(Clone, Debug)]
pub struct TollgateService<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S, B> Service<Request<B>> for TollgateService<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TollgateFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    // Inlined, it would write its future beside the place where it is wanted, and move it there: 20 ns,
    // since the future holds the request.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (verdict, media) = {
            let extensions = request.extensions();
            // Under `nest` the URI is cut; the original one is what rules are about.
            let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
            let head = Head {
                method: request.method(),
                path: uri.path(),
                headers: request.headers(),
                fields: self.gate.policy.credential.fields(request.headers()),
                peer: peer(extensions).map(|peer| peer.ip().into()),
                moment: self.gate.moment(),
            };
            (self.gate.judge(&head), Media::of(&head.fields.accept))
        };
        match verdict {
            Verdict::Denied(denial) => {
                let response = Some(self.gate.renderer.render(&denial, media));
                TollgateFuture { state: State::Denied { response } }
            }
            Verdict::Preflight => {
                let (inner, gate) = (self.inner.call(request), self.gate.clone());
                TollgateFuture { state: State::Passed { inner, media, gate } }
            }
            Verdict::Admitted(admission) => {
                request.extensions_mut().insert(admission.clone());
                let inner = self.inner.call(request);
                TollgateFuture { state: State::Admitted { inner, media, admission } }
            }
        }
    }
}

/// The other end of the connection, where the server tells it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
}

pin_project! {
    /// The response of a [`TollgateService`].
    #[derive(Debug)]
    pub struct TollgateFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProjection]
    enum State<F> {
        Denied { response: Option<Response> },
        Passed { #[pin] inner: F, media: Media, gate: Arc<Gate> },
        Admitted { #[pin] inner: F, media: Media, admission: Admission },
    }
}

impl<F, R, E> Future for TollgateFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            // INVARIANT: a future is not polled after it was ready; if it is, it stays pending.
            StateProjection::Denied { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            StateProjection::Passed { inner, media, gate } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                if let Some(denial) = pending(&mut response) {
                    rewrite(&mut response, &denial, *media, gate, &Caller::default());
                }
                Poll::Ready(Ok(response))
            }
            StateProjection::Admitted { inner, media, admission } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                match pending(&mut response) {
                    None => admission.complete(&mut response),
                    Some(denial) => {
                        let denial = admission.own(denial);
                        let (gate, caller) = (admission.gate(), admission.caller());
                        rewrite(&mut response, &denial, *media, gate, caller);
                    }
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

/// What was said of the body that is replaced, or by the denial as it would be without a gate.
const STALE: [HeaderName; 12] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    TRANSFER_ENCODING,
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    EXPIRES,
    WWW_AUTHENTICATE,
    RETRY_AFTER,
    ALLOW,
];

/// A denial that a handler answered with, on its way out to the gate.
#[derive(Clone)]
struct Pending(Denial);

fn pending(response: &mut Response) -> Option<Denial> {
    response.extensions_mut().remove::<Pending>().map(|Pending(denial)| denial)
}

/// Writes a handler's denial as the policy says. Headers that others added stay.
fn rewrite(response: &mut Response, denial: &Denial, media: Media, gate: &Gate, caller: &Caller) {
    observe::denied(&gate.renderer, denial, caller);
    let (parts, body) = gate.renderer.render(denial, media).into_parts();
    let headers = response.headers_mut();
    for name in STALE {
        headers.remove(name);
    }
    let vary: Vec<HeaderValue> = headers.get_all(VARY).iter().cloned().collect();
    for name in parts.headers.keys() {
        headers.remove(name);
    }
    for (name, value) in &parts.headers {
        headers.append(name, value.clone());
    }
    // What others said that the response depends on stays true.
    for held in vary.into_iter().filter(|held| parts.headers.get(VARY) != Some(held)) {
        headers.append(VARY, held);
    }
    *response.status_mut() = parts.status;
    *response.body_mut() = body;
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        static DEFAULT: LazyLock<Renderer> = LazyLock::new(Renderer::without_gate);
        let mut response: Response<Body> = DEFAULT.render(&self, Media::Document);
        response.extensions_mut().insert(Pending(self));
        response
    }
}

/// The gate itself never fails: it answers.
const _: fn() = || {
    fn is_infallible<S: Service<Request<Body>, Error = Infallible>>() {}
    is_infallible::<TollgateService<axum::Router>>();
};
