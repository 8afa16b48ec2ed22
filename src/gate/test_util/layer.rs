//! A layer that lets everything pass.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::Request;
use http::header::ACCEPT;
use tower::{Layer, Service};

use super::admission::{Prepared, TestAdmission};
use crate::denial::Media;
use crate::gate::future::TollgateFuture;
use crate::gate::judge::Verdict;

/// Lets every request pass as one and the same caller, for tests.
///
/// It judges nothing: no rule, no credential, no limit. Denials of handlers are answered as a gate
/// with the least of policies answers them. The buckets of an admission are shared by all requests
/// that pass one layer and its clones.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is a layer of a router or a service"]
pub struct TestLayer(Arc<Prepared>);

impl TestLayer {
    /// Lets all pass, as this [`Principal`](crate::Principal) or with this [`TestAdmission`]. **Whoever can call such a
    /// server is let in**, so the log says it, at `warn`.
    ///
    /// # Panics
    ///
    /// As [`TestAdmission::build`].
    pub fn danger_admit_all_as(caller: impl Into<TestAdmission>) -> Self {
        tracing::warn!(
            target: "tollgate",
            "a layer for tests lets every request pass as one and the same caller"
        );
        Self(Arc::new(Prepared::new(caller.into())))
    }
}

impl<S> Layer<S> for TestLayer {
    type Service = TestService<S>;

    fn layer(&self, inner: S) -> TestService<S> {
        TestService { inner, prepared: self.0.clone() }
    }
}

/// A service behind a [`TestLayer`].
#[derive(Clone, Debug)]
pub struct TestService<S> {
    inner: S,
    prepared: Arc<Prepared>,
}

impl<S, B> Service<Request<B>> for TestService<S>
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
        let media = Media::of(&request.headers().get_all(ACCEPT).iter().collect());
        let verdict = Verdict::Admitted(self.prepared.admit(request.method()));
        TollgateFuture::of(verdict, media, &mut self.inner, request)
    }
}
