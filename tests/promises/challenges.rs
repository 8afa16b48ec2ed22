//! Each challenge for tokens says in `scope` which scopes the rule needs (RFC 6750 section 3): its
//! own, and those of the first table of `any` with scopes. A token that has them is let in.

use serde_json::json;

use super::support::{Answer, Server, bearer, issuer, key, trial};

/// What a rule asks of everybody: the lines, and the scopes.
const OWN: [(&str, &str); 4] = [
    ("", ""),
    ("scopes = [\"a\", \"b\"]", "a b"),
    ("any_scopes = [\"x\", \"y\"]", "x"),
    ("scopes = [\"a\"]\nany_scopes = [\"x\", \"y\"]", "a x"),
];

/// What it asks beside.
const ANY: [(&str, &str); 9] = [
    ("[]", ""),
    ("[{ roles = [\"boss\"] }]", ""),
    ("[{ claims = { tenant = \"acme\" } }, { roles = [\"boss\"] }]", ""),
    ("[{ scopes = [\"p\"] }]", "p"),
    ("[{ any_scopes = [\"q\", \"r\"] }]", "q"),
    ("[{ scopes = [\"p\"], any_scopes = [\"q\", \"r\"] }, { scopes = [\"z\"] }]", "p q"),
    ("[{ roles = [\"boss\"] }, { scopes = [\"p\"] }, { scopes = [\"z\"] }]", "p"),
    // One that is needed anyway stands once.
    ("[{ scopes = [\"a\", \"p\"] }]", "a p"),
    ("[{ any_scopes = [\"x\", \"q\"] }]", "x"),
];

/// The scopes of both, each once.
fn needed(own: &str, any: &str) -> String {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in own.split_whitespace().chain(any.split_whitespace()) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes.join(" ")
}

async fn send(server: &Server, path: &str, scope: &str) -> Answer {
    let bearer = bearer(|claims| claims["scope"] = json!(scope));
    server.get(path, &[("authorization", &bearer)]).await
}

/// `scope` of the challenge for tokens, which is there, and of no other challenge.
fn scope_of(answer: &Answer) -> String {
    let challenges = answer.lines("www-authenticate");
    let (bearer, others): (Vec<_>, Vec<_>) =
        challenges.iter().partition(|challenge| challenge.starts_with("Bearer "));
    assert!(others.iter().all(|challenge| !challenge.contains("scope=")), "{challenges:?}");
    assert_eq!(bearer.len(), 1, "{challenges:?}");
    let scope = bearer[0].split_once(", scope=\"").map_or("", |(_, rest)| rest);
    scope.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_challenge_for_tokens_names_what_the_rule_needs() {
    let combinations: Vec<_> =
        OWN.iter().flat_map(|own| ANY.iter().map(move |any| (own, any))).collect();
    let mut rules = String::new();
    for (at, ((own, _), (any, _))) in combinations.iter().enumerate() {
        rules += &format!("[[rule]]\nname = \"r{at}\"\npath = \"/{at}\"\n{own}\nany = {any}\n");
    }
    let (key, entry) = key("k", "k", "");
    let policy =
        format!("version = 1\n[failures]\nenabled = false\n[api_keys]\n{entry}{}{rules}", issuer());
    for disclosure in ["standard", "minimal"] {
        let server = trial(&format!("{policy}[denial]\ndisclosure = \"{disclosure}\"\n")).await;
        let expired = bearer(|claims| claims["exp"] = json!(9));
        let foreign = bearer(|claims| claims["iss"] = json!("https://other.example/"));
        let two = [("authorization", expired.as_str()), ("x-api-key", &key)];
        for (at, ((own, of_own), (any, of_any))) in combinations.iter().enumerate() {
            let (path, label) = (format!("/{at}"), format!("{disclosure}: {own} any = {any}"));
            let expected = needed(of_own, of_any);
            for headers in [
                &[][..],
                &[("authorization", "Bearer x.y.z")],
                &[("authorization", &foreign)],
                &[("authorization", &expired)],
                &[("authorization", "Digest x")],
                &two,
            ] {
                // Twice: once as it is written, once from its form.
                for _ in 0..2 {
                    let answer = server.get(&path, headers).await;
                    assert_eq!(scope_of(&answer), expected, "{label}: {headers:?}");
                }
            }
            let answer = send(&server, &path, "other").await;
            if answer.text != "ok" && answer.code() == "insufficient_scope" {
                assert_eq!(scope_of(&answer), expected, "{label}");
                let answer = send(&server, &path, &expected).await;
                let is_enough = answer.text == "ok" || answer.code() != "insufficient_scope";
                assert!(is_enough, "{label}: {expected} is enough");
            }
            if !expected.is_empty() && disclosure == "standard" {
                assert_eq!(send(&server, &path, "other").await.code(), "insufficient_scope");
                assert_eq!(
                    server.get(&path, &[("x-api-key", &key)]).await.lines("www-authenticate"),
                    [""; 0],
                    "{label}: a key has no use for it"
                );
            }
        }
    }
}
