//! The gate as a layer and a service of tower.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::Guard;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::Request;
use tower::{Layer, Service};

use super::Gate;
use super::future::TollgateFuture;
use super::judge::{Verdict, judge};
use crate::ask::Came;

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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let snapshot = self.gate.snapshot();
        match judge(&snapshot, &request, Came::NOTHING) {
            (verdict @ (Verdict::Waits(_) | Verdict::Settles(_)), _) => {
                // The service that was ready is the one that is called.
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                let snapshot = Guard::into_inner(snapshot);
                TollgateFuture::waits(verdict, snapshot, request, inner)
            }
            (verdict, media) => TollgateFuture::of(verdict, media, &mut self.inner, request),
        }
    }
}

/// The gate itself never fails: it answers.
const _: fn() = || {
    fn is_infallible<S: Service<Request<Body>, Error = Infallible>>() {}
    is_infallible::<TollgateService<axum::Router>>();
};
