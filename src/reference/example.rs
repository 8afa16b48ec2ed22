//! An example of a response, and of the request that it answers.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::{Body, to_bytes};
use http::Response;

use super::json::Json;

/// A response, and the request that it answers.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    /// The head of the request; credentials are described, not shown.
    pub(crate) request: Option<String>,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Json,
}

impl Example {
    /// The response as it goes over the wire, the body spread over lines.
    pub(crate) fn response(&self) -> String {
        let mut text = format!("HTTP/1.1 {} {}\n", self.status, self.reason);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\n");
        }
        text + "\n" + &self.body.pretty()
    }
}

impl Example {
    pub(super) fn of(response: Response<Body>, request: Option<String>) -> Option<Self> {
        let (head, body) = response.into_parts();
        let body = at_once(to_bytes(body, usize::MAX))?.ok()?;
        let mut body = Json::parse(std::str::from_utf8(&body).ok()?);
        body.set("instance", INSTANCE);
        let mut headers: Vec<(String, String)> = (head.headers.iter())
            // It counts the body as it is sent, which is laid out here.
            .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
            .filter_map(|(name, value)| Some((written(name.as_str()), value.to_str().ok()?.into())))
            .collect();
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        headers.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
        let reason = head.status.canonical_reason().unwrap_or_default();
        Some(Self { request, status: head.status.as_u16(), reason, headers, body })
    }
}

/// Stands for the id that each denial has of its own.
const INSTANCE: &str = "urn:uuid:0f9d6a4e-52c1-4b7e-9a3d-6c1e8f2b7d05";

/// Headers as they are usually written, in the order of examples.
const ORDER: [&str; 15] = [
    "Authorization",
    "WWW-Authenticate",
    "Retry-After",
    "retry-after-ms",
    "x-should-retry",
    "Allow",
    "RateLimit-Policy",
    "RateLimit",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Content-Type",
    "Cache-Control",
    "Vary",
    "X-Content-Type-Options",
];

/// The name of a header as it is usually written.
pub(super) fn written(name: &str) -> String {
    let known = ORDER.iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map_or_else(|| name.to_owned(), |known| (*known).to_owned())
}

/// The end of a future that waits for nothing.
pub(super) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(end) => Some(end),
        Poll::Pending => None,
    }
}
