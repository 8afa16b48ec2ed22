//! Opens the gate: reads, checks, builds, or says what is wrong.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::open_error::OpenError;
use super::origin::{KnownKeys, Loaded, Origin, PolicyPlace};
use super::{Gate, Lasting, Observer, Tollgate};
use crate::credential::Secret;
use crate::denial::DenialCode;
use crate::policy::{Fault, Secrets};
use crate::time::{Clock, SystemClock};
use crate::verify::Revocations;
use crate::verify::key_store::{KeyBackend, KeySource, KeyStore};

/// Opens a [`Tollgate`].
///
/// ```
/// use tollgate::{ManualClock, Tollgate};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let gate = Tollgate::builder()
///     .policy("version = 1\n[[rule]]\nname = \"health\"\npath = \"/health\"\npublic = true\n")
///     .clock(ManualClock::at(1_800_000_000))
///     .build()
///     .await?;
/// # assert!(gate.warnings().is_empty());
/// # Ok::<_, tollgate::OpenError>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
#[must_use = "`build` opens the gate"]
pub struct TollgateBuilder {
    source: PolicyPlace,
    clock: Option<Arc<dyn Clock>>,
    request_id: Option<HeaderName>,
    codes: Vec<&'static DenialCode>,
    secrets: Secrets,
    revocations: Revocations,
    ends_bodies: bool,
    keys: Option<KeyBackend>,
    unwatched: bool,
    for_documents: bool,
    unserved: bool,
}

impl TollgateBuilder {
    /// Reads the policy from this file; `config/tollgate.toml` unless it is set.
    pub fn policy_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = PolicyPlace::File(path.into());
        self
    }

    /// Takes this text as the policy. Files that it names are relative to the working directory.
    pub fn policy(mut self, text: impl Into<String>) -> Self {
        self.source = PolicyPlace::Text(text.into());
        self
    }

    /// Reads the time from this clock, for tests that must not depend on the hour.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Takes the id of a request from this header; `x-request-id` unless it is set. It is written to
    /// the log beside `instance`, where another layer gave the request one, such as
    /// `tower_http::request_id::SetRequestIdLayer`.
    pub fn request_id_header(mut self, header: HeaderName) -> Self {
        self.request_id = Some(header);
        self
    }

    /// Gives the secret that the policy calls `name`, in place of the environment variable of that
    /// name: `keys = { secret_env = "JWT_SECRET" }` then reads these bytes and never the
    /// environment. For tests, and for secrets that come from a store of the application's own.
    ///
    /// What the policy says of the variable holds for these bytes too: with
    /// `encoding = "base64"` they are base64 text, and a secret shorter than its hash is refused.
    /// A name given twice keeps the last. A name that the policy does not use has no effect.
    ///
    /// ```
    /// use tollgate::Tollgate;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let gate = Tollgate::builder()
    ///     .policy(
    ///         r#"
    ///         version = 1
    ///         [[issuer]]
    ///         name = "main"
    ///         iss = "https://id.example.com/"
    ///         audiences = ["https://api.example.com"]
    ///         algorithms = ["HS256"]
    ///         keys = { secret_env = "JWT_SECRET" }
    ///         [[rule]]
    ///         name = "all"
    ///         path = "/{*rest}"
    ///         "#,
    ///     )
    ///     .secret("JWT_SECRET", b"thirty-two bytes, for tests only")
    ///     .build()
    ///     .await?;
    /// # drop(gate);
    /// # Ok::<_, tollgate::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn secret(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.secrets.insert(name.into(), Secret::new(bytes.into()));
        self
    }

    /// Takes this set of revocations, which the application feeds, in place of an empty one of the
    /// gate's own: where it is to be filled before the first request, or several gates share it. See
    /// [`Revocations`].
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// Whether the body of a response ends by itself, within 3 s, when the credential of its request
    /// does: when it expires, is revoked, or is no longer in the policy. Off unless it is turned on here.
    ///
    /// An event stream (`text/event-stream`) ends as if it were complete: its client connects again, and is
    /// denied. Every other body fails, so that the server breaks the response off (HTTP/1.1 closes
    /// the connection, HTTP/2 resets the stream), and no client takes a part of it for the whole.
    ///
    /// Requests without a credential are not concerned, nor is what has left HTTP: a WebSocket listens to
    /// [`Admission::ended`](crate::Admission::ended).
    pub fn end_bodies(mut self, end_bodies: bool) -> Self {
        self.ends_bodies = end_bodies;
        self
    }

    /// Looks keys up in `source` that neither the policy nor a file that it names holds: in a database
    /// of the application's own, by a pool that is there already. It takes the place of a store that
    /// the policy names (`[api_keys] store`), and needs `[api_keys]` in the policy.
    ///
    /// Keys cannot be changed through the gate then; see [`key_store`](Self::key_store).
    pub fn key_source(mut self, source: impl KeySource) -> Self {
        self.keys = Some(KeyBackend::Source(Arc::new(source)));
        self
    }

    /// As [`key_source`](Self::key_source), with keys that [`Tollgate::keys`](crate::Tollgate::keys)
    /// changes. The last of the two that is called counts.
    pub fn key_store(mut self, store: impl KeyStore) -> Self {
        self.keys = Some(KeyBackend::Store(Arc::new(store)));
        self
    }

    /// Whether a thread of the gate follows the policy and the files that it names, and puts what
    /// changes in force; on unless it is turned off here. Without it a change comes into force by
    /// [`Tollgate::reload`](crate::Tollgate::reload).
    ///
    /// The thread looks once a second, and takes files that two looks 200 ms apart found alike. It
    /// ends with the last handle of the gate.
    pub fn watch(mut self, watch: bool) -> Self {
        self.unwatched = !watch;
        self
    }

    /// Registers a code of the application, so that a clash with the catalogue, or with a code
    /// of the policy, is found now.
    pub fn code(mut self, code: &'static DenialCode) -> Self {
        self.codes.push(code);
        self
    }

    /// Opens a gate that judges nothing: documents are made of its policy, which needs none of
    /// the secrets in the environment for that.
    pub(crate) fn for_documents(mut self) -> Self {
        self.for_documents = true;
        self
    }

    /// Opens a gate that serves nobody: it fetches no keys, and follows no files.
    pub(crate) fn unserved(mut self) -> Self {
        self.unserved = true;
        self
    }

    /// Reads and checks the policy, and opens the gate.
    ///
    /// Key sets over the network are fetched by a task of the runtime that this is called in (with
    /// its drivers for time and I/O: `enable_all`), for as long as the gate lives. This does not
    /// wait for them, unless the policy says so (`at_start`).
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub async fn build(self) -> Result<Tollgate, OpenError> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let request_id = self.request_id.unwrap_or(HeaderName::from_static("x-request-id"));
        let origin = Origin {
            place: self.source,
            codes: self.codes,
            secrets: Arc::new(self.secrets),
            for_documents: self.for_documents,
            fetches: !self.unserved && !self.for_documents,
            clock: clock.clone(),
            known_keys: KnownKeys::default(),
        };
        let observer = Arc::new(Observer::new(request_id));
        let mut lasting =
            Lasting::new(clock, observer).with_keys(self.keys).with_revocations(self.revocations);
        lasting.ends_bodies = self.ends_bodies;
        lasting.is_serving = !self.unserved && !self.for_documents;
        let watches = !self.unwatched && !self.unserved && !self.for_documents;
        let gate = Gate::open(origin, lasting, watches)?;
        gate.started().await?;
        Ok(Tollgate(gate))
    }

    /// Opens the store of keys that the policy names, and no gate; `None` where it names none, or its
    /// URL is not in the environment. Other secrets are not needed.
    #[cfg(feature = "cli")]
    pub(crate) fn open_key_store(self) -> Result<Option<Arc<dyn KeyStore>>, OpenError> {
        let origin = Origin { fetches: true, ..self.origin_without_secrets() };
        let loaded = origin.open().map_err(|(error, _)| error)?;
        Ok(loaded.policy.key_place.map(|place| place.open()))
    }

    /// Reads and checks the policy without the environment: a secret that is not set is no fault.
    /// Opens no gate. For checks where no secrets are, such as in continuous integration.
    ///
    /// Returns the warnings, in the order of their places.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let warnings = tollgate::Tollgate::builder()
    ///     .policy_file("config/tollgate.toml")
    ///     .check_without_secrets()
    ///     .await?;
    /// assert!(warnings.is_empty());
    /// # Ok::<_, tollgate::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub async fn check_without_secrets(self) -> Result<Arc<[Fault]>, OpenError> {
        Ok(self.load_without_secrets()?.warnings.into())
    }

    /// Reads and checks the policy; secrets that the environment lacks are no fault.
    pub(crate) fn load_without_secrets(self) -> Result<Loaded, OpenError> {
        self.origin_without_secrets().open().map_err(|(error, _)| error)
    }

    fn origin_without_secrets(self) -> Origin {
        Origin {
            place: self.source,
            codes: self.codes,
            secrets: Arc::new(self.secrets),
            for_documents: true,
            fetches: false,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            known_keys: KnownKeys::default(),
        }
    }
}

impl fmt::Debug for TollgateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TollgateBuilder").finish_non_exhaustive()
    }
}
