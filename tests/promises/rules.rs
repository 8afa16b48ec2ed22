//! What rules ask for: one of several things, tokens of certain issuers, scopes that others imply, and
//! limits for those who come without a credential.

use std::fs;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tollgate::{ManualClock, Principal, Scoped, Tollgate, openapi, scope};

use super::log::Log;
use super::support::{Answer, NOW, Server, bearer, gate, issuer, key, serve, trial};

/// The issuer of [`issuer`] under another name, which signs with the same secret.
fn other_issuer(name: &str, more: &str) -> String {
    issuer().replace("\"main\"", &format!("\"{name}\"")).replace("id.", &format!("{name}.")) + more
}

/// A token of the issuer with this name, with these claims.
fn token_of(name: &str, changes: &Value) -> String {
    bearer(|claims| {
        claims["iss"] =
            json!(format!("https://{}.example.com/", if name == "main" { "id" } else { name }));
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
    })
}

async fn by_token(server: &Server, path: &str, name: &str, changes: &Value) -> Answer {
    server.get(path, &[("authorization", &token_of(name, changes))]).await
}

/// `ok`, or the code.
fn outcome(answer: &Answer) -> String {
    if answer.status.is_success() { "ok".into() } else { answer.code() }
}

fn rule(name: &str, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\npath = \"/{name}\"\n{lines}\n")
}

#[tokio::test]
async fn one_of_several_things_is_enough() {
    let (clerk, clerk_entry) = key("k", "k", "scopes = [\"base\"]\nroles = [\"daemon\"]");
    let (nobody, nobody_entry) = key("n", "n", "scopes = [\"base\"]");
    let any = "any = [{ roles = [\"daemon\"], scopes = [\"x\"] }, { scopes = [\"read\"] }, \
               { any_scopes = [\"a\", \"b\"], claims = { tenant = [\"acme\", \"b-*\"] } }, { roles = [\"daemon\"] }]";
    let server = trial(&format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[failures]\nenabled = false\n[api_keys]\n{clerk_entry}{nobody_entry}{}{}{}",
        issuer(),
        rule("all", &format!("scopes = [\"base\"]\n{any}")),
        rule("roles", "any = [{ roles = [\"daemon\", \"boss\"] }, { claims = { tenant = \"acme\" } }]"),
    ))
    .await;
    for (changes, expected) in [
        (json!({"scope": "base read"}), "ok"),
        (json!({"scope": "base", "roles": "daemon"}), "ok"),
        (json!({"scope": "base b", "tenant": "b-1"}), "ok"),
        (json!({"scope": "base b", "tenant": ["x", "acme"]}), "ok"),
        // Half of one and half of another are not one.
        (json!({"scope": "base b", "tenant": "acme2"}), "insufficient_scope"),
        (json!({"scope": "base x"}), "insufficient_role"),
        (json!({"scope": "base", "tenant": "acme"}), "insufficient_scope"),
        (json!({"scope": "base daemon", "roles": "read"}), "insufficient_scope"),
        // What the rule asks of everybody is asked beside, and first.
        (json!({"scope": "read", "roles": "daemon"}), "insufficient_scope"),
        (json!({}), "insufficient_scope"),
    ] {
        let answer = by_token(&server, "/all", "main", &changes).await;
        assert_eq!(outcome(&answer), expected, "{changes}");
    }
    // For a token, that of the first table with scopes; here also the first of all.
    let answer = by_token(&server, "/all", "main", &json!({"scope": "base"})).await;
    assert_eq!(answer.json()["required_scopes"], json!(["x"]));
    assert_eq!(answer.json()["missing_scopes"], json!(["x"]));
    assert!(answer.lines("www-authenticate")[0].contains("scope=\"base x\""), "all that is needed");
    let answer = by_token(&server, "/all", "main", &json!({"scope": "read"})).await;
    assert_eq!(answer.json()["required_scopes"], json!(["base"]), "the rule's own come first");
    let answer = by_token(&server, "/roles", "main", &json!({"tenant": "b"})).await;
    assert_eq!(
        (answer.code(), &answer.json()["required_roles"]),
        ("insufficient_role".into(), &json!(["daemon", "boss"]))
    );
    assert_eq!(
        outcome(&by_token(&server, "/roles", "main", &json!({"tenant": "acme"})).await),
        "ok"
    );

    assert_eq!(outcome(&server.get("/all", &[("x-api-key", &clerk)]).await), "ok");
    assert_eq!(outcome(&server.get("/roles", &[("x-api-key", &clerk)]).await), "ok");
    // Keys have no claims; theirs is the answer of the first table.
    let answer = server.get("/all", &[("x-api-key", &nobody)]).await;
    assert_eq!((answer.code(), answer.status.as_u16()), ("insufficient_scope".into(), 403));
    assert!(answer.lines("www-authenticate").is_empty());
    assert_eq!(
        outcome(&server.get("/roles", &[("x-api-key", &nobody)]).await),
        "insufficient_role"
    );
}

#[tokio::test]
async fn the_answer_to_a_token_is_that_of_the_first_table_with_scopes() {
    let (key, entry) = key("k", "k", "");
    let log = Log::listen();
    let server = trial(&format!(
        "version = 1\n[api_keys]\n{entry}{}{}",
        issuer(),
        rule(
            "a",
            "any = [{ roles = [\"boss\"] }, { any_scopes = [\"x\", \"y\"] }, { scopes = [\"z\"] }]"
        ),
    ))
    .await;
    for _ in 0..2 {
        let answer = by_token(&server, "/a", "main", &json!({})).await;
        assert_eq!(answer.code(), "insufficient_scope");
        assert_eq!(answer.json()["any_scopes"], json!(["x", "y"]));
        assert!(
            answer.lines("www-authenticate")[0].contains("scope=\"x\""),
            "the first is asked for"
        );
        let answer = server.get("/a", &[("x-api-key", &key)]).await;
        assert_eq!(
            (answer.code(), &answer.json()["required_roles"]),
            ("insufficient_role".into(), &json!(["boss"]))
        );
    }
    assert!(log.take().contains("none of the tables in `any` is met"));
}

#[tokio::test]
async fn a_rule_takes_tokens_of_its_issuers_only() {
    let (key, entry) = key("k", "k", "");
    let log = Log::listen();
    let server = trial(&format!(
        "version = 1\n[failures]\nrate = \"1/hour\"\nburst = 3\n[api_keys]\n{entry}{}{}{}{}{}{}{}",
        issuer(),
        other_issuer("partner", "obtain = \"https://partner.example.com/token\"\n"),
        other_issuer("guest", ""),
        rule("all", ""),
        rule("ours", "issuers = [\"main\"]"),
        rule("theirs", "issuers = [\"partner\", \"guest\"]"),
        rule("tokens", "issuers = [\"main\"]\ncredentials = [\"token\"]"),
    ))
    .await;
    let none = json!({});
    let iss = |name: &str| json!(format!("https://{name}.example.com/"));
    // Whether a token was seen before or not, and whatever rule saw it first.
    for (at, (path, name, expected)) in [
        ("/ours", "partner", "token_issuer_unknown"),
        ("/all", "partner", "ok"),
        ("/ours", "partner", "token_issuer_unknown"),
        ("/theirs", "partner", "ok"),
        ("/theirs", "guest", "ok"),
        ("/theirs", "main", "token_issuer_unknown"),
        ("/ours", "main", "ok"),
    ]
    .into_iter()
    .enumerate()
    {
        let server = server.from(&format!("127.0.1.{}", at + 1));
        let answer = by_token(&server, path, name, &none).await;
        assert_eq!(outcome(&answer), expected, "{path} {name}");
        if expected != "ok" {
            let accepted = match path {
                "/ours" => json!([{"iss": iss("id")}]),
                _ => json!([
                    {"iss": iss("partner"), "obtain": "https://partner.example.com/token"},
                    {"iss": iss("guest")},
                ]),
            };
            assert_eq!(answer.json()["accepted_issuers"], accepted, "{path}");
        }
    }
    assert!(log.take().contains("the rule takes tokens of main only"));

    // The issuer is looked at before all else that a token says: expired, forged, or fine.
    let server = server.from("127.0.1.20");
    for answer in [
        by_token(&server, "/ours", "partner", &json!({"exp": NOW - 100})).await,
        by_token(&server, "/ours", "nobody", &none).await,
        by_token(&server, "/ours", "guest", &json!({"aud": "x"})).await,
    ] {
        assert_eq!(answer.code(), "token_issuer_unknown");
        assert_eq!(answer.json()["accepted_issuers"], json!([{"iss": iss("id")}]));
    }
    // They proved nothing here, and the address waits; what proves itself is let in.
    let waits = by_token(&server, "/ours", "guest", &none).await;
    assert_eq!(
        (waits.code(), &waits.json()["last_failure"]),
        ("too_many_failures".into(), &json!("token_issuer_unknown"))
    );
    assert_eq!(outcome(&by_token(&server, "/ours", "main", &none).await), "ok");

    // Keys have no issuer; a rule for tokens takes none.
    assert_eq!(outcome(&server.get("/ours", &[("x-api-key", &key)]).await), "ok");
    assert_eq!(
        outcome(&server.get("/tokens", &[("x-api-key", &key)]).await),
        "credentials_unsupported"
    );
}

#[tokio::test]
async fn a_key_beside_it_opens_no_rule_to_the_token_of_another_issuer() {
    let (key, entry) = key("k", "k", "scopes = [\"admin\"]\nroles = [\"admin\"]");
    let server = trial(&format!(
        "version = 1\n[api_keys]\n{entry}{}{}{}",
        issuer(),
        other_issuer("partner", "may_grant = { scopes = [\"orders:*\"] }\n"),
        rule("both", "credentials = [\"both\"]\nissuers = [\"main\"]")
            + &rule("admin", "credentials = [\"both\"]\nany = [{ scopes = [\"admin\"] }, { roles = [\"admin\"] }]"),
    ))
    .await;
    let send = async |path: &str, name: &str, changes: &Value| {
        let token = token_of(name, changes);
        outcome(&server.get(path, &[("x-api-key", &key), ("authorization", &token)]).await)
    };
    assert_eq!(send("/both", "main", &json!({})).await, "ok");
    assert_eq!(send("/both", "partner", &json!({})).await, "token_issuer_unknown");
    // What the key may do is not lent to the token.
    let admin = json!({"scope": "admin", "roles": ["admin"]});
    assert_eq!(send("/admin", "main", &admin).await, "ok");
    assert_eq!(send("/admin", "main", &json!({})).await, "insufficient_scope");
    assert_eq!(send("/admin", "partner", &admin).await, "insufficient_scope");
}

scope!(OrdersRead = "orders:read");
scope!(OrdersWrite = "orders:write");

const SCOPES: &str =
    "[scopes]\n\"orders:admin\" = [\"orders:write\"]\n\"orders:write\" = [\"orders:read\"]\n";

/// Answers with the scopes of the caller, and whether it may read.
async fn scopes(caller: Principal) -> String {
    let listed: Vec<String> = caller.scopes().iter().map(ToString::to_string).collect();
    format!("{} {}", listed.join(","), caller.scopes().contains("orders:read"))
}

#[tokio::test]
async fn a_scope_implies_others_at_any_depth() {
    let (admin, entry) = key("a", "a", "scopes = [\"orders:admin\"]");
    let (gate, clock) = gate(&format!(
        "version = 1\n[denial]\ndisclosure = \"detailed\"\n{SCOPES}[failures]\nenabled = false\n[api_keys]\n{entry}{}{}{}{}{}{}{}",
        issuer(),
        other_issuer("partner", "may_grant = { scopes = [\"orders:admin\", \"orders:read\"] }\n"),
        rule("read", "scopes = [\"orders:read\"]"),
        rule("write", "scopes = [\"orders:write\", \"orders:read\"]"),
        rule("either", "any_scopes = [\"orders:write\", \"orders:read\"]"),
        rule("any", "any = [{ roles = [\"boss\"] }, { scopes = [\"orders:write\"] }]"),
        rule("scoped", ""),
    ))
    .await;
    let scoped = async |caller: Scoped<(OrdersRead, OrdersWrite)>| caller.client().to_owned();
    let app = Router::new().route("/scoped", get(scoped)).fallback(get(scopes)).layer(gate.layer());
    let server = serve(app, clock).await;
    for (path, name, scope, expected) in [
        ("/read", "main", "orders:read", "ok"),
        ("/read", "main", "orders:write", "ok"),
        ("/read", "main", "orders:admin", "ok"),
        ("/write", "main", "orders:admin", "ok"),
        ("/write", "main", "orders:read", "insufficient_scope"),
        ("/either", "main", "orders:admin", "ok"),
        ("/either", "main", "orders", "insufficient_scope"),
        ("/any", "main", "orders:admin", "ok"),
        ("/scoped", "main", "orders:admin", "ok"),
        ("/scoped", "main", "orders:read", "insufficient_scope"),
        // Byte by byte: neither case nor a star stands for another.
        ("/read", "main", "orders:ADMIN", "insufficient_scope"),
        ("/read", "main", "orders:* *", "insufficient_scope"),
        // An issuer that may say `admin` and not `write` grants no `write`, whatever implies it.
        ("/read", "partner", "orders:admin", "ok"),
        ("/write", "partner", "orders:admin", "insufficient_scope"),
        ("/any", "partner", "orders:admin", "insufficient_scope"),
        ("/scoped", "partner", "orders:admin", "insufficient_scope"),
        // What an issuer may not say implies nothing, though what it implies would be allowed.
        ("/read", "partner", "orders:write", "insufficient_scope"),
    ] {
        let answer = by_token(&server, path, name, &json!({"scope": scope})).await;
        assert_eq!(outcome(&answer), expected, "{path} {name} {scope}");
    }
    for path in ["/read", "/write", "/either", "/any", "/scoped"] {
        assert_eq!(outcome(&server.get(path, &[("x-api-key", &admin)]).await), "ok", "{path}");
    }
    // Lists show what was granted.
    let answer = by_token(&server, "/read", "main", &json!({"scope": "orders:admin"})).await;
    assert_eq!(answer.text, "orders:admin true");
    let answer = server.get("/read", &[("x-api-key", &admin)]).await;
    assert_eq!(answer.text, "orders:admin true");
    let answer = by_token(&server, "/write", "partner", &json!({"scope": "orders:admin"})).await;
    assert_eq!(answer.json()["granted_scopes"], json!(["orders:admin"]));
    assert_eq!(answer.json()["missing_scopes"], json!(["orders:write"]));
    assert!(answer.lines("www-authenticate")[0].ends_with("scope=\"orders:write orders:read\""));
    // The least that is enough is asked for.
    let answer = by_token(&server, "/either", "main", &json!({"scope": "other"})).await;
    assert_eq!(answer.json()["any_scopes"], json!(["orders:write", "orders:read"]));
    assert!(answer.lines("www-authenticate")[0].ends_with("scope=\"orders:read\""));
}

#[tokio::test]
async fn a_token_that_was_proven_has_the_scopes_of_the_policy_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let write = |scopes: &str, may_grant: &str| {
        let rule = rule("read", "scopes = [\"orders:read\"]");
        let main = issuer();
        fs::write(&path, format!("version = 1\n{scopes}{main}{may_grant}{rule}")).unwrap();
    };
    write(SCOPES, "");
    let clock = ManualClock::at(NOW);
    let gate = Tollgate::builder().policy_file(&path).clock(clock.clone()).build().await.unwrap();
    let app = Router::new().fallback(get(async || "ok")).layer(gate.layer());
    let server = serve(app, clock).await;
    let admin = json!({"scope": "orders:admin"});
    for (scopes, may_grant, expected) in [
        (SCOPES, "", "ok"),
        ("[scopes]\n\"orders:admin\" = [\"orders:write\"]\n", "", "insufficient_scope"),
        (SCOPES, "", "ok"),
        (SCOPES, "may_grant = { scopes = [\"orders:admin\"] }\n", "insufficient_scope"),
        ("", "", "insufficient_scope"),
        (SCOPES, "may_grant = { scopes = [\"orders:*\"] }\n", "ok"),
        (SCOPES, "may_grant = {}\n", "insufficient_scope"),
    ] {
        write(scopes, may_grant);
        gate.reload().await.unwrap();
        let answer = by_token(&server, "/read", "main", &admin).await;
        assert_eq!(outcome(&answer), expected, "{scopes}{may_grant}");
    }
}

#[tokio::test]
async fn a_token_of_a_partner_never_gets_more_than_is_meant() {
    let partner = "may_grant = { scopes = [\"orders:*\", \"x:read\"], roles = [\"partner-*\"], plans = [\"small\"] }\n\
                   claims = { token_use = \"access\", org = [\"p-*\", 7] }\nroles_claim = [\"roles\", \"/realm/roles\"]\nroles_separator = \" \"\n";
    let server = trial(&format!(
        "version = 1\n[failures]\nenabled = false\n[scopes]\n\"orders:admin\" = [\"users:write\", \"orders:read\"]\n\"x:admin\" = [\"x:read\"]\n{}{}{}{}{}{}{}",
        issuer(),
        other_issuer("partner", partner),
        rule("users", "scopes = [\"users:write\"]"),
        rule("x", "scopes = [\"x:read\"]"),
        rule("admin", "roles = [\"admin\"]"),
        rule("any", "any = [{ roles = [\"admin\", \"Partner-a\"] }, { scopes = [\"users:write\"] }, { any_scopes = [\"x:admin\", \"y\"] }]"),
        rule("orders", "scopes = [\"orders:read\"]\nroles = [\"partner-a\"]"),
    ))
    .await;
    let said = |more: &Value| {
        let mut claims = json!({"token_use": "access", "org": "p-1"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    for (path, changes, expected) in [
        // It may say `orders:admin`, which implies `users:write`, which it may not say.
        ("/users", json!({"scope": "orders:admin"}), "insufficient_scope"),
        ("/users", json!({"scope": "users:write orders:*"}), "insufficient_scope"),
        ("/any", json!({"scope": "orders:admin"}), "insufficient_scope"),
        // It may not say `x:admin`, which implies what it may say.
        ("/x", json!({"scope": "x:admin"}), "insufficient_scope"),
        ("/x", json!({"scope": ["x:read"]}), "ok"),
        ("/any", json!({"scope": "x:admin y"}), "insufficient_scope"),
        ("/admin", json!({"roles": "admin"}), "insufficient_role"),
        ("/admin", json!({"roles": "partner-a admin"}), "insufficient_role"),
        ("/admin", json!({"roles": ["partner-a", "admin"]}), "insufficient_role"),
        ("/admin", json!({"roles": {"admin": true}}), "insufficient_role"),
        ("/admin", json!({"realm": {"roles": ["admin"]}}), "insufficient_role"),
        (
            "/any",
            json!({"roles": ["admin", "Partner-a"], "realm": {"roles": {"admin": 1}}}),
            "insufficient_scope",
        ),
        // Patterns fit the whole of a name.
        ("/orders", json!({"scope": "orders:read", "roles": "partner-a"}), "ok"),
        ("/orders", json!({"scope": "orders:admin", "roles": "x partner-a"}), "ok"),
        ("/orders", json!({"scope": "xorders:read", "roles": "partner-a"}), "insufficient_scope"),
        // What every token of the issuer must say.
        ("/x", json!({"scope": "x:read", "token_use": "id"}), "token_claim_invalid"),
        ("/x", json!({"scope": "x:read", "token_use": null}), "token_claim_invalid"),
        ("/x", json!({"scope": "x:read", "org": "q-1"}), "token_claim_invalid"),
        ("/x", json!({"scope": "x:read", "org": ["q", "p-2"]}), "ok"),
        ("/x", json!({"scope": "x:read", "org": "7"}), "ok"),
        ("/x", json!({"scope": "x:read", "org": 7.0}), "token_claim_invalid"),
        ("/x", json!({"scope": "x:read", "org": {"p-1": 1}}), "token_claim_invalid"),
    ] {
        // The first time it is verified, the second time remembered.
        for _ in 0..2 {
            let answer = by_token(&server, path, "partner", &said(&changes)).await;
            assert_eq!(outcome(&answer), expected, "{path} {changes}");
        }
    }
    // The same words of our own issuer count.
    for (path, changes) in [
        ("/users", json!({"scope": "orders:admin"})),
        ("/x", json!({"scope": "x:admin"})),
        ("/admin", json!({"roles": ["admin"]})),
        ("/any", json!({"roles": ["admin"]})),
    ] {
        assert_eq!(outcome(&by_token(&server, path, "main", &changes).await), "ok", "{path}");
    }
}

#[tokio::test]
async fn each_kind_of_caller_has_the_limits_of_its_kind() {
    let (good, entry) = key("g", "octo", "");
    let (gone, gone_entry) = key("r", "octo", "revoked = true");
    let limit = |name: &str, rate: &str, per: &str| {
        format!("[[limit]]\nname = \"{name}\"\nrate = \"{rate}\"\nper = [\"{per}\"]\n")
    };
    let none = "credentials = [\"api_key\", \"none\"]";
    let policy = format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[api_keys]\n{entry}{gone_entry}{}{}{}{}{}{}",
        limit("nobody", "2/hour", "address"),
        limit("client", "3/hour", "client"),
        limit("whole", "9/hour", "global"),
        rule(
            "read",
            &format!("{none}\nlimits = [\"client\", \"whole\"]\nanonymous_limits = [\"nobody\"]")
        ),
        rule("free", &format!("{none}\nlimits = [\"client\"]\nanonymous_limits = []")),
        rule("same", &format!("{none}\nlimits = [\"whole\"]")),
    );
    let server = trial(&policy).await;
    let with = [("x-api-key", &*good)];
    let named = |answer: &Answer| {
        let policy = answer.line("ratelimit-policy").unwrap_or_default();
        policy
            .split(',')
            .map(|item| item.split(';').next().unwrap_or("").trim().to_owned())
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let answer = server.get("/read", &[]).await;
        assert_eq!((outcome(&answer), named(&answer)), ("ok".into(), vec!["\"nobody\"".into()]));
        assert_eq!(answer.line("vary").as_deref(), Some("authorization, x-api-key"));
    }
    let refused = server.get("/read", &[]).await;
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.json()["limits"].as_array().unwrap().len(), 1);
    assert_eq!(refused.json()["limits"][0]["limit"], "nobody");
    // Who comes with a key is counted as itself, and takes nothing from the others.
    for left in [2, 1, 0] {
        let answer = server.get("/read", &with).await;
        assert_eq!(
            (outcome(&answer), named(&answer)),
            ("ok".into(), vec!["\"client\"".into(), "\"whole\"".into()])
        );
        assert!(answer.line("ratelimit").unwrap().starts_with(&format!("\"client\";r={left}")));
    }
    assert_eq!(server.get("/read", &with).await.json()["limits"][0]["limit"], "client");
    assert_eq!(outcome(&server.from("127.0.2.1").get("/read", &[]).await), "ok");
    // A credential that is presented must be valid: it is not taken for none.
    for (key, code) in
        [(&*gone, "api_key_revoked"), ("tg_x", "api_key_malformed"), ("", "api_key_malformed")]
    {
        let answer = server.from("127.0.2.2").get("/read", &[("x-api-key", key)]).await;
        assert_eq!(answer.code(), code);
    }
    // Limits of requests without a credential that are none, and those that are the rule's.
    for _ in 0..5 {
        let answer = server.get("/free", &[]).await;
        assert_eq!((outcome(&answer), answer.line("ratelimit-policy")), ("ok".into(), None));
    }
    let answer = server.get("/same", &[]).await;
    assert!(
        answer.line("ratelimit").unwrap().starts_with("\"whole\";r=5"),
        "three with a key, one without"
    );
}

#[tokio::test]
async fn claims_are_bound_to_the_path_whatever_it_is_read_as() {
    let bound = "claims = { tenant = \"{tenant}\" }";
    let any = "any = [{ scopes = [\"none\"] }, { claims = { tenant = \"{tenant}\" } }]";
    let server = trial(&format!(
        "version = 1\n[failures]\nenabled = false\n{}\
         [[rule]]\nname = \"t\"\npath = \"/t/{{tenant}}/x\"\n{bound}\n\
         [[rule]]\nname = \"a\"\npath = \"/a/{{tenant}}/x\"\n{any}\n\
         [[rule]]\nname = \"v\"\npath = \"/v{{tenant}}\"\n{bound}\n\
         [[rule]]\nname = \"r\"\npath = \"/r/{{*tenant}}\"\n{bound}\n\
         [[rule]]\nname = \"two\"\npath = \"/two/{{a}}/{{b}}\"\nclaims = {{ tenant = \"{{a}}/{{b}}\", groups = [\"g-{{b}}\", \"all\"] }}\n",
        issuer()
    ))
    .await;
    let (ok, mismatch, odd, scope) =
        ("ok", "claim_mismatch", "no_matching_rule", "insufficient_scope");
    for (path, tenant, expected, of_any) in [
        ("acme", json!("acme"), ok, ok),
        ("%61cm%65", json!("acme"), ok, ok),
        ("acme", json!("ACME"), mismatch, scope),
        ("ACME", json!("acme"), mismatch, scope),
        ("acme", json!(null), mismatch, scope),
        ("null", json!(null), mismatch, scope),
        ("acme", json!([]), mismatch, scope),
        ("acme", json!([null, "acme"]), ok, ok),
        ("acme", json!([["acme"]]), mismatch, scope),
        ("acme", json!({"acme": "acme"}), mismatch, scope),
        ("acme", json!(""), mismatch, scope),
        ("acme", json!("acme "), mismatch, scope),
        ("acme%20", json!("acme "), ok, ok),
        ("acme+", json!("acme "), mismatch, scope),
        ("7", json!(7), ok, ok),
        ("7", json!("7"), ok, ok),
        ("07", json!(7), mismatch, scope),
        ("7.0", json!(7.0), mismatch, scope),
        ("1e1", json!(10), mismatch, scope),
        ("-7", json!(-7), ok, ok),
        ("true", json!(true), mismatch, scope),
        ("18446744073709551615", json!(u64::MAX), ok, ok),
        // A star, a brace or a percent sign in the path is itself, decoded once.
        ("*", json!("acme"), mismatch, scope),
        ("%2a", json!("*"), ok, ok),
        ("%7Btenant%7D", json!("acme"), mismatch, scope),
        ("%7Btenant%7D", json!("{tenant}"), ok, ok),
        ("%2561cme", json!("acme"), mismatch, scope),
        ("%2561cme", json!("%61cme"), ok, ok),
        ("%C3%A4", json!("ä"), ok, ok),
        ("%C3%A4", json!("a\u{308}"), mismatch, scope),
        // What another software reads as another tenant is refused, whose token it ever is.
        ("acme;v=1", json!("acme"), odd, odd),
        ("acme;v=1", json!("acme;v=1"), odd, odd),
        ("acme%3bv", json!("acme"), odd, odd),
        ("b%2f..%2facme", json!("acme"), odd, odd),
        ("b/../acme", json!("acme"), odd, odd),
        ("%2e%2e", json!("t"), odd, odd),
        ("", json!(""), odd, odd),
        ("acme%00", json!("acme"), odd, odd),
        ("acme%ff", json!("acme"), odd, odd),
        ("acme\\b", json!("acme"), odd, odd),
    ] {
        for (rule, expected) in [("t", expected), ("a", of_any)] {
            let path = format!("/{rule}/{path}/x");
            let answer = raw(&server, &path, &token_of("main", &json!({"tenant": tenant}))).await;
            assert_eq!(answer, expected, "{path} {tenant}");
        }
    }
    for (path, claims, expected) in [
        ("/v7", json!({"tenant": 7}), ok),
        ("/v", json!({"tenant": ""}), odd),
        ("/v%37", json!({"tenant": "7"}), ok),
        ("/r/a/b", json!({"tenant": "a/b"}), ok),
        ("/r/a%2Fb", json!({"tenant": "a/b"}), ok),
        ("/r/a/b", json!({"tenant": "a"}), mismatch),
        ("/r/a/", json!({"tenant": "a"}), mismatch),
        ("/r/a//b", json!({"tenant": "a/b"}), odd),
        ("/r/", json!({"tenant": ""}), odd),
        // Two parameters with text between: no part can lend to another.
        ("/two/a/b", json!({"tenant": "a/b", "groups": "g-b"}), ok),
        ("/two/a/b", json!({"tenant": "a/b", "groups": ["x", "all"]}), ok),
        ("/two/a/b", json!({"tenant": "a/b", "groups": "g-a"}), mismatch),
        ("/two/a/b%2Fc", json!({"tenant": "a/b/c", "groups": "all"}), ok),
        ("/two/a%2Fb/c", json!({"tenant": "a/b/c", "groups": "all"}), mismatch),
        ("/two/a/b", json!({"tenant": "a%2Fb", "groups": "all"}), mismatch),
    ] {
        let answer = raw(&server, path, &token_of("main", &claims)).await;
        assert_eq!(answer, expected, "{path} {claims}");
    }
}

/// The outcome of a request whose path is sent as it is written.
async fn raw(server: &Server, path: &str, token: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    match text.split_once("\"code\":\"") {
        Some((_, rest)) => rest.split('"').next().unwrap().to_owned(),
        None if text.starts_with("HTTP/1.1 200") => "ok".into(),
        None => text,
    }
}

#[tokio::test]
async fn documents_tell_what_rules_ask_for() {
    let policy = |disclosure: &str| {
        let (_, entry) = key("g", "octo", "scopes = [\"orders:read\"]");
        let limit = |name: &str| {
            format!("[[limit]]\nname = \"{name}\"\nrate = \"2/hour\"\nper = [\"address\"]\n")
        };
        format!(
            "version = 1\n[denial]\ndisclosure = \"{disclosure}\"\n{SCOPES}[api_keys]\n{entry}{}{}{}{}{}{}{}",
            issuer(),
            other_issuer("partner", ""),
            limit("nobody"),
            limit("each"),
            rule(
                "any",
                "description = \"Read <b>one</b> order *now*\"\nscopes = [\"base\"]\nissuers = [\"partner\"]\n\
                 any = [{ scopes = [\"read\"] }, { any_scopes = [\"a\", \"b\"], claims = { tenant = \"acme\" } }, { roles = [\"daemon\"] }]"
            ),
            rule(
                "none",
                "credentials = [\"api_key\", \"none\"]\nlimits = [\"each\"]\nanonymous_limits = [\"nobody\"]"
            ),
            rule(
                "free",
                "credentials = [\"api_key\", \"none\"]\nlimits = [\"each\"]\nanonymous_limits = []"
            ),
        )
    };
    for (disclosure, claim) in [("standard", "`tenant`"), ("detailed", "`tenant = \"acme\"`")] {
        let (gate, clock) = gate(&policy(disclosure)).await;
        let server = serve(Router::new().merge(gate.catalogue()), clock).await;
        let text = server.get("/errors/handbook", &[("accept", "text/markdown")]).await.text;
        for line in [
            "Read \\<b>one\\</b> order \\*now\\*".to_owned(),
            "- Scopes, all of: `base`".into(),
            format!(
                "- And one of these: all of the scopes `read`; or one of the scopes `a`, `b` and the claims {claim}; or one of the roles `daemon`"
            ),
            "- Tokens of: `https://partner.example.com/`".into(),
            "The scope `orders:admin` implies `orders:read`, `orders:write`.".into(),
            "Requests without a credential are counted by these:".into(),
            "Requests without a credential are not counted.".into(),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        let html = server.get("/errors/handbook", &[("accept", "text/html")]).await.text;
        for part in [
            "Read &#60;b&#62;one&#60;/b&#62; order *now*",
            "<dt>And one of these</dt>",
            "all of the scopes <code>read</code>",
            "<dt>Tokens of</dt><dd><code>https://partner.example.com/</code></dd>",
            "<code>orders:admin</code> implies",
            "Requests without a credential are counted by these:",
            "Requests without a credential are not counted.",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        let document = server.get("/errors/openapi.json", &[]).await.json();
        let operation = &document["paths"]["/any"]["get"];
        let about = operation["description"].as_str().unwrap();
        assert!(about.starts_with("Read <b>one</b> order *now*\n\n"), "{about}");
        assert!(about.contains("And one of these: all of the scopes `read`; or"), "{about}");
        assert!(about.contains("Tokens of `https://partner.example.com/` only."), "{about}");
        let security = operation["security"].as_array().unwrap();
        for scopes in [json!(["base", "read"]), json!(["base"])] {
            assert!(security.contains(&json!({"BearerToken": scopes})), "{security:?}");
        }
        for code in ["insufficient_scope", "insufficient_role", "claim_mismatch", "rate_limited"] {
            assert!(text.contains(&format!("| [`{code}`]")), "{code}");
        }
        let none = &document["paths"]["/none"]["get"];
        assert!(none["security"].as_array().unwrap().contains(&json!({})));
        let about = none["description"].as_str().unwrap();
        assert!(about.contains("Without a credential: limit `nobody`: 2/hour"), "{about}");
        let headers = &none["responses"]["2XX"]["headers"];
        assert!(headers["RateLimit"].is_object(), "{headers}");

        let mut own = json!({"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {
            "/any": {"get": {"responses": {"200": {"description": "ok"}}}},
        }});
        openapi::apply(&gate, &mut own).unwrap();
        assert_eq!(own["paths"]["/any"]["get"]["description"], "Read <b>one</b> order *now*");
    }
}

#[tokio::test]
async fn limits_of_nobody_have_costs_of_their_own_and_are_bound_to_the_path() {
    let (good, entry) = key("g", "octo", "");
    let server = trial(&format!(
        "version = 1\n[api_keys]\n{entry}\
         [[limit]]\nname = \"each\"\nrate = \"9/hour\"\nper = [\"client\"]\n\
         [[limit]]\nname = \"shop\"\nrate = \"4/hour\"\nper = [\"path:id\"]\n\
         [[limit]]\nname = \"nobody\"\nrate = \"9/hour\"\nper = [\"address\"]\n\
         [[rule]]\nname = \"shops\"\npath = \"/shops/{{id}}\"\ncredentials = [\"api_key\", \"none\"]\nlimits = [\"each\"]\n\
         anonymous_limits = [{{ limit = \"shop\", cost = 2 }}, {{ limit = \"nobody\", cost = 0 }}]\n"
    ))
    .await;
    for expected in ["ok", "ok", "rate_limited"] {
        assert_eq!(outcome(&server.get("/shops/a", &[]).await), expected);
    }
    // Another spelling is no other bucket, and what others may read as another value is refused.
    assert_eq!(outcome(&server.get("/shops/%61", &[]).await), "rate_limited");
    assert_eq!(outcome(&server.get("/shops/a;b", &[]).await), "no_matching_rule");
    assert_eq!(outcome(&server.get("/shops/b", &[]).await), "ok");
    let answer = server.get("/shops/a", &[("x-api-key", &good)]).await;
    assert!(answer.line("ratelimit").unwrap().starts_with("\"each\";r=8"));
}

#[tokio::test]
async fn what_is_presented_is_never_taken_for_nothing() {
    let (good, entry) = key("g", "octo", "");
    let (gone, gone_entry) = key("r", "octo", "expires = 2021-01-01T00:00:00Z");
    let none =
        |name: &str, kind: &str| rule(name, &format!("credentials = [\"{kind}\", \"none\"]"));
    let server = trial(&format!(
        "version = 1\n[failures]\nenabled = false\n[api_keys]\n{entry}{gone_entry}{}{}{}{}{}",
        issuer(),
        other_issuer("proxy", "header = \"x-jwt\"\n"),
        none("keys", "api_key"),
        none("tokens", "token"),
        rule("ours", "credentials = [\"api_key\", \"token\", \"none\"]\nissuers = [\"main\"]"),
    ))
    .await;
    let ours = token_of("main", &json!({}));
    let proxied = token_of("proxy", &json!({})).replace("Bearer ", "");
    let expired = token_of("main", &json!({"exp": NOW - 60}));
    for (path, headers, expected) in [
        ("/keys", &[][..], "ok"),
        ("/keys", &[("authorization", "")], "ok"),
        ("/keys", &[("x-api-key", &*good)], "ok"),
        ("/keys", &[("x-api-key", "")], "api_key_malformed"),
        ("/keys", &[("x-api-key", &*gone)], "api_key_expired"),
        ("/keys", &[("x-api-key", &*good), ("x-api-key", &*good)], "credentials_multiple"),
        ("/keys", &[("authorization", "ApiKey")], "api_key_malformed"),
        ("/keys", &[("authorization", "Basic dTpw")], "credentials_unsupported"),
        ("/keys", &[("authorization", &*ours)], "credentials_unsupported"),
        ("/keys", &[("x-jwt", &*proxied)], "credentials_unsupported"),
        ("/tokens", &[("x-jwt", &*proxied)], "ok"),
        ("/tokens", &[("authorization", &*ours)], "ok"),
        ("/tokens", &[("authorization", "Bearer")], "token_malformed"),
        ("/tokens", &[("authorization", &*expired)], "token_expired"),
        ("/tokens", &[("x-api-key", &*good)], "credentials_unsupported"),
        ("/tokens", &[("x-jwt", "")], "token_malformed"),
        ("/ours", &[], "ok"),
        ("/ours", &[("authorization", &*ours)], "ok"),
        ("/ours", &[("x-jwt", &*proxied)], "token_issuer_unknown"),
        ("/ours", &[("x-api-key", &*gone)], "api_key_expired"),
    ] {
        let answer = server.get(path, headers).await;
        assert_eq!(outcome(&answer), expected, "{path} {headers:?}");
    }
}
