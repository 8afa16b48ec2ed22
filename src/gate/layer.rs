//! The gate as a layer and a service of tower.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use axum::response::{IntoResponse, Response};
use http::{Extensions, Request};
use tower::{Layer, Service};

use super::Gate;
use super::future::TollgateFuture;
use super::gate::Verdict;
use crate::ask::Ask;
use crate::denial::Media;
use crate::time::Moment;

/// Puts the gate in front of a service; made by [`Tollgate::layer`](crate::Tollgate::layer).
#[derive(Clone, Debug)]
#[must_use = "it guards nothing until it is a layer of a router or a service"]
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
    S: Service<Request<B>> + Clone,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TollgateFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let snapshot = self.gate.snapshot();
        let (verdict, media) = {
            let extensions = request.extensions();
            // Under `nest` the URI is cut; the original one is what rules are about.
            let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
            let ask = Ask {
                method: request.method(),
                path: uri.path(),
                headers: request.headers(),
                fields: snapshot.policy.credential.fields(request.headers()),
                peer: peer(extensions).map(|peer| peer.ip().into()),
                moment: Moment::of(&*snapshot.voice.clock),
            };
            let media = Media::of(&ask.fields.accept);
            (snapshot.judge(&ask, media), media)
        };
        match verdict {
            Verdict::Denied(response) => TollgateFuture::denied(response),
            Verdict::Preflight(passed) => {
                request.extensions_mut().insert(passed.clone());
                TollgateFuture::passed(self.inner.call(request), media, passed)
            }
            Verdict::Admitted(admission) => {
                request.extensions_mut().insert(admission.clone());
                TollgateFuture::admitted(self.inner.call(request), media, admission)
            }
        }
    }
}

/// The other end of the connection, where the server knows it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
}

/// The gate itself never fails: it answers.
const _: fn() = || {
    fn is_infallible<S: Service<Request<Body>, Error = Infallible>>() {}
    is_infallible::<TollgateService<axum::Router>>();
};
