//! What changes from one denial of a form to the next.

use std::borrow::Cow;

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
    /// Whether the form says that the request may be repeated.
    pub(super) is_retryable: bool,
}

impl Values for Changing<'_> {
    fn instance(&self) -> &str {
        self.instance
    }

    fn number(&self, hole: Hole) -> u64 {
        let standing = |index| self.draft.balance().get(index);
        match hole {
            // Text, which is filled in by itself.
            Hole::Instance | Hole::KeyId | Hole::Address | Hole::Rule => 0,
            Hole::RetryAfter => self.draft.wait().map_or(0, seconds_of),
            Hole::Remaining(index) => standing(index).map_or(0, |held| held.remaining.into()),
            Hole::Reset(index) => standing(index).and_then(|held| held.wait.seconds()).unwrap_or(0),
        }
    }

    fn text(&self, hole: Hole) -> Option<Cow<'_, str>> {
        match hole {
            Hole::KeyId => Some(self.draft.key_id().into()),
            Hole::Address => Some(
                self.draft.address.map(|address| address.to_string()).unwrap_or_default().into(),
            ),
            Hole::Rule => {
                Some(as_fragment(self.draft.rule.as_deref().map_or("", |rule| &rule.name)))
            }
            Hole::Instance | Hole::RetryAfter | Hole::Remaining(_) | Hole::Reset(_) => None,
        }
    }

    fn field(&self, field: Field) -> Option<HeaderValue> {
        let wait = || self.draft.wait();
        match field {
            Field::RetryAfter => wait().map(seconds_of).map(decimal),
            Field::RetryAfterMs => wait().map(decimal),
            Field::ShouldRetry => Some(should_retry(self.is_retryable, wait())),
            Field::Limits(field) => Some(self.rate_limit.field(field, self.draft.balance())),
            // The form knows it.
            Field::Length => None,
        }
    }
}
