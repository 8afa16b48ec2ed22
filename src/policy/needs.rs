//! What a caller must hold: scopes, roles, claims, and one of several alternatives.

use std::sync::Arc;

use super::refusal::{Refusal, ScopeGap};
use crate::claims::{ClaimMatch, Mismatch, Parameters};
use crate::principal::{CredentialKind, Principal};
use crate::scope::Scope;

/// Scopes, roles and claims that a caller needs together.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// All of these.
    pub(crate) scopes: Arc<[Scope]>,
    /// At least one of these; empty where none is needed.
    pub(crate) any_scopes: Arc<[Scope]>,
    /// At least one of these; empty where none is needed.
    pub(crate) roles: Arc<[Box<str>]>,
    /// Claims of the token, all of them, with their values.
    pub(crate) claims: Vec<ClaimMatch>,
}

impl Needs {
    /// Whether nothing is needed, so that every caller has enough.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_scopes() && self.roles.is_empty() && self.claims.is_empty()
    }

    pub(crate) fn has_scopes(&self) -> bool {
        !self.scopes.is_empty() || !self.any_scopes.is_empty()
    }

    /// Scopes, then roles, then claims: the first that is not met is the answer.
    #[inline]
    pub(super) fn check(
        &self,
        principal: &Principal,
        parameter: &Parameters<'_>,
    ) -> Result<(), Refusal> {
        let holds = |scope: &Scope| principal.scopes().contains(scope.as_str());
        if let Some(gap) = ScopeGap::of(&self.scopes, &self.any_scopes, holds) {
            return Err(Refusal::Scope(gap));
        }
        if !self.roles.is_empty()
            && !principal.roles().any(|held| self.roles.iter().any(|role| **role == *held))
        {
            return Err(Refusal::Role(self.roles.clone()));
        }
        if self.claims.is_empty() { Ok(()) } else { self.check_claims(principal, parameter) }
    }

    fn check_claims(
        &self,
        principal: &Principal,
        parameter: &Parameters<'_>,
    ) -> Result<(), Refusal> {
        for demand in &self.claims {
            let met = principal.claims().ok_or(Mismatch::ApiKey);
            met.and_then(|claims| demand.check_with(claims, parameter)).map_err(|mismatch| {
                Refusal::Claim { claim: demand.claim.name().clone(), mismatch }
            })?;
        }
        Ok(())
    }
}

/// Whether the caller has enough for one of the `alternatives`, or there are none.
///
/// Otherwise the answer is that of the first alternative; for a token, which can be renewed with
/// more scopes, that of the first one with scopes.
pub(super) fn check_any(
    alternatives: &[Needs],
    principal: &Principal,
    parameter: &Parameters<'_>,
) -> Result<(), Refusal> {
    let has_token = principal.credential() != CredentialKind::ApiKey;
    let with_scopes = alternatives.iter().position(Needs::has_scopes).filter(|_| has_token);
    let told = with_scopes.unwrap_or(0);
    let mut answer = Ok(());
    for (at, needs) in alternatives.iter().enumerate() {
        match needs.check(principal, parameter) {
            Ok(()) => return Ok(()),
            Err(refusal) if at == told => answer = Err(Refusal::Any(Box::new(refusal))),
            Err(_) => {}
        }
    }
    answer
}
