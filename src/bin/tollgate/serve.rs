//! `tollgate serve`: a trial server, which judges any request as itself.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tollgate::{Admission, Principal, Tollgate};
use tower::ServiceBuilder;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;
use tracing_subscriber::EnvFilter;

use crate::{Failure, PolicyFile, block_on, listen};

#[derive(clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    policy: PolicyFile,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
        block_on(async {
            let gate = Tollgate::open(&self.policy.path).await?;
            let cannot_listen =
                |error| Failure::Usage(format!("cannot listen on {}: {error}", self.listen));
            let listener =
                tokio::net::TcpListener::bind(self.listen).await.map_err(cannot_listen)?;
            let no_signals = |error| Failure::Usage(format!("cannot listen for signals: {error}"));
            let stop = stop().map_err(no_signals)?;
            #[cfg(unix)]
            reload_at_hangup(gate.clone()).map_err(no_signals)?;
            println!("listening on http://{}", listener.local_addr().map_err(cannot_listen)?);
            listen::serve(listener, app(&gate), stop).await;
            let flushed = tokio::time::timeout(FLUSH, gate.keys().flush()).await;
            if !matches!(flushed, Ok(Ok(()))) {
                tracing::warn!(target: "tollgate", "the store was not told when keys were last used");
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// How long the store of keys may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

fn app(gate: &Tollgate) -> Router {
    let around = ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new(gate.credential_headers()))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(gate.layer());
    Router::new().fallback(answer).layer(around)
}

/// A request in the log: without its query, where clients put secrets.
fn span(request: &Request) -> Span {
    let path = request.uri().path();
    tracing::debug_span!("request", method = %request.method(), path, version = ?request.version())
}

/// Tells an admitted client how it was judged. What the gate lets pass unjudged is a preflight.
async fn answer(request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some(admission) = parts.extensions.remove::<Admission>() else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let principal = admission.principal();
    let mut body = json!({
        "scopes": principal.map_or_else(Vec::new, |p| p.scopes().iter().map(ToString::to_string).collect()),
        "rule": admission.rule(),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    add("client", principal.map(|p| p.client().into()));
    add("credential", principal.map(|p| p.credential().as_str().into()));
    add("key_id", principal.and_then(Principal::key_id).map(Into::into));
    add("plan", principal.and_then(Principal::plan).map(Into::into));
    let roles: Vec<&str> = principal.map_or_else(Vec::new, |p| p.roles().collect());
    add("roles", (!roles.is_empty()).then(|| roles.into()));
    let limits: Vec<Value> = (admission.limits())
        .filter(|limit| limit.published)
        .map(|limit| json!({"limit": limit.limit, "remaining": limit.remaining}))
        .collect();
    add("limits", (!limits.is_empty()).then(|| limits.into()));
    add("shadow", admission.shadow().map(Into::into));
    Json(body).into_response()
}

/// Reads the policy again at each SIGHUP, without waiting for the next look at the files. The gate
/// logs what became of it.
#[cfg(unix)]
fn reload_at_hangup(gate: Tollgate) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(target: "tollgate", "SIGHUP: the policy is read again");
            // Both outcomes are in the log by now.
            let _logged = gate.reload().await;
        }
    });
    Ok(())
}

/// The signal to stop. It is listened for from now on, not from when it is first waited for: who
/// stops the server as soon as it says that it listens is heard.
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
