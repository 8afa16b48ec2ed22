//! The response of a service behind the gate.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::Request;
use pin_project_lite::pin_project;
use tower::Service;

use super::admission::{Admission, PassedPreflight};
use super::gate::Verdict;
use super::judge::judge;
use super::replace::{replace, taken};
use super::snapshot::Snapshot;
use crate::ask::{Came, Wait};
use crate::denial::Media;

pin_project! {
    /// The response of a [`TollgateService`](crate::TollgateService).
    pub struct TollgateFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, Waiting<S, B>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, W> {
        Waits { waiting: Option<Box<W>> },
        Denied { response: Option<Response> },
        Passed { #[pin] inner: F, media: Media, passed: PassedPreflight },
        Admitted { #[pin] inner: F, media: Media, admission: Admission },
    }
}

/// A request that waits for keys, and all that is needed to judge it then.
pub(super) struct Waiting<S, B> {
    pub(super) wait: Wait,
    /// What came before that.
    pub(super) came: Came,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) request: Request<B>,
    /// Ready to be called.
    pub(super) inner: S,
}

impl<S, B> TollgateFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn waits(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Waits { waiting: Some(Box::new(waiting)) } }
    }

    /// What comes of a request that was judged.
    pub(super) fn of(verdict: Verdict, media: Media, inner: &mut S, request: Request<B>) -> Self {
        Self { state: State::of(verdict, media, inner, request) }
    }
}

impl<F, W> State<F, W> {
    fn of<S, B>(verdict: Verdict, media: Media, inner: &mut S, mut request: Request<B>) -> Self
    where
        S: Service<Request<B>, Future = F>,
    {
        match verdict {
            Verdict::Denied(response) => Self::Denied { response: Some(response) },
            Verdict::Preflight(passed) => {
                request.extensions_mut().insert(passed.clone());
                Self::Passed { inner: inner.call(request), media, passed }
            }
            Verdict::Admitted(admission) => {
                request.extensions_mut().insert(admission.clone());
                Self::Admitted { inner: inner.call(request), media, admission }
            }
            // INVARIANT: whoever judges keeps those that wait.
            Verdict::Waits(_) => Self::Waits { waiting: None },
        }
    }
}

impl<S, B> Future for TollgateFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Output = Result<Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.as_mut().project().state;
        if let StateProjection::Waits { waiting } = state.as_mut().project() {
            // INVARIANT: as for `Denied` below.
            let Some(held) = waiting else { return Poll::Pending };
            let (verdict, media) = loop {
                let arrived = ready!(held.wait.as_mut().poll(context));
                held.came.add(arrived);
                match judge(&held.snapshot, &held.request, &held.came) {
                    // For another thing: it waits once for each.
                    (Verdict::Waits(wait), _) => held.wait = wait,
                    decided => break decided,
                }
            };
            let Some(held) = waiting.take() else { return Poll::Pending };
            let Waiting { request, mut inner, .. } = *held;
            state.set(State::of(verdict, media, &mut inner, request));
        }
        match state.project() {
            StateProjection::Waits { .. } => Poll::Pending,
            // INVARIANT: a future is not polled after it was ready; if it is, it stays pending.
            StateProjection::Denied { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            StateProjection::Passed { inner, media, passed } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                if let Some(denial) = taken(&mut response) {
                    replace(&mut response, passed.deny(denial, *media));
                }
                Poll::Ready(Ok(response))
            }
            StateProjection::Admitted { inner, media, admission } => {
                let mut response = ready!(inner.poll(context))?.into_response();
                match taken(&mut response) {
                    None => admission.complete(&mut response),
                    Some(denial) => replace(&mut response, admission.deny(denial, *media)),
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

impl<S, B> fmt::Debug for TollgateFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TollgateFuture").finish_non_exhaustive()
    }
}
