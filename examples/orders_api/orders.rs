//! What the API does. Who may is said in `config/tollgate.toml`, not here.
//!
//! Each handler tells utoipa what it answers; the denials of the gate are added for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tollgate::keys::{ApiKeyRecordBuilder, KeyStoreError};
use tollgate::{ApiKey, Category, Denial, DenialCode, Principal, Scope, Scoped, Tollgate, scope};
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

pub(crate) static ACCOUNT_TAKEN: DenialCode =
    DenialCode::new("account_taken", Category::Authorization)
        .with_title("Account taken")
        .with_detail("Another account has this name.")
        .with_remedy("Sign up with another name; if the account is yours, use its key.")
        .with_status(409);

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

#[derive(Deserialize, ToSchema)]
pub(crate) struct SignUp {
    /// What the account is called.
    account: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SignedUp {
    /// Shown once: only its digest is stored.
    key: String,
    /// The public name of the key.
    key_id: String,
}

/// An API key for a new account
///
/// It may read and write orders, from the next request on.
#[utoipa::path(post, path = "/signup", request_body = SignUp,
    responses(
        (status = 201, description = "The key", body = SignedUp),
        (status = 400, description = "The body is no JSON, or the name is not one that a key can have", body = String),
        (status = 409, description = "Denied: `account_taken`.", content_type = "application/problem+json",
            body = ref("#/components/schemas/Denial")),
        (status = 415, description = "The body is not said to be JSON", body = String),
        (status = 422, description = "The body names no account", body = String)))]
pub(crate) async fn sign_up(
    State(gate): State<Tollgate>,
    Json(SignUp { account }): Json<SignUp>,
) -> Result<(StatusCode, Json<SignedUp>), Refused> {
    let terms = |key: ApiKeyRecordBuilder| key.scopes(["orders:read", "orders:write"]);
    // An application asks more of an account than a name. Here the first key has the account's name,
    // and no second account can have it.
    let issued = gate.keys().issue(&account, &account, terms).await?;
    let signed_up =
        SignedUp { key: issued.key().reveal().to_owned(), key_id: issued.record().id().to_owned() };
    Ok((StatusCode::CREATED, Json(signed_up)))
}

/// Why nobody was signed up.
pub(crate) enum Refused {
    Denied(Denial),
    Invalid(String),
    Failed,
}

impl From<KeyStoreError> for Refused {
    fn from(error: KeyStoreError) -> Self {
        match error {
            KeyStoreError::IdTaken { .. } => Self::Denied(Denial::new(&ACCOUNT_TAKEN)),
            KeyStoreError::Invalid(invalid) => Self::Invalid(format!("{invalid}\n")),
            error => {
                tracing::error!(%error, "nobody can sign up");
                Self::Failed
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Denied(denial) => denial.into_response(),
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            Self::Failed => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
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
