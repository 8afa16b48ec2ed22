//! Reads what counts the requests of a rule: `limits`, each at its own cost, and `failures`.

use std::num::NonZeroU32;

use toml::Spanned;
use toml::de::DeValue;

use super::limits::LoadedLimit;
use super::rule_context::RuleContext;
use super::rule_faults::RuleFault;
use crate::limit::{KeyPart, Limit, ONE, OnStoreFailure};
use crate::policy::fault::Fault;
use crate::policy::path::parameters;
use crate::policy::rule::RuleLimit;
use crate::policy::section::{At, Section};
use crate::policy::value_fault::ValueFault;
use crate::policy::warning::Warning;

/// More limits for one rule are no policy that anyone can follow.
const MAX_LIMITS_OF_A_RULE: usize = 8;

/// What a rule knows of its callers.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Caller {
    Known,
    /// Nobody is asked for a credential.
    Unknown,
    /// A request may come without a credential.
    PerhapsUnknown,
    /// A request has come without a credential.
    Nobody,
}

/// An item of `limits`.
struct Item<'a> {
    name: At<&'a str>,
    /// Where it states one.
    cost: Option<At<u64>>,
}

/// The limits that `key` lists. One that could not be read counts as used. `cost` is that of the
/// rule, for each limit that states none.
pub(super) fn load_rule_limits(
    section: &Section<'_>,
    key: &'static str,
    context: &RuleContext<'_>,
    caller: Caller,
    cost: Option<&At<u64>>,
    used: &mut [bool],
) -> Vec<RuleLimit> {
    let names: Vec<&str> = context.limits.iter().map(|limit| &*limit.limit.name).collect();
    let mut limits: Vec<RuleLimit> = Vec::new();
    for Item { name, cost: own } in load_items(section, key) {
        let Some(index) = names.iter().position(|known| *known == name.value) else {
            if context.limit_names_known {
                let known = names.iter().map(|name| (*name).to_owned()).collect();
                let unknown = RuleFault::UnknownLimit { limit: name.value.to_owned(), known };
                section.push(Fault::of(&name.place, &unknown));
            }
            continue;
        };
        used[index] = true;
        let LoadedLimit { limit, whole, .. } = &context.limits[index];
        if limits.iter().any(|held| held.limit == index) {
            let twice = RuleFault::LimitUsedTwice { limit: limit.name.clone() };
            section.push(Fault::of(&name.place, &twice));
            continue;
        }
        if !whole {
            continue;
        }
        report_unknown_caller(section, limit, caller, &name);
        report_parameters(section, limit, &name);
        let cost = own.as_ref().or(cost);
        if let Some(cost) = cost {
            report_cost(section, limit, context.nodes, cost);
        }
        let cost = cost.and_then(|cost| u32::try_from(cost.value).ok());
        limits.push(RuleLimit { limit: index, cost: cost.unwrap_or(ONE.get()) });
    }
    if limits.len() > MAX_LIMITS_OF_A_RULE {
        let name = |limit: &RuleLimit| context.limits[limit.limit].limit.name.clone();
        let limits = limits.iter().map(name).collect();
        let too_many = RuleFault::TooManyLimits { most: MAX_LIMITS_OF_A_RULE, limits };
        section.push(Fault::of(&section.key_place(key), &too_many));
    }
    limits
}

/// Names, and tables with a name and a cost.
fn load_items<'a>(section: &Section<'a>, key: &'static str) -> Vec<Item<'a>> {
    let help = format!(
        "write `{key} = [\"per-client\"]`, or `{{ limit = \"points\", cost = 5 }}` for a cost of its own"
    );
    let item = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
        DeValue::String(name) => {
            Some(Item { name: At { value: name, place: section.at_span(item.span()) }, cost: None })
        }
        DeValue::Table(table) => {
            let source = &section.place().source;
            let table =
                Section::new("a limit of a rule", table, source, item.span(), section.faults());
            let name = table.required_text("limit", "name it: `{ limit = \"points\", cost = 5 }`");
            let cost = table.number("cost", 0..1 << 32);
            table.finish();
            Some(Item { name: name?, cost })
        }
        other => {
            let wrong = ValueFault::WrongType {
                key: key.to_owned(),
                expected: "made of strings and tables".to_owned(),
                found: other.type_str(),
                help: help.clone(),
            };
            section.push(Fault::of(&section.at_span(item.span()), &wrong));
            None
        }
    };
    let items = section.items(key, "an array of limits", &help);
    items.unwrap_or_default().iter().filter_map(item).collect()
}

/// A limit that needs to know who calls, where that may not be known. A claim that a request
/// lacks falls back to its address, where requests may come with or without a credential.
fn report_unknown_caller(section: &Section<'_>, limit: &Limit, caller: Caller, name: &At<&str>) {
    let is_per_client = limit.per.contains(&KeyPart::Client);
    let part = if is_per_client { "client" } else { "claim" };
    let needs_principal = limit.needs_principal();
    let limit = limit.name.clone();
    let fault = match caller {
        Caller::Unknown if needs_principal => RuleFault::LimitOfPublicRule { limit, part },
        Caller::PerhapsUnknown if is_per_client => RuleFault::LimitOfRuleWithNone { limit, part },
        Caller::Nobody if is_per_client => RuleFault::LimitOfNobody { limit, part },
        _ => return,
    };
    section.push(Fault::of(&name.place, &fault));
}

/// A limit that counts by a parameter which the rule's path does not have.
fn report_parameters(section: &Section<'_>, limit: &Limit, name: &At<&str>) {
    let Some(path) = section.text("path") else { return };
    for unknown in limit.parameters().filter(|name| !parameters(path.value).any(|p| p == *name)) {
        let fault = RuleFault::LimitOfUnknownParameter {
            limit: limit.name.clone(),
            parameter: unknown.to_owned(),
        };
        section.push(Fault::of(&name.place, &fault));
    }
}

/// A cost that the smallest bucket of a limit never holds.
/// Reports a cost that can never be paid, or not while the store is away.
fn report_cost(section: &Section<'_>, limit: &Limit, nodes: Option<NonZeroU32>, cost: &At<u64>) {
    let tightest = limit.quotas.iter().min_by_key(|plan| plan.quota.burst());
    if let Some(tightest) = tightest
        && cost.value > u64::from(tightest.quota.burst())
    {
        let above = RuleFault::CostAboveBurst {
            cost: cost.value,
            burst: tightest.quota.burst().into(),
            limit: limit.name.clone(),
            plan: tightest.plan.clone(),
        };
        section.push(Fault::of(&cost.place, &above));
    } else if let (Some(tightest), Some(nodes)) = (tightest, nodes)
        && limit.on_store_failure == OnStoreFailure::LocalShare
        && let Ok(share) = tightest.quota.share_of(nodes)
        && cost.value > u64::from(share.burst())
    {
        let (limit, share, nodes) = (limit.name.clone(), share.burst(), nodes.get());
        let above = Warning::CostAboveShare { cost: cost.value, share, nodes, limit };
        section.push(Fault::warning(&cost.place, &above));
    }
}

/// A rule none of whose limits is kept by what was proven of the client alone.
pub(super) fn report_unproven_limits(
    section: &Section<'_>,
    key: &'static str,
    context: &RuleContext<'_>,
    limits: &[RuleLimit],
) {
    let limits: Vec<&Limit> =
        limits.iter().map(|limit| &context.limits[limit.limit].limit).collect();
    let is_chosen = |limit: &&Limit| limit.per.iter().any(is_chosen_by_client);
    if !limits.is_empty() && limits.iter().all(is_chosen) {
        let limits = limits.iter().map(|limit| limit.name.clone()).collect();
        section
            .push(Fault::warning(&section.key_place(key), &Warning::UnprovenLimitKey { limits }));
    }
}

/// Whether a client can have another bucket by sending something else.
fn is_chosen_by_client(part: &KeyPart) -> bool {
    matches!(part, KeyPart::Header(_) | KeyPart::Path(_))
}

/// Reads `failures`: whether an address that failed too often waits at a rule that is public.
pub(super) fn load_waits(section: &Section<'_>, context: &RuleContext<'_>, public: bool) -> bool {
    let waits = section.one_of("failures", &[("ignore", false), ("wait", true)]);
    let place = section.key_place("failures");
    match waits {
        // What holds anyway may be written.
        Some(true) if !public => {
            section.push(Fault::of(&place, &RuleFault::FailuresOfGuardedRule));
            false
        }
        Some(true) if !context.counts_failures => {
            section.push(Fault::warning(&place, &Warning::WaitsForNothing));
            true
        }
        waits => waits.unwrap_or(false),
    }
}
