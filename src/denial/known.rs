//! What denials say about the policy, read from it when it is loaded.

use std::sync::Arc;

use super::document::{Draft, Reason};
use crate::credential::{CredentialPolicy, KeyFormat, Kinds};
use crate::limit::{Balance, Charge, Limit, Wait};
use crate::policy::{Demands, Policy};
use crate::principal::CredentialKind;
use crate::scope::{Scope, ScopeHierarchy};
use crate::verify::Issuer;

/// What denials say about the policy. It is read from the policy when that is loaded.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) credential: CredentialPolicy,
    pub(super) format: KeyFormat,
    pub(super) issuers: Vec<Arc<Issuer>>,
    /// How large tokens may be.
    pub(super) max_bytes: usize,
    /// Whether API keys are configured.
    takes_keys: bool,
    /// For each limit, whether it counts by address.
    by_address: Box<[bool]>,
    /// Which scopes imply others.
    hierarchy: Arc<ScopeHierarchy>,
    /// By limit of the policy: the names of those that clients are not told of.
    unpublished: Vec<Option<Arc<str>>>,
}

impl Known {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            credential: policy.credential.clone(),
            format: policy.keys.format().clone(),
            issuers: policy.issuers.iter().cloned().collect(),
            max_bytes: policy.tokens.max_bytes,
            takes_keys: policy.takes_keys,
            by_address: policy.limits.iter().map(Limit::needs_address).collect(),
            hierarchy: policy.hierarchy.clone(),
            unpublished: policy.limits.iter().map(unpublished).collect(),
        }
    }

    /// What is known where no gate sees a denial.
    pub(super) fn nothing() -> Self {
        Self {
            credential: CredentialPolicy::default(),
            format: KeyFormat::Any,
            issuers: Vec::new(),
            max_bytes: 0,
            takes_keys: false,
            by_address: Box::default(),
            hierarchy: Arc::default(),
            unpublished: Vec::new(),
        }
    }

    /// The kinds of credential that are accepted where this was denied; `None` where no rule says so,
    /// and none could be proven. Where a rule asks for no credential, the handler has asked for any.
    pub(super) fn accepted(&self, draft: &Draft) -> Option<Kinds> {
        if let Reason::OtherKind { wanted } = draft.reason {
            return Some(match wanted {
                CredentialKind::ApiKey => Kinds::ApiKey,
                CredentialKind::Token => Kinds::Token,
                CredentialKind::Both => Kinds::Both,
            });
        }
        let demands = draft.rule.as_deref()?.demands();
        let kinds = demands.map_or(Kinds::Either, |demands| demands.kinds);
        let provable = kinds.among(self.takes_keys, !self.issuers.is_empty());
        // Where nothing is configured that could be accepted: what would be.
        provable.or(demands.map(|demands| demands.kinds))
    }

    /// The least that is enough of these: all that are required, and one of those of which one is.
    pub(super) fn least<'s>(
        &'s self,
        required: &'s [Scope],
        any: &'s [Scope],
    ) -> impl Iterator<Item = &'s Scope> {
        required.iter().chain(self.hierarchy.least(any))
    }

    /// The scopes that a token for this rule should have, each once: the least that is enough for
    /// what every caller needs, and for the first table of `any` with scopes.
    pub(super) fn needed_scopes(&self, demands: &Demands) -> Vec<Scope> {
        let table = demands.any.iter().find(|needs| needs.has_scopes());
        let needs = std::iter::once(&demands.needs).chain(table);
        each_once(needs.flat_map(|needs| self.least(&needs.scopes, &needs.any_scopes)))
    }

    /// Whether a limit that is short, and that clients are told of, counts by address.
    pub(super) fn is_by_address(&self, balance: &Balance) -> bool {
        let is_by_address = |limit: u32| self.by_address.get(limit as usize) == Some(&true);
        balance.iter().any(|(charge, standing)| {
            standing.wait != Wait::None
                && is_by_address(charge.limit)
                && self.hidden(charge).is_none()
        })
    }

    /// The name of the limit, where clients are not told of it.
    pub(super) fn hidden(&self, charge: &Charge) -> Option<&Arc<str>> {
        self.unpublished.get(charge.limit as usize)?.as_ref()
    }
}

/// These scopes in their order, each once.
pub(super) fn each_once<'s>(scopes: impl Iterator<Item = &'s Scope>) -> Vec<Scope> {
    let mut once: Vec<Scope> = Vec::new();
    for scope in scopes {
        if !once.contains(scope) {
            once.push(scope.clone());
        }
    }
    once
}

/// The name of a limit that clients are not told of.
fn unpublished(limit: &Limit) -> Option<Arc<str>> {
    (!limit.published).then(|| limit.name.clone())
}
