//! From the one credential of a request to a principal.

use std::sync::Arc;

use super::attempts::Attempts;
use super::judge::Judge;
use super::refused::Refused;
use crate::ask::Ask;
use crate::credential::{Credential, KeyText, TokenPlace};
use crate::principal::{CredentialKind, Principal};
use crate::verify::key_store::{KeyDigest, Known, Why, implying};
use crate::verify::{Accepts, FoundKey, KeyError, KeyLookUp, TokenError};

impl Judge<'_> {
    pub(super) fn verify(
        &self,
        credential: &Credential<'_>,
        issuers: &[Arc<str>],
        attempts: &Attempts<'_, '_>,
    ) -> Result<Principal, Refused> {
        let (moment, revoked) = (&attempts.ask.moment, self.grounds.revoked());
        let keys = &self.grounds.policy.keys;
        let key = |key: &KeyText<'_>| {
            let digest = keys.digest(key)?;
            let Some(found) = keys.find(&digest) else {
                return self.prove_other(digest, attempts);
            };
            if keys.is_guessable() {
                attempts.check_guess(&digest)?;
            }
            let principal = found.prove(attempts.address, revoked, || moment.wall())?;
            if keys.is_guessable() {
                attempts.remember(&digest);
            }
            Ok::<_, Refused>(principal)
        };
        let token = |token: &[u8], place: TokenPlace| {
            let (accepts, now, known) =
                (Accepts { place, issuers }, moment.wall(), &self.grounds.policy.issuers);
            let proven = match self.grounds.tokens.recall(token, accepts, now, known) {
                Some(answer) => answer?,
                None => {
                    let before = || attempts.check(CredentialKind::Token);
                    self.grounds.tokens.prove(token, accepts, now, known, before)?
                }
            };
            if revoked.has_token(&proven.proven) {
                return Err(TokenError::Revoked(proven.proven).into());
            }
            Ok::<_, Refused>(proven.into_principal())
        };
        match credential {
            Credential::ApiKey(text) => key(text),
            Credential::Token { value, place } => token(value, *place),
            // The key is judged first.
            Credential::Both { key: text, value, place } => {
                let application = key(text)?;
                Ok(token(value, *place)?.with_application(&application))
            }
        }
    }

    /// From the digest of a key that the policy does not hold to a principal: by memory, or by what
    /// its source said while the request waited.
    fn prove_other(
        &self,
        digest: KeyDigest,
        attempts: &Attempts<'_, '_>,
    ) -> Result<Principal, Refused> {
        let Ask { moment, came, .. } = attempts.ask;
        let (is_guessable, hierarchy) =
            (self.grounds.policy.keys.is_guessable(), &self.grounds.policy.hierarchy);
        let looked_up = came.record.as_ref();
        let held = match self.grounds.keys.recall(&digest, || moment.steady(), looked_up) {
            Known::Held(held) => held,
            Known::Found(key) => {
                let found = FoundKey::new(implying(&key, hierarchy));
                let principal =
                    found.prove(attempts.address, self.grounds.revoked(), || moment.wall())?;
                if is_guessable {
                    attempts.remember(&digest);
                }
                return Ok(principal);
            }
            Known::Absent => {
                // Before it was looked up, the request was checked.
                if is_guessable && looked_up.is_none() {
                    attempts.check_guess(&digest)?;
                }
                return Err(KeyError::Unknown.into());
            }
            Known::Ask(why) => {
                if is_guessable {
                    attempts.check_guess(&digest)?;
                } else if why == Why::Unknown {
                    attempts.check(CredentialKind::ApiKey)?;
                }
                return Err(self.look_up(digest, why, attempts));
            }
            Known::Unavailable => return Err(self.look_up(digest, Why::Unknown, attempts)),
        };
        let found = FoundKey::new(held.key(hierarchy));
        if is_guessable && looked_up.is_none() {
            attempts.check_guess(&digest)?;
        }
        let principal = found.prove(attempts.address, self.grounds.revoked(), || moment.wall())?;
        if is_guessable {
            attempts.remember(&digest);
        }
        held.note_used(moment.wall());
        Ok(principal)
    }

    fn look_up(&self, digest: KeyDigest, why: Why, attempts: &Attempts<'_, '_>) -> Refused {
        let address = attempts.address.map(|at| self.grounds.policy.address.bucket(at.counted()));
        let look_up = KeyLookUp::new(&self.grounds.keys, digest, why, address);
        KeyError::SourceUnavailable(Box::new(look_up)).into()
    }
}
