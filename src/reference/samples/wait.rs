use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;

/// Waits as long as the denial says, but not for more than a minute, and asks again.
async fn list_orders(client: &Client, api: &str, key: &str) -> Result<Response, Box<dyn Error>> {
    let mut attempt = 1;
    loop {
        let response = client.get(format!("{api}/orders")).header("x-api-key", key).send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let denial: Value = response.json().await?;
        let wait = denial["retry_after"].as_u64().unwrap_or(1);
        let may_wait = denial["retryable"] == true && wait <= 60 && attempt < 3;
        if denial["code"] != "rate_limited" || !may_wait {
            return Err(format!("{}: {}", denial["title"], denial["remedy"]).into());
        }
        tokio::time::sleep(Duration::from_secs(wait * attempt)).await;
        attempt += 1;
    }
}
