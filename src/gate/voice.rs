//! How a policy is answered by.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::ends::Ends;
use super::lasting::Lasting;
use super::log_line::Request;
use super::observe::Observer;
use crate::address::{Address, AddressPolicy};
use crate::credential::CredentialPolicy;
use crate::decision::Caller;
use crate::denial::{Draft, Media, Registry, Renderer};
use crate::limit::{Buckets, Charges, Failures, Settle};
use crate::policy::Policy;
use crate::time::Clock;

/// How a policy is answered by: what an admission keeps of its snapshot, so that an open stream
/// keeps neither the keys nor the rules of a policy that was replaced.
pub(crate) struct Voice {
    pub(crate) renderer: Renderer,
    address: AddressPolicy,
    /// Which headers of a request decide about its response.
    pub(super) vary: HeaderValue,
    /// The policy's limits, and where their buckets are.
    pub(super) buckets: Buckets,
    pub(super) failures: Option<Failures>,
    pub(super) ends: Arc<Ends>,
    pub(super) ends_bodies: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<Observer>,
}

impl Voice {
    pub(super) fn new(policy: &Policy, registry: Registry, lasting: &Lasting) -> Self {
        let Lasting { ends, ends_bodies, clock, observer, served, .. } = lasting.clone();
        Self {
            renderer: Renderer::new(policy, registry, served),
            address: policy.address.clone(),
            vary: vary_by_credential(&policy.credential),
            buckets: lasting.buckets(policy),
            failures: lasting.failures(policy),
            ends,
            ends_bodies,
            clock,
            observer,
        }
    }

    /// Settles charges of an admitted request once more: takes more, looks, or gives back.
    pub(super) fn settle(&self, charges: &mut Charges, how: Settle) {
        self.buckets.settle_late(charges, how, self.clock.steady());
    }

    /// Charges a failed attempt to an address.
    pub(super) fn charge_failure(&self, address: Address) {
        if let Some(failures) = &self.failures {
            failures.charge(self.address.bucket(address), self.clock.steady());
        }
    }

    /// Answers with a denial, and observes that it did.
    pub(super) fn deny(
        &self,
        draft: &Draft,
        caller: &Caller,
        request: &Request<'_>,
        media: Media,
    ) -> Response<Body> {
        self.observer.denied(&self.renderer, draft, caller, request);
        self.renderer.render(draft, media)
    }
}

/// Responses to keys in a header of their own are not protected from shared caches as those to
/// `Authorization` are (RFC 9111 section 3.5): name both.
fn vary_by_credential(policy: &CredentialPolicy) -> HeaderValue {
    let names = [AUTHORIZATION.as_str(), policy.key_header.as_str()].into_iter();
    let tokens = policy.token_headers.iter().map(HeaderName::as_str);
    let names: Vec<&str> = names.chain(tokens).collect();
    // INVARIANT: names of headers are valid in a header.
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_varies_by_every_header_that_may_hold_a_credential() {
        let names = |header: &str, tokens: &[&'static str]| {
            let policy = CredentialPolicy {
                key_header: header.parse().unwrap(),
                token_headers: tokens.iter().map(|name| HeaderName::from_static(name)).collect(),
                ..CredentialPolicy::default()
            };
            vary_by_credential(&policy).to_str().unwrap().to_owned()
        };
        assert_eq!(names("x-api-key", &[]), "authorization, x-api-key");
        assert_eq!(names("x-key", &["x-token"]), "authorization, x-key, x-token");
    }
}
