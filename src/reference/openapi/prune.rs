//! Leaves out components that nothing refers to: linters report each of them.

use std::collections::HashSet;

use crate::reference::Api;
use crate::reference::json::Json;

use super::components::schema_name;

/// The kinds of components that are left out. Credentials are referred to by name.
const KINDS: [&str; 4] = ["responses", "examples", "headers", "schemas"];

/// Leaves out of a document those of `ours` that nothing in it refers to. Schemas of the codes of the
/// application stay, since handlers answer with them wherever they like.
pub(super) fn prune(api: &Api<'_>, document: &mut Json, ours: &Json) {
    let own = api.codes.iter().filter(|code| code.is_own());
    let stays = |kind: &str, name: &str| {
        kind == "schemas" && own.clone().any(|code| schema_name(code.code) == name)
    };
    let mut droppable: Vec<(&str, String)> = Vec::new();
    for kind in KINDS {
        for (name, component) in of_kind(ours, kind).members() {
            let held = document.get("components").and_then(|all| all.get(kind)?.get(name));
            let is_ours = held.is_some_and(|held| held.says_the_same(component));
            if is_ours && !stays(kind, name) {
                droppable.push((kind, name.clone()));
            }
        }
    }
    let is_droppable =
        |kind: &str, name: &str| droppable.iter().any(|(of, held)| *of == kind && held == name);
    let mut reached: HashSet<String> = HashSet::new();
    let mut next = Vec::new();
    for (_, part) in document.members().iter().filter(|(name, _)| name != "components") {
        refer(part, &mut next);
    }
    let components = document.get("components").cloned().unwrap_or(Json::Null);
    for (kind, held) in components.members() {
        for (name, part) in held.members() {
            if !is_droppable(kind, name) {
                refer(part, &mut next);
            }
        }
    }
    while let Some(place) = next.pop() {
        let mut parts = place.trim_start_matches(PREFIX).split('/');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if reached.insert(format!("{kind}/{name}"))
            && let Some(part) = components.get(kind).and_then(|held| held.get(name))
        {
            refer(part, &mut next);
        }
    }
    for (kind, held) in document.entry("components").members_mut() {
        if let Json::Object(members) = held {
            members.retain(|(name, _)| {
                !is_droppable(kind, name) || reached.contains(&format!("{kind}/{name}"))
            });
        }
    }
}

const PREFIX: &str = "#/components/";

fn of_kind<'j>(components: &'j Json, kind: &str) -> &'j Json {
    components.get(kind).unwrap_or(&Json::Null)
}

/// The components that a part refers to. An example's value refers to nothing, whatever it says.
fn refer(part: &Json, found: &mut Vec<String>) {
    match part {
        Json::Text(text) if text.starts_with(PREFIX) => found.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| refer(item, found)),
        Json::Object(members) => {
            // The examples of a response are an object that refers to each; those of a schema are values.
            let is_value = |(name, member): &&(String, Json)| match name.as_str() {
                "value" | "example" => true,
                "examples" => matches!(member, Json::Array(_)),
                _ => false,
            };
            let members = members.iter().filter(|member| !is_value(member));
            members.for_each(|(_, member)| refer(member, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_refers_to_is_left_out_and_the_rest_stays() {
        let ours = Json::parse(
            r##"{"schemas": {
                "A": {"$ref": "#/components/schemas/B"}, "B": {}, "C": {"$ref": "#/components/schemas/C"},
                "Theirs": {"type": "object"}
            }, "responses": {"R": {"x": "#/components/schemas/C"}},
            "examples": {"e": {"value": "#/components/schemas/C"}}}"##,
        );
        let mut document = Json::parse(
            r##"{"paths": {"/": {"m": {"a": "#/components/schemas/A"}, "e": "#/components/examples/e"}}}"##,
        );
        document.set("components", ours.clone());
        document.entry("components").entry("schemas").set("Theirs", "another");
        prune(&Api::any(), &mut document, &ours);
        let left = |kind: &str| -> Vec<String> {
            let held = of_kind(document.get("components").unwrap(), kind);
            held.members().iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(left("schemas"), ["A", "B", "Theirs"], "a circle is no use");
        assert_eq!((left("responses"), left("examples")), (vec![], vec!["e".to_owned()]));
    }
}
