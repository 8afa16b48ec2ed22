//! Access tokens of both profiles, with and without RBAC.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Case, Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

fn user() -> Token {
    Token::new(
        json!({"alg": "RS256", "typ": "JWT", "kid": "a0-1"}),
        json!({
            "iss": "https://example.eu.auth0.com/", "sub": "auth0|123456",
            "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "iat": NOW - 60, "exp": NOW + 86_340,
            "scope": "openid profile read:orders", "https://api.example.com/roles": ["clerk"],
        }),
    )
}

fn machine() -> Token {
    user().with(json!({
        "sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients", "aud": "https://api.example.com",
        "azp": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx", "scope": "read:orders",
        "gty": "client-credentials", "https://api.example.com/roles": null,
    }))
}

fn provider(edits: Vec<(&'static str, &'static str)>, cases: Vec<Case>) -> Provider {
    Provider {
        title: "Auth0",
        page: "auth0",
        block: 0,
        edits,
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| {
            set(
                &key,
                json!({"kid": "a0-1", "use": "sig", "alg": "RS256", "x5t": "t", "x5c": ["MIIC"]}),
            )
        },
        header: "authorization",
        cases,
    }
}

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    let (user, machine) = (user(), machine());
    let rfc9068 = user.headed(json!({"typ": "at+jwt"})).with(json!({
        "azp": null, "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "jti": "73WakrfVbNJBaAmhQtEeDv",
    }));
    let id = user.with(json!({
        "aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "azp": null, "scope": null, "nonce": "n",
        "name": "A", "email": "a@example.com", "https://api.example.com/roles": null,
    }));
    let permissions =
        |token: &Token| token.with(json!({"permissions": ["read:orders", "write:orders"]}));
    const WHO: &str = "auth0|123456";
    const MACHINE: &str = "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients";
    let scopes = &["openid", "profile", "read:orders"];
    vec![
        provider(
            vec![],
            vec![
                admitted("a user's token", &user, ORDERS, WHO, scopes, &["clerk"]).column(Column::User),
                admitted("one of profile RFC 9068", &rfc9068, ORDERS, WHO, scopes, &["clerk"]),
                admitted("a machine's token", &machine, ORDERS, MACHINE, &["read:orders"], &[])
                    .column(Column::Machine),
                refused("an ID token", &id, ORDERS, "token_audience_mismatch").column(Column::Id),
                refused("a token for another API", user.with(json!({"aud": ["https://other.example.com", "https://example.eu.auth0.com/userinfo"]})), ORDERS, "token_audience_mismatch")
                    .column(Column::Audience),
                refused("a token of another tenant", user.with(json!({"iss": "https://other.eu.auth0.com/"})), ORDERS, "token_issuer_unknown")
                    .column(Column::Foreign),
                refused("`iss` without its last slash", user.with(json!({"iss": "https://example.eu.auth0.com"})), ORDERS, "token_issuer_unknown"),
                refused("a token that somebody else signed", Sent::Forged(user.clone()), ORDERS, "token_signature_invalid"),
                refused("an opaque token", "MQI9IyRz9nGhkoqV8kPLNqjJcGQ3Vfy0", ORDERS, "token_malformed"),
                refused("an encrypted token", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", ORDERS, "token_malformed"),
                refused("a token signed with HS256", user.headed(json!({"alg": "HS256"})), ORDERS, "token_algorithm_not_allowed"),
                refused("a user without the scope", user.with(json!({"scope": "openid profile"})), ORDERS, "insufficient_scope"),
                admitted("a user with the role", &user, OFFICE, WHO, scopes, &["clerk"]),
                refused("a user with another role", user.with(json!({"https://api.example.com/roles": ["guest"]})), OFFICE, "insufficient_role"),
                refused("a machine, which has no roles", &machine, OFFICE, "insufficient_role"),
            ],
        ),
        provider(
            vec![("scope_claim = \"scope\"", "scope_claim = \"permissions\"")],
            vec![
                admitted("a user with the permission", permissions(&user.with(json!({"scope": "openid"}))), ORDERS, WHO, &["read:orders", "write:orders"], &["clerk"]),
                refused("a scope that is no permission", user.with(json!({"permissions": []})), ORDERS, "insufficient_scope"),
            ],
        ),
    ]
}
