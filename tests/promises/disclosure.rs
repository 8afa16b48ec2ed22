//! How much a denial tells, at each level; and that nothing a client sent, and no secret, is
//! ever told.

use serde_json::Value;

use super::support::{Answer, bearer, issuer, key, trial};

fn policy(level: &str, entries: &str) -> String {
    format!(
        r#"version = 1
[denial]
disclosure = "{level}"
status = "standard"
support = "https://developer.example.com/support"
docs = "https://developer.example.com/errors/"
[failures]
rate = "1/hour"
burst = 1
[api_keys]
{entries}
{}
[[limit]]
name = "slow"
rate = "1/hour"
per = ["client"]
[[rule]]
name = "orders"
path = "/orders"
methods = ["GET"]
scopes = ["orders:read"]
limits = ["slow"]
[[rule]]
name = "role"
path = "/role"
roles = ["admin"]
[[rule]]
name = "inside"
path = "/inside"
addresses = ["10.0.0.0/8"]
"#,
        issuer()
    )
}

/// The answer without what names the occurrence and the wait.
fn bytes(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let mut text = answer.text.clone();
    let instance = answer.json()["instance"].as_str().unwrap().to_owned();
    text = text.replace(&instance, "-");
    if let Some(wait) = answer.json().get("retry_after") {
        text = text.replace(&format!("\"retry_after\":{wait}"), "-");
    }
    let waits = ["date", "content-length", "retry-after", "retry-after-ms"];
    let keep = |name: &str| !waits.contains(&name);
    let headers = answer.headers.iter().filter(|(name, _)| keep(name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status.as_u16(), text, headers.collect())
}

#[tokio::test]
async fn at_minimal_the_answers_of_a_group_are_equal() {
    let (good, entry) = key("good", "billing", "scopes = [\"orders:read\"]");
    let (revoked, revoked_entry) = key("gone", "billing", "revoked = true");
    let (early, early_entry) = key("early", "billing", "not_before = 2027-02-01T00:00:00Z");
    let (unknown, _) = key("unknown", "nobody", "");
    let entries = format!("{entry}{revoked_entry}{early_entry}");
    let server = trial(&policy("minimal", &entries)).await;

    let mut credentials = Vec::new();
    for (n, (name, value)) in [
        ("x-api-key", revoked.as_str()),
        ("x-api-key", early.as_str()),
        ("x-api-key", unknown.as_str()),
        ("x-api-key", "cut-off"),
        ("authorization", "Basic dTpw"),
        ("authorization", "Bearer a.b.c"),
        ("authorization", &bearer(|claims| claims["exp"] = 1.into())),
        ("authorization", &bearer(|claims| claims["nbf"] = 1_900_000_000.into())),
    ]
    .into_iter()
    .enumerate()
    {
        let server = server.from(&format!("127.0.2.{}", n + 1));
        credentials.push(server.get("/orders", &[(name, value)]).await);
    }
    let failing = server.from("127.0.2.100");
    failing.get("/orders", &[("x-api-key", &unknown)]).await;
    let again = failing.get("/orders", &[("x-api-key", &unknown)]).await;
    credentials.push(again);
    let lets_in = failing.get("/role", &[("x-api-key", &good)]).await;
    assert_eq!(lets_in.code(), "access_denied", "what proves itself is judged as ever");
    for answer in &credentials {
        assert_eq!(answer.code(), "invalid_credentials");
        assert_eq!(bytes(answer), bytes(&credentials[0]));
        assert_eq!(answer.line("retry-after"), None);
    }

    let denied = [
        server.get("/role", &[("x-api-key", &good)]).await,
        server.get("/inside", &[("x-api-key", &good)]).await,
        server.get("/nowhere", &[]).await,
        server.call(http::Method::PUT, "/orders", &[("x-api-key", &good)]).await,
    ];
    for answer in &denied {
        assert_eq!(answer.code(), "access_denied");
        assert_eq!(bytes(answer), bytes(&denied[0]));
        assert_eq!(answer.line("allow"), None);
    }

    server.get("/orders", &[("x-api-key", &good)]).await;
    let limited = server.get("/orders", &[("x-api-key", &good)]).await;
    assert_eq!(
        (limited.code().as_str(), limited.line("retry-after").is_some()),
        ("limit_exceeded", true)
    );
    assert_eq!((limited.line("ratelimit"), limited.json().get("limits")), (None, None));

    let mut members: Vec<String> =
        credentials[0].json().as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "action",
            "actor",
            "category",
            "code",
            "instance",
            "remedy",
            "retryable",
            "status",
            "support",
            "title",
            "type"
        ]
    );
    let missing = server.get("/orders", &[]).await;
    assert_eq!(missing.code(), "credentials_missing");
    assert_eq!(missing.json().get("detail"), None);
}

#[tokio::test]
async fn detailed_adds_what_the_server_knows() {
    let (good, entry) =
        key("good", "billing", "scopes = [\"orders:read\"]\naddresses = [\"203.0.113.0/24\"]");
    let token = bearer(|claims| claims["scope"] = "a b".into());
    for (level, is_told) in [("standard", false), ("detailed", true)] {
        let server = trial(&policy(level, &entry)).await;
        let scope = server.get("/orders", &[("authorization", &token)]).await.json();
        let address = server.get("/orders", &[("x-api-key", &good)]).await.json();
        let inside = server.get("/inside", &[("authorization", &token)]).await.json();
        assert_eq!(scope.get("granted_scopes").is_some(), is_told, "{scope}");
        assert_eq!(address.get("allowed_addresses").is_some(), is_told, "{address}");
        assert_eq!(inside.get("allowed_addresses").is_some(), is_told, "{inside}");
        assert_eq!(scope.get("rule").and_then(Value::as_str), is_told.then_some("orders"));
        assert_eq!(scope["type"], "https://developer.example.com/errors/insufficient_scope");
        assert_eq!(scope["support"], "https://developer.example.com/support");
    }
}

#[tokio::test]
async fn nothing_that_was_sent_comes_back() {
    let canary = "canary0123456789";
    let (_, entry) = key("good", "billing", "");
    for level in ["standard", "detailed"] {
        let server = trial(&policy(level, &entry)).await;
        let token = bearer(|claims| {
            for name in ["sub", "iss", "aud", "scope", "plan"] {
                claims[name] = canary.into();
            }
        });
        let wrong_scope = bearer(|claims| claims["scope"] = format!("ok {canary}").into());
        for (n, (path, name, value)) in [
            ("/orders", "x-api-key", canary),
            ("/orders", "x-api-key", &format!("tg_{}", canary.repeat(4)[..49].to_owned())),
            ("/orders", "authorization", &format!("Basic {canary}")),
            ("/orders", "authorization", &format!("{canary} {canary}")),
            ("/orders", "authorization", &format!("Bearer {canary}.{canary}.{canary}")),
            ("/orders", "authorization", &token),
            (&format!("/{canary}"), "x-forwarded-for", canary),
            ("/orders", "authorization", &wrong_scope),
        ]
        .into_iter()
        .enumerate()
        {
            let answer =
                server.from(&format!("127.0.3.{}", n + 1)).get(path, &[(name, value)]).await;
            // Granted scopes were proven; `detailed` tells them.
            if !(level == "detailed" && value == wrong_scope) {
                assert!(!answer.text.contains(canary), "{path} {name}: {}", answer.text);
            }
            assert!(!format!("{:?}", answer.headers).contains(canary));
        }
    }
}

#[tokio::test]
async fn at_minimal_handlers_tell_no_more_than_the_layer() {
    tollgate::scope!(Admin = "orders:admin");
    let (good, entry) = key("good", "billing", "scopes = [\"orders:read\"]");
    let policy = policy("minimal", &entry).replace("rate = \"1/hour\"", "rate = \"9/hour\"");
    let (gate, clock) = super::support::gate(&policy).await;
    let app = axum::Router::new()
        .route("/orders", axum::routing::get(|_: tollgate::Scoped<Admin>| async { "never" }))
        .layer(gate.layer());
    let server = super::support::serve(app, clock).await;
    let by_handler = server.get("/orders", &[("x-api-key", &good)]).await;
    let by_layer = server.get("/role", &[("x-api-key", &good)]).await;
    assert_eq!(by_handler.code(), "access_denied");
    assert_eq!(bytes(&by_handler), bytes(&by_layer));
}

#[tokio::test]
async fn a_document_stays_below_four_kibibytes() {
    let (good, entry) = key("good", "billing", "");
    let scopes: Vec<String> = (0..300).map(|n| format!("\"{n:0>120}\"")).collect();
    let roles: Vec<String> = (0..40).map(|n| format!("\"{n:0>250}\"")).collect();
    let rules = format!(
        "version = 1\n[denial]\nstatus = \"standard\"\n[api_keys]\n{entry}\n{}\n[[rule]]\nname = \"s\"\npath = \"/s\"\nscopes = [{}]\n[[rule]]\nname = \"r\"\npath = \"/r\"\nroles = [{}]\n",
        issuer(),
        scopes.join(", "),
        roles.join(", ")
    );
    let server = trial(&rules).await;
    let token = bearer(|_| {});
    for (path, header) in [
        ("/s", ("x-api-key", good.as_str())),
        ("/s", ("authorization", token.as_str())),
        ("/r", ("x-api-key", good.as_str())),
    ] {
        let answer = server.get(path, &[header]).await;
        assert!(answer.text.len() < 4096, "{} bytes", answer.text.len());
        let body = answer.json();
        assert!(body["required_scopes"].is_array() || body["required_roles"].is_array(), "{body}");
        assert!(answer.lines("www-authenticate").iter().all(|line| line.len() < 2200));
    }
}
