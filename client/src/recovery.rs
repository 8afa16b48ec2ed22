//! One request on its way through refusals.

use std::time::Duration;

use super::{Advice, Code, Denial};

/// How often a request is sent at most, and how long it may wait at a time, if nothing else is said.
const ATTEMPTS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// The one loop around a request: it follows the [`Advice`] of each denial, renews the token once,
/// steps up with all scopes that were ever needed, waits, and stops.
///
/// [`run`](Self::run) is the loop itself, for any client and any runtime. Where a loop of your own
/// fits better, ask [`next`](Self::next) after each denial. Use a new one for each request.
///
/// ```
/// use std::time::Duration;
/// use tollgate_client::{Denial, Recovery};
///
/// # async fn send(_: &str) -> Result<Result<String, Box<Denial>>, Box<dyn std::error::Error>> { todo!() }
/// # async fn ask_issuer(_: &[String]) -> Result<String, Box<dyn std::error::Error>> { todo!() }
/// # async fn sleep(_: Duration) {}
/// # async fn example(token: &mut String) -> Result<String, Box<dyn std::error::Error>> {
/// let orders = Recovery::new()
///     .with_scopes(["orders:read"]) // those that the token has now
///     .run(
///         token,
///         async |token: &String| send(token).await,
///         async |scopes: &[String]| ask_issuer(scopes).await.map(Some),
///         sleep,
///     )
///     .await?;
/// # Ok(orders) }
/// ```
#[derive(Clone, Debug)]
pub struct Recovery {
    attempts: u32,
    patience: Duration,
    /// How many times the request was refused.
    refused: u32,
    /// What refused it last, and how many times in a row.
    last: Option<(Code, u32)>,
    has_renewed: bool,
    scopes: Vec<String>,
}

/// What comes next, after a denial.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Next {
    /// Wait this long, counted from the moment the response came, then send the request again.
    Wait(Duration),
    /// Get a token with these scopes, then send the request with it: those of
    /// [`with_scopes`](Recovery::with_scopes) and all that were needed since. Empty where none are
    /// known: then with those of the old one.
    Obtain(Vec<String>),
    /// Stop, and show the denial: only people can do something about it.
    Stop,
}

impl Default for Recovery {
    fn default() -> Self {
        Self::new()
    }
}

impl Recovery {
    /// A request that was not refused yet: it is sent at most four times, and waits at most a minute
    /// at a time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: ATTEMPTS,
            patience: PATIENCE,
            refused: 0,
            last: None,
            has_renewed: false,
            scopes: Vec::new(),
        }
    }

    /// Sets how often the request is sent at most, the first time included; 0 counts as 1.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the longest that the request waits at a time. Where it would have to wait longer, it
    /// stops.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Says which scopes the token has now, so that none of them is lost where more are needed.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        for scope in scopes {
            self.add(scope.into());
        }
        self
    }

    fn add(&mut self, scope: String) -> bool {
        let is_new = !self.scopes.contains(&scope);
        if is_new {
            self.scopes.push(scope);
        }
        is_new
    }

    /// What comes next, now that the request was refused with this denial.
    ///
    /// A token is renewed once, and stepped up only where a scope is needed that was not asked for
    /// before: a token that lacks it all the same is not going to have it.
    pub fn next(&mut self, denial: &Denial) -> Next {
        self.refused += 1;
        if self.refused >= self.attempts {
            return Next::Stop;
        }
        let in_a_row = match &self.last {
            Some((code, times)) if *code == denial.code => times + 1,
            _ => 1,
        };
        self.last = Some((denial.code.clone(), in_a_row));
        match denial.advice(in_a_row) {
            Advice::Wait(delay) if delay <= self.patience => Next::Wait(delay),
            Advice::RenewToken if !self.has_renewed => {
                self.has_renewed = true;
                Next::Obtain(self.scopes.clone())
            }
            Advice::StepUp(scopes) => {
                // Each is added, whether or not one before it is new.
                let are_new = scopes.into_iter().fold(false, |any, scope| self.add(scope) | any);
                if are_new { Next::Obtain(self.scopes.clone()) } else { Next::Stop }
            }
            Advice::Wait(_) | Advice::RenewToken | Advice::Stop => Next::Stop,
        }
    }

    /// Sends a request until it is answered, or nothing is left to try.
    ///
    /// - `send` sends it with the credential: the answer, or the denial that came in its place.
    /// - `obtain` gets a new credential with these scopes; `None` where there is none. The
    ///   new one is put in the place of the old.
    /// - `sleep` waits, with the timer of your runtime.
    ///
    /// # Errors
    ///
    /// The denial that nothing helps against, or the error of `send` or `obtain`.
    pub async fn run<C, T, E: From<Box<Denial>>>(
        mut self,
        credential: &mut C,
        mut send: impl AsyncFnMut(&C) -> Result<Result<T, Box<Denial>>, E>,
        mut obtain: impl AsyncFnMut(&[String]) -> Result<Option<C>, E>,
        mut sleep: impl AsyncFnMut(Duration),
    ) -> Result<T, E> {
        loop {
            let denial = match send(credential).await? {
                Ok(answer) => return Ok(answer),
                Err(denial) => denial,
            };
            match self.next(&denial) {
                Next::Wait(delay) => sleep(delay).await,
                Next::Obtain(scopes) => match obtain(&scopes).await? {
                    Some(new) => *credential = new,
                    None => return Err(denial.into()),
                },
                Next::Stop => return Err(denial.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn denial(code: &str, action: &str, more: Value) -> Denial {
        let mut document = json!({
            "type": "/", "title": "Refused", "status": 403, "code": code, "category": "token",
            "remedy": "Wait.", "retryable": action == "wait", "action": action, "actor": "client",
            "instance": "",
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn scopes(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_token_is_renewed_once() {
        let expired = denial("token_expired", "renew", json!({}));
        let mut recovery = Recovery::new().with_scopes(["a"]);
        assert_eq!(recovery.next(&expired), Next::Obtain(scopes(&["a"])));
        assert_eq!(recovery.next(&expired), Next::Stop);
    }

    #[test]
    fn it_steps_up_with_all_scopes_that_were_needed_and_asks_for_none_twice() {
        let lacks = |needed: &[&str]| {
            denial("insufficient_scope", "step_up", json!({ "required_scopes": needed }))
        };
        let mut recovery = Recovery::new().with_attempts(9).with_scopes(["a"]);
        assert_eq!(recovery.next(&lacks(&["b"])), Next::Obtain(scopes(&["a", "b"])));
        assert_eq!(recovery.next(&lacks(&["b", "c"])), Next::Obtain(scopes(&["a", "b", "c"])));
        assert_eq!(recovery.next(&lacks(&["c"])), Next::Stop, "it was asked for already");
        let expired = denial("token_expired", "renew", json!({}));
        assert_eq!(recovery.next(&expired), Next::Obtain(scopes(&["a", "b", "c"])));
    }

    #[test]
    fn it_waits_as_long_as_it_has_patience_and_attempts() {
        let limited = denial("rate_limited", "wait", json!({"retry_after": 7}));
        let seconds = Duration::from_secs;
        let mut recovery = Recovery::new().with_attempts(3);
        assert_eq!(recovery.next(&limited), Next::Wait(seconds(7)));
        assert_eq!(recovery.next(&limited), Next::Wait(seconds(7)));
        assert_eq!(recovery.next(&limited), Next::Stop, "it was sent three times");
        assert_eq!(Recovery::new().with_patience(seconds(6)).next(&limited), Next::Stop);
        assert_eq!(Recovery::new().with_attempts(0).next(&limited), Next::Stop);
    }

    #[test]
    fn waits_without_a_time_grow_while_the_reason_stays() {
        let down = denial("limiter_unavailable", "wait", json!({}));
        let limited = denial("rate_limited", "wait", json!({"retry_after": 7}));
        let mut recovery = Recovery::new().with_attempts(9);
        let waits = [&down, &down, &down, &limited, &down].map(|denial| recovery.next(denial));
        assert_eq!(waits, [1, 2, 4, 7, 1].map(|wait| Next::Wait(Duration::from_secs(wait))));
    }
}
