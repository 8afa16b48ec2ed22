//! The services that are measured, but for the peers.

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;
use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use tollgate::Tollgate;
use tower::{Layer, Service};

use crate::credentials::{ALGORITHMS, CLIENTS, Key, SECRET, Signer, signer};
use crate::floor::{floor_key, floor_token, ready_answer};
use crate::{CALLS, Entry, Mount, Requests};

pub fn app() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "ok" }))
}

pub fn x_api_key() -> HeaderName {
    HeaderName::from_static("x-api-key")
}

/// The keys of most rows.
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| Key::several(CLIENTS));
    &KEYS
}

pub fn by_key() -> Requests {
    with_keys(keys())
}

pub fn by_one_key() -> Requests {
    with_keys(&keys()[..1])
}

fn with_keys(keys: &[Key]) -> Requests {
    Requests::new(x_api_key(), keys.iter().map(|key| key.text().to_owned()).collect())
}

/// Requests with the tokens of this algorithm.
pub fn by_token(algorithm: &str) -> Requests {
    with_tokens(signer(algorithm).tokens())
}

fn with_tokens(tokens: &[String]) -> Requests {
    Requests::new(AUTHORIZATION, tokens.iter().map(|token| format!("Bearer {token}")).collect())
}

/// How many calls make a round where each verifies a signature.
pub fn calls(algorithm: &str) -> usize {
    if algorithm == "HS256" { CALLS } else { 400 }
}

/// All of them; each is made when it is asked for.
pub fn all() -> Vec<Entry> {
    let (ok, forbidden) = (StatusCode::OK, StatusCode::FORBIDDEN);
    let issued = |name| Policy { signer: Some(signer(name)), cache: 100_000, ..Policy::default() };
    let row = |name: &str, router: fn() -> Router| {
        Entry::new(name, ok, by_key, async move { Mount::router(router()) })
    };
    let mut rows = vec![
        row("bare axum", app),
        row("no-op tower layer", || app().layer(NoOp)),
        row("floor: key + limit + headers", || floor_key(app(), keys(), 4_000_000)),
        Entry::new("tollgate, key + scope + limit", ok, by_key, async move {
            Policy { headers: "off", ..of_keys() }.mount().await
        }),
        Entry::new("tollgate, key + scope + limit + headers", ok, by_key, async move { of_keys().mount().await }),
        Entry::new("tollgate, the same, failures counted", ok, by_key, async move {
            Policy { counts_failures: true, ..of_keys() }.mount().await
        }),
        Entry::new("tollgate around the router, + headers", ok, by_key, async move {
            let gate = of_keys().gate().await;
            Mount::Around(gate.layer().layer(app().with_state(())))
        }),
    ];
    // A server has many, and so what it knows of one is seldom in the cache.
    for (name, clients) in [("1,000", 1_000), ("100,000", 100_000)] {
        let name = format!("tollgate, key + scope + limit + headers, {name} clients");
        let requests = move || with_keys(&Key::several(clients)).at_random();
        rows.push(Entry::new(name, ok, requests, async move {
            Policy { keys: &Key::several(clients), ..Policy::default() }.mount().await
        }));
    }

    for name in ALGORITHMS {
        let requests = move || by_token(name);
        rows.extend([
            Entry::new(format!("tollgate, token first seen, + headers, {name}"), ok, requests, async move {
                Policy { cache: 0, ..issued(name) }.mount().await
            })
            .calls(calls(name)),
            Entry::new(format!("tollgate, token seen before, + headers, {name}"), ok, requests, async move {
                issued(name).mount().await
            }),
            Entry::new(format!("tollgate, token seen before, {name}"), ok, requests, async move {
                Policy { headers: "off", ..issued(name) }.mount().await
            }),
            Entry::new(format!("floor: token seen before + limit, {name}"), ok, requests, async move {
                Mount::router(floor_token(app(), signer(name).tokens()))
            }),
        ]);
    }
    let many = || with_tokens(&signer("RS256").many_tokens(1_000)).at_random();
    rows.push(Entry::new("tollgate, token seen before, + headers, RS256, 1,000 clients", ok, many, async move {
        issued("RS256").mount().await
    }));

    let refusal = |name: &str, requests: fn() -> Requests, policy: fn() -> Policy<'static>| {
        Entry::new(name, forbidden, requests, async move { policy().mount().await })
    };
    rows.extend([
        Entry::new("refusal: ready answer, nothing decided", forbidden, by_one_key, async {
            Mount::router(ready_answer())
        }),
        Entry::new("refusal: floor", forbidden, by_one_key, async { Mount::router(floor_key(app(), keys(), 1)) }),
        refusal("refusal: tollgate rate_limited", by_one_key, || Policy { burst: 1, ..of_keys() }),
        refusal("refusal: tollgate insufficient_scope, by key", by_key, || Policy { scope: "orders:admin", ..of_keys() }),
        refusal("refusal: tollgate insufficient_scope, by token", || by_token("RS256"), || Policy {
            scope: "orders:admin",
            ..of_both()
        }),
        refusal("refusal: tollgate credentials_missing", Requests::bare, of_keys),
        refusal("refusal: tollgate api_key_malformed", || Requests::new(x_api_key(), vec!["nonsense".into()]), of_keys),
        refusal("refusal: tollgate api_key_unknown", || with_keys(&[Key::new(CLIENTS)]), of_keys),
        refusal("refusal: tollgate api_key_unknown, the address waits", || with_keys(&[Key::new(CLIENTS)]), || Policy {
            counts_failures: true,
            ..of_keys()
        }),
        refusal("refusal: tollgate token_signature_invalid, RS256", || with_tokens(&forged("RS256")), of_both),
        refusal("refusal: tollgate token not looked at, the address waits", || with_tokens(&forged("RS256")), || Policy {
            counts_failures: true,
            ..of_both()
        }),
        refusal("refusal: tollgate token_malformed", || with_tokens(&["aaaa.bbbb.cccc".into()]), of_both),
        refusal("refusal: tollgate token_too_large", || with_tokens(&["a".repeat(9000)]), of_both),
    ]);
    rows
}

/// Tokens of this algorithm with the signatures of others.
fn forged(algorithm: &str) -> Vec<String> {
    let tokens = signer(algorithm).tokens();
    let split = |token: &String| token.rsplit_once('.').map(|(signed, tag)| (signed.to_owned(), tag.to_owned()));
    let parts: Vec<_> = tokens.iter().filter_map(split).collect();
    let others = parts.iter().cycle().skip(1);
    parts.iter().zip(others).map(|((signed, _), (_, tag))| format!("{signed}.{tag}")).collect()
}

fn of_keys() -> Policy<'static> {
    Policy { keys: keys(), ..Policy::default() }
}

fn of_both() -> Policy<'static> {
    Policy { signer: Some(signer("RS256")), cache: 100_000, ..of_keys() }
}

/// A policy with these keys and an issuer, one rule, and one limit per client.
struct Policy<'a> {
    keys: &'a [Key],
    signer: Option<&'a Signer>,
    headers: &'a str,
    burst: u32,
    /// How many tokens are remembered.
    cache: usize,
    /// What the rule asks for; keys hold `orders:read` alone.
    scope: &'a str,
    counts_failures: bool,
}

impl Default for Policy<'_> {
    fn default() -> Self {
        Self {
            keys: &[],
            signer: None,
            headers: "draft",
            burst: 4_000_000,
            cache: 0,
            scope: "orders:read",
            counts_failures: false,
        }
    }
}

impl Policy<'_> {
    fn text(&self) -> String {
        let Self { keys, signer, headers, burst, cache, scope, counts_failures } = self;
        let mut policy = format!(
            "version = 1\n[denial]\nratelimit_headers = \"{headers}\"\n[failures]\nenabled = {counts_failures}\n[tokens]\ncache = {cache}\n"
        );
        if !keys.is_empty() {
            policy += "[api_keys]\n";
        }
        for (n, key) in keys.iter().enumerate() {
            let digest = key.digest_text();
            policy += &format!("[[api_keys.key]]\nid = \"k{n}\"\nclient = \"c{n}\"\ndigest = \"{digest}\"\nscopes = [\"orders:read\"]\n");
        }
        if let Some(signer) = signer {
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
        let rate = if *burst == 1 { "1/day" } else { "4000000/second" };
        policy += &format!(
            "[[limit]]\nname = \"per-client\"\nrate = \"{rate}\"\nburst = {burst}\nper = [\"client\"]\n\
             [[rule]]\nname = \"read\"\nmethods = [\"GET\"]\npath = \"/orders/{{id}}\"\nscopes = [\"{scope}\"]\nlimits = [\"per-client\"]\n"
        );
        policy
    }

    async fn gate(&self) -> Tollgate {
        // SAFETY: set once more to the same value; no other thread reads the environment.
        unsafe { std::env::set_var("BENCH_SECRET", SECRET) };
        Tollgate::builder().policy(self.text()).build().await.expect("a gate")
    }

    /// As a layer of the router.
    async fn mount(&self) -> Mount {
        Mount::router(app().layer(self.gate().await.layer()))
    }
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
