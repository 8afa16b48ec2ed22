//! The denial: a code and the facts, not yet written out.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use serde::Serialize;
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use super::code::{Category, DenialCode};
use crate::credential::Kinds;
use crate::limit::Balance;
use crate::policy::Rule;
use crate::scope::Scope;

/// A refusal, with its reason: what the gate answers with, and what handlers may return.
///
/// It implements [`IntoResponse`](axum::response::IntoResponse). Returned by a handler behind
/// the gate it is written out as the policy says (status mode, disclosure, `docs`, ...), just
/// like a denial of the gate itself. Without a gate the defaults of the policy are used.
///
/// ```
/// use tollgate::{Category, Denial, DenialCode};
///
/// static CARD_DECLINED: DenialCode = DenialCode::new("card_declined", Category::Authorization)
///     .title("Card declined")
///     .remedy("Use another card, then repeat the request.");
///
/// async fn pay() -> Result<&'static str, Denial> {
///     Err(Denial::new(&CARD_DECLINED).detail("The bank declined the payment."))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Denial(Box<Draft>);

/// What is known of a denial.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) code: CodeName,
    pub(crate) detail: Detail,
    /// In place of the code's remedy.
    pub(crate) remedy: Option<&'static str>,
    pub(crate) retryable: Option<bool>,
    /// In seconds, at least 1.
    pub(crate) retry_after: Option<u64>,
    pub(crate) instance: Uuid,
    pub(crate) members: SmallVec<[(Cow<'static, str>, Fact); 2]>,
    /// Where the policy, the code and this number decide about detail, remedy and members: such
    /// denials differ in `instance` alone.
    pub(crate) variant: Option<u8>,
    /// The kinds of credentials that are accepted, where a rule asks for one.
    pub(crate) accepted: Option<Kinds>,
    /// Whether the document names them.
    pub(crate) names_accepted: bool,
    /// For `scope` of the challenge; empty where the caller did not come with a token.
    pub(crate) challenge_scopes: Vec<Scope>,
    pub(crate) allow: Option<HeaderValue>,
    /// How the limits of the rule stand, where they were looked at.
    pub(crate) balance: Balance,
    pub(crate) rule: Option<Arc<Rule>>,
    /// For the log: what exactly went wrong.
    pub(crate) cause: Cow<'static, str>,
}

/// How many variants a code may have, the one without a number included.
pub(super) const VARIANTS: u8 = 8;

/// Which code: a row of a table, or one of the policy, found when the denial is written.
#[derive(Clone, Debug)]
pub(crate) enum CodeName {
    Row(&'static DenialCode),
    Named(Cow<'static, str>),
}

/// The text of `detail`.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    /// The code's own.
    Row,
    /// A template in place of the code's own.
    Template(&'static str),
    /// Text of the application, as it is.
    Literal(String),
}

/// The value of a member.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Text(Cow<'static, str>),
    Number(u64),
    Texts(Vec<String>),
    /// The items of an array, as JSON, and how they read in a sentence.
    Items {
        items: Vec<String>,
        text: Arc<str>,
    },
    /// The limits of the draft's balance.
    Limits,
    /// JSON, and how it reads in a sentence.
    Json {
        json: Arc<str>,
        text: Arc<str>,
    },
}

impl Fact {
    /// An array that reads as `text` in a sentence.
    pub(super) fn items(items: &[impl Serialize], text: String) -> Self {
        // INVARIANT: facts are made of text and numbers, which are always serializable.
        let json = |item| serde_json::to_string(item).unwrap_or_default();
        Self::Items { items: items.iter().map(json).collect(), text: text.into() }
    }
}

impl Denial {
    /// A denial for this code. Register codes of your own with
    /// [`TollgateBuilder::code`](crate::TollgateBuilder::code), so that a clash is found when
    /// the gate is built.
    pub fn new(code: &'static DenialCode) -> Self {
        Self::with_code(CodeName::Row(code))
    }

    /// A denial for a code that the policy declares with `[[denial.code]]`.
    ///
    /// If the policy does not declare it, the client gets `decision_failed`, and the log says
    /// which name is unknown.
    ///
    /// ```
    /// # use tollgate::Denial;
    /// async fn change_order() -> Result<(), Denial> {
    ///     Err(Denial::named("order_locked"))
    /// }
    /// ```
    pub fn named(code: impl Into<Cow<'static, str>>) -> Self {
        Self::with_code(CodeName::Named(code.into()))
    }

    /// What happened to this request, in a sentence. It replaces the code's own.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Detail::Literal(detail.into());
        self.0.variant = None;
        self
    }

    /// Adds a member to the document. Its name matches `^[a-z][a-z0-9_]{2,}$` and is not one of
    /// the members that every denial has; other names are left out, and the log says so.
    pub fn member(mut self, name: &'static str, value: impl Serialize) -> Self {
        let fact = match serde_json::to_value(value) {
            Ok(Value::String(text)) => Some(Fact::Text(text.into())),
            Ok(Value::Null) | Err(_) => None,
            Ok(value) => {
                let json = value.to_string();
                Some(Fact::Json { text: json.as_str().into(), json: json.into() })
            }
        };
        match fact {
            Some(fact) if super::registry::is_member_name(name) => {
                self.0.variant = None;
                self.0.members.retain(|(held, _)| held != name);
                self.0.members.push((name.into(), fact));
            }
            Some(_) => tracing::error!(member = name, "this name of a member cannot be used"),
            None => {}
        }
        self
    }

    /// When the same request may succeed: sent as `Retry-After` and as `retry_after`, rounded up
    /// to a whole second. It makes the denial retryable.
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        let seconds = u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
        self.0.retry_after = Some(seconds.max(1));
        self.0.retryable = Some(true);
        self.0.variant = None;
        self
    }

    /// The name of the code.
    pub fn code(&self) -> &str {
        match &self.0.code {
            CodeName::Row(code) => code.code,
            CodeName::Named(name) => name,
        }
    }

    /// The category of the code; `None` for one of the policy, which the gate looks up.
    pub fn category(&self) -> Option<Category> {
        match &self.0.code {
            CodeName::Row(code) => Some(code.category),
            CodeName::Named(_) => None,
        }
    }

    /// Names this denial, in the document and in the log: `urn:uuid:…`.
    pub fn instance(&self) -> String {
        self.0.instance.urn().to_string()
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.0
    }

    pub(crate) fn draft_mut(&mut self) -> &mut Draft {
        &mut self.0
    }

    /// Sets what exactly went wrong, for the log.
    pub(crate) fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.0.cause = cause.into();
        self
    }

    pub(crate) fn template(mut self, detail: &'static str) -> Self {
        self.0.detail = Detail::Template(detail);
        self
    }

    /// Says that all of these denials are alike, by code and number. INVARIANT: what a client
    /// sent decides about nothing in them but the number, which is less than one below [`VARIANTS`].
    pub(crate) fn variant(mut self, variant: u8) -> Self {
        debug_assert!(variant < VARIANTS - 1, "{} has a place for its forms", self.code());
        self.0.variant = Some(variant);
        self
    }

    pub(crate) fn fact(mut self, name: &'static str, fact: Fact) -> Self {
        self.0.members.push((name.into(), fact));
        self
    }

    pub(crate) fn text(self, name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.fact(name, Fact::Text(text.into()))
    }

    pub(crate) fn number(self, name: &'static str, number: u64) -> Self {
        self.fact(name, Fact::Number(number))
    }

    /// Adds an array, unless it is empty.
    pub(crate) fn texts<T: ToString>(
        self,
        name: &'static str,
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        let texts: Vec<String> = texts.into_iter().map(|text| text.to_string()).collect();
        if texts.is_empty() { self } else { self.fact(name, Fact::Texts(texts)) }
    }

    pub(crate) fn wait(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    fn with_code(code: CodeName) -> Self {
        Self(Box::new(Draft {
            code,
            detail: Detail::Row,
            remedy: None,
            retryable: None,
            retry_after: None,
            instance: Uuid::new_v4(),
            members: SmallVec::new(),
            variant: None,
            accepted: None,
            names_accepted: false,
            challenge_scopes: Vec::new(),
            allow: None,
            balance: Balance::default(),
            rule: None,
            cause: Cow::Borrowed(""),
        }))
    }
}
