//! Access tokens of a user pool, with and without a resource.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Case, Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01";
const APP: &str = "exampleappclient0000000001";
const USER: &str = "5a1f7c1e-0000-4000-8000-0123456789ab";

fn provider(edits: Vec<(&'static str, &'static str)>, cases: Vec<Case>) -> Provider {
    Provider {
        title: "Amazon Cognito",
        page: "amazon-cognito",
        block: 0,
        edits,
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "c-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases,
    }
}

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    let user = Token::new(
        json!({"kid": "c-1", "alg": "RS256"}),
        json!({
            "sub": USER, "cognito:groups": ["clerks"], "iss": POOL, "version": 2, "client_id": APP,
            "origin_jti": "o-1", "event_id": "e-1", "token_use": "access", "jti": "j-1",
            "scope": "openid orders/read", "auth_time": NOW - 60, "iat": NOW - 60, "exp": NOW + 3540,
            "username": "clerk-1",
        }),
    );
    let machine = user.with(json!({
        "sub": "examplemachine000000000001", "client_id": "examplemachine000000000001",
        "scope": "orders/read", "cognito:groups": null, "username": null, "origin_jti": null,
        "event_id": null,
    }));
    let id = Token::new(
        json!({"kid": "c-1", "alg": "RS256"}),
        json!({
            "sub": USER, "aud": APP, "token_use": "id", "iss": POOL, "cognito:username": "clerk-1",
            "cognito:groups": ["clerks"], "auth_time": NOW - 60, "iat": NOW - 60, "exp": NOW + 3540,
            "jti": "j-3", "origin_jti": "o-1", "event_id": "e-1",
        }),
    );
    let scopes = &["openid", "orders/read"];
    let bound = user.with(json!({"aud": "https://api.example.com"}));
    vec![
        provider(vec![], vec![
            admitted("a user's token", &user, ORDERS, USER, scopes, &["clerks"]).column(Column::User),
            admitted("a machine's token", &machine, ORDERS, "examplemachine000000000001", &["orders/read"], &[])
                .column(Column::Machine),
            refused("an ID token", &id, OFFICE, "token_claim_missing").naming("client_id").column(Column::Id),
            refused("a token of another app client", user.with(json!({"client_id": "someoneelsesclient00000000"})), ORDERS, "token_audience_mismatch")
                .naming("client_id").column(Column::Audience),
            refused("a token of another pool", user.with(json!({"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other0001"})), ORDERS, "token_issuer_unknown")
                .column(Column::Foreign),
            refused("a token of an identity pool", user.with(json!({"iss": "https://cognito-identity.amazonaws.com"})), ORDERS, "token_issuer_unknown"),
            refused("a token that somebody else signed", Sent::Forged(user.clone()), ORDERS, "token_signature_invalid"),
            refused("a user who signed in through the API", user.with(json!({"scope": "aws.cognito.signin.user.admin"})), ORDERS, "insufficient_scope"),
            admitted("a user of the group", &user, OFFICE, USER, scopes, &["clerks"]),
            refused("a user of another group", user.with(json!({"cognito:groups": ["guests"]})), OFFICE, "insufficient_role"),
            refused("a machine, which is in no group", &machine, OFFICE, "insufficient_role"),
        ]),
        provider(
            vec![
                ("audience_claim = \"client_id\"", "audience_claim = \"aud\""),
                ("audiences      = [\"exampleappclient0000000001\", \"examplemachine000000000001\"]", "audiences = [\"https://api.example.com\"]"),
            ],
            vec![
                admitted("a token for the resource", &bound, ORDERS, USER, scopes, &["clerks"]),
                refused("a token for another resource", user.with(json!({"aud": "https://other.example.com"})), ORDERS, "token_audience_mismatch"),
                refused("a token for no resource", &user, ORDERS, "token_claim_missing").naming("aud"),
                refused("an ID token", &id, OFFICE, "token_audience_mismatch"),
            ],
        ),
        provider(
            vec![("audience_claim = \"client_id\"", "audience_claim = [\"client_id\", \"aud\"]")],
            vec![refused("an ID token, which only `token_use` tells apart", &id, OFFICE, "token_claim_invalid").naming("token_use")],
        ),
    ]
}
