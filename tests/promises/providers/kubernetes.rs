//! Tokens of projected volumes.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

pub(super) fn policies() -> Vec<Provider> {
    const JOBS: &str = "POST /jobs";
    const ORDERS: &str = "GET /orders";
    const WORKER: &str = "system:serviceaccount:shop:worker";
    let pod = |namespace: &str, account: &str| {
        Token::new(
            json!({"alg": "RS256", "kid": "k8s-1"}),
            json!({
                "aud": ["https://orders.example.com"], "exp": NOW + 3300, "iat": NOW - 300,
                "iss": "https://kubernetes.default.svc.cluster.local",
                "jti": "e51f1fbc-4733-4b85-a59f-ba80c0523874",
                "kubernetes.io": {
                    "namespace": namespace,
                    "node": {"name": "node-1", "uid": "517eb86e-b863-451b-bf70-86cb61439a3a"},
                    "pod": {"name": "worker-0", "uid": "0d8b260e-ef0e-45fb-be8e-ff44f97722e8"},
                    "serviceaccount": {"name": account, "uid": "e6a8680e-d103-4cce-80ea-03acbbeacf7d"},
                    "warnafter": NOW + 3307,
                },
                "nbf": NOW - 300, "sub": format!("system:serviceaccount:{namespace}:{account}"),
            }),
        )
    };
    let worker = pod("shop", "worker");
    let default = worker.with(json!({"aud": ["https://kubernetes.default.svc.cluster.local"]}));
    let legacy = Token::new(
        json!({"alg": "RS256", "kid": "k8s-1"}),
        json!({
            "iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "shop",
            "kubernetes.io/serviceaccount/service-account.name": "worker", "sub": WORKER,
        }),
    );
    vec![Provider {
        title: "Kubernetes service accounts",
        page: "kubernetes",
        block: 0,
        edits: vec![],
        warnings: &[],
        algorithm: Algorithm::RS256,
        set: |key| set(&key, json!({"kid": "k8s-1", "use": "sig", "alg": "RS256"})),
        header: "authorization",
        cases: vec![
            admitted("a pod's token", &worker, JOBS, WORKER, &[], &[]).column(Column::Machine),
            admitted(
                "one of another account, at the namespace's path",
                pod("shop", "cron"),
                ORDERS,
                "system:serviceaccount:shop:cron",
                &[],
                &[],
            ),
            refused("the token for the API server", &default, JOBS, "token_audience_mismatch")
                .column(Column::Audience),
            refused(
                "a token of another cluster with the same `iss`",
                worker.headed(json!({"kid": "other-1"})),
                JOBS,
                "token_key_unknown",
            )
            .column(Column::Foreign),
            refused(
                "a token of another cluster",
                worker.with(json!({"iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/FDF"})),
                JOBS,
                "token_issuer_unknown",
            ),
            refused("a token of the old kind", &legacy, JOBS, "token_issuer_unknown"),
            refused(
                "a token for a year",
                worker.with(json!({"exp": NOW + 31_536_000})),
                JOBS,
                "token_claim_invalid",
            )
            .naming("exp"),
            refused("another account", pod("shop", "cron"), JOBS, "claim_mismatch").naming("sub"),
            refused(
                "an account of that name in another namespace",
                pod("evil", "worker"),
                JOBS,
                "claim_mismatch",
            )
            .naming("sub"),
            refused(
                "an account of another namespace",
                pod("shop-evil", "worker"),
                ORDERS,
                "claim_mismatch",
            )
            .naming("/kubernetes.io/namespace"),
            refused(
                "a token that somebody else signed",
                Sent::Forged(worker.clone()),
                JOBS,
                "token_signature_invalid",
            ),
        ],
    }]
}
