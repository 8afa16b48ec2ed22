//! Which credentials are taken: as older clients send them, a key and a token together, or none.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate::{ApiKey, NewApiKey, Principal};

use super::support::{Answer, Server, bearer, gate, issuer, key, serve, trial};

const RULE: &str = "[[rule]]\nname = \"charges\"\npath = \"/charges\"\n";

async fn with(server: &Server, value: &str) -> Answer {
    server.get("/charges", &[("authorization", value)]).await
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn accepted(answer: &Answer) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (answer.json()["accepted_credentials"].as_array().unwrap().iter())
        .map(|item| (text(&item["kind"]), text(&item["name"]), item.get("scheme").map(text)))
        .collect()
}

#[tokio::test]
async fn keys_are_taken_as_older_clients_send_them() {
    for format in ["checked", "any"] {
        let (key, entry) = key("shop", "shop", "");
        let server = trial(&format!(
            "version = 1\n[api_keys]\nformat = \"{format}\"\nschemes = [\"ApiKey\", \"Token\", \"\"]\n\
             bearer = true\nbasic = true\n{entry}{RULE}"
        ))
        .await;
        for value in [
            format!("ApiKey {key}"),
            format!("token {key}"),
            format!("Bearer {key}"),
            key.clone(),
            basic(&format!("{key}:")),
            basic(&format!(":{key}")),
            basic(&format!("api:{key}")),
            basic(&format!("{key}:x")),
            basic(&key),
        ] {
            assert_eq!(with(&server, &value).await.status, 200, "{format}: {value}");
        }
        let other = NewApiKey::generate("tg").unwrap();
        for value in [
            format!("Token {}", other.reveal()),
            other.reveal().to_owned(),
            basic(&format!("{}:", other.reveal())),
            basic(&format!("api:{}", other.reveal())),
        ] {
            let answer = with(&server, &value).await;
            assert_eq!(answer.code(), "api_key_unknown", "{format}: {value}");
        }
        let two = with(&server, &basic(&format!("{key}:{key}"))).await;
        assert_eq!(two.code(), "credentials_multiple");
        let place = json!({"in": "header", "name": "authorization", "scheme": "Basic"});
        assert_eq!(two.json()["presented"], json!([place, place]));
        let digest = with(&server, "Digest username=\"shop\", realm=\"x\"").await;
        assert_eq!(digest.code(), "credentials_unsupported");

        let none = server.get("/charges", &[]).await;
        assert_eq!(none.code(), "credentials_missing");
        let key = |name: &str, scheme: Option<&str>| {
            ("api_key".to_owned(), name.to_owned(), scheme.map(str::to_owned))
        };
        assert_eq!(
            accepted(&none),
            [
                key("x-api-key", None),
                key("authorization", Some("ApiKey")),
                key("authorization", Some("Token")),
                key("authorization", None),
                key("authorization", Some("Bearer")),
                key("authorization", Some("Basic")),
            ]
        );
        // A browser that saw a Basic challenge would ask people for a password.
        assert_eq!(
            none.lines("www-authenticate"),
            ["Bearer realm=\"api\"", "ApiKey realm=\"api\", header=\"x-api-key\""]
        );
    }
}

#[tokio::test]
async fn a_scheme_that_nobody_takes_is_no_credential_beside_one() {
    let (key, entry) = key("shop", "shop", "");
    let server = trial(&format!("version = 1\n[api_keys]\n{entry}{RULE}")).await;
    for other in ["Basic dTpw", "Digest username=\"u\"", "Negotiate abc"] {
        let beside = server.get("/charges", &[("x-api-key", &key), ("authorization", other)]).await;
        assert_eq!(beside.status, 200, "{other}");
        assert_eq!(with(&server, other).await.code(), "credentials_unsupported", "{other}");
    }
    for value in ["Bearer", "Bearer a.b.c", &format!("Bearer {key}"), &format!("ApiKey {key}")] {
        let beside = server.get("/charges", &[("x-api-key", &key), ("authorization", value)]).await;
        assert_eq!(beside.code(), "credentials_multiple", "{value}");
    }
    let twice = [("x-api-key", &*key), ("authorization", ""), ("authorization", "Basic dTpw")];
    assert_eq!(server.get("/charges", &twice).await.code(), "credentials_multiple");
}

/// Answers with what is known of the caller.
async fn whoami(caller: Option<Principal>) -> String {
    let Some(caller) = caller else { return "nobody".into() };
    let roles: Vec<&str> = caller.roles().collect();
    format!(
        "{} by {} of {:?} with {:?}, {roles:?}",
        caller.client(),
        caller.credential(),
        caller.application(),
        caller.key_id()
    )
}

async fn known(policy: &str) -> Server {
    let (gate, clock) = gate(policy).await;
    let app = Router::new()
        .route("/charges", get(whoami))
        .route("/key", get(async |key: ApiKey| key.id().to_owned()))
        .layer(gate.layer());
    serve(app, clock).await
}

#[tokio::test]
async fn a_key_and_a_token_are_taken_together() {
    let (app, entry) = key("web-app", "web", "scopes = [\"orders:write\"]\nroles = [\"clerk\"]");
    let (old, old_entry) = key("old-app", "old", "revoked = true");
    let issuer = issuer();
    let server = known(&format!(
        "version = 1\n[api_keys]\n{entry}{old_entry}{issuer}\
         [[limit]]\nname = \"each\"\nrate = \"2/hour\"\nper = [\"client\"]\n\
         {RULE}credentials = [\"both\"]\nroles = [\"user\"]\nlimits = [\"each\"]\n\
         [[rule]]\nname = \"key\"\npath = \"/key\"\ncredentials = [\"both\"]\n"
    ))
    .await;
    let user = |name: &'static str| {
        bearer(|claims| {
            claims["sub"] = name.into();
            claims["roles"] = json!(["user"]);
        })
    };
    let ask = async |path: &str, key: Option<&str>, token: Option<&str>| {
        let mut headers: Vec<(&str, &str)> =
            key.map(|key| ("x-api-key", key)).into_iter().collect();
        headers.extend(token.map(|token| ("authorization", token)));
        server.get(path, &headers).await
    };
    let (ada, bob) = (user("ada"), user("bob"));
    let both = ask("/charges", Some(&app), Some(&ada)).await;
    assert_eq!(both.text, "ada by both of Some(\"web\") with Some(\"web-app\"), [\"user\"]");
    assert_eq!(ask("/key", Some(&app), Some(&ada)).await.text, "web-app");
    // Buckets are the user's: another user of the application has one of its own.
    assert_eq!(ask("/charges", Some(&app), Some(&ada)).await.status, 200);
    assert_eq!(ask("/charges", Some(&app), Some(&ada)).await.code(), "rate_limited");
    assert_eq!(ask("/charges", Some(&app), Some(&bob)).await.status, 200);

    let unknown = NewApiKey::generate("tg").unwrap();
    let forged = format!("{ada}x");
    let app_as_bearer = format!("Bearer {app}");
    let table: &[(Option<&str>, Option<&str>, &str)] = &[
        (None, None, "credentials_missing"),
        (Some(&app), None, "credentials_missing"),
        (None, Some(&ada), "credentials_missing"),
        (Some(&app), Some("Basic dTpw"), "credentials_missing"),
        (Some(&app), Some(&app_as_bearer), "credentials_multiple"),
        (Some(unknown.reveal()), Some(&ada), "api_key_unknown"),
        (Some(unknown.reveal()), Some("Bearer x"), "api_key_unknown"),
        (Some(&old), Some(&ada), "api_key_revoked"),
        (Some(&app), Some(&forged), "token_signature_invalid"),
        (Some(&app), Some("Bearer a.b.c"), "token_malformed"),
    ];
    for (key, token, code) in table {
        let answer = ask("/charges", *key, *token).await;
        assert_eq!(answer.code(), *code, "{key:?} {token:?}");
        if *code == "credentials_missing" {
            let kinds: Vec<String> = accepted(&answer).into_iter().map(|form| form.0).collect();
            assert_eq!(kinds, ["api_key", "api_key", "token"], "{key:?} {token:?}");
            assert!(answer.text.contains("Send both: an API key in "));
            assert_eq!(answer.lines("www-authenticate").len(), 2);
        }
    }
    let alone = ask("/charges", Some(&app), None).await.json();
    assert_eq!(
        alone["detail"],
        "The request carries an API key, and no token. Both are needed here."
    );
    let alone = ask("/charges", None, Some(&ada)).await.json();
    assert_eq!(
        alone["detail"],
        "The request carries a token, and no API key. Both are needed here."
    );
}

#[tokio::test]
async fn a_request_without_a_credential_is_let_in_as_nobody() {
    let (good, entry) = key("octo", "octo", "");
    let (old, old_entry) = key("octo-2020", "octo", "expires = 2021-01-01T00:00:00Z");
    let server = known(&format!(
        "version = 1\n[api_keys]\n{entry}{old_entry}{RULE}credentials = [\"api_key\", \"none\"]\n"
    ))
    .await;
    let server = Arc::new(server);
    let ask = async |headers: &[(&str, &str)]| server.get("/charges", headers).await;
    for headers in [&[][..], &[("authorization", "")], &[("authorization", "  ")]] {
        let nobody = ask(headers).await;
        assert_eq!(nobody.text, "nobody", "{headers:?}");
        assert_eq!(nobody.line("vary").as_deref(), Some("authorization, x-api-key"));
    }
    let known = ask(&[("x-api-key", &good)]).await;
    assert_eq!(known.text, "octo by api_key of None with Some(\"octo\"), []");
    let cut = &good[..good.len() - 3];
    let unknown = NewApiKey::generate("tg").unwrap();
    for (header, value, code) in [
        ("x-api-key", "", "api_key_malformed"),
        ("x-api-key", cut, "api_key_malformed"),
        ("x-api-key", unknown.reveal(), "api_key_unknown"),
        ("x-api-key", &old, "api_key_expired"),
        ("authorization", "Bearer e30.e30.e30", "credentials_unsupported"),
        ("authorization", "Basic dTpw", "credentials_unsupported"),
    ] {
        assert_eq!(ask(&[(header, value)]).await.code(), code, "{header}: {value}");
    }
}

#[tokio::test]
async fn documents_list_the_ways_that_are_configured() {
    let (_, entry) = key("shop", "shop", "");
    let issuer = issuer();
    let (gate, clock) = gate(&format!(
        "version = 1\n[api_keys]\nschemes = [\"Token\", \"\"]\nbasic = true\n{entry}{issuer}\
         {RULE}credentials = [\"both\"]\n\
         [[rule]]\nname = \"open\"\npath = \"/open\"\nmethods = [\"GET\"]\ncredentials = [\"token\", \"none\"]\n"
    ))
    .await;
    let pages = serve(gate.catalogue(), clock).await;
    let book = pages.get("/errors/handbook", &[("accept", "text/markdown")]).await.text;
    assert!(
        book.contains("`Authorization: Token <key>` together with `Authorization: Bearer <token>`"),
        "{book}"
    );
    assert!(book.contains("- Credential: `Authorization: Bearer <token>` or none"), "{book}");
    let mut document = json!({
        "openapi": "3.1.0",
        "paths": {"/charges": {"get": {"responses": {}}}, "/open": {"get": {"responses": {}}}},
    });
    tollgate::openapi::apply(&gate, &mut document).unwrap();
    let schemes = &document["components"]["securitySchemes"];
    let names: Vec<&String> = schemes.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["ApiKeyAlone", "ApiKeyAsBasic", "ApiKeyAsToken", "ApiKeyHeader", "BearerToken"]
    );
    assert_eq!(schemes["ApiKeyAsBasic"]["scheme"], "basic");
    let pairs = document["paths"]["/charges"]["get"]["security"].as_array().unwrap().clone();
    assert_eq!(pairs.len(), 4);
    for pair in pairs {
        let pair = pair.as_object().unwrap();
        assert!(pair.len() == 2 && pair.contains_key("BearerToken"), "{pair:?}");
    }
    assert_eq!(document["paths"]["/open"]["get"]["security"], json!([{"BearerToken": []}, {}]));
}
