//! Codes of the application, and what can be asked about any code.

use super::catalogue::{CATALOGUE, Code, DenialCode};
use super::own::{DenialExample, Shown};
use super::properties::{Action, Actor, Category, Challenge, Occurs};
use crate::policy::StatusMode;

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

    /// Shows client developers an example of this code, with what handlers add to their denials: in
    /// its page, the schema, the types and the OpenAPI document. In a policy, `example` of
    /// `[[denial.code]]` does the same.
    ///
    /// ```
    /// use tollgate::{Category, DenialCode};
    ///
    /// static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
    ///     .with_title("Order locked")
    ///     .with_detail("The order is locked by {locked_by}.")
    ///     .example(|example| example.member("locked_by", "the warehouse"));
    /// ```
    #[must_use]
    pub const fn example(mut self, example: fn(DenialExample) -> DenialExample) -> Self {
        self.example = Shown::Made(example);
        self
    }

    /// The members that its handlers add, as in the example.
    pub(crate) fn own_members(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.example.own().members_as_json()
    }

    /// Every code of the gate itself, in the order of the documentation.
    ///
    /// ```
    /// use tollgate::DenialCode;
    ///
    /// let limits = DenialCode::catalogue().iter().filter(|code| code.category().as_str() == "limit");
    /// assert!(limits.map(|code| code.code()).any(|code| code == "rate_limited"));
    /// ```
    #[must_use]
    pub fn catalogue() -> &'static [&'static DenialCode] {
        CATALOGUE
    }

    /// What the code means, at length, in Markdown. Empty for codes of the application.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The name of the code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The category of the code.
    #[must_use]
    pub const fn category(&self) -> Category {
        self.category
    }

    /// A few words that are the same for each occurrence.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// The template of `detail`; empty where there is none.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        self.detail
    }

    /// The template of `remedy`.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// The status when the policy says `status = "standard"`.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.standard_status
    }

    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        self.retryable
    }

    /// What has to be done about it.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Who does it.
    #[must_use]
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
