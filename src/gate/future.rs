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
use super::ending_body::end_with_credential;
use super::judge::{Unsettled, Verdict, judge, settled};
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

/// A request that waits, and all that is needed to go on with it then.
struct Waiting<S, B> {
    wait: WaitsFor,
    /// What came before that.
    came: Came,
    snapshot: Arc<Snapshot>,
    request: Request<B>,
    /// Ready to be called.
    inner: S,
}

/// What a request waits for.
enum WaitsFor {
    /// Keys: then it is judged again.
    Arrival(Wait),
    /// The store of its limits: then it is judged to the end.
    Settlement(Box<Unsettled>),
}

impl<S, B> Waiting<S, B> {
    /// What becomes of the request, once it need not wait any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Verdict, Media)> {
        loop {
            let (verdict, media) = match &mut self.wait {
                WaitsFor::Arrival(wait) => {
                    self.came.add(ready!(wait.as_mut().poll(context)));
                    judge(&self.snapshot, &self.request, &self.came)
                }
                WaitsFor::Settlement(unsettled) => {
                    let settlement = ready!(Pin::new(&mut *unsettled.settling).poll(context));
                    settled(&self.snapshot, &self.request, unsettled, settlement)
                }
            };
            // It waits once for each thing.
            match verdict {
                Verdict::Waits(wait) => self.wait = WaitsFor::Arrival(wait),
                Verdict::Settles(unsettled) => self.wait = WaitsFor::Settlement(unsettled),
                verdict => return Poll::Ready((verdict, media)),
            }
        }
    }
}

impl<S, B> TollgateFuture<S, B>
where
    S: Service<Request<B>>,
{
    /// Of a request that waits, as the verdict says.
    pub(super) fn waits(
        verdict: Verdict,
        snapshot: Arc<Snapshot>,
        request: Request<B>,
        inner: S,
    ) -> Self {
        let wait = match verdict {
            Verdict::Waits(wait) => WaitsFor::Arrival(wait),
            Verdict::Settles(unsettled) => WaitsFor::Settlement(unsettled),
            // INVARIANT: whoever calls this has a verdict that waits.
            _ => return Self { state: State::Waits { waiting: None } },
        };
        let waiting = Waiting { wait, came: Came::default(), snapshot, request, inner };
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
            Verdict::Waits(_) | Verdict::Settles(_) => Self::Waits { waiting: None },
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
            let (verdict, media) = ready!(held.poll(context));
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
                    None => {
                        admission.complete(&mut response);
                        end_with_credential(&mut response, admission);
                    }
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::Route;

    use super::*;

    /// What waits lies in a box of its own, so that those who do not wait do not carry it.
    #[test]
    fn the_future_is_little_larger_than_what_it_holds() {
        let inner = size_of::<<Route as Service<Request<Body>>>::Future>();
        let ours = size_of::<TollgateFuture<Route, Body>>();
        println!("the future of a route: {inner} bytes; behind the gate: {ours} bytes");
        let beside = size_of::<Admission>() + size_of::<Media>() + size_of::<usize>();
        let most = inner.max(size_of::<Response>()) + beside.next_multiple_of(size_of::<usize>());
        assert!(ours <= most, "{ours} bytes for {inner}");
    }
}
