//! How a policy wants denials to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;

use super::accepted::Accepted;
use super::catalogue::DenialCode;
use super::document::Draft;
use super::known::Known;
use super::rate_limit::RateLimitWriter;
use crate::credential::{CredentialPolicy, Kinds};
use crate::policy::{DenialPolicy, Disclosure, Policy, StatusMode};

/// Whether the handbook is served by the application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served(Arc<AtomicBool>);

impl Served {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a policy wants denials to be written.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) policy: DenialPolicy,
    pub(super) rate_limit: RateLimitWriter,
    pub(super) known: Known,
    /// What comes before the code in `type`.
    pub(super) docs: Box<str>,
    /// Whether the handbook is there too, where `docs` does not say where it is.
    served: Served,
    /// By the kinds that are accepted, in the order of [`Kinds::ALL`].
    accepted: [Accepted; 4],
}

impl Settings {
    pub(super) fn of(policy: &Policy, served: Served) -> Self {
        let rate_limit = RateLimitWriter::new(policy.denial.ratelimit_headers, &policy.limits);
        let known = Known::of(policy);
        Self::with(policy.denial.clone(), rate_limit, known, &policy.credential, served)
    }

    /// As a policy without `[denial]` says.
    pub(super) fn without_gate() -> Self {
        let policy = DenialPolicy::default();
        let rate_limit = RateLimitWriter::new(policy.ratelimit_headers, &[]);
        let (credentials, served) = Default::default();
        Self::with(policy, rate_limit, Known::nothing(), &credentials, served)
    }

    fn with(
        policy: DenialPolicy,
        rate_limit: RateLimitWriter,
        known: Known,
        credentials: &CredentialPolicy,
        served: Served,
    ) -> Self {
        let docs = format!("{}/", policy.docs.as_deref().unwrap_or("/errors")).into();
        let accepted = Kinds::ALL.map(|kinds| Accepted::of(kinds, credentials, &policy.realm));
        Self { policy, rate_limit, known, docs, served, accepted }
    }

    pub(super) fn is_minimal(&self) -> bool {
        self.policy.disclosure == Disclosure::Minimal
    }

    /// The rule whose entry in the handbook helps with a denial.
    pub(super) fn help<'d>(&self, draft: &'d Draft, code: &DenialCode) -> Option<&'d str> {
        let is_there = self.policy.docs.is_some() || self.served.get();
        let is_told = is_there && !self.is_minimal() && code.code != "method_not_allowed";
        let rule = draft.rule.as_ref().filter(|rule| is_told && rule.listed)?;
        Some(&rule.name)
    }

    /// The mode of the rule that refused; where none covers the request, the policy's.
    pub(super) fn mode(&self, draft: &Draft) -> StatusMode {
        draft.rule.as_ref().map_or(self.policy.status, |rule| rule.status_mode(&self.policy))
    }

    /// The status of a denial that is shown with this code.
    pub(super) fn status(&self, draft: &Draft, code: &DenialCode) -> StatusCode {
        // A code that was not registered was not checked either.
        StatusCode::from_u16(code.status_in(self.mode(draft)))
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::FORBIDDEN)
    }

    /// What is said about the credentials of these kinds.
    pub(super) fn accepted(&self, kinds: Kinds) -> &Accepted {
        &self.accepted[kinds as usize]
    }
}
