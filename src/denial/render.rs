//! Writes a denial: by the form of its kind, or member by member.

use axum::body::Body;
use http::{Response, StatusCode};
use uuid::fmt::Urn;

use super::accepted::Accepted;
use super::catalogue::{Code, DenialCode};
use super::cause::explain;
use super::changing::Changing;
use super::compose::Document;
use super::document::{Denial, Draft, seconds_of};
use super::facts::Facts;
use super::form::{FormKey, Forms};
use super::json::Json;
use super::media::Media;
use super::properties::{Action, Actor};
use super::rate_limit::RateLimitWriter;
use super::registry::Registry;
use super::response::Composed;
use super::settings::{Served, Settings};
use super::shape::Shape;
use super::written::Written;
use crate::policy::{Disclosure, Policy};

/// Writes denials as a policy says.
#[derive(Debug)]
pub(crate) struct Renderer {
    settings: Settings,
    pub(crate) registry: Registry,
    forms: Forms,
}

impl Renderer {
    pub(crate) fn new(policy: &Policy, registry: Registry, served: Served) -> Self {
        Self { settings: Settings::of(policy, served), registry, forms: Forms::default() }
    }

    /// For denials that no gate sees: as a policy without `[denial]` says.
    pub(crate) fn without_gate() -> Self {
        let (registry, forms) = Default::default();
        Self { settings: Settings::without_gate(), registry, forms }
    }

    /// Writes the headers that say how the limits stand.
    pub(crate) fn rate_limit(&self) -> &RateLimitWriter {
        &self.settings.rate_limit
    }

    /// Writes a denial out. One with a code that the policy does not declare is `decision_failed`.
    pub(crate) fn render(&self, draft: &Draft, media: Media) -> Response<Body> {
        let Some(code) = self.code(draft) else {
            return self.write(&draft.unregistered(), Code::DecisionFailed.row(), media);
        };
        self.write(draft, code, media)
    }

    /// The code of a denial; `None` where the policy does not declare it.
    pub(crate) fn code<'s>(&'s self, draft: &Draft) -> Option<&'s DenialCode> {
        match draft.reason.row() {
            Ok(row) => Some(row),
            Err(name) => self.registry.find(name),
        }
    }

    /// The code that a client sees for this denial, at the policy's disclosure.
    pub(crate) fn shown(&self, draft: &Draft) -> &DenialCode {
        let code = self.code(draft).unwrap_or(Code::DecisionFailed.row());
        if self.settings.is_minimal() { code.group() } else { code }
    }

    fn write(&self, draft: &Draft, code: &DenialCode, media: Media) -> Response<Body> {
        if media == Media::Document
            && let Some(response) = self.fill(draft, code)
        {
            return response;
        }
        let composed = self.compose(draft, code);
        match media {
            Media::Document => composed.into_response(),
            media => composed.in_media(media).into_response(),
        }
    }

    /// The response by the form that others of its kind have; `None` where it has none.
    pub(super) fn fill(&self, draft: &Draft, code: &DenialCode) -> Option<Response<Body>> {
        if self.settings.policy.disclosure == Disclosure::Detailed {
            return None;
        }
        let minimal = self.settings.is_minimal().then_some(code.group);
        let shape = Shape::of(draft, &self.settings.known, minimal)?;
        let compose = |sample: &Denial| {
            let code = self.code(sample.draft()).unwrap_or(code);
            self.compose(sample.draft(), code)
        };
        let (helps, mode) = (self.settings.help(draft, code).is_some(), self.settings.mode(draft));
        let key = FormKey { shape, helps, mode };
        let form = self.forms.get(key, draft.rule.as_ref(), &self.settings.known, compose)?;
        let mut buffer = [0; Urn::LENGTH];
        let instance = draft.instance.urn().encode_lower(&mut buffer);
        let (is_retryable, rate_limit) = (form.is_retryable(), self.rate_limit());
        let wait = draft.wait();
        Some(form.fill(&Changing { rate_limit, draft, instance, wait, is_retryable }))
    }

    /// Writes the document member by member.
    pub(super) fn compose(&self, draft: &Draft, code: &DenialCode) -> Composed {
        let minimal = self.settings.is_minimal();
        let shown = if minimal { code.group() } else { code };
        let mut facts = explain(&self.settings.known, draft);
        // Why it was denied with this code is the gate's to say; what a handler adds comes first.
        facts.wait = draft.own.wait.or(facts.wait);
        if draft.own.wait.is_some() {
            facts.retryable = Some(true);
            facts.action = Some((Action::Wait, Actor::Client));
        }
        facts.members.extend(draft.own.members.iter().cloned());
        if minimal {
            // A wait would tell an address that fails from one that is merely unknown.
            let wait = facts.wait.filter(|_| shown.retryable);
            facts = Facts { wait, ..Facts::default() };
        }
        let mut buffer = [0; Urn::LENGTH];
        let instance: &str = draft.instance.urn().encode_lower(&mut buffer);
        let accepted = self.accepted(draft);
        let status = self.settings.status(draft, shown);
        let document = Document {
            settings: &self.settings,
            draft,
            facts,
            shown,
            accepted,
            status,
            instance,
            minimal,
        };
        document.compose()
    }

    #[cfg(test)]
    pub(super) fn forms_kept(&self) -> usize {
        self.forms.len()
    }

    /// What is said about the credentials that are accepted, where one is asked for.
    fn accepted(&self, draft: &Draft) -> Option<&Accepted> {
        self.settings.known.accepted(draft).map(|kinds| self.settings.accepted(kinds))
    }

    /// What the log says of a denial beside its code: `detail`, the members as JSON, and the cause.
    pub(crate) fn evidence(&self, draft: &Draft) -> Evidence {
        let code = self.code(draft).unwrap_or(Code::DecisionFailed.row());
        let mut facts = explain(&self.settings.known, draft);
        facts.members.extend(draft.own.members.iter().cloned());
        let cause = match facts.cause.is_empty() {
            true => draft.own.cause.clone().into_owned(),
            false => std::mem::take(&mut facts.cause).into_owned(),
        };
        let accepted = self.accepted(draft);
        let document = Document {
            settings: &self.settings,
            draft,
            facts,
            shown: code,
            accepted,
            status: StatusCode::FORBIDDEN,
            instance: "",
            minimal: false,
        };
        let mut members = Json::open();
        if let Some(seconds) = document.facts.wait.map(seconds_of) {
            members.raw("retry_after", itoa::Buffer::new().format(seconds));
        }
        for (name, fact) in &document.facts.members {
            members.fact(name, |json| document.write(fact, json));
        }
        let mut detail = Json::open();
        document.write_detail(&mut detail);
        let text = |written: Written| String::from_utf8(written.bytes).unwrap_or_default();
        let detail = serde_json::from_str::<serde_json::Value>(&text(detail.close()));
        let detail = detail.ok().and_then(|detail| Some(detail["detail"].as_str()?.to_owned()));
        Evidence { detail: detail.unwrap_or_default(), members: text(members.close()), cause }
    }
}

/// What the log says of a denial beside its code.
pub(crate) struct Evidence {
    pub(crate) detail: String,
    /// The members of this code, as JSON.
    pub(crate) members: String,
    pub(crate) cause: String,
}

#[cfg(test)]
mod tests;
