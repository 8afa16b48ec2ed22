//! A response whose body ends when the credential of its request does.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};

use super::admission::Admission;
use super::ended::Ended;

/// Has the body of a response end with the credential of its request, where it is to.
pub(super) fn end_with_credential(response: &mut Response<Body>, admission: &Admission) {
    // What is there as a whole is sent at once.
    if !admission.ends_body() || response.body().is_end_stream() {
        return;
    }
    let ended = admission.ended();
    let may_stop = is_event_stream(response.headers());
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = Body::new(EndingBody { body, ended, may_stop, is_over: false });
}

/// Whether a client expects that it can end at any moment (HTML, section 9.2).
fn is_event_stream(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("text/event-stream") && !headers.contains_key(CONTENT_LENGTH)
}

struct EndingBody {
    body: Body,
    ended: Ended,
    /// Whether it may stop as if it were complete. Otherwise it fails, so that the server breaks the
    /// response off: nobody is to take a part for the whole (RFC 9112 section 8).
    may_stop: bool,
    is_over: bool,
}

impl HttpBody for EndingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.ended.look().is_none() {
            let frame = Pin::new(&mut self.body).poll_frame(context);
            // Only what has to wait is worth a place among those who do.
            if frame.is_ready() || Pin::new(&mut self.ended).poll(context).is_pending() {
                return frame;
            }
        }
        self.is_over = true;
        // What it came from is set free now.
        self.body = Body::empty();
        Poll::Ready((!self.may_stop).then(|| Err(axum::Error::new(CredentialEnded))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body was broken off.
#[derive(Debug)]
struct CredentialEnded;

impl fmt::Display for CredentialEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the credential of the request ended while its response was sent")
    }
}

impl Error for CredentialEnded {}
