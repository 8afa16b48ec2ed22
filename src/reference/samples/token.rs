// In Cargo.toml: tollgate-client = "0.1"
use std::error::Error;

use reqwest::{Client, Response};
use tollgate_client::Denial;

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
    let (status, headers) = (response.status(), response.headers().clone());
    let denial = Denial::parse(status, &headers, &response.bytes().await?)
        .ok_or_else(|| format!("{status}, and no denial"))?;
    if denial.code != "token_expired" {
        return Err(denial); // its message is title and remedy
    }
    let token = new_token().await?;
    Ok(client.get(format!("{api}/orders")).bearer_auth(token).send().await?)
}
