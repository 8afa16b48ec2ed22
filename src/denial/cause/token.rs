//! Tokens that are no tokens, of nobody, not valid, or of another kind than is wanted.

use std::sync::Arc;

use serde::Serialize;

use crate::denial::document::Draft;
use crate::denial::facts::Facts;
use crate::denial::known::Known;
use crate::denial::own::Fact;
use crate::policy::Rule;
use crate::time::{MICROS, rfc3339};
use crate::verify::{ChosenBy, ClaimFault, Issuer, TokenError, algorithm_name};

/// In seconds: keys that are out of reach are fetched again within a second at first, and within a
/// minute later.
const KEYS_RETRY_AFTER: u64 = 5;

const ID_TOKEN: &str = "The token looks like an {looks_like}, and an access token is wanted.";

const NO_TYPE: &str = "The token's header has no `typ`, and {expected_type} is wanted.";

/// Who sends a token cannot choose what its header says.
const NO_TYPE_REMEDY: &str = "Nothing in the request has to change if this is the issuer's access token: its issuer writes no `typ`, and this API has to accept that. Ask the provider[ at {support}], quoting `instance`.";

/// Where another claim than `aud` says whom a token is for, it is mostly the app that asked for it.
const OTHER_APP: &str = "Tokens with {expected_audience} in `{claim}` are accepted here. Use an app for which that is so, or have yours added: ask the provider[ at {support}].";

const OTHER_TOKEN: &str = "Use an account, an app or a kind of token for which {claim} has a value that is accepted. If yours should be, ask the provider[ at {support}], quoting `instance`.";

const SHORTER_TOKEN: &str =
    "Get a token that lives less long. If you cannot choose that, ask the provider[ at {support}].";

/// A token that was issued so many seconds ago, or later, was made just now.
const JUST_NOW: u64 = 60;

/// What is wrong with a token.
pub(super) fn refused_token(known: &Known, error: &TokenError, draft: &Draft) -> Facts {
    let server_time = || rfc3339(draft.now.seconds());
    match error {
        TokenError::TooLarge => Facts::default().number("max_bytes", known.max_bytes as u64),
        TokenError::Malformed(cause) => Facts::naming_accepted().because(*cause),
        TokenError::IssuerUnknown => {
            let demands = draft.rule.as_deref().and_then(Rule::demands);
            let is_taken = |issuer: &&Arc<Issuer>| {
                demands.is_none_or(|demands| demands.takes_issuer(&issuer.name))
            };
            let facts = accepting(known.issuers.iter().filter(is_taken));
            match demands.map(|demands| demands.issuers.join(", ")) {
                Some(names) if !names.is_empty() => {
                    facts.because(format!("the rule takes tokens of {names} only"))
                }
                _ => facts,
            }
        }
        TokenError::KeyUnknown(issuer) => {
            accepting([issuer].into_iter()).because(of_issuer(issuer))
        }
        TokenError::SignatureInvalid(issuer, chosen) => {
            let facts = accepting([issuer].into_iter()).because(of_issuer(issuer));
            let (detail, remedy) = match chosen {
                ChosenBy::Kid => (
                    "The signature of the token is not valid. The key that its `kid` names was found, and does not fit.",
                    "The token was changed or cut off on its way: send it exactly as it was issued, or get a new one[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.",
                ),
                ChosenBy::Algorithm => (
                    "The signature of the token is not valid by any key of its issuer.",
                    "The token was changed or cut off on its way, or signed in another environment: send it exactly as it was issued, or get a new one[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.",
                ),
            };
            facts.detail(detail).remedy(remedy)
        }
        TokenError::KeySourceUnavailable(issuer) => {
            let trouble = issuer.keys.remote().and_then(|keys| keys.trouble());
            let trouble = trouble.unwrap_or_else(|| "they are not fetched yet".into());
            let cause = format!("{}, which has no keys: {trouble}", of_issuer(issuer));
            Facts::default().wait(KEYS_RETRY_AFTER * MICROS).because(cause)
        }
        TokenError::AlgorithmNotAllowed(issuer) => Facts::default()
            .texts("accepted_algorithms", issuer.algorithms.iter().map(|alg| algorithm_name(*alg)))
            .because(of_issuer(issuer)),
        TokenError::Expired { at, issued } => {
            let facts = Facts::default()
                .text("expired_at", rfc3339(*at))
                .text("server_time", server_time());
            let seconds = draft.now.seconds();
            match issued {
                Some(issued) if issued.saturating_add(JUST_NOW) >= seconds => Facts {
                    told: Some(("difference", seconds.saturating_sub(*at))),
                    ..facts
                }
                .detail("The token was made just now by its `iat`, and yet it expired at {expired_at}; the server's time is {server_time}.")
                .remedy("Check the clock and the time zone of whoever makes the token: its `exp` lies {difference} s in the past. Then get a new one."),
                _ => facts,
            }
        }
        TokenError::NotYetValid { from, wait } => Facts::default()
            .text("valid_from", rfc3339(*from))
            .text("server_time", server_time())
            .wait(*wait),
        TokenError::AudienceMismatch { issuer, claim, looks_like_id_token } => {
            let facts = Facts::default()
                .texts("expected_audience", issuer.audiences.names())
                .text("claim", claim.to_string());
            let facts = if &**claim == "aud" { facts } else { facts.remedy(OTHER_APP) };
            looks_like(facts, *looks_like_id_token).because(of_issuer(issuer))
        }
        TokenError::TypeMismatch { issuer, has_type, looks_like_id_token } => {
            let facts = Facts::default().texts("expected_type", issuer.types.iter());
            let facts = match (has_type, looks_like_id_token) {
                (_, true) => facts.detail(ID_TOKEN),
                (false, false) => facts.detail(NO_TYPE).remedy(NO_TYPE_REMEDY),
                (true, false) => facts,
            };
            looks_like(facts, *looks_like_id_token).because(of_issuer(issuer))
        }
        TokenError::ProofRequired(issuer) => Facts::default().because(of_issuer(issuer)),
        TokenError::ClaimMissing { claim, looks_like_id_token } => {
            looks_like(Facts::default().text("claim", claim.to_string()), *looks_like_id_token)
        }
        TokenError::Revoked(token) => Facts::default()
            .because(format!("a token of client {} by issuer {}", token.client, token.issuer)),
        TokenError::ClaimInvalid { claim, why } => {
            let facts = Facts::default().text("claim", claim.to_string());
            let facts = match why {
                ClaimFault::NotAccepted => facts.remedy(OTHER_TOKEN),
                ClaimFault::Lifetime => facts.remedy(SHORTER_TOKEN),
                _ => facts,
            };
            facts.detail(about_claim(*why)).because(format!("{why:?}"))
        }
    }
}

/// Lists the names of these issuers, where they have any.
fn accepting<'i>(issuers: impl Iterator<Item = &'i Arc<Issuer>>) -> Facts {
    let items: Vec<_> = issuers.flat_map(|issuer| AcceptedIssuer::of(issuer)).collect();
    let text = |issuer: &AcceptedIssuer<'_>| match issuer.obtain {
        Some(obtain) => format!("{} (see {obtain})", issuer.iss),
        None => issuer.iss.to_owned(),
    };
    let text = items.iter().take(8).map(text).collect::<Vec<_>>().join(" or ");
    if items.is_empty() {
        return Facts::default();
    }
    Facts::default().with("accepted_issuers", Fact::items(&items, text))
}

/// An item of the member `accepted_issuers`.
#[derive(Serialize)]
struct AcceptedIssuer<'i> {
    iss: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    obtain: Option<&'i str>,
}

impl<'i> AcceptedIssuer<'i> {
    /// One for each name of the issuer.
    fn of(issuer: &'i Issuer) -> impl Iterator<Item = Self> {
        issuer.iss.names().map(|iss| Self { iss, obtain: issuer.obtain.as_deref() })
    }
}

/// What is wrong with a claim, in a sentence.
fn about_claim(why: ClaimFault) -> &'static str {
    match why {
        ClaimFault::NotATime => {
            "The claim {claim} of the token is not a number: a time is a JSON number of seconds since 1970."
        }
        ClaimFault::OutOfRange => {
            "The claim {claim} of the token is not a time from 1970 to 9999, in seconds since 1970."
        }
        ClaimFault::Milliseconds => {
            "The claim {claim} of the token looks like milliseconds: a time is in seconds since 1970."
        }
        ClaimFault::Lifetime => {
            "The claim {claim} of the token is further ahead than tokens may live here."
        }
        ClaimFault::NotAnAudience => {
            "The claim {claim} of the token is neither text nor an array of texts."
        }
        ClaimFault::NotAClient => {
            "The claim {claim} of the token is neither text nor a whole number."
        }
        ClaimFault::Empty => "The claim {claim} of the token is empty.",
        ClaimFault::NotScopes => {
            "The claim {claim} of the token is not a list of scopes: text with spaces between, or an array of texts."
        }
        ClaimFault::NotRoles => {
            "The claim {claim} of the token is neither text, nor an array of texts, nor an object."
        }
        ClaimFault::NotAPlan => "The claim {claim} of the token is not text.",
        ClaimFault::NotAccepted => {
            "The claim {claim} of the token does not have a value that is accepted from its issuer."
        }
        ClaimFault::NotAsTheHandlerAsks => {
            "The claim {claim} of the token does not have the type that is needed here."
        }
    }
}

/// Says that it looks like an ID token, for which there is one remedy.
fn looks_like(facts: Facts, id_token: bool) -> Facts {
    if !id_token {
        return facts;
    }
    facts.text("looks_like", "id_token").remedy(
        "Send the access token instead[, one for {expected_audience}]: an ID token is for the app that signed its user in. If yours is an access token, ask the provider[ at {support}], quoting `instance`.",
    )
}

fn of_issuer(issuer: &Issuer) -> String {
    format!("issuer {}", issuer.name)
}
