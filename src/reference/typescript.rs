//! The types of the document as a TypeScript module, and what is written by hand beside them.

use std::fmt::Write as _;

use super::Api;
use super::json::Json;
use super::json_schema::{self, Detail};
use super::text::{comment, plain, type_name};
use crate::denial::members::{BASE, ITEMS, Presence};
use crate::denial::{Category, DenialCode};

/// `isDenial`, `parseDenial`, `retryDelay`, `advice`, `recover`, and the type `Denial`.
const RUNTIME: &str = include_str!("typescript/runtime.ts");

pub(super) fn module(api: &Api<'_>) -> String {
    let mut text = comment("", HEAD);
    text += "\n/** Every code that this module knows, in the order of the catalogue. */\n";
    text += "export const DENIAL_CODES = [\n";
    for code in &api.codes {
        text += &format!("  \"{}\",\n", code.code);
    }
    text += "] as const;\n\n/** A code that this module knows. */\n";
    text += "export type KnownDenialCode = (typeof DENIAL_CODES)[number];\n\n";
    text += "/** What kind of reason it is: what to fall back on where `code` is unknown. */\n";
    let categories = Category::ALL.map(|category| format!("\"{category}\""));
    text += &format!("export type DenialCategory = {};\n", categories.join(" | "));
    for item in ITEMS {
        text += &of_item(item.name, &Json::parse(item.schema));
    }
    text += &base();
    for code in &api.codes {
        text += &of_code(code);
    }
    text += "\n/** A denial with a code that this module knows. */\nexport type KnownDenial =";
    for code in &api.codes {
        text += &format!("\n  | {}Denial", type_name(code.code));
    }
    text + ";\n\n" + RUNTIME
}

const HEAD: &str = "Why a request was denied: the types of a denial, and what a client does with one. No dependency; only erasable syntax, so Node, Deno and Bun run the file as it is.\n\nWritten by `tollgate schema --format typescript`. Change it there.";

fn of_item(name: &str, schema: &Json) -> String {
    let about = schema.get("description").and_then(Json::text).unwrap_or_default();
    let mut text = format!("\n{}export interface {name} {{\n", comment("", about));
    let required = schema.get("required").map_or(&[][..], Json::items);
    for (name, schema) in schema.get("properties").map_or(&[][..], Json::members) {
        let is_sure = required.iter().any(|held| held.text() == Some(name));
        text += &property(name, schema, is_sure);
    }
    text + "}\n"
}

fn base() -> String {
    let mut text = String::from(
        "\n/** What a denial has whatever its code. */\nexport interface DenialBase {\n",
    );
    for (name, presence) in BASE {
        let schema = json_schema::member(name, *presence);
        text += &property(name, &schema, *presence == Presence::Always);
    }
    text + "}\n"
}

fn of_code(code: &DenialCode) -> String {
    let summary = code.summary();
    let about = match summary {
        "" => format!("`{}`: {}.", code.code, code.title),
        summary => format!("`{}`: {}.\n\n{summary}", code.code, code.title),
    };
    let about = format!("{about}\n\nWhat to do: {}", plain(code.remedy));
    let mut text = comment("", &about);
    let _ = writeln!(text, "export interface {}Denial extends DenialBase {{", type_name(code.code));
    let _ = writeln!(text, "  readonly code: \"{}\";", code.code);
    let _ = writeln!(text, "  readonly category: \"{}\";", code.category);
    if json_schema::tells_detail(code) == Detail::Always {
        text += "  readonly detail: string;\n";
    }
    for (name, presence) in code.members {
        let is_sure =
            *presence == Presence::Always && json_schema::tells_detail(code) == Detail::Always;
        // What every denial may have is there already.
        if is_sure || !BASE.iter().any(|(base, _)| base == name) {
            text += &property(name, &json_schema::member(name, *presence), is_sure);
        }
    }
    for (name, value) in code.own_members() {
        text += &property(name, &json_schema::own_member(&value), false);
    }
    if code.is_own() {
        text += "  readonly [member: string]: unknown;\n";
    }
    format!("\n{text}}}\n")
}

fn property(name: &str, schema: &Json, is_sure: bool) -> String {
    let about = schema.get("description").and_then(Json::text).unwrap_or_default();
    let mark = if is_sure { "" } else { "?" };
    let kind = match name {
        "category" => "DenialCategory".to_owned(),
        _ => kind(schema),
    };
    let about = if about.is_empty() { String::new() } else { comment("  ", about) };
    format!("{about}  readonly {name}{mark}: {kind};\n")
}

/// The type of what a schema describes.
fn kind(schema: &Json) -> String {
    if let Some(name) = schema.get("$ref").and_then(Json::text) {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let words = |schema: &Json| {
        let words = schema.get("enum").map_or(&[][..], Json::items).iter();
        words.filter_map(Json::text).map(|word| format!("\"{word}\"")).collect::<Vec<_>>()
    };
    // An open list: these words, and others later.
    if let Some([known, _open]) = schema.get("anyOf").map(Json::items) {
        return words(known).join(" | ") + " | (string & {})";
    }
    let words = words(schema);
    match schema.get("type").and_then(Json::text) {
        _ if !words.is_empty() => words.join(" | "),
        Some("string") => "string".into(),
        Some("integer" | "number") => "number".into(),
        Some("boolean") => "boolean".into(),
        Some("array") => {
            let item = schema.get("items").map_or_else(|| "unknown".into(), kind);
            let item = if item.contains(' ') { format!("({item})") } else { item };
            format!("readonly {item}[]")
        }
        _ => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_schema() {
        for (schema, expected) in [
            (
                r##"{"type":"array","items":{"$ref":"#/$defs/LimitState"}}"##,
                "readonly LimitState[]",
            ),
            (
                r#"{"anyOf":[{"enum":["a","b"]},{"type":"string"}]}"#,
                "\"a\" | \"b\" | (string & {})",
            ),
            (r#"{"type":"integer","minimum":1}"#, "number"),
            (r#"{"type":"array","items":{"enum":["a","b"]}}"#, "readonly (\"a\" | \"b\")[]"),
        ] {
            assert_eq!(kind(&Json::parse(schema)), expected);
        }
    }
}
