//! One code: a stable name for a reason, and all that is known about it.

use std::fmt;

use serde_json::Value;

use super::catalogue::{CATALOGUE, Code};
use super::document::Denial;
use super::members::Presence;
use super::registry::intern;
use crate::policy::StatusMode;

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

    const fn standard_status(self) -> u16 {
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
    /// Where tokens are accepted, and the keys of an issuer are fetched.
    RemoteKeys,
    /// Where a credential is asked for and failures are counted.
    Failures,
    Scopes,
    Roles,
    Claims,
    Addresses,
    Limits,
    /// In the place of others, at `disclosure = "minimal"`, and nowhere else.
    Groups,
    /// Nowhere in this release.
    Later,
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

/// A reason for a denial: a row of the catalogue, or a code of the application.
///
/// # A code of your own
///
/// Declare it once, register it with
/// [`TollgateBuilder::code`](crate::TollgateBuilder::code), and return it from handlers:
/// the client gets the same document as for every other denial.
///
/// ```
/// use tollgate::{Category, Denial, DenialCode};
///
/// static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
///     .with_title("Order locked")
///     .with_detail("The order is locked by {locked_by}.")
///     .with_remedy("Ask {locked_by} to release the order, then repeat the request.");
///
/// async fn change_order() -> Result<(), Denial> {
///     Err(Denial::new(&ORDER_LOCKED).member("locked_by", "the warehouse"))
/// }
/// ```
///
/// Codes can also be declared in the policy, with `[[denial.code]]`; see
/// [`Denial::named`](crate::Denial::named).
#[derive(Clone, Debug)]
pub struct DenialCode {
    /// Which code of the catalogue it is; `None` for a code of the application.
    pub(crate) known: Option<Code>,
    pub(crate) code: &'static str,
    pub(crate) category: Category,
    pub(crate) standard_status: u16,
    pub(crate) challenge: Challenge,
    /// What is shown in its place at `disclosure = "minimal"`.
    pub(crate) group: Code,
    pub(crate) occurs: Occurs,
    pub(crate) action: Action,
    pub(crate) actor: Actor,
    /// Whether the credential proved nothing, so that the address it came from is charged.
    pub(crate) counts_as_failure: bool,
    pub(crate) retryable: bool,
    /// The members beside those that every denial has, in the order of the document.
    pub(crate) members: &'static [(&'static str, Presence)],
    pub(crate) title: &'static str,
    /// Template of `detail`; empty where there is none.
    pub(crate) detail: &'static str,
    /// Template of `remedy`.
    pub(crate) remedy: &'static str,
    /// What it means, at length: the text of its page.
    pub(crate) about: &'static str,
    /// What handlers add, for codes of the application.
    pub(crate) example: Shown,
}

/// What handlers of the application add to denials of a code, as an example.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    Nothing,
    /// It adds to a denial what they add.
    Made(fn(Denial) -> Denial),
    /// The members as a policy has them: a JSON array of names and values.
    Written(&'static str),
}

impl DenialCode {
    /// A code of the application. Its name matches `^[a-z][a-z0-9_]{2,62}$`; it is a promise to
    /// clients, so it is never renamed or given another meaning.
    #[must_use]
    pub const fn new(code: &'static str, category: Category) -> Self {
        let (group, action, actor) = match category {
            Category::Credentials | Category::Token => {
                (Code::InvalidCredentials, Action::FixRequest, Actor::Client)
            }
            Category::Authorization => (Code::AccessDenied, Action::Ask, Actor::Owner),
            Category::Limit => (Code::LimitExceeded, Action::Wait, Actor::Client),
            Category::Server => (Code::TemporarilyUnavailable, Action::Report, Actor::Provider),
        };
        Self {
            known: None,
            code,
            category,
            standard_status: category.standard_status(),
            challenge: Challenge::None,
            group,
            occurs: Occurs::Anywhere,
            action,
            actor,
            counts_as_failure: false,
            retryable: false,
            members: &[],
            title: "Request denied",
            detail: "",
            remedy: "Ask the provider of the API what to do.",
            about: "",
            example: Shown::Nothing,
        }
    }

    /// Sets a few words that are the same for each occurrence.
    #[must_use]
    pub const fn with_title(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    /// Sets what happened, in a sentence. `{name}` stands for the member of that name; a part in
    /// square brackets is left out when a member in it is absent.
    #[must_use]
    pub const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    /// Sets what the client developer should do next; a template like
    /// [`with_detail`](Self::with_detail).
    #[must_use]
    pub const fn with_remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }

    /// Sets the status when the policy says `status = "standard"`; by default that of the
    /// category (401, 403, 429, 503). From 400 to 599; anything else is refused when it is
    /// registered.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.standard_status = status;
        self
    }

    /// Sets whether the same request may succeed later, unchanged.
    #[must_use]
    pub const fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets what has to be done about it, and who does it. By default it follows from the
    /// category.
    #[must_use]
    pub const fn with_action(mut self, action: Action, actor: Actor) -> Self {
        self.action = action;
        self.actor = actor;
        self
    }

    /// Shows client developers a denial of this code, with the members that handlers add to it: in
    /// its page, the schema, the types and the OpenAPI document. In a policy, `example` of
    /// `[[denial.code]]` does the same.
    ///
    /// ```
    /// use tollgate::{Category, DenialCode};
    ///
    /// static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
    ///     .with_title("Order locked")
    ///     .with_detail("The order is locked by {locked_by}.")
    ///     .example(|denial| denial.member("locked_by", "the warehouse"));
    /// ```
    #[must_use]
    pub const fn example(mut self, example: fn(Denial) -> Denial) -> Self {
        self.example = Shown::Made(example);
        self
    }

    /// A denial of this code as the example has it.
    pub(crate) fn sample(&self) -> Denial {
        let denial = Denial::named(self.code);
        match self.example {
            Shown::Nothing => denial,
            Shown::Made(example) => example(denial),
            Shown::Written(members) => {
                // INVARIANT: the registry wrote it.
                let members: Vec<(String, Value)> =
                    serde_json::from_str(members).unwrap_or_default();
                let add = |denial: Denial, (name, value): (String, Value)| {
                    denial.member(intern(&name), value)
                };
                members.into_iter().fold(denial, add)
            }
        }
    }

    /// The members that its handlers add, as in the example.
    pub(crate) fn own_members(&self) -> Vec<(&'static str, Value)> {
        self.sample().own_members()
    }

    /// Every code of the gate itself, in the order of the documentation.
    ///
    /// ```
    /// use tollgate::DenialCode;
    ///
    /// let limits = DenialCode::catalogue().iter().filter(|code| code.category().as_str() == "limit");
    /// assert!(limits.map(|code| code.code()).any(|code| code == "rate_limited"));
    /// ```
    pub fn catalogue() -> &'static [&'static DenialCode] {
        CATALOGUE
    }

    /// What the code means, at length, in Markdown. Empty for codes of the application.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The name of the code.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The category of the code.
    pub const fn category(&self) -> Category {
        self.category
    }

    /// A few words that are the same for each occurrence.
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// The template of `detail`; empty where there is none.
    pub const fn detail(&self) -> &'static str {
        self.detail
    }

    /// The template of `remedy`.
    pub const fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// The status when the policy says `status = "standard"`.
    pub const fn status(&self) -> u16 {
        self.standard_status
    }

    /// Whether the same request may succeed later, unchanged.
    pub const fn retryable(&self) -> bool {
        self.retryable
    }

    /// What has to be done about it.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Who does it.
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// Its first words about it, for an index; empty for codes of the application.
    pub(crate) fn summary(&self) -> &'static str {
        self.about.split("\n\n").next().unwrap_or_default().trim()
    }

    /// Whether it is a code of the application.
    pub(crate) fn is_own(&self) -> bool {
        self.known.is_none()
    }

    /// The status that it is sent with, in this mode.
    pub(crate) fn status_in(&self, mode: StatusMode) -> u16 {
        match mode {
            StatusMode::Uniform if self.category != Category::Server => 403,
            _ => self.standard_status,
        }
    }

    /// Whether it is shown in the place of others, at `disclosure = "minimal"`, and nowhere else.
    pub(crate) fn is_group(&self) -> bool {
        self.occurs == Occurs::Groups
    }

    /// What is shown in its place at `disclosure = "minimal"`.
    pub(crate) fn group(&self) -> &'static DenialCode {
        self.group.row()
    }
}

/// Whether `code` may name a code.
pub(crate) fn is_code(code: &str) -> bool {
    (3..=63).contains(&code.len())
        && code.starts_with(|first: char| first.is_ascii_lowercase())
        && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}
