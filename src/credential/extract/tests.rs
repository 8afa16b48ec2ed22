//! What is taken for a credential.

use http::header::AUTHORIZATION;

use base64::Engine as _;
use http::header::{HeaderMap, HeaderName};

use super::super::authorization::BASIC;
use super::super::key_format::KeyFormat;
use super::*;

fn present<'r>(
    headers: &'r HeaderMap,
    policy: &CredentialPolicy,
    kinds: Kinds,
) -> Result<Credential<'r>, CredentialError> {
    Credential::from_fields(&policy.fields(headers), policy, kinds)
}

fn policy() -> CredentialPolicy {
    CredentialPolicy { tokens: true, ..CredentialPolicy::default() }
}

fn text(key: &KeyText<'_>) -> String {
    String::from_utf8_lossy(&key.0).into()
}

fn read(policy: &CredentialPolicy, lines: &[(&'static str, &str)]) -> String {
    read_kinds(policy, Kinds::Either, lines)
}

fn read_kinds(policy: &CredentialPolicy, kinds: Kinds, lines: &[(&'static str, &str)]) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let token = |value: &[u8], place| match place {
        TokenPlace::Authorization => format!("token {}", String::from_utf8_lossy(value)),
        TokenPlace::Header(at) => format!("token {} in {at}", String::from_utf8_lossy(value)),
        TokenPlace::Elsewhere => unreachable!("it was read in a header"),
    };
    match present(&headers, policy, kinds) {
        Ok(Credential::ApiKey(key)) => format!("key {}", text(&key)),
        Ok(Credential::Token { value, place }) => token(value, place),
        Ok(Credential::Both { key, value, place }) => {
            format!("key {} and {}", text(&key), token(value, place))
        }
        Err(CredentialError::Missing) => "missing".into(),
        Err(CredentialError::MissingPart(kind)) => format!("missing {kind}"),
        Err(CredentialError::Multiple(places)) => format!("multiple {}", places.len()),
        Err(CredentialError::Unsupported(why)) => format!("unsupported {why:?}"),
    }
}

#[test]
fn exactly_one_credential_is_taken() {
    let table: &[(&[(&'static str, &str)], &str)] = &[
        (&[], "missing"),
        (&[("authorization", "")], "missing"),
        (&[("authorization", "  ")], "missing"),
        (&[("x-api-key", "tg_a")], "key tg_a"),
        (&[("x-api-key", "")], "key "),
        (&[("x-api-key", "tg_a"), ("authorization", "")], "key tg_a"),
        (&[("authorization", "ApiKey tg_a")], "key tg_a"),
        (&[("authorization", "apikey   tg_a")], "key tg_a"),
        (&[("authorization", "ApiKey")], "key "),
        (&[("authorization", "Bearer a.b.c")], "token a.b.c"),
        (&[("authorization", "bEARER  a.b.c ")], "token a.b.c"),
        (&[("authorization", "Bearer a.b.c junk")], "token a.b.c junk"),
        (&[("authorization", "Bearer")], "token "),
        (&[("authorization", "Basic dTpw")], "unsupported Scheme"),
        (&[("authorization", "tg_a")], "unsupported Scheme"),
        (&[("authorization", "Bearer\ta.b.c")], "unsupported Scheme"),
        (&[("authorization", "Bearer tg_a")], "unsupported KeyAsBearer"),
        (&[("x-api-key", "a"), ("x-api-key", "a")], "multiple 2"),
        (&[("x-api-key", "a"), ("authorization", "Bearer b")], "multiple 2"),
        (&[("authorization", "Bearer b"), ("authorization", "Bearer b")], "multiple 2"),
        (&[("authorization", ""), ("authorization", "")], "multiple 2"),
        (&[("authorization", "Bearer b"), ("authorization", "")], "multiple 2"),
        (&[("x-api-key", ""), ("authorization", "Basic b")], "key "),
        (&[("x-api-key", "tg_a"), ("authorization", "Basic dTpw")], "key tg_a"),
        (&[("x-api-key", "tg_a"), ("authorization", "Digest a=\"b\"")], "key tg_a"),
        (&[("x-api-key", "tg_a"), ("authorization", "ApiKey tg_a")], "multiple 2"),
        (&[("x-api-key", "tg_a"), ("authorization", "Bearer tg_a")], "multiple 2"),
        (&[("x-api-key", "tg_a"), ("authorization", "Bearer")], "multiple 2"),
    ];
    for (lines, expected) in table {
        assert_eq!(read(&policy(), lines), *expected, "{lines:?}");
    }
}

#[test]
fn a_bearer_value_is_a_key_or_a_token() {
    let bearer = |policy: &CredentialPolicy, value: &str| {
        read(policy, &[("authorization", &format!("Bearer {value}"))])
    };
    let both = CredentialPolicy { keys_as_bearer: true, ..policy() };
    assert_eq!(bearer(&both, "tg_a"), "key tg_a");
    assert_eq!(bearer(&both, "a.b.c"), "token a.b.c");
    let elsewhere = CredentialPolicy { format: KeyFormat::Any, ..both.clone() };
    assert_eq!(bearer(&elsewhere, "abc"), "key abc");
    assert_eq!(bearer(&elsewhere, "a.b.c"), "token a.b.c");
    let keys_only = CredentialPolicy { tokens: false, ..both };
    assert_eq!(bearer(&keys_only, "a.b.c"), "key a.b.c");
    let neither = CredentialPolicy { tokens: false, ..policy() };
    assert_eq!(bearer(&neither, "a.b.c"), "unsupported Kind(Token)");
}

#[test]
fn keys_are_taken_as_older_clients_send_them() {
    let older = CredentialPolicy {
        schemes: vec!["ApiKey".into(), "Token".into()],
        bare: true,
        keys_as_bearer: true,
        basic: true,
        format: KeyFormat::Any,
        tokens: false,
        ..policy()
    };
    let authorization = |value: &str| read(&older, &[("authorization", value)]);
    let basic = |text: &str| authorization(&format!("Basic {}", BASIC.encode(text)));
    assert_eq!(authorization("Token abc"), "key abc");
    assert_eq!(authorization("tOKEN  abc"), "key abc");
    assert_eq!(authorization("ApiKey abc"), "key abc");
    assert_eq!(authorization("Token"), "key ");
    assert_eq!(authorization("Bearer a.b.c"), "key a.b.c");
    assert_eq!(authorization("abc"), "key abc");
    assert_eq!(authorization("abc def"), "unsupported Scheme");
    assert_eq!(authorization("abc\tdef"), "unsupported Scheme");
    assert_eq!(authorization("Digest username=\"shop\", realm=\"x\""), "unsupported Scheme");
    assert_eq!(basic("abc:"), "key abc");
    assert_eq!(basic(":abc"), "key abc");
    assert_eq!(basic("abc"), "key abc");
    // One of the two is looked up.
    assert_eq!(basic("api:abcd"), "key abcd");
    assert_eq!(basic("abcd:x"), "key abcd");
    assert_eq!(basic("api:abc"), "multiple 2");
    assert_eq!(basic("a b:abc:d"), "key abc:d");
    assert_eq!(basic(":"), "key ");
    assert_eq!(authorization("Basic"), "key ");
    assert_eq!(authorization("Basic YWJjOg"), "key abc", "without padding");
    assert_eq!(authorization("Basic ab!"), "key ab!", "not base64");
    let line = ("authorization", "Basic YWJjOg==");
    assert_eq!(read(&older, &[("x-api-key", "abc"), line]), "multiple 2");

    let off = CredentialPolicy { schemes: Vec::new(), ..policy() };
    assert_eq!(read(&off, &[("authorization", "ApiKey abc")]), "unsupported Scheme");
}

#[test]
fn whichever_part_of_basic_has_the_form_of_a_key_is_one() {
    let policy = CredentialPolicy { basic: true, ..policy() };
    let key = crate::credential::new_key("tg").unwrap();
    let other = crate::credential::new_key("tg").unwrap();
    let basic = |user: &str, password: &str| {
        let value = format!("Basic {}", BASIC.encode(format!("{user}:{password}")));
        read(&policy, &[("authorization", &value)])
    };
    assert_eq!(basic(&key, ""), format!("key {key}"));
    assert_eq!(basic(&key, "x"), format!("key {key}"));
    assert_eq!(basic("api", &key), format!("key {key}"));
    assert_eq!(basic(&key, &other), "multiple 2");
    assert_eq!(basic(&key, &key), "multiple 2");
    assert_eq!(basic("api", "tg_cut"), "key tg_cut");
    assert_eq!(basic("tg_cut", "x"), "key tg_cut");
    assert_eq!(basic("", "x"), "key x");
}

#[test]
fn tokens_are_taken_from_headers_of_their_own() {
    let header = HeaderName::from_static("cf-access-jwt-assertion");
    let own = CredentialPolicy { tokens: false, token_headers: vec![header], ..policy() };
    let both = CredentialPolicy { tokens: true, ..own.clone() };
    let token = ("cf-access-jwt-assertion", " a.b.c ");
    let (bearer, basic) = (("authorization", "Bearer x"), ("authorization", "Basic dTpw"));
    let key = ("x-api-key", "tg_a");
    type Case<'c> = (&'c [(&'static str, &'c str)], &'c str, &'c str);
    let table: &[Case<'_>] = &[
        (&[token], "token a.b.c in 0", "token a.b.c in 0"),
        (&[token, basic], "token a.b.c in 0", "token a.b.c in 0"),
        (&[token, bearer], "token a.b.c in 0", "multiple 2"),
        (&[bearer], "unsupported Kind(Token)", "token x"),
        (&[token, token], "multiple 2", "multiple 2"),
        (&[token, key], "multiple 2", "multiple 2"),
        (&[key, bearer], "multiple 2", "multiple 2"),
        (&[("cf-access-jwt-assertion", "")], "token  in 0", "token  in 0"),
        (&[token, ("authorization", "Bearer tg_a")], "multiple 2", "multiple 2"),
    ];
    for (lines, expected, beside_bearer) in table {
        assert_eq!(read(&own, lines), *expected, "{lines:?}");
        assert_eq!(read(&both, lines), *beside_bearer, "{lines:?}");
    }
}

#[test]
fn a_key_and_a_token_are_taken_together() {
    let (key, token) = (("x-api-key", "tg_a"), ("authorization", "Bearer a.b.c"));
    let table: &[(&[(&'static str, &str)], &str)] = &[
        (&[key, token], "key tg_a and token a.b.c"),
        (&[], "missing"),
        (&[("authorization", " ")], "missing"),
        (&[key], "missing token"),
        (&[key, ("authorization", "")], "missing token"),
        (&[key, ("authorization", "Basic dTpw")], "missing token"),
        (&[token], "missing api_key"),
        (&[("authorization", "ApiKey tg_a")], "missing token"),
        (&[key, ("authorization", "ApiKey tg_a")], "multiple 2"),
        (&[key, ("authorization", "Bearer tg_a")], "multiple 2"),
        (&[key, key, token], "multiple 3"),
        (&[key, token, token], "multiple 3"),
        (&[("authorization", "Basic dTpw")], "unsupported Scheme"),
        (&[("authorization", "Bearer tg_a")], "unsupported KeyAsBearer"),
    ];
    for (lines, expected) in table {
        assert_eq!(read_kinds(&policy(), Kinds::Both, lines), *expected, "{lines:?}");
    }
    let header = HeaderName::from_static("cf-access-jwt-assertion");
    let own = CredentialPolicy { tokens: false, token_headers: vec![header], ..policy() };
    let lines = [key, ("cf-access-jwt-assertion", "a.b.c")];
    assert_eq!(read_kinds(&own, Kinds::Both, &lines), "key tg_a and token a.b.c in 0");
    assert_eq!(read_kinds(&own, Kinds::Both, &[key, token]), "unsupported Kind(Token)");
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(key in proptest::collection::vec(0x20_u8..=0xff, 0..60),
                                   line in proptest::collection::vec(0x20_u8..=0xff, 0..60)) {
        let older = CredentialPolicy { bare: true, keys_as_bearer: true, basic: true, ..policy() };
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", BASIC.encode(&line));
        if let (Ok(key), Ok(line), Ok(basic)) = (
            HeaderValue::from_bytes(&key),
            HeaderValue::from_bytes(&line),
            HeaderValue::from_str(&basic),
        ) {
            for authorization in [line, basic] {
                headers.clear();
                headers.append(AUTHORIZATION, authorization);
                for with_key in [false, true] {
                    if with_key {
                        headers.append("x-api-key", key.clone());
                    }
                    for policy in [policy(), older.clone()] {
                        for kinds in Kinds::ALL {
                            let _ = present(&headers, &policy, kinds);
                        }
                    }
                }
            }
            headers.remove(AUTHORIZATION);
            if let Ok(Credential::ApiKey(KeyText(key))) =
                present(&headers, &policy(), Kinds::Either)
            {
                let _ = policy().format.check(&key);
            }
        }
    }
}
