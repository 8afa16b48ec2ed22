//! Reads `[[rule]]`, and checks rules against limits, keys and each other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use http::Method;

use super::checks::{check_name, check_unique, check_word, parse_cidr, parse_scope};
use super::claims::{Braces, load_claims};
use super::keys::Keys;
use super::limits::LoadedLimit;
use super::paths::report_paths;
use super::rule_faults::RuleFault;
use crate::claims::ClaimMatch;
use crate::credential::Kinds;
use crate::limit::{KeyPart, Limit, ONE};
use crate::policy::fault::{Fault, Place, suggest};
use crate::policy::path::{check_path, normal};
use crate::policy::rule::{Access, Anonymous, Demands, Mode, Rule};
use crate::policy::rule_table::{RuleTable, USUAL_METHODS};
use crate::policy::section::{At, Section};
use crate::policy::warning::Warning;

/// What rules are checked against.
pub(super) struct RuleContext<'a> {
    pub(super) limits: &'a [LoadedLimit],
    pub(super) keys: &'a Keys,
    pub(super) takes_keys: bool,
    pub(super) takes_tokens: bool,
    /// The scopes that keys grant.
    pub(super) granted: BTreeSet<&'a str>,
    /// The roles that keys grant.
    pub(super) granted_roles: BTreeSet<&'a str>,
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
    if sections.is_empty() && !root.holds("rule") && !root.misspells("rule") {
        root.push(Fault::warning(root.place(), &Warning::NoRules));
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
        let unused = Warning::UnusedLimit { limit: limit.limit.name.clone() };
        root.push(Fault::warning(&limit.place, &unused));
    }
    let table = RuleTable::new(rules, &places, root.faults());
    report_covered(&table, &places, root);
    report_paths(&table, &places, root);
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
            let shadowed = Warning::ShadowedRule { rule: rule.name.clone() };
            root.push(Fault::warning(place, &shadowed));
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
    let caller = match demands.anonymous {
        _ if public => Caller::Unknown,
        // Requests without a credential have limits of their own.
        Anonymous::Admitted if section.holds("anonymous_limits") => Caller::Known,
        Anonymous::Admitted => Caller::PerhapsUnknown,
        Anonymous::Refused => Caller::Known,
    };
    let limits = load_rule_limits(&section, context, caller, cost.as_ref(), used);
    report_unproven_limits(&section, context, &limits);
    let mode = section.one_of("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]);
    if mode == Some(Mode::Shadow) {
        section.push(Fault::warning(&section.key_place("mode"), &Warning::ShadowMode));
    }
    let listed = section.flag("listed").unwrap_or(true);
    let encoded_slashes = section.flag("encoded_slashes").unwrap_or(true);
    section.finish();

    let needs_address = !addresses.is_empty()
        || limits.iter().any(|limit| context.limits[*limit].limit.needs_address());
    let claims = demands.claims.iter();
    let path_parameters = claims.flat_map(ClaimMatch::parameters).map(Into::into).collect();
    let path = path?;
    let cost = cost.and_then(|cost| u32::try_from(cost.value).ok()).and_then(NonZeroU32::new);
    let rule = Rule {
        index: 0,
        counters: Default::default(),
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
        encoded_slashes,
        path_parameters,
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
    let methods = section.list("methods", "method", |text| {
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
        section.push(Fault::of(&section.key_place("methods"), &RuleFault::NoMethod));
        return None;
    }
    let whole = methods.len() == written;
    for odd in methods.iter().filter(|method| !known.contains(&method.value.as_str())) {
        let usual = USUAL_METHODS.iter().map(|method| method.as_str().to_owned()).collect();
        let unusual = Warning::UnusualMethod { method: odd.value.to_string(), usual };
        section.push(Fault::warning(&odd.place, &unusual));
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
                let demand = RuleFault::DemandOfPublicRule { key: name };
                section.push(Fault::of(&section.key_place(name), &demand));
            }
        }
    }
    let mut demands = Demands::default();
    if section.has("credentials") {
        load_kinds(section, context, public, &mut demands);
    } else if !public && !context.takes_keys && !context.takes_tokens {
        section.push(Fault::warning(section.place(), &Warning::AdmitsNobody));
    }
    let takes_tokens = demands.kinds.has_tokens() && context.takes_tokens;
    let needs_keys = !takes_tokens || demands.kinds == Kinds::Both;
    let has_no_key = context.takes_keys && context.keys_whole && context.keys.table.is_empty();
    let admits_anybody = public || demands.anonymous == Anonymous::Admitted;
    if !admits_anybody && needs_keys && has_no_key {
        section.push(Fault::warning(section.place(), &Warning::NoApiKey));
    }
    let scopes = section.list("scopes", "scope", parse_scope).unwrap_or_default();
    let any_scopes = section.list("any_scopes", "scope", parse_scope).unwrap_or_default();
    if !public {
        report_ungranted(section, context, &demands, scopes.iter(), any_scopes.iter());
    }
    demands.scopes = scopes.into_iter().map(|scope| scope.value).collect();
    demands.any_scopes = any_scopes.into_iter().map(|scope| scope.value).collect();
    let roles = section.list("roles", "role", check_word).unwrap_or_default();
    if !public && context.takes_keys {
        report_unknown_roles(section, context, &demands, &roles);
    }
    demands.roles = roles.into_iter().map(|role| role.value.into()).collect();
    if let Some(claims) = section.section("claims", "claims") {
        demands.claims = load_claims(&claims, Braces::Parameters);
        report_parameters(section, &demands.claims);
        if !demands.claims.is_empty() && !public && !takes_tokens {
            section
                .push(Fault::warning(&section.key_place("claims"), &Warning::ClaimsWithoutTokens));
        }
    }
    if demands.anonymous == Anonymous::Admitted {
        refuse_demands_beside_none(section);
    }
    demands
}

/// Claims that are bound to parameters of the path: they must be there.
fn report_parameters(section: &Section<'_>, claims: &[ClaimMatch]) {
    let path = section.text("path").map_or("", |path| path.value);
    let holds = |name: &str| {
        path.contains(&format!("{{{name}}}")) || path.contains(&format!("{{*{name}}}"))
    };
    for name in claims.iter().flat_map(ClaimMatch::parameters).filter(|name| !holds(name)) {
        let shown = name.escape_debug();
        section.push(
            Fault::at(&section.key_place("claims"), format!("the path has no parameter `{shown}`"))
                .label("names no parameter of the path")
                .with_help("a brace itself is written `\\{`"),
        );
    }
}

/// Whoever leaves the credential out would get in without what the rule asks for.
fn refuse_demands_beside_none(section: &Section<'_>) {
    for name in ["scopes", "any_scopes", "roles", "claims", "any"] {
        if section.holds(name) && !section.is_empty(name) {
            section
                .push(Fault::of(&section.key_place(name), &RuleFault::DemandBesideNone { name }));
        }
    }
}

/// Reads `credentials`: `api_key`, `token` and `none` in any combination, or `both` alone.
fn load_kinds(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    public: bool,
    demands: &mut Demands,
) {
    const WORDS: [&str; 4] = ["api_key", "token", "none", "both"];
    let word = |text: &str| match WORDS.iter().find(|word| **word == text) {
        Some(word) => Ok(*word),
        None => Err(suggest(text, "the kinds are", WORDS)),
    };
    let Some(words) = section.list("credentials", "kind of credential", word) else { return };
    let has = |word: &str| words.iter().any(|held| held.value == word);
    let (keys, tokens) = (has("api_key"), has("token"));
    if has("none") {
        demands.anonymous = Anonymous::Admitted;
    }
    demands.kinds = match (has("both"), keys, tokens) {
        (true, _, _) => Kinds::Both,
        (_, true, false) => Kinds::ApiKey,
        (_, false, true) => Kinds::Token,
        _ => Kinds::Either,
    };
    let place = section.key_place("credentials");
    if public {
        section.push(Fault::warning(&place, &Warning::CredentialsOnPublicRule));
        return;
    }
    let both = has("both");
    let kinds_left = words.len() == section.texts("credentials").map_or(0, |texts| texts.len());
    let fault = match demands.kinds {
        _ if section.is_empty("credentials") => RuleFault::NoCredentials,
        _ if both && words.iter().any(|held| held.value != "both") => RuleFault::BothBesideOthers,
        _ if has("none") && !keys && !tokens && kinds_left => RuleFault::NoneAlone,
        Kinds::Both if !context.takes_tokens => RuleFault::BothWithoutIssuer,
        Kinds::Both if !context.takes_keys => RuleFault::BothWithoutTable,
        Kinds::Token if !context.takes_tokens => RuleFault::TokensWithoutIssuer,
        Kinds::ApiKey if !context.takes_keys => RuleFault::KeysWithoutTable,
        _ => return,
    };
    section.push(Fault::of(&place, &fault));
}

/// A scope that no key has, where nothing but keys can grant it.
fn report_ungranted<'s>(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    demands: &Demands,
    all: impl Iterator<Item = &'s At<crate::scope::Scope>>,
    any: impl Iterator<Item = &'s At<crate::scope::Scope>>,
) {
    if (demands.kinds.has_tokens() && context.takes_tokens) || !context.keys_whole {
        return;
    }
    let granted = &context.granted;
    for scope in all.chain(any).filter(|scope| !granted.contains(scope.value.as_str())) {
        let unused = Warning::UnusedScope {
            scope: scope.value.to_string(),
            granted: granted.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        section.push(Fault::warning(&scope.place, &unused));
    }
}

/// A role that no key has, where nothing but keys can have it.
fn report_unknown_roles(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    demands: &Demands,
    roles: &[At<String>],
) {
    if (demands.kinds.has_tokens() && context.takes_tokens) || !context.keys_whole {
        return;
    }
    let granted = &context.granted_roles;
    for role in roles.iter().filter(|role| !granted.contains(role.value.as_str())) {
        let unknown = Warning::UnknownRole {
            role: role.value.clone(),
            granted: granted.iter().map(|role| (*role).to_owned()).collect(),
        };
        section.push(Fault::warning(&role.place, &unknown));
    }
}

/// A rule none of whose limits is kept by what was proven of the client alone.
fn report_unproven_limits(section: &Section<'_>, context: &RuleContext<'_>, limits: &[usize]) {
    let limits: Vec<&Limit> = limits.iter().map(|limit| &context.limits[*limit].limit).collect();
    let is_chosen = |limit: &&Limit| limit.per.iter().any(is_chosen_by_client);
    if !limits.is_empty() && limits.iter().all(is_chosen) {
        let limits = limits.iter().map(|limit| limit.name.clone()).collect();
        section.push(Fault::warning(
            &section.key_place("limits"),
            &Warning::UnprovenLimitKey { limits },
        ));
    }
}

/// Whether a client can have another bucket by sending something else.
fn is_chosen_by_client(part: &KeyPart) -> bool {
    matches!(part, KeyPart::Header(_))
}

/// What a rule knows of its callers.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Caller {
    Known,
    /// Nobody is asked for a credential.
    Unknown,
    /// A request may come without a credential.
    PerhapsUnknown,
}

/// The limits of a rule, by index. A limit that could not be read counts as used.
fn load_rule_limits(
    section: &Section<'_>,
    context: &RuleContext<'_>,
    caller: Caller,
    cost: Option<&At<u64>>,
    used: &mut [bool],
) -> Vec<usize> {
    let names: Vec<&str> = context.limits.iter().map(|limit| &*limit.limit.name).collect();
    let mut limits = Vec::new();
    for name in section.texts("limits").unwrap_or_default() {
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
        if limits.contains(&index) {
            let twice = RuleFault::LimitUsedTwice { limit: limit.name.clone() };
            section.push(Fault::of(&name.place, &twice));
            continue;
        }
        if !whole {
            continue;
        }
        if caller != Caller::Known && limit.needs_principal() {
            let part = if limit.per.contains(&KeyPart::Client) { "client" } else { "claim" };
            let limit = limit.name.clone();
            let fault = match caller {
                Caller::PerhapsUnknown => RuleFault::LimitOfRuleWithNone { limit, part },
                _ => RuleFault::LimitOfPublicRule { limit, part },
            };
            section.push(Fault::of(&name.place, &fault));
        }
        let tightest = limit.quotas.iter().min_by_key(|plan| plan.quota.burst());
        if let (Some(cost), Some(tightest)) = (cost, tightest)
            && cost.value > u64::from(tightest.quota.burst())
        {
            let above = RuleFault::CostAboveBurst {
                cost: cost.value,
                burst: tightest.quota.burst().into(),
                limit: limit.name.clone(),
                plan: tightest.plan.clone(),
            };
            section.push(Fault::of(&cost.place, &above));
        }
        limits.push(index);
    }
    if limits.len() > MAX_LIMITS_OF_A_RULE {
        let limits = limits.iter().map(|limit| context.limits[*limit].limit.name.clone()).collect();
        let too_many = RuleFault::TooManyLimits { most: MAX_LIMITS_OF_A_RULE, limits };
        section.push(Fault::of(&section.key_place("limits"), &too_many));
    }
    limits
}
