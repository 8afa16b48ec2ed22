//! Wycheproof's vectors and the examples of RFCs 7515, 7517 and 8037, against the reading of keys and the
//! check of signatures.
//!
//! Payloads are not claims, so the vectors meet what stands before claims: the form of a token, its
//! header, the keys of a set and its signature.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::algorithm::{algorithm, hash_length, hmac_hash};
use super::compact::{Parts, decode};
use super::header::Header;
use super::key_set::KeySet;
use super::verifying_key::KeyTrouble;

/// The public-key algorithms, all of them on the issuer's list.
const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Vectors that are decided otherwise than they are labelled: file, id, and why.
const EXCEPTIONS: &[(&str, u64, &str)] = &[
    ("json_web_signature", 346, "the key's `alg` is PS256, and the token is signed with PS384"),
    ("json_web_signature", 347, "ES512 is not among the algorithms that are offered"),
    ("json_web_signature", 350, "the key's `alg` is PS256, and the token is signed with PS384"),
    ("json_web_signature", 351, "ES512 is not among the algorithms that are offered"),
    ("json_web_signature", 367, "labelled invalid for its padding, and has none: it is sound"),
    ("json_web_signature", 370, "labelled invalid for its padding, and has none: it is sound"),
    ("json_web_signature", 372, "labelled valid, and has a `?` in the base64url of its header"),
    ("json_web_signature", 373, "labelled valid, and has a `?` in the base64url of its payload"),
    (
        "json_web_key",
        7,
        "the modulus of the key is one that can be factored (ROCA): not looked for",
    ),
    ("json_web_crypto", 46, "the same key"),
];

/// The keys of a group as an issuer would have them, and the algorithms on its list; `None` where a
/// policy with them is refused.
fn keys(group: &Value) -> Option<(KeySet, Vec<Algorithm>)> {
    let key = group.get("public").unwrap_or(&group["private"]);
    let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
    let members = set["keys"].as_array()?;
    // Secrets alone are configured as secrets, each of which is tried.
    if members.iter().all(|key| key["kty"] == "oct") {
        let bound = algorithm(members.first()?["alg"].as_str()?)?;
        let secret = |key: &Value| URL_SAFE_NO_PAD.decode(key["k"].as_str()?).ok();
        let secrets = members.iter().map(secret).collect::<Option<Vec<_>>>()?;
        // As the policy's checks do.
        let is_long = |secret: &Vec<u8>| secret.len() >= hash_length(bound);
        if hmac_hash(bound).is_none() || !secrets.iter().all(is_long) {
            return None;
        }
        let keys = KeySet::from_secrets(secrets.iter().map(Vec::as_slice), &[bound]);
        return Some((keys, vec![bound]));
    }
    let (keys, troubles) = KeySet::from_jwks(set.to_string().as_bytes(), &PUBLIC).ok()?;
    let is_refused = troubles.iter().any(|trouble| matches!(trouble, KeyTrouble::Refused(..)));
    (!is_refused).then(|| (keys, PUBLIC.to_vec()))
}

fn is_accepted(jws: &str, keys: &KeySet, algorithms: &[Algorithm]) -> bool {
    let Some(parts) = Parts::split(jws.as_bytes()) else { return false };
    let room = &mut &mut jws.as_bytes().to_vec()[..];
    let decoded = [parts.header, parts.payload, parts.signature].map(|part| decode(part, room));
    let [Some(header), Some(_), Some(signature)] = decoded else { return false };
    let Ok(header) = Header::read(header) else { return false };
    let Some(algorithm) = header.algorithm.filter(|it| algorithms.contains(it)) else {
        return false;
    };
    let fitting = keys.fitting(algorithm, header.kid.as_deref());
    fitting.is_ok_and(|keys| keys.signed(parts.signed, signature))
}

#[test]
fn every_vector_is_decided_as_labelled_or_as_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (mut counts, mut differences) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for file in ["json_web_signature", "json_web_key", "json_web_crypto"] {
        let text = fs::read_to_string(folder.join(format!("{file}_test.json"))).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        for group in vectors["testGroups"].as_array().unwrap() {
            let keys = keys(group);
            for test in group["tests"].as_array().unwrap() {
                // Encrypted tokens are not three parts, and so no concern of a key.
                let jws = match &test["jws"] {
                    Value::Null => continue,
                    Value::String(compact) => compact.clone(),
                    json => json.to_string(),
                };
                let accepted = (keys.as_ref())
                    .is_some_and(|(keys, algorithms)| is_accepted(&jws, keys, algorithms));
                *counts.entry(file).or_default() += 1;
                if accepted != (test["result"] == "valid") {
                    let id = test["tcId"].as_u64().unwrap();
                    differences.push((file, id, accepted, test["comment"].to_string()));
                }
            }
        }
    }
    let explained = |file: &str, id: u64| {
        EXCEPTIONS.iter().any(|(other, number, _)| (*other, *number) == (file, id))
    };
    let surprises: Vec<_> =
        differences.iter().filter(|(file, id, ..)| !explained(file, *id)).collect();
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert_eq!(differences.len(), EXCEPTIONS.len(), "an exception that is none any more");
    let expected = [("json_web_crypto", 49), ("json_web_key", 26), ("json_web_signature", 401)];
    assert_eq!(counts, BTreeMap::from(expected));
}

fn examples() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/rfc_examples.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_token_of_the_rfcs_is_decided_as_they_say_or_as_explained() {
    let examples = examples();
    let mut passed = 0;
    for example in examples["tokens"].as_array().unwrap() {
        let group = json!({"public": {"keys": example["keys"]}});
        let (keys, algorithms) = keys(&group).expect("the keys can be used");
        let jws = example["jws"].as_str().unwrap();
        let accepted = is_accepted(jws, &keys, &algorithms);
        assert_eq!(accepted, example["passes"] == true, "{}", example["where"]);
        assert_eq!(accepted, example.get("why").is_none(), "{} is explained", example["where"]);
        passed += usize::from(accepted);
        // Another octet anywhere in what is signed, or in the signature, and it passes no more.
        if accepted {
            for at in (0..jws.len()).filter(|at| jws.as_bytes()[*at] != b'.') {
                let mut changed = jws.as_bytes().to_vec();
                changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(!is_accepted(&changed, &keys, &algorithms), "{changed}");
            }
        }
    }
    assert_eq!(passed, 4);
}

#[test]
fn every_set_of_the_rfcs_is_read_as_explained() {
    for example in examples()["sets"].as_array().unwrap() {
        let set = json!({"keys": example["keys"]}).to_string();
        let (keys, troubles) = KeySet::from_jwks(set.as_bytes(), &PUBLIC).unwrap();
        let refused = |trouble: &&KeyTrouble| matches!(trouble, KeyTrouble::Refused(..));
        let refused = troubles.iter().filter(refused).count();
        assert_eq!(example["refused"], refused, "{}: {troubles:?}", example["where"]);
        let kept = example["kept"].as_array().unwrap();
        assert_eq!(keys.len(), kept.len(), "{}", example["where"]);
        for kid in kept.iter().map(Value::as_str) {
            let is_kept = PUBLIC.iter().any(|algorithm| keys.fitting(*algorithm, kid).is_ok());
            assert!(is_kept, "{}: {kid:?}", example["where"]);
        }
    }
}
