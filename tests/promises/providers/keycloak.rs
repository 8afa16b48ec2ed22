//! Access tokens of a realm, with the default mappers and an audience.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, changed, refused};
use crate::support::NOW;

const USER: &str = "7d1c1d1a-0000-4000-8000-000000000001";
const MACHINE: &str = "7d1c1d1a-0000-4000-8000-000000000002";

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    let user = Token::new(
        json!({"alg": "RS256", "typ": "JWT", "kid": "kc-1"}),
        json!({
            "exp": NOW + 300, "iat": NOW, "auth_time": NOW - 5, "jti": "onrtac:1", "typ": "Bearer",
            "iss": "https://sso.example.com/realms/shop", "aud": ["orders", "account"], "sub": USER,
            "azp": "shop-web", "sid": "s-1", "acr": "1",
            "allowed-origins": ["https://shop.example.com"],
            "realm_access": {"roles": ["default-roles-shop", "clerk"]},
            "resource_access": {
                "orders": {"roles": ["order-admin"]}, "account": {"roles": ["manage-account"]},
            },
            "scope": "openid email orders:read", "email_verified": true,
            "preferred_username": "clerk-1",
        }),
    );
    let machine = user.with(json!({
        "sub": MACHINE, "azp": "shop-job", "jti": "trrtcc:1", "aud": "orders",
        "realm_access": {"roles": ["default-roles-shop"]}, "resource_access": {},
        "scope": "orders:read", "preferred_username": "service-account-shop-job",
        "clientHost": "10.0.0.7", "client_id": "shop-job", "sid": null, "auth_time": null,
        "allowed-origins": null,
    }));
    let id = user.with(json!({
        "typ": "ID", "aud": "shop-web", "at_hash": "fPlsvVszI29LU2UhDyJ9vg", "nonce": "n",
        "realm_access": null, "resource_access": null, "scope": null, "allowed-origins": null,
    }));
    let own_id = id.with(json!({"aud": "orders", "azp": "orders"}));
    let roles = &["default-roles-shop", "clerk", "order-admin"];
    let scopes = &["email", "openid", "orders:read"];
    let elsewhere = user.with(json!({
        "realm_access": {"roles": ["default-roles-shop"]},
        "resource_access": {"account": {"roles": ["clerk", "order-admin"]}},
    }));
    vec![Provider {
        title: "Keycloak",
        page: "keycloak",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| {
            let member = |kid, usage, alg| {
                changed(&key, &json!({"kid": kid, "use": usage, "alg": alg, "x5c": ["MIIC"]}))
            };
            json!({"keys": [member("kc-0", "enc", "RSA-OAEP"), member("kc-1", "sig", "RS256")]})
        },
        header: "authorization",
        cases: vec![
            admitted("a user's token", &user, ORDERS, USER, scopes, roles).column(Column::User),
            admitted(
                "one with `typ` `at+jwt`",
                user.headed(json!({"typ": "at+jwt"})),
                ORDERS,
                USER,
                scopes,
                roles,
            ),
            admitted(
                "a machine's token",
                &machine,
                ORDERS,
                MACHINE,
                &["orders:read"],
                &["default-roles-shop"],
            )
            .column(Column::Machine),
            refused("an ID token", &id, OFFICE, "token_audience_mismatch").column(Column::Id),
            refused("an ID token of the API's own client", &own_id, OFFICE, "token_type_mismatch"),
            refused(
                "one without `at_hash`",
                own_id.with(json!({"at_hash": null})),
                OFFICE,
                "token_claim_invalid",
            )
            .naming("typ"),
            refused(
                "a token of a new realm, for `account`",
                user.with(json!({"aud": "account"})),
                ORDERS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a token without `aud`",
                user.with(json!({"aud": null})),
                ORDERS,
                "token_claim_missing",
            )
            .naming("aud"),
            refused(
                "a token of another realm",
                user.with(json!({"iss": "https://sso.example.com/realms/master"})),
                ORDERS,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "a refresh token",
                user.headed(json!({"alg": "HS512"}))
                    .with(json!({"typ": "Refresh", "aud": "https://sso.example.com/realms/shop"})),
                ORDERS,
                "token_algorithm_not_allowed",
            ),
            refused(
                "a token that is bound to a key",
                user.with(json!({"typ": "DPoP", "cnf": {"jkt": "0ZcOCORZNYy"}})),
                ORDERS,
                "token_proof_required",
            ),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                ORDERS,
                "token_signature_invalid",
            ),
            refused(
                "a user without the scope",
                user.with(json!({"scope": "openid"})),
                ORDERS,
                "insufficient_scope",
            ),
            admitted("a user with the role", &user, OFFICE, USER, scopes, roles),
            refused(
                "a user with the role of another client",
                &elsewhere,
                OFFICE,
                "insufficient_role",
            ),
            refused("a machine without the role", &machine, OFFICE, "insufficient_role"),
        ],
    }]
}
