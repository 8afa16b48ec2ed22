//! The services that are measured.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use jwt_authorizer::JwtAuthorizer;
use serde::Deserialize;
use tollgate::{NewApiKey, Tollgate};
use tower::{Layer, Service};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::credentials::{SECRET, Signer, rs256_alone, signers};
use crate::floor::{floor_key, floor_token, ready_answer};
use crate::{Figure, Mount, Row};

const CALLS: usize = 4000;
const CLIENTS: usize = 32;

fn app() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "ok" }))
}

fn request(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = "/orders/7".parse().expect("a path");
    // What a client of an API sends beside its credential.
    for (name, value) in [("host", "api.example.com"), ("user-agent", "orders/2.1"), ("accept", "application/json"), ("accept-encoding", "gzip")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), HeaderValue::from_str(value).expect("a value"));
    }
    let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn x_api_key() -> HeaderName {
    HeaderName::from_static("x-api-key")
}

pub(crate) async fn all() -> Vec<Row> {
    let keys: Vec<NewApiKey> = (0..CLIENTS).map(|_| NewApiKey::generate("tg").expect("a key")).collect();
    let by_key: Vec<Request<()>> = keys.iter().map(|key| request(&[(x_api_key(), key.reveal())])).collect();
    let signers = signers();
    let mounted = |name: &str, mount: Mount, requests: &[Request<()>], status: StatusCode| Row {
        name: name.to_owned(),
        mount,
        requests: requests.iter().map(clone).collect(),
        status,
        calls: CALLS,
    };
    // As `axum::serve` does, so that layers are laid once and not for each request.
    let made = |router: Router| router.with_state(());
    let row = |name: &str, router: Router, requests: &[Request<()>], status: StatusCode| {
        mounted(name, Mount::Router(made(router)), requests, status)
    };
    let (ok, limited) = (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS);
    let mut rows = vec![
        row("bare axum", app(), &by_key, ok),
        row("no-op tower layer", app().layer(NoOp), &by_key, ok),
        row("floor: key + limit + headers", floor_key(app(), &keys, 4_000_000), &by_key, ok),
        row("tower_governor, key by header", tower_governor(1_000_000), &by_key, ok),
        row("tower_governor with headers", tower_governor_headers(1_000_000), &by_key, ok),
        row("axum-governor, key by header", axum_governor(1_000_000), &by_key, ok),
        row("hand-rolled from_fn, key + governor", hand_rolled(&keys, 1_000_000), &by_key, ok),
    ];

    let keyed = |headers: &str, burst: u32| policy(&keys, &[], headers, burst, 0);
    rows.push(row("tollgate, key + scope + limit", gate(&keyed("off", 4_000_000)).await, &by_key, ok));
    rows.push(row("tollgate, key + scope + limit + headers", gate(&keyed("draft", 4_000_000)).await, &by_key, ok));
    let watched = keyed("draft", 4_000_000).replace("[failures]\nenabled = false\n", "");
    rows.push(row("tollgate, the same, failures counted", gate(&watched).await, &by_key, ok));
    let wrapped = Tollgate::builder().policy(keyed("draft", 4_000_000)).build().await.expect("a gate");
    let wrapped = Mount::Around(wrapped.layer().layer(made(app())));
    rows.push(mounted("tollgate around the router, + headers", wrapped, &by_key, ok));

    for signer in &signers {
        let tokens: Vec<String> = (0..CLIENTS).map(|n| signer.token(n)).collect();
        let bearer = |token: &String| request(&[(http::header::AUTHORIZATION, &format!("Bearer {token}"))]);
        let by_token: Vec<Request<()>> = tokens.iter().map(bearer).collect();
        let calls = if signer.name == "HS256" { CALLS } else { 400 };
        let name = |what: &str| format!("{what}, {}", signer.name);
        let mut peer = row(&name("jwt-authorizer + scope + tower_governor"), jwt_stack(signer, true).await, &by_token, ok);
        peer.calls = calls;
        rows.push(peer);
        let mut alone = row(&name("jwt-authorizer alone"), jwt_stack(signer, false).await, &by_token, ok);
        alone.calls = calls;
        rows.push(alone);
        let router = gate(&policy(&[], &[signer], "draft", 4_000_000, 0)).await;
        let mut first = row(&name("tollgate, token first seen, + headers"), router, &by_token, ok);
        first.calls = calls;
        rows.push(first);
        let router = gate(&policy(&[], &[signer], "draft", 4_000_000, 100_000)).await;
        rows.push(row(&name("tollgate, token seen before, + headers"), router, &by_token, ok));
        let router = gate(&policy(&[], &[signer], "off", 4_000_000, 100_000)).await;
        rows.push(row(&name("tollgate, token seen before"), router, &by_token, ok));
        rows.push(row(&name("floor: token seen before + limit"), floor_token(app(), &tokens), &by_token, ok));
    }

    rows.push(row("refusal: tower_governor", tower_governor(1), &by_key[..1], limited));
    rows.push(row("refusal: tower_governor with headers", tower_governor_headers(1), &by_key[..1], limited));
    rows.push(row("refusal: axum-governor", axum_governor(1), &by_key[..1], limited));
    rows.push(row("refusal: hand-rolled 429", hand_rolled(&keys, 1), &by_key[..1], limited));
    let forbidden = StatusCode::FORBIDDEN;
    rows.push(row("refusal: ready answer, nothing decided", ready_answer(), &by_key[..1], forbidden));
    rows.push(row("refusal: floor", floor_key(app(), &keys, 1), &by_key[..1], forbidden));
    let bad = |value: &str| vec![request(&[(x_api_key(), value)])];
    let one = gate(&keyed("draft", 1)).await;
    rows.push(row("refusal: tollgate rate_limited", one, &by_key[..1], forbidden));
    let plain = || async { gate(&keyed("draft", 4_000_000)).await };
    let unknown = NewApiKey::generate("tg").expect("a key");
    rows.push(row("refusal: tollgate credentials_missing", plain().await, &[request(&[])], forbidden));
    rows.push(row("refusal: tollgate api_key_malformed", plain().await, &bad("nonsense"), forbidden));
    rows.push(row("refusal: tollgate api_key_unknown", plain().await, &bad(unknown.reveal()), forbidden));
    let large = format!("Bearer {}", "a".repeat(9000));
    let oversize = vec![request(&[(http::header::AUTHORIZATION, &large)])];
    let garbage = vec![request(&[(http::header::AUTHORIZATION, "Bearer aaaa.bbbb.cccc")])];
    let tokens = || async { gate(&policy(&keys, &[&signers[1]], "draft", 4_000_000, 100_000)).await };
    rows.push(row("refusal: tollgate token_malformed", tokens().await, &garbage, forbidden));
    rows.push(row("refusal: tollgate token_too_large", tokens().await, &oversize, forbidden));
    rows
}

fn clone(request: &Request<()>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// A policy with these keys and issuers, one rule, and one limit per client.
fn policy(keys: &[NewApiKey], signers: &[&Signer], headers: &str, burst: u32, cache: usize) -> String {
    let mut policy = format!(
        "version = 1\n[denial]\nratelimit_headers = \"{headers}\"\n[failures]\nenabled = false\n[tokens]\ncache = {cache}\n"
    );
    if !keys.is_empty() {
        policy += "[api_keys]\n";
    }
    for (n, key) in keys.iter().enumerate() {
        let digest = key.digest();
        policy += &format!("[[api_keys.key]]\nid = \"k{n}\"\nclient = \"c{n}\"\ndigest = \"{digest}\"\nscopes = [\"orders:read\"]\n");
    }
    for signer in signers {
        let name = signer.name;
        let source = if signer.public_pem.is_empty() {
            "secret_env = \"BENCH_SECRET\"".to_owned()
        } else {
            let path = std::env::temp_dir().join(format!("tollgate-bench-{}-{name}.pem", std::process::id()));
            std::fs::write(&path, &signer.public_pem).expect("a file");
            format!("pem_file = \"{}\"", path.display())
        };
        policy += &format!(
            "[[issuer]]\nname = \"{name}\"\niss = \"https://id.example.com/\"\naudiences = [\"https://api.example.com\"]\nalgorithms = [\"{name}\"]\nkeys = {{ {source} }}\n"
        );
    }
    let rate = if burst == 1 { "1/day" } else { "4000000/second" };
    policy += &format!(
        "[[limit]]\nname = \"per-client\"\nrate = \"{rate}\"\nburst = {burst}\nper = [\"client\"]\n\
         [[rule]]\nname = \"read\"\nmethods = [\"GET\"]\npath = \"/orders/{{id}}\"\nscopes = [\"orders:read\"]\nlimits = [\"per-client\"]\n"
    );
    policy
}

async fn gate(policy: &str) -> Router {
    // SAFETY: set once more to the same value; no other thread reads the environment.
    unsafe { std::env::set_var("BENCH_SECRET", SECRET) };
    let gate = Tollgate::builder().policy(policy).build().await.expect("a gate");
    app().layer(gate.layer())
}

/// A layer that does nothing: what axum takes for any layer.
#[derive(Clone)]
struct NoOp;

#[derive(Clone)]
struct NoOpService<S>(S);

impl<S> Layer<S> for NoOp {
    type Service = NoOpService<S>;

    fn layer(&self, inner: S) -> NoOpService<S> {
        NoOpService(inner)
    }
}

impl<S, R> Service<R> for NoOpService<S>
where
    S: Service<R, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
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

fn hand_rolled(keys: &[NewApiKey], burst: u32) -> Router {
    let digest = |text: &str| {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref());
        bytes
    };
    let clients = keys.iter().enumerate().map(|(n, key)| (digest(key.reveal()), Arc::from(format!("c{n}")))).collect();
    let quota = Quota::with_period(period(burst)).expect("a period").allow_burst(NonZeroU32::new(burst).expect("not zero"));
    let state = Arc::new(HandRolled { clients, limiter: DefaultKeyedRateLimiter::keyed(quota) });
    let check = move |State(state): State<Arc<HandRolled>>, mut request: Request<Body>, next: Next| async move {
        let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
        let Some(client) = key.and_then(|key| state.clients.get(&digest(key)).cloned()) else {
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

/// Prints the rows, and how they stand to what they are to be compared with.
pub(crate) fn print(figures: &[Figure]) {
    let find = |name: &str| figures.iter().find(|figure| figure.name == name);
    let Some(bare) = find("bare axum") else { return figures.iter().for_each(|f| println!("{}: {:.0} ns, {:.1} allocations", f.name, f.ns, f.allocations)) };
    println!("| service | ns/request | least / most | over bare, ns | allocations over bare | whole ÷ bare |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for figure in figures {
        let over = figure.ns - bare.ns;
        let allocations = figure.allocations - bare.allocations;
        println!(
            "| {} | {:.0} | {:.0} / {:.0} | {over:.0} | {allocations:+.1} | {:.2} |",
            figure.name, figure.ns, figure.least, figure.most, figure.ns / bare.ns
        );
    }
    println!("\n| goal | asked | is |\n| --- | --- | --- |");
    let over = |name: &str| find(name).map_or(f64::NAN, |figure| figure.ns - bare.ns);
    let whole = |name: &str| find(name).map_or(f64::NAN, |figure| figure.ns);
    let key = "tollgate, key + scope + limit + headers";
    let goal = |what: &str, asked: &str, is: f64| println!("| {what} | {asked} | {is:.2} |");
    goal("key + headers ÷ tower_governor with headers", "≤ 0.8", over(key) / over("tower_governor with headers"));
    goal("key + headers ÷ floor", "", over(key) / over("floor: key + limit + headers"));
    goal("floor ÷ tower_governor with headers", "", over("floor: key + limit + headers") / over("tower_governor with headers"));
    goal("key + headers ÷ hand-rolled", "≤ 0.4", over(key) / over("hand-rolled from_fn, key + governor"));
    goal("key + headers: allocations over bare", "≤ 6", find(key).map_or(f64::NAN, |f| f.allocations - bare.allocations));
    for (algorithm, seen, first) in [("RS256", "≥ 60", "≥ 1.4"), ("HS256", "≥ 12", "≥ 1"), ("ES256", "", "≥ 1"), ("EdDSA", "", "≥ 1")] {
        let stack = over(&format!("jwt-authorizer + scope + tower_governor, {algorithm}"));
        let alone = over(&format!("jwt-authorizer alone, {algorithm}"));
        // The stack sends no header fields either.
        let before = over(&format!("tollgate, token seen before, {algorithm}"));
        let new = over(&format!("tollgate, token first seen, + headers, {algorithm}"));
        goal(&format!("{algorithm} stack ÷ token seen before"), seen, stack / before);
        let floor = over(&format!("floor: token seen before + limit, {algorithm}"));
        goal(&format!("{algorithm} stack ÷ floor of a token seen before"), "", stack / floor);
        let against = if algorithm == "RS256" { stack } else { alone };
        goal(&format!("{algorithm} peer ÷ token first seen"), first, against / new);
    }
    let signature = rs256_alone();
    goal("RS256 peer ÷ the signature alone", "", over("jwt-authorizer + scope + tower_governor, RS256") / signature);
    goal("RS256 peer ÷ the signature and a token seen before", "", over("jwt-authorizer + scope + tower_governor, RS256") / (signature + over("tollgate, token seen before, + headers, RS256")));
    for refused in ["api_key_malformed", "api_key_unknown", "token_malformed", "token_too_large"] {
        let cost = whole(&format!("refusal: tollgate {refused}"));
        goal(&format!("{refused} ÷ an admission by key"), "< 1", cost / whole(key));
    }
    let refusal = whole("refusal: tollgate rate_limited");
    goal("tower_governor 429 ÷ rate_limited", "≥ 4", whole("refusal: tower_governor") / refusal);
    goal("axum-governor 429 ÷ rate_limited", "≥ 8", whole("refusal: axum-governor") / refusal);
    goal("rate_limited ÷ bare with its handler", "≤ 1.2", refusal / bare.ns);
    goal("rate_limited ÷ a ready answer, nothing decided", "", refusal / whole("refusal: ready answer, nothing decided"));
    goal("floor ÷ bare with its handler", "", whole("refusal: floor") / bare.ns);
    goal("rate_limited: allocations", "≤ 6 over bare", find("refusal: tollgate rate_limited").map_or(f64::NAN, |f| f.allocations - bare.allocations));
}
