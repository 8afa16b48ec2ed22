//! What a bucket is kept for: the parts of the limit's key, as they are in this request.

use std::hash::{Hash, Hasher};

use super::pipeline::Caller;
use crate::ask::Ask;
use crate::claims;
use crate::limit::{KeyPart, Limit};
use crate::policy::{Policy, Rule};
use crate::principal::Principal;

pub(super) struct BucketKey<'k, 'r> {
    pub(super) limit: &'k Limit,
    pub(super) policy: &'k Policy,
    pub(super) rule: &'k Rule,
    pub(super) ask: &'k Ask<'r>,
    pub(super) caller: &'k Caller,
}

impl Hash for BucketKey<'_, '_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let principal = self.caller.principal.as_ref();
        for part in &self.limit.per {
            match part {
                KeyPart::Client => principal.map(Principal::identity).hash(state),
                KeyPart::Address => {
                    let address = self.caller.address;
                    address.map(|address| self.policy.address.bucket(address)).hash(state);
                }
                KeyPart::Rule => self.rule.name.hash(state),
                KeyPart::Global => {}
                KeyPart::Claim(name) => {
                    let claim = principal.and_then(Principal::claims).and_then(|set| set.get(name));
                    match claim {
                        // Text is compared as text, however it was escaped. Claims of two
                        // issuers are two, even if they are equal.
                        Some(claim) => {
                            principal.and_then(Principal::issuer).hash(state);
                            claims::text(claim).ok_or(claim).hash(state);
                        }
                        // A caller without the claim has a bucket of its own.
                        None => principal.map(Principal::identity).hash(state),
                    }
                }
                KeyPart::Header(name) => {
                    for value in self.ask.headers.get_all(name) {
                        value.as_bytes().hash(state);
                    }
                    state.write_u8(0);
                }
            }
        }
    }
}
