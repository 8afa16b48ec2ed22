//! The gate in an application that has chosen the other backend of jsonwebtoken: both work, and the
//! gate leaves the choice of the process alone.
//!
//! jsonwebtoken chooses a backend once for each process, when one is first needed, and panics where
//! two of them are compiled in. So each of the two claims is held in a process of its own.

use std::error::Error;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header::AUTHORIZATION};
use axum::routing::get;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use tollgate::{Principal, Tollgate};
use tower::ServiceExt as _;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("signs") => signs().await,
        Some("chooses") => chooses().await,
        _ => {
            for part in ["signs", "chooses"] {
                let mut process = Command::new(std::env::current_exe()?);
                let status = process.arg(part).env("OTHER_BACKEND_SECRET", SECRET).status()?;
                assert!(status.success(), "{part}: {status}");
            }
            Ok(())
        }
    }
}

/// The application signs and reads tokens, which the gate takes.
async fn signs() -> Result<(), Box<dyn Error>> {
    let app = app().await?;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 60;
    let claims = json!({
        "iss": "https://app.example.com/", "aud": "https://api.example.com", "sub": "shop", "exp": expires,
    });
    let header = Header { typ: Some("JWT".into()), ..Header::new(Algorithm::HS256) };
    let token =
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?;

    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["https://api.example.com"]);
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let read = jsonwebtoken::decode::<Value>(&token, &key, &validation)?;
    assert_eq!(read.claims["sub"], "shop");
    assert_eq!(status(&app, &token).await?, StatusCode::OK);
    Ok(())
}

/// After the gate has read keys and judged tokens, the application can still choose the backend.
async fn chooses() -> Result<(), Box<dyn Error>> {
    let app = app().await?;
    // {"alg":"RS256","typ":"JWT"} . {"iss":"https://id.example.com/"} . a signature that fits nothing
    let forged = format!(
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyJ9.{}",
        "A".repeat(342)
    );
    assert_eq!(status(&app, &forged).await?, StatusCode::FORBIDDEN);
    assert!(DEFAULT_PROVIDER.install_default().is_ok(), "the gate has chosen a backend");
    Ok(())
}

async fn app() -> Result<Router, Box<dyn Error>> {
    let gate = Tollgate::open(concat!(env!("CARGO_MANIFEST_DIR"), "/policy.toml")).await?;
    let orders = async |caller: Principal| caller.client().to_owned();
    Ok(Router::new().route("/orders", get(orders)).layer(gate.layer()))
}

async fn status(app: &Router, token: &str) -> Result<StatusCode, Box<dyn Error>> {
    let request = Request::get("/orders").header(AUTHORIZATION, format!("Bearer {token}"));
    Ok(app.clone().oneshot(request.body(Body::empty())?).await?.status())
}
