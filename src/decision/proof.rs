//! From the one credential of a request to a principal.

use std::sync::Arc;

use super::attempts::Attempts;
use super::judge::Judge;
use super::refused::Refused;
use crate::address::ClientAddress;
use crate::ask::Ask;
use crate::credential::{Credential, CredentialError, KeyText, Kinds, TokenPlace, Unsupported};
use crate::policy::{Demands, Rule};
use crate::principal::{CredentialKind, Principal};
use crate::verify::key_store::{KeyDigest, Known, Why, implying};
use crate::verify::{Accepts, FoundKey, KeyError, KeyLookUp, TokenError};

impl Judge<'_> {
    /// Proves a credential that came by another way than a header, under the rule that let its request
    /// in: what it takes, and who may have issued it. A rule that asks for nobody takes each kind, and
    /// one that asks for both each of them.
    pub(crate) fn prove_text(
        &self,
        rule: &Rule,
        text: &str,
        address: Option<ClientAddress>,
        ask: &Ask<'_>,
    ) -> Result<Principal, Refused> {
        let policy = &self.grounds.policy;
        let (keys, tokens) = (policy.takes_keys, !policy.issuers.is_empty());
        let credential = Credential::from_text(text, &policy.credential, keys, tokens)?;
        let kind = credential.kind();
        let (is_taken, issuers) = match rule.demands() {
            Some(Demands { kinds, issuers, .. }) => {
                (*kinds == Kinds::Both || kinds.accepts(kind), &issuers[..])
            }
            None => (true, &[][..]),
        };
        if !is_taken || !self.understands(kind) {
            return Err(CredentialError::Unsupported(Unsupported::Kind(kind)).into());
        }
        let attempts = Attempts { judge: self, address, ask };
        self.verify(&credential, issuers, &attempts)
            .map_err(|refused| attempts.account(refused, rule.mode))
    }

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
                if is_guessable {
                    attempts.check_guess(&digest)?;
                }
                let found = FoundKey::new(implying(&key, hierarchy));
                let principal =
                    found.prove(attempts.address, self.grounds.revoked(), || moment.wall())?;
                if is_guessable {
                    attempts.remember(&digest);
                }
                return Ok(principal);
            }
            Known::Absent => {
                if is_guessable {
                    attempts.check_guess(&digest)?;
                }
                return Err(KeyError::Unknown.into());
            }
            Known::Ask(why) => {
                let is_paid = is_guessable && attempts.check_guess(&digest)?;
                if !is_guessable && why == Why::Unknown {
                    attempts.check(CredentialKind::ApiKey)?;
                }
                return Err(self.look_up(digest, why, attempts, is_paid));
            }
            Known::Unavailable => return Err(self.look_up(digest, Why::Unknown, attempts, false)),
        };
        let found = FoundKey::new(held.key(hierarchy));
        if is_guessable {
            attempts.check_guess(&digest)?;
        }
        let principal = found.prove(attempts.address, self.grounds.revoked(), || moment.wall())?;
        if is_guessable {
            attempts.remember(&digest);
        }
        held.note_used(moment.wall());
        Ok(principal)
    }

    /// The key is to be looked up. `is_paid` where an attempt was taken for that.
    fn look_up(
        &self,
        digest: KeyDigest,
        why: Why,
        attempts: &Attempts<'_, '_>,
        is_paid: bool,
    ) -> Refused {
        let address = attempts.address.map(|at| self.grounds.policy.address.bucket(at.counted()));
        let look_up = KeyLookUp::new(&self.grounds.keys, digest, why, address, is_paid);
        KeyError::SourceUnavailable(Box::new(look_up)).into()
    }
}
