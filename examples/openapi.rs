//! An application's own OpenAPI document, made with utoipa, and what the gate adds to it.
//!
//! ```text
//! cargo run --example openapi
//! ```
//!
//! The handlers say what they answer. That a path asks for scopes, and how it denies, stands in
//! the policy; `openapi::apply` takes it from there, so that nobody has to repeat it.

use std::error::Error;

use axum::{Json, Router, routing::get};
use serde::Serialize;
use tollgate::{Tollgate, openapi};
use utoipa::{OpenApi, ToSchema};

#[derive(Serialize, ToSchema)]
struct Order {
    item: String,
    quantity: u32,
}

/// All orders
#[utoipa::path(get, path = "/orders", responses((status = 200, description = "The orders", body = [Order])))]
async fn list_orders() -> Json<Vec<Order>> {
    Json(vec![Order { item: "pencils".into(), quantity: 12 }])
}

/// Whether the API is up
#[utoipa::path(get, path = "/health", responses((status = 200, description = "It is")))]
async fn health() -> &'static str {
    "ok\n"
}

#[derive(OpenApi)]
#[openapi(info(title = "Orders"), paths(list_orders, health))]
struct Documented;

/// As JSON: the types of utoipa have no place for all that can be said of a denial.
fn document(gate: &Tollgate) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut document = serde_json::to_value(Documented::openapi())?;
    openapi::apply(gate, &mut document)?;
    Ok(document)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = Tollgate::open("config/tollgate.toml").await?;
    let document = serde_json::to_string_pretty(&document(&gate)?)?;
    println!("{document}");

    // The application serves it like any other document; its path needs a rule in the policy.
    let _app: Router = Router::new()
        .route("/orders", get(list_orders))
        .route("/health", get(health))
        .route("/openapi.json", get(move || async move { document }))
        .layer(gate.layer());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn operations_have_the_security_and_the_denials_of_their_rules() {
        let gate = Tollgate::open("config/tollgate.toml").await.expect("the policy is fine");
        let document = document(&gate).expect("it is JSON");

        let orders = &document["paths"]["/orders"]["get"];
        assert_eq!(orders["security"][0]["ApiKeyHeader"][0], "orders:read");
        let denied = &orders["responses"]["403"];
        let about = denied["description"].as_str().unwrap_or_default();
        assert!(about.contains("`insufficient_scope`") && about.contains("`rate_limited`"));
        let kinds = &denied["content"]["application/problem+json"]["schema"]["oneOf"];
        assert_eq!(kinds[0]["$ref"], "#/components/schemas/CredentialsMissingDenial");
        assert!(denied["headers"]["Retry-After"].is_object());

        let health = &document["paths"]["/health"]["get"];
        assert_eq!(health["security"].as_array().map(Vec::len), Some(0), "it is public");
        assert_eq!(health["responses"]["200"]["description"], "It is");

        let components = &document["components"];
        let expired = &components["schemas"]["TokenExpiredDenial"]["allOf"][1]["properties"];
        assert_eq!(expired["code"]["enum"][0], "token_expired");
        assert_eq!(expired["expired_at"]["format"], "date-time");
        let unknown = &components["schemas"]["UnknownDenial"]["allOf"][1]["properties"]["code"];
        assert_eq!(unknown["not"]["enum"][0], "credentials_missing", "nothing is lost on the way");
        assert_eq!(components["securitySchemes"]["BearerToken"]["bearerFormat"], "JWT");
        let example = &components["schemas"]["TokenExpiredDenial"]["examples"][0];
        assert_eq!(example["code"], "token_expired");
    }
}
