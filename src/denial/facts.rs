//! The facts of a denial: what its document says beside what its code says.

use std::borrow::Cow;

use http::HeaderValue;

use super::document::millis_up;
use super::own::Fact;
use super::properties::{Action, Actor};
use crate::scope::Scope;

pub(super) const UNREAD_ADDRESS: &str = "Only certain addresses are allowed here, and the address of this request is not known: the proxy's header could not be read.";

const UNREAD_ADDRESS_REMEDY: &str = "Nothing in the request has to change, unless it sets a header with an address itself: leave that to the proxy. Report it to the provider[ at {support}], and quote `instance`.";

/// What the document of a denial says beside what its code says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// A template in place of the code's own.
    pub(super) detail: Option<&'static str>,
    pub(super) remedy: Option<&'static str>,
    pub(super) retryable: Option<bool>,
    /// In place of the code's own.
    pub(super) action: Option<(Action, Actor)>,
    /// In milliseconds, at least 1.
    pub(super) wait: Option<u64>,
    /// What sentences say though it is no member: it follows from members.
    pub(super) told: Option<(&'static str, u64)>,
    pub(super) members: Vec<(&'static str, Fact)>,
    /// Whether the document lists the credentials that are accepted.
    pub(super) names_accepted: bool,
    /// For `scope` of the challenge, in place of what the rule needs.
    pub(super) challenge_scopes: Option<Vec<Scope>>,
    pub(super) allow: Option<HeaderValue>,
    /// What exactly went wrong, for the log.
    pub(super) cause: Cow<'static, str>,
}

impl Facts {
    pub(super) fn naming_accepted() -> Self {
        Self { names_accepted: true, ..Self::default() }
    }

    pub(super) fn with(mut self, name: &'static str, fact: Fact) -> Self {
        self.members.push((name, fact));
        self
    }

    pub(super) fn text(self, name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.with(name, Fact::text(text))
    }

    pub(super) fn number(self, name: &'static str, number: u64) -> Self {
        self.with(name, Fact::Number(number))
    }

    /// Adds an array, unless it is empty.
    pub(super) fn texts<T: ToString>(
        self,
        name: &'static str,
        texts: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let texts = texts.into_iter();
        if texts.len() == 0 { self } else { self.with(name, Fact::texts(texts)) }
    }

    pub(super) fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    pub(super) fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Says that the client's address is not known, because the proxy's header cannot be read.
    pub(super) fn unread_address(self) -> Self {
        let facts = self.detail(UNREAD_ADDRESS).remedy(UNREAD_ADDRESS_REMEDY);
        facts.because("the header of a trusted proxy could not be read")
    }

    /// How long to wait, in microseconds.
    pub(super) fn wait(mut self, micros: u64) -> Self {
        self.wait = Some(millis_up(micros));
        self
    }

    pub(super) fn action(mut self, action: Action, actor: Actor) -> Self {
        self.action = Some((action, actor));
        self
    }

    pub(super) fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = cause.into();
        self
    }
}
