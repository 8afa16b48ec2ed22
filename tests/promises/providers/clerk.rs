//! Session tokens of version 2, and M2M tokens in JWT form.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const ME: &str = "GET /me";
    const MEMBERS: &str = "GET /orgs/org_123/members";
    const JOBS: &str = "POST /jobs";
    const USER: &str = "user_3DIYdXgwlr0Q0R12qDNbk4z95aZ";
    const MACHINE: &str = "mch_2vYVtestTESTtestTESTtestTESTtest";
    let user = Token::new(
        json!({"alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": "ins_1", "typ": "JWT"}),
        json!({
            "azp": "https://app.example.com", "exp": NOW + 50, "fva": [7, -1], "iat": NOW - 10,
            "iss": "https://clerk.example.com", "jti": "1234567890", "nbf": NOW - 20,
            "sid": "sess_123", "sub": USER, "v": 2, "pla": "u:free,o:pro", "fea": "o:dashboard",
            "sts": "active",
            "o": {"id": "org_123", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3"},
        }),
    );
    let machine = Token::new(
        json!({"alg": "RS256", "kid": "ins_1", "typ": "JWT"}),
        json!({
            "iss": "https://clerk.example.com", "sub": MACHINE, "aud": "https://api.example.com",
            "exp": NOW + 300, "iat": NOW, "nbf": NOW - 10, "jti": "mt_2xKa9Bgv7NxMRDFyQw8LpZ3cTmU1vHjE",
        }),
    );
    let id = machine.with(json!({
        "sub": USER, "aud": "oauth-client-1", "at_hash": "HK6E_P6Dh8Y93", "nonce": "n", "jti": null,
    }));
    let member =
        |id: &str, role: &str| user.with(json!({"o": {"id": id, "slg": "s", "rol": role}}));
    vec![Provider {
        title: "Clerk",
        page: "clerk",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "ins_1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            admitted("a session token", &user, ME, USER, &[], &["admin"]).column(Column::User),
            admitted(
                "one without an active organization",
                user.with(json!({"o": null})),
                ME,
                USER,
                &[],
                &[],
            ),
            admitted("a machine's token", &machine, JOBS, MACHINE, &[], &[])
                .column(Column::Machine),
            refused(
                "an ID token, where Clerk signs users in to another app",
                &id,
                ME,
                "token_audience_mismatch",
            )
            .column(Column::Id),
            refused(
                "a session token of another app",
                user.with(json!({"azp": "https://evil.example.com"})),
                ME,
                "token_audience_mismatch",
            )
            .naming("azp")
            .column(Column::Audience),
            refused(
                "a session token of another instance",
                user.with(json!({"iss": "https://other.clerk.accounts.dev"})),
                ME,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "a session token without `azp`",
                user.with(json!({"azp": null})),
                ME,
                "token_claim_missing",
            )
            .naming("azp"),
            refused(
                "a session that is pending",
                user.with(json!({"sts": "pending"})),
                ME,
                "claim_mismatch",
            )
            .naming("sts"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(user.clone()),
                ME,
                "token_signature_invalid",
            ),
            admitted("an admin in the organization", &user, MEMBERS, USER, &[], &["admin"]),
            refused(
                "an admin of another organization",
                member("org_666", "admin"),
                MEMBERS,
                "claim_mismatch",
            )
            .naming("/o/id"),
            refused(
                "a member without the role",
                member("org_123", "member"),
                MEMBERS,
                "insufficient_role",
            ),
            refused("a person at a machine's path", &user, JOBS, "claim_mismatch").naming("sub"),
            refused(
                "another machine",
                machine.with(json!({"sub": "mch_other"})),
                JOBS,
                "claim_mismatch",
            )
            .naming("sub"),
            refused("a machine at a person's path", &machine, ME, "claim_mismatch").naming("sts"),
            refused(
                "a machine's token that never expires",
                machine.with(json!({"exp": null})),
                JOBS,
                "token_claim_missing",
            )
            .naming("exp"),
            refused(
                "an opaque M2M token",
                "mt_8XOIucKvqHVr5tYP123456789abcdefghij",
                JOBS,
                "token_malformed",
            ),
        ],
    }]
}
