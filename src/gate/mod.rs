//! The gate: where requests come in and go on, or are answered.
//!
//! Start reading at [`pipeline`]: it is the way of a request, from its head to an admission
//! or a denial, in one function.

mod admission;
mod builder;
#[cfg_attr(not(feature = "metrics"), path = "count_nothing.rs")]
mod count;
mod extract;
mod layer;
mod observe;
mod pipeline;

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};

pub use admission::{Admission, LimitBalance};
pub use builder::{OpenError, TollgateBuilder};
pub use extract::{ApiKey, Claims, Scoped};
pub use layer::{TollgateFuture, TollgateLayer, TollgateService};
pub(crate) use pipeline::Gate;

use crate::policy::Fault;

/// The gate of an application: its policy, its buckets, and what it needs to decide.
///
/// Cloning one is cheap, and clones share everything.
///
/// ```
/// use axum::{Router, routing::get};
/// use tollgate::Tollgate;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let gate = Tollgate::open("config/tollgate.toml").await?; // parse, check, start
/// let app: Router = Router::new()
///     .route("/health", get(|| async { "ok" }))
///     .layer(gate.layer()); // last: it covers all above it
/// # Ok::<_, tollgate::OpenError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Tollgate(Arc<Gate>);

impl Tollgate {
    /// Opens the gate with the policy in this file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is refused: then with every fault in it, each with
    /// line, column and help.
    pub async fn open(policy: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().policy_file(policy.as_ref()).build().await
    }

    /// Opens the gate in another way: with a policy that is no file, codes of your own, or a
    /// clock for tests.
    pub fn builder() -> TollgateBuilder {
        TollgateBuilder::default()
    }

    /// The layer for [`Router::layer`](axum::Router::layer) and `ServiceBuilder`.
    ///
    /// - `Router::layer` covers the routes that were added before it, and the fallback: unknown
    ///   paths are judged too. A route that is added later is not covered: its extractors
    ///   refuse every request, and a handler without extractors is open to everybody.
    /// - axum adds `Allow` to whatever answers a method that a route does not have, to a denial too.
    ///   Where even that is not to be told, put the gate around the whole application instead:
    ///   `gate.layer().layer(app)` is a service that `axum::serve` takes
    ///   ([`ServiceExt`](axum::ServiceExt)). It also costs two allocations less for each request.
    /// - `Router::route_layer` leaves unknown paths to axum's 404.
    /// - Rules see the path as the client sent it, under `nest` too.
    /// - Put request id, trace and CORS outside of the gate (after it, with `Router::layer`), so
    ///   that denials have their headers; CORS preflights pass the gate in any case, and
    ///   [`exposed_headers`](Self::exposed_headers) are what scripts want to read.
    pub fn layer(&self) -> TollgateLayer {
        TollgateLayer::new(self.0.clone())
    }

    /// The headers that hold credentials, for layers that keep secrets out of logs, such as
    /// `tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer`.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        let credential = &self.0.policy.credential;
        let mut names = vec![AUTHORIZATION, credential.key_header.clone()];
        names.extend(credential.token_headers.iter().cloned());
        names
    }

    /// The headers by which denials tell more than their body, and admitted responses tell of
    /// limits. In a browser, scripts of other origins read them only where CORS exposes them: hand
    /// them to `tower_http::cors::CorsLayer::expose_headers` (`Access-Control-Expose-Headers`, Fetch
    /// section 3.3.3).
    ///
    /// ```
    /// # let gate = tollgate::Tollgate::builder().policy("version = 1\n[[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\n");
    /// # let gate = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(gate.build()).unwrap();
    /// use tower_http::cors::{Any, CorsLayer};
    ///
    /// let cors = CorsLayer::new()
    ///     .allow_origin(Any)
    ///     .allow_headers(gate.credential_headers())
    ///     .expose_headers(gate.exposed_headers());
    /// ```
    pub fn exposed_headers(&self) -> Vec<HeaderName> {
        let mut names = vec![WWW_AUTHENTICATE, RETRY_AFTER, ALLOW];
        names.extend(self.0.renderer.rate_limit.names());
        names
    }

    /// What is probably not meant in the policy, though it can be used.
    pub fn doubts(&self) -> &[Fault] {
        &self.0.doubts
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0
    }
}
