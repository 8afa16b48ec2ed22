//! Limits that are short, and addresses that failed too often.

use crate::decision::{TooManyFailures, WaitCause};
use crate::denial::code_of::code_of;
use crate::denial::document::Draft;
use crate::denial::facts::Facts;
use crate::denial::known::Known;
use crate::denial::own::Fact;
use crate::denial::properties::{Action, Actor};
use crate::denial::written::Hole;
use crate::limit::{Balance, Charge, Standing, Unavailable, Wait};
use crate::principal::CredentialKind;
use crate::time::MICROS;

/// The store of the limits does not answer.
pub(super) fn unavailable() -> Facts {
    Facts::default().wait(Unavailable::RETRY_AFTER * MICROS).because(
        "the store of the limits does not answer, and a limit of the rule says \
         `on_store_failure = \"closed\"`; see `stores` of the gate's status",
    )
}

/// Limits that are not published are told to nobody but the log.
pub(super) fn rate_limited(known: &Known, balance: &Balance, draft: &Draft) -> Facts {
    let is_short = |(_, standing): &&(Charge, Standing)| standing.wait != Wait::None;
    let (of_hidden, of_shown): (Vec<_>, Vec<_>) =
        balance.iter().filter(is_short).partition(|(charge, _)| known.hidden(charge).is_some());
    let mut facts = Facts::default();
    if let [_, ..] = &of_hidden[..] {
        let names = of_hidden.iter().filter_map(|(charge, _)| known.hidden(charge));
        let names = names.map(|name| &**name).collect::<Vec<_>>().join(", ");
        facts = facts.because(format!("not published, and short: {names}"));
    }
    if let Some(address) = draft.address.filter(|_| known.is_by_address(balance)) {
        facts = facts.with("address", Fact::Changing(Hole::Address, address.to_string()));
    }
    // Where costs differ, that of the longest wait.
    if let Some((charge, _)) = of_shown.iter().max_by_key(|(_, standing)| standing.wait) {
        facts = facts.number("cost", charge.cost.into()).with("limits", Fact::Limits);
        facts = match charge.cost {
            0 | 1 => facts.detail("The limit {limits}."),
            _ => facts.detail("The request takes {cost}, and the limit {limits}."),
        };
    }
    match balance.wait() {
        Wait::Never => Facts { retryable: Some(false), ..facts }
            .action(Action::Stop, Actor::Client)
            .remedy("It never fits: ask for less at once, or for a larger plan."),
        Wait::None => facts.wait(0),
        Wait::Micros(micros) => facts.wait(micros),
    }
}

pub(super) fn too_many_failures(failures: &TooManyFailures) -> Facts {
    let wait = failures.wait;
    match &failures.cause {
        WaitCause::Failed(failure) => {
            let code = code_of(failure).row().code;
            let facts = Facts { retryable: Some(false), ..Facts::default() };
            let facts = facts.action(Action::FixRequest, Actor::Client);
            facts.text("last_failure", code).wait(wait).because("the attempt failed")
        }
        WaitCause::NotLookedAt(CredentialKind::ApiKey) => Facts::default()
            .detail(
                "Too many attempts from this address failed, of others behind it too. So the key was not looked at.",
            )
            .remedy(
                "Wait {retry_after} s, then repeat the request. A key that was accepted in the last hour is let in at once.",
            )
            .wait(wait)
            .because("the key was not looked at"),
        WaitCause::Public => Facts::default()
            .detail("Too many attempts from this address failed, of others behind it too.")
            .remedy("Wait {retry_after} s, then repeat the request.")
            .wait(wait)
            .because("the rule is public, and lets no address pass that waits"),
        WaitCause::NotLookedAt(_) => Facts::default()
            .detail(
                "Too many attempts from this address failed, of others behind it too. So the token was not looked at.",
            )
            .remedy(
                "Wait {retry_after} s, then repeat the request. A token that was accepted before is let in at once.",
            )
            .wait(wait)
            .because("the token was not looked at"),
    }
}
