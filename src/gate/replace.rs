//! Denials of handlers: on their way out the gate writes them as the policy says.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    EXPIRES, HeaderName, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE,
};

use crate::denial::{Denial, Media, RETRY_AFTER_MS, Renderer, SHOULD_RETRY};

/// Headers that describe the body being replaced, or a denial as it would be without a gate.
const STALE: [HeaderName; 14] = [
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
    RETRY_AFTER_MS,
    SHOULD_RETRY,
    ALLOW,
];

/// A denial that a handler answered with, on its way out to the gate.
#[derive(Clone)]
struct Pending(Denial);

/// Takes the denial that a handler answered with, if it did.
pub(super) fn taken(response: &mut Response) -> Option<Denial> {
    response.extensions_mut().remove::<Pending>().map(|Pending(denial)| denial)
}

/// Replaces the handler's response by the denial that the gate wrote. Headers that others added
/// stay.
pub(super) fn replace(response: &mut Response, denied: Response) {
    let (parts, body) = denied.into_parts();
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
        let mut response: Response<Body> = DEFAULT.render(self.draft(), Media::Document);
        response.extensions_mut().insert(Pending(self));
        response
    }
}
