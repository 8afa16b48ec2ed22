//! ID tokens of people and of service accounts.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) const PAGE: &str = "google-and-firebase";

pub(super) fn policies() -> Vec<Provider> {
    const STAFF: &str = "GET /staff";
    const JOBS: &str = "POST /jobs";
    const APP: &str = "1234987819200.apps.googleusercontent.com";
    let header = json!({"alg": "RS256", "kid": "g-1", "typ": "JWT"});
    let user = Token::new(
        header.clone(),
        json!({
            "iss": "https://accounts.google.com", "azp": APP, "aud": APP, "at_hash": "HK6E_P6Dh8Y93",
            "sub": "10769150350006150715", "hd": "example.com", "email": "ann@example.com",
            "email_verified": true, "nonce": "n", "iat": NOW - 60, "exp": NOW + 3540,
        }),
    );
    let machine = Token::new(
        header,
        json!({
            "iss": "https://accounts.google.com", "azp": "117000000000000000001",
            "aud": "https://api.example.com", "sub": "117000000000000000001",
            "email": "worker@shop.iam.gserviceaccount.com", "email_verified": true,
            "iat": NOW - 60, "exp": NOW + 3540,
        }),
    );
    vec![Provider {
        title: "Google",
        page: PAGE,
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "g-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            refused("a person's access token", "ya29.a0AfH6SMBx", STAFF, "token_malformed").column(Column::User),
            admitted("a person's ID token", &user, STAFF, "10769150350006150715", &[], &[]).column(Column::Id),
            admitted("one with the older `iss`", user.with(json!({"iss": "accounts.google.com"})), STAFF, "10769150350006150715", &[], &[]),
            admitted("a service account's ID token", &machine, JOBS, "117000000000000000001", &[], &[])
                .column(Column::Machine),
            refused("an ID token for another app", user.with(json!({"aud": "999.apps.googleusercontent.com", "azp": "999.apps.googleusercontent.com"})), STAFF, "token_audience_mismatch")
                .column(Column::Audience),
            refused("a token of Firebase", user.with(json!({"iss": "https://securetoken.google.com/shop-1234", "aud": "shop-1234"})), STAFF, "token_issuer_unknown")
                .column(Column::Foreign),
            refused("a person outside the Workspace", user.with(json!({"hd": null, "email": "ann@gmail.com"})), STAFF, "claim_mismatch").naming("hd"),
            refused("a person of another Workspace", user.with(json!({"hd": "example.org"})), STAFF, "claim_mismatch").naming("hd"),
            refused("another service account", machine.with(json!({"email": "worker@evil.iam.gserviceaccount.com"})), JOBS, "claim_mismatch").naming("email"),
            refused("a service account at a person's path", machine.with(json!({"hd": "example.com"})), STAFF, "claim_mismatch").naming("aud"),
            refused("a person at a service account's path", &user, JOBS, "claim_mismatch").naming("email"),
            refused("a token that somebody else signed", Sent::Forged(user.clone()), STAFF, "token_signature_invalid"),
        ],
    }]
}
