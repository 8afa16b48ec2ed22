// In Cargo.toml: tollgate-client = "0.1"
use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response};
use tollgate_client::Denial;

/// Waits as long as the denial says, but not for more than a minute, and asks again.
async fn list_orders(client: &Client, api: &str, key: &str) -> Result<Response, Box<dyn Error>> {
    let mut attempt = 1;
    loop {
        let response = client.get(format!("{api}/orders")).header("x-api-key", key).send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let denial = Denial::parse(status, &headers, &response.bytes().await?)
            .ok_or_else(|| format!("{status}, and no denial"))?;
        let delay = denial.retry_delay(attempt).filter(|delay| *delay <= Duration::from_secs(60));
        match delay {
            Some(delay) if denial.code == "rate_limited" && attempt < 3 => {
                tokio::time::sleep(delay).await;
            }
            _ => return Err(denial), // its message is title and remedy
        }
        attempt += 1;
    }
}
