//! A client of the orders API that does what its denials say, with reqwest.
//!
//! ```text
//! cargo run --example orders_api -- --credentials credentials.json
//! cargo run --example client -- credentials.json
//! ```
//!
//! It replaces an expired token by itself, tells its user about a missing scope, and waits out a
//! rate limit, as long as it is told to and in one go. It checks that all of this happened, and
//! fails where it did not.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, header};
use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use tollgate_client::{Code, Denial, Next, Recovery, is_denial};

/// Why a request came to nothing.
#[derive(Debug)]
enum Failure {
    /// It was refused, and only a person can do something about it.
    Denied(Box<Denial>),
    /// It failed, and the answer is no denial.
    Unexplained(StatusCode),
    /// There was no answer.
    Unanswered(reqwest::Error),
}

/// A client of the orders API.
struct Orders {
    http: reqwest::Client,
    address: String,
    /// What tokens are issued for.
    key: String,
    token: Option<String>,
    /// The longest that a request may wait for its turn.
    patience: Duration,
    record: Vec<Exchange>,
}

/// A request that was sent, and what came back.
struct Exchange {
    request: String,
    sent: Instant,
    answered: Instant,
    refused: Option<Box<Denial>>,
}

impl Orders {
    fn new(credentials: &Credentials, key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            address: credentials.address.clone(),
            key: key.to_owned(),
            token: None,
            patience: Duration::from_secs(10),
            record: Vec::new(),
        }
    }

    async fn read(&mut self, id: u32) -> Result<Order, Failure> {
        Ok(self.request(Method::GET, &format!("/orders/{id}"), None).await?.json().await?)
    }

    async fn create(&mut self, order: &Order) -> Result<String, Failure> {
        Ok(self.request(Method::POST, "/orders", Some(order)).await?.text().await?)
    }

    /// Sends a request, and repeats it where the denial says that this helps.
    async fn request(
        &mut self,
        method: Method,
        path: &str,
        order: Option<&Order>,
    ) -> Result<Response, Failure> {
        let mut recovery = Recovery::new().with_patience(self.patience);
        loop {
            let token = self.token().await?;
            let mut request = self.http.request(method.clone(), self.address.clone() + path);
            if let Some(order) = order {
                request = request.json(order);
            }
            let denial = match self.send(request.bearer_auth(token)).await {
                Err(Failure::Denied(denial)) => denial,
                answer => return answer,
            };
            match recovery.next(&denial) {
                Next::Wait(delay) => tokio::time::sleep(delay).await,
                // Tokens have the scopes of the key: there are no more.
                Next::Obtain(scopes) if scopes.is_empty() => self.token = None,
                _ => return Err(Failure::Denied(denial)),
            }
        }
    }

    /// The token from last time, or a new one in exchange for the key.
    async fn token(&mut self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
        }
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let request = self.http.post(format!("{}/token", self.address));
        let request = request.header(header::AUTHORIZATION, format!("ApiKey {}", self.key));
        let issued: Issued = self.send(request).await?.json().await?;
        self.token = Some(issued.access_token.clone());
        Ok(issued.access_token)
    }

    /// Sends a request once, and keeps a record of it.
    async fn send(&mut self, request: RequestBuilder) -> Result<Response, Failure> {
        let request = request.build()?;
        let name = format!("{} {}", request.method(), request.url().path());
        let sent = Instant::now();
        let response = self.http.execute(request).await?;
        let answered = Instant::now();
        let answer = read(response).await;
        let refused = match &answer {
            Err(Failure::Denied(denial)) => Some(denial.clone()),
            _ => None,
        };
        self.record.push(Exchange { request: name, sent, answered, refused });
        answer
    }

    /// What was sent, and the code of each denial that came back.
    fn told(&self) -> Vec<String> {
        let line = |exchange: &Exchange| match &exchange.refused {
            Some(denial) => format!("{}: {}", exchange.request, denial.code),
            None => exchange.request.clone(),
        };
        self.record.iter().map(line).collect()
    }
}

/// The response, or the denial that is in it.
async fn read(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = response.headers().clone();
    if !is_denial(status, &headers) {
        return Err(Failure::Unexplained(status));
    }
    let denial = Denial::parse(status, &headers, &response.bytes().await?);
    Err(denial.map_or(Failure::Unexplained(status), Failure::Denied))
}

/// What to tell the person in front of the screen.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => match denial.code {
                Code::InsufficientScope => {
                    let missing = denial.missing_scopes.join(", ");
                    write!(f, "You may not do this: you lack {missing}. {}", denial.remedy)
                }
                _ => denial.fmt(f),
            },
            Self::Unexplained(status) => write!(f, "The API answered {status}."),
            Self::Unanswered(error) => write!(f, "The API did not answer: {error}."),
        }
    }
}

impl Error for Failure {}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Unanswered(error)
    }
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    item: String,
    quantity: u16,
}

impl Order {
    fn of(quantity: u16, item: &str) -> Self {
        Self { item: item.to_owned(), quantity }
    }
}

/// What the example API writes for its clients (`--credentials FILE`).
#[derive(Deserialize)]
struct Credentials {
    address: String,
    keys: Keys,
    tokens: Tokens,
}

#[derive(Deserialize)]
struct Keys {
    reader: String,
    writer: String,
}

#[derive(Deserialize)]
struct Tokens {
    expired: String,
}

async fn an_expired_token_is_replaced(credentials: &Credentials) -> Result<(), Box<dyn Error>> {
    let mut orders = Orders::new(credentials, &credentials.keys.reader);
    orders.token = Some(credentials.tokens.expired.clone());

    assert_eq!(orders.read(1).await?, Order::of(12, "pencils"));
    let told = orders.told();
    assert_eq!(told, ["GET /orders/1: token_expired", "POST /token", "GET /orders/1"]);
    println!("an expired token: replaced by a new one, and the request repeated with it");
    Ok(())
}

async fn a_missing_scope_is_told(credentials: &Credentials) -> Result<(), Box<dyn Error>> {
    let mut orders = Orders::new(credentials, &credentials.keys.reader);

    let failure = orders.create(&Order::of(3, "paper")).await.err();
    let failure = failure.ok_or("a reader may not write")?;
    let message = failure.to_string();
    assert!(message.starts_with("You may not do this: you lack orders:write. Get"), "{message}");
    assert_eq!(orders.told(), ["POST /token", "POST /orders: insufficient_scope"]);
    println!("a missing scope: told to the user: \"{message}\"");
    Ok(())
}

async fn a_rate_limit_is_waited_out(credentials: &Credentials) -> Result<(), Box<dyn Error>> {
    let mut orders = Orders::new(credentials, &credentials.keys.writer);

    // A new client spends what the limit holds, until it has to wait for the first time.
    while !orders.record.iter().any(|exchange| exchange.refused.is_some()) {
        assert!(orders.record.len() < 100, "the limit never came");
        orders.create(&Order::of(3, "paper")).await?;
    }
    let Some([refused, repeated]) = orders.record.last_chunk() else {
        return Err("nothing was repeated".into());
    };
    let denial = refused.refused.as_ref().ok_or("the last request was refused, once")?;
    assert_eq!(denial.code, Code::RateLimited);
    assert!(repeated.refused.is_none(), "one wait is enough");
    let (waited, promised) = (repeated.sent - refused.answered, denial.retry_after);
    let promised = promised.ok_or("the denial names a time")?;
    let late = waited.checked_sub(promised).ok_or("it was repeated too soon")?;
    assert!(late < Duration::from_secs(5), "{waited:?} for {promised:?}");
    println!("a rate limit: waited out, {} ms of {promised:?}, in one go", waited.as_millis());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: client CREDENTIALS")?;
    let credentials: Credentials = serde_json::from_slice(&std::fs::read(&file)?)?;
    an_expired_token_is_replaced(&credentials).await?;
    a_missing_scope_is_told(&credentials).await?;
    a_rate_limit_is_waited_out(&credentials).await
}
