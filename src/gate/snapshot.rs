//! What a reload replaces, whole: a policy in force, and what is made of it.

use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, AUTHORIZATION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};

use super::lasting::{CountedSnapshot, Lasting};
use super::voice::Voice;
use crate::ask::Ask;
use crate::decision::{Decision, Grounds, Judge, Trace};
use crate::denial::{RETRY_AFTER_MS, Registry, SHOULD_RETRY};
use crate::policy::{Fault, Policy};

/// A policy in force. A request ends with the one that it began with.
pub(crate) struct Snapshot {
    pub(super) grounds: Arc<Grounds>,
    pub(crate) warnings: Arc<[Fault]>,
    pub(crate) voice: Arc<Voice>,
    _counted: CountedSnapshot,
}

impl Snapshot {
    /// Puts a policy in force. Buckets that were there before are kept.
    pub(crate) fn new(
        mut policy: Policy,
        registry: Registry,
        warnings: Vec<Fault>,
        lasting: &Lasting,
    ) -> Self {
        let keys = lasting.keys(&policy);
        policy.looks_keys_up |= keys.may_fail();
        let voice = Arc::new(Voice::new(&policy, registry, lasting));
        let (tokens, revocations) = (lasting.tokens(&policy), lasting.revocations.clone());
        let grounds = Arc::new(Grounds { policy, keys, tokens, revocations });
        let (warnings, _counted) = (warnings.into(), lasting.count_snapshot());
        Self { grounds, warnings, voice, _counted }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.grounds.policy
    }

    /// The headers that hold credentials.
    pub(super) fn credential_headers(&self) -> Vec<HeaderName> {
        let credential = &self.policy().credential;
        let mut names = vec![AUTHORIZATION, credential.key_header.clone()];
        names.extend(credential.token_headers.iter().cloned());
        names
    }

    /// The headers of responses that scripts want to read.
    pub(super) fn exposed_headers(&self) -> Vec<HeaderName> {
        let mut names = vec![WWW_AUTHENTICATE, RETRY_AFTER, RETRY_AFTER_MS, SHOULD_RETRY, ALLOW];
        names.extend(self.voice.renderer.rate_limit().names());
        names
    }

    /// Decides about a request. Nobody is told of it.
    pub(crate) fn decide(&self, ask: &Ask<'_>, trace: &mut impl Trace) -> Decision {
        let Voice { buckets, failures, .. } = &*self.voice;
        Judge { grounds: &self.grounds, buckets, failures: failures.as_ref() }.decide(ask, trace)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("buckets", &self.voice.buckets).finish_non_exhaustive()
    }
}
