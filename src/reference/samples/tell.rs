use std::error::Error;

use reqwest::{Client, Response};
use serde_json::Value;

/// Asking again does not help: says what does.
async fn list_orders(client: &Client, api: &str, key: &str) -> Result<Response, Box<dyn Error>> {
    let response = client.get(format!("{api}/orders")).header("x-api-key", key).send().await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let denial: Value = response.json().await?;
    if denial["code"] == "insufficient_scope" {
        return Err(format!("{}: {}", denial["title"], denial["remedy"]).into());
    }
    Err(format!("denied with {}", denial["code"]).into())
}
