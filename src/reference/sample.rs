//! How a program handles a denial, in four languages.
//!
//! What to do depends on the code in four ways only, so there are four programs in each
//! language; each names the code that it is shown for.

use crate::denial::{Action, Category, DenialCode};

/// A program.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) language: &'static str,
    /// The language, in an address or behind the fence of a block.
    pub(crate) slug: &'static str,
    pub(crate) text: String,
}

/// What a program does about a denial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// It waits, and asks again.
    Wait,
    /// It gets a new token, and asks again.
    Token,
    /// It stops, and says what to do.
    Tell,
    /// It stops, and names the denial to those who run the server.
    Report,
}

macro_rules! programs {
    ($name:literal, $code:literal) => {
        (
            $code,
            [
                include_str!(concat!("samples/", $name, ".sh")),
                include_str!(concat!("samples/", $name, ".ts")),
                include_str!(concat!("samples/", $name, ".py")),
                include_str!(concat!("samples/", $name, ".rs")),
            ],
        )
    };
}

const LANGUAGES: [(&str, &str); 4] =
    [("curl", "sh"), ("TypeScript", "ts"), ("Python", "python"), ("Rust", "rust")];

/// From a program that sends a key to one that sends a token, by language.
const WITH_A_TOKEN: [&[(&str, &str)]; 4] = [
    &[("x-api-key: $KEY", "Authorization: Bearer $TOKEN")],
    &[("\"x-api-key\": key", "authorization: `Bearer ${token}`"), ("key: string", "token: string")],
    &[
        ("\"x-api-key\": key", "\"Authorization\": f\"Bearer {token}\""),
        ("(api, key)", "(api, token)"),
    ],
    &[(".header(\"x-api-key\", key)", ".bearer_auth(token)"), ("key: &str", "token: &str")],
];

/// From a pause as long as the denial says to ever longer ones, by language: where the fault is the
/// server's. The other languages ask the module how long to wait.
const EVER_SLOWER: [&[(&str, &str)]; 4] = [
    &[("sleep \"$wait\"", "sleep \"$((wait * attempt))\"")],
    &[],
    &[("time.sleep(wait)", "time.sleep(wait * attempt)")],
    &[],
];

/// The programs for a code, of an API whose keys are sent in this header, if it takes any.
pub(super) fn samples(code: &DenialCode, key_header: &str, takes_keys: bool) -> Vec<Sample> {
    let (named, programs) = match answer(code) {
        Answer::Wait => programs!("wait", "rate_limited"),
        Answer::Token => programs!("token", "token_expired"),
        Answer::Tell => programs!("tell", "insufficient_scope"),
        Answer::Report => programs!("report", "decision_failed"),
    };
    let sample = |(at, program): (usize, &str)| {
        let (language, slug) = LANGUAGES[at];
        let mut text = program.replace(named, code.code);
        let mut change = |changes: [&[(&str, &str)]; 4]| {
            for (from, to) in changes[at] {
                text = text.replace(from, to);
            }
        };
        if code.category == Category::Token || !takes_keys {
            change(WITH_A_TOKEN);
        }
        if code.category == Category::Server {
            change(EVER_SLOWER);
        }
        Sample { language, slug, text: text.replace("x-api-key", key_header) }
    };
    programs.into_iter().enumerate().map(sample).collect()
}

fn answer(code: &DenialCode) -> Answer {
    match code.category {
        _ if code.retryable => Answer::Wait,
        _ if code.action == Action::Renew => Answer::Token,
        Category::Server => Answer::Report,
        _ => Answer::Tell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_names_its_code_and_no_other() {
        for code in DenialCode::catalogue() {
            for sample in samples(code, "x-shop-key", true) {
                assert!(sample.text.contains(code.code), "{} in {}", code.code, sample.language);
                let others = DenialCode::catalogue().iter().filter(|other| {
                    !code.code.contains(other.code) && sample.text.contains(other.code)
                });
                assert_eq!(others.count(), 0, "{} in {}", code.code, sample.language);
                let sends = |text| sample.text.contains(text);
                let sends_token = sends("Bearer ") || sends("bearer_auth(token)");
                assert!(!sends("x-api-key"), "{} in {}", code.code, sample.language);
                assert_ne!(sends("x-shop-key"), sends_token, "{}: {}", code.code, sample.text);
                let asks_token = code.category == Category::Token;
                assert!(!asks_token || sends_token, "{} in {}", code.code, sample.language);
            }
        }
    }

    #[test]
    fn where_no_keys_are_taken_programs_send_tokens() {
        for sample in
            DenialCode::catalogue().iter().flat_map(|code| samples(code, "x-api-key", false))
        {
            let sends = |text| sample.text.contains(text);
            let sends_key = sends("x-api-key") || sends("$KEY") || sends("key)") || sends("key:");
            assert!(
                !sends_key && (sends("Bearer ") || sends("bearer_auth(token)")),
                "{}",
                sample.text
            );
        }
    }

    #[test]
    fn programs_wait_ever_longer_for_a_server_that_is_at_fault() {
        let shell = |code: &str| {
            let code = DenialCode::catalogue().iter().find(|row| row.code == code).unwrap();
            samples(code, "x-api-key", true).swap_remove(0).text
        };
        assert!(shell("limiter_unavailable").contains("sleep \"$((wait * attempt))\""));
        assert!(shell("rate_limited").contains("sleep \"$wait\""));
    }

    /// Clients in Rust are advised as the pages advise.
    #[test]
    fn the_client_crate_gives_the_same_answers() {
        use tollgate_client::{Advice, Denial};

        for code in DenialCode::catalogue() {
            let denial: Denial = serde_json::from_value(serde_json::json!({
                "type": "/", "title": code.title, "status": 403, "code": code.code, "instance": "",
                "category": code.category.as_str(), "remedy": "", "retryable": code.retryable,
                "action": code.action.as_str(), "actor": code.actor.as_str(),
                "required_scopes": ["a"],
            }))
            .unwrap();
            let expected = match denial.advice(1) {
                Advice::Wait(_) => [Answer::Wait; 2],
                Advice::RenewToken => [Answer::Token; 2],
                // A program that asks for more scopes has to tell its user first.
                Advice::StepUp(_) => [Answer::Tell; 2],
                Advice::Stop => [Answer::Tell, Answer::Report],
                other => panic!("the pages have no program for {other:?}"),
            };
            assert!(expected.contains(&answer(code)), "{}: {expected:?}", code.code);
        }
    }
}
