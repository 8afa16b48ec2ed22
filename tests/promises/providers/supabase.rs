//! Access tokens of sessions, signed with ES256.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const TODOS: &str = "GET /todos";
    const OFFICE: &str = "GET /back-office";
    const PAYMENTS: &str = "POST /payments";
    const USER: &str = "123e4567-e89b-12d3-a456-426614174000";
    let user = Token::new(
        json!({"alg": "ES256", "typ": "JWT", "kid": "sb-1"}),
        json!({
            "aal": "aal1", "amr": [{"method": "password", "timestamp": NOW - 60}],
            "app_metadata": {"provider": "email", "providers": ["email"], "roles": ["clerk"]},
            "aud": "authenticated", "email": "ann@example.com", "exp": NOW + 3540, "iat": NOW - 60,
            "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1", "phone": "",
            "role": "authenticated", "session_id": "123e4567-e89b-12d3-a456-426614174999",
            "sub": USER, "user_metadata": {"name": "Ann"}, "is_anonymous": false,
        }),
    );
    let legacy = |role: &str| {
        Token::new(
            json!({"alg": "HS256", "typ": "JWT"}),
            json!({
                "iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": role,
                "iat": NOW - 60, "exp": NOW + 315_360_000,
            }),
        )
    };
    let self_made = user.with(json!({
        "app_metadata": {"provider": "email"}, "user_metadata": {"roles": ["clerk"]},
    }));
    vec![Provider {
        title: "Supabase",
        page: "supabase",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::ES256,
        set: |key| {
            set(
                &key,
                json!({"kid": "sb-1", "use": "sig", "alg": "ES256", "key_ops": ["verify"], "ext": true}),
            )
        },
        header: "authorization",
        cases: vec![
            admitted("a user's token", &user, TODOS, USER, &[], &["clerk"]).column(Column::User),
            refused(
                "an anonymous user",
                user.with(json!({"is_anonymous": true, "email": ""})),
                TODOS,
                "token_claim_invalid",
            )
            .naming("is_anonymous"),
            refused("the legacy key `anon`", legacy("anon"), TODOS, "token_issuer_unknown"),
            refused(
                "the legacy key `service_role`",
                legacy("service_role"),
                TODOS,
                "token_issuer_unknown",
            )
            .column(Column::Machine),
            refused(
                "a secret key of the project",
                "sb_secret_N7UND0UgjKTVK",
                TODOS,
                "token_malformed",
            ),
            refused(
                "a token of another project",
                user.with(json!({"iss": "https://zzzzzzzzzzzzzzzzzzzz.supabase.co/auth/v1"})),
                TODOS,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "a token with the audience `anon`",
                user.with(json!({"aud": "anon"})),
                TODOS,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a user's token with the role `service_role`",
                user.with(json!({"role": "service_role"})),
                TODOS,
                "token_claim_invalid",
            )
            .naming("role"),
            refused(
                "a token signed with the legacy secret",
                user.headed(json!({"alg": "HS256", "kid": null})),
                TODOS,
                "token_algorithm_not_allowed",
            ),
            refused(
                "a token that somebody else signed",
                user.headed(json!({"kid": "sb-0"})),
                TODOS,
                "token_key_unknown",
            ),
            admitted("a user with the role", &user, OFFICE, USER, &[], &["clerk"]),
            refused(
                "a user who wrote the role into `user_metadata`",
                &self_made,
                OFFICE,
                "insufficient_role",
            ),
            admitted(
                "a user after a second factor",
                user.with(json!({"aal": "aal2"})),
                PAYMENTS,
                USER,
                &[],
                &["clerk"],
            ),
            refused("a user without one", &user, PAYMENTS, "claim_mismatch").naming("aal"),
        ],
    }]
}
