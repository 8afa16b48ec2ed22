// In Cargo.toml: tollgate-client = "0.1"
use std::error::Error;

use reqwest::{Client, Response};
use tollgate_client::Denial;

/// The server is at fault: gives its people the name of this denial in their log.
async fn list_orders(client: &Client, api: &str, key: &str) -> Result<Response, Box<dyn Error>> {
    let response = client.get(format!("{api}/orders")).header("x-api-key", key).send().await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let denial = Denial::parse(status, &headers, &response.bytes().await?)
        .ok_or_else(|| format!("{status}, and no denial"))?;
    if denial.code == "decision_failed" {
        let whom = denial.support.as_deref().unwrap_or("the provider");
        return Err(format!("report {} to {whom}", denial.instance).into());
    }
    Err(format!("denied with {}", denial.code).into())
}
