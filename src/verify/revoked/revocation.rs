//! An entry of a list of revocations.

use crate::time::{Wall, seconds_up};

/// An entry of a list of revocations: what it revokes meets all of its conditions.
///
/// | condition | a token meets it | an API key meets it |
/// | --- | --- | --- |
/// | `jti` | its `jti` (RFC 7519 section 4.1.7) is this | never |
/// | `issuer` | the policy's name of its issuer is this | never |
/// | `issued_before` | its `iat` is earlier, or it has none | never |
/// | `client` | its client is this ([`Principal::client`](crate::Principal::client)) | its client is this |
/// | `key_id` | never | its `id` is this |
///
/// The same as one `[[revoked]]` of a policy. An application gives it to [`Revocations`].
///
/// ```
/// use tollgate::{Revocation, Wall};
///
/// let one_token = Revocation::of_token("4f1c").issuer("main");
/// let all_before_now = Revocation::of_client("mallory").issued_before(Wall::from_seconds(1_800_000_000));
/// # let _ = (one_token, all_before_now);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "give it to `Revocations`"]
pub struct Revocation {
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) jti: Option<Box<str>>,
    pub(crate) client: Option<Box<str>>,
    pub(crate) key_id: Option<Box<str>>,
    /// Unix seconds, rounded up.
    pub(crate) issued_before: Option<u64>,
    /// Unix seconds, rounded up.
    pub(crate) until: Option<u64>,
}

impl Revocation {
    /// The token with this `jti`. A `jti` is unique for its issuer only: where the policy has several
    /// issuers, name it with [`issuer`](Self::issuer).
    pub fn of_token(jti: impl Into<String>) -> Self {
        Self { jti: Some(jti.into().into()), ..Self::without_conditions() }
    }

    /// Everything of the client of this name: its API keys, and tokens of any issuer that name it.
    pub fn of_client(client: impl Into<String>) -> Self {
        Self::without_conditions().client(client)
    }

    /// Every token of the issuer that has this name in the policy.
    pub fn of_issuer(name: impl Into<String>) -> Self {
        Self::without_conditions().issuer(name)
    }

    /// The API key with this public name.
    pub fn of_api_key(key_id: impl Into<String>) -> Self {
        Self { key_id: Some(key_id.into().into()), ..Self::without_conditions() }
    }

    /// Every token that was issued before this moment, by its `iat`, and every token without an `iat`:
    /// after a break-in, say. Name an [`issuer`](Self::issuer) where only its tokens are meant.
    pub fn of_tokens_before(moment: Wall) -> Self {
        Self::without_conditions().issued_before(moment)
    }

    /// INVARIANT: whoever makes one adds a condition. It would revoke every token.
    pub(crate) fn without_conditions() -> Self {
        Self {
            issuer: None,
            jti: None,
            client: None,
            key_id: None,
            issued_before: None,
            until: None,
        }
    }

    /// Only tokens of the issuer that has this name in the policy; no API key then.
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        self.issuer = Some(name.into().into());
        self
    }

    /// Only what belongs to this client.
    pub fn client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into().into());
        self
    }

    /// Only tokens that were issued before this moment, by their `iat`, and those without an `iat`; no
    /// API key then. "Sign out everywhere" is this: a token that is issued later counts.
    pub fn issued_before(mut self, moment: Wall) -> Self {
        self.issued_before = Some(seconds_up(moment.micros()));
        self
    }

    /// When nothing that this revokes is valid any more: the latest `exp`, and the issuer's `leeway`
    /// added. The entry is forgotten some time after that, so that a list which is always added to does
    /// not grow for ever. It ends no revocation: what it revokes has ended by itself.
    pub fn until(mut self, moment: Wall) -> Self {
        self.until = Some(seconds_up(moment.micros()));
        self
    }

    /// Whether nothing at all can meet its conditions.
    pub(crate) fn matches_nothing(&self) -> bool {
        let is_of_tokens =
            self.jti.is_some() || self.issuer.is_some() || self.issued_before.is_some();
        self.key_id.is_some() && is_of_tokens
    }
}
