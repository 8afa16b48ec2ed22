//! Every row keeps the promises of the table.

use super::super::code::is_code;
use super::super::properties::Action;
use super::*;

#[test]
fn every_row_is_whole_and_its_name_is_its_own() {
    for (index, row) in CATALOGUE.iter().enumerate() {
        assert!(is_code(row.code), "{}", row.code);
        assert!(!CATALOGUE[..index].iter().any(|other| other.code == row.code), "{}", row.code);
        assert!(row.about.trim().len() > 40, "{} is explained", row.code);
        assert!(!row.title.is_empty(), "{}", row.code);
        assert!(row.remedy.ends_with('.') || row.remedy.ends_with(".]"), "{}", row.code);
        assert_eq!(find(row.code).unwrap().code, row.code);
    }
}

#[test]
fn no_text_speaks_of_its_instance() {
    for row in CATALOGUE {
        let texts = [row.detail, row.remedy].concat();
        assert!(!texts.contains("{instance}"), "{}", row.code);
    }
}

#[test]
fn categories_follow_the_names() {
    for row in CATALOGUE {
        let expected = match row.code {
            "api_key_address_not_allowed" => Category::Authorization,
            "invalid_credentials" => Category::Credentials,
            "rate_limited" | "too_many_failures" | "limit_exceeded" => Category::Limit,
            code if code.starts_with("credentials_") || code.starts_with("api_key_") => {
                Category::Credentials
            }
            code if code.starts_with("token_") => Category::Token,
            _ if row.standard_status == 503 => Category::Server,
            _ => Category::Authorization,
        };
        assert_eq!(row.category, expected, "{}", row.code);
    }
}

#[test]
fn what_can_be_done_about_a_wait_is_to_wait() {
    for row in CATALOGUE.iter().filter(|row| row.retryable) {
        assert_eq!(row.action, Action::Wait, "{}", row.code);
    }
}

#[test]
fn a_challenge_goes_with_every_401() {
    for row in CATALOGUE.iter().filter(|row| row.standard_status == 401) {
        assert_ne!(row.challenge, Challenge::None, "{} (RFC 9110 section 15.5.2)", row.code);
    }
}
