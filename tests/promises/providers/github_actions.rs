//! OIDC tokens of jobs.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const DEPLOY: &str = "POST /deploy";
    const RELEASE: &str = "POST /release";
    const PREVIEW: &str = "POST /preview";
    const SHOP: &str = "octo-org/shop";
    let job = Token::new(
        json!({"typ": "JWT", "alg": "RS256", "x5t": "t", "kid": "gh-1"}),
        json!({
            "jti": "j", "sub": "repo:octo-org@123456/shop@456789:environment:production",
            "aud": "https://deploy.example.com", "ref": "refs/heads/main", "sha": "0".repeat(40),
            "repository": SHOP, "repository_id": "456789", "repository_owner": "octo-org",
            "repository_owner_id": "123456", "repository_visibility": "private", "run_id": "1",
            "run_number": "10", "run_attempt": "1", "actor": "octocat", "actor_id": "12",
            "workflow": "deploy", "head_ref": "", "base_ref": "", "event_name": "push",
            "ref_type": "branch", "environment": "production", "runner_environment": "github-hosted",
            "workflow_ref": "octo-org/shop/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_ref": "octo-org/shop/.github/workflows/deploy.yml@refs/heads/main",
            "iss": "https://token.actions.githubusercontent.com",
            "nbf": NOW - 10, "exp": NOW + 290, "iat": NOW - 10,
        }),
    );
    let older = job.with(json!({"sub": "repo:octo-org/shop:environment:production"}));
    let from = |reference: &str| job.with(json!({"ref": reference, "environment": null}));
    vec![Provider {
        title: "GitHub Actions",
        page: "github-actions",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| {
            set(
                &key,
                json!({"kid": "gh-1", "use": "sig", "alg": "RS256", "x5t": "t", "x5c": ["MIIC"]}),
            )
        },
        header: "authorization",
        cases: vec![
            admitted("a job's token", &job, DEPLOY, SHOP, &[], &[]).column(Column::Machine),
            admitted("one with `sub` of the older form", &older, DEPLOY, SHOP, &[], &[]),
            refused(
                "a token with the default audience",
                job.with(json!({"aud": "https://github.com/octo-org"})),
                DEPLOY,
                "token_audience_mismatch",
            )
            .column(Column::Audience),
            refused(
                "a token of an Enterprise Server",
                job.with(json!({"iss": "https://ghe.example.com/_services/token"})),
                DEPLOY,
                "token_issuer_unknown",
            )
            .column(Column::Foreign),
            refused(
                "another repository",
                job.with(json!({"repository": "evil/shop", "repository_id": "666"})),
                DEPLOY,
                "claim_mismatch",
            )
            .naming("repository_id"),
            refused(
                "a new repository with the old name",
                job.with(json!({"repository_id": "666"})),
                DEPLOY,
                "claim_mismatch",
            )
            .naming("repository_id"),
            refused(
                "another branch",
                job.with(json!({"ref": "refs/heads/main2"})),
                DEPLOY,
                "claim_mismatch",
            )
            .naming("ref"),
            refused(
                "a job without the environment",
                job.with(json!({"environment": null})),
                DEPLOY,
                "claim_mismatch",
            )
            .naming("environment"),
            refused("a pull request", from("refs/pull/7/merge"), DEPLOY, "claim_mismatch")
                .naming("ref"),
            admitted("a tag of a version", from("refs/tags/v1.2.3"), RELEASE, SHOP, &[], &[]),
            refused("another tag", from("refs/tags/nightly"), RELEASE, "claim_mismatch")
                .naming("ref"),
            refused(
                "a branch called like a tag",
                from("refs/heads/refs/tags/v1"),
                RELEASE,
                "claim_mismatch",
            )
            .naming("ref"),
            admitted(
                "a pull request, at previews",
                from("refs/pull/7/merge"),
                PREVIEW,
                SHOP,
                &[],
                &[],
            ),
            refused(
                "another owner",
                from("refs/heads/main").with(json!({"repository_owner_id": "666"})),
                PREVIEW,
                "claim_mismatch",
            )
            .naming("repository_owner_id"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(job.clone()),
                DEPLOY,
                "token_signature_invalid",
            ),
        ],
    }]
}
