//! Callers that are known and lack what the rule asks for.

use crate::claims::Mismatch;
use crate::denial::document::Draft;
use crate::denial::facts::Facts;
use crate::denial::known::{Known, each_once};
use crate::denial::own::Fact;
use crate::denial::properties::{Action, Actor};
use crate::denial::written::Hole;
use crate::policy::{Refusal, Rule, ScopeGap};
use crate::principal::CredentialKind;

/// What the caller lacks.
pub(super) fn refused_permit(known: &Known, refusal: &Refusal, draft: &Draft) -> Facts {
    let ranges = || draft.rule.as_deref().map_or(&[][..], |rule| &rule.addresses);
    match refusal {
        Refusal::AddressUnknown => address_unknown(),
        Refusal::Address(address) => Facts::default()
            .text("address", address.to_string())
            .texts("allowed_addresses", ranges()),
        Refusal::AddressUnread => {
            Facts::default().unread_address().texts("allowed_addresses", ranges())
        }
        Refusal::Scope(gap) => insufficient_scope(known, gap, draft),
        Refusal::Role(roles) => {
            let facts = Facts::default().texts("required_roles", roles.iter());
            match draft.kind {
                None => facts,
                Some(CredentialKind::ApiKey) => facts.remedy(
                    "Have one of these roles given to the key: {required_roles}. Ask its owner[, or {support}].",
                ),
                Some(_) => facts.remedy(
                    "Have one of these roles given to the caller: {required_roles}. Then get a new token.",
                ),
            }
        }
        Refusal::Claim { claim, mismatch } => {
            let (detail, remedy) = about_mismatch(*mismatch);
            let facts = Facts::default().detail(detail).remedy(remedy);
            facts.text("claim", claim.to_string()).text("mismatch", mismatch.as_str())
        }
        Refusal::Any(refusal) => {
            refused_permit(known, refusal, draft).because("none of the tables in `any` is met")
        }
    }
}

/// The rule cannot be decided without the client's address.
pub(super) fn address_unknown() -> Facts {
    Facts::default().because(
        "the rule needs the client's address, and the server does not know it: serve the app with \
         `into_make_service_with_connect_info::<SocketAddr>()`",
    )
}
/// Both the rule and the extractor [`Scoped`](crate::Scoped) refuse with this.
fn insufficient_scope(known: &Known, gap: &ScopeGap, draft: &Draft) -> Facts {
    let missing: Vec<_> = gap.missing().collect();
    let is_key = draft.kind == Some(CredentialKind::ApiKey);
    let mut facts = Facts::default();
    if is_key {
        let id = Fact::Changing(Hole::KeyId, draft.key_id().to_owned());
        facts = facts.with("key_id", id).action(Action::Ask, Actor::Owner);
    }
    let (detail, remedy) = about_scopes(missing.len(), gap.lacks_any, is_key);
    facts = facts
        .detail(detail)
        .remedy(remedy)
        .texts("required_scopes", gap.required.iter())
        .texts("missing_scopes", missing)
        .texts("any_scopes", gap.any.iter());
    if let Some(principal) = &draft.principal {
        let granted: Vec<_> = principal.scopes().iter().collect();
        facts = facts.texts("granted_scopes", granted);
    }
    let mut needed = Vec::new();
    if !is_key {
        // A token that lacked what the rule asks for would not get as far as the extractor.
        let demands = draft.rule.as_deref().and_then(Rule::demands);
        let of_rule = demands.map(|demands| known.needed_scopes(demands)).unwrap_or_default();
        needed = each_once(of_rule.iter().chain(known.least(&gap.required, &gap.any)));
    }
    facts.challenge_scopes = Some(needed);
    facts
}

/// What the caller lacks, of so many scopes of which all are needed and of those of which one is;
/// and the remedy.
fn about_scopes(missing: usize, lacks_any: bool, is_key: bool) -> (&'static str, &'static str) {
    match (missing, lacks_any, is_key) {
        (0, _, false) => (
            "The token has none of the scopes of which one is needed here.",
            "Get a token that has one of these scopes as well: {any_scopes}. Then repeat the request with it.",
        ),
        (1, false, false) => (
            "The token lacks a scope that is needed here.",
            "Get a token that has the scope {missing_scopes} as well, then repeat the request with it.",
        ),
        (_, false, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has all of these scopes as well: {missing_scopes}. Then repeat the request with it.",
        ),
        (1, true, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has the scope {missing_scopes} as well, and one of {any_scopes}. Then repeat the request with it.",
        ),
        (_, true, false) => (
            "The token lacks scopes that are needed here.",
            "Get a token that has all of {missing_scopes} as well, and one of {any_scopes}. Then repeat the request with it.",
        ),
        (0, _, true) => (
            "The API key {key_id} has none of the scopes of which one is needed here.",
            "Have one of these scopes added to the key: {any_scopes}. Ask its owner[, or {support}].",
        ),
        (1, false, true) => (
            "The API key {key_id} lacks a scope that is needed here.",
            "Have the scope {missing_scopes} added to the key: ask its owner[, or {support}].",
        ),
        (_, false, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have all of these scopes added to the key: {missing_scopes}. Ask its owner[, or {support}].",
        ),
        (1, true, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have the scope {missing_scopes} added to the key, and one of {any_scopes}: ask its owner[, or {support}].",
        ),
        (_, true, true) => (
            "The API key {key_id} lacks scopes that are needed here.",
            "Have all of {missing_scopes} added to the key, and one of {any_scopes}: ask its owner[, or {support}].",
        ),
    }
}

/// In which way a claim does not match, and the remedy.
fn about_mismatch(mismatch: Mismatch) -> (&'static str, &'static str) {
    match mismatch {
        Mismatch::Absent => (
            "The token has no claim {claim}, and a certain value of it is needed here.",
            "Use an account whose tokens carry it with that value: ask the provider for the value[ at {support}], and have the issuer add the claim.",
        ),
        Mismatch::Different => (
            "The claim {claim} of the token has another value than is needed here.",
            "Use an account whose tokens carry the value that is needed: ask the provider which one that is[, at {support}].",
        ),
        Mismatch::ApiKey => (
            "A certain value of the claim {claim} is needed here, and API keys have no claims.",
            "Send a token that carries the claim in place of the key: ask the provider for the value[ at {support}].",
        ),
    }
}
