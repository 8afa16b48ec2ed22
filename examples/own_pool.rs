//! API keys in a table that the application has already.
//!
//! ```text
//! cargo run --example own_pool --features sqlite
//! ```
//!
//! The table is the application's own, and so is the connection: the gate only looks keys up, by the
//! SHA-256 of their text. A client that changes its plan needs no new key.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use rusqlite::{Connection, OptionalExtension as _};
use tollgate::keys::{ApiKeyRecord, KeyDigest, KeyFuture, KeySource, KeySourceError};
use tollgate::{NewApiKey, Principal, Tollgate};
use tower::ServiceExt as _;

const POLICY: &str = r#"
version = 1
[api_keys]
[[limit]]
name = "per-client"
rate = "10/minute"
per  = ["client"]
plans.paid = { rate = "1000/minute" }
[[rule]]
name   = "orders"
path   = "/orders"
scopes = ["orders:read"]
limits = ["per-client"]
"#;

/// The application's accounts. A server would have a pool; one connection does for an example.
#[derive(Clone)]
struct Accounts(Arc<Mutex<Connection>>);

impl Accounts {
    fn new() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE accounts (name TEXT PRIMARY KEY, plan TEXT, closed INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE account_keys (digest BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts);",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, account: &str, key: &NewApiKey) -> rusqlite::Result<()> {
        self.with(|connection| {
            connection.execute("INSERT INTO accounts (name) VALUES (?1)", [account])?;
            let digest = key.key_digest();
            let row = (digest.as_bytes().as_slice(), account);
            connection.execute("INSERT INTO account_keys VALUES (?1, ?2)", row)?;
            Ok(())
        })
    }

    /// The account of a key: its name, its plan, and whether it is closed.
    fn of(&self, digest: &KeyDigest) -> rusqlite::Result<Option<(String, Option<String>, bool)>> {
        self.with(|connection| {
            connection
                .query_row(
                    "SELECT name, plan, closed FROM account_keys JOIN accounts ON name = account
                     WHERE digest = ?1",
                    [digest.as_bytes().as_slice()],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()
        })
    }
}

impl KeySource for Accounts {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        let accounts = self.clone();
        Box::pin(async move {
            // A connection of this kind blocks: not in the thread that serves requests.
            let found = tokio::task::spawn_blocking(move || accounts.of(&digest)).await;
            let found = found.map_err(KeySourceError::new)?.map_err(KeySourceError::new)?;
            let Some((name, plan, closed)) = found else { return Ok(None) };
            let record = ApiKeyRecord::builder(&name, &name, digest)
                .scopes(["orders:read"])
                .plan(plan.as_deref())
                .revoked(closed)
                .build();
            record.map(Some).map_err(KeySourceError::new)
        })
    }

    fn kind(&self) -> &'static str {
        "accounts"
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let accounts = Accounts::new()?;
    let gate = Tollgate::builder().policy(POLICY).key_source(accounts.clone()).build().await?;
    let orders = |caller: Principal| async move { format!("orders of {}\n", caller.client()) };
    let app: Router = Router::new().route("/orders", get(orders)).layer(gate.layer());

    let key = NewApiKey::generate("tg")?;
    accounts.add("acme", &key)?;
    let call = |key: &NewApiKey| {
        let request = Request::get("/orders").header("x-api-key", key.reveal());
        let request = request.body(axum::body::Body::empty());
        let app = app.clone();
        async move { Ok::<_, Box<dyn Error>>(app.oneshot(request?).await?) }
    };
    let limit = |response: &http::Response<axum::body::Body>| {
        let policy = response.headers().get("ratelimit-policy");
        policy.and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned()
    };
    let first = call(&key).await?;
    println!("acme: {}, {}", first.status(), limit(&first));
    let stranger = call(&NewApiKey::generate("tg")?).await?;
    println!("a stranger: {}", stranger.status());

    // Another plan. The gate sees it within 3 s, when it looks the key up again.
    accounts.with(|it| it.execute("UPDATE accounts SET plan = 'paid' WHERE name = 'acme'", []))?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let paid = call(&key).await?;
    println!("acme, paid: {}, {}", paid.status(), limit(&paid));
    assert_eq!(
        [first.status(), stranger.status(), paid.status()],
        [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::OK]
    );
    Ok(())
}
