//! No credential, several, or one that is not accepted.

use serde::Serialize;

use crate::credential::{CredentialError, Kinds, Place, Unsupported};
use crate::denial::catalogue::Code;
use crate::denial::document::Draft;
use crate::denial::facts::Facts;
use crate::denial::known::Known;
use crate::denial::own::Fact;
use crate::principal::CredentialKind;

/// What is wrong with the credentials of a request.
pub(super) fn refused_credential(known: &Known, error: &CredentialError, draft: &Draft) -> Facts {
    let remedy = |code| known.accepted(draft).and_then(|kinds| remedy_for(kinds, code));
    match error {
        CredentialError::Missing => missing(None, remedy(Code::CredentialsMissing)),
        CredentialError::MissingPart(part) => {
            missing(Some(*part), remedy(Code::CredentialsMissing))
        }
        CredentialError::Unsupported(why) => unsupported(*why),
        CredentialError::Multiple(places) => {
            let policy = &known.credential;
            let name = |place: Place| match place {
                Place::KeyHeader => policy.key_header.as_str(),
                Place::TokenHeader(index) => {
                    let header = policy.token_headers.get(usize::from(index));
                    header.map_or("", |name| name.as_str())
                }
                Place::Authorization(_) => "authorization",
            };
            let scheme = |place: Place| match place {
                Place::Authorization(scheme) => scheme.map(|scheme| policy.scheme_name(scheme)),
                _ => None,
            };
            let form = |place: &Place| Presented {
                place: "header",
                name: name(*place),
                scheme: scheme(*place),
            };
            let text = |place: &Place| match scheme(*place) {
                None => name(*place).to_owned(),
                Some(scheme) => format!("{} ({scheme})", name(*place)),
            };
            let text = places.iter().take(8).map(text).collect::<Vec<_>>().join(", ");
            let forms = places.iter().map(form).collect::<Vec<_>>();
            let facts =
                Facts { remedy: remedy(Code::CredentialsMultiple), ..Facts::naming_accepted() };
            facts.with("presented", Fact::items(&forms, text))
        }
    }
}

/// The remedy of a code where these kinds are asked for, if the row's own does not fit.
pub(crate) fn remedy_for(kinds: Kinds, code: Code) -> Option<&'static str> {
    match (kinds, code) {
        (Kinds::Both, Code::CredentialsMissing) => Some("Send both[: {accepted_credentials}]."),
        (Kinds::Both, Code::CredentialsMultiple) => Some(
            "Send one API key and one token, each once[: {accepted_credentials}]. Check whether a proxy or a library adds another.",
        ),
        _ => None,
    }
}

/// No credential; or one of the two that are asked for, without this other one. `remedy` is there
/// where both are asked for.
fn missing(part: Option<CredentialKind>, remedy: Option<&'static str>) -> Facts {
    let facts = Facts { remedy, ..Facts::naming_accepted() };
    match part {
        _ if remedy.is_none() => facts,
        Some(CredentialKind::ApiKey) => facts
            .detail("The request carries a token, and no API key. Both are needed here.")
            .because("the API key is missing beside the token"),
        Some(_) => facts
            .detail("The request carries an API key, and no token. Both are needed here.")
            .because("the token is missing beside the API key"),
        None => {
            facts.detail("The request carries no credential; an API key and a token are needed.")
        }
    }
}

pub(super) fn unsupported(why: Unsupported) -> Facts {
    let (detail, cause) = match why {
        Unsupported::Scheme => (
            "The scheme of `Authorization` is not accepted here.",
            "the scheme of Authorization is unknown",
        ),
        Unsupported::Kind(CredentialKind::ApiKey) => {
            ("An API key is not accepted here.", "an API key was presented")
        }
        Unsupported::Kind(CredentialKind::Token | CredentialKind::Both) => {
            ("A bearer token is not accepted here.", "a bearer token was presented")
        }
        Unsupported::KeyAsBearer => (
            "An API key is not accepted as a bearer token here.",
            "an API key was presented as a bearer token, and api_keys.bearer is off",
        ),
        Unsupported::OtherKeyAsBearer => (
            "An API key of another environment was sent as a bearer token.",
            "an API key of another environment was presented as a bearer token, and api_keys.bearer is off",
        ),
    };
    let facts = Facts::naming_accepted().detail(detail).because(cause);
    match why {
        Unsupported::OtherKeyAsBearer => facts.remedy(
            "Call the host that the key is for, or send a key of this environment in one of the forms of `accepted_credentials`.",
        ),
        _ => facts,
    }
}

/// An item of the member `presented`.
#[derive(Serialize)]
struct Presented<'p> {
    #[serde(rename = "in")]
    place: &'static str,
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'p str>,
}
