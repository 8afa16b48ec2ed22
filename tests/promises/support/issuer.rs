//! An issuer of the tests: it publishes its keys over TLS, signs tokens, and has bad days.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Authority, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::claims;

/// How the issuer answers.
#[derive(Clone, Debug)]
pub(crate) enum Day {
    /// With its keys, and its metadata.
    Good,
    Status(u16),
    /// With a redirect to another path, where the keys are.
    Redirect,
    /// With this text in place of a set.
    Text(&'static str),
    /// With an answer that is no HTTP.
    Noise,
    /// Not at all.
    Hangs,
    /// With a head, and a body that does not end in time.
    Slow,
    /// With a body larger than it may be, whose length is not said.
    Endless,
    /// It closes the connection.
    Closes,
}

struct State {
    day: Day,
    published: Vec<String>,
    cache_control: String,
    /// What the metadata say the issuer is; `None` for the truth.
    claims_to_be: Option<String>,
    /// Where the metadata are.
    metadata: String,
    /// The token that the set is handed out for.
    needs: Option<String>,
    /// The path of each request.
    requests: Vec<String>,
}

/// A server at `https://localhost:<port>`, until the test ends.
pub(crate) struct TestIssuer {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    state: Arc<Mutex<State>>,
    keys: Vec<(&'static str, Ed25519KeyPair)>,
}

/// The path of the set.
const JWKS: &str = "/jwks.json";

impl TestIssuer {
    /// An issuer with two keys, `one` and `two`, the first of which is published.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tls, ca) = certificates();
        fs::write(folder.path().join("ca.pem"), ca).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys: Vec<_> =
            ["one", "two"].map(|kid| (kid, Ed25519KeyPair::generate().unwrap())).into();
        let state = Arc::new(Mutex::new(State {
            day: Day::Good,
            published: vec!["one".into()],
            cache_control: "max-age=3600".into(),
            claims_to_be: None,
            metadata: "/.well-known/openid-configuration".into(),
            needs: None,
            requests: Vec::new(),
        }));
        let sets = keys.iter().map(|(kid, key)| (*kid, jwk(kid, key))).collect();
        let shared = Arc::new(Shared { state: state.clone(), sets, address });
        tokio::spawn(serve(listener, tls, shared));
        Self { address, folder, state, keys }
    }

    pub(crate) fn day(&self, day: Day) {
        self.state().day = day;
    }

    /// Publishes the keys of these names.
    pub(crate) fn publish(&self, kids: &[&str]) {
        self.state().published = kids.iter().map(|kid| (*kid).to_owned()).collect();
    }

    pub(crate) fn claims_to_be(&self, iss: &str) {
        self.state().claims_to_be = Some(iss.to_owned());
    }

    /// Has the metadata at this path alone.
    pub(crate) fn metadata_at(&self, path: &str) {
        self.state().metadata = path.to_owned();
    }

    /// Hands the set out for this token alone.
    pub(crate) fn needs(&self, token: &str) {
        self.state().needs = Some(token.to_owned());
    }

    /// The paths that were asked for so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn iss(&self) -> String {
        iss(self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}{JWKS}", self.iss())
    }

    /// `keys` of an `[[issuer]]`: this set, with more settings.
    pub(crate) fn keys(&self, more: &str) -> String {
        let ca = self.ca_file().display().to_string();
        format!("{{ jwks_url = \"{}\", ca_file = \"{ca}\"{more} }}", self.url())
    }

    /// A policy with this issuer, its `keys` and more lines; any token of it is admitted.
    pub(crate) fn policy(&self, keys: &str, more: &str) -> String {
        format!(
            "version = 1\n{more}\n[[issuer]]\nname = \"main\"\niss = \"{}\"\n\
             audiences = [\"https://api.example.com\"]\nalgorithms = [\"EdDSA\"]\nkeys = {keys}\n\
             [[rule]]\nname = \"all\"\npath = \"/\"\n",
            self.iss()
        )
    }

    /// `Bearer` with a token of this issuer, signed with the key of this name.
    pub(crate) fn bearer(&self, kid: &str, change: impl FnOnce(&mut Value)) -> String {
        self.bearer_as(Some(kid), kid, change)
    }

    /// The same for a token that says `named` of its key.
    pub(crate) fn bearer_as(
        &self,
        named: Option<&str>,
        kid: &str,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let mut claims = claims();
        claims["iss"] = self.iss().into();
        change(&mut claims);
        let mut header = json!({"alg": "EdDSA", "typ": "at+jwt"});
        if let Some(named) = named {
            header["kid"] = named.into();
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let (_, key) = self.keys.iter().find(|(name, _)| *name == kid).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        format!("Bearer {signed}.{signature}")
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn iss(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

fn jwk(kid: &str, key: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x})
}

/// What a server for `localhost` needs, and the authority that vouches for it, in PEM.
fn certificates() -> (TlsAcceptor, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "id.example.com".to_owned()];
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &Authority::new(ca, ca_key)).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    (TlsAcceptor::from(Arc::new(tls)), ca_pem)
}

struct Shared {
    state: Arc<Mutex<State>>,
    sets: Vec<(&'static str, Value)>,
    address: SocketAddr,
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), shared.clone());
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                let _broken = shared.answer(stream).await;
            }
        });
    }
}

impl Shared {
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (day, reply) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(path.clone());
            (state.day.clone(), self.reply(&state, &path, &head))
        };
        let plain = |status: u16, more: &str| {
            format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n{more}\r\n")
        };
        let text = match day {
            Day::Good => reply,
            Day::Status(status) => plain(status, ""),
            Day::Redirect => plain(302, &format!("location: {}/elsewhere\r\n", iss(self.address))),
            Day::Text(text) => {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
            }
            Day::Noise => "SSH-2.0-OpenSSH_9.6\r\n".into(),
            Day::Hangs => return std::future::pending().await,
            Day::Closes => return Ok(()),
            Day::Slow => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Day::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b' '; 10_000]).await?;
                }
            }
        };
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    }

    fn reply(&self, state: &State, path: &str, head: &str) -> String {
        let needs = state.needs.as_ref().map(|token| format!("authorization: bearer {token}\r\n"));
        let lower = head.to_ascii_lowercase();
        let body = if needs.is_some_and(|line| !lower.contains(&line)) {
            return "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".into();
        } else if path == JWKS || path == "/elsewhere" {
            let is_published = |kid: &str| state.published.iter().any(|published| published == kid);
            let keys: Vec<_> =
                self.sets.iter().filter(|(kid, _)| is_published(kid)).map(|(_, key)| key).collect();
            json!({"keys": keys})
        } else if path == state.metadata {
            let own = iss(self.address);
            let issuer = state.claims_to_be.clone().unwrap_or(own.clone());
            json!({"issuer": issuer, "jwks_uri": format!("{own}{JWKS}"), "scopes_supported": []})
        } else {
            return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into();
        };
        let body = body.to_string();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: {}\r\n\
             content-length: {}\r\n\r\n{body}",
            state.cache_control,
            body.len()
        )
    }
}
