//! Adds what the gate does to the document of an application.

use std::error::Error;
use std::fmt;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::components::{components, header, limit_headers};
use super::operation::{METHODS, denials, security};
use super::prune::prune;
use crate::denial::Code;
use crate::gate::Tollgate;
use crate::policy::{NoRule, Policy};
use crate::reference::Api;
use crate::reference::handbook::Entry;
use crate::reference::json::{Json, object};

/// Adds to an OpenAPI 3.1 document how this gate denies: schemas, responses, headers and security
/// schemes; and to each operation the security and the denials of the rule that covers it.
///
/// `document` is anything that is written and read as JSON. Best is a JSON value, made from what
/// your generator makes: a type such as the `OpenApi` of utoipa keeps those keywords only that it
/// has fields for, so that less is said of each code.
///
/// Components that nothing in the document refers to are left out again, but for the schemas of your
/// own codes.
///
/// What the document says already stays: components and the security of an operation are added
/// where there are none. A response that is there for a status of a denial gains what is said of
/// the denials: codes, headers, and the schema beside its own.
///
/// The rule of an operation is looked up as it is for a request: by method and path, with a
/// segment in place of each parameter, behind the path of the document's first server. An
/// operation that no rule covers gets the response of that; one whose rule has `listed = false`
/// is left alone. Denials that handlers make of their own accord are for the document to name.
///
/// # Errors
///
/// When the document is not an object, or cannot be written or read back.
///
/// # Example
///
/// `cargo run --example openapi` does this for a document that utoipa made.
pub fn apply<D>(gate: &Tollgate, document: &mut D) -> Result<(), ApplyError>
where
    D: Serialize + DeserializeOwned,
{
    let text = serde_json::to_string(document)
        .map_err(|error| ApplyError::CannotBeWritten { source: error.into() })?;
    let mut json = Json::parse(&text);
    if !matches!(json, Json::Object(_)) {
        return Err(ApplyError::NotAnObject);
    }
    let snapshot = gate.gate().current();
    add(&Api::of(&snapshot), snapshot.policy(), &mut json);
    let text = serde_json::to_string(&json)
        .map_err(|error| ApplyError::CannotBeWritten { source: error.into() })?;
    *document = serde_json::from_str(&text)
        .map_err(|error| ApplyError::CannotBeRead { source: error.into() })?;
    Ok(())
}

/// Why nothing could be added to a document.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The document cannot be written as JSON.
    CannotBeWritten {
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The document is JSON, but not an object.
    NotAnObject,
    /// The document does not take what was added.
    CannotBeRead {
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CannotBeWritten { .. } => "the document cannot be written as JSON",
            Self::NotAnObject => "the document is not a JSON object",
            Self::CannotBeRead { .. } => "the document does not take what was added to it",
        })
    }
}

impl Error for ApplyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CannotBeWritten { source } | Self::CannotBeRead { source } => Some(&**source),
            Self::NotAnObject => None,
        }
    }
}

fn add(api: &Api<'_>, policy: &Policy, document: &mut Json) {
    let ours = components(api);
    let theirs = document.entry("components");
    for (kind, components) in ours.members() {
        let held = theirs.entry(kind);
        for (name, component) in components.members() {
            held.add(name, component.clone());
        }
    }
    let base = base_path(document);
    for (path, item) in document.entry("paths").members_mut() {
        let path = format!("{base}{}", sample(path));
        for (name, operation) in item.members_mut() {
            let method = METHODS.iter().find(|method| method.as_str().eq_ignore_ascii_case(name));
            if let Some(method) = method {
                complete(api, policy, method, &path, operation);
            }
        }
    }
    prune(api, document, &ours);
}

/// Adds to an operation what the rule that covers it says.
fn complete(api: &Api<'_>, policy: &Policy, method: &Method, path: &str, operation: &mut Json) {
    let mut mode = policy.denial.status;
    let codes = match policy.rules.find(method, path) {
        Ok(id) if !policy.rules[id].listed => return,
        Ok(id) => {
            let entry = Entry::of(policy, &policy.rules[id]);
            mode = entry.rule.status_mode(&policy.denial);
            if let Some(description) = &entry.rule.description {
                operation.add("description", &**description);
            }
            operation.add("security", security(policy, &entry));
            if entry.has_limits() {
                tell_limits(api, operation);
            }
            entry.codes.iter().map(|occurring| occurring.code).collect()
        }
        Err(NoRule::Path | NoRule::Ambiguous(_)) => vec![Code::NoMatchingRule.row()],
        Err(NoRule::Method(_)) => vec![Code::MethodNotAllowed.row()],
    };
    let responses = operation.entry("responses");
    for (status, response) in denials(api, &codes, mode) {
        join(responses.entry(&status), response);
    }
}

/// Successes tell how the limits stand.
fn tell_limits(api: &Api<'_>, operation: &mut Json) {
    for (status, response) in operation.entry("responses").members_mut() {
        if status.starts_with('2') && response.get("$ref").is_none() {
            let headers = limit_headers(api.denial.ratelimit_headers);
            let held = response.entry("headers");
            headers.for_each(|name| held.add(name, header(name)));
        }
    }
}

/// Adds to a response what is said of denials with its status. One that is told elsewhere stays.
fn join(held: &mut Json, ours: Json) {
    if held.get("$ref").is_some() {
        return;
    }
    for (name, value) in ours.members() {
        match (name.as_str(), held.get(name).and_then(Json::text), value.text()) {
            ("description", Some(theirs), Some(ours)) if !theirs.contains(ours) => {
                let both = format!("{theirs}\n\n{ours}");
                held.set(name, both);
            }
            ("headers", ..) => {
                let held = held.entry(name);
                value.members().iter().for_each(|(name, header)| held.add(name, header.clone()));
            }
            ("content", ..) => {
                let held = held.entry(name);
                for (media, ours) in value.members() {
                    held.add(media, ours.clone());
                    let ours = ours.get("schema").cloned().unwrap_or(Json::Null);
                    let theirs = held.entry(media).entry("schema");
                    let either = theirs.get("anyOf").map_or(&[][..], Json::items);
                    let is_ours = |held: &Json| held.says_the_same(&ours);
                    if !is_ours(theirs) && !either.iter().any(is_ours) {
                        *theirs = object! { "anyOf" => vec![theirs.clone(), ours] };
                    }
                }
            }
            _ => held.add(name, value.clone()),
        }
    }
}

/// The path of the first server, which stands before every path of the document.
fn base_path(document: &Json) -> String {
    let servers = document.get("servers").map_or(&[][..], Json::items);
    let url = servers.first().and_then(|server| server.get("url")).and_then(Json::text);
    let url = url.unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    };
    path.trim_end_matches('/').to_owned()
}

/// A path that this template covers.
fn sample(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path += before;
        path.push('_');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    path + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_requests() {
        assert_eq!(sample("/orders/{id}/lines/{line}"), "/orders/_/lines/_");
        for (url, path) in [
            ("https://api.example.com/v1/", "/v1"),
            ("https://api.example.com", ""),
            ("/v1", "/v1"),
            ("/", ""),
        ] {
            let document = Json::parse(&format!(r#"{{"servers":[{{"url":"{url}"}}]}}"#));
            assert_eq!(base_path(&document), path, "{url}");
        }
        assert_eq!(base_path(&Json::parse("{}")), "");
    }
}
