//! Reads `[[rule]]`, and checks rules against limits, keys and each other.

use std::collections::{HashMap, HashSet};

use http::Method;

use super::checks::{STATUS_MODES, check_name, check_sentence, check_unique, parse_cidr};
use super::needs::{Asked, load_any, load_needs, load_rule_issuers};
use super::paths::report_paths;
use super::rule_context::RuleContext;
use super::rule_faults::RuleFault;
use super::rule_limits::{Caller, load_rule_limits, load_waits, report_unproven_limits};
use crate::claims::ClaimMatch;
use crate::credential::Kinds;
use crate::limit::Limit;
use crate::policy::fault::Fault;
use crate::policy::path::{check_path, normal};
use crate::policy::place::Place;
use crate::policy::rule::{Access, Anonymous, Demands, Mode, Rule};
use crate::policy::rule_table::{RuleTable, USUAL_METHODS};
use crate::policy::section::{At, Section};
use crate::policy::suggest::suggest;
use crate::policy::warning::Warning;

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
    let cost = section.number("cost", 0..1 << 32);
    let caller = match demands.anonymous {
        _ if public => Caller::Unknown,
        // Requests without a credential have limits of their own.
        Anonymous::Admitted if section.holds("anonymous_limits") => Caller::Known,
        Anonymous::Admitted => Caller::PerhapsUnknown,
        Anonymous::Refused => Caller::Known,
    };
    let mut limits_of = |key, caller| {
        let limits = load_rule_limits(&section, key, context, caller, cost.as_ref(), used);
        report_unproven_limits(&section, key, context, &limits);
        limits
    };
    let limits = limits_of("limits", caller);
    let anonymous_limits =
        section.has("anonymous_limits").then(|| limits_of("anonymous_limits", Caller::Nobody));
    // Elsewhere they count nobody: `limits` count everybody.
    let anonymous_limits =
        anonymous_limits.filter(|_| !public && demands.anonymous == Anonymous::Admitted);
    report_anonymous_limits(&section, name.as_ref(), &demands, public);
    let waits = load_waits(&section, context, public);
    let mode = section.one_of("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]);
    if mode == Some(Mode::Shadow) {
        section.push(Fault::warning(&section.key_place("mode"), &Warning::ShadowMode));
    }
    let status = section.one_of("status", &STATUS_MODES);
    let description = section.parse("description", "description", check_sentence);
    let listed = section.flag("listed").unwrap_or(true);
    let encoded_slashes = section.flag("encoded_slashes").unwrap_or(true);
    section.finish();

    let all_limits = || {
        let all = limits.iter().chain(anonymous_limits.iter().flatten());
        all.map(|limit| &context.limits[limit.limit].limit)
    };
    let needs_address = !addresses.is_empty() || all_limits().any(Limit::needs_address);
    let claims = demands.all_needs().flat_map(|needs| &needs.claims);
    let claims = claims.flat_map(ClaimMatch::parameters);
    let counted = all_limits().flat_map(Limit::parameters);
    let path_parameters = claims.chain(counted).map(Into::into).collect();
    let path = path?;
    let rule = Rule {
        index: 0,
        counters: Default::default(),
        name: name?.value.into(),
        methods: methods?,
        path: path.value.into(),
        access: if public { Access::Public } else { Access::Guarded(demands) },
        addresses: addresses.into_iter().map(|range| range.value).collect(),
        limits,
        anonymous_limits,
        waits,
        mode: mode.unwrap_or(Mode::Enforce),
        status,
        description: description.map(|text| text.value.trim().into()),
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
        if text == "TRACE" {
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
    let is_usual = |method: &Method| *method == Method::CONNECT || known.contains(&method.as_str());
    for odd in methods.iter().filter(|method| !is_usual(&method.value)) {
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
        for name in ["scopes", "any_scopes", "roles", "claims", "any", "issuers"] {
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
    demands.issuers = load_rule_issuers(section, context);
    // Without an issuer, each name is a fault.
    let has_effect = public || takes_tokens || !context.takes_tokens;
    if !has_effect && section.has("issuers") && !section.is_empty("issuers") {
        let place = section.key_place("issuers");
        section.push(Fault::warning(&place, &Warning::IssuersWithoutTokens));
    }
    let asked = Asked {
        context,
        public,
        kinds: demands.kinds,
        issuers: &demands.issuers,
        path: section.text("path").map_or("", |path| path.value),
    };
    let (needs, any) = (load_needs(section, &asked), load_any(section, &asked));
    let only_by_claims = !any.is_empty() && any.iter().all(|needs| !needs.claims.is_empty());
    for (name, asks) in [("claims", !needs.claims.is_empty()), ("any", only_by_claims)] {
        if asks && !public && !takes_tokens {
            section.push(Fault::warning(&section.key_place(name), &Warning::ClaimsWithoutTokens));
        }
    }
    (demands.needs, demands.any) = (needs, any);
    if demands.anonymous == Anonymous::Admitted {
        refuse_demands_beside_none(section);
    }
    demands
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

/// `anonymous_limits` that count nobody, or count nothing.
fn report_anonymous_limits(
    section: &Section<'_>,
    name: Option<&At<String>>,
    demands: &Demands,
    public: bool,
) {
    if !section.holds("anonymous_limits") {
        return;
    }
    let place = section.key_place("anonymous_limits");
    let is_empty = section.is_empty("anonymous_limits");
    if public || demands.anonymous == Anonymous::Refused {
        // Where nobody comes without a credential, no limits for such requests are the default.
        if !is_empty {
            section.push(Fault::of(&place, &RuleFault::AnonymousLimitsOfNobody { public }));
        }
    } else if let Some(name) = name.filter(|_| is_empty) {
        let rule = name.value.as_str().into();
        section.push(Fault::warning(&place, &Warning::NoAnonymousLimits { rule }));
    }
}
