//! ID tokens of Firebase Authentication.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, google, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    const USER: &str = "pWx0aUBKVYQ0cFVZ4gGGxqFGCPz1";
    let user = Token::new(
        json!({"alg": "RS256", "kid": "f-1", "typ": "JWT"}),
        json!({
            "iss": "https://securetoken.google.com/shop-1234", "aud": "shop-1234", "sub": USER,
            "user_id": USER, "auth_time": NOW - 600, "iat": NOW - 60, "exp": NOW + 3540,
            "email": "ann@example.com", "email_verified": true, "roles": ["clerk"],
            "firebase": {
                "identities": {"email": ["ann@example.com"]}, "sign_in_provider": "password",
            },
        }),
    );
    let anonymous = user.with(json!({
        "provider_id": "anonymous", "email": null, "email_verified": null, "roles": null,
        "firebase": {"identities": {}, "sign_in_provider": "anonymous"},
    }));
    let other = user.with(json!({
        "iss": "https://securetoken.google.com/other-5678", "aud": "other-5678",
    }));
    let custom = user.with(json!({
        "iss": "admin@shop-1234.iam.gserviceaccount.com", "sub": "admin@shop-1234.iam.gserviceaccount.com",
        "aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit",
        "uid": USER,
    }));
    vec![Provider {
        title: "Firebase",
        page: google::PAGE,
        block: 1,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "f-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            admitted("a user's ID token", &user, ORDERS, USER, &[], &["clerk"])
                .column(Column::User),
            admitted("the same at a role's path", &user, OFFICE, USER, &[], &["clerk"])
                .column(Column::Id),
            refused("a token of another project", &other, ORDERS, "token_issuer_unknown")
                .column(Column::Foreign),
            refused(
                "a token with another audience",
                user.with(json!({"aud": "other-5678"})),
                ORDERS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused("an anonymous user", &anonymous, ORDERS, "token_claim_invalid")
                .naming("/firebase/sign_in_provider"),
            refused(
                "a session cookie",
                user.with(json!({"iss": "https://session.firebase.google.com/shop-1234"})),
                ORDERS,
                "token_issuer_unknown",
            ),
            refused("a custom token", &custom, ORDERS, "token_issuer_unknown"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                ORDERS,
                "token_signature_invalid",
            ),
            refused(
                "a user without the role",
                user.with(json!({"roles": null})),
                OFFICE,
                "insufficient_role",
            ),
        ],
    }]
}
