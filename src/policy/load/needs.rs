//! Reads what a rule asks of its callers: scopes, roles and claims, and the alternatives of `any`.

use std::sync::Arc;

use super::checks::{check_word, parse_scope};
use super::claims::{Braces, load_claims};
use super::rule_context::RuleContext;
use super::rule_faults::RuleFault;
use crate::claims::{ClaimMatch, ClaimPath};
use crate::credential::Kinds;
use crate::policy::fault::Fault;
use crate::policy::needs::Needs;
use crate::policy::path::parameters;
use crate::policy::section::{At, Section};
use crate::policy::suggest::suggest;
use crate::policy::warning::Warning;
use crate::scope::Scope;
use crate::verify::{Issuer, Issuers};

/// Of whom a rule asks something.
pub(super) struct Asked<'c> {
    pub(super) context: &'c RuleContext<'c>,
    /// Nobody is asked for anything.
    pub(super) public: bool,
    /// The kinds of credentials that the rule accepts.
    pub(super) kinds: Kinds,
    /// The names of the issuers whose tokens it accepts; any when empty.
    pub(super) issuers: &'c [Arc<str>],
    /// The path of the rule, where it has one.
    pub(super) path: &'c str,
}

/// Reads `scopes`, `any_scopes`, `roles` and `claims` of a rule, or of a table in its `any`.
pub(super) fn load_needs(section: &Section<'_>, asked: &Asked<'_>) -> Needs {
    let scopes = section.list("scopes", "scope", parse_scope).unwrap_or_default();
    let any_scopes = section.list("any_scopes", "scope", parse_scope).unwrap_or_default();
    let roles = section.list("roles", "role", check_word).unwrap_or_default();
    if !asked.public {
        asked.report_ungranted(section, scopes.iter().chain(&any_scopes));
        asked.report_unknown_roles(section, &roles);
    }
    let claims = section.section("claims", "claims");
    let claims = claims.map(|claims| load_claims(&claims, Braces::Parameters)).unwrap_or_default();
    asked.report_parameters(section, &claims);
    asked.report_unbounded(section, &claims);
    Needs {
        scopes: scopes.into_iter().map(|scope| scope.value).collect(),
        any_scopes: any_scopes.into_iter().map(|scope| scope.value).collect(),
        roles: roles.into_iter().map(|role| role.value.into()).collect(),
        claims,
    }
}

/// Reads the tables of `any`. One that asks for nothing would let everybody in.
pub(super) fn load_any(section: &Section<'_>, asked: &Asked<'_>) -> Vec<Needs> {
    let mut any = Vec::new();
    for table in section.sections("any", "`any`") {
        let before = table.faults().count();
        let needs = load_needs(&table, asked);
        let (place, faults) = (table.place().clone(), table.faults());
        table.finish();
        // What could not be read is a fault already.
        if needs.is_empty() && faults.count() == before {
            faults.push(Fault::of(&place, &RuleFault::EmptyAlternative));
        }
        any.push(needs);
    }
    any
}

impl Asked<'_> {
    fn takes_tokens(&self) -> bool {
        self.kinds.has_tokens() && self.context.takes_tokens
    }

    /// Whether what a key may do counts: beside a token, it says only which application calls.
    fn keys_count(&self) -> bool {
        self.kinds != Kinds::Both && self.kinds != Kinds::Token
    }

    /// The issuers whose tokens are accepted.
    fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        let is_accepted =
            |issuer: &&Arc<Issuer>| self.issuers.is_empty() || self.issuers.contains(&issuer.name);
        self.context.issuers.iter().filter(move |issuer| self.takes_tokens() && is_accepted(issuer))
    }

    /// Whether it is known what keys and issuers grant. That a rule accepts neither is a fault.
    fn knows_grants(&self) -> bool {
        (self.keys_count() || self.takes_tokens())
            && (!self.keys_count() || self.context.keys_whole)
            && (!self.takes_tokens() || self.context.issuers_whole)
    }

    /// Scopes that nobody can have.
    fn report_ungranted<'s>(
        &self,
        section: &Section<'_>,
        scopes: impl Iterator<Item = &'s At<Scope>>,
    ) {
        let granted = &self.context.granted;
        let by_key = |scope: &Scope| self.keys_count() && granted.contains(scope.as_str());
        let by_issuer = |scope: &Scope| self.issuers().any(|issuer| issuer.may_grant_scope(scope));
        let is_known = self.knows_grants();
        for scope in scopes.filter(|scope| is_known && !by_key(&scope.value)) {
            if by_issuer(&scope.value) {
                continue;
            }
            let unused = Warning::UnusedScope {
                scope: scope.value.to_string(),
                granted: granted.iter().map(|scope| (*scope).to_owned()).collect(),
                keys: self.keys_count(),
                issuers: self.takes_tokens(),
            };
            section.push(Fault::warning(&scope.place, &unused));
        }
    }

    /// Roles that nobody can have.
    fn report_unknown_roles(&self, section: &Section<'_>, roles: &[At<String>]) {
        let granted = &self.context.granted_roles;
        let by_key = |role: &str| self.keys_count() && granted.contains(role);
        let by_issuer = |role: &str| self.issuers().any(|issuer| issuer.may_grant_role(role));
        let is_known = self.knows_grants() && (self.context.takes_keys || self.takes_tokens());
        for role in roles.iter().filter(|role| is_known && !by_key(&role.value)) {
            if by_issuer(&role.value) {
                continue;
            }
            let unknown = Warning::UnknownRole {
                role: role.value.clone(),
                granted: granted.iter().map(|role| (*role).to_owned()).collect(),
                keys: self.keys_count(),
                issuers: self.takes_tokens(),
            };
            section.push(Fault::warning(&role.place, &unknown));
        }
    }

    /// Claims that an issuer says its scopes, roles or plans by, where it may not grant all of them:
    /// compared as claims, they are what its tokens say.
    fn report_unbounded(&self, section: &Section<'_>, claims: &[ClaimMatch]) {
        let grants = |issuer: &Issuer, claim: &ClaimPath| {
            [&issuer.scope_claim, &issuer.roles_claim, &issuer.plan_claim]
                .into_iter()
                .any(|names| names.iter().any(|path| overlap(path, claim)))
        };
        for claim in claims.iter().map(|demand| &demand.claim).filter(|_| !self.public) {
            let mut bounded = self.issuers().filter(|issuer| issuer.may_grant.is_some());
            if let Some(issuer) = bounded.find(|issuer| grants(issuer, claim)) {
                let (claim, issuer) = (claim.as_str().to_owned(), issuer.name.clone());
                let unbounded = Warning::ClaimBesideMayGrant { claim, issuer };
                section.push(Fault::warning(&section.key_place("claims"), &unbounded));
            }
        }
    }

    /// Claims that are bound to parameters of the path: they must be there.
    fn report_parameters(&self, section: &Section<'_>, claims: &[ClaimMatch]) {
        let holds = |name: &str| parameters(self.path).any(|held| held == name);
        for name in claims.iter().flat_map(ClaimMatch::parameters).filter(|name| !holds(name)) {
            let unknown = RuleFault::NoSuchParameter { name: name.to_owned() };
            section.push(Fault::of(&section.key_place("claims"), &unknown));
        }
    }
}

/// Whether one of the places is the other, or lies within it.
fn overlap(one: &ClaimPath, other: &ClaimPath) -> bool {
    one.steps().zip(other.steps()).all(|(one, other)| one == other)
}

/// Reads `issuers` of a rule: names of issuers that exist.
pub(super) fn load_rule_issuers(section: &Section<'_>, context: &RuleContext<'_>) -> Vec<Arc<str>> {
    let known: Vec<&Arc<str>> = context.issuers.iter().map(|issuer| &issuer.name).collect();
    let mut issuers = Vec::new();
    for name in section.texts("issuers").unwrap_or_default() {
        match known.iter().find(|known| ****known == *name.value) {
            Some(known) => issuers.push((*known).clone()),
            None if context.issuers_whole => {
                let unknown = unknown_issuer(name.value, context.issuers);
                section.push(Fault::of(&name.place, &unknown));
            }
            None => {}
        }
    }
    issuers
}

/// An issuer of this name is not declared.
pub(super) fn unknown_issuer(name: &str, issuers: &Issuers) -> RuleFault {
    let known = issuers.iter().map(|known| &*known.name);
    let help = match issuers.is_empty() {
        true => "declare it with [[issuer]]".into(),
        false => suggest(name, "the issuers are", known),
    };
    RuleFault::UnknownIssuer { issuer: name.to_owned(), help }
}
