//! Stand-ins for tests of handlers: callers that nobody proved, admissions that no gate decided
//! about, and a layer that lets everything pass.
//!
//! Nothing here may reach a server that others can call. So it needs the feature `test-util`, which
//! belongs into `[dev-dependencies]`, and what lets requests pass has `danger` in its name and says
//! so in the log.
//!
//! ```
//! use axum::body::Body;
//! use axum::{Router, routing::get};
//! use http::Request;
//! use tollgate::Principal;
//! use tollgate::test_util::{TestLayer, TestPrincipal};
//! use tower::ServiceExt as _;
//!
//! async fn list_orders(caller: Principal) -> String {
//!     format!("orders of {}", caller.client())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let caller = TestPrincipal::with_api_key("billing").scope("orders:read").build();
//! assert_eq!(list_orders(caller.clone()).await, "orders of billing"); // the handler alone
//!
//! let app: Router = Router::new()                                     // and behind a router
//!     .route("/orders", get(list_orders))
//!     .layer(TestLayer::danger_admit_all_as(caller));
//! let response = app.oneshot(Request::get("/orders").body(Body::empty()).unwrap()).await.unwrap();
//! assert_eq!(response.status(), 200);
//! # });
//! ```

mod admission;
mod layer;
mod principal;

pub use admission::TestAdmission;
pub use layer::{TestLayer, TestService};
pub use principal::TestPrincipal;

/// What is not named is named so.
const NAME: &str = "test";
