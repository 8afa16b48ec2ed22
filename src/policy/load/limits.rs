//! Reads `[[limit]]`.

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use super::checks::{check_name, check_unique, load_max_buckets, load_quota, parse_cidr};
use super::headers::parse_header;
use super::store::LoadedStore;
use crate::claims::ClaimPath;
use crate::limit::{KeyPart, Limit, OnStoreFailure, PlanQuota};
use crate::policy::fault::Fault;
use crate::policy::place::Place;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::suggest::suggest;
use crate::policy::warning::Warning;

/// A limit and its place.
pub(super) struct LoadedLimit {
    pub(super) limit: Limit,
    pub(super) place: Place,
    /// Its plans, each where it is written.
    pub(super) plans: Vec<At<Arc<str>>>,
    /// The ranges that are not counted, each where it is written.
    pub(super) exempt: Vec<At<IpNet>>,
    /// Whether it could be read; one that could not still has a name to refer to.
    pub(super) whole: bool,
}

/// Those whose buckets are kept in `store`.
pub(super) fn load_limits(sections: Vec<Section<'_>>, store: &LoadedStore) -> Vec<LoadedLimit> {
    let mut names = HashSet::new();
    sections.into_iter().filter_map(|section| load_limit(section, store, &mut names)).collect()
}

fn load_limit(
    section: Section<'_>,
    store: &LoadedStore,
    names: &mut HashSet<String>,
) -> Option<LoadedLimit> {
    let name = section
        .required_text("name", "name the limit: `name = \"per-client\"`")
        .and_then(|_| section.parse("name", "name", check_name));
    if let Some(name) = &name {
        check_unique(section.faults(), names, name, "limits");
    }
    let rate = section.required_text("rate", "say how fast it refills: `rate = \"100/minute\"`");
    section.knows(&["burst"]);
    let quota = rate.as_ref().and_then(|rate| load_quota(&section, rate.value, None));
    let mut quotas = Vec::new();
    if let (Some(rate), Some(quota)) = (&rate, quota) {
        quotas.push(PlanQuota { plan: None, rate: rate.value.into(), quota });
    }
    let per = load_per(&section);
    let (mut named, mut plans_whole) = (Vec::new(), true);
    if let Some(plans) = section.section("plans", "plans.<name> = { rate = \"...\", burst = ... }")
    {
        for (plan, value) in plans.entries() {
            named.push(At { value: plan.value.into(), place: plan.place.clone() });
            match load_plan(&section, &plan, value) {
                Some(plan) => quotas.push(plan),
                None => plans_whole = false,
            }
        }
    }
    let max_buckets = load_max_buckets(&section).unwrap_or(store.max_buckets);
    let on_store_failure = load_sharing(&section, store, &quotas);
    let exempt = section.list("exempt", "range of addresses", parse_cidr).unwrap_or_default();
    let published = section.flag("published").unwrap_or(true);
    let unit = load_unit(&section);
    let place = name.as_ref().map_or_else(|| section.place().clone(), |name| name.place.clone());
    section.finish();
    let name = name?;
    let whole = quota.is_some() && per.is_some() && plans_whole;
    let mut limit = Limit::new(name.value.into(), per.unwrap_or_default(), quotas, max_buckets);
    limit.exempt = exempt.iter().map(|range| range.value).collect();
    limit.published = published;
    limit.on_store_failure = on_store_failure;
    if let Some(unit) = unit {
        limit.unit = unit;
    }
    Some(LoadedLimit { limit, place, plans: named, exempt, whole })
}

fn load_plan(
    limit: &Section<'_>,
    plan: &At<&str>,
    value: &Spanned<DeValue<'_>>,
) -> Option<PlanQuota> {
    const FORM: &str = "write `plans.partner = { rate = \"1000/minute\", burst = 2000 }`";
    if let Err(help) = check_name(plan.value) {
        limit.push(Fault::of(&plan.place, &LimitFault::InvalidPlanName { help }));
    }
    let Some(table) = value.get_ref().as_table() else {
        let not_a_table = LimitFault::PlanNotATable { plan: plan.value.to_owned(), form: FORM };
        limit.push(Fault::of(&limit.at_span(value.span()), &not_a_table));
        return None;
    };
    let source = &plan.place.source;
    let section = Section::new("a plan", table, source, plan.place.span.clone(), limit.faults());
    let rate = section.required_text("rate", FORM);
    section.knows(&["burst"]);
    let quota = rate.as_ref().and_then(|rate| load_quota(&section, rate.value, None));
    section.finish();
    Some(PlanQuota { plan: Some(plan.value.into()), rate: rate?.value.into(), quota: quota? })
}

/// What the tokens of a limit are. A limit on requests under way at once would be another thing than
/// a bucket.
fn load_unit(section: &Section<'_>) -> Option<Box<str>> {
    let unit = section.parse("unit", "unit", check_name)?;
    if unit.value == "concurrent-requests" {
        section.push(Fault::of(&unit.place, &LimitFault::ConcurrentRequests));
    }
    Some(unit.value.into())
}

/// The keys that say how a limit is shared.
const SHARING: [&str; 3] = ["consistency", "overshoot", "on_store_failure"];

/// What happens to the limit while the store cannot be asked.
fn load_sharing(
    section: &Section<'_>,
    store: &LoadedStore,
    quotas: &[PlanQuota],
) -> OnStoreFailure {
    section.knows(&SHARING);
    if !store.is_shared {
        for name in SHARING.into_iter().filter(|name| section.has(name)) {
            let alone = LimitFault::SharingInMemory { name };
            section.push(Fault::of(&section.key_place(name), &alone));
        }
        return OnStoreFailure::default();
    }
    let is_leased = section.one_of("consistency", &[("strict", false), ("leased", true)]);
    if is_leased == Some(true) {
        let place = section.key_place("consistency");
        section.push(Fault::of(&place, &LimitFault::LeasedNotInRelease));
    } else if section.has("overshoot") {
        let place = section.key_place("overshoot");
        section.push(Fault::of(&place, &LimitFault::OvershootOfStrict));
    }
    let words = [
        ("local_share", OnStoreFailure::LocalShare),
        ("closed", OnStoreFailure::Closed),
        ("open", OnStoreFailure::Open),
    ];
    let on_failure = section.one_of("on_store_failure", &words).unwrap_or_default();
    match on_failure {
        OnStoreFailure::Closed => {}
        OnStoreFailure::Open => {
            let place = section.key_place("on_store_failure");
            section.push(Fault::warning(&place, &Warning::OpenOnStoreFailure));
        }
        OnStoreFailure::LocalShare => {
            let nodes = store.nodes;
            let inexact = quotas.iter().find(|quota| quota.quota.share_of(nodes).is_err());
            if let Some(quota) = inexact {
                let (rate, nodes) = (quota.rate.clone(), nodes.get());
                let place = section.key_place(if quota.plan.is_some() { "plans" } else { "rate" });
                section.push(Fault::of(&place, &LimitFault::InexactShare { rate, nodes }));
            }
        }
    }
    on_failure
}

fn load_per(section: &Section<'_>) -> Option<Vec<KeyPart>> {
    const PARTS: [&str; 7] = [
        "client",
        "address",
        "rule",
        "global",
        "claim:<name>",
        "header:<name>",
        "path:<parameter>",
    ];
    section.require("per", "say who has a bucket of its own: `per = [\"client\"]`");
    let written = section.texts("per")?.len();
    let per = section.list("per", "part of a bucket's key", |text| match text {
        "client" => Ok(KeyPart::Client),
        "address" => Ok(KeyPart::Address),
        "rule" => Ok(KeyPart::Rule),
        "global" => Ok(KeyPart::Global),
        _ => match text.split_once(':') {
            Some(("claim", name)) if !name.is_empty() => ClaimPath::parse(name).map(KeyPart::Claim),
            Some(("header", name)) => parse_header(name).map(KeyPart::Header),
            Some(("path", name)) if !name.is_empty() => Ok(KeyPart::Path(name.into())),
            _ => Err(suggest(text, "the parts are", PARTS)),
        },
    })?;
    if written == 0 {
        section.push(Fault::of(&section.key_place("per"), &LimitFault::EmptyPer));
        return None;
    }
    let parts: Vec<KeyPart> = per.into_iter().map(|part| part.value).collect();
    (parts.len() == written).then_some(parts)
}

problems! {
    /// What may be wrong with a [[limit]].
    enum LimitFault: Fault {
        /// A plan under a name that it cannot have.
        InvalidPlanName { help: String } => {
            message: "the name of the plan is not valid",
            label: "is not a valid name",
            help: "{help}",
        }
        /// A plan that is, say, a rate alone.
        PlanNotATable { plan: String, form: &'static str } => {
            message: ("the plan `{}` is not a table", plan.escape_debug()),
            label: "is not a table",
            help: "{form}",
        }
        /// A unit that promises another kind of limit.
        ConcurrentRequests => {
            message: "requests under way at once are not counted",
            label: "is not what a token of this limit is",
            help: "leave `unit` out, or name what a token stands for: `unit = \"content-bytes\"`",
        }
        /// A setting of shared buckets while buckets are in memory.
        SharingInMemory { name: &'static str } => {
            message: "`{name}` has no effect on buckets in memory",
            label: "belongs to a shared store",
            help: "share the buckets, [store] `kind = \"redis\"`, or remove it",
        }
        /// `consistency = "leased"`.
        LeasedNotInRelease => {
            message: "leased limits are not in this release",
            label: "cannot be used yet",
            help: "use `consistency = \"strict\"`, the default: each decision asks the store once",
        }
        /// `overshoot` without leases.
        OvershootOfStrict => {
            message: "`overshoot` has no effect on a strict limit",
            label: "belongs to `consistency = \"leased\"`",
            help: "remove it: a strict limit has no overshoot while the store answers",
        }
        /// A share of a quota, which is slower by the number of processes, beyond exact range.
        InexactShare { rate: Box<str>, nodes: u32 } => {
            message: "the share of one process in `{rate}` cannot be counted exactly",
            label: "is too slow to be divided by {nodes}",
            help: "lower `nodes` in [store], choose a shorter period, or write `on_store_failure = \"closed\"`",
        }
        /// `per = []`.
        EmptyPer => {
            message: "`per` is empty",
            label: "names no bucket",
            help: "for one bucket that all share write `per = [\"global\"]`",
        }
    }
}
