//! What was released stays true: the schema may grow, and takes nothing back.
//!
//! `docs/errors/released.schema.json` is the schema of the last release. Run with `RELEASE=1`
//! when a release is made: the file is written anew if nothing breaks.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::support::root;

fn read(file: &str) -> Value {
    let path = root().join("docs/errors").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn nothing_that_was_released_is_taken_back() {
    let (released, current) = (read("released.schema.json"), read("denial.schema.json"));
    let breaks = breaks(&released, &current);
    assert!(breaks.is_empty(), "this breaks clients:\n\n{}\n", breaks.join("\n\n"));
    if std::env::var_os("RELEASE").is_some() {
        let folder = root().join("docs/errors");
        fs::copy(folder.join("denial.schema.json"), folder.join("released.schema.json")).unwrap();
    }
}

/// What of `new` breaks a client that was written for `old`, each with a reason and a way out.
fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut breaks = Vec::new();
    for code in words(&old["properties"]["code"]) {
        if !words(&new["properties"]["code"]).contains(&code) || new["$defs"][&code].is_null() {
            breaks.push(format!(
                "The code `{code}` is gone. Clients compare `code` with it, and would take the \
                 reason for an unknown one. A code is never removed or renamed: keep its row, and \
                 add a new code beside it if the meaning is another."
            ));
        }
    }
    compare("every denial", old, new, &mut breaks);
    for (name, definition) in object(&old["$defs"]) {
        let now = &new["$defs"][name];
        let is_code = definition["properties"]["code"].is_object();
        match (now.is_null(), is_code) {
            (false, _) => compare(&format!("`{name}`"), definition, now, &mut breaks),
            (true, false) => breaks.push(format!(
                "The type `{name}` is gone. Types that were generated from the schema have its \
                 name: keep it."
            )),
            (true, true) => {}
        }
    }
    breaks
}

/// Compares the members of two objects.
fn compare(what: &str, old: &Value, new: &Value, breaks: &mut Vec<String>) {
    for (name, schema) in object(&old["properties"]) {
        let now = &new["properties"][name];
        if now.is_null() {
            breaks.push(format!(
                "The member `{name}` of {what} is gone. Clients read it. A member is never \
                 removed or renamed: keep it, and add a new one beside it."
            ));
        } else if name != "code" || what != "every denial" {
            compare_types(&format!("the member `{name}` of {what}"), schema, now, breaks);
        }
    }
    let (before, now) = (required(old), required(new));
    for name in now.difference(&before) {
        breaks.push(format!(
            "The member `{name}` of {what} is newly required. Whoever checks denials with the new \
             schema refuses those of servers that run the last release, and stand-ins that \
             clients test with. Leave it optional: `Sometimes` in the row."
        ));
    }
    for name in before.difference(&now) {
        breaks.push(format!(
            "The member `{name}` of {what} is no longer required. Clients read it without asking \
             whether it is there. Keep sending it always, or add a code of its own for denials \
             that lack it."
        ));
    }
    for closing in ["additionalProperties", "unevaluatedProperties", "propertyNames"] {
        if !new[closing].is_null() && new[closing] != old[closing] {
            breaks.push(format!(
                "`{closing}` of {what} is new. The object is open, so that members can be added \
                 later: leave it so."
            ));
        }
    }
}

/// Compares what two schemas allow, but for the words about it.
fn compare_types(what: &str, old: &Value, new: &Value, breaks: &mut Vec<String>) {
    let (before, now) = (words(old), words(new));
    for gone in before.difference(&now) {
        breaks.push(format!(
            "The value `{gone}` of {what} is gone. Clients compare with it. Keep it, and add new \
             values beside it."
        ));
    }
    if !is_open(old) || !is_open(new) {
        for added in now.difference(&before) {
            breaks.push(format!(
                "The value `{added}` of {what} is new, and the list is closed. Clients do not \
                 expect another value. Add a member beside it that tells more."
            ));
        }
    }
    if bare(old) != bare(new) {
        breaks.push(format!(
            "The type of {what} is another one, was {} and is {}. Clients read the old type. Keep \
             it, and add a member of another name with the new one.",
            bare(old),
            bare(new)
        ));
    }
}

/// The words of a list, open or closed.
fn words(schema: &Value) -> BTreeSet<String> {
    let list = if is_open(schema) { &schema["anyOf"][0]["enum"] } else { &schema["enum"] };
    let text = |word: &Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
    list.as_array().into_iter().flatten().map(text).collect()
}

/// Whether the list of values may grow: `{"anyOf": [{"enum": [...]}, ...]}`.
fn is_open(schema: &Value) -> bool {
    schema["anyOf"].is_array()
}

/// What clients of `what` rely on; a member that comes only with another one counts too.
fn required(schema: &Value) -> BTreeSet<String> {
    let of_detail = &schema["dependentRequired"]["detail"];
    let lists = [&schema["required"], of_detail].map(|list| list.as_array().into_iter().flatten());
    lists.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A schema without words about it and without its lists of values.
fn bare(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        let is_open = members.contains_key("anyOf");
        for name in ["title", "description", "examples", "$comment", "enum"] {
            members.remove(name);
        }
        if is_open {
            members.insert("anyOf".into(), "an open list".into());
        }
        if let Some(items) = members.get_mut("items") {
            *items = bare(items);
        }
    }
    schema
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The breaks after one change to the current schema.
fn after(change: impl FnOnce(&mut Value)) -> String {
    let old = read("denial.schema.json");
    let mut new = old.clone();
    change(&mut new);
    assert_ne!(old, new, "the change changes something");
    breaks(&old, &new).join("\n")
}

fn remove(list: &mut Value, word: &str) {
    list.as_array_mut().unwrap().retain(|held| held != word);
}

fn push(list: &mut Value, word: &str) {
    list.as_array_mut().unwrap().push(word.into());
}

#[test]
fn what_is_added_passes() {
    let added = after(|schema| {
        push(&mut schema["properties"]["code"]["anyOf"][0]["enum"], "token_tired");
        schema["$defs"]["token_tired"] =
            json!({"properties": {"since": {}}, "required": ["since"]});
        schema["$defs"]["token_expired"]["properties"]["issuer"] = json!({"type": "string"});
        schema["$defs"]["LimitState"]["properties"]["plan"] = json!({"type": "string"});
        schema["properties"]["trace"] = json!({"type": "string"});
        schema["properties"]["title"]["description"] = "In other words.".into();
        let unit = &mut schema["$defs"]["LimitState"]["properties"]["unit"];
        push(&mut unit["anyOf"][0]["enum"], "bytes");
    });
    assert_eq!(added, "");
}

#[test]
fn what_is_removed_or_renamed_is_found() {
    for (broken, message) in [
        (
            after(|schema| {
                remove(&mut schema["properties"]["code"]["anyOf"][0]["enum"], "token_expired");
            }),
            "The code `token_expired` is gone",
        ),
        (
            after(|schema| {
                schema["$defs"].as_object_mut().unwrap().remove("token_expired");
            }),
            "The code `token_expired` is gone",
        ),
        (
            after(|schema| {
                let members = schema["$defs"]["token_expired"]["properties"].as_object_mut();
                let member = members.unwrap().remove("expired_at").unwrap();
                schema["$defs"]["token_expired"]["properties"]["ended_at"] = member;
            }),
            "The member `expired_at` of `token_expired` is gone",
        ),
        (
            after(|schema| {
                schema["properties"].as_object_mut().unwrap().remove("remedy");
            }),
            "The member `remedy` of every denial is gone",
        ),
        (
            after(|schema| {
                schema["$defs"].as_object_mut().unwrap().remove("LimitState");
            }),
            "The type `LimitState` is gone",
        ),
        (
            after(|schema| {
                let looks_like =
                    &mut schema["$defs"]["token_type_mismatch"]["properties"]["looks_like"];
                remove(&mut looks_like["anyOf"][0]["enum"], "id_token");
            }),
            "The value `id_token` of the member `looks_like`",
        ),
    ] {
        assert!(broken.starts_with(message), "{message}: {broken}");
        assert!(broken.contains("Clients") || broken.contains("Types"), "it says why: {broken}");
        assert!(broken.contains("keep") || broken.contains("Keep"), "and what to do: {broken}");
    }
}

#[test]
fn what_is_newly_required_or_no_longer_promised_is_found() {
    let required = after(|schema| push(&mut schema["required"], "support"));
    assert!(required.starts_with("The member `support` of every denial is newly required."));
    let required =
        after(|schema| push(&mut schema["$defs"]["rate_limited"]["required"], "retry_after"));
    assert!(required.starts_with("The member `retry_after` of `rate_limited` is newly required."));
    let required =
        after(|schema| push(&mut schema["$defs"]["AcceptedIssuer"]["required"], "obtain"));
    assert!(required.starts_with("The member `obtain` of `AcceptedIssuer` is newly required."));
    let optional =
        after(|schema| remove(&mut schema["$defs"]["token_expired"]["required"], "server_time"));
    assert!(
        optional.starts_with("The member `server_time` of `token_expired` is no longer required.")
    );
    let optional = after(|schema| {
        let told = &mut schema["$defs"]["credentials_missing"]["dependentRequired"]["detail"];
        remove(told, "accepted_credentials");
    });
    assert!(optional.contains("`accepted_credentials` of `credentials_missing` is no longer"));
}

#[test]
fn a_type_that_is_narrowed_or_changed_is_found() {
    let token_expired = |schema: &mut Value, name: &str, value: Value| {
        schema["$defs"]["token_expired"]["properties"]["expired_at"][name] = value;
    };
    for broken in [
        after(|schema| token_expired(schema, "type", "integer".into())),
        after(|schema| token_expired(schema, "format", "date".into())),
        after(|schema| token_expired(schema, "maxLength", 20.into())),
        after(|schema| schema["properties"]["retry_after"]["maximum"] = 60.into()),
        after(|schema| schema["properties"]["retry_after"]["type"] = "number".into()),
        after(|schema| {
            let scopes = &mut schema["$defs"]["insufficient_scope"]["properties"]["missing_scopes"];
            scopes["items"]["type"] = "object".into();
        }),
        after(|schema| {
            schema["$defs"]["token_expired"]["properties"]["category"]["const"] = "limit".into();
        }),
    ] {
        assert!(broken.starts_with("The type of the member `"), "{broken}");
        assert!(broken.contains("is another one, was {") && broken.contains("Keep it"), "{broken}");
    }
    let closed = after(|schema| push(&mut schema["properties"]["category"]["enum"], "payment"));
    assert!(
        closed.starts_with("The value `payment` of the member `category` of every denial is new")
    );
    let status = after(|schema| {
        schema["$defs"]["rate_limited"]["properties"]["status"]["enum"] = json!([403, 503]);
    });
    assert!(status.contains("The value `429`") && status.contains("The value `503`"), "{status}");
    let closed = after(|schema| schema["additionalProperties"] = false.into());
    assert!(closed.starts_with("`additionalProperties` of every denial is new."));
}
