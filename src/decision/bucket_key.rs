//! What a bucket is kept for: the parts of the limit's key, as they are in this request.

use http::HeaderName;

use super::caller::Caller;
use crate::ask::Ask;
use crate::claims::{self, ClaimPath};
use crate::limit::{BucketName, KeyPart, Limit, Parts};
use crate::policy::{Policy, Rule};
use crate::principal::Principal;

/// The bucket of a request, under one of its limits.
pub(super) struct BucketKey<'k, 'r> {
    pub(super) limit: &'k Limit,
    pub(super) policy: &'k Policy,
    pub(super) rule: &'k Rule,
    pub(super) ask: &'k Ask<'r>,
    pub(super) caller: &'k Caller,
}

impl BucketName for BucketKey<'_, '_> {
    fn write(&self, parts: &mut impl Parts) {
        for part in &self.limit.per {
            match part {
                KeyPart::Client => self.client(parts),
                KeyPart::Address => self.address(parts),
                KeyPart::Rule => parts.rule(&self.rule.name),
                KeyPart::Global => {}
                KeyPart::Claim(claim) => self.claim(claim, parts),
                KeyPart::Path(name) => self.path(name, parts),
                KeyPart::Header(name) => self.header(name, parts),
            }
        }
    }
}

impl BucketKey<'_, '_> {
    fn client(&self, parts: &mut impl Parts) {
        if let Some(principal) = &self.caller.principal {
            parts.client(principal);
        }
    }

    fn address(&self, parts: &mut impl Parts) {
        if let Some(address) = self.caller.address {
            parts.address(self.policy.address.bucket(address.counted()));
        }
    }

    /// Who calls: the client, where one was proven, and otherwise the address.
    fn caller(&self, parts: &mut impl Parts) {
        match &self.caller.principal {
            Some(principal) => parts.client(principal),
            None => self.address(parts),
        }
    }

    // What follows is out of line, so that limits by client and address do not carry it.

    #[inline(never)]
    fn path(&self, name: &str, parts: &mut impl Parts) {
        match self.rule.parameter(self.ask.path, name) {
            Some(value) => parts.path(&value),
            None => self.caller(parts),
        }
    }

    #[inline(never)]
    fn header(&self, name: &HeaderName, parts: &mut impl Parts) {
        let mut values = self.ask.headers.get_all(name).iter();
        match values.next() {
            Some(first) => parts.header(first.as_bytes(), values.map(|value| value.as_bytes())),
            None => self.caller(parts),
        }
    }

    /// A claim of the caller's token. A caller without it has a bucket of its own.
    #[inline(never)]
    fn claim(&self, path: &ClaimPath, parts: &mut impl Parts) {
        let principal = self.caller.principal.as_ref();
        let claim = principal.and_then(Principal::claims).and_then(|claims| path.find(claims));
        let Some(claim) = claim else { return self.caller(parts) };
        let issuer = principal.and_then(Principal::issuer);
        // Text is compared as text, however it was escaped. A whole number equals its digits, here
        // as everywhere: one customer has one bucket.
        match claims::text(claim) {
            Some(text) => parts.claim_text(issuer, &text),
            None if claims::is_whole(claim) => parts.claim_text(issuer, claim),
            None => parts.claim_json(issuer, claim),
        }
    }
}
