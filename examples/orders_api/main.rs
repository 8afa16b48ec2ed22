//! A small orders API behind the gate.
//!
//! ```text
//! cargo run --example orders_api
//! ```
//!
//! It runs on the policy in `config/`, in memory, and prints curl lines to try: an admission,
//! and one denial of each category. Keys and tokens are made for this run.
//!
//! For programs, `--credentials FILE` writes them as JSON before the first line is printed:
//!
//! ```json
//! {
//!   "address": "http://127.0.0.1:3000",
//!   "keys": { "writer": "tg_…", "reader": "tg_…" },
//!   "tokens": { "valid": "eyJ…", "expired": "eyJ…" }
//! }
//! ```

mod demo;
mod issuer;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use http::{HeaderName, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use tollgate::{ApiKey, Category, Denial, DenialCode, Principal, Scope, Scoped, Tollgate, scope};
use tower::ServiceBuilder;
use tower_http::cors::{Any, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::TraceLayer;

use crate::demo::Demo;
use crate::issuer::Issuer;

scope!(OrdersWrite = "orders:write");

/// A code of this API: clients get it in the same document as every other denial.
static ORDER_SHIPPED: DenialCode = DenialCode::new("order_shipped", Category::Authorization)
    .title("Order shipped")
    .detail("The order was shipped on {shipped_on} and cannot be cancelled.")
    .remedy("Send the goods back instead: see https://orders.example.com/returns.")
    .status(409);

#[derive(Clone, Deserialize, Serialize)]
struct Order {
    item: String,
    quantity: u32,
}

type Orders = Arc<Mutex<BTreeMap<u32, Order>>>;

async fn list_orders(State(orders): State<Orders>) -> Json<BTreeMap<u32, Order>> {
    Json(lock(&orders).clone())
}

async fn read_order(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
) -> Result<Json<Order>, StatusCode> {
    lock(&orders).get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// The scope stands in the signature, so it holds even if the rule forgets it.
async fn create_order(
    caller: Scoped<OrdersWrite>,
    State(orders): State<Orders>,
    Json(order): Json<Order>,
) -> (StatusCode, String) {
    let mut orders = lock(&orders);
    let id = orders.keys().last().map_or(1, |last| last + 1);
    orders.insert(id, order);
    (StatusCode::CREATED, format!("order {id} of {}\n", caller.client()))
}

async fn cancel_order(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
) -> Result<StatusCode, Denial> {
    if id == 1 {
        return Err(Denial::new(&ORDER_SHIPPED).member("shipped_on", "2026-11-20"));
    }
    lock(&orders).remove(&id);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Token {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

/// A token in exchange for an API key: it holds the scopes of the key, for a minute.
async fn issue_token(key: ApiKey, State(issuer): State<Issuer>) -> Result<Json<Token>, StatusCode> {
    let scopes: Vec<&str> = key.scopes().iter().map(Scope::as_str).collect();
    match issuer.token(key.client(), &scopes, 60) {
        Ok(access_token) => Ok(Json(Token { access_token, token_type: "Bearer", expires_in: 60 })),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn health(caller: Option<Principal>) -> &'static str {
    if caller.is_none() { "ok\n" } else { "ok, and known\n" }
}

/// Its route is added after the gate's layer, by mistake: the extractor denies, and nobody is
/// let in.
async fn forgotten(caller: Principal) -> String {
    format!("never reached by {}\n", caller.client())
}

/// A small orders API behind the gate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(default_value = "127.0.0.1:3000")]
    listen: String,
    /// Write address, keys and tokens to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn,tollgate=off".into()))
        .init();
    let Arguments { listen, credentials } = Arguments::parse();

    let demo = Demo::prepare()?;
    let gate = Tollgate::builder().policy_file(demo.policy()).code(&ORDER_SHIPPED).build().await?;
    let app = app(&gate, demo.issuer.clone());

    let listener = tokio::net::TcpListener::bind(&listen).await.map_err(|error| {
        format!("cannot listen on {listen}: {error}; name another address, such as `cargo run --example orders_api 127.0.0.1:3001`")
    })?;
    if let Some(file) = credentials {
        demo.write(listener.local_addr()?, &file)?;
    }
    demo.print(listener.local_addr()?)?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await?;
    Ok(())
}

fn app(gate: &Tollgate, issuer: Issuer) -> Router {
    let orders = Orders::default();
    lock(&orders).insert(1, Order { item: "pencils".into(), quantity: 12 });

    // What scripts of other origins may read of a denial, beside its body.
    let exposed = [
        "www-authenticate",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "allow",
        "x-request-id",
    ];
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
        ])
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(600));
    // Outside of the gate, so that denials have an id, a trace and CORS headers too.
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(SetSensitiveRequestHeadersLayer::new(gate.credential_headers()))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(cors)
        .layer(gate.layer());
    Router::new()
        .route("/orders", get(list_orders).post(create_order))
        .route("/orders/{id}", get(read_order).delete(cancel_order))
        .route("/token", post(issue_token).with_state(issuer))
        .route("/health", get(health))
        .with_state(orders)
        .layer(around)
        .route("/forgotten", get(forgotten))
}

fn lock(orders: &Orders) -> std::sync::MutexGuard<'_, BTreeMap<u32, Order>> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}
