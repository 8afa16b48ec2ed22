//! The client crate keeps step with the tables: each code, category and member here has its
//! variant or field there.

use serde_json::{Value, json};
use tollgate_client::{self as client, Denial};

use crate::denial::Category;
use crate::denial::catalogue::CATALOGUE;
use crate::denial::members::{BASE, ITEMS, MEMBERS};

/// A value that fits a schema, with all that may be in it.
fn sample(schema: &Value) -> Value {
    let item = schema["$ref"].as_str().map(|at| at.trim_start_matches("#/$defs/"));
    if let Some(item) = item.and_then(|name| ITEMS.iter().find(|item| item.name == name)) {
        let schema: Value = serde_json::from_str(item.schema).unwrap();
        return sample(&schema);
    }
    match schema["type"].as_str().unwrap() {
        "array" => json!([sample(&schema["items"])]),
        "boolean" => json!(true),
        "integer" => schema["maximum"].as_u64().unwrap_or(429).into(),
        "object" => {
            let members = schema["properties"].as_object().unwrap().iter();
            members.map(|(name, schema)| (name.clone(), sample(schema))).collect()
        }
        _ => schema["enum"][0].as_str().unwrap_or("text").into(),
    }
}

#[test]
fn every_member_of_every_code_has_its_field() {
    for row in CATALOGUE {
        let named = BASE.iter().chain(row.members).map(|(name, _)| *name);
        let mut document: Value = named
            .map(|name| {
                let member = MEMBERS.iter().find(|member| member.name == name).unwrap();
                let schema = serde_json::from_str(member.schema).unwrap();
                (name.to_owned(), sample(&schema))
            })
            .collect();
        document["code"] = row.code.into();
        document["category"] = row.category.as_str().into();
        let denial: Denial = serde_json::from_value(document.clone()).unwrap();
        let others: Vec<&str> = denial.other_members().collect();
        assert!(
            others.is_empty(),
            "`client::Denial` has no field of the right type for {others:?} of {}",
            row.code
        );
        assert_eq!(
            serde_json::to_value(&denial).unwrap(),
            document,
            "a type of client/src/item.rs lacks a member that {} has",
            row.code
        );
    }
}

#[test]
fn the_words_are_those_of_the_catalogue_in_its_order() {
    let codes: Vec<&str> = CATALOGUE.iter().map(|row| row.code).collect();
    assert_eq!(client::Code::KNOWN, codes, "`client::Code` has other variants or another order");
    let categories = Category::ALL.map(Category::as_str);
    assert_eq!(client::Category::KNOWN, categories, "`client::Category` has other variants");
}
