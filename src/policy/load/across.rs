//! Warnings that need more than one table.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::keys::Keys;
use super::limits::LoadedLimit;
use crate::address::{AddressPolicy, AddressSource};
use crate::limit::KeyPart;
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::Place;
use crate::policy::rule::Rule;
use crate::policy::rule_table::RuleTable;
use crate::policy::section::{At, Section};
use crate::policy::warning::{PlanHolder, Warning};
use crate::policy::{DenialPolicy, StatusMode};
use crate::verify::Issuers;

/// Warns of plans that only keys or only limits name, and no issuer may grant.
pub(super) fn warn_of_plans(
    limits: &[LoadedLimit],
    keys: &Keys,
    issuers: &Issuers,
    faults: &Faults,
) {
    let by_issuer = |plan: &str| issuers.iter().any(|issuer| issuer.may_grant_plan(plan));
    let of_keys: BTreeSet<_> = keys.plans.iter().map(|plan| plan.name.clone()).collect();
    let of_limits: BTreeSet<_> =
        limits.iter().flat_map(|limit| &limit.plans).map(|plan| plan.value.clone()).collect();
    let warn = |plan: &Arc<str>, place: &Place, holder, known: &BTreeSet<Arc<str>>, others| {
        let known = known.iter().cloned().collect();
        let unknown = Warning::UnknownPlan {
            plan: plan.clone(),
            holder,
            known,
            issuers: !issuers.is_empty(),
            others,
        };
        faults.push(Fault::warning(place, &unknown));
    };
    // Where no limit names a plan at all, plans are for the handlers.
    if !of_limits.is_empty() {
        for plan in keys.plans.iter().filter(|plan| !of_limits.contains(&plan.name)) {
            for (at, others) in plan.uses.iter() {
                warn(&plan.name, &at.place, PlanHolder::Key, &of_limits, others);
            }
        }
    }
    let plans = limits.iter().flat_map(|limit| &limit.plans);
    for plan in plans.filter(|plan| !of_keys.contains(&plan.value) && !by_issuer(&plan.value)) {
        warn(&plan.value, &plan.place, PlanHolder::Limit, &of_keys, 0);
    }
}

/// Warns where no rule that takes tokens answers with the status that clients of OAuth look for
/// (RFC 6750 section 3.1). A rule that does shows that the others are meant.
pub(super) fn warn_of_uniform_status(root: &Section<'_>, denial: &DenialPolicy, rules: &RuleTable) {
    let mut for_tokens = rules.iter().filter(|rule| rule.takes_tokens()).peekable();
    let is_uniform = |rule: &Arc<Rule>| rule.status_mode(denial) == StatusMode::Uniform;
    if for_tokens.peek().is_none() || !for_tokens.all(is_uniform) {
        return;
    }
    let place = match root.section("denial", "[denial]") {
        Some(section) if section.has("status") => section.key_place("status"),
        Some(section) => section.place().clone(),
        None => {
            let issuers = root.sections("issuer", "[[issuer]]");
            issuers.first().unwrap_or(root).place().clone()
        }
    };
    root.push(Fault::warning(&place, &Warning::UniformStatusForTokens));
}

/// Warns of limits per address where all clients have the address of a proxy, and of limits that
/// exempt one.
pub(super) fn warn_of_proxies(address: &AddressPolicy, limits: &[LoadedLimit], faults: &Faults) {
    for LoadedLimit { limit, exempt, .. } in limits {
        let holds_proxy = |range: &&At<IpNet>| {
            let overlaps =
                |proxy: &IpNet| range.value.contains(proxy) || proxy.contains(&range.value);
            address.trusted.iter().any(overlaps)
        };
        for range in exempt.iter().filter(holds_proxy) {
            let shown = range.value.to_string();
            let proxy = Warning::ExemptProxy { limit: limit.name.clone(), range: shown };
            faults.push(Fault::warning(&range.place, &proxy));
        }
    }
    let believes = address.source != AddressSource::Peer;
    // A trusted proxy is in front though the peer's own address counts, or nobody is trusted
    // to send the header that counts.
    if believes != address.trusted.is_empty() {
        return;
    }
    for limit in limits.iter().filter(|limit| limit.limit.per.contains(&KeyPart::Address)) {
        let per_proxy = Warning::LimitPerProxy { limit: limit.limit.name.clone(), believes };
        faults.push(Fault::warning(&limit.place, &per_proxy));
    }
}
