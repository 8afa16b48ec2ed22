//! The words of the document that programs decide by: code, category, action and actor.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An enum of the words that are known, which keeps any other word as it came.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $($(#[$meaning:meta])+ $variant:ident => $word:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$meaning])+ $variant,)+
            /// A word that this version does not know.
            Other(Unlisted),
        }

        impl $name {
            /// The word as it stands in the document.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => &word.0,
                }
            }

            /// Every word that has a variant, in the order of the documentation.
            pub const KNOWN: &[&str] = &[$($word),+];
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(Unlisted(other.into())),
                }
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, word: &str) -> bool {
                self.as_str() == word
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, word: &&str) -> bool {
                self.as_str() == *word
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
            }
        }
    };
}

words! {
    /// The stable name of the reason: what a program branches on.
    ///
    /// Codes are added in time and APIs have codes of their own, so the list is open: fall back on
    /// [`Denial::category`](super::Denial::category) for a code that you do not know. Compare a
    /// code that has no variant as text, which stays true when a later version has one:
    ///
    /// ```
    /// use tollgate_client::Code;
    ///
    /// assert_eq!(Code::from("token_expired"), Code::TokenExpired);
    /// assert_eq!(Code::from("order_shipped"), "order_shipped");
    /// ```
    pub enum Code {
        /// The request carries no credential, and the path is open only to known callers.
        CredentialsMissing => "credentials_missing",
        /// The request carries two credentials, or one of them twice.
        CredentialsMultiple => "credentials_multiple",
        /// A credential was sent in a form that is not accepted here.
        CredentialsUnsupported => "credentials_unsupported",
        /// The text that was sent cannot be an API key.
        ApiKeyMalformed => "api_key_malformed",
        /// The key has the right form, and nobody here knows it.
        ApiKeyUnknown => "api_key_unknown",
        /// The key is genuine, and its last day has passed.
        ApiKeyExpired => "api_key_expired",
        /// The key is genuine, and was taken out of service by its owner or by the provider.
        ApiKeyRevoked => "api_key_revoked",
        /// The key is genuine, and its first day has not come.
        ApiKeyNotYetValid => "api_key_not_yet_valid",
        /// The key is genuine, and may not be used from this address.
        ApiKeyAddressNotAllowed => "api_key_address_not_allowed",
        /// The text that was sent as a bearer token is not a signed JWT in compact form.
        TokenMalformed => "token_malformed",
        /// The bearer token is larger than any token needs to be.
        TokenTooLarge => "token_too_large",
        /// The token's `alg` is not accepted for its issuer, or does not fit the key it names.
        TokenAlgorithmNotAllowed => "token_algorithm_not_allowed",
        /// The token's `iss` is missing, or names nobody whose tokens are accepted here.
        TokenIssuerUnknown => "token_issuer_unknown",
        /// No key of the issuer fits the token's `kid` or, without one, its algorithm.
        TokenKeyUnknown => "token_key_unknown",
        /// The signature does not fit the token.
        TokenSignatureInvalid => "token_signature_invalid",
        /// The token is genuine, and its `exp` lies in the past.
        TokenExpired => "token_expired",
        /// The token is genuine, and its `nbf` or `iat` lies in the future.
        TokenNotYetValid => "token_not_yet_valid",
        /// The token is genuine, and was issued for another API: `aud` does not name this one.
        TokenAudienceMismatch => "token_audience_mismatch",
        /// The token is genuine, and is of another type: its `typ` is not accepted.
        TokenTypeMismatch => "token_type_mismatch",
        /// The token is genuine and bound to a key of its client, and was sent without proof of that key.
        TokenProofRequired => "token_proof_required",
        /// The token is genuine, and lacks a claim that is needed.
        TokenClaimMissing => "token_claim_missing",
        /// The token is genuine, and a claim is of the wrong type or out of range.
        TokenClaimInvalid => "token_claim_invalid",
        /// The token is genuine, and was revoked before its end.
        TokenRevoked => "token_revoked",
        /// The caller is known, and its credential lacks a scope that is needed here.
        InsufficientScope => "insufficient_scope",
        /// The caller is known, and has none of the roles that are needed here.
        InsufficientRole => "insufficient_role",
        /// The caller is known, and a claim of its token does not have the value needed here.
        ClaimMismatch => "claim_mismatch",
        /// Requests from this address are not allowed here.
        AddressNotAllowed => "address_not_allowed",
        /// No rule covers the path: it is mistyped, or open to nobody yet.
        NoMatchingRule => "no_matching_rule",
        /// Rules cover the path, and none of them this method.
        MethodNotAllowed => "method_not_allowed",
        /// A limit does not have the tokens that this request takes.
        RateLimited => "rate_limited",
        /// Too many requests from this address failed to prove a credential.
        TooManyFailures => "too_many_failures",
        /// What verifies this credential cannot be reached at the moment.
        KeySourceUnavailable => "key_source_unavailable",
        /// The limits of this request cannot be counted at the moment.
        LimiterUnavailable => "limiter_unavailable",
        /// The server could not decide about the request, by a fault of its own.
        DecisionFailed => "decision_failed",
        /// The credential is not valid. What is wrong with it is not told here.
        InvalidCredentials => "invalid_credentials",
        /// The request is not allowed. Which rule it fails is not told here.
        AccessDenied => "access_denied",
        /// A limit is exceeded. Which one is not told here.
        LimitExceeded => "limit_exceeded",
        /// The server cannot answer at the moment, by a fault of its own.
        TemporarilyUnavailable => "temporarily_unavailable",
    }
}

words! {
    /// What kind of reason it is: what to fall back on where the code is unknown.
    ///
    /// ```
    /// use tollgate_client::Category;
    ///
    /// assert_eq!(Category::from("limit"), Category::Limit);
    /// ```
    pub enum Category {
        /// No credential, several, or an API key that is not valid.
        Credentials => "credentials",
        /// A bearer token that is not valid.
        Token => "token",
        /// The caller is known and may not do this.
        Authorization => "authorization",
        /// Too much in too little time.
        Limit => "limit",
        /// The fault is the server's.
        Server => "server",
    }
}

words! {
    /// What has to be done about a denial: what a program decides by.
    ///
    /// The list is open: take a word that you do not know for `stop`.
    ///
    /// ```
    /// use tollgate_client::Action;
    ///
    /// assert_eq!(Action::from("step_up"), Action::StepUp);
    /// ```
    pub enum Action {
        /// Correct the request.
        FixRequest => "fix_request",
        /// Get a new credential with the same rights.
        Renew => "renew",
        /// Get a credential with more scopes.
        StepUp => "step_up",
        /// Wait, then send the same request.
        Wait => "wait",
        /// Have somebody grant what is missing.
        Ask => "ask",
        /// Tell those who run the server.
        Report => "report",
        /// Do not send this request again.
        Stop => "stop",
    }
}

words! {
    /// Who does what has to be done about a denial.
    ///
    /// ```
    /// use tollgate_client::Actor;
    ///
    /// assert_eq!(Actor::from("owner"), Actor::Owner);
    /// ```
    pub enum Actor {
        /// The program that sent the request.
        Client => "client",
        /// The user who signed in.
        User => "user",
        /// Whoever administers the account.
        Owner => "owner",
        /// Whoever runs the API.
        Provider => "provider",
    }
}

/// A word that this version has no variant for. It is made by reading one, so it is never a word
/// that has a variant.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Unlisted(Box<str>);

impl Unlisted {
    /// The word as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_is_kept_as_it_came() {
        let code: Code = serde_json::from_str("\"order_shipped\"").unwrap();
        assert!(matches!(&code, Code::Other(word) if word.as_str() == "order_shipped"));
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"order_shipped\"");
        assert_eq!(code.to_string(), "order_shipped");
    }

    #[test]
    fn a_known_word_is_its_variant_and_back() {
        for word in Code::KNOWN {
            let code = Code::from(*word);
            assert!(!matches!(code, Code::Other(_)), "{word}");
            assert_eq!(code, *word);
        }
        for word in Category::KNOWN {
            let category = Category::from(*word);
            assert!(!matches!(category, Category::Other(_)), "{word}");
            assert_eq!(category, *word);
        }
        for word in Action::KNOWN {
            assert!(!matches!(Action::from(*word), Action::Other(_)), "{word}");
        }
        for word in Actor::KNOWN {
            assert!(!matches!(Actor::from(*word), Actor::Other(_)), "{word}");
        }
    }
}
