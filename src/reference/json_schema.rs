//! The denial as JSON Schema 2020-12.
//!
//! The object is open: members may be added. The list of codes is open too, so a document with
//! a code that the schema does not know is valid if it holds what every denial holds. For a
//! known code the schema says which members are there.

use super::Api;
use super::json::{Json, object};
use super::text::plain;
use crate::denial::members::{self, BASE, ITEMS, Presence};
use crate::denial::{Category, DenialCode};

/// The schema, as a document.
pub(super) fn schema(api: &Api<'_>) -> Json {
    let mut schema = object! { "$schema" => "https://json-schema.org/draft/2020-12/schema" };
    if let Some(docs) = &api.denial.docs {
        schema.set("$id", format!("{docs}/denial.schema.json"));
    }
    schema.set("title", "Denial");
    schema.set("description", ABOUT);
    schema.set("type", "object");
    schema.set("properties", base(api));
    schema.set("required", base_required());
    schema.set("allOf", api.codes.iter().map(|code| by_code(code)).collect::<Json>());
    let mut definitions = Json::Object(Vec::new());
    for code in &api.codes {
        definitions.set(code.code, of_code(code));
    }
    for item in ITEMS {
        definitions.set(item.name, Json::parse(item.schema));
    }
    schema.set("$defs", definitions);
    schema
}

/// What a denial is, for readers of a schema.
pub(super) const ABOUT: &str = "Why a request was denied: a problem document (RFC 9457) of the media type application/problem+json. More members and codes may be added; ignore members that you do not know, and fall back on `category` for a code that you do not know.";

/// The members that a denial has whatever its code.
pub(super) fn base(api: &Api<'_>) -> Json {
    let mut properties = Json::Object(Vec::new());
    for (name, presence) in BASE {
        let mut schema = member(name, *presence);
        if *name == "code" {
            let known = object! {
                "enum" => api.codes.iter().map(|code| code.code).collect::<Json>(),
            };
            let open = object! {
                "type" => "string",
                "pattern" => schema.get("pattern").cloned().unwrap_or(Json::Null),
            };
            schema = object! {
                "description" => schema.get("description").cloned().unwrap_or(Json::Null),
                "type" => "string",
                "anyOf" => vec![known, open],
            };
        }
        properties.set(name, schema);
    }
    properties
}

pub(super) fn base_required() -> Json {
    let always = BASE.iter().filter(|(_, presence)| *presence == Presence::Always);
    always.map(|(name, _)| *name).collect()
}

/// What a document of this code holds beside what every denial holds.
pub(super) fn of_code(code: &DenialCode) -> Json {
    let mut statuses = vec![code.standard_status];
    if code.category != Category::Server && code.standard_status != 403 {
        statuses.insert(0, 403);
    }
    let mut properties = object! {
        "status" => object! { "enum" => statuses },
        "code" => object! { "const" => code.code },
        "category" => object! { "const" => code.category.as_str() },
    };
    let mut required = Vec::new();
    for (name, presence) in code.members {
        properties.set(name, member(name, *presence));
        if *presence == Presence::Always {
            required.push(*name);
        }
    }
    for (name, value) in code.own_members() {
        properties.set(name, own_member(&value));
    }
    let mut schema = object! {
        "title" => code.title,
        "description" => format!("{}. {}", code.title, plain(code.remedy)),
        "type" => "object",
        "properties" => properties,
    };
    match tells_detail(code) {
        Detail::Always => {
            required.insert(0, "detail");
            schema.set("required", required);
        }
        // Where little is told the code is the same, and its members are not there.
        Detail::AboveMinimal => {
            schema.set("dependentRequired", object! { "detail" => required });
        }
        Detail::Never => {}
    }
    schema
}

/// Whether documents of a code say what happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Detail {
    Always,
    /// Unless `disclosure = "minimal"`, where the code is shown too.
    AboveMinimal,
    /// The code is shown at `disclosure = "minimal"` alone.
    Never,
}

pub(super) fn tells_detail(code: &DenialCode) -> Detail {
    match (code.is_group(), code.code == code.group().code) {
        (true, _) => Detail::Never,
        (false, true) => Detail::AboveMinimal,
        (false, false) => Detail::Always,
    }
}

/// The schema of a member, with its meaning.
pub(super) fn member(name: &str, presence: Presence) -> Json {
    let Some(member) = members::find(name) else { return Json::Flag(true) };
    let mut description = member.meaning.to_owned();
    if presence == Presence::Detailed {
        description += " Only systems that show details, for tests, tell it.";
    }
    let mut schema = object! { "description" => description };
    for (name, value) in Json::parse(member.schema).members() {
        schema.set(name, value.clone());
    }
    schema
}

/// The schema of a member that handlers of the application add, by the value that it has in the
/// example.
pub(super) fn own_member(value: &serde_json::Value) -> Json {
    object! { "type" => super::page::kind(value) }
}

fn by_code(code: &DenialCode) -> Json {
    object! {
        "if" => object! {
            "properties" => object! { "code" => object! { "const" => code.code } },
            "required" => vec!["code"],
        },
        "then" => object! { "$ref" => format!("#/$defs/{}", code.code) },
    }
}
