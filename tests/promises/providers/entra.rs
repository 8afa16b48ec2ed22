//! Access tokens of version 2.0 and 1.0, for one tenant and for any.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Case, Column, Provider, Sent, Token, admitted, refused, set};
use crate::support::NOW;

const TENANT: &str = "22222222-2222-4222-8222-222222222222";
const OTHER: &str = "99999999-9999-4999-8999-999999999999";
const API: &str = "11111111-1111-4111-8111-111111111111";
const USER: &str = "44444444-4444-4444-8444-444444444444";
const DAEMON: &str = "55555555-5555-4555-8555-555555555555";
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn of(tenant: &str) -> Token {
    Token::new(
        json!({"typ": "JWT", "alg": "RS256", "kid": "e-1"}),
        json!({
            "aud": API, "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            "iat": NOW - 300, "nbf": NOW - 300, "exp": NOW + 4200, "aio": "E2", "azpacr": "1",
            "azp": "33333333-3333-4333-8333-333333333333", "rh": "0.A", "tid": tenant, "uti": "u",
            "ver": "2.0", "name": "Ann", "oid": USER, "preferred_username": "ann@example.com",
            "scp": "User.Read Widgets.Read", "sub": "AAAAApairwise",
        }),
    )
}

fn daemon() -> Token {
    of(TENANT).with(json!({
        "oid": DAEMON, "sub": DAEMON, "roles": ["Widgets.Export.All"],
        "scp": null, "name": null, "preferred_username": null,
    }))
}

fn provider(
    title: &'static str,
    block: usize,
    edits: Vec<(&'static str, &'static str)>,
    warnings: &'static [&'static str],
    cases: Vec<Case>,
) -> Provider {
    Provider {
        title,
        page: "microsoft-entra",
        block,
        edits,
        warnings,
        algorithm: Algorithm::RS256,
        // Its keys have no `alg`, and members of its own.
        set: |key| {
            set(
                &key,
                json!({
                    "use": "sig", "kid": "e-1", "x5t": "e-1", "x5c": ["MIIC"],
                    "cloud_instance_name": "microsoftonline.com",
                    "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
                }),
            )
        },
        header: "authorization",
        cases,
    }
}

pub(super) fn policies() -> Vec<Provider> {
    const WIDGETS: &str = "GET /widgets";
    const REPORTS: &str = "GET /reports";
    const EXPORT: &str = "POST /export";
    const ONE: &str = "Microsoft Entra, one tenant";
    const ANY: &str = "Microsoft Entra, any tenant";
    let (user, daemon) = (of(TENANT), daemon());
    let scopes = &["User.Read", "Widgets.Read"];
    let id = user.with(json!({
        "aud": "33333333-3333-4333-8333-333333333333", "nonce": "n", "azp": null, "azpacr": null,
        "scp": null, "roles": ["Widgets.Export.All"],
    }));
    let own_id = id.with(json!({ "aud": API }));
    let v1 = user.headed(json!({"x5t": "e-1"})).with(json!({
        "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": format!("api://{API}"),
        "ver": "1.0", "azp": null, "azpacr": null, "appid": "33333333-3333-4333-8333-333333333333",
        "appidacr": "1", "unique_name": "ann@example.com", "preferred_username": null,
    }));
    let bound = "claims = { tid = [\"22222222-2222-4222-8222-222222222222\"] }";
    vec![
        provider(
            ONE,
            0,
            vec![],
            &[],
            vec![
                admitted("an app on behalf of a user", &user, WIDGETS, USER, scopes, &[])
                    .column(Column::User),
                admitted("a daemon", &daemon, EXPORT, DAEMON, &[], &["Widgets.Export.All"])
                    .column(Column::Machine),
                admitted(
                    "a user without `oid`",
                    user.with(json!({"oid": null})),
                    WIDGETS,
                    "AAAAApairwise",
                    scopes,
                    &[],
                ),
                refused("a web app's ID token", &id, EXPORT, "token_audience_mismatch")
                    .column(Column::Id),
                refused(
                    "an ID token of the API's own registration",
                    &own_id,
                    EXPORT,
                    "token_claim_missing",
                )
                .naming("azp"),
                refused(
                    "a token for Microsoft Graph",
                    user.with(json!({"aud": "00000003-0000-0000-c000-000000000000"})),
                    WIDGETS,
                    "token_audience_mismatch",
                )
                .column(Column::Audience),
                refused("a token of another tenant", of(OTHER), WIDGETS, "token_issuer_unknown")
                    .column(Column::Foreign),
                refused("a token of version 1.0", &v1, WIDGETS, "token_issuer_unknown"),
                refused(
                    "a token that somebody else signed",
                    Sent::Forged(user.clone()),
                    WIDGETS,
                    "token_signature_invalid",
                ),
                refused(
                    "a user without the scope",
                    user.with(json!({"scp": "User.Read"})),
                    WIDGETS,
                    "insufficient_scope",
                ),
                refused(
                    "the role's name among a user's scopes",
                    user.with(json!({"scp": "Widgets.Export.All"})),
                    EXPORT,
                    "insufficient_role",
                ),
                refused("a daemon at a user's path", &daemon, WIDGETS, "insufficient_scope"),
                admitted(
                    "a user at a path for either",
                    user.with(json!({"scp": "Reports.Read"})),
                    REPORTS,
                    USER,
                    &["Reports.Read"],
                    &[],
                ),
                admitted(
                    "a daemon at a path for either",
                    daemon.with(json!({"roles": ["Reports.Read.All"]})),
                    REPORTS,
                    DAEMON,
                    &[],
                    &["Reports.Read.All"],
                ),
                refused(
                    "a user with the name of the role among her scopes",
                    user.with(json!({"scp": "Reports.Read.All"})),
                    REPORTS,
                    "insufficient_scope",
                ),
                refused("a daemon with neither", &daemon, REPORTS, "insufficient_scope"),
                refused(
                    "a daemon with another role",
                    daemon.with(json!({"roles": ["Widgets.Read.All"]})),
                    EXPORT,
                    "insufficient_role",
                ),
            ],
        ),
        provider(
            ONE,
            0,
            vec![("roles = [\"Widgets.Export.All\"]\n", "claims = { idtyp = \"app\" }")],
            &[],
            vec![
                admitted(
                    "a daemon",
                    daemon.with(json!({"idtyp": "app"})),
                    EXPORT,
                    DAEMON,
                    &[],
                    &["Widgets.Export.All"],
                ),
                refused(
                    "a user who was given the role",
                    user.with(json!({"roles": ["Widgets.Export.All"]})),
                    EXPORT,
                    "claim_mismatch",
                )
                .naming("idtyp"),
            ],
        ),
        provider(
            ONE,
            0,
            vec![
                (
                    "iss             = \"https://login.microsoftonline.com/22222222-2222-4222-8222-222222222222/v2.0\"",
                    "iss = \"https://sts.windows.net/22222222-2222-4222-8222-222222222222/\"",
                ),
                (
                    "audiences       = [\"11111111-1111-4111-8111-111111111111\"]",
                    "audiences = [\"api://11111111-1111-4111-8111-111111111111\"]",
                ),
                ("required_claims = [\"azp\"]", "required_claims = [\"appid\"]"),
            ],
            &[],
            vec![
                admitted("a token of version 1.0", &v1, WIDGETS, USER, scopes, &[]),
                refused("a token of version 2.0", &user, WIDGETS, "token_issuer_unknown"),
            ],
        ),
        provider(
            ANY,
            1,
            vec![],
            &["claim-in-iss"],
            vec![
                admitted(
                    "a user",
                    &user,
                    WIDGETS,
                    "22222222-2222-4222-8222-222222222222/44444444-4444-4444-8444-444444444444",
                    scopes,
                    &[],
                )
                .column(Column::User),
                admitted(
                    "a user of another tenant",
                    of(OTHER),
                    WIDGETS,
                    "99999999-9999-4999-8999-999999999999/44444444-4444-4444-8444-444444444444",
                    scopes,
                    &[],
                ),
                admitted(
                    "a personal account",
                    of(PERSONAL),
                    WIDGETS,
                    "9188040d-6c67-4c5b-b112-36a304b66dad/44444444-4444-4444-8444-444444444444",
                    scopes,
                    &[],
                ),
                admitted(
                    "a daemon",
                    &daemon,
                    EXPORT,
                    "22222222-2222-4222-8222-222222222222/55555555-5555-4555-8555-555555555555",
                    &[],
                    &["Widgets.Export.All"],
                )
                .column(Column::Machine),
                refused(
                    "an ID token of the API's own registration",
                    &own_id,
                    WIDGETS,
                    "token_claim_missing",
                )
                .naming("azp")
                .column(Column::Id),
                refused(
                    "a token whose `tid` and `iss` differ",
                    user.with(json!({ "tid": OTHER })),
                    WIDGETS,
                    "token_issuer_unknown",
                )
                .column(Column::Foreign),
                refused(
                    "a token without `tid`",
                    user.with(json!({"tid": null})),
                    WIDGETS,
                    "token_issuer_unknown",
                ),
                refused(
                    "a token for Microsoft Graph",
                    user.with(json!({"aud": "00000003-0000-0000-c000-000000000000"})),
                    WIDGETS,
                    "token_audience_mismatch",
                )
                .column(Column::Audience),
                admitted(
                    "a user at the tenant's data",
                    &user,
                    "GET /tenants/22222222-2222-4222-8222-222222222222/widgets",
                    "22222222-2222-4222-8222-222222222222/44444444-4444-4444-8444-444444444444",
                    scopes,
                    &[],
                ),
                refused(
                    "a user without the scope",
                    user.with(json!({"scp": "User.Read"})),
                    WIDGETS,
                    "insufficient_scope",
                ),
                refused(
                    "a user without the scope",
                    user.with(json!({"scp": "User.Read"})),
                    "GET /tenants/22222222-2222-4222-8222-222222222222/widgets",
                    "insufficient_scope",
                ),
                refused(
                    "a daemon with another role",
                    daemon.with(json!({"roles": ["Widgets.Read.All"]})),
                    EXPORT,
                    "insufficient_role",
                ),
                refused(
                    "a user of another tenant there",
                    of(OTHER),
                    "GET /tenants/22222222-2222-4222-8222-222222222222/widgets",
                    "claim_mismatch",
                )
                .naming("tid"),
            ],
        ),
        provider(
            ANY,
            1,
            vec![("[[issuer]]\n", bound)],
            &[],
            vec![
                refused("a user of another tenant", of(OTHER), WIDGETS, "token_claim_invalid")
                    .naming("tid"),
                refused("a personal account", of(PERSONAL), WIDGETS, "token_claim_invalid")
                    .naming("tid"),
            ],
        ),
        provider(
            ANY,
            1,
            vec![(
                "version = 1\n",
                "allow = [{ warning = \"claim-in-iss\", reason = \"any organization may sign up\" }]",
            )],
            &[],
            vec![],
        ),
    ]
}
