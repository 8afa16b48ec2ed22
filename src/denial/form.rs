//! Forms: documents that are written once, in which little changes from request to request.
//!
//! Most denials of a kind differ in `instance` and a few numbers alone. What decides about the
//! rest is their [`Shape`]. A form is made from a shape and the policy, and from nothing that a
//! request brought: so what one client sent can never be shown to another.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use dashmap::DashMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use super::document::Denial;
use super::known::Known;
use super::rate_limit::{LimitField, decimal};
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
    fn instance(&self) -> &str;
    fn number(&self, hole: Hole) -> u64;
    /// Text that needs no escapes; `None` where the hole is for a number.
    fn text(&self, hole: Hole) -> Option<Cow<'_, str>>;
    /// The value of a header field that changes; `None` where it stays as it is.
    fn field(&self, field: Field) -> Option<HeaderValue>;
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
    /// Which of them change, in their order.
    fields: Box<[Option<Field>]>,
    /// The document without what was in the holes.
    text: Box<[u8]>,
    /// Where they are.
    holes: Box<[(usize, Hole)]>,
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
        headers.insert(CONTENT_LENGTH, decimal(written.bytes.len() as u64));
        // Names of denials are of one length.
        let is_of_one_length = holes.iter().all(|(_, hole)| *hole == Hole::Instance);
        let changes = |name| {
            Field::named(name).filter(|field| !is_of_one_length || !matches!(field, Field::Length))
        };
        let fields = headers.iter().map(|(name, _)| changes(name)).collect();
        Self { status, headers, fields, text: text.into(), holes: holes.into() }
    }

    /// Whether clients are told to repeat the request by themselves, where the wait is short.
    pub(super) fn is_retryable(&self) -> bool {
        self.headers.get(SHOULD_RETRY).is_some_and(|value| value == "true")
    }

    pub(super) fn fill(&self, values: &impl Values) -> Response<Body> {
        // In a hole is `instance`, or a number of at most twenty digits.
        let room = values.instance().len() + 20 * self.holes.len();
        let mut body = Vec::with_capacity(self.text.len() + room);
        let mut from = 0;
        for (at, hole) in &self.holes {
            body.extend_from_slice(&self.text[from..*at]);
            from = *at;
            match (hole, values.text(*hole)) {
                (Hole::Instance, _) => body.extend_from_slice(values.instance().as_bytes()),
                (_, Some(text)) => body.extend_from_slice(text.as_bytes()),
                (hole, None) => {
                    let number = values.number(*hole);
                    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
            }
        }
        body.extend_from_slice(&self.text[from..]);

        // INVARIANT: a copy has its fields in the same order.
        let mut headers = self.headers.clone();
        for (value, field) in headers.values_mut().zip(&self.fields) {
            let changed = match *field {
                None => None,
                Some(Field::Length) => Some(decimal(body.len() as u64)),
                Some(field) => values.field(field),
            };
            if let Some(changed) = changed {
                *value = changed;
            }
        }
        respond(self.status, headers, body)
    }
}

#[cfg(test)]
mod tests;
