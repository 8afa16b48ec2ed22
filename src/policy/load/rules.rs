//! Reads `[[rule]]`, and checks rules against limits, keys and each other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use http::Method;

use super::checks::{check_name, check_unique, check_word, parse_cidr, parse_scope};
use super::claims::{Braces, load_claims};
use super::keys::Keys;
use super::limits::LoadedLimit;
use crate::claims::ClaimMatch;
use crate::limit::{KeyPart, ONE};
use crate::policy::fault::{Fault, Place, list, nearest, suggest};
use crate::policy::path::{check_path, normal};
use crate::policy::rule::{Access, Demands, Mode, Rule};
use crate::policy::rule_table::{RuleTable, USUAL_METHODS};
use crate::policy::section::{At, Section};

/// What rules are checked against.
pub(super) struct RuleContext<'a> {
    pub(super) limits: &'a [LoadedLimit],
    pub(super) keys: &'a Keys,
    pub(super) takes_keys: bool,
    pub(super) takes_tokens: bool,
    /// The scopes that keys grant.
    pub(super) granted: BTreeSet<&'a str>,
    /// Whether all keys could be read; otherwise it is not known what they grant.
    pub(super) keys_whole: bool,
    /// Whether all limits could be read.
    pub(super) limits_whole: bool,
    /// Whether the names of all limits could be read.
    pub(super) limit_names_known: bool,
}

/// More limits for one rule are no policy that anyone can follow.
const MAX_LIMITS_OF_A_RULE: usize = 8;

pub(super) fn load_rules(
    sections: Vec<Section<'_>>,
    context: &RuleContext<'_>,
    root: &Section<'_>,
) -> RuleTable {
    let mut names = HashSet::new();
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    let mut used = vec![false; context.limits.len()];
    let before = root.faults().count();
    if sections.is_empty() && !root.holds("rule") {
        root.push(
            Fault::doubt(root.place(), "the policy has no rules")
                .label("every request will be denied")
                .with_help("add a [[rule]] for each path that may be called"),
        );
    }
    for section in sections {
        let place = section.place().clone();
        if let Some((rule, path)) = load_rule(section, context, &mut names, &mut used) {
            rules.push(rule);
            places.push(path.unwrap_or(place));
        }
    }
    let whole = context.limits_whole && root.faults().count() == before;
    let unused = context.limits.iter().zip(&used).filter(|(_, used)| whole && !**used);
    for (limit, _) in unused {
        root.push(
            Fault::doubt(&limit.place, format!("no rule uses the limit `{}`", limit.limit.name))
                .label("counts nothing")
                .with_help(format!("add it to a rule: `limits = [\"{}\"]`", limit.limit.name)),
        );
    }
    let table = RuleTable::new(rules, &places, root.faults());
    report_covered(&table, &places, root);
    table
}

/// A rule without methods, beside rules that take all the usual ones on its path.
fn report_covered(table: &RuleTable, places: &[Place], root: &Section<'_>) {
    let mut named: HashMap<String, Vec<&Method>> = HashMap::new();
    for rule in table.iter() {
        named.entry(normal(&rule.path)).or_default().extend(&rule.methods);
    }
    for (rule, place) in table.iter().zip(places).filter(|(rule, _)| rule.methods.is_empty()) {
        let named = named.get(&normal(&rule.path)).map_or(&[][..], Vec::as_slice);
        let is_taken = |method: &Method| {
            named.contains(&method) || (*method == Method::HEAD && named.contains(&&Method::GET))
        };
        if USUAL_METHODS.iter().all(is_taken) {
            root.push(
                Fault::doubt(place, format!("the rule `{}` is shadowed", rule.name))
                    .label("other rules take every usual method on this path")
                    .with_help("remove it, or leave some methods to it"),
            );
        }
    }
}

/// Reads one rule; with it the place of its path.
fn load_rule(
    section: Section<'_>,
    context: &RuleContext<'_>,
    names: &mut HashSet<String>,
    used: &mut [bool],
) -> Option<(Rule, Option<Place>)> {
    let name = section
        .required_text("name", "name the rule: `name = \"read-orders\"`")
        .and_then(|_| section.parse("name", "name", check_name));
    if let Some(name) = &name {
        check_unique(section.faults(), names, name, "rules");
    }
    let path = section
        .required_text("path", "say which path it covers: `path = \"/orders/{id}\"`")
        .and_then(|_| {
            section.parse("path", "path pattern", |text| check_path(text).map(|()| text.to_owned()))
        });
    let methods = load_methods(&section);
    let public = section.flag("public").unwrap_or(false);
    let demands = load_demands(&section, context, public);
    let addresses = section.list("addresses", "range of addresses", parse_cidr).unwrap_or_default();
    let cost = section.number("cost", 1..1 << 32);
    let limits = load_rule_limits(&section, context, public, cost.as_ref(), used);
    let mode = section.one_of("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]);
    if mode == Some(Mode::Shadow) {
        section.push(
            Fault::doubt(&section.key_place("mode"), "the rule denies nobody")
                .label("decides and logs, and lets every request pass")
                .with_help("set `mode = \"enforce\"` when the log shows that it decides as meant"),
        );
    }
    let listed = section.flag("listed").unwrap_or(true);
    section.finish();

    let needs_address = !addresses.is_empty()
        || limits.iter().any(|limit| context.limits[*limit].limit.needs_address());
    let path = path?;
    let cost = cost.and_then(|cost| u32::try_from(cost.value).ok()).and_then(NonZeroU32::new);
    let rule = Rule {
        name: name?.value.into(),
        methods: methods?,
        path: path.value.into(),
        access: if public { Access::Public } else { Access::Guarded(demands) },
        addresses: addresses.into_iter().map(|range| range.value).collect(),
        limits,
        cost: cost.unwrap_or(ONE),
        mode: mode.unwrap_or(Mode::Enforce),
        listed,
        needs_address,
    };
    Some((rule, Some(path.place)))
}

/// The methods; empty for all of them. `None` where they are faulty.
fn load_methods(section: &Section<'_>) -> Option<Vec<Method>> {
    let known = USUAL_METHODS.each_ref().map(Method::as_str);
    if !section.has("methods") {
        return Some(Vec::new());
    }
    let written = section.texts("methods")?.len();
    let methods = section.list("methods", "method of a rule", |text| {
        let usual = known.iter().find(|method| method.eq_ignore_ascii_case(text));
        if matches!(text, "CONNECT" | "TRACE") {
            return Err(format!("{text} is never admitted"));
        }
        match (usual, text.parse::<Method>()) {
            (Some(usual), _) if *usual != text => {
                Err(format!("methods are written in capitals: did you mean `{usual}`?"))
            }
            (None, Ok(_))
                if !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') =>
            {
                Err(suggest(text, "the usual methods are", known))
            }
            (_, Ok(method)) => Ok(method),
            (_, Err(_)) => Err(suggest(text, "the usual methods are", known)),
        }
    })?;
    if written == 0 {
        section.push(
            Fault::at(&section.key_place("methods"), "the rule can never match")
                .label("covers no method")
                .with_help("leave `methods` out to cover all of them"),
        );
        return None;
    }
    let whole = methods.len() == written;
    for odd in methods.iter().filter(|method| !known.contains(&method.value.as_str())) {
        section.push(
            Fault::doubt(&odd.place, format!("the method `{}` is unusual", odd.value))
                .label("is none of the usual methods")
                .with_help(suggest(odd.value.as_str(), "the usual methods are", known)),
        );
    }
    let mut methods: Vec<Method> = methods.into_iter().map(|method| method.value).collect();
    let mut seen = Vec::new();
    methods.retain(|method| {
        let is_new = !seen.contains(method);
        seen.push(method.clone());
        is_new
    });
    whole.then_some(methods)
}

fn load_demands(section: &Section<'_>, context: &RuleContext<'_>, public: bool) -> Demands {
    if public {
        for name in ["scopes", "any_scopes", "roles", "claims"] {
            if section.has(name) && !section.is_empty(name) {
                section.push(
                    Fault::at(
                        &section.key_place(name),
                        format!("a public rule cannot ask for `{name}`"),
                    )
                    .label("needs to know who calls")
                    .with_help(format!("remove `public = true`, or remove `{name}`")),
                );
            }
        }
    }
    let mut demands = Demands { api_key: true, token: true, ..Demands::default() };
    let kinds = section.list("credentials", "kind of credential", |text| match text {
        "api_key" => Ok(true),
        "token" => Ok(false),
        _ => Err(suggest(text, "the kinds are", ["api_key", "token"])),
    });
    if let Some(kinds) = &kinds {
        demands.api_key = kinds.iter().any(|kind| kind.value);
        demands.token = kinds.iter().any(|kind| !kind.value);
        check_kinds(section, context, public, &demands);
    } else if !public && !context.takes_keys && !context.takes_tokens {
        section.push(
            Fault::doubt(section.place(), "the rule admits nobody")
                .label("no API key and no issuer is configured")
                .with_help("add [api_keys] or an [[issuer]], or write `public = true`"),
        );
    }
    let keys_only = !demands.token || !context.takes_tokens;
    let has_no_key =
        context.takes_keys && context.keys_whole && context.keys.table.iter().next().is_none();
    if !public && keys_only && has_no_key {
        section.push(
            Fault::doubt(section.place(), "the rule admits nobody yet")
                .label("there is no API key")
                .with_help("`tollgate key new` makes one"),
        );
    }
    let scopes = section.list("scopes", "scope", parse_scope).unwrap_or_default();
    let any_scopes = section.list("any_scopes", "scope", parse_scope).unwrap_or_default();
    if !public {
        report_ungranted(section, context, &demands, scopes.iter(), any_scopes.iter());
    }
    demands.scopes = scopes.into_iter().map(|scope| scope.value).collect();
    demands.any_scopes = any_scopes.into_iter().map(|scope| scope.value).collect();
    let roles = section.list("roles", "role", check_word).unwrap_or_default();
    demands.roles = roles.into_iter().map(|role| role.value.into()).collect();
    if let Some(claims) = section.section("claims", "claims") {
        demands.claims = load_claims(&claims, Braces::Parameters);
        report_parameters(section, &demands.claims);
        if !demands.claims.is_empty() && !public && (!demands.token || !context.takes_tokens) {
            section.push(
                Fault::doubt(&section.key_place("claims"), "the rule admits nobody")
                    .label("only tokens have claims, and none are accepted here")
                    .with_help("use `roles`, which keys have too, or accept tokens"),
            );
        }
    }
    demands
}

/// Claims that are bound to parameters of the path: they must be there.
fn report_parameters(section: &Section<'_>, claims: &[ClaimMatch]) {
    let path = section.text("path").map_or("", |path| path.value);
    let holds = |name: &str| {
        path.contains(&format!("{{{name}}}")) || path.contains(&format!("{{*{name}}}"))
    };
    for name in claims.iter().flat_map(ClaimMatch::parameters) {
        let shown = name.escape_debug();
        let (message, label, help) = if holds(name) {
            (
                "claims by parameters of the path are not in this release".to_owned(),
                "cannot be checked yet",
                "compare the claim in the handler, which has both",
            )
        } else {
            (
                format!("the path has no parameter `{shown}`"),
                "names no parameter of the path",
                "a brace itself is written `\\{`",
            )
        };
        let place = section.key_place("claims");
        section.push(Fault::at(&place, message).label(label).with_help(help));
    }
}

fn check_kinds(section: &Section<'_>, context: &RuleContext<'_>, public: bool, demands: &Demands) {
    let place = section.key_place("credentials");
    if public {
        section.push(
            Fault::doubt(&place, "`credentials` has no effect on a public rule")
                .label("is never looked at")
                .with_help("remove it, or remove `public = true`"),
        );
        return;
    }
    let (message, help) = match (demands.api_key, demands.token) {
        (false, false) if section.is_empty("credentials") => (
            "the rule admits nobody: it accepts no kind of credential",
            "leave `credentials` out to accept keys and tokens",
        ),
        (false, true) if !context.takes_tokens => (
            "the rule accepts tokens only, and no issuer is configured",
            "declare an [[issuer]], or accept `api_key`",
        ),
        (true, false) if !context.takes_keys => (
            "the rule accepts API keys only, and none are configured",
            "add [api_keys] with a key (`tollgate key new` makes one), or accept `token`",
        ),
        _ => return,
    };
    section.push(Fault::at(&place, message).label("can never be met").with_help(help));
}

/// A scope that no key has, where nothing but keys can grant it.
fn report_ungranted<'s>(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    demands: &Demands,
    all: impl Iterator<Item = &'s At<crate::scope::Scope>>,
    any: impl Iterator<Item = &'s At<crate::scope::Scope>>,
) {
    if (demands.token && context.takes_tokens) || !context.keys_whole {
        return;
    }
    let granted = &context.granted;
    for scope in all.chain(any).filter(|scope| !granted.contains(scope.value.as_str())) {
        section.push(
            Fault::doubt(&scope.place, format!("no key grants the scope `{}`", scope.value))
                .label("is granted to nobody")
                .with_help(suggest(
                    scope.value.as_str(),
                    "the scopes of keys are",
                    granted.iter().copied(),
                )),
        );
    }
}

fn unknown_limit(name: &At<&str>, names: &[&str]) -> Fault {
    let help = match nearest(name.value, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? limits are declared with [[limit]]"),
        None if names.is_empty() => "declare it with [[limit]]".into(),
        None => format!("the limits are {}; declare others with [[limit]]", list(names)),
    };
    Fault::at(&name.place, format!("unknown limit `{}`", name.value.escape_debug()))
        .label("no limit has this name")
        .with_help(help)
}

/// The limits of a rule, by index. A limit that could not be read counts as used.
fn load_rule_limits(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    public: bool,
    cost: Option<&At<u64>>,
    used: &mut [bool],
) -> Vec<usize> {
    let names: Vec<&str> = context.limits.iter().map(|limit| &*limit.limit.name).collect();
    let mut limits = Vec::new();
    for name in section.texts("limits").unwrap_or_default() {
        let Some(index) = names.iter().position(|known| *known == name.value) else {
            if context.limit_names_known {
                section.push(unknown_limit(&name, &names));
            }
            continue;
        };
        used[index] = true;
        let LoadedLimit { limit, whole, .. } = &context.limits[index];
        if limits.contains(&index) {
            section.push(
                Fault::at(&name.place, format!("the limit `{}` stands twice", limit.name))
                    .label("is taken already")
                    .with_help("name it once; `cost` says how many tokens a request takes"),
            );
            continue;
        }
        if !whole {
            continue;
        }
        if public && limit.needs_principal() {
            let part = if limit.per.contains(&KeyPart::Client) { "client" } else { "claim" };
            section.push(
                Fault::at(
                    &name.place,
                    format!("the limit `{}` is per {part}, and the rule is public", limit.name),
                )
                .label("needs to know who calls")
                .with_help("limit public rules `per = [\"address\"]`"),
            );
        }
        let tightest = limit.quotas.iter().min_by_key(|plan| plan.quota.burst());
        if let (Some(cost), Some(tightest)) = (cost, tightest)
            && cost.value > u64::from(tightest.quota.burst())
        {
            let plan = tightest
                .plan
                .as_deref()
                .map_or(String::new(), |plan| format!(" for the plan `{plan}`"));
            section.push(
                Fault::at(
                    &cost.place,
                    format!(
                        "the cost of {} is above the burst of `{}`{plan}",
                        cost.value, limit.name
                    ),
                )
                .label(format!("is above {}", tightest.quota.burst()))
                .with_help(
                    "such a request would be refused for ever: lower `cost`, or raise `burst`",
                ),
            );
        }
        limits.push(index);
    }
    if limits.len() > MAX_LIMITS_OF_A_RULE {
        section.push(
            Fault::at(
                &section.key_place("limits"),
                format!("a rule has at most {MAX_LIMITS_OF_A_RULE} limits"),
            )
            .label("are too many")
            .with_help(format!("drop some of {}", list(&names))),
        );
    }
    limits
}
