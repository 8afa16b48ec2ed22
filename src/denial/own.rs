//! What a denial says beside what its code says: members, and what else a handler adds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::members::is_member_name;
use super::written::Hole;

/// What a handler adds to a denial.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// In place of the code's own.
    pub(crate) detail: Option<String>,
    pub(crate) members: Vec<(&'static str, Fact)>,
    /// How long to wait, in milliseconds, at least 1.
    pub(crate) wait: Option<u64>,
    /// Whether it is charged to the address of the request.
    pub(crate) counts_as_failure: bool,
    /// What exactly went wrong, for the log.
    pub(crate) cause: Cow<'static, str>,
}

impl Own {
    /// Adds a member, unless no member can have this name.
    pub(super) fn member(&mut self, name: &'static str, value: impl Serialize) {
        let fact = match serde_json::to_value(value) {
            Ok(Value::String(text)) => Some(Fact::Text(text.into())),
            Ok(Value::Null) | Err(_) => None,
            Ok(value) => {
                let json = value.to_string();
                Some(Fact::Json { text: json.as_str().into(), json: json.into() })
            }
        };
        match fact {
            Some(fact) if is_member_name(name) => {
                self.members.retain(|(held, _)| *held != name);
                self.members.push((name, fact));
            }
            Some(_) => tracing::error!(
                target: "tollgate", member = name, "a denial cannot have a member of this name"
            ),
            None => {}
        }
    }

    /// At least a millisecond; a part of one counts as a whole one.
    pub(super) fn retry_after(&mut self, wait: Duration) {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.wait = Some(millis.max(1));
    }

    /// The members that a handler added.
    pub(super) fn members_as_json(&self) -> Vec<(&'static str, Value)> {
        let value = |fact: &Fact| match fact {
            Fact::Text(text) => Some(Value::from(&**text)),
            Fact::Json { json, .. } => serde_json::from_str(json).ok(),
            // Handlers add no others.
            _ => None,
        };
        self.members.iter().filter_map(|(name, fact)| Some((*name, value(fact)?))).collect()
    }

    /// Whether nothing was added that shows in the document.
    pub(super) fn is_empty(&self) -> bool {
        self.detail.is_none() && self.members.is_empty() && self.wait.is_none()
    }
}

/// The value of a member.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Text(Cow<'static, str>),
    Number(u64),
    /// Text that belongs to the caller, in a form that others share: it needs no escapes.
    Changing(Hole, String),
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
    pub(super) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn texts<T: ToString>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(texts.into_iter().map(|text| text.to_string()).collect())
    }

    /// An array that reads as `text` in a sentence.
    pub(super) fn items(items: &[impl Serialize], text: String) -> Self {
        // INVARIANT: facts are made of text and numbers, which are always serializable.
        let json = |item| serde_json::to_string(item).unwrap_or_default();
        Self::Items { items: items.iter().map(json).collect(), text: text.into() }
    }
}

/// What handlers add to denials of a code, in its example; see
/// [`DenialCode::example`](crate::DenialCode::example).
#[derive(Clone, Debug, Default)]
#[must_use = "the example is what is returned"]
pub struct DenialExample {
    pub(crate) own: Own,
}

impl DenialExample {
    /// Adds a member, as [`Denial::member`](crate::Denial::member) does.
    pub fn member(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.own.member(name, value);
        self
    }

    /// Sets what happened, as [`Denial::detail`](crate::Denial::detail) does.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.own.detail = Some(detail.into());
        self
    }

    /// Sets the wait, as [`Denial::retry_after`](crate::Denial::retry_after) does.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.own.retry_after(wait);
        self
    }
}

/// What handlers of the application add to denials of a code, as an example.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    Nothing,
    /// It adds to an example what they add.
    Made(fn(DenialExample) -> DenialExample),
    /// The members as a policy has them: a JSON array of names and values.
    Written(&'static str),
}

impl Shown {
    /// What handlers add.
    pub(crate) fn own(self) -> Own {
        match self {
            Self::Nothing => Own::default(),
            Self::Made(example) => example(DenialExample::default()).own,
            Self::Written(members) => {
                // INVARIANT: the registry wrote it.
                let members: Vec<(String, Value)> =
                    serde_json::from_str(members).unwrap_or_default();
                let mut own = Own::default();
                for (name, value) in members {
                    own.member(intern(&name), value);
                }
                own
            }
        }
    }
}

/// A text that lives as long as the process, kept once however often a policy is read.
pub(super) fn intern(text: &str) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = texts.get(text) {
        return kept;
    }
    let kept: &'static str = Box::leak(text.into());
    texts.insert(kept);
    kept
}
