//! Issuers as they are: what they call themselves, their keys, where their claims are, and what is
//! accepted from them.

use std::fs;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::Principal;

use super::support::{
    Answer, NOW, SECRET, Server, bearer, claims, gate, header, key, serve, token, token_of_text,
    trial,
};

/// A policy with an issuer whose secret is [`SECRET`], in which lines are replaced or added.
fn policy(lines: &[&str], rest: &str) -> String {
    let mut usual = vec![
        "name = \"main\"",
        "iss = \"https://id.example.com/\"",
        "audiences = [\"https://api.example.com\"]",
        "algorithms = [\"HS256\"]",
        "keys = { secret_env = \"TOLLGATE_TEST_SECRET\" }",
    ];
    for line in lines {
        let name = |line: &str| line.split('=').next().unwrap().trim().to_owned();
        usual.retain(|other| name(other) != name(line));
        usual.push(line);
    }
    format!(
        "version = 1\n[failures]\nenabled = false\n[[issuer]]\n{}\n{rest}\n[[rule]]\nname = \"all\"\npath = \"/\"\n",
        usual.join("\n")
    )
}

/// Serves the policy; an admitted request is answered with who called.
async fn whoami(policy: &str) -> Server {
    let (gate, clock) = gate(policy).await;
    let describe = |caller: Principal| async move {
        let scopes: Vec<String> = caller.scopes().iter().map(ToString::to_string).collect();
        let roles: Vec<&str> = caller.roles().collect();
        let plan = caller.plan().unwrap_or("-");
        format!("{} [{}] [{}] {plan}", caller.client(), scopes.join(","), roles.join(","))
    };
    serve(Router::new().fallback(get(describe)).layer(gate.layer()), clock).await
}

async fn send(server: &Server, change: impl FnOnce(&mut Value)) -> Answer {
    server.get("/", &[("authorization", &bearer(change))]).await
}

/// Who was admitted; otherwise the code, and the claim that it names.
fn outcome(answer: &Answer) -> String {
    if answer.status.is_success() {
        return answer.text.clone();
    }
    match answer.json()["claim"].as_str() {
        Some(claim) => format!("{} {claim}", answer.code()),
        None => answer.code(),
    }
}

/// The usual claims with these in place of theirs.
fn with(changes: &Value) -> impl FnOnce(&mut Value) + use<> {
    let changes = changes.clone();
    move |claims| {
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
    }
}

/// Sends each set of claims to a gate whose issuer has these lines.
async fn outcomes(lines: &[&str], table: &[(Value, &str)]) {
    let server = whoami(&policy(lines, "")).await;
    for (changes, expected) in table {
        // The second time from memory.
        for time in ["first", "second"] {
            let answer = send(&server, with(changes)).await;
            assert_eq!(outcome(&answer), *expected, "{lines:?}, {changes}, {time}");
        }
    }
}

#[tokio::test]
async fn a_role_in_a_text_is_one_role() {
    outcomes(
        &[],
        &[
            (json!({"roles": "Report Admin"}), "mobile [orders:read] [Report Admin] -"),
            (json!({"roles": ["a b", "c"]}), "mobile [orders:read] [a b,c] -"),
            (json!({"roles": {"a": {"x": "b"}, "c": null}}), "mobile [orders:read] [a,c] -"),
            (json!({"roles": {}}), "mobile [orders:read] [] -"),
            (json!({"roles": ""}), "mobile [orders:read] [] -"),
            (json!({"roles": null}), "mobile [orders:read] [] -"),
            (json!({"roles": 7}), "token_claim_invalid roles"),
            (json!({"roles": [7]}), "token_claim_invalid roles"),
        ],
    )
    .await;
    outcomes(
        &["roles_separator = \" \""],
        &[
            (json!({"roles": "Report Admin"}), "mobile [orders:read] [Report,Admin] -"),
            (json!({"roles": ["Report Admin"]}), "mobile [orders:read] [Report Admin] -"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_needs_proof_of_it() {
    let bound = json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}});
    let fine = "mobile [orders:read] [] -";
    let empty = json!({"cnf": {}});
    let absent = json!({"cnf": null});
    outcomes(
        &[],
        &[(bound.clone(), "token_proof_required"), (empty, "token_proof_required"), (absent, fine)],
    )
    .await;
    outcomes(&["bound_tokens = \"accept\""], &[(bound.clone(), fine)]).await;

    // Judged after `typ`, and before the client claim.
    let standard = policy(&[], "[denial]\nstatus = \"standard\"\nrealm = \"orders\"\n");
    let server = trial(&standard).await;
    let mut claims = claims();
    with(&bound)(&mut claims);
    claims["sub"] = Value::Null;
    let both = token(&json!({"alg": "HS256", "typ": "other"}), &claims);
    let answer = server.get("/", &[("authorization", &format!("Bearer {both}"))]).await;
    assert_eq!(answer.code(), "token_type_mismatch");
    let answer = send(&server, with(&json!({"cnf": {"jkt": "x"}, "sub": null}))).await;
    assert_eq!((answer.status.as_u16(), outcome(&answer)), (401, "token_proof_required".into()));
    assert_eq!(answer.json()["category"], "token");
    let challenge = answer.line("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer realm=\"orders\", error=\"invalid_token\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn without_types_a_token_may_have_no_typ_but_must_not_look_like_an_id_token() {
    async fn typed(server: &Server, header: &Value, changes: &Value) -> Answer {
        let mut claims = claims();
        with(changes)(&mut claims);
        let token = token(header, &claims);
        server.get("/", &[("authorization", &format!("Bearer {token}"))]).await
    }
    let (none, hash) = (json!({}), json!({"at_hash": "x"}));
    let mismatch = "token_type_mismatch";
    let unset = trial(&policy(&[], "")).await;
    let set = trial(&policy(&["types = [\"JWT\"]"], "")).await;
    for (server, header, changes, expected) in [
        (&unset, json!({"alg": "HS256"}), &none, "ok"),
        (&unset, json!({"alg": "HS256", "typ": "application/AT+JWT"}), &none, "ok"),
        (&unset, json!({"alg": "HS256", "typ": "jwt"}), &none, "ok"),
        (&unset, json!({"alg": "HS256", "typ": "logout+jwt"}), &none, mismatch),
        (&unset, json!({"alg": "HS256", "typ": ""}), &none, mismatch),
        (&unset, json!({"alg": "HS256", "typ": null}), &none, "token_malformed"),
        (&unset, json!({"alg": "HS256", "typ": 7}), &none, "token_malformed"),
        (&unset, json!({"alg": "HS256"}), &hash, mismatch),
        (&unset, json!({"alg": "HS256", "typ": "JWT"}), &json!({"c_hash": "x"}), mismatch),
        (&unset, json!({"alg": "HS256", "typ": "JWT"}), &json!({"at_hash": null}), "ok"),
        (&unset, json!({"alg": "HS256", "typ": "JWT"}), &json!({"nonce": "x"}), "ok"),
        (&set, json!({"alg": "HS256"}), &none, mismatch),
        (&set, json!({"alg": "HS256", "typ": "JWT"}), &hash, "ok"),
        (&set, json!({"alg": "HS256", "typ": "at+jwt"}), &none, mismatch),
    ] {
        let answer = typed(server, &header, changes).await;
        assert_eq!(outcome(&answer), expected, "{header} {changes}");
        if expected == mismatch {
            let looks_like = answer.json().get("looks_like").cloned();
            let expected = changes.as_object().unwrap().is_empty();
            assert_eq!(looks_like, (!expected).then(|| "id_token".into()), "{header} {changes}");
        }
    }
    // It is told wherever an ID token mostly ends.
    for changes in [json!({"aud": "app"}), json!({"sub": null})] {
        for (mark, is_told) in [
            (json!({"nonce": "x"}), true),
            (json!({"token_use": "id"}), true),
            (json!({"token_use": "access"}), false),
            (json!({"nonce": null}), false),
        ] {
            let answer = send(&unset, |claims| {
                with(&changes)(claims);
                with(&mark)(claims);
            })
            .await;
            let told = answer.json().get("looks_like").cloned();
            assert_eq!(told.is_some(), is_told, "{changes} {mark}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn one_issuer_by_several_names_is_one() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"2/hour\"\nper = [\"client\"]\n";
    let text = policy(&["iss = [\"https://old.example.com\", \"https://new.example.com\"]"], limit);
    let server = trial(&format!("{text}limits = [\"one\"]\n")).await;
    for (iss, expected) in [
        ("https://old.example.com", "ok"),
        ("https://new.example.com", "ok"),
        ("https://old.example.com", "rate_limited"),
        ("https://new.example.com/", "token_issuer_unknown"),
    ] {
        let answer = send(&server, with(&json!({ "iss": iss }))).await;
        assert_eq!(outcome(&answer), expected, "{iss}");
        if expected == "token_issuer_unknown" {
            let expected =
                json!([{"iss": "https://old.example.com"}, {"iss": "https://new.example.com"}]);
            assert_eq!(answer.json()["accepted_issuers"], expected);
        }
    }
}

#[tokio::test]
async fn a_sole_issuer_may_go_by_any_name_and_clients_of_two_are_two() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n";
    let text = policy(&["iss = \"any\"", "audiences = \"any\""], limit);
    let server = trial(&format!("{text}limits = [\"one\"]\n")).await;
    for (changes, expected) in [
        (json!({"iss": "a", "aud": 7}), "ok"),
        (json!({"iss": "a"}), "rate_limited"),
        (json!({"iss": "b", "aud": "other"}), "ok"),
        (json!({"iss": null}), "ok"),
        (json!({"iss": null, "aud": null}), "rate_limited"),
        (json!({"iss": ""}), "ok"),
        (json!({"iss": "c", "exp": null}), "token_claim_missing exp"),
    ] {
        let answer = send(&server, with(&changes)).await;
        assert_eq!(outcome(&answer), expected, "{changes}");
    }
}

#[tokio::test]
async fn a_claim_within_iss_names_the_tenant() {
    let iss =
        "iss = [\"https://login.example.com/{tid}/v2.0\", \"https://sts.example.com/{tid}/\"]";
    let of = |tid: Value, iss: &str| json!({"iss": iss, "tid": tid});
    let unknown = "token_issuer_unknown";
    outcomes(
        &[iss],
        &[
            (of("a".into(), "https://login.example.com/a/v2.0"), "a/mobile [orders:read] [] -"),
            (of("b".into(), "https://login.example.com/b/v2.0"), "b/mobile [orders:read] [] -"),
            (of("a".into(), "https://sts.example.com/a/"), "a/mobile [orders:read] [] -"),
            (of("a".into(), "https://login.example.com/b/v2.0"), unknown),
            (of("a".into(), "https://login.example.com/a/v2.0/"), unknown),
            (of("a".into(), "https://login.example.com/{tid}/v2.0"), unknown),
            (
                of("{tid}".into(), "https://login.example.com/{tid}/v2.0"),
                "{tid}/mobile [orders:read] [] -",
            ),
            (of("a/b".into(), "https://login.example.com/a/b/v2.0"), unknown),
            (of("".into(), "https://login.example.com//v2.0"), unknown),
            (of(7.into(), "https://login.example.com/7/v2.0"), unknown),
            (of(Value::Null, "https://login.example.com/null/v2.0"), unknown),
            (of("/v2.0".into(), "https://login.example.com/v2.0"), unknown),
        ],
    )
    .await;
    let bound = "claims = { tid = [\"a\", \"b\"] }";
    outcomes(
        &[iss, bound],
        &[
            (of("b".into(), "https://login.example.com/b/v2.0"), "b/mobile [orders:read] [] -"),
            (of("c".into(), "https://login.example.com/c/v2.0"), "token_claim_invalid tid"),
        ],
    )
    .await;
    let answer = send(&trial(&policy(&[iss], "")).await, |_| {}).await;
    assert_eq!(
        answer.json()["accepted_issuers"][0]["iss"],
        "https://login.example.com/{tid}/v2.0",
        "as it is written"
    );
}

#[tokio::test]
async fn two_tenants_never_share_a_bucket() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n";
    let text = policy(&["iss = \"https://login.example.com/{tid}\""], limit);
    let server = trial(&format!("{text}limits = [\"one\"]\n")).await;
    for (tid, sub, expected) in [
        ("a", "x", "ok"),
        ("b", "x", "ok"),
        ("a", "x", "rate_limited"),
        ("a", "b/x", "ok"),
        ("b", "x", "rate_limited"),
    ] {
        let iss = format!("https://login.example.com/{tid}");
        let answer = send(&server, with(&json!({"iss": iss, "tid": tid, "sub": sub}))).await;
        assert_eq!(outcome(&answer), expected, "{tid} {sub}");
    }
}

#[tokio::test]
async fn clients_are_named_by_the_claim_that_names_them_too() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n";
    let text = policy(&["client_claim = [\"azp\", \"sub\"]"], limit);
    let server = trial(&format!("{text}limits = [\"one\"]\n")).await;
    for (changes, expected) in [
        (json!({"sub": "x"}), "ok"),
        (json!({"azp": "x"}), "ok"),
        (json!({"azp": "x", "sub": "y"}), "rate_limited"),
        (json!({"sub": "x", "azp": null}), "rate_limited"),
    ] {
        assert_eq!(outcome(&send(&server, with(&changes)).await), expected, "{changes}");
    }
}

#[tokio::test]
async fn each_secret_is_tried_and_a_file_holds_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let display = path.display();
    let sign = |secret: &[u8]| {
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header().to_string()), encode(claims().to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let other = b"another secret with a space, 44 bytes long..";
    let keys = format!("keys = {{ secret_file = \"{display}\" }}");
    for (end, kept) in [("", ""), ("\n", ""), ("\r\n", ""), ("\n\n", "\n"), (" ", " ")] {
        let text = String::from_utf8(other.to_vec()).unwrap();
        fs::write(&path, format!("{text}{end}")).unwrap();
        let server = trial(&policy(&[&keys], "")).await;
        let secret = format!("{text}{kept}");
        let answer = server.get("/", &[("authorization", &sign(secret.as_bytes()))]).await;
        assert_eq!(outcome(&answer), "ok", "{end:?}");
    }
    fs::write(&path, URL_SAFE_NO_PAD.encode(other) + "\n").unwrap();
    let keys = format!("keys = {{ secret_file = \"{display}\", encoding = \"base64\" }}");
    let server = trial(&policy(&[&keys], "")).await;
    let answer = server.get("/", &[("authorization", &sign(other))]).await;
    assert_eq!(outcome(&answer), "ok", "base64");

    let names = "[\"TOLLGATE_TEST_SECRET\", \"TOLLGATE_TEST_LONG_SECRET\"]";
    let keys = format!("keys = {{ secret_env = {names} }}");
    let server = trial(&policy(&[&keys], "")).await;
    let long = std::env::var("TOLLGATE_TEST_LONG_SECRET").unwrap();
    for (secret, expected) in
        [(SECRET, "ok"), (long.as_bytes(), "ok"), (&other[..], "token_signature_invalid")]
    {
        let answer = server.get("/", &[("authorization", &sign(secret))]).await;
        assert_eq!(outcome(&answer), expected);
    }
}

#[tokio::test]
async fn times_are_seconds_and_lifetimes_are_bounded() {
    let fine = "mobile [orders:read] [] -";
    let invalid = |claim| format!("token_claim_invalid {claim}");
    let (exp, nbf, iat) = (invalid("exp"), invalid("nbf"), invalid("iat"));
    outcomes(
        &[],
        &[
            (json!({"exp": 253_402_300_799_u64}), fine),
            (json!({"exp": 253_402_300_800_u64}), &exp),
            (json!({"exp": NOW * 1000}), &exp),
            (json!({"exp": "soon"}), &exp),
            (json!({"exp": -1}), &exp),
            (json!({"exp": null}), "token_claim_missing exp"),
            // `exp` is rounded down, `nbf` and `iat` up; the leeway is 30 s.
            (json!({"exp": NOW - 30}), "token_expired"),
            (json!({"exp": NOW as f64 - 29.5}), "token_expired"),
            (json!({"exp": NOW - 29}), fine),
            (json!({"nbf": NOW as f64 + 29.5}), fine),
            (json!({"nbf": NOW as f64 + 30.5}), "token_not_yet_valid"),
            (json!({"iat": NOW as f64 + 30.5}), "token_not_yet_valid"),
            (json!({"nbf": null, "iat": null}), fine),
            (json!({"nbf": NOW * 1000}), &nbf),
            (json!({"nbf": NOW + 60, "iat": "x"}), "token_not_yet_valid"),
            (json!({"iat": NOW * 1000}), &iat),
            (json!({"iat": true}), &iat),
        ],
    )
    .await;
    outcomes(
        &["max_lifetime = \"1h\"", "leeway = \"10s\""],
        &[
            (json!({"exp": NOW + 3610}), fine),
            (json!({"exp": NOW + 3611}), &exp),
            (json!({"exp": NOW + 3611, "nbf": NOW + 60}), &exp),
        ],
    )
    .await;
    let server = trial(&policy(&["max_lifetime = \"1h\""], "")).await;
    for (changes, told) in [
        (json!({"exp": NOW * 1000}), "milliseconds"),
        (json!({"iat": NOW * 1000}), "milliseconds"),
        (json!({"exp": NOW * 1_000_000}), "1970 to 9999"),
        (json!({"exp": "1"}), "not a number"),
        (json!({"exp": NOW + 7200}), "further ahead"),
        (json!({"sub": true}), "text nor a whole number"),
        (json!({"sub": ""}), "is empty"),
        (json!({"scope": 7}), "list of scopes"),
        (json!({"scope": "a \"b\""}), "list of scopes"),
        (json!({"roles": 7}), "nor an object"),
        (json!({"plan": 7}), "is not text"),
        (json!({"aud": 7}), "nor an array of texts"),
    ] {
        let answer = send(&server, with(&changes)).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.code(), "token_claim_invalid", "{changes}");
        assert!(detail.contains(told), "{changes}: {detail}");
        assert_eq!(answer.json()["retryable"], false);
    }
    // No JSON writer makes this number, so it is written by hand.
    let text = claims().to_string().replace(&(NOW + 3600).to_string(), "1e400");
    let token = token_of_text(&header().to_string(), &text);
    let answer = server.get("/", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(outcome(&answer), "token_claim_invalid exp");
}

#[tokio::test]
async fn claims_are_found_by_name_or_by_pointer() {
    outcomes(
        &[
            "audience_claim = [\"client_id\", \"/for/api\"]",
            "client_claim = [\"/ids/1\", \"sub\"]",
            "scope_claim = [\"scp\", \"/permissions/orders\"]",
            "roles_claim = [\"/realm_access/roles\", \"https://example.com/roles\", \"a~b\"]",
            "plan_claim = [\"/account/plan\", \"plan\"]",
            "required_claims = [\"/account/id\"]",
        ],
        &[
            (
                json!({"for": {"api": ["x", "https://api.example.com"]}, "account": {"id": 0}}),
                "mobile [] [] -",
            ),
            (
                json!({"client_id": "https://api.example.com", "ids": ["x", 42], "scp": ["a", "b"],
                    "permissions": {"orders": "c a"}, "realm_access": {"roles": ["r"]},
                    "https://example.com/roles": {"s": 1, "r": 2}, "a~b": "t u",
                    "account": {"plan": "gold", "id": false}, "plan": "silver"}),
                "42 [a,b,c] [r,s,t u] gold",
            ),
            (json!({"account": {"id": 1}}), "token_claim_missing client_id"),
            (
                json!({"client_id": "other", "for": {"api": "https://api.example.com"}}),
                "token_audience_mismatch client_id",
            ),
            (
                json!({"client_id": null, "for": {"api": "https://api.example.com"}, "account": {"id": null}}),
                "token_claim_missing /account/id",
            ),
            (
                json!({"for": {"api": [7]}}),
                "token_claim_invalid /for/api",
            ),
            (
                json!({"client_id": "https://api.example.com", "ids": ["x", 1.5]}),
                "token_claim_invalid /ids/1",
            ),
            (
                json!({"client_id": "https://api.example.com", "account": {"id": 1, "plan": 7}}),
                "token_claim_invalid /account/plan",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_client_is_text_or_a_whole_number() {
    outcomes(
        &[],
        &[
            (json!({"sub": 42}), "42 [orders:read] [] -"),
            (
                json!({"sub": 18_446_744_073_709_551_615_u64}),
                "18446744073709551615 [orders:read] [] -",
            ),
            (json!({"sub": -1}), "token_claim_invalid sub"),
            (json!({"sub": 1.5}), "token_claim_invalid sub"),
            (json!({"sub": 1e3}), "token_claim_invalid sub"),
            (json!({"sub": ["a"]}), "token_claim_invalid sub"),
            (json!({"sub": ""}), "token_claim_invalid sub"),
            (json!({"sub": null}), "token_claim_missing sub"),
        ],
    )
    .await;
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"client\"]\n";
    let server = trial(&format!("{}limits = [\"one\"]\n", policy(&[], limit))).await;
    assert_eq!(outcome(&send(&server, with(&json!({"sub": 42}))).await), "ok");
    assert_eq!(outcome(&send(&server, with(&json!({"sub": "42"}))).await), "rate_limited");
}

#[tokio::test]
async fn an_issuer_grants_no_more_than_it_may() {
    let all = json!({"scope": "orders:read orders:write admin", "roles": ["clerk", "root"], "plan": "gold"});
    outcomes(
        &["may_grant = { scopes = [\"orders:*\"], roles = [\"clerk\"], plans = [\"gold\"] }"],
        &[
            (all.clone(), "mobile [orders:read,orders:write] [clerk] gold"),
            (json!({"plan": "platinum"}), "mobile [orders:read] [] -"),
            (json!({"scope": 7}), "token_claim_invalid scope"),
        ],
    )
    .await;
    // Written, it bounds all three: what it leaves out is empty.
    let scopes = &["may_grant = { scopes = [\"*\"] }"];
    outcomes(scopes, &[(all.clone(), "mobile [admin,orders:read,orders:write] [] -")]).await;
    outcomes(&["may_grant = {}"], &[(all, "mobile [] [] -")]).await;
}

#[tokio::test]
async fn claims_of_an_issuer_hold_for_every_token() {
    let fine = "mobile [orders:read] [] -";
    outcomes(
        &["claims = { token_use = \"access\", \"/org/id\" = [1, \"acme-*\"], ok = true }"],
        &[
            (json!({"token_use": "access", "org": {"id": 1}, "ok": true}), fine),
            (json!({"token_use": "access", "org": {"id": "1"}, "ok": [false, true]}), fine),
            (json!({"token_use": ["access"], "org": {"id": "acme-"}, "ok": true}), fine),
            (json!({"token_use": "id", "org": {"id": 2}}), "token_claim_invalid token_use"),
            (json!({"org": {"id": 1}, "ok": true}), "token_claim_invalid token_use"),
            (json!({"token_use": "access", "org": {"id": 2}}), "token_claim_invalid /org/id"),
            (
                json!({"token_use": "access", "org": {"id": 1}, "ok": "true"}),
                "token_claim_invalid ok",
            ),
            (json!({"token_use": "x", "sub": null}), "token_claim_missing sub"),
        ],
    )
    .await;
}

#[tokio::test]
async fn claims_of_rules_are_lists_and_patterns_and_say_how_they_differ() {
    let (api_key, entry) = key("k", "c", "");
    let rule = "claims = { \"/repo/owner\" = \"octo-*\", ref = [\"main\", \"v*\"] }\n";
    let policy = format!("{}{rule}\n[api_keys]\n{entry}", policy(&[], ""));
    let server = trial(&policy).await;
    let owner = |owner: &str| json!({ "owner": owner });
    for (changes, expected) in [
        (json!({"repo": owner("octo-org"), "ref": "v1"}), None),
        (json!({"repo": owner("octo-org"), "ref": ["x", "main"]}), None),
        (json!({"repo": owner("evil/octo-org"), "ref": "v1"}), Some(("/repo/owner", "different"))),
        (json!({"ref": "v1"}), Some(("/repo/owner", "absent"))),
        (json!({"repo": owner("octo-org"), "ref": "main2"}), Some(("ref", "different"))),
        (json!({"repo": owner("octo-org"), "ref": null}), Some(("ref", "absent"))),
    ] {
        let answer = send(&server, with(&changes)).await;
        match expected {
            None => assert_eq!(outcome(&answer), "ok", "{changes}"),
            Some((claim, mismatch)) => {
                assert_eq!(outcome(&answer), format!("claim_mismatch {claim}"), "{changes}");
                assert_eq!(answer.json()["mismatch"], mismatch, "{changes}");
            }
        }
    }
    let answer = server.get("/", &[("x-api-key", &api_key)]).await;
    assert_eq!(outcome(&answer), "claim_mismatch /repo/owner");
    assert_eq!(answer.json()["mismatch"], "api_key");
}

#[tokio::test]
async fn a_claim_may_be_bound_to_a_parameter_of_the_path() {
    let rule = "[[rule]]\nname = \"tenant\"\npath = \"/t/{id}/x\"\nclaims = { tenant = \"{id}\" }\n\
                [[rule]]\nname = \"group\"\npath = \"/g/{name}\"\nclaims = { tenant = 'a\\{b', groups = \"g-{name}-*\" }\n";
    let server = trial(&format!("{}{rule}", policy(&[], ""))).await;
    let mismatch = "claim_mismatch tenant";
    for (path, claims, expected) in [
        ("/t/acme/x", json!({"tenant": "acme"}), "ok"),
        ("/t/acme/x", json!({"tenant": ["x", "acme"]}), "ok"),
        ("/t/7/x", json!({"tenant": 7}), "ok"),
        ("/t/%61cme/x", json!({"tenant": "acme"}), "ok"),
        ("/t/acme/x", json!({"tenant": "acme2"}), mismatch),
        ("/t/acme/x", json!({"tenant": "*"}), mismatch),
        // The parameter is a value, and never a pattern.
        ("/t/*/x", json!({"tenant": "acme"}), mismatch),
        ("/t/*/x", json!({"tenant": "*"}), "ok"),
        ("/t/acme/x", json!({}), mismatch),
        ("/g/n", json!({"tenant": "a{b", "groups": ["g-n-1"]}), "ok"),
        ("/g/n", json!({"tenant": "a{b", "groups": ["g-m-1"]}), "claim_mismatch groups"),
        ("/g/n", json!({"tenant": "anb", "groups": ["g-n-1"]}), mismatch),
    ] {
        let headers = [("authorization", bearer(with(&claims)))];
        let answer = server.get(path, &[(headers[0].0, &headers[0].1)]).await;
        assert_eq!(outcome(&answer), expected, "{path} {claims}");
    }
}

#[tokio::test]
async fn a_limit_counts_by_a_claim_within_another() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"claim:/org/id\"]\n";
    let server = trial(&format!("{}limits = [\"one\"]\n", policy(&[], limit))).await;
    for (changes, expected) in [
        (json!({"sub": "x", "org": {"id": "a"}}), "ok"),
        (json!({"sub": "y", "org": {"id": "a"}}), "rate_limited"),
        (json!({"sub": "x", "org": {"id": "b"}}), "ok"),
        // Who has no such claim is counted as itself; `null` is absent.
        (json!({"sub": "x", "org": {"id": null}}), "ok"),
        (json!({"sub": "x"}), "rate_limited"),
        (json!({"sub": "y", "org": "a"}), "ok"),
    ] {
        assert_eq!(outcome(&send(&server, with(&changes)).await), expected, "{changes}");
    }
}

#[tokio::test]
async fn a_whole_number_counts_as_its_digits() {
    let limit = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"claim:tenant\"]\n";
    let server = trial(&format!("{}limits = [\"one\"]\n", policy(&[], limit))).await;
    for (tenant, expected) in [
        (json!(42), "ok"),
        (json!("42"), "rate_limited"),
        (json!(42.5), "ok"),
        (json!("042"), "ok"),
        (json!("-7"), "ok"),
        (json!(-7), "rate_limited"),
        (json!(true), "ok"),
        (json!("true"), "ok"),
    ] {
        let answer = send(&server, with(&json!({"tenant": tenant}))).await;
        assert_eq!(outcome(&answer), expected, "{tenant}");
    }
}

#[tokio::test]
async fn the_size_of_tokens_is_the_operators() {
    let filler = |bytes: usize| json!({"groups": "g".repeat(bytes)});
    for (size, fits, too_large) in [
        ("max_bytes = \"64KiB\"", 48_000, 50_000),
        ("max_bytes = 16384", 11_000, 12_500),
        ("", 5_000, 6_500),
    ] {
        let server = trial(&policy(&[], &format!("[tokens]\n{size}\n"))).await;
        let answer = send(&server, with(&filler(fits))).await;
        assert_eq!(outcome(&answer), "ok", "{size}");
        let answer = send(&server, with(&filler(too_large))).await;
        assert_eq!(outcome(&answer), "token_too_large", "{size}");
        let expected = match size {
            "" => 8192,
            "max_bytes = 16384" => 16_384,
            _ => 65_536,
        };
        assert_eq!(answer.json()["max_bytes"], expected);
    }
}
