//! The denial: a code and the facts, not yet written out.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::catalogue::{Code, DenialCode};
use super::code_of::code_of;
use super::own::Own;
use super::properties::Category;
use crate::address::{Address, ClientAddress};
use crate::decision::{Caller, Refused};
use crate::limit::{Balance, Wait};
use crate::policy::Rule;
use crate::principal::{CredentialKind, Principal};
use crate::time::Wall;

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
///     .with_title("Card declined")
///     .with_remedy("Use another card, then repeat the request.");
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
    pub(crate) reason: Reason,
    pub(crate) instance: Uuid,
    /// The rule that covers the request; `None` where none does, or no gate placed the denial.
    pub(crate) rule: Option<Arc<Rule>>,
    /// Who called, where that is known.
    pub(crate) principal: Option<Principal>,
    /// The kind of credential that the caller came with, where one was proven.
    pub(crate) kind: Option<CredentialKind>,
    /// Where the request came from, where that was proven.
    pub(crate) address: Option<Address>,
    /// When it was decided; 1970 where no gate placed the denial, and where that made no difference.
    pub(crate) now: Wall,
    /// How the limits stood when the request was admitted, where a handler refused it.
    pub(crate) balance: Balance,
    /// What a handler added.
    pub(crate) own: Own,
}

/// Why the request is denied.
#[derive(Clone, Debug)]
pub(crate) enum Reason {
    /// A stage of the decision refused it.
    Refused(Refused),
    /// A handler asks for another kind of credential than the caller came with.
    OtherKind { wanted: CredentialKind },
    /// The gate, or the way it is mounted, is at fault: what exactly, for the log.
    Fault(Cow<'static, str>),
    /// A handler refused it with this code.
    Code(&'static DenialCode),
    /// A handler refused it with a code of the policy, which is looked up when it is written.
    Named(Cow<'static, str>),
}

impl Denial {
    /// A denial for this code. Register codes of your own with
    /// [`TollgateBuilder::code`](crate::TollgateBuilder::code), so that a clash is found when
    /// the gate is built.
    #[must_use]
    pub fn new(code: &'static DenialCode) -> Self {
        Self::because_of(Reason::Code(code))
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
    #[must_use]
    pub fn named(code: impl Into<Cow<'static, str>>) -> Self {
        Self::because_of(Reason::Named(code.into()))
    }

    /// What happened to this request, in a sentence. It replaces the code's own.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.own.detail = Some(detail.into());
        self
    }

    /// Adds a member to the document. Its name matches `^[a-z][a-z0-9_]{2,}$` and is not one of
    /// the members that every denial has; other names are left out, and the log says so.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.0.own.member(name, value);
        self
    }

    /// When the same request may succeed: sent as `Retry-After` and as `retry_after`, rounded up
    /// to a whole second, and as `retry-after-ms`. It makes the denial retryable, and `action` is to
    /// wait.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.0.own.retry_after(wait);
        self
    }

    /// Counts it as a failed attempt: it is charged to the address of the request, as a credential
    /// that proves nothing is. For handlers that check a password, on a rule of any kind.
    ///
    /// ```
    /// # use tollgate::{Category, Denial, DenialCode};
    /// static WRONG_PASSWORD: DenialCode = DenialCode::new("wrong_password", Category::Credentials)
    ///     .with_title("Wrong password");
    ///
    /// async fn sign_in() -> Result<&'static str, Denial> {
    ///     Err(Denial::new(&WRONG_PASSWORD).counts_as_failure())
    /// }
    /// ```
    #[must_use]
    pub fn counts_as_failure(mut self) -> Self {
        self.0.own.counts_as_failure = true;
        self
    }

    /// The name of the code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0.code()
    }

    /// The category of the code; `None` for one of the policy, which the gate looks up.
    #[must_use]
    pub fn category(&self) -> Option<Category> {
        self.0.reason.row().ok().map(|row| row.category)
    }

    /// Names this denial, in the document and in the log: `urn:uuid:…`.
    #[must_use]
    pub fn instance(&self) -> String {
        self.0.instance.urn().to_string()
    }

    /// A denial of the gate's own: why the request is refused, and what is known of its caller.
    pub(crate) fn of(
        refused: Refused,
        rule: Option<Arc<Rule>>,
        caller: &Caller,
        now: Wall,
    ) -> Self {
        Self(Box::new(Draft::of(refused, rule, caller, now)))
    }

    /// The gate, or the way it is mounted, is at fault.
    pub(crate) fn decision_failed(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::because_of(Reason::Fault(cause.into()))
    }

    pub(crate) fn because_of(reason: Reason) -> Self {
        Self(Box::new(Draft::because_of(reason)))
    }

    /// Sets what exactly went wrong, for the log.
    pub(crate) fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.0.own.cause = cause.into();
        self
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.0
    }

    pub(crate) fn draft_mut(&mut self) -> &mut Draft {
        &mut self.0
    }
}

/// A wait in milliseconds, rounded up, at least 1.
pub(super) fn millis_up(micros: u64) -> u64 {
    micros.div_ceil(1000).max(1)
}

/// A wait in seconds, rounded up.
pub(super) fn seconds_of(millis: u64) -> u64 {
    millis.div_ceil(1000)
}

impl Reason {
    /// The row of the code, or the name of one that the policy declares.
    pub(crate) fn row(&self) -> Result<&'static DenialCode, &str> {
        match self {
            Self::Refused(refused) => Ok(code_of(refused).row()),
            Self::OtherKind { .. } => Ok(Code::CredentialsUnsupported.row()),
            Self::Fault(_) => Ok(Code::DecisionFailed.row()),
            Self::Code(row) => Ok(row),
            Self::Named(name) => Err(name),
        }
    }
}

impl Draft {
    /// Why a request is refused, and what is known of its caller.
    #[inline]
    pub(crate) fn of(
        refused: Refused,
        rule: Option<Arc<Rule>>,
        caller: &Caller,
        now: Wall,
    ) -> Self {
        Self {
            rule,
            principal: caller.principal.clone(),
            kind: caller.principal.as_ref().map(Principal::credential),
            address: caller.address.and_then(ClientAddress::proven),
            now,
            ..Self::because_of(Reason::Refused(refused))
        }
    }

    #[inline]
    fn because_of(reason: Reason) -> Self {
        Self {
            reason,
            instance: Uuid::new_v4(),
            rule: None,
            principal: None,
            kind: None,
            address: None,
            now: Wall::from_micros(0),
            balance: Balance::default(),
            own: Own::default(),
        }
    }

    /// The same denial with another code: its own is not registered.
    pub(super) fn unregistered(&self) -> Self {
        let reason = Reason::Fault("the code is not registered".into());
        let (instance, rule) = (self.instance, self.rule.clone());
        Self { instance, rule, ..Self::because_of(reason) }
    }

    /// The name of the code.
    pub(crate) fn code(&self) -> &str {
        match self.reason.row() {
            Ok(row) => row.code,
            Err(name) => name,
        }
    }

    /// The code, where it is one of ours.
    pub(crate) fn known_code(&self) -> Option<Code> {
        self.reason.row().ok()?.known
    }

    /// How many milliseconds to wait, where what floods are made of has a wait.
    pub(super) fn wait(&self) -> Option<u64> {
        let wait = match &self.reason {
            Reason::Refused(Refused::Limits(balance)) => match balance.wait() {
                Wait::Never => None,
                Wait::None => Some(0),
                Wait::Micros(micros) => Some(micros),
            },
            Reason::Refused(Refused::TooManyFailures(failures)) => Some(failures.wait),
            _ => None,
        };
        self.own.wait.or(wait.map(millis_up))
    }

    /// The public name of the caller's key.
    pub(super) fn key_id(&self) -> &str {
        self.principal.as_ref().and_then(Principal::key_id).unwrap_or_default()
    }

    /// How the limits stand, where they were looked at.
    pub(super) fn balance(&self) -> &Balance {
        match &self.reason {
            Reason::Refused(Refused::Limits(balance)) => balance,
            _ => &self.balance,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::own::Fact;
    use super::*;
    use crate::decision::{TooManyFailures, WaitCause};
    use crate::limit::{Charge, Standing, Wait};
    use crate::time::MICROS;

    static LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization);

    #[test]
    fn a_wait_is_whole_milliseconds_and_at_least_one() {
        let millis = |wait| Denial::new(&LOCKED).retry_after(wait).draft().wait();
        assert_eq!(millis(Duration::ZERO), Some(1));
        assert_eq!(millis(Duration::from_nanos(1)), Some(1));
        assert_eq!(millis(Duration::from_secs(2)), Some(2000));
        assert_eq!(millis(Duration::from_nanos(2_000_000_001)), Some(2001));
        assert_eq!([1, 1000, 1001].map(seconds_of), [1, 1, 2], "rounded up");
        assert_eq!(millis(Duration::MAX), Some(u64::MAX));
        assert_eq!(Denial::new(&LOCKED).draft().wait(), None);
    }

    #[test]
    fn what_floods_are_made_of_waits_for_the_longest_and_a_handler_has_the_last_word() {
        let standing =
            |wait| (Charge::sample(0, 0, 1), Standing { remaining: 0, wait, full_in: 1 });
        let limits = [Wait::Micros(MICROS), Wait::Micros(MICROS + 1)].map(standing);
        let failures = TooManyFailures { wait: 1, cause: WaitCause::Public };
        let of =
            |refused: Refused| Denial::of(refused, None, &Caller::default(), Wall::from_seconds(0));
        let limited = of(Refused::Limits(Box::new(limits.into_iter().collect())));
        assert_eq!(limited.draft().wait(), Some(1001));
        assert_eq!(of(Refused::TooManyFailures(failures)).draft().wait(), Some(1));
        assert_eq!(limited.retry_after(Duration::from_secs(9)).draft().wait(), Some(9000));
    }

    #[test]
    fn the_last_member_of_a_name_is_the_one() {
        let denial = Denial::new(&LOCKED).member("by", 1).member("order", 7).member("order", "8");
        let members = &denial.draft().own.members;
        assert!(
            matches!(&members[..], [("order", Fact::Text(text))] if text == "8"),
            "{members:?}"
        );
        assert!(Denial::new(&LOCKED).member("order", None::<u8>).draft().own.is_empty());
        for reserved in ["status", "code", "retry_after", "instance", "Order", "x"] {
            assert!(Denial::new(&LOCKED).member(reserved, 1).draft().own.is_empty(), "{reserved}");
        }
    }

    #[test]
    fn a_denial_with_an_unknown_code_keeps_what_names_it() {
        let denial = Denial::named("nobody_declared").detail("Mine.");
        let shown = Denial(Box::new(denial.draft().unregistered()));
        assert_eq!((denial.code(), denial.category()), ("nobody_declared", None));
        assert_eq!((shown.code(), shown.category()), ("decision_failed", Some(Category::Server)));
        assert_eq!(shown.instance(), denial.instance());
        assert!(shown.draft().own.is_empty(), "and nothing of the handler's");
        assert_ne!(Denial::named("a").instance(), Denial::named("a").instance());
    }
}
