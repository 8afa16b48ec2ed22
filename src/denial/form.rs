//! Forms: documents that are written once, in which little changes from request to request.
//!
//! Most denials of a kind differ in `instance` and a few numbers alone. What decides about the
//! rest is their [`Shape`]. A form is made from a shape and the policy, and from nothing that a
//! request brought: so what one client sent can never be shown to another.

use std::sync::Arc;

use axum::body::Body;
use bytes::BytesMut;
use dashmap::DashMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use uuid::fmt::Urn;

use super::document::Denial;
use super::known::Known;
use super::rate_limit::LimitField;
use super::response::{Composed, RETRY_AFTER_MS, SHOULD_RETRY, respond};
use super::shape::Shape;
use super::written::Hole;
use crate::policy::{Rule, StatusMode};

/// How many forms are kept. Others are written anew each time.
const MOST: usize = 4096;

/// The forms that are kept.
#[derive(Debug, Default)]
pub(super) struct Forms(DashMap<FormKey, Arc<Form>, ahash::RandomState>);

/// Which form it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FormKey {
    pub(super) shape: Shape,
    /// Whether the document leads to the rule's entry in the handbook.
    pub(super) helps: bool,
    /// The rule, or the policy where no rule covers the request, decides about the status.
    pub(super) mode: StatusMode,
}

impl Forms {
    /// The form of this shape. It is made when it is first needed: `compose` writes the document of
    /// a sample denial. `None` where it is not kept, so that the denial is written anew.
    pub(super) fn get(
        &self,
        key: FormKey,
        rule: Option<&Arc<Rule>>,
        known: &Known,
        compose: impl FnOnce(&Denial) -> Composed,
    ) -> Option<Arc<Form>> {
        if let Some(form) = self.0.get(&key) {
            return Some(form.clone());
        }
        if self.0.len() >= MOST {
            return None;
        }
        let composed = compose(&key.shape.sample(rule, known)?);
        // Where the sample did not fit, others might: their numbers are of another length.
        if composed.written.is_cut {
            return None;
        }
        let form = Arc::new(Form::new(composed));
        self.0.insert(key, form.clone());
        Some(form)
    }
}

#[cfg(test)]
impl Forms {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is filled in.
pub(super) trait Values {
    /// Writes what stands in a hole of the document: text that needs no escapes.
    fn write(&self, hole: Hole, page: &mut BytesMut);
    /// The value of a header field that changes, in a piece of the `page`. The document has this
    /// `length`.
    fn field(&self, field: Field, length: usize, page: &mut BytesMut) -> HeaderValue;
}

/// A header field that changes from one response of a form to the next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    RetryAfter,
    RetryAfterMs,
    ShouldRetry,
    Limits(LimitField),
    /// The length of the document.
    Length,
}

impl Field {
    /// `None` for a field that does not change.
    fn named(name: &HeaderName) -> Option<Self> {
        match name {
            name if *name == RETRY_AFTER => Some(Self::RetryAfter),
            name if *name == RETRY_AFTER_MS => Some(Self::RetryAfterMs),
            name if *name == SHOULD_RETRY => Some(Self::ShouldRetry),
            name if *name == CONTENT_LENGTH => Some(Self::Length),
            name => LimitField::named(name).map(Self::Limits),
        }
    }
}

/// A response with holes.
#[derive(Debug)]
pub(super) struct Form {
    status: StatusCode,
    headers: HeaderMap,
    /// Those of them that change, by their places.
    fields: Box<[(usize, Field)]>,
    /// Whether clients are told to repeat the request by themselves, where the wait is short.
    is_retryable: bool,
    /// The document without what was in the holes.
    text: Box<[u8]>,
    /// Where they are.
    holes: Box<[(usize, Hole)]>,
    /// How many bytes are filled in, in the document and in the fields. Where only `instance` is, these
    /// are exactly so many, so that the document takes one piece of memory and no more.
    room: usize,
}

impl Form {
    fn new(composed: Composed) -> Self {
        let Composed { status, mut headers, written } = composed;
        let (mut text, mut holes, mut from) = (Vec::new(), Vec::new(), 0);
        for (begin, end, hole) in written.holes {
            text.extend_from_slice(&written.bytes[from..begin]);
            holes.push((text.len(), hole));
            from = end;
        }
        text.extend_from_slice(&written.bytes[from..]);
        // Its place: in a copy of these headers there is no room for another one.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(written.bytes.len()));
        // Names of denials are of one length.
        let is_of_one_length = holes.iter().all(|(_, hole)| *hole == Hole::Instance);
        let waits = headers.contains_key(RETRY_AFTER);
        let changes = |(at, name)| match Field::named(name)? {
            Field::Length if is_of_one_length => None,
            Field::ShouldRetry if !waits => None,
            field => Some((at, field)),
        };
        let fields: Box<[_]> =
            headers.iter().map(|(name, _)| name).enumerate().filter_map(changes).collect();
        let of_hole = |(_, hole): &(usize, Hole)| match hole {
            Hole::Instance => Urn::LENGTH,
            _ => USUAL_LENGTH,
        };
        let values: Vec<usize> = headers.values().map(HeaderValue::len).collect();
        let of_field = |(at, _): &(usize, Field)| values[*at] + USUAL_LENGTH;
        let room =
            holes.iter().map(of_hole).sum::<usize>() + fields.iter().map(of_field).sum::<usize>();
        let is_retryable = headers.get(SHOULD_RETRY).is_some_and(|value| value == "true");
        // What is filled in need not be copied first.
        for (at, _) in &fields {
            if let Some(value) = headers.values_mut().nth(*at) {
                *value = HeaderValue::from_static("");
            }
        }
        Self { status, headers, fields, is_retryable, text: text.into(), holes: holes.into(), room }
    }

    /// Whether clients are told to repeat the request by themselves, where the wait is short.
    pub(super) fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    pub(super) fn fill(&self, values: &impl Values) -> Response<Body> {
        // One piece of memory for all that is filled in.
        let mut page = BytesMut::with_capacity(self.text.len() + self.room);
        let mut from = 0;
        for (at, hole) in &self.holes {
            page.extend_from_slice(&self.text[from..*at]);
            values.write(*hole, &mut page);
            from = *at;
        }
        page.extend_from_slice(&self.text[from..]);

        let mut headers = self.headers.clone();
        if self.fields.is_empty() {
            return respond(self.status, headers, page.freeze());
        }
        let body = page.split().freeze();
        // INVARIANT: a copy has its fields in the same order.
        let (mut lines, mut next) = (headers.values_mut(), 0);
        for (at, field) in &self.fields {
            if let Some(line) = lines.nth(at - next) {
                *line = values.field(*field, body.len(), &mut page);
            }
            next = at + 1;
        }
        respond(self.status, headers, body)
    }
}

/// Most numbers and names that are filled in are not longer.
const USUAL_LENGTH: usize = 20;

#[cfg(test)]
mod tests;
