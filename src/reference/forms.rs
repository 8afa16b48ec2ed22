//! The ways to send a credential to an API, by name.

use crate::credential::{CredentialPolicy, Kinds, Sent, Way};
use crate::policy::{Demands, Policy};

/// A way to send a credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    /// Its name among the security schemes of OpenAPI.
    pub(crate) scheme: String,
    /// The header as it is sent: `x-api-key: <key>`.
    pub(crate) header: String,
    pub(crate) way: Way,
}

impl Form {
    /// How credentials are sent to an API whose policy says nothing else.
    pub(crate) fn usual() -> Vec<Self> {
        Self::of(&CredentialPolicy::default(), Kinds::Either)
    }

    fn of(policy: &CredentialPolicy, kinds: Kinds) -> Vec<Self> {
        policy.ways(kinds).into_iter().map(Self::new).collect()
    }

    fn new(way: Way) -> Self {
        let (kind, word) = match way.credential.is_key() {
            true => (Kind::ApiKey, "key"),
            false => (Kind::Token, "token"),
        };
        let name = super::example::written(&way.header);
        let is_authorization = &*way.header == "authorization";
        let (scheme, header) = match (&way.scheme, way.credential, is_authorization) {
            (_, Sent::ApiKeyInBasic, _) => {
                ("ApiKeyAsBasic".into(), format!("{name}: Basic base64(<key>:)"))
            }
            (Some(scheme), Sent::ApiKey, _) => {
                let id = match &**scheme {
                    "ApiKey" => "ApiKeyScheme".into(),
                    scheme => format!("ApiKeyAs{}", identifier(scheme)),
                };
                (id, format!("{name}: {scheme} <{word}>"))
            }
            (Some(scheme), Sent::Token, _) => {
                ("BearerToken".into(), format!("{name}: {scheme} <{word}>"))
            }
            (None, Sent::ApiKey, true) => ("ApiKeyAlone".into(), format!("{name}: <{word}>")),
            (None, Sent::ApiKey, false) => ("ApiKeyHeader".into(), format!("{name}: <{word}>")),
            (None, Sent::Token, _) => {
                (format!("TokenIn{}", identifier(&way.header)), format!("{name}: <{word}>"))
            }
        };
        Self { kind, scheme, header, way }
    }
}

/// A name in the letters and digits that names of components are made of.
fn identifier(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    super::text::type_name(&name)
}

/// What a credential is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    ApiKey,
    Token,
}

/// Every way to send a credential to an API with this policy; the usual ones where none is
/// configured.
pub(crate) fn all_forms(policy: &Policy) -> Vec<Form> {
    let all = forms(policy, &Demands::default());
    if all.is_empty() { Form::usual() } else { all }
}

/// The ways to send a credential that such a rule accepts.
pub(super) fn forms(policy: &Policy, demands: &Demands) -> Vec<Form> {
    let kinds = demands.kinds.among(policy.takes_keys, !policy.issuers.is_empty());
    kinds.map(|kinds| Form::of(&policy.credential, kinds)).unwrap_or_default()
}
