//! OpenAPI 3.1: what a denial is, and where each can occur.
//!
//! `tollgate schema --format openapi` writes a document of its own. An application that makes
//! one already, with utoipa or otherwise, adds all of it with [`apply`].

mod apply;
mod components;
mod operation;

pub use apply::{ApplyError, apply};

use super::Api;
use super::json::{Json, object};

/// The document: components, and with a policy the paths of its rules.
pub(super) fn document(api: &Api<'_>) -> Json {
    let title = match api.gate {
        Some(_) => format!("Access to {}", api.denial.realm),
        None => "Denials".to_owned(),
    };
    let about = match api.gate {
        Some(_) => {
            "What each path asks for, and how it denies. Made from the policy in force; what an admitted request is answered is for the application to say."
        }
        None => "How requests are denied: to be referred to by the document of an API.",
    };
    object! {
        "openapi" => "3.1.0",
        "info" => object! {
            "title" => title,
            "description" => about,
            "version" => env!("CARGO_PKG_VERSION"),
        },
        "paths" => api.gate.map_or_else(
            || Json::Object(Vec::new()),
            |gate| operation::paths(api, &gate.policy),
        ),
        "components" => components::components(api),
    }
}
