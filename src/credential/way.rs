//! The ways to send a credential, as they are reported to clients: in denials, in challenges, in
//! the handbook and in OpenAPI documents.

use super::kinds::Kinds;
use super::policy::CredentialPolicy;

/// A way to send a credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Way {
    pub(crate) credential: Sent,
    /// The name of the header, in small letters.
    pub(crate) header: Box<str>,
    /// The scheme before the credential; `None` where the credential is the whole value.
    pub(crate) scheme: Option<Box<str>>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    ApiKey,
    /// A key as the user name or the password of `Basic` (RFC 7617).
    ApiKeyInBasic,
    Token,
}

impl Sent {
    /// Whether it is an API key; otherwise it is a token.
    pub(crate) fn is_key(self) -> bool {
        self != Self::Token
    }
}

impl CredentialPolicy {
    /// Every way to send a credential of these kinds, those of keys first.
    pub(crate) fn ways(&self, kinds: Kinds) -> Vec<Way> {
        let mut ways = Vec::new();
        let mut add = |credential, header: &str, scheme: Option<&str>| {
            ways.push(Way { credential, header: header.into(), scheme: scheme.map(Into::into) });
        };
        if kinds.has_keys() {
            add(Sent::ApiKey, self.key_header.as_str(), None);
            for scheme in &self.schemes {
                add(Sent::ApiKey, AUTHORIZATION, Some(scheme));
            }
            if self.bare {
                add(Sent::ApiKey, AUTHORIZATION, None);
            }
            if self.keys_as_bearer {
                add(Sent::ApiKey, AUTHORIZATION, Some("Bearer"));
            }
            if self.basic {
                add(Sent::ApiKeyInBasic, AUTHORIZATION, Some("Basic"));
            }
        }
        if kinds.has_tokens() {
            // Where no issuer is configured, this is how tokens would be sent.
            if self.tokens || self.token_headers.is_empty() {
                add(Sent::Token, AUTHORIZATION, Some("Bearer"));
            }
            for header in &self.token_headers {
                add(Sent::Token, header.as_str(), None);
            }
        }
        ways
    }
}

const AUTHORIZATION: &str = "authorization";
