//! Whether to send a refused request again, and when.

use std::time::Duration;

use super::{Action, Category, Denial};

/// What a program can do about a denial by itself. See [`Denial::advice`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Advice {
    /// Wait this long, counted from the moment the response came, then send the same request.
    ///
    /// It may be days, for a key that is valid from next week: decide how long you are willing
    /// to wait.
    Wait(Duration),
    /// Get a new token with the same rights from the same issuer, then send the request with it. Do
    /// so once: a second token that is refused likewise is not going to be better than the first.
    ///
    /// Where the request carried no token but an API key, it means [`Stop`](Self::Stop).
    RenewToken,
    /// Get a token that has these scopes beside those that the old one had, then send the request
    /// with it. The user may have to consent. They are the least that is enough here: all that are
    /// required, and the first of those of which one is.
    StepUp(Vec<String>),
    /// Do not send it again: something has to change first, and `remedy` says what.
    /// [`Denial::action`] and [`Denial::actor`] say who does it.
    Stop,
}

/// What is waited at first where no time is named.
const FIRST: Duration = Duration::from_secs(1);

/// What growing waits end at.
const LONGEST: Duration = Duration::from_secs(60);

impl Denial {
    /// How long to wait before the same request is sent again; `None` if it should not be:
    /// something has to change first, and `remedy` says what.
    ///
    /// `attempt` is how many times in a row the request was refused, this time included; 0 counts
    /// as 1.
    ///
    /// 1. It is not `retryable`: `None`.
    /// 2. It names a time, and the fault is not the server's: exactly `retry_after`. A request
    ///    that is sent sooner is refused again.
    /// 3. Otherwise: `retry_after`, or a second, at first; then twice as long with each attempt,
    ///    up to a minute, but never less than `retry_after`.
    ///
    /// Count from the moment the response came. The time may be days, for a key that is valid
    /// from next week, so decide how long you are willing to wait.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tollgate_client::Denial;
    /// # fn waits(denial: &Denial) {
    /// for attempt in 1..=3 {
    ///     match denial.retry_delay(attempt) {
    ///         Some(delay) if delay < Duration::from_secs(60) => std::thread::sleep(delay),
    ///         _ => break,
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn retry_delay(&self, attempt: u32) -> Option<Duration> {
        if !self.retryable {
            return None;
        }
        let first = self.retry_after.unwrap_or(FIRST);
        if self.retry_after.is_some() && self.category != Category::Server {
            return Some(first);
        }
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        Some(first.saturating_mul(factor).min(LONGEST).max(first))
    }

    /// What a program can do about it by itself, in this order:
    ///
    /// 1. [`Wait`](Advice::Wait), where [`retry_delay`](Self::retry_delay) gives a time.
    /// 2. [`RenewToken`](Advice::RenewToken), where [`action`](Self::action) is to renew.
    /// 3. [`StepUp`](Advice::StepUp), where it is to step up, and the scopes are told.
    /// 4. [`Stop`](Advice::Stop), also for an action that this version does not know: show
    ///    [`title`](Self::title) and [`remedy`](Self::remedy).
    ///
    /// [`Recovery`](super::Recovery) follows it through several refusals of one request.
    #[must_use]
    pub fn advice(&self, attempt: u32) -> Advice {
        match (self.retry_delay(attempt), &self.action) {
            (Some(delay), _) => Advice::Wait(delay),
            (None, Action::Renew) => Advice::RenewToken,
            (None, Action::StepUp) => match self.needed_scopes() {
                scopes if scopes.is_empty() => Advice::Stop,
                scopes => Advice::StepUp(scopes),
            },
            (None, _) => Advice::Stop,
        }
    }

    /// The least that is enough here: all that are required, and the first of those of which one is.
    fn needed_scopes(&self) -> Vec<String> {
        let any = self.any_scopes.first().filter(|any| !self.required_scopes.contains(any));
        self.required_scopes.iter().chain(any).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn denial(code: &str, category: &str, retry_after: Option<u64>) -> Denial {
        serde_json::from_value(json!({
            "type": format!("/errors/{code}"), "title": "Refused", "status": 403, "code": code,
            "category": category, "remedy": "Wait.", "retryable": true, "retry_after": retry_after,
            "action": "wait", "actor": "client",
            "instance": "urn:uuid:00000000-0000-4000-8000-000000000000",
        }))
        .unwrap()
    }

    #[test]
    fn delays_follow_the_law() {
        for (category, retry_after, delays) in [
            ("limit", Some(7), [7, 7, 7, 7, 7]),
            ("limit", Some(604_800), [604_800; 5]),
            ("a category that is new", Some(7), [7; 5]),
            ("limit", None, [1, 2, 4, 60, 60]),
            ("server", None, [1, 2, 4, 60, 60]),
            ("server", Some(5), [5, 10, 20, 60, 60]),
            ("server", Some(90), [90; 5]),
            ("server", Some(u64::MAX), [u64::MAX; 5]),
        ] {
            let denial = denial("rate_limited", category, retry_after);
            for (attempt, delay) in [1, 2, 3, 7, u32::MAX].into_iter().zip(delays) {
                let expected = Some(Duration::from_secs(delay));
                let label = format!("{category}, {retry_after:?}, attempt {attempt}");
                assert_eq!(denial.retry_delay(attempt), expected, "{label}");
            }
            assert_eq!(denial.retry_delay(0), denial.retry_delay(1), "0 counts as 1");
        }
    }

    #[test]
    fn what_is_not_retryable_is_never_sent_again_unchanged() {
        let mut denial = denial("rate_limited", "limit", Some(7));
        denial.retryable = false;
        assert_eq!((denial.retry_delay(1), denial.advice(1)), (None, Advice::Stop));
    }

    #[test]
    fn the_action_is_what_counts() {
        for (action, advice) in [
            ("renew", Advice::RenewToken),
            ("step_up", Advice::StepUp(vec!["a".into(), "b".into(), "x".into()])),
            ("fix_request", Advice::Stop),
            ("ask", Advice::Stop),
            ("report", Advice::Stop),
            ("stop", Advice::Stop),
            ("wait", Advice::Stop),
            ("an action that is new", Advice::Stop),
        ] {
            let mut denial = denial("a_code_that_is_new", "token", None);
            (denial.retryable, denial.action) = (false, action.into());
            denial.required_scopes = vec!["a".into(), "b".into()];
            denial.any_scopes = vec!["x".into(), "y".into()];
            assert_eq!(denial.advice(1), advice, "{action}");
        }
        assert_eq!(
            denial("token_not_yet_valid", "token", Some(9)).advice(1),
            Advice::Wait(Duration::from_secs(9))
        );
    }

    #[test]
    fn without_scopes_there_is_nothing_to_step_up_to() {
        let mut denial = denial("insufficient_scope", "authorization", None);
        (denial.retryable, denial.action) = (false, Action::StepUp);
        assert_eq!(denial.advice(1), Advice::Stop);
    }
}
