//! OpenAPI 3.1: what a denial is, and where each can occur.
//!
//! `tollgate schema --format openapi` writes a document of its own. An application that makes
//! one already, with utoipa or otherwise, adds all of it with [`apply`].

mod apply;
mod components;
mod operation;
mod prune;

use std::collections::HashMap;

pub use apply::{ApplyError, apply};

use super::Api;
use super::json::{Json, object};

/// The document: components, and with a policy the paths of its rules.
pub(super) fn document(api: &Api<'_>) -> Json {
    let title = match api.snapshot {
        Some(_) => format!("Access to {}", api.denial.realm),
        None => "Denials".to_owned(),
    };
    let about = match api.snapshot {
        Some(_) => {
            "What each path asks for, and how it denies. Made from the policy in force; what an admitted request is answered is for the application to say."
        }
        None => "How requests are denied: to be referred to by the document of an API.",
    };
    let mut paths = api
        .snapshot
        .map_or_else(|| Json::Object(Vec::new()), |of| operation::paths(api, of.policy()));
    let mut components = components::components(api);
    share(&mut paths, components.entry("responses"));
    // The schemas have them; an API's own document may refer to those of any API.
    if let (Some(_), Json::Object(kinds)) = (api.snapshot, &mut components) {
        kinds.retain(|(kind, _)| kind != "examples");
    }
    object! {
        "openapi" => "3.1.0",
        "info" => object! {
            "title" => title,
            "description" => about,
            "version" => env!("CARGO_PKG_VERSION"),
        },
        "servers" => vec![object! { "url" => "/" }],
        "paths" => paths,
        "components" => components,
    }
}

/// Responses that several operations have stand among the components, once.
fn share(paths: &mut Json, components: &mut Json) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    each_response(paths, |_, response| *counts.entry(response.pretty()).or_default() += 1);
    let mut names: HashMap<String, String> = (components.members().iter())
        .map(|(name, response)| (response.pretty(), name.clone()))
        .collect();
    each_response(paths, |status, response| {
        let text = response.pretty();
        if counts.get(&text).is_none_or(|count| *count < 2) {
            return;
        }
        let name = names.entry(text).or_insert_with(|| {
            let mut free = (2..).map(|n| format!("Denied{status}-{n}"));
            // INVARIANT: there are fewer components than numbers.
            let name = free.find(|name| components.get(name).is_none()).unwrap_or_default();
            components.set(&name, response.clone());
            name
        });
        *response = object! { "$ref" => format!("#/components/responses/{name}") };
    });
}

fn each_response(paths: &mut Json, mut visit: impl FnMut(&str, &mut Json)) {
    for (_, item) in paths.members_mut() {
        for (_, operation) in item.members_mut().iter_mut().filter(|(name, _)| name != "parameters")
        {
            for (status, response) in operation.entry("responses").members_mut() {
                // The admitted ones are for the application to tell apart.
                if status != "2XX" {
                    visit(status, response);
                }
            }
        }
    }
}
