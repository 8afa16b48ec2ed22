//! Where credentials are looked for.

use http::HeaderMap;
use http::header::HeaderName;

use super::key_format::KeyFormat;
use crate::fields::Fields;

/// Where credentials are looked for, and how a key is told from a token.
#[derive(Clone, Debug)]
pub(crate) struct CredentialPolicy {
    /// The header that holds an API key.
    pub(crate) key_header: HeaderName,
    /// The schemes of `Authorization` that hold an API key, as the policy writes them.
    pub(crate) schemes: Vec<Box<str>>,
    /// Whether one word in `Authorization`, without a scheme, is a key.
    pub(crate) bare: bool,
    /// Whether keys are also taken as `Authorization: Bearer`.
    pub(crate) keys_as_bearer: bool,
    /// Whether keys are also taken as the user name or the password of `Authorization: Basic`.
    pub(crate) basic: bool,
    pub(crate) prefix: Box<str>,
    pub(crate) format: KeyFormat,
    /// Whether tokens are taken as `Authorization: Bearer`: there is an issuer whose tokens are sent
    /// so.
    pub(crate) tokens: bool,
    /// The headers that hold a token alone, for issuers whose tokens are not sent in `Authorization`.
    pub(crate) token_headers: Vec<HeaderName>,
}

/// A policy without `[api_keys]` and issuers.
impl Default for CredentialPolicy {
    fn default() -> Self {
        Self {
            key_header: HeaderName::from_static("x-api-key"),
            schemes: vec!["ApiKey".into()],
            bare: false,
            keys_as_bearer: false,
            basic: false,
            prefix: "tg".into(),
            format: KeyFormat::Checked { prefix: "tg".into() },
            tokens: false,
            token_headers: Vec::new(),
        }
    }
}

/// A scheme of `Authorization` that we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    Bearer,
    Basic,
    /// The one with this index in [`CredentialPolicy::schemes`].
    Key(u8),
}

impl CredentialPolicy {
    /// Collects the fields of a request that credentials are read from.
    #[inline]
    pub(crate) fn fields<'r>(&self, headers: &'r HeaderMap) -> Fields<'r> {
        Fields::of(headers, &self.key_header, &self.token_headers)
    }

    /// The name of a scheme.
    pub(crate) fn scheme_name(&self, scheme: Scheme) -> &str {
        match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Basic => "Basic",
            // INVARIANT: made by `scheme` below, from the same list.
            Scheme::Key(index) => self.schemes.get(usize::from(index)).map_or("", AsRef::as_ref),
        }
    }

    /// The scheme of this name; `None` for one that nobody here reads.
    pub(super) fn scheme(&self, text: &[u8]) -> Option<Scheme> {
        if text == b"Bearer" || text.eq_ignore_ascii_case(b"bearer") {
            return Some(Scheme::Bearer);
        }
        let is_it = |name: &[u8]| text.eq_ignore_ascii_case(name);
        let key = (0..).zip(&self.schemes).find(|(_, name)| is_it(name.as_bytes()));
        key.map(|(index, _)| Scheme::Key(index)).or(is_it(b"basic").then_some(Scheme::Basic))
    }
}
