//! What a rule means for an operation: security, and the responses of its denials.

use std::collections::BTreeMap;

use http::Method;

use super::components;
use crate::credential::Kinds;
use crate::denial::DenialCode;
use crate::limit::{Limit, PlanQuota};
use crate::policy::{Demands, Policy, Rule, StatusMode};
use crate::reference::Api;
use crate::reference::forms::{Form, Kind, all_forms};
use crate::reference::handbook::Entry;
use crate::reference::json::{Json, object};
use crate::reference::text;
use crate::scope::Scope;

/// The methods that a path of OpenAPI can have.
pub(super) const METHODS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
    Method::TRACE,
];

/// The methods that stand for a rule which names none.
const USUAL: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A path for each pattern of the policy, with an operation for each method of its rules.
pub(super) fn paths(api: &Api<'_>, policy: &Policy) -> Json {
    let mut paths = Json::Object(Vec::new());
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut ids: Vec<String> = Vec::new();
    for rule in policy.rules.iter() {
        let path = template(&rule.path);
        // OpenAPI takes paths that differ in the names of parameters alone for one.
        let path = names.entry(path.nameless).or_insert(path.text).clone();
        let methods = methods(policy, rule);
        for method in &methods {
            if !rule.listed {
                continue;
            }
            let mut id = rule.name.to_string();
            if methods.len() > 1 {
                id = format!("{id}-{}", method.as_str().to_ascii_lowercase());
            }
            while ids.contains(&id) {
                id.push('_');
            }
            let item = paths.entry(&path);
            let parameters = parameters(&path);
            if !parameters.items().is_empty() {
                item.add("parameters", parameters);
            }
            let operation = operation(api, policy, &Entry::of(policy, rule), &id);
            item.set(&method.as_str().to_ascii_lowercase(), operation);
            ids.push(id);
        }
    }
    paths
}

/// The methods of a rule: those it names, or the usual ones that no other rule of its path takes.
fn methods(policy: &Policy, rule: &Rule) -> Vec<Method> {
    if !rule.methods.is_empty() {
        return rule.methods.iter().filter(|method| METHODS.contains(method)).cloned().collect();
    }
    let path = template(&rule.path).nameless;
    let taken = |method: &Method| {
        policy
            .rules
            .iter()
            .any(|other| other.methods.contains(method) && template(&other.path).nameless == path)
    };
    USUAL.into_iter().filter(|method| !taken(method)).collect()
}

fn operation(api: &Api<'_>, policy: &Policy, entry: &Entry<'_>, id: &str) -> Json {
    let summary = entry.rule.description.as_deref().unwrap_or(&entry.rule.name);
    let mut operation = object! { "operationId" => id, "summary" => summary };
    let about = about(entry);
    if !about.is_empty() {
        operation.set("description", about);
    }
    operation.set("security", security(policy, entry));
    let mut admitted = object! { "description" => "Admitted; the answer is the application's." };
    if entry.has_limits() {
        let mut headers = Json::Object(Vec::new());
        for name in components::limit_headers(api.denial.ratelimit_headers) {
            headers.set(name, components::header(name));
        }
        if !headers.members().is_empty() {
            admitted.set("headers", headers);
        }
    }
    let mut responses = object! { "2XX" => admitted };
    let codes: Vec<&DenialCode> = entry.codes.iter().map(|occurring| occurring.code).collect();
    for (status, response) in denials(api, &codes, entry.rule.status_mode(&policy.denial)) {
        responses.set(&status, response);
    }
    operation.set("responses", responses);
    operation
}

/// The responses of these codes, by their status in this mode.
pub(super) fn denials(
    api: &Api<'_>,
    codes: &[&DenialCode],
    mode: StatusMode,
) -> Vec<(String, Json)> {
    let mut by_status: BTreeMap<u16, Vec<&DenialCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status_in(mode)).or_default().push(code);
    }
    let response = |(status, codes): (u16, Vec<&DenialCode>)| {
        let has_status = |code: &&&DenialCode| code.is_own() && code.status_in(mode) == status;
        let own = api.codes.iter().filter(has_status).copied();
        (status.to_string(), components::response(api, &codes, own))
    };
    by_status.into_iter().map(response).collect()
}

/// Each accepted way to send a credential is enough, or each pair of a key and a token where both are
/// asked for; none is needed where none is asked for, or where the rule lets all pass.
pub(super) fn security(policy: &Policy, entry: &Entry<'_>) -> Json {
    let scope_sets = entry.demands.map(scope_sets).unwrap_or_default();
    // An empty list would say that the operation is open to everybody.
    let forms = if entry.admits_nobody() { all_forms(policy) } else { entry.forms.clone() };
    let alone = |form: &Form, scopes: &Vec<&str>| {
        object! { form.scheme.as_str() => scopes.clone() }
    };
    let mut alternatives: Vec<Json> = Vec::new();
    for scopes in &scope_sets {
        match entry.demands.map(|demands| demands.kinds) {
            Some(Kinds::Both) => {
                let (keys, tokens): (Vec<&Form>, Vec<&Form>) =
                    forms.iter().partition(|form| form.kind == Kind::ApiKey);
                for key in keys {
                    alternatives.extend(tokens.iter().map(|token| {
                        let mut pair = alone(key, scopes);
                        pair.set(&token.scheme, scopes.clone());
                        pair
                    }));
                }
            }
            _ => alternatives.extend(forms.iter().map(|form| alone(form, scopes))),
        }
    }
    if entry.is_on_trial() || entry.takes_anonymous() {
        alternatives.push(Json::Object(Vec::new()));
    }
    Json::Array(alternatives)
}

/// The scopes that are enough together, each set once: those of the rule, with those of each
/// alternative.
fn scope_sets(demands: &Demands) -> Vec<Vec<&str>> {
    let own = &demands.needs.scopes;
    let mut sets: Vec<Vec<&str>> = Vec::new();
    let others = demands.any.iter().map(|needs| &needs.scopes[..]);
    for others in others.chain(demands.any.is_empty().then_some(&[][..])) {
        let mut scopes: Vec<&str> = Vec::new();
        for scope in own.iter().chain(others).map(Scope::as_str) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if !sets.contains(&scopes) {
            sets.push(scopes);
        }
    }
    sets
}

/// What the keywords of OpenAPI cannot say.
fn about(entry: &Entry<'_>) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let quoted = |text: &dyn std::fmt::Display| crate::reference::text::code(text);
    let mut lines: Vec<String> = entry.rule.description.iter().map(ToString::to_string).collect();
    if let Some(demands) = entry.demands {
        if !demands.needs.scopes.is_empty() {
            let scopes = list(&mut demands.needs.scopes.iter().map(|scope| quoted(scope)));
            lines.push(format!("Scopes, all of: {scopes}."));
        }
        if !demands.needs.any_scopes.is_empty() {
            let scopes = list(&mut demands.needs.any_scopes.iter().map(|scope| quoted(scope)));
            lines.push(format!("Scopes, one of: {scopes}."));
        }
        if !demands.needs.roles.is_empty() {
            let roles = list(&mut demands.needs.roles.iter().map(|role| quoted(role)));
            lines.push(format!("Roles, one of: {roles}."));
        }
    }
    if !entry.claims.is_empty() {
        let claims = list(&mut entry.claims.iter().map(|claim| quoted(claim)));
        lines.push(format!("Claims of the token: {claims}."));
    }
    if !entry.any.is_empty() {
        lines.push(format!("And one of these: {}.", entry.any.join("; or ")));
    }
    if !entry.issuers.is_empty() {
        lines.push(format!("Tokens of {} only.", entry.issuers));
    }
    if !entry.networks.is_empty() {
        lines.push(format!("From: {}.", entry.networks));
    }
    lines.extend(entry.limits.iter().map(|counted| format!("Limit {}", told(counted.limit))));
    match entry.anonymous_limits.as_deref() {
        Some([]) => lines.push("Without a credential no limit counts.".into()),
        Some(limits) => lines.extend(
            (limits.iter())
                .map(|counted| format!("Without a credential: limit {}", told(counted.limit))),
        ),
        None => {}
    }
    if entry.all_limits().any(|counted| counted.cost != 1) {
        lines.push(format!("A request {}.", entry.cost(|name| text::code(name))));
    }
    lines.join("\n\n")
}

/// A limit with its plans.
fn told(limit: &Limit) -> String {
    let plan = |plan: &PlanQuota| {
        let name = plan.plan.as_ref().map_or(String::new(), |plan| format!("plan `{plan}`: "));
        format!("{name}{}, at most {} at once", plan.rate, plan.quota.burst())
    };
    let plans: Vec<String> = limit.quotas.iter().map(plan).collect();
    let unit = limit.other_unit().map_or(String::new(), |unit| format!(", in {unit}"));
    format!("`{}`{unit}: {}.", limit.name, plans.join("; "))
}

/// A path of OpenAPI, and the same with its parameters nameless.
struct Template {
    text: String,
    nameless: String,
}

/// From a pattern of the policy: `{*rest}` is written `{rest}`, and braces of its own encoded.
fn template(pattern: &str) -> Template {
    let (mut text, mut nameless) = (String::new(), String::new());
    let mut letters = pattern.chars().peekable();
    let mut within = false;
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) && !within => {
                letters.next();
                let encoded = if letter == '{' { "%7B" } else { "%7D" };
                text += encoded;
                nameless += encoded;
            }
            '{' | '}' => {
                within = letter == '{';
                text.push(letter);
                nameless.push(letter);
            }
            // `{*rest}` beside `{rest}` is another path, and one of them has to give way.
            '*' if within => nameless.push('*'),
            letter => {
                text.push(letter);
                if !within {
                    nameless.push(letter);
                }
            }
        }
    }
    Template { text, nameless }
}

fn parameters(path: &str) -> Json {
    let names = path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let parameter = |name: &str| {
        object! {
            "name" => name,
            "in" => "path",
            "required" => true,
            "schema" => object! { "type" => "string", "minLength" => 1_u64 },
        }
    };
    names.map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_templates() {
        for (pattern, text, nameless) in [
            ("/orders/{id}", "/orders/{id}", "/orders/{}"),
            ("/files/{*rest}", "/files/{rest}", "/files/{*}"),
            ("/{{a}}/v{n}", "/%7Ba%7D/v{n}", "/%7Ba%7D/v{}"),
        ] {
            let made = template(pattern);
            assert_eq!((&*made.text, &*made.nameless), (text, nameless));
        }
    }
}
