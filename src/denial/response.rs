//! A response on its way out.

use axum::body::{Body, Bytes};
use http::header::HeaderName;
use http::{HeaderMap, Response, StatusCode};

use super::written::Written;

/// The wait in milliseconds, and whether a client should send the request again by itself: headers
/// that generated SDKs read.
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A response on its way out.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) written: Written,
}

impl Composed {
    pub(super) fn into_response(self) -> Response<Body> {
        respond(self.status, self.headers, self.written.bytes.into())
    }
}

pub(super) fn respond(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
