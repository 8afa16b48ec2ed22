//! What is known about a code that is one of a few words: its category, when it occurs, what to do.

use std::fmt;

/// What a client may fall back on when it does not know a code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Category {
    /// No credential, several, or an API key that is no good.
    Credentials,
    /// A bearer token that is no good.
    Token,
    /// The caller is known and may not do this.
    Authorization,
    /// Too much in too little time.
    Limit,
    /// The fault is the server's.
    Server,
}

impl Category {
    /// The category as it stands in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Token => "token",
            Self::Authorization => "authorization",
            Self::Limit => "limit",
            Self::Server => "server",
        }
    }

    pub(crate) const ALL: [Self; 5] =
        [Self::Credentials, Self::Token, Self::Authorization, Self::Limit, Self::Server];

    pub(super) const fn standard_status(self) -> u16 {
        match self {
            Self::Credentials | Self::Token => 401,
            Self::Authorization => 403,
            Self::Limit => 429,
            Self::Server => 503,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `WWW-Authenticate` that goes with a code (RFC 9110 section 11.6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Challenge {
    None,
    /// One for each kind of credential that is accepted, without an error.
    Accepted,
    ApiKey,
    /// With this `error` (RFC 6750 section 3.1).
    Bearer(&'static str),
    /// `insufficient_scope` with the scopes, where the caller came with a token.
    Scope,
}

impl Challenge {
    /// Whether one for tokens says in `scope` which scopes the rule needs.
    pub(crate) fn names_scopes(self) -> bool {
        matches!(self, Self::Accepted | Self::Bearer(_))
    }
}

/// At which rules a code can occur.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Occurs {
    /// At every rule.
    Anywhere,
    /// Where no rule covers the request: the method is another one.
    Unruled,
    /// Where the path has parameters, which some paths under it do not fit.
    Parameters,
    /// Where a request without a credential is not let in.
    NoneLeftOut,
    /// Where a credential is asked for.
    Guarded,
    /// Where API keys are accepted.
    Keys,
    /// Where tokens are accepted.
    Tokens,
    /// Where tokens are accepted, and the keys of an issuer are fetched; or where API keys are, and
    /// are looked up in a source.
    RemoteKeys,
    /// Where a credential is asked for and failures are counted.
    Failures,
    Scopes,
    Roles,
    Claims,
    Addresses,
    Limits,
    /// Where a limit in a shared store is closed while the store does not answer.
    ClosedLimits,
    /// In the place of others, at `disclosure = "minimal"`, and nowhere else.
    Groups,
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$meaning])* $variant,)+
        }

        impl $name {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is written in the document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What has to be done about a denial.
    Action {
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
    /// Who does it.
    Actor {
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
