//! The schema that is handed out fits what is sent: every denial that any test provokes is held
//! against it.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::support::{Answer, root};

/// The committed schema, made stricter than clients are told to be.
struct Schema {
    document: Value,
    validator: Validator,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let path = root().join("docs/errors/denial.schema.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&document), "it is JSON Schema itself");
    close(&mut document["$defs"]);
    let validator = jsonschema::options().should_validate_formats(true).build(&document).unwrap();
    Schema { document, validator }
});

/// Clients accept values that are added later to an open list; here such a value is a mistake.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(open) = members.remove("anyOf") {
                members.insert("enum".into(), open[0]["enum"].clone());
            }
            // The schemes of keys and the units of limits are chosen by a policy.
            let is_closed = |name: &String| name != "scheme" && name != "unit";
            members
                .iter_mut()
                .filter(|(name, _)| is_closed(name))
                .for_each(|(_, value)| close(value));
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

impl Schema {
    fn names(&self, place: &str) -> Vec<&str> {
        let properties = self.document.pointer(place).and_then(Value::as_object);
        properties.map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    fn knows(&self, code: &str) -> bool {
        let known = &self.document["properties"]["code"]["anyOf"][0]["enum"];
        known.as_array().unwrap().contains(&code.into())
    }
}

/// Checks a denial that came back: its members are those of its code, whatever the policy.
pub(crate) fn check(answer: &Answer) {
    let is_denial = answer.line("content-type").is_some_and(|kind| kind.contains("problem+json"));
    if !is_denial || answer.text.is_empty() {
        return;
    }
    check_document(&answer.json());
}

/// Checks the document alone.
pub(crate) fn check_document(body: &Value) {
    let problems: Vec<String> =
        SCHEMA.validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{body:#} does not fit the schema: {problems:#?}");
    let code = body["code"].as_str().unwrap();
    if !SCHEMA.knows(code) {
        return; // of the application, which may add members
    }
    let (base, own) =
        (SCHEMA.names("/properties"), SCHEMA.names(&format!("/$defs/{code}/properties")));
    for name in body.as_object().unwrap().keys() {
        let is_known = base.contains(&name.as_str()) || own.contains(&name.as_str());
        assert!(is_known, "the row of {code} does not name `{name}`: {body:#}");
    }
}

/// Checks that the schema would find a mistake in each member of this denial.
pub(crate) fn check_strictness(answer: &Answer) {
    let body = answer.json();
    let code = answer.code();
    let own = SCHEMA.document.pointer(&format!("/$defs/{code}")).unwrap();
    let required =
        [&SCHEMA.document["required"], &own["required"], &own["dependentRequired"]["detail"]];
    for name in body.as_object().unwrap().keys() {
        let mut broken = body.clone();
        for wrong in [json!({"no": "such type"}), Value::Null] {
            broken[name] = wrong;
            assert!(!SCHEMA.validator.is_valid(&broken), "{code}: `{name}` has the wrong type");
        }
        broken.as_object_mut().unwrap().remove(name);
        let needed = required
            .iter()
            .any(|list| list.as_array().is_some_and(|names| names.contains(&name.as_str().into())));
        assert_eq!(SCHEMA.validator.is_valid(&broken), !needed, "{code} without `{name}`");
    }
    let mut items = body.clone();
    for value in items.as_object_mut().unwrap().values_mut() {
        if let Some(item) = value.get_mut(0) {
            *item = 7.into();
            assert!(!SCHEMA.validator.is_valid(&items), "{code}: an item has the wrong type");
            break;
        }
    }
}

#[test]
fn an_unknown_code_and_further_members_are_valid() {
    let mut denial = json!({
        "type": "/errors/order_locked", "title": "Order locked", "status": 409,
        "code": "order_locked", "category": "authorization", "detail": "It is locked.",
        "remedy": "Wait.", "action": "ask", "actor": "owner", "retryable": false, "locked_by": {"name": "the warehouse"},
        "instance": "urn:uuid:00000000-0000-4000-8000-000000000000",
    });
    assert!(SCHEMA.validator.is_valid(&denial));
    denial["code"] = "Order-Locked".into();
    assert!(!SCHEMA.validator.is_valid(&denial));
}
