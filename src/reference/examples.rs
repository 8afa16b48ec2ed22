//! Example responses: each is what a client would be sent.
//!
//! They are made from decisions about requests to the small API of [`stage`](super::stage), and
//! show denials as the policy in force does. Codes that this release cannot provoke are written without a request.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::api::Api;
use super::example::{Example, written};
use super::stage::{Call, Stage};
use super::vectors::{Sent, vector};
use crate::denial::{Code, Denial, DenialCode, Media};
use crate::policy::Disclosure;

impl Api<'_> {
    /// An example response for each code that has one.
    pub(crate) fn examples(&self) -> &[(String, Example)] {
        self.examples.get_or_init(|| all(self))
    }
}

/// The examples, in the order of the codes.
fn all(api: &Api<'_>) -> Vec<(String, Example)> {
    let stages = (Stage::new(api, api.denial.disclosure), Stage::new(api, Disclosure::Minimal));
    let (Some(standard), Some(minimal)) = stages else { return Vec::new() };
    let example = |(at, code): (usize, &&DenialCode)| {
        let stage = if code.is_group() { &minimal } else { &standard };
        let example = match code.known {
            Some(known) => of_row(api, stage, known, at),
            None => of_application(api, code),
        };
        Some((code.code.to_owned(), example?))
    };
    api.codes.iter().enumerate().filter_map(example).collect()
}

fn of_row(api: &Api<'_>, stage: &Stage, code: Code, at: usize) -> Option<Example> {
    let Some(vector) = vector(stage, code) else {
        return Example::of(stage.write(&unprovoked(code)), None);
    };
    // Failures are counted for each address, so every example comes from one of its own.
    let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, u8::try_from(at).unwrap_or(0) + 1));
    let key_header = api.key_header();
    let mut request =
        format!("{} {} HTTP/1.1\nHost: api.example.com\n", vector.method, vector.path);
    let mut headers = Vec::new();
    for Sent { header, value, shown } in vector.sent {
        let header = header.unwrap_or(key_header);
        request += &format!("{}: {shown}\n", written(header));
        headers.push((header.to_owned(), value));
    }
    let from = (!vector.without_address).then_some(address);
    let call = Call { method: vector.method, path: vector.path, headers, from };
    for _ in 1..vector.times {
        stage.answer(&call);
    }
    Example::of(stage.answer(&call)?, Some(request))
}

/// The denial of a code that no request leads to, in this release or on this stage.
fn unprovoked(code: Code) -> Denial {
    let denial = Denial::new(code.row());
    if code.row().retryable { denial.retry_after(Duration::from_secs(5)) } else { denial }
}

/// Members of its own that its example does not have stand in its sentences by their names.
fn of_application(api: &Api<'_>, code: &DenialCode) -> Option<Example> {
    let mut denial = Denial::named(code.code.to_owned());
    denial.draft_mut().own = code.example.own();
    Example::of(api.snapshot?.voice.renderer.render(denial.draft(), Media::Document), None)
}

#[cfg(test)]
mod tests {
    use super::super::example::at_once;
    use super::super::json::Json;
    use super::*;

    #[test]
    fn every_code_of_the_catalogue_has_a_real_example() {
        let api = Api::any();
        let examples = all(&api);
        assert_eq!(examples.len(), DenialCode::catalogue().len());
        for (code, example) in &examples {
            assert_eq!(example.body.get("code").and_then(Json::text), Some(code.as_str()));
            let unprovoked = ["key_source_unavailable", "limiter_unavailable"];
            let is_provoked =
                !unprovoked.contains(&code.as_str()) && code != "temporarily_unavailable";
            assert_eq!(example.request.is_some(), is_provoked, "{code}");
        }
        let again = all(&api);
        for ((code, one), (_, other)) in examples.iter().zip(&again) {
            assert_eq!(one.response(), other.response(), "{code} is the same each time");
        }
    }

    #[test]
    fn examples_look_as_the_policy_says() {
        let policy = "version = 1\n[denial]\nstatus = \"standard\"\ndisclosure = \"detailed\"\n\
             docs = \"https://docs.example.com\"\nsupport = \"https://help.example.com\"\n\
             realm = \"shop\"\nratelimit_headers = \"legacy\"\n[[denial.code]]\ncode = \"out_of_stock\"\n\
             title = \"Out of stock\"\ncategory = \"authorization\"\nremedy = \"Order later.\"\n\
             [api_keys]\nheader = \"x-shop-key\"\nprefix = \"shop\"\n";
        let gate = at_once(crate::Tollgate::builder().policy(policy).build()).unwrap().unwrap();
        let snapshot = gate.gate().current();
        let api = Api::of(&snapshot);
        let shown = |code: &str| {
            let found = api.examples().iter().find(|(of, _)| of == code);
            let (_, example) = found.unwrap_or_else(|| panic!("{code}"));
            example.request.clone().unwrap_or_default() + &example.response()
        };
        let scope = shown("insufficient_scope");
        assert!(scope.contains("\"granted_scopes\"") && scope.contains("403 Forbidden"));
        let key = shown("api_key_malformed");
        assert!(key.starts_with("GET /orders HTTP/1.1\nHost: api.example.com\nx-shop-key: <the"));
        for part in ["401 Unauthorized", "realm=\"shop\"", "\"expected_prefix\": \"shop\""] {
            assert!(key.contains(part), "{part}: {key}");
        }
        assert!(key.contains("https://docs.example.com/api_key_malformed"));
        assert!(shown("rate_limited").contains("\nX-RateLimit-Remaining: 0\n"));
        assert!(shown("access_denied").contains("\"support\": \"https://help.example.com\""));
        assert!(shown("out_of_stock").contains("\"remedy\": \"Order later.\""));
    }
}
