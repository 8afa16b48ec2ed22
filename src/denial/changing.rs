//! What changes from one denial of a form to the next.

use bytes::{BufMut as _, BytesMut};
use http::HeaderValue;

use super::compose::{as_fragment, should_retry};
use super::document::{Draft, seconds_of};
use super::form::{Field, Values};
use super::rate_limit::{RateLimitWriter, decimal};
use super::written::Hole;

/// What changes from one denial of a form to the next.
pub(super) struct Changing<'d> {
    pub(super) rate_limit: &'d RateLimitWriter,
    pub(super) draft: &'d Draft,
    pub(super) instance: &'d str,
    /// How long to wait, in milliseconds.
    pub(super) wait: Option<u64>,
    /// Whether the form says that the request may be repeated.
    pub(super) is_retryable: bool,
}

impl Values for Changing<'_> {
    fn write(&self, hole: Hole, page: &mut BytesMut) {
        let standing = |index| self.draft.balance().get(index);
        let number = match hole {
            Hole::Instance => return page.put_slice(self.instance.as_bytes()),
            Hole::KeyId => return page.put_slice(self.draft.key_id().as_bytes()),
            Hole::Address => {
                let address = self.draft.address.map(|address| address.to_string());
                return page.put_slice(address.unwrap_or_default().as_bytes());
            }
            Hole::Rule => {
                let name = self.draft.rule.as_deref().map_or("", |rule| &rule.name);
                return page.put_slice(as_fragment(name).as_bytes());
            }
            Hole::RetryAfter => self.wait.map_or(0, seconds_of),
            Hole::Remaining(index) => standing(index).map_or(0, |held| held.remaining.into()),
            Hole::Reset(index) => standing(index).and_then(|held| held.wait.seconds()).unwrap_or(0),
        };
        page.put_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn field(&self, field: Field, length: usize, page: &mut BytesMut) -> HeaderValue {
        match field {
            // A form has these fields where its denials have a wait.
            Field::RetryAfter => decimal(self.wait.map_or(0, seconds_of), page),
            Field::RetryAfterMs => decimal(self.wait.unwrap_or(0), page),
            Field::ShouldRetry => should_retry(self.is_retryable, self.wait),
            Field::Limits(field) => self.rate_limit.field(field, self.draft.balance(), page),
            Field::Length => decimal(length as u64, page),
        }
    }
}
