use std::error::Error;

use reqwest::{Client, Response};
use serde_json::Value;

/// Gets a new token, once, and asks again with it.
async fn list_orders(
    client: &Client,
    api: &str,
    token: &str,
    new_token: impl AsyncFnOnce() -> Result<String, Box<dyn Error>>,
) -> Result<Response, Box<dyn Error>> {
    let response = client.get(format!("{api}/orders")).bearer_auth(token).send().await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let denial: Value = response.json().await?;
    if denial["code"] != "token_expired" {
        return Err(format!("{}: {}", denial["title"], denial["remedy"]).into());
    }
    let token = new_token().await?;
    Ok(client.get(format!("{api}/orders")).bearer_auth(token).send().await?)
}
