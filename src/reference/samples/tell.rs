// In Cargo.toml: tollgate-client = "0.1"
use std::error::Error;

use reqwest::{Client, Response};
use tollgate_client::Denial;

/// Asking again does not help: says what does.
async fn list_orders(client: &Client, api: &str, key: &str) -> Result<Response, Box<dyn Error>> {
    let response = client.get(format!("{api}/orders")).header("x-api-key", key).send().await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let denial = Denial::parse(status, &headers, &response.bytes().await?)
        .ok_or_else(|| format!("{status}, and no denial"))?;
    if denial.code == "insufficient_scope" {
        return Err(denial); // its message is title and remedy
    }
    Err(format!("denied with {}", denial.code).into())
}
