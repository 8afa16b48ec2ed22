//! The remedies of tokens send nobody for what it cannot change: what the issuer or the policy
//! decides is the provider's, and only what a client chooses is asked of the client.

use serde_json::{Value, json};

use super::support::{Answer, NOW, Server, claims, header, issuer, token, trial};

/// Sends a token with these changes to its header and claims.
async fn send(server: &Server, in_header: &Value, in_claims: &Value) -> Answer {
    let changed = |mut object: Value, changes: &Value| {
        for (name, value) in changes.as_object().unwrap() {
            object[name] = value.clone();
            if value.is_null() {
                object.as_object_mut().unwrap().remove(name);
            }
        }
        object
    };
    let token = token(&changed(header(), in_header), &changed(claims(), in_claims));
    server.get("/", &[("authorization", &format!("Bearer {token}"))]).await
}

async fn server(lines: &str) -> Server {
    trial(&format!("version = 1\n{}{lines}\n[[rule]]\nname = \"all\"\npath = \"/\"\n", issuer()))
        .await
}

#[tokio::test]
async fn what_the_issuer_or_the_policy_decides_is_the_providers() {
    let (none, hash) = (json!({}), json!({"at_hash": "x"}));
    let typed = "types = [\"JWT\"]";
    for (lines, in_header, in_claims, code, detail, remedies) in [
        // Whether there is a `typ` is the issuer's choice, and whether it is wanted the policy's.
        (
            typed,
            json!({"typ": null}),
            none.clone(),
            "token_type_mismatch",
            "has no `typ`",
            ["Nothing in the request", "Ask the provider"],
        ),
        (
            typed,
            json!({"typ": "x"}),
            none.clone(),
            "token_type_mismatch",
            "`typ` is not accepted",
            ["the access token", "ask the provider"],
        ),
        (
            "",
            none.clone(),
            hash.clone(),
            "token_type_mismatch",
            "looks like",
            ["Send the access token", "ID token"],
        ),
        (
            "",
            none.clone(),
            json!({"aud": "app", "nonce": "x"}),
            "token_audience_mismatch",
            "not issued for this API",
            ["access token instead, one for https://api.example.com", "ID token"],
        ),
        (
            "",
            none.clone(),
            json!({"aud": "app"}),
            "token_audience_mismatch",
            "not issued for this API",
            ["Ask the issuer", "ask the provider"],
        ),
        // Which apps may call is the policy's choice.
        (
            "audience_claim = \"azp\"",
            none.clone(),
            json!({"azp": "app"}),
            "token_audience_mismatch",
            "not issued for this API",
            ["in `azp`", "have yours added: ask the provider"],
        ),
        (
            "required_claims = [\"jti\"]",
            none.clone(),
            none.clone(),
            "token_claim_missing",
            "no claim jti",
            ["as the provider describes", "still absent, ask the provider"],
        ),
        (
            "required_claims = [\"jti\"]",
            none.clone(),
            json!({"nonce": "x"}),
            "token_claim_missing",
            "looks like",
            ["Send the access token", "ID token"],
        ),
        (
            "",
            none.clone(),
            json!({"exp": NOW * 1000}),
            "token_claim_invalid",
            "milliseconds",
            ["Ask the provider", "the issuer writes exp"],
        ),
        (
            "claims = { tid = \"a\" }",
            none.clone(),
            json!({"tid": "b"}),
            "token_claim_invalid",
            "does not have a value",
            ["Use an account", "ask the provider"],
        ),
        (
            "max_lifetime = \"5m\"",
            none.clone(),
            none.clone(),
            "token_claim_invalid",
            "further ahead",
            ["lives less long", "ask the provider"],
        ),
        (
            "",
            none.clone(),
            json!({"cnf": {"jkt": "x"}}),
            "token_proof_required",
            "bound to a key",
            ["without DPoP", "ask the provider"],
        ),
        (
            "",
            json!({"alg": "HS512"}),
            none.clone(),
            "token_algorithm_not_allowed",
            "algorithm",
            ["If you sign the token yourself", "Otherwise ask the provider"],
        ),
        (
            "",
            none.clone(),
            json!({"iss": "https://id.example.com"}),
            "token_issuer_unknown",
            "no issuer",
            ["accepted issuer: https://id.example.com/", "ask the provider"],
        ),
        (
            "",
            none.clone(),
            json!({"iat": NOW + 600}),
            "token_not_yet_valid",
            "valid from",
            ["Wait 570 s", "report it to the provider"],
        ),
        (
            "",
            none.clone(),
            json!({"groups": "g".repeat(9000)}),
            "token_too_large",
            "larger than 8192 bytes",
            ["ask for fewer scopes", "ask the provider"],
        ),
    ] {
        let answer = send(&server(lines).await, &in_header, &in_claims).await;
        let document = answer.json();
        assert_eq!(document["code"], code, "{lines}: {}", answer.text);
        let told = |member: &str| document[member].as_str().unwrap_or_default().to_owned();
        assert!(told("detail").contains(detail), "{code}, {lines}: {}", told("detail"));
        for remedy in remedies {
            assert!(told("remedy").contains(remedy), "{code}, {lines}: {}", told("remedy"));
        }
        let speaks_of_id_tokens = document["remedy"].as_str().unwrap().contains("ID token");
        let looks_like = document["looks_like"] == "id_token";
        assert_eq!(speaks_of_id_tokens, looks_like, "{code}, {lines}: {}", told("remedy"));
        // Where the actor is the provider, the client is told whom to ask.
        if document["actor"] == "provider" {
            let asks = told("remedy").to_lowercase().contains("ask the provider");
            assert!(asks, "{code}, {lines}: {}", told("remedy"));
        }
        assert!(answer.text.len() <= 700, "{code}: {} bytes: {}", answer.text.len(), answer.text);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_one_to_ask_for_otherwise() {
    let server = server("").await;
    for opaque in ["MQI9IyRz9nGhkoqV8kPLNqjJcGQ3Vfy0", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn"] {
        let answer = server.get("/", &[("authorization", &format!("Bearer {opaque}"))]).await;
        assert_eq!(answer.code(), "token_malformed");
        let remedy = answer.json()["remedy"].as_str().unwrap().to_owned();
        for part in ["opaque or encrypted, name this API", "ask the provider"] {
            assert!(remedy.contains(part), "{remedy}");
        }
        assert!(answer.text.len() <= 700, "{} bytes: {}", answer.text.len(), answer.text);
    }
}
