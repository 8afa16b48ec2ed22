//! Access tokens of a custom authorization server.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    let user = Token::new(
        json!({"kid": "ok-1", "alg": "RS256"}),
        json!({
            "ver": 1, "jti": "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7",
            "iss": "https://example.okta.com/oauth2/default", "aud": "api://default",
            "iat": NOW - 60, "exp": NOW + 3540, "cid": "0oa1web", "uid": "00u1user",
            "scp": ["openid", "orders.read"], "auth_time": NOW - 70, "sub": "ann@example.com",
            "groups": ["Everyone", "Order Clerks"],
        }),
    );
    let machine = user.with(json!({
        "cid": "0oa2job", "sub": "0oa2job", "scp": ["orders.read"],
        "uid": null, "auth_time": null, "groups": null,
    }));
    let id = user.with(json!({
        "sub": "00u1user", "aud": "0oa1web", "jti": "ID.radCQMOQUmyvcTBmmIL0J6BaS60apUEiC7",
        "at_hash": "fPlsvVszI29LU2UhDyJ9vg", "amr": ["pwd"], "idp": "00o1", "cid": null,
        "uid": null, "scp": null, "preferred_username": "ann@example.com",
    }));
    let org =
        user.with(json!({"iss": "https://example.okta.com", "aud": "https://example.okta.com"}));
    let (scopes, roles) = (&["openid", "orders.read"], &["Everyone", "Order Clerks"]);
    vec![Provider {
        title: "Okta",
        page: "okta",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "ok-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            admitted("a user's token", &user, ORDERS, "00u1user", scopes, roles)
                .column(Column::User),
            admitted("a machine's token", &machine, ORDERS, "0oa2job", &["orders.read"], &[])
                .column(Column::Machine),
            refused("an ID token", &id, ORDERS, "token_audience_mismatch").column(Column::Id),
            refused(
                "an ID token for a client called like the API",
                id.with(json!({"aud": "api://default"})),
                ORDERS,
                "token_type_mismatch",
            ),
            refused(
                "a token for another audience",
                user.with(json!({"aud": "api://other"})),
                ORDERS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a token of another Okta org",
                user.with(json!({"iss": "https://other.okta.com/oauth2/default"})),
                ORDERS,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "a token of the org authorization server",
                &org,
                ORDERS,
                "token_issuer_unknown",
            ),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                ORDERS,
                "token_signature_invalid",
            ),
            refused(
                "a user without the scope",
                user.with(json!({"scp": ["openid"]})),
                ORDERS,
                "insufficient_scope",
            ),
            admitted("a user of the group", &user, OFFICE, "00u1user", scopes, roles),
            refused(
                "a user of a group whose name begins alike",
                user.with(json!({"groups": ["Order"]})),
                OFFICE,
                "insufficient_role",
            ),
            refused("a machine, which is in no group", &machine, OFFICE, "insufficient_role"),
        ],
    }]
}
