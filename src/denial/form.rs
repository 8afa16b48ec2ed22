//! Forms: responses that were written once, in which little changes from request to request.
//!
//! Most denials of a code are alike but for `instance` and a few numbers. The first of them is
//! written member by member, and kept as a form with holes; the next ones fill the holes.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use dashmap::DashMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::catalogue::CATALOGUE;
use super::document::VARIANTS;
use super::json::{Hole, Written};
use super::value;

/// How many forms of denials with limits are kept: one for each combination of short limits
/// and plans that occurs.
const MAX_SHAPES: usize = 1024;

/// A response on its way out.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) written: Written,
}

/// A response with holes.
#[derive(Debug)]
pub(super) struct Form {
    status: StatusCode,
    /// Those that are empty change.
    headers: HeaderMap,
    /// The document without what was in the holes.
    text: Box<[u8]>,
    /// Where they are.
    holes: Box<[(usize, Hole)]>,
    /// Whether the length changes with what is filled in.
    is_elastic: bool,
}

/// Which form a denial has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// Alike for one row of the catalogue, the variant, and facts that are a bit each.
    Plain { row: usize, bits: usize },
    /// Beside the cost, alike for limits in this state.
    Limits(LimitsShape),
}

/// The cost, and for each limit which it is, its quota, and where its wait ranks.
pub(super) type LimitsShape = (u64, SmallVec<[(u32, u32, u8); 2]>);

/// How many bits tell plain forms of one row apart: the variant, the kinds that are accepted, and two
/// facts.
const PLAIN_BITS: u32 = VARIANTS.trailing_zeros() + 3 + 2;

/// The forms that are kept.
#[derive(Debug)]
pub(super) struct Forms {
    plain: Box<[OnceLock<Box<Form>>]>,
    limits: DashMap<LimitsShape, Arc<Form>, ahash::RandomState>,
}

impl Forms {
    pub(super) fn new() -> Self {
        let count = CATALOGUE.len() << PLAIN_BITS;
        let plain = std::iter::repeat_with(OnceLock::new).take(count).collect();
        Self { plain, limits: DashMap::default() }
    }

    /// Fills the form of this shape, which `compose` makes when it is first needed.
    pub(super) fn fill(
        &self,
        shape: Shape,
        values: &impl Values,
        compose: impl FnOnce() -> Composed,
    ) -> Response<Body> {
        match shape {
            Shape::Plain { row, bits } => {
                let form = self.plain[row << PLAIN_BITS | bits]
                    .get_or_init(|| Box::new(Form::new(compose(), values)));
                form.fill(values)
            }
            Shape::Limits(shape) => match self.limits.get(&shape).map(|form| form.clone()) {
                Some(form) => form.fill(values),
                None => {
                    let composed = compose();
                    // What was cut might fit next time, when the numbers are shorter.
                    if composed.written.is_cut || self.limits.len() >= MAX_SHAPES {
                        return composed.into_response();
                    }
                    let form = Arc::new(Form::new(composed, values));
                    self.limits.insert(shape, form.clone());
                    form.fill(values)
                }
            },
        }
    }
}

/// What is filled in.
pub(super) trait Values {
    fn instance(&self) -> &str;
    fn number(&self, hole: Hole) -> u64;
    /// The value of a header field, if it changes.
    fn header(&self, name: &HeaderName) -> Option<HeaderValue>;
}

impl Form {
    fn new(composed: Composed, values: &impl Values) -> Self {
        let Composed { status, mut headers, written } = composed;
        headers.insert(CONTENT_LENGTH, value::number(written.bytes.len() as u64));
        let (mut text, mut holes, mut from) = (Vec::new(), Vec::new(), 0);
        for (begin, end, hole) in written.holes {
            text.extend_from_slice(&written.bytes[from..begin]);
            holes.push((text.len(), hole));
            from = end;
        }
        text.extend_from_slice(&written.bytes[from..]);
        let is_elastic = holes.iter().any(|(_, hole)| *hole != Hole::Instance);
        if is_elastic {
            for (name, value) in &mut headers {
                if *name == CONTENT_LENGTH || values.header(name).is_some() {
                    *value = HeaderValue::from_static("");
                }
            }
        }
        Self { status, headers, text: text.into(), holes: holes.into(), is_elastic }
    }

    fn fill(&self, values: &impl Values) -> Response<Body> {
        let width = |(_, hole): &(usize, Hole)| match hole {
            Hole::Instance => values.instance().len(),
            _ => match values.number(*hole) {
                0..10 => 1,
                number => number.ilog10() as usize + 1,
            },
        };
        // To the byte, so that the buffer becomes the body as it is.
        let mut body =
            Vec::with_capacity(self.text.len() + self.holes.iter().map(width).sum::<usize>());
        let mut from = 0;
        for (at, hole) in &self.holes {
            body.extend_from_slice(&self.text[from..*at]);
            from = *at;
            match hole {
                Hole::Instance => body.extend_from_slice(values.instance().as_bytes()),
                _ => match values.number(*hole) {
                    // Lossless: one digit.
                    number @ 0..10 => body.push(b'0' + number as u8),
                    number => body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
                },
            }
        }
        body.extend_from_slice(&self.text[from..]);

        let mut headers = self.headers.clone();
        if self.is_elastic {
            for (name, held) in headers.iter_mut().filter(|(_, held)| held.is_empty()) {
                let length = || value::number(body.len() as u64);
                *held = values.header(name).unwrap_or_else(length);
            }
        }
        respond(self.status, headers, body)
    }
}

impl Composed {
    pub(super) fn into_response(self) -> Response<Body> {
        respond(self.status, self.headers, self.written.bytes)
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
