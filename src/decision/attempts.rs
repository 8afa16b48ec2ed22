//! The failed attempts of the address that a request comes from.

use super::judge::Judge;
use super::refused::{Refused, TooManyFailures, WaitCause};
use crate::address::{Address, ClientAddress};
use crate::ask::Ask;
use crate::limit::{Failures, MustWait};
use crate::policy::Mode;
use crate::principal::CredentialKind;
use crate::verify::key_store::KeyDigest;

/// The failed attempts of the address that a request comes from.
///
/// While an address waits, what memory alone proves is judged as ever. Only what costs more is
/// checked first: a guess must not keep the server busy with signatures.
pub(super) struct Attempts<'a, 'r> {
    pub(super) judge: &'a Judge<'a>,
    pub(super) address: Option<ClientAddress>,
    pub(super) ask: &'a Ask<'r>,
}

impl Attempts<'_, '_> {
    /// Called before a proof that costs more than a look into memory, and that nobody guesses. What
    /// others did is no reason to refuse it, so the address's own bucket counts alone.
    pub(super) fn check(&self, kind: CredentialKind) -> Result<(), Refused> {
        let Some((failures, address)) = self.counted() else { return Ok(()) };
        self.attempt(failures.check_own(address, self.ask.moment.steady()), kind).map(drop)
    }

    /// Where the address waits, takes one of its attempts; whether it did.
    fn attempt(&self, waits: Result<(), MustWait>, kind: CredentialKind) -> Result<bool, Refused> {
        let (Err(MustWait(wait)), Some((failures, address))) = (waits, self.counted()) else {
            return Ok(false);
        };
        match failures.take_attempt(address, self.ask.moment.steady()) {
            Ok(()) => Ok(true),
            Err(_) => Err(TooManyFailures { wait, cause: WaitCause::NotLookedAt(kind) }.into()),
        }
    }

    /// Called before the answer to a key that somebody may have chosen, and so can be guessed:
    /// while the address waits, one that was not proven in the last hour is answered only where
    /// there is an attempt left. Addresses that there is no room for wait together: otherwise whoever
    /// fills the table could guess as often as they like.
    ///
    /// Called before a key is looked up, and once more before the answer where nothing was paid then: of
    /// guesses that were looked up side by side, those that are answered after the last failure that the
    /// address may make are not free. Whether an attempt was taken.
    pub(super) fn check_guess(&self, presented: &KeyDigest) -> Result<bool, Refused> {
        let Some((failures, address)) = self.counted() else { return Ok(false) };
        let now = self.ask.moment.steady();
        match self.ask.came.is_paid || failures.remembers(presented.as_bytes(), now) {
            true => Ok(false),
            false => self.attempt(failures.check(address, now), CredentialKind::ApiKey),
        }
    }

    /// Called after the proof of a key that can be guessed. One that is found and proves nothing, since
    /// it has expired or was revoked, is a guess like any other the next time.
    pub(super) fn remember(&self, proven: &KeyDigest) {
        if let Some(failures) = self.judge.failures {
            failures.remember(proven.as_bytes(), self.ask.moment.steady());
        }
    }

    /// Microseconds for which the address has to wait, if it has to by its own failures.
    pub(super) fn wait(&self) -> Option<u64> {
        let (failures, address) = self.counted()?;
        failures.check_own(address, self.ask.moment.steady()).err().map(|MustWait(wait)| wait)
    }

    /// Charges an attempt that proved nothing to its address; where that has to wait already, the
    /// answer says so.
    pub(super) fn account(&self, refused: Refused, mode: Mode) -> Refused {
        let is_failure = refused.proves_nothing() && !refused.may_ask_again();
        let Some((failures, address)) = self.counted().filter(|_| is_failure) else {
            return refused;
        };
        let now = self.ask.moment.steady();
        match failures.check(address, now) {
            Err(MustWait(wait)) => {
                TooManyFailures { wait, cause: WaitCause::Failed(Box::new(refused)) }.into()
            }
            Ok(()) => {
                // A rule in shadow mode refuses nobody, so it makes nobody wait elsewhere either;
                // but keys that can be guessed are not to be guessed there for free.
                if mode == Mode::Enforce || self.judge.grounds.policy.keys.is_guessable() {
                    failures.charge(address, now);
                }
                refused
            }
        }
    }

    fn counted(&self) -> Option<(&Failures, Address)> {
        let address = self.judge.grounds.policy.address.bucket(self.address?.counted());
        Some((self.judge.failures?, address))
    }
}
