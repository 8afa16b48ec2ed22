//! A gate behind a real server, a client to call it with, and credentials.

pub(crate) mod issuer;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod shared;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tollgate::{ManualClock, NewApiKey, Tollgate};

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The secret of the issuer in [`POLICY`].
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A server that runs until the test ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) clock: ManualClock,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    http2: Client<HttpConnector, Full<bytes::Bytes>>,
    source: Option<IpAddr>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or("-").to_owned()
    }

    /// All lines of a header.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        self.headers.get_all(name).iter().map(text).collect()
    }

    pub(crate) fn line(&self, name: &str) -> Option<String> {
        self.lines(name).into_iter().next()
    }
}

/// The gate of a policy, with a clock that stands.
pub(crate) async fn gate(policy: &str) -> (Tollgate, ManualClock) {
    let clock = ManualClock::at(NOW);
    let gate = Tollgate::builder().policy(policy).clock(clock.clone()).build().await;
    (gate.unwrap(), clock)
}

/// Serves an app with the peer's address.
pub(crate) async fn serve(app: Router, clock: ManualClock) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server::at(address, clock)
}

/// A trial server of this policy: every path answers `ok` where the gate lets it pass.
pub(crate) async fn trial(policy: &str) -> Server {
    let (gate, clock) = gate(policy).await;
    serve(Router::new().fallback(|| async { "ok" }).layer(gate.layer()), clock).await
}

impl Server {
    pub(crate) fn at(address: SocketAddr, clock: ManualClock) -> Self {
        Self {
            address,
            clock,
            client: client(None, false),
            http2: client(None, true),
            source: None,
        }
    }

    /// The same server, called from another address.
    pub(crate) fn from(&self, source: &str) -> Self {
        let source = Some(source.parse().unwrap());
        let (client, http2) = (client(source, false), client(source, true));
        Self { address: self.address, clock: self.clock.clone(), client, http2, source }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(Method::GET, path, headers).await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(&self.client, method, path, headers, "").await
    }

    /// Sends a body of this media type.
    pub(crate) async fn post(&self, path: &str, kind: &str, body: &str) -> Answer {
        self.send(&self.client, Method::POST, path, &[("content-type", kind)], body).await
    }

    pub(crate) async fn get_http2(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&self.http2, Method::GET, path, headers, "").await
    }

    async fn send(
        &self,
        client: &Client<HttpConnector, Full<bytes::Bytes>>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::new(Full::from(body.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let response = client
            .request(request)
            .await
            .unwrap_or_else(|error| panic!("{path} from {:?}: {error:?}", self.source));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let answer = Answer { status: parts.status, headers: parts.headers, text };
        super::schema::check(&answer);
        answer
    }
}

fn client(source: Option<IpAddr>, http2: bool) -> Client<HttpConnector, Full<bytes::Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_local_address(source);
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

/// A new key, and the `[[api_keys.key]]` for it with these further lines.
pub(crate) fn key(id: &str, client: &str, lines: &str) -> (String, String) {
    let key = NewApiKey::generate("tg").unwrap();
    let digest = key.digest();
    let entry = format!(
        "[[api_keys.key]]\nid = \"{id}\"\nclient = \"{client}\"\ndigest = \"{digest}\"\n{lines}\n"
    );
    (key.reveal().to_owned(), entry)
}

/// Claims that the issuer of [`issuer`] accepts.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://id.example.com/", "aud": "https://api.example.com", "sub": "mobile",
        "scope": "orders:read", "iat": NOW, "exp": NOW + 3600,
    })
}

/// An `[[issuer]]` whose secret is [`SECRET`]: the variable is set in `.cargo/config.toml`.
pub(crate) fn issuer() -> String {
    "[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\naudiences = [\"https://api.example.com\"]\n\
     algorithms = [\"HS256\"]\nkeys = { secret_env = \"TOLLGATE_TEST_SECRET\" }\n"
        .to_owned()
}

/// A token with this header and these claims, signed with [`SECRET`].
pub(crate) fn token(header: &Value, claims: &Value) -> String {
    token_of_text(&header.to_string(), &claims.to_string())
}

pub(crate) fn token_of_text(header: &str, claims: &str) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

/// The usual header of a token.
pub(crate) fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt"})
}

/// `Bearer` with a token of these claims, as changed by `change`.
pub(crate) fn bearer(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    format!("Bearer {}", token(&header(), &claims))
}

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
