//! What a user would take otherwise.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{HeaderName, Request, StatusCode};
use jwt_authorizer::JwtAuthorizer;
use serde::Deserialize;
use tollgate_benches::credentials::{ALGORITHMS, SECRET, Signer, sha256, signer};
use tollgate_benches::rows::{app, by_key, by_one_key, by_token, calls, keys, x_api_key};
use tollgate_benches::{Entry, Mount};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

pub(crate) fn rows() -> Vec<Entry> {
    let (ok, limited) = (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS);
    let row = |name: &str, router: fn(u32) -> Router| {
        Entry::new(name, ok, by_key, async move { Mount::router(router(1_000_000)) })
    };
    let refusal = |name: &str, router: fn(u32) -> Router| {
        Entry::new(name, limited, by_one_key, async move { Mount::router(router(1)) })
    };
    let mut rows = vec![
        row("tower_governor, key by header", tower_governor),
        row("tower_governor with headers", tower_governor_headers),
        row("axum-governor, key by header", axum_governor),
        row("hand-rolled from_fn, key + governor", hand_rolled),
    ];
    for name in ALGORITHMS {
        for (what, with_limit) in [("jwt-authorizer + scope + tower_governor", true), ("jwt-authorizer alone", false)] {
            let mount = async move { Mount::router(jwt_stack(signer(name), with_limit).await) };
            rows.push(Entry::new(format!("{what}, {name}"), ok, move || by_token(name), mount).calls(calls(name)));
        }
    }
    rows.extend([
        refusal("refusal: tower_governor", tower_governor),
        refusal("refusal: tower_governor with headers", tower_governor_headers),
        refusal("refusal: axum-governor", axum_governor),
        refusal("refusal: hand-rolled 429", hand_rolled),
    ]);
    rows
}

/// Limits by the text of a header.
#[derive(Clone)]
struct ByHeader(HeaderName);

impl KeyExtractor for ByHeader {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(&self.0).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

fn period(burst: u32) -> Duration {
    if burst == 1 { Duration::from_secs(86_400) } else { Duration::from_nanos(250) }
}

fn tower_governor(burst: u32) -> Router {
    let mut builder = GovernorConfigBuilder::default();
    let config = builder.period(period(burst)).burst_size(burst).key_extractor(ByHeader(x_api_key())).finish();
    app().layer(GovernorLayer::new(Arc::new(config.expect("a config"))))
}

fn tower_governor_headers(burst: u32) -> Router {
    let mut builder = GovernorConfigBuilder::default();
    let mut builder = builder.period(period(burst)).burst_size(burst).key_extractor(ByHeader(x_api_key()));
    let config = builder.use_headers().finish();
    app().layer(GovernorLayer::new(Arc::new(config.expect("a config"))))
}

fn axum_governor(burst: u32) -> Router {
    let burst_size = NonZeroU32::new(burst).expect("not zero");
    let quota = if burst == 1 {
        axum_governor::Quota::requests_per_hour(burst_size)
    } else {
        axum_governor::Quota::requests_per_second(burst_size)
    };
    let config = axum_governor::GovernorConfigBuilder::default()
        .with_extractor(axum_governor::extractor::Header(&X_API_KEY))
        .quota_default(quota)
        .finish()
        .expect("a config");
    app().layer(axum_governor::GovernorLayer::new(config))
}

/// What many write themselves: digests in a map, governor by client, from_fn.
struct HandRolled {
    clients: std::collections::HashMap<[u8; 32], Arc<str>>,
    limiter: DefaultKeyedRateLimiter<Arc<str>>,
}

fn hand_rolled(burst: u32) -> Router {
    let clients = keys().iter().enumerate().map(|(n, key)| (key.digest(), Arc::from(format!("c{n}")))).collect();
    let quota = Quota::with_period(period(burst)).expect("a period").allow_burst(NonZeroU32::new(burst).expect("not zero"));
    let state = Arc::new(HandRolled { clients, limiter: DefaultKeyedRateLimiter::keyed(quota) });
    let check = move |State(state): State<Arc<HandRolled>>, mut request: Request<Body>, next: Next| async move {
        let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
        let Some(client) = key.and_then(|key| state.clients.get(&sha256(key.as_bytes())).cloned()) else {
            return StatusCode::UNAUTHORIZED.into_response();
        };
        if state.limiter.check_key(&client).is_err() {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
        request.extensions_mut().insert(client);
        next.run(request).await
    };
    app().layer(from_fn_with_state(state, check))
}

#[derive(Clone, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: String,
}

#[derive(Clone)]
struct BySub;

impl KeyExtractor for BySub {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        request.extensions().get::<Claims>().map(|claims| claims.sub.clone()).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// jwt-authorizer does not layer onto axum 0.8, so it is called from `from_fn`.
async fn jwt_stack(signer: &Signer, with_limit: bool) -> Router {
    let builder: jwt_authorizer::AuthorizerBuilder<Claims> = match signer.name {
        "HS256" => JwtAuthorizer::from_secret(SECRET),
        "RS256" => JwtAuthorizer::from_rsa_pem_text(&signer.public_pem),
        "ES256" => JwtAuthorizer::from_ec_pem_text(&signer.public_pem),
        _ => JwtAuthorizer::from_ed_pem_text(&signer.public_pem),
    };
    let validation = jwt_authorizer::Validation::new()
        .iss(&["https://id.example.com/"])
        .aud(&["https://api.example.com"]);
    let authorizer = Arc::new(builder.validation(validation).build().await.expect("an authorizer"));
    let check = move |mut request: Request<Body>, next: Next| {
        let authorizer = authorizer.clone();
        async move {
            let Some(token) = authorizer.extract_token(request.headers()) else {
                return StatusCode::UNAUTHORIZED.into_response();
            };
            let Ok(data) = authorizer.check_auth(&token).await else {
                return StatusCode::UNAUTHORIZED.into_response();
            };
            if with_limit && !data.claims.scope.split(' ').any(|scope| scope == "orders:read") {
                return StatusCode::FORBIDDEN.into_response();
            }
            request.extensions_mut().insert(data.claims);
            let response: Response = next.run(request).await;
            response
        }
    };
    if !with_limit {
        return app().layer(from_fn(check));
    }
    let mut builder = GovernorConfigBuilder::default();
    let config = builder.period(period(2)).burst_size(4_000_000).key_extractor(BySub).finish().expect("a config");
    app().layer(GovernorLayer::new(Arc::new(config))).layer(from_fn(check))
}
