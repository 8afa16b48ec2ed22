//! Application tokens of people and of service tokens.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, changed, refused};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const REPORTS: &str = "GET /reports";
    const ADMIN: &str = "GET /admin";
    const JOBS: &str = "POST /jobs";
    const TAG: &str = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228";
    const USER: &str = "7335d417-61da-459d-899c-0a01c76a2f94";
    const SERVICE: &str = "e367826f93b8d71185e03fe518aff3b4.access";
    let header = json!({"alg": "RS256", "kid": "cf-1", "typ": "JWT"});
    let user = Token::new(
        header.clone(),
        json!({
            "aud": [TAG], "email": "ann@example.com", "exp": NOW + 3600, "iat": NOW, "nbf": NOW,
            "iss": "https://example.cloudflareaccess.com", "type": "app", "country": "US",
            "identity_nonce": "6ei69kawdKzMIAPF", "sub": USER,
        }),
    );
    let service = Token::new(
        header,
        json!({
            "type": "app", "aud": [TAG], "exp": NOW + 3600, "iat": NOW, "sub": "",
            "iss": "https://example.cloudflareaccess.com", "common_name": SERVICE,
        }),
    );
    vec![Provider {
        title: "Cloudflare Access",
        page: "cloudflare-access",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        // The set holds the keys as certificates too.
        set: |key| {
            let key = changed(&key, &json!({"kid": "cf-1", "use": "sig", "alg": "RS256"}));
            json!({"keys": [key], "public_cert": {"kid": "cf-1", "cert": "-"}, "public_certs": []})
        },
        header: "cf-access-jwt-assertion",
        cases: vec![
            admitted("a person's token", &user, REPORTS, USER, &[], &[]).column(Column::User),
            admitted("a service token's", &service, JOBS, SERVICE, &[], &[])
                .column(Column::Machine),
            refused(
                "a token of another application",
                user.with(json!({"aud": ["0".repeat(64)]})),
                REPORTS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a token of another team",
                user.with(json!({"iss": "https://evil.cloudflareaccess.com"})),
                REPORTS,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "the token of the whole account",
                user.with(json!({"type": "org"})),
                REPORTS,
                "token_claim_invalid",
            )
            .naming("type"),
            refused("a request past Cloudflare", Sent::Nothing, REPORTS, "credentials_missing"),
            refused("the token as a bearer token", &user, REPORTS, "credentials_unsupported")
                .in_header("authorization"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                REPORTS,
                "token_signature_invalid",
            ),
            admitted("a person of the company", &user, ADMIN, USER, &[], &[]),
            refused(
                "a person of another",
                user.with(json!({"email": "ann@example.com.evil.test"})),
                ADMIN,
                "claim_mismatch",
            )
            .naming("email"),
            refused("a service token at a person's path", &service, ADMIN, "claim_mismatch")
                .naming("email"),
            refused(
                "another service token",
                service.with(json!({"common_name": "0.access"})),
                JOBS,
                "claim_mismatch",
            )
            .naming("common_name"),
        ],
    }]
}
