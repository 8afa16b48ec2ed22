//! The gate: where requests come in and go on, or are answered.
//!
//! 1. [`layer`] takes a request; [`gate`] holds the policy in force, which is a [`snapshot`]. A
//!    request ends with the one that it began with.
//! 2. [`judge`] collects the facts of the request, an [`Ask`](crate::ask::Ask), and has the snapshot
//!    decide (`decision/`).
//! 3. A request whose keys are asked for, or whose limits are in a shared store, waits in [`future`]:
//!    for keys it is judged again when they came, for the store it is judged to the end.
//! 4. [`observe`] tells the log, the counters and the current span what was decided.
//! 5. A request that is refused is answered by the [`voice`] of the snapshot.
//! 6. A request that is admitted goes on to the handler with an [`Admission`].
//! 7. [`extract`] is what a handler may ask about its caller.
//! 8. [`future`] completes the handler's response: the RateLimit fields, and `Vary`. A denial that the
//!    handler returned is written as the policy says ([`mod@replace`]).
//! 9. A stream that stays open is told when its credential has [`ended`]; [`ends`] wakes it.
//! 10. [`builder`] opens a gate, or says what is wrong with its policy; [`reload`] puts another policy
//!     in force, and [`status`] says how it went. What outlives every policy is [`lasting`].

mod admission;
mod builder;
mod counters;
mod ended;
mod ending_body;
mod ends;
mod extract;
mod future;
#[expect(clippy::module_inception, reason = "the file that holds `Gate`")]
mod gate;
mod handed_out;
mod judge;
mod keys;
mod lasting;
mod layer;
mod log_line;
mod observe;
mod open_error;
mod origin;
mod record;
mod reload;
mod replace;
mod snapshot;
mod status;
#[cfg(feature = "test-util")]
pub mod test_util;
mod voice;

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

pub use admission::{Admission, LimitBalance};
pub use builder::TollgateBuilder;
pub use ended::Ended;
pub use extract::{ApiKey, Claims, Scoped};
pub use future::TollgateFuture;
pub(crate) use gate::{Followed, Follower, Gate};
pub use keys::{IssuedKey, Keys};
pub(crate) use lasting::Lasting;
pub use layer::{TollgateLayer, TollgateService};
pub(crate) use observe::Observer;
pub use open_error::OpenError;
pub(crate) use snapshot::Snapshot;
pub use status::{
    LastFault, Revision, RevocationStatus, SourceState, SourceStatus, Status, StoreStatus, Warnings,
};

use crate::policy::Fault;
use crate::verify::Revocations;

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
///
/// # Bound on memory
///
/// Unless `[store]` names a server of Redis, buckets are kept in the memory of this process. A limit has never more than `max_buckets` of
/// them (`[store]` of the policy; one million when it is not set; a `[[limit]]` may set its own), and
/// neither have the failures of addresses. A bucket takes about 37 bytes. A bucket that is full says
/// nothing and may be dropped; one that is not full is never dropped to make room. So when the
/// bound of a limit is reached:
///
/// 1. Its full buckets are dropped.
/// 2. If that frees no place, new clients of this limit share its *overflow bucket*, which has
///    the quota of one client. Clients that have a bucket are not affected, nor are other
///    limits, nor the failures of addresses.
///
/// The limit therefore holds for everybody, nobody is let in free, and what an attacker with
/// invented clients can spoil is the service to other new clients of the same limit.
/// `per = ["client"]` needs proven clients; for limits on unproven keys (`address`,
/// `header:<name>`) size the bound with that in mind.
///
/// # What it does not do
///
/// Buckets in memory are lost when the process ends: a restart gives every client a full bucket. A change
/// of the policy needs none: see [`reload`](Self::reload). Several processes share buckets only where
/// `[store] kind = "redis"`, and failures of addresses never.
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
    ///   that denials have their headers, and preflights are answered before the gate judges them;
    ///   [`exposed_headers`](Self::exposed_headers) are what scripts want to read. Where CORS has to
    ///   stand inside, the policy says `[cors] preflights = "pass"`.
    pub fn layer(&self) -> TollgateLayer {
        TollgateLayer::new(self.0.clone())
    }

    /// The headers that hold credentials, for layers that keep secrets out of logs, such as
    /// `tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer`.
    ///
    /// They are those of the policy in force. A layer that was made with them keeps them: where a
    /// reload brings a header that was not in the list, the log warns of it.
    #[must_use]
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        self.0.handed_out.credential(&self.0.current())
    }

    /// The headers by which denials tell more than their body, and admitted responses tell of
    /// limits. In a browser, scripts of other origins read them only where CORS exposes them: hand
    /// them to `tower_http::cors::CorsLayer::expose_headers` (`Access-Control-Expose-Headers`, Fetch
    /// section 3.3.3). Like [`credential_headers`](Self::credential_headers), the list is that of the
    /// policy in force, and the log warns where a reload adds to it.
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
    #[must_use]
    pub fn exposed_headers(&self) -> Vec<HeaderName> {
        self.0.handed_out.exposed(&self.0.current())
    }

    /// Reads the policy again, with the files that it names, and puts it in force; the status after
    /// that.
    ///
    /// A gate that was opened with a file follows it, and needs this only where a change must be in
    /// force at once: its thread looks once a second. Requests that began before end with the policy
    /// that they began with. Buckets are kept; where a quota changed they are restated, and never
    /// refilled. The files are read in this call, as when the gate was opened.
    ///
    /// # Errors
    ///
    /// When the policy cannot be read, or is refused. Then the policy in force stays in force, and
    /// [`status`](Self::status) and the log say why.
    pub async fn reload(&self) -> Result<Status, OpenError> {
        self.0.reload()?;
        Ok(self.0.status())
    }

    /// Which policy is in force, since when, and what it is read from: for health pages and
    /// monitoring.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// What is probably not meant in the policy, though it can be used: each a [`Fault`] of
    /// [`Severity::Warning`](crate::Severity::Warning), in the order of their places. Those that
    /// the policy allows are left out.
    #[must_use]
    pub fn warnings(&self) -> Arc<[Fault]> {
        self.0.current().warnings.clone()
    }

    /// The set by which the application revokes tokens and keys while the gate runs: what is put into it
    /// is refused from the next request on. It is the one that
    /// [`TollgateBuilder::revocations`] was given, where it was.
    ///
    /// ```
    /// use tollgate::{Revocation, Tollgate};
    ///
    /// fn report_leaked(gate: &Tollgate, key_id: &str) {
    ///     gate.revocations().revoke(Revocation::of_api_key(key_id));
    /// }
    /// ```
    pub fn revocations(&self) -> Revocations {
        self.0.lasting.revocations.clone()
    }

    /// The keys that can be changed while the gate runs: for applications that hand out keys. See
    /// [`Keys`](crate::keys::Keys).
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(self.0.clone())
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0
    }
}
