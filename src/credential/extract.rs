//! Finds the one credential in the headers.
//!
//! 1. The header for keys, and each header for tokens, holds a credential alone.
//! 2. `Authorization` holds one by its scheme: `Bearer`, the schemes of keys, `Basic` where keys are
//!    taken so; then, where a bare value is taken, a key without a scheme.
//! 3. Two lines of `Authorization` are two credentials, whatever they hold. One whose scheme is not
//!    read here is no credential beside one that is (a proxy's `Basic`), and is not accepted alone.
//!    `Bearer` is never ignored beside a key.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use smallvec::{SmallVec, smallvec};

use super::key_format::{KeyFormat, strip_prefix};
use super::kinds::Kinds;
use crate::fields::Fields;
use crate::principal::CredentialKind;

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

/// A credential as it was presented: unverified.
pub(crate) enum Credential<'r> {
    ApiKey(KeyText<'r>),
    Token { value: &'r [u8], place: TokenPlace },
    Both { key: KeyText<'r>, value: &'r [u8], place: TokenPlace },
}

/// A key as it was presented.
pub(crate) struct KeyText<'r>(pub(crate) Cow<'r, [u8]>);

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
            Self::Token { .. } => CredentialKind::Token,
            Self::Both { .. } => CredentialKind::Both,
        }
    }
}

/// Why there is no one credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CredentialError {
    Missing,
    /// A key and a token are asked for, and this one of them is missing.
    MissingPart(CredentialKind),
    Multiple(SmallVec<[Place; 2]>),
    Unsupported(Unsupported),
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    KeyHeader,
    /// The header with this index in [`CredentialPolicy::token_headers`].
    TokenHeader(u8),
    Authorization(Option<Scheme>),
}

/// A scheme of `Authorization` that we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    Bearer,
    Basic,
    /// The one with this index in [`CredentialPolicy::schemes`].
    Key(u8),
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
    /// The same with a whole key of another environment: its check digits are right, and its prefix
    /// is another.
    OtherKeyAsBearer,
}

/// What a line of `Authorization` holds.
enum Reading<'r> {
    Nothing,
    Key(KeyText<'r>),
    Token(&'r [u8]),
    TwoKeys,
    Unsupported(Unsupported),
}

impl<'r> Credential<'r> {
    /// Takes the one credential of a request, or a key and a token where both are asked for.
    ///
    /// # Errors
    ///
    /// When there is none, more than asked for, or one in a form that is not read here.
    pub(crate) fn from_fields(
        fields: &Fields<'r>,
        policy: &CredentialPolicy,
        kinds: Kinds,
    ) -> Result<Self, CredentialError> {
        match (&fields.key[..], &fields.authorization[..], &fields.tokens[..]) {
            // Nearly all requests have one place with one credential.
            ([key], [], []) if kinds != Kinds::Both => Ok(Self::ApiKey(whole(key))),
            ([], [line], []) if kinds != Kinds::Both => match policy.read(line) {
                Reading::Nothing => Err(CredentialError::Missing),
                Reading::Key(key) => Ok(Self::ApiKey(key)),
                Reading::Token(value) => {
                    Ok(Self::Token { value, place: TokenPlace::Authorization })
                }
                Reading::TwoKeys => Err(CredentialError::Multiple(places(fields, policy))),
                Reading::Unsupported(why) => Err(CredentialError::Unsupported(why)),
            },
            ([], [], []) => Err(CredentialError::Missing),
            _ => Self::from_places(fields, policy, kinds),
        }
    }

    fn from_places(
        fields: &Fields<'r>,
        policy: &CredentialPolicy,
        kinds: Kinds,
    ) -> Result<Self, CredentialError> {
        let mut keys: SmallVec<[KeyText<'r>; 2]> =
            fields.key.iter().map(|value| whole(value)).collect();
        let mut tokens: SmallVec<[(&'r [u8], TokenPlace); 2]> = (fields.tokens.iter())
            .map(|(index, value)| (trim(value.as_bytes()), TokenPlace::Header(*index)))
            .collect();
        let multiple = || Err(CredentialError::Multiple(places(fields, policy)));
        let reading = match &fields.authorization[..] {
            [] => Reading::Nothing,
            [line] => policy.read(line),
            _ => return multiple(),
        };
        match reading {
            Reading::Nothing => {}
            Reading::Key(key) => keys.push(key),
            Reading::Token(value) => tokens.push((value, TokenPlace::Authorization)),
            Reading::TwoKeys => return multiple(),
            Reading::Unsupported(why) => match why {
                _ if keys.is_empty() && tokens.is_empty() => {
                    return Err(CredentialError::Unsupported(why));
                }
                Unsupported::Scheme => {}
                Unsupported::Kind(_) if keys.is_empty() => {}
                Unsupported::Kind(_) if kinds == Kinds::Both && tokens.is_empty() => {
                    return Err(CredentialError::Unsupported(why));
                }
                _ => return multiple(),
            },
        }
        let (key, token) = match (keys.len(), tokens.len()) {
            (0 | 1, 0 | 1) => (keys.pop(), tokens.pop()),
            _ => return multiple(),
        };
        match (key, token) {
            (None, None) => Err(CredentialError::Missing),
            (Some(key), Some((value, place))) if kinds == Kinds::Both => {
                Ok(Self::Both { key, value, place })
            }
            (Some(_), Some(_)) => multiple(),
            (Some(_), None) if kinds == Kinds::Both => {
                Err(CredentialError::MissingPart(CredentialKind::Token))
            }
            (None, Some(_)) if kinds == Kinds::Both => {
                Err(CredentialError::MissingPart(CredentialKind::ApiKey))
            }
            (Some(key), None) => Ok(Self::ApiKey(key)),
            (None, Some((value, place))) => Ok(Self::Token { value, place }),
        }
    }
}

impl CredentialPolicy {
    /// Collects the fields of a request that credentials are read from.
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

    fn scheme(&self, text: &[u8]) -> Option<Scheme> {
        if text == b"Bearer" || text.eq_ignore_ascii_case(b"bearer") {
            return Some(Scheme::Bearer);
        }
        let is_it = |name: &[u8]| text.eq_ignore_ascii_case(name);
        let key = (0..).zip(&self.schemes).find(|(_, name)| is_it(name.as_bytes()));
        key.map(|(index, _)| Scheme::Key(index)).or(is_it(b"basic").then_some(Scheme::Basic))
    }

    fn read<'r>(&self, line: &'r HeaderValue) -> Reading<'r> {
        let line = trim(line.as_bytes());
        if line.is_empty() {
            return Reading::Nothing;
        }
        let (scheme, value) = split_scheme(line);
        match self.scheme(scheme) {
            Some(Scheme::Bearer) => self.read_bearer(value),
            Some(Scheme::Key(_)) => Reading::Key(KeyText(value.into())),
            Some(Scheme::Basic) if self.basic => self.read_basic(value),
            _ if self.bare && !line.iter().any(|byte| matches!(byte, b' ' | b'\t')) => {
                Reading::Key(KeyText(line.into()))
            }
            _ => Reading::Unsupported(Unsupported::Scheme),
        }
    }

    /// A bearer value is a key by its prefix, or by its check digits where it is of another
    /// environment. Keys made elsewhere have none, so there a value
    /// with the two dots of a JWT is a token and any other is a key.
    fn read_bearer<'r>(&self, value: &'r [u8]) -> Reading<'r> {
        let key = |value: &'r [u8]| Reading::Key(KeyText(value.into()));
        let has_prefix = strip_prefix(value, &self.prefix).is_some();
        let is_of_another = || self.format.is_of_another_environment(value);
        match (has_prefix, self.keys_as_bearer) {
            (_, false) if is_of_another() => Reading::Unsupported(Unsupported::OtherKeyAsBearer),
            (true, true) => key(value),
            (true, false) => Reading::Unsupported(Unsupported::KeyAsBearer),
            (false, true) if !self.tokens || is_of_another() => key(value),
            (false, true) if self.format == KeyFormat::Any && !looks_like_jwt(value) => key(value),
            (false, _) if self.tokens => Reading::Token(value),
            (false, _) => Reading::Unsupported(Unsupported::Kind(CredentialKind::Token)),
        }
    }

    /// A user name and a password (RFC 7617 section 2): whichever has the form of a key is one.
    /// Without a colon the whole is the user name.
    fn read_basic<'r>(&self, value: &'r [u8]) -> Reading<'r> {
        let Ok(decoded) = BASIC.decode(value) else {
            return Reading::Key(KeyText(value.into()));
        };
        let colon = decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len());
        let (user, password) = decoded.split_at(colon);
        let password = password.strip_prefix(b":").unwrap_or_default();
        let has_form = |part| self.format.check(part).is_ok();
        let key = match (has_form(user), has_form(password)) {
            // Any word has the form of keys that were made elsewhere. One is looked up, and which is
            // seen without a look-up: who sent a key of their own beside a guess would guess for
            // free.
            (true, true) if self.format == KeyFormat::Any && user.len() != password.len() => {
                if user.len() > password.len() { user } else { password }
            }
            (true, true) => return Reading::TwoKeys,
            (true, false) => user,
            (false, true) => password,
            // Neither is one: the part that was meant to be is judged.
            (false, false) if strip_prefix(password, &self.prefix).is_some() => password,
            (false, false) if user.is_empty() => password,
            (false, false) => user,
        };
        Reading::Key(KeyText(key.to_vec().into()))
    }
}

const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn looks_like_jwt(value: &[u8]) -> bool {
    value.is_empty() || value.iter().filter(|byte| **byte == b'.').count() == 2
}

/// Splits `scheme SP+ value`. The value is empty where the scheme stands alone.
fn split_scheme(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii_start()),
        None => (line, &[]),
    }
}

fn whole(value: &HeaderValue) -> KeyText<'_> {
    KeyText(trim(value.as_bytes()).into())
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

/// Where the credentials of a request with more than one were found.
fn places(fields: &Fields<'_>, policy: &CredentialPolicy) -> SmallVec<[Place; 2]> {
    let mut places: SmallVec<[Place; 2]> = fields.key.iter().map(|_| Place::KeyHeader).collect();
    places.extend(fields.tokens.iter().map(|(index, _)| Place::TokenHeader(*index)));
    let place = |line: &HeaderValue| {
        let (scheme, _) = split_scheme(trim(line.as_bytes()));
        Place::Authorization(policy.scheme(scheme))
    };
    match &fields.authorization[..] {
        [line] => {
            let found: SmallVec<[Place; 2]> = match policy.read(line) {
                Reading::Nothing | Reading::Unsupported(Unsupported::Scheme) => smallvec![],
                Reading::TwoKeys => smallvec![place(line), place(line)],
                _ => smallvec![place(line)],
            };
            places.extend(found);
        }
        lines => places.extend(lines.iter().map(|line| place(line))),
    }
    places
}

impl std::fmt::Debug for KeyText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyText(..)")
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn present<'r>(
        headers: &'r HeaderMap,
        policy: &CredentialPolicy,
        kinds: Kinds,
    ) -> Result<Credential<'r>, CredentialError> {
        Credential::from_fields(&policy.fields(headers), policy, kinds)
    }

    fn policy() -> CredentialPolicy {
        CredentialPolicy { tokens: true, ..CredentialPolicy::default() }
    }

    fn text(key: &KeyText<'_>) -> String {
        String::from_utf8_lossy(&key.0).into()
    }

    fn read(policy: &CredentialPolicy, lines: &[(&'static str, &str)]) -> String {
        read_kinds(policy, Kinds::Either, lines)
    }

    fn read_kinds(
        policy: &CredentialPolicy,
        kinds: Kinds,
        lines: &[(&'static str, &str)],
    ) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let token = |value: &[u8], place| match place {
            TokenPlace::Authorization => format!("token {}", String::from_utf8_lossy(value)),
            TokenPlace::Header(at) => format!("token {} in {at}", String::from_utf8_lossy(value)),
        };
        match present(&headers, policy, kinds) {
            Ok(Credential::ApiKey(key)) => format!("key {}", text(&key)),
            Ok(Credential::Token { value, place }) => token(value, place),
            Ok(Credential::Both { key, value, place }) => {
                format!("key {} and {}", text(&key), token(value, place))
            }
            Err(CredentialError::Missing) => "missing".into(),
            Err(CredentialError::MissingPart(kind)) => format!("missing {kind}"),
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
            (&[("authorization", ""), ("authorization", "")], "multiple 2"),
            (&[("authorization", "Bearer b"), ("authorization", "")], "multiple 2"),
            (&[("x-api-key", ""), ("authorization", "Basic b")], "key "),
            (&[("x-api-key", "tg_a"), ("authorization", "Basic dTpw")], "key tg_a"),
            (&[("x-api-key", "tg_a"), ("authorization", "Digest a=\"b\"")], "key tg_a"),
            (&[("x-api-key", "tg_a"), ("authorization", "ApiKey tg_a")], "multiple 2"),
            (&[("x-api-key", "tg_a"), ("authorization", "Bearer tg_a")], "multiple 2"),
            (&[("x-api-key", "tg_a"), ("authorization", "Bearer")], "multiple 2"),
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

    #[test]
    fn keys_are_taken_as_older_clients_send_them() {
        let older = CredentialPolicy {
            schemes: vec!["ApiKey".into(), "Token".into()],
            bare: true,
            keys_as_bearer: true,
            basic: true,
            format: KeyFormat::Any,
            tokens: false,
            ..policy()
        };
        let authorization = |value: &str| read(&older, &[("authorization", value)]);
        let basic = |text: &str| authorization(&format!("Basic {}", BASIC.encode(text)));
        assert_eq!(authorization("Token abc"), "key abc");
        assert_eq!(authorization("tOKEN  abc"), "key abc");
        assert_eq!(authorization("ApiKey abc"), "key abc");
        assert_eq!(authorization("Token"), "key ");
        assert_eq!(authorization("Bearer a.b.c"), "key a.b.c");
        assert_eq!(authorization("abc"), "key abc");
        assert_eq!(authorization("abc def"), "unsupported Scheme");
        assert_eq!(authorization("abc\tdef"), "unsupported Scheme");
        assert_eq!(authorization("Digest username=\"shop\", realm=\"x\""), "unsupported Scheme");
        assert_eq!(basic("abc:"), "key abc");
        assert_eq!(basic(":abc"), "key abc");
        assert_eq!(basic("abc"), "key abc");
        // One of the two is looked up.
        assert_eq!(basic("api:abcd"), "key abcd");
        assert_eq!(basic("abcd:x"), "key abcd");
        assert_eq!(basic("api:abc"), "multiple 2");
        assert_eq!(basic("a b:abc:d"), "key abc:d");
        assert_eq!(basic(":"), "key ");
        assert_eq!(authorization("Basic"), "key ");
        assert_eq!(authorization("Basic YWJjOg"), "key abc", "without padding");
        assert_eq!(authorization("Basic ab!"), "key ab!", "not base64");
        let line = ("authorization", "Basic YWJjOg==");
        assert_eq!(read(&older, &[("x-api-key", "abc"), line]), "multiple 2");

        let off = CredentialPolicy { schemes: Vec::new(), ..policy() };
        assert_eq!(read(&off, &[("authorization", "ApiKey abc")]), "unsupported Scheme");
    }

    #[test]
    fn whichever_part_of_basic_has_the_form_of_a_key_is_one() {
        let policy = CredentialPolicy { basic: true, ..policy() };
        let key = crate::credential::new_key("tg").unwrap();
        let other = crate::credential::new_key("tg").unwrap();
        let basic = |user: &str, password: &str| {
            let value = format!("Basic {}", BASIC.encode(format!("{user}:{password}")));
            read(&policy, &[("authorization", &value)])
        };
        assert_eq!(basic(&key, ""), format!("key {key}"));
        assert_eq!(basic(&key, "x"), format!("key {key}"));
        assert_eq!(basic("api", &key), format!("key {key}"));
        assert_eq!(basic(&key, &other), "multiple 2");
        assert_eq!(basic(&key, &key), "multiple 2");
        assert_eq!(basic("api", "tg_cut"), "key tg_cut");
        assert_eq!(basic("tg_cut", "x"), "key tg_cut");
        assert_eq!(basic("", "x"), "key x");
    }

    #[test]
    fn tokens_are_taken_from_headers_of_their_own() {
        let header = HeaderName::from_static("cf-access-jwt-assertion");
        let own = CredentialPolicy { tokens: false, token_headers: vec![header], ..policy() };
        let both = CredentialPolicy { tokens: true, ..own.clone() };
        let token = ("cf-access-jwt-assertion", " a.b.c ");
        let (bearer, basic) = (("authorization", "Bearer x"), ("authorization", "Basic dTpw"));
        let key = ("x-api-key", "tg_a");
        type Case<'c> = (&'c [(&'static str, &'c str)], &'c str, &'c str);
        let table: &[Case<'_>] = &[
            (&[token], "token a.b.c in 0", "token a.b.c in 0"),
            (&[token, basic], "token a.b.c in 0", "token a.b.c in 0"),
            (&[token, bearer], "token a.b.c in 0", "multiple 2"),
            (&[bearer], "unsupported Kind(Token)", "token x"),
            (&[token, token], "multiple 2", "multiple 2"),
            (&[token, key], "multiple 2", "multiple 2"),
            (&[key, bearer], "multiple 2", "multiple 2"),
            (&[("cf-access-jwt-assertion", "")], "token  in 0", "token  in 0"),
            (&[token, ("authorization", "Bearer tg_a")], "multiple 2", "multiple 2"),
        ];
        for (lines, expected, beside_bearer) in table {
            assert_eq!(read(&own, lines), *expected, "{lines:?}");
            assert_eq!(read(&both, lines), *beside_bearer, "{lines:?}");
        }
    }

    #[test]
    fn a_key_and_a_token_are_taken_together() {
        let (key, token) = (("x-api-key", "tg_a"), ("authorization", "Bearer a.b.c"));
        let table: &[(&[(&'static str, &str)], &str)] = &[
            (&[key, token], "key tg_a and token a.b.c"),
            (&[], "missing"),
            (&[("authorization", " ")], "missing"),
            (&[key], "missing token"),
            (&[key, ("authorization", "")], "missing token"),
            (&[key, ("authorization", "Basic dTpw")], "missing token"),
            (&[token], "missing api_key"),
            (&[("authorization", "ApiKey tg_a")], "missing token"),
            (&[key, ("authorization", "ApiKey tg_a")], "multiple 2"),
            (&[key, ("authorization", "Bearer tg_a")], "multiple 2"),
            (&[key, key, token], "multiple 3"),
            (&[key, token, token], "multiple 3"),
            (&[("authorization", "Basic dTpw")], "unsupported Scheme"),
            (&[("authorization", "Bearer tg_a")], "unsupported KeyAsBearer"),
        ];
        for (lines, expected) in table {
            assert_eq!(read_kinds(&policy(), Kinds::Both, lines), *expected, "{lines:?}");
        }
        let header = HeaderName::from_static("cf-access-jwt-assertion");
        let own = CredentialPolicy { tokens: false, token_headers: vec![header], ..policy() };
        let lines = [key, ("cf-access-jwt-assertion", "a.b.c")];
        assert_eq!(read_kinds(&own, Kinds::Both, &lines), "key tg_a and token a.b.c in 0");
        assert_eq!(read_kinds(&own, Kinds::Both, &[key, token]), "unsupported Kind(Token)");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(key in proptest::collection::vec(0x20_u8..=0xff, 0..60),
                                       line in proptest::collection::vec(0x20_u8..=0xff, 0..60)) {
            let older = CredentialPolicy { bare: true, keys_as_bearer: true, basic: true, ..policy() };
            let mut headers = HeaderMap::new();
            let basic = format!("Basic {}", BASIC.encode(&line));
            if let (Ok(key), Ok(line), Ok(basic)) = (
                HeaderValue::from_bytes(&key),
                HeaderValue::from_bytes(&line),
                HeaderValue::from_str(&basic),
            ) {
                for authorization in [line, basic] {
                    headers.clear();
                    headers.append(AUTHORIZATION, authorization);
                    for with_key in [false, true] {
                        if with_key {
                            headers.append("x-api-key", key.clone());
                        }
                        for policy in [policy(), older.clone()] {
                            for kinds in Kinds::ALL {
                                let _ = present(&headers, &policy, kinds);
                            }
                        }
                    }
                }
                headers.remove(AUTHORIZATION);
                if let Ok(Credential::ApiKey(KeyText(key))) =
                    present(&headers, &policy(), Kinds::Either)
                {
                    let _ = policy().format.check(&key);
                }
            }
        }
    }
}
