//! `openapi::apply`: an application's own document gains what the gate does, and keeps the rest.

use serde_json::{Value, json};
use tollgate::{Category, DenialCode, Tollgate, openapi};

use super::schema;
use super::support::{issuer, key, root};

static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
    .with_title("Order locked")
    .with_remedy("Wait until it is released.");

async fn gate(denial: &str) -> Tollgate {
    let (_, entry) = key("one", "billing", "");
    let policy = format!(
        r#"version = 1
{denial}
[api_keys]
{entry}
{}
[[limit]]
name = "few"
rate = "5/minute"
per = ["client"]
[[rule]]
name = "read-orders"
methods = ["GET"]
path = "/v1/orders/{{id}}"
scopes = ["orders:read"]
limits = ["few"]
[[rule]]
name = "inside"
path = "/v1/inside"
listed = false
[[rule]]
name = "health"
path = "/v1/health"
public = true
"#,
        issuer()
    );
    Tollgate::builder().policy(policy).code(&ORDER_LOCKED).build().await.unwrap()
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Orders", "version": "7"},
        "servers": [{"url": "https://api.example.com/v1"}],
        "paths": {
            "/orders/{id}": {
                "summary": "An order",
                "get": {"responses": {"200": {"description": "The order"}}},
                "put": {"responses": {"200": {"description": "Changed"}}},
            },
            "/inside": {"get": {"responses": {}}},
            "/health": {
                "get": {
                    "security": [{"Mine": []}],
                    "responses": {
                        "200": {"description": "It is up"},
                        "503": {
                            "description": "my own words",
                            "content": {"application/problem+json": {"schema": {"type": "object"}}},
                        },
                    },
                },
            },
            "/nowhere": {"get": {"responses": {}}},
        },
        "components": {"schemas": {"LimitState": {"type": "string"}}},
        "x-mine": 7.5,
    })
}

fn statuses(operation: &Value) -> Vec<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_document_gains_what_the_gate_does() {
    let mut applied = document();
    openapi::apply(&gate("[denial]\nstatus = \"standard\"").await, &mut applied).unwrap();
    let order = &applied["paths"]["/orders/{id}"];
    assert_eq!(statuses(&order["get"]), ["200", "400", "401", "403", "429", "431", "503"]);
    assert_eq!(order["get"]["security"][2], json!({"BearerToken": ["orders:read"]}));
    let of = |status: &str| order["get"]["responses"][status]["description"].as_str().unwrap();
    assert_eq!(of("429"), "Denied: `rate_limited`, `too_many_failures`.");
    assert_eq!(
        of("403"),
        "Denied: `api_key_address_not_allowed`, `insufficient_scope`, `no_matching_rule`."
    );
    assert_eq!(statuses(&order["put"]), ["200", "405"]);
    assert_eq!(statuses(&applied["paths"]["/nowhere"]["get"]), ["403"]);
    let schemas = applied["components"]["schemas"].as_object().unwrap();
    for name in ["Denial", "TokenExpiredDenial", "OrderLockedDenial", "UnknownDenial"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(applied["components"]["headers"]["Retry-After"]["schema"].is_object());
}

/// Generators make a union of the denials of a response, and narrow it by `code`.
#[tokio::test]
async fn the_code_tells_the_denials_of_a_response_apart() {
    for (denial, status) in [("", "403"), ("[denial]\nstatus = \"standard\"", "403")] {
        let mut applied = document();
        openapi::apply(&gate(denial).await, &mut applied).unwrap();
        let schemas = &applied["components"]["schemas"];
        let response = &applied["paths"]["/orders/{id}"]["get"]["responses"][status];
        let schema = &response["content"]["application/problem+json"]["schema"];
        let name = |place: &Value| place.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let names: Vec<String> =
            schema["oneOf"].as_array().unwrap().iter().map(|kind| name(&kind["$ref"])).collect();
        assert_eq!(names.last().unwrap(), "UnknownDenial");
        assert!(
            names.contains(&"OrderLockedDenial".to_owned()),
            "the application's count: {names:?}"
        );
        assert_eq!(schema["discriminator"]["propertyName"], "code");
        let mapping = schema["discriminator"]["mapping"].as_object().unwrap();
        assert_eq!(mapping.len() + 1, names.len());
        for (code, place) in mapping {
            let own = &schemas[name(place)]["allOf"][1];
            assert_eq!(own["properties"]["code"]["enum"], json!([code]), "{code}");
            assert!(own["required"].as_array().unwrap().contains(&json!("code")), "{code}");
            let excluded =
                &schemas["UnknownDenial"]["allOf"][1]["properties"]["code"]["not"]["enum"];
            assert!(excluded.as_array().unwrap().contains(&json!(code)), "{code} is known");
        }
        let code = &schemas["Denial"]["properties"]["code"];
        assert_eq!((&code["type"], code.get("anyOf")), (&json!("string"), None));
    }
}

/// Linters report each component that nothing refers to.
#[tokio::test]
async fn no_component_is_there_for_nothing() {
    let mut applied = document();
    openapi::apply(&gate("").await, &mut applied).unwrap();
    let text = applied.to_string();
    for kind in ["responses", "examples", "headers", "schemas"] {
        for name in applied["components"][kind].as_object().unwrap().keys() {
            let place = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&place) || name == "LimitState", "{place}");
        }
    }
    // One that the document itself refers to is there.
    let mut applied = document();
    applied["paths"]["/nowhere"]["get"]["responses"]["418"] =
        json!({"$ref": "#/components/responses/Denied403"});
    openapi::apply(&gate("").await, &mut applied).unwrap();
    assert!(applied["components"]["responses"]["Denied403"].is_object());
    assert!(
        applied["components"]["schemas"]["ApiKeyExpiredDenial"].is_object(),
        "and what it refers to"
    );
}

#[tokio::test]
async fn what_a_document_says_already_wins() {
    let before = document();
    let mut applied = before.clone();
    let gate = gate("").await;
    openapi::apply(&gate, &mut applied).unwrap();
    assert_eq!(applied["components"]["schemas"]["LimitState"], json!({"type": "string"}));
    assert_eq!(applied["paths"]["/inside"], before["paths"]["/inside"], "it is not listed");
    let health = &applied["paths"]["/health"]["get"];
    assert_eq!(health["security"], json!([{"Mine": []}]));
    assert_eq!(health["responses"]["200"], json!({"description": "It is up"}));
    let both = &health["responses"]["503"];
    assert_eq!(both["description"], "my own words\n\nDenied: `decision_failed`.");
    let schemas = &both["content"]["application/problem+json"]["schema"]["anyOf"];
    assert_eq!(schemas[0], json!({"type": "object"}));
    assert_eq!(schemas[1]["oneOf"][0]["$ref"], "#/components/schemas/DecisionFailedDenial");
    let order = &applied["paths"]["/orders/{id}"]["get"]["responses"]["200"];
    assert_eq!(order["description"], "The order");
    assert!(order["headers"]["RateLimit"].is_object(), "successes tell how limits stand");
    assert_eq!((&applied["x-mine"], &applied["info"]), (&before["x-mine"], &before["info"]));
    assert_eq!(applied["paths"]["/orders/{id}"]["summary"], "An order");
    let once = applied.clone();
    openapi::apply(&gate, &mut applied).unwrap();
    assert_eq!(once, applied, "twice is as good as once");
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let mut list = json!([]);
    let error = openapi::apply(&gate("").await, &mut list).unwrap_err();
    assert_eq!(error.to_string(), "the document is not a JSON object");
}

/// Examples stand for codes that no test provokes, too.
#[test]
fn committed_examples_fit_the_schema() {
    let file = std::fs::read(root().join("docs/errors/openapi.json")).unwrap();
    let document: Value = serde_json::from_slice(&file).unwrap();
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(examples.len(), DenialCode::catalogue().len());
    for (code, example) in examples {
        assert_eq!(example["value"]["code"], code.as_str());
        schema::check_document(&example["value"]);
    }
}

#[test]
fn all_references_lead_somewhere() {
    let file = std::fs::read(root().join("docs/errors/openapi.json")).unwrap();
    let document: Value = serde_json::from_slice(&file).unwrap();
    let mut count = 0;
    follow(&document, &document, &mut count);
    assert!(count > 100, "{count} references");
}

fn follow(document: &Value, part: &Value, count: &mut usize) {
    match part {
        Value::Object(members) => {
            if let Some(place) = members.get("$ref").and_then(Value::as_str) {
                *count += 1;
                assert!(document.pointer(place.trim_start_matches('#')).is_some(), "{place}");
            }
            members.values().for_each(|part| follow(document, part, count));
        }
        Value::Array(items) => items.iter().for_each(|part| follow(document, part, count)),
        _ => {}
    }
}
