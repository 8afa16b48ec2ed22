//! How a program handles a denial, in four languages.
//!
//! What to do depends on the code in four ways only, so there are four programs in each
//! language; each names the code that it is shown for.

use crate::denial::{Category, DenialCode};

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

/// Codes that a new token from the same issuer heals, as far as a program can tell.
const HEALED_BY_A_TOKEN: [&str; 5] = [
    "token_expired",
    "token_revoked",
    "token_key_unknown",
    "token_signature_invalid",
    "invalid_credentials",
];

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

/// The programs for a code.
pub(super) fn samples(code: &DenialCode) -> Vec<Sample> {
    let (named, programs) = match answer(code) {
        Answer::Wait => programs!("wait", "rate_limited"),
        Answer::Token => programs!("token", "token_expired"),
        Answer::Tell => programs!("tell", "insufficient_scope"),
        Answer::Report => programs!("report", "decision_failed"),
    };
    let sample = |((language, slug), program): (_, &str)| Sample {
        language,
        slug,
        text: program.replace(named, code.code),
    };
    LANGUAGES.into_iter().zip(programs).map(sample).collect()
}

fn answer(code: &DenialCode) -> Answer {
    match code.category {
        _ if code.retryable => Answer::Wait,
        _ if HEALED_BY_A_TOKEN.contains(&code.code) => Answer::Token,
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
            for sample in samples(code) {
                assert!(sample.text.contains(code.code), "{} in {}", code.code, sample.language);
                let others = DenialCode::catalogue().iter().filter(|other| {
                    !code.code.contains(other.code) && sample.text.contains(other.code)
                });
                assert_eq!(others.count(), 0, "{} in {}", code.code, sample.language);
            }
        }
    }
}
