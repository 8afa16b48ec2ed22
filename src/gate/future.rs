//! The response of a service behind the gate.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::Request;
use pin_project_lite::pin_project;
use tower::Service;

use super::admission::{Admission, PassedPreflight};
use super::replace::{replace, taken};
use crate::denial::Media;

pin_project! {
    /// The response of a [`TollgateService`](crate::TollgateService).
    pub struct TollgateFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Denied { response: Option<Response> },
        Passed { #[pin] inner: F, media: Media, passed: PassedPreflight },
        Admitted { #[pin] inner: F, media: Media, admission: Admission },
    }
}

impl<S, B> TollgateFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn denied(response: Response) -> Self {
        Self { state: State::Denied { response: Some(response) } }
    }

    pub(super) fn passed(inner: S::Future, media: Media, passed: PassedPreflight) -> Self {
        Self { state: State::Passed { inner, media, passed } }
    }

    pub(super) fn admitted(inner: S::Future, media: Media, admission: Admission) -> Self {
        Self { state: State::Admitted { inner, media, admission } }
    }
}

impl<S, B> Future for TollgateFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Output = Result<Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
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
