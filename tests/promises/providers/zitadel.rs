//! Access tokens in JWT form, with roles of a project.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const ORDERS: &str = "GET /orders";
    const OFFICE: &str = "GET /back-office";
    const LEDGER: &str = "GET /ledger";
    const ROLES: &str = "urn:zitadel:iam:org:project:roles";
    let user = Token::new(
        json!({"alg": "RS256", "kid": "z-1", "typ": "JWT"}),
        json!({
            "iss": "https://shop-abc123.zitadel.cloud", "sub": "77776025198584418",
            "aud": ["69234237810729234", "200000000000000009"], "azp": "69234237810729234",
            "jti": "V2_2468", "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 43_140,
            ROLES: {"clerk": {"200000000000000001": "shop.example.com"}},
        }),
    );
    let machine = user.with(json!({
        "sub": "88886025198584418", "aud": ["200000000000000009"], "azp": "orders-job", ROLES: null,
    }));
    let id = user.with(json!({
        "jti": null, "nbf": null, "auth_time": NOW - 60, "amr": ["pwd", "mfa"], "nonce": "n",
        "at_hash": "HK6E_P6Dh8Y93",
    }));
    let granted = user.with(json!({
        ROLES: {"clerk": {"300000000000000001": "partner.example.com"}},
    }));
    vec![Provider {
        title: "Zitadel",
        page: "zitadel",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "z-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            admitted("a user's token", &user, ORDERS, "77776025198584418", &[], &["clerk"])
                .column(Column::User),
            admitted(
                "one without `typ`",
                user.headed(json!({"typ": null})),
                ORDERS,
                "77776025198584418",
                &[],
                &["clerk"],
            ),
            admitted("a machine's token", &machine, ORDERS, "88886025198584418", &[], &[])
                .column(Column::Machine),
            refused("an ID token", &id, OFFICE, "token_type_mismatch").column(Column::Id),
            refused(
                "an ID token without `at_hash`",
                id.with(json!({"at_hash": null})),
                OFFICE,
                "token_claim_missing",
            )
            .naming("jti"),
            refused(
                "a token for another project",
                user.with(json!({"aud": ["69234237810729234"]})),
                ORDERS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a token of another instance",
                user.with(json!({"iss": "https://other-xyz.zitadel.cloud"})),
                ORDERS,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused("an opaque token", "dsahfkjasdhfkjasdhfkjshadf", ORDERS, "token_malformed"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                ORDERS,
                "token_signature_invalid",
            ),
            admitted("a user with the role", &user, OFFICE, "77776025198584418", &[], &["clerk"]),
            refused(
                "a user with another role",
                user.with(json!({ROLES: {"guest": {"200000000000000001": "clerk"}}})),
                OFFICE,
                "insufficient_role",
            ),
            admitted(
                "a user with the role, given by another organization",
                &granted,
                OFFICE,
                "77776025198584418",
                &[],
                &["clerk"],
            ),
            admitted(
                "a user with the role, given by ours",
                &user,
                LEDGER,
                "77776025198584418",
                &[],
                &["clerk"],
            ),
            refused(
                "the role of another organization where ours is bound",
                &granted,
                LEDGER,
                "claim_mismatch",
            ),
        ],
    }]
}
