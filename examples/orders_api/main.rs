//! A small orders API behind the gate.
//!
//! ```text
//! cargo run --example orders_api
//! ```
//!
//! It runs on the policy in `config/`, in memory, and prints curl lines to try: an admission,
//! and one denial of each category. Each denial is then a line in the log (stderr), under the same
//! `instance` as in the answer; `RUST_LOG=debug` shows requests too. Keys and tokens are made for this run. `/errors` explains
//! every denial, and `/openapi.json` says what the API answers, denials included.
//!
//! For programs, `--credentials FILE` writes keys and tokens as JSON before the first line is
//! printed:
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
mod orders;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use http::{HeaderName, Method, header};
use tollgate::{Revision, Tollgate, openapi};
use tower::ServiceBuilder;
use tower_http::cors::{Any, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;
use utoipa::OpenApi as _;

use crate::demo::{Demo, Store};
use crate::issuer::Issuer;
use crate::orders::{Order, Orders};

/// A small orders API behind the gate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(default_value = "127.0.0.1:3000")]
    listen: String,
    /// The policy, with `keys.toml` and `jwks.json` beside it.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.toml"))]
    policy: PathBuf,
    /// Keep the keys of those who sign up in a store, in place of memory: `sqlite`, `sqlite=FILE`, or
    /// `postgres`, with the URL in `DATABASE_URL`. It needs the feature of that name: `--features sqlite`.
    #[arg(long)]
    store: Option<Store>,
    /// Write address, keys and tokens to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn,tollgate=info".into()))
        .with_writer(std::io::stderr)
        .init();
    let Arguments { listen, policy, store, credentials } = Arguments::parse();

    let demo = Demo::prepare(&policy, store.as_ref())?;
    let gate = Tollgate::builder()
        .policy_file(demo.policy())
        .code(&orders::ORDER_SHIPPED)
        .code(&orders::ACCOUNT_TAKEN)
        .build()
        .await?;
    let app = app(&gate, demo.issuer.clone())?;
    #[cfg(unix)]
    reload_at_hangup(gate.clone())?;

    let listener = tokio::net::TcpListener::bind(&listen).await.map_err(|error| {
        format!("cannot listen on {listen}: {error}; name another address, such as `cargo run --example orders_api 127.0.0.1:3001`")
    })?;
    let stop = stop()?;
    if let Some(file) = credentials {
        demo.write(listener.local_addr()?, &file)?;
    }
    demo.print(listener.local_addr()?)?;
    let (told, stopped) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async {
            stop.await;
            let _ = told.send(());
        });
    // Connections may finish, but not for ever. The folder of the demo is removed in any case.
    let patience = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(Duration::from_secs(4)).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! { end = server => end?, () = patience => {} }
    // When keys were used since the last minute, for `tollgate key list`.
    let flushed = tokio::time::timeout(Duration::from_secs(1), gate.keys().flush()).await;
    Ok(flushed??)
}

/// The gate follows its files by itself. SIGHUP is for whoever does not want to wait a second.
#[cfg(unix)]
fn reload_at_hangup(gate: Tollgate) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // What became of it is in the log.
            let _logged = gate.reload().await;
        }
    });
    Ok(())
}

/// The signal to stop. It is listened for from now on, not from when it is first waited for: who
/// stops the example as soon as it says that it listens is heard.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// A request in the log: without its query, where clients put secrets.
fn span(request: &Request) -> Span {
    let path = request.uri().path();
    tracing::debug_span!("request", method = %request.method(), path)
}

fn app(gate: &Tollgate, issuer: Issuer) -> Result<Router, Box<dyn Error>> {
    let orders = Orders::with(Order { item: "pencils".into(), quantity: 12 });
    let documented = Documented::of(gate)?;

    // What scripts of other origins may read of a denial, beside its body.
    let mut exposed = gate.exposed_headers();
    exposed.push(HeaderName::from_static("x-request-id"));
    let mut allowed = gate.credential_headers();
    allowed.push(header::CONTENT_TYPE);
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(allowed)
        .expose_headers(exposed)
        .max_age(Duration::from_secs(600));
    // Outside of the gate, so that denials have an id, a trace and CORS headers too.
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(SetSensitiveRequestHeadersLayer::new(gate.credential_headers()))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(cors.clone())
        .layer(gate.layer());
    let behind = Router::new()
        .route("/orders", get(orders::list_orders).post(orders::create_order))
        .route("/orders/{id}", get(orders::read_order).delete(orders::cancel_order))
        .route("/token", post(orders::issue_token).with_state(issuer))
        .route("/signup", post(orders::sign_up).with_state(gate.clone()))
        .route("/health", get(orders::health))
        .route("/openapi.json", get(move || async move { Json(documented.now()) }))
        .with_state(orders)
        .layer(around);
    // In this order: of two routers without a fallback, axum keeps that of the merged one, and
    // only this one's is behind the gate.
    // Tools of other origins read the OpenAPI document there.
    Ok(gate.catalogue().layer(cors).merge(behind).route("/forgotten", get(orders::forgotten)))
}

/// The OpenAPI document, made once for each policy that comes into force.
#[derive(Clone)]
struct Documented {
    gate: Tollgate,
    last: Arc<Mutex<(Revision, serde_json::Value)>>,
}

impl Documented {
    fn of(gate: &Tollgate) -> Result<Self, Box<dyn Error>> {
        let last = Arc::new(Mutex::new((gate.status().revision, document(gate)?)));
        Ok(Self { gate: gate.clone(), last })
    }

    fn now(&self) -> serde_json::Value {
        let revision = self.gate.status().revision;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != revision {
            match document(&self.gate) {
                Ok(document) => *last = (revision, document),
                Err(error) => {
                    tracing::error!(%error, "the OpenAPI document is that of the policy before")
                }
            }
        }
        last.1.clone()
    }
}

/// What the handlers answer, and how the gate denies.
fn document(gate: &Tollgate) -> Result<serde_json::Value, Box<dyn Error>> {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Orders",
            version = "1.0.0",
            description = "A small orders API behind a gate.",
            contact(name = "The example of Tollgate")
        ),
        servers((url = "/")),
        tags(
            (name = "orders", description = "What was ordered"),
            (name = "service", description = "The API itself")
        ),
        paths(
            orders::list_orders,
            orders::create_order,
            orders::read_order,
            orders::cancel_order,
            orders::issue_token,
            orders::sign_up,
            orders::health
        )
    )]
    struct Api;

    let mut document = serde_json::to_value(Api::openapi())?;
    openapi::apply(gate, &mut document)?;
    Ok(document)
}
