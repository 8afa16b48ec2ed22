//! What the API does. Who may is said in `config/tollgate.toml`, not here.
//!
//! Each handler tells utoipa what it answers; the denials of the gate are added for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tollgate::{ApiKey, Category, Denial, DenialCode, Principal, Scope, Scoped, scope};
use utoipa::ToSchema;

use crate::issuer::Issuer;

scope!(pub(crate) OrdersWrite = "orders:write");

/// A code of this API: clients get it in the same document as every other denial.
pub(crate) static ORDER_SHIPPED: DenialCode =
    DenialCode::new("order_shipped", Category::Authorization)
        .with_title("Order shipped")
        .with_detail("The order was shipped on {shipped_on} and cannot be cancelled.")
        .with_remedy("Send the goods back instead: see https://orders.example.com/returns.")
        .with_status(409)
        .example(|denial| denial.member("shipped_on", "2026-11-20"));

#[derive(Clone, Deserialize, Serialize, ToSchema)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) quantity: u16,
}

#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<BTreeMap<u32, Order>>>);

impl Orders {
    pub(crate) fn with(first: Order) -> Self {
        Self(Arc::new(Mutex::new([(1, first)].into())))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All orders
///
/// By their numbers.
#[utoipa::path(get, path = "/orders", tag = "orders",
    responses((status = 200, description = "The orders", body = BTreeMap<String, Order>)))]
pub(crate) async fn list_orders(State(orders): State<Orders>) -> Json<BTreeMap<u32, Order>> {
    Json(orders.lock().clone())
}

/// One order
///
/// By its number.
#[utoipa::path(get, tag = "orders", path = "/orders/{id}", params(("id" = u32, Path, description = "Its number")),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 400, description = "That is no number", body = String),
        (status = 404, description = "There is no such order")))]
pub(crate) async fn read_order(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
) -> Result<Json<Order>, StatusCode> {
    orders.lock().get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// A new order
///
/// The scope stands in the signature, so it holds even if the rule forgets it.
#[utoipa::path(post, path = "/orders", tag = "orders", request_body = Order,
    responses(
        (status = 201, description = "Its number, in a sentence", body = String),
        (status = 400, description = "The body is no JSON", body = String),
        (status = 415, description = "The body is not said to be JSON", body = String),
        (status = 422, description = "The body is no order", body = String)))]
pub(crate) async fn create_order(
    caller: Scoped<OrdersWrite>,
    State(orders): State<Orders>,
    Json(order): Json<Order>,
) -> (StatusCode, String) {
    let mut orders = orders.lock();
    let id = orders.keys().last().map_or(1, |last| last + 1);
    orders.insert(id, order);
    (StatusCode::CREATED, format!("order {id} of {}\n", caller.client()))
}

/// Cancels an order
///
/// The denial of its own is for the handler to name. It has this status where the policy lets statuses
/// tell the cause.
#[utoipa::path(delete, tag = "orders", path = "/orders/{id}", params(("id" = u32, Path, description = "Its number")),
    responses(
        (status = 204, description = "It is cancelled"),
        (status = 409, description = "Denied: `order_shipped`.", content_type = "application/problem+json",
            body = ref("#/components/schemas/OrderShippedDenial")),
        (status = 400, description = "That is no number", body = String)))]
pub(crate) async fn cancel_order(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
) -> Result<StatusCode, Denial> {
    if id == 1 {
        return Err(Denial::new(&ORDER_SHIPPED).member("shipped_on", "2026-11-20"));
    }
    orders.lock().remove(&id);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    access_token: String,
    token_type: &'static str,
    /// In seconds.
    expires_in: i64,
}

/// A token in exchange for an API key
///
/// It holds the scopes of the key, for a minute.
#[utoipa::path(post, path = "/token", tag = "service",
    responses((status = 200, description = "The token", body = Token)))]
pub(crate) async fn issue_token(
    key: ApiKey,
    State(issuer): State<Issuer>,
) -> Result<Json<Token>, StatusCode> {
    let scopes: Vec<&str> = key.scopes().iter().map(Scope::as_str).collect();
    match issuer.token(key.client(), &scopes, 60) {
        Ok(access_token) => Ok(Json(Token { access_token, token_type: "Bearer", expires_in: 60 })),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Whether the API is up
///
/// It says too whether it knows who asks.
#[utoipa::path(get, path = "/health", tag = "service",
    responses((status = 200, description = "It is", body = String)))]
pub(crate) async fn health(caller: Option<Principal>) -> &'static str {
    if caller.is_none() { "ok\n" } else { "ok, and known\n" }
}

/// Its route is added after the gate's layer, by mistake: the extractor denies, and nobody is
/// let in.
pub(crate) async fn forgotten(caller: Principal) -> String {
    format!("never reached by {}\n", caller.client())
}
