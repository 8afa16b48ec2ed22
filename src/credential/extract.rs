//! Finds the one credential in the headers.

use http::HeaderValue;
use http::header::HeaderName;
use smallvec::SmallVec;

use super::key_format::{KeyFormat, strip_prefix};
use crate::fields::Fields;
use crate::principal::CredentialKind;

/// Where credentials are looked for, and how a key is told from a token.
#[derive(Clone, Debug)]
pub(crate) struct CredentialPolicy {
    /// The header that holds an API key.
    pub(crate) key_header: HeaderName,
    /// Whether keys are also taken as `Authorization: Bearer`.
    pub(crate) keys_as_bearer: bool,
    pub(crate) prefix: Box<str>,
    pub(crate) format: KeyFormat,
    /// Whether tokens are taken as `Authorization: Bearer`: there is an issuer whose tokens are sent
    /// so.
    pub(crate) tokens: bool,
    /// The headers that hold a token alone, for issuers whose tokens are not sent in `Authorization`.
    #[allow(dead_code, reason = "read where credentials are found")]
    pub(crate) token_headers: Vec<HeaderName>,
}

/// A credential as it was presented: unverified, and borrowed from the request.
pub(crate) enum Credential<'r> {
    ApiKey(&'r [u8]),
    Token(&'r [u8]),
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TokenPlace {
    Authorization,
    /// The header with this index in [`CredentialPolicy::token_headers`].
    Header(u8),
}

impl Credential<'_> {
    pub(crate) fn kind(&self) -> CredentialKind {
        match self {
            Self::ApiKey(_) => CredentialKind::ApiKey,
            Self::Token(_) => CredentialKind::Token,
        }
    }
}

/// Why there is no one credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CredentialError {
    Missing,
    Multiple(SmallVec<[Place; 2]>),
    Unsupported(Unsupported),
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    KeyHeader,
    Authorization(Option<Scheme>),
}

/// A scheme of `Authorization` that we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    Bearer,
    ApiKey,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::ApiKey => "ApiKey",
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        if text == b"Bearer" || text.eq_ignore_ascii_case(b"bearer") {
            Some(Self::Bearer)
        } else if text.eq_ignore_ascii_case(b"apikey") {
            Some(Self::ApiKey)
        } else {
            None
        }
    }
}

/// In which way a credential is of no use here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Unsupported {
    /// A scheme of `Authorization` that nobody here reads.
    Scheme,
    /// A kind that the rule does not accept, or that the policy does not configure.
    Kind(CredentialKind),
    /// An API key as `Authorization: Bearer`, where keys are not taken so.
    KeyAsBearer,
}

impl<'r> Credential<'r> {
    /// Takes the one credential of a request.
    pub(crate) fn from_fields(
        fields: &Fields<'r>,
        policy: &CredentialPolicy,
    ) -> Result<Self, CredentialError> {
        let mut lines = fields.authorization.iter().filter(|line| !is_blank(line));
        match (&fields.key[..], lines.next()) {
            ([], None) => Err(CredentialError::Missing),
            ([key], None) => Ok(Self::ApiKey(trim(key.as_bytes()))),
            ([], Some(line)) if lines.next().is_none() => {
                Self::from_authorization(line.as_bytes(), policy)
            }
            _ => Err(CredentialError::Multiple(places(fields))),
        }
    }

    fn from_authorization(
        line: &'r [u8],
        policy: &CredentialPolicy,
    ) -> Result<Self, CredentialError> {
        let (scheme, value) = split_scheme(line);
        match Scheme::parse(scheme) {
            Some(Scheme::ApiKey) => Ok(Self::ApiKey(value)),
            Some(Scheme::Bearer) => policy.read_bearer(value).map_err(CredentialError::Unsupported),
            None => Err(CredentialError::Unsupported(Unsupported::Scheme)),
        }
    }
}

impl CredentialPolicy {
    /// A bearer value is a key by its prefix. Keys made elsewhere have none, so there a value
    /// with the two dots of a JWT is a token and any other is a key.
    fn read_bearer<'r>(&self, value: &'r [u8]) -> Result<Credential<'r>, Unsupported> {
        let has_prefix = strip_prefix(value, &self.prefix).is_some();
        match (has_prefix, self.keys_as_bearer) {
            (true, true) => Ok(Credential::ApiKey(value)),
            (true, false) => Err(Unsupported::KeyAsBearer),
            (false, true) if !self.tokens => Ok(Credential::ApiKey(value)),
            (false, true) if self.format == KeyFormat::Any && !looks_like_jwt(value) => {
                Ok(Credential::ApiKey(value))
            }
            (false, _) if self.tokens => Ok(Credential::Token(value)),
            (false, _) => Err(Unsupported::Kind(CredentialKind::Token)),
        }
    }
}

fn looks_like_jwt(value: &[u8]) -> bool {
    value.is_empty() || value.iter().filter(|byte| **byte == b'.').count() == 2
}

/// Splits `scheme SP+ value`. The value is empty where the scheme stands alone.
fn split_scheme(line: &[u8]) -> (&[u8], &[u8]) {
    let line = trim(line);
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii_start()),
        None => (line, &[]),
    }
}

fn is_blank(line: &HeaderValue) -> bool {
    trim(line.as_bytes()).is_empty()
}

/// Optional white space around a field value is no part of it (RFC 9110 section 5.5). Of ASCII
/// white space, field values hold spaces and tabs only.
fn trim(line: &[u8]) -> &[u8] {
    match line {
        // Nearly all come without.
        [0x21..=0xff, .., 0x21..=0xff] => line,
        _ => line.trim_ascii(),
    }
}

fn places(fields: &Fields<'_>) -> SmallVec<[Place; 2]> {
    let keys = fields.key.iter().map(|_| Place::KeyHeader);
    let lines = fields.authorization.iter().filter(|line| !is_blank(line));
    keys.chain(
        lines.map(|line| Place::Authorization(Scheme::parse(split_scheme(line.as_bytes()).0))),
    )
    .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::*;

    fn present<'r>(
        headers: &'r HeaderMap,
        policy: &CredentialPolicy,
    ) -> Result<Credential<'r>, CredentialError> {
        Credential::from_fields(&Fields::of(headers, &policy.key_header), policy)
    }

    fn policy() -> CredentialPolicy {
        CredentialPolicy {
            key_header: HeaderName::from_static("x-api-key"),
            keys_as_bearer: false,
            prefix: "tg".into(),
            format: KeyFormat::Checked { prefix: "tg".into() },
            tokens: true,
            token_headers: Vec::new(),
        }
    }

    fn read(policy: &CredentialPolicy, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match present(&headers, policy) {
            Ok(Credential::ApiKey(key)) => format!("key {}", String::from_utf8_lossy(key)),
            Ok(Credential::Token(token)) => format!("token {}", String::from_utf8_lossy(token)),
            Err(CredentialError::Missing) => "missing".into(),
            Err(CredentialError::Multiple(places)) => format!("multiple {}", places.len()),
            Err(CredentialError::Unsupported(why)) => format!("unsupported {why:?}"),
        }
    }

    #[test]
    fn exactly_one_credential_is_taken() {
        let table: &[(&[(&'static str, &str)], &str)] = &[
            (&[], "missing"),
            (&[("authorization", "")], "missing"),
            (&[("authorization", "  ")], "missing"),
            (&[("x-api-key", "tg_a")], "key tg_a"),
            (&[("x-api-key", "")], "key "),
            (&[("x-api-key", "tg_a"), ("authorization", "")], "key tg_a"),
            (&[("authorization", "ApiKey tg_a")], "key tg_a"),
            (&[("authorization", "apikey   tg_a")], "key tg_a"),
            (&[("authorization", "ApiKey")], "key "),
            (&[("authorization", "Bearer a.b.c")], "token a.b.c"),
            (&[("authorization", "bEARER  a.b.c ")], "token a.b.c"),
            (&[("authorization", "Bearer a.b.c junk")], "token a.b.c junk"),
            (&[("authorization", "Bearer")], "token "),
            (&[("authorization", "Basic dTpw")], "unsupported Scheme"),
            (&[("authorization", "tg_a")], "unsupported Scheme"),
            (&[("authorization", "Bearer\ta.b.c")], "unsupported Scheme"),
            (&[("authorization", "Bearer tg_a")], "unsupported KeyAsBearer"),
            (&[("x-api-key", "a"), ("x-api-key", "a")], "multiple 2"),
            (&[("x-api-key", "a"), ("authorization", "Bearer b")], "multiple 2"),
            (&[("authorization", "Bearer b"), ("authorization", "Bearer b")], "multiple 2"),
            (&[("x-api-key", ""), ("authorization", "Basic b")], "multiple 2"),
        ];
        for (lines, expected) in table {
            assert_eq!(read(&policy(), lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_bearer_value_is_a_key_or_a_token() {
        let bearer = |policy: &CredentialPolicy, value: &str| {
            read(policy, &[("authorization", &format!("Bearer {value}"))])
        };
        let both = CredentialPolicy { keys_as_bearer: true, ..policy() };
        assert_eq!(bearer(&both, "tg_a"), "key tg_a");
        assert_eq!(bearer(&both, "a.b.c"), "token a.b.c");
        let elsewhere = CredentialPolicy { format: KeyFormat::Any, ..both.clone() };
        assert_eq!(bearer(&elsewhere, "abc"), "key abc");
        assert_eq!(bearer(&elsewhere, "a.b.c"), "token a.b.c");
        let keys_only = CredentialPolicy { tokens: false, ..both };
        assert_eq!(bearer(&keys_only, "a.b.c"), "key a.b.c");
        let neither = CredentialPolicy { tokens: false, ..policy() };
        assert_eq!(bearer(&neither, "a.b.c"), "unsupported Kind(Token)");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(key in proptest::collection::vec(0x20_u8..=0xff, 0..60),
                                       line in proptest::collection::vec(0x20_u8..=0xff, 0..60)) {
            let mut headers = HeaderMap::new();
            if let (Ok(key), Ok(line)) = (HeaderValue::from_bytes(&key), HeaderValue::from_bytes(&line)) {
                headers.append(AUTHORIZATION, line);
                let _ = present(&headers, &policy());
                headers.append("x-api-key", key);
                let _ = present(&headers, &policy());
                headers.remove(AUTHORIZATION);
                if let Ok(Credential::ApiKey(key)) = present(&headers, &policy()) {
                    let _ = policy().format.check_outline(key);
                    let _ = policy().format.check_digits(key);
                }
            }
        }
    }
}
