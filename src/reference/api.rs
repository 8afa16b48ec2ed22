//! What documents are made for.

use std::sync::OnceLock;

use super::example::Example;
use crate::denial::{DenialCode, Occurs};
use crate::gate::Snapshot;
use crate::policy::{DenialPolicy, Disclosure, StatusMode};

/// What documents are made for: the API of a gate, or any API.
#[derive(Debug)]
pub(crate) struct Api<'g> {
    /// The catalogue, then the codes of the application.
    pub(crate) codes: Vec<&'g DenialCode>,
    pub(crate) denial: DenialPolicy,
    /// The policy in force; `None` for any API.
    pub(crate) snapshot: Option<&'g Snapshot>,
    pub(super) examples: OnceLock<Vec<(String, Example)>>,
}

impl Api<'static> {
    /// Any API: what holds whatever the policy.
    pub(crate) fn any() -> Self {
        Self {
            codes: DenialCode::catalogue().to_vec(),
            denial: DenialPolicy::default(),
            snapshot: None,
            examples: OnceLock::new(),
        }
    }
}

impl<'g> Api<'g> {
    /// The API that this policy is for.
    pub(crate) fn of(snapshot: &'g Snapshot) -> Self {
        let mut codes: Vec<&DenialCode> = DenialCode::catalogue().to_vec();
        codes.extend(snapshot.voice.renderer.registry.own());
        let denial = snapshot.policy().denial.clone();
        if denial.disclosure == Disclosure::Minimal {
            // Only these are ever sent.
            codes.retain(|code| code.group().code == code.code);
        }
        Self { codes, denial, snapshot: Some(snapshot), examples: OnceLock::new() }
    }

    /// The statuses of a code, the uniform one first; with a policy in force, what its rules say.
    pub(crate) fn statuses(&self, code: &DenialCode) -> (u16, u16) {
        let modes = match code.occurs {
            Occurs::Unruled if self.snapshot.is_some() => vec![self.denial.status],
            _ => self.modes(),
        };
        let status =
            |mode: Option<&StatusMode>| code.status_in(*mode.unwrap_or(&StatusMode::Uniform));
        (status(modes.first()), status(modes.last()))
    }

    /// The modes of the status that rules have, each once, the uniform one first; of any API, both.
    pub(crate) fn modes(&self) -> Vec<StatusMode> {
        let all = [StatusMode::Uniform, StatusMode::Standard];
        let Some(snapshot) = self.snapshot else { return all.into() };
        let of = |mode: &StatusMode| {
            let mut rules = snapshot.policy().rules.iter().peekable();
            match rules.peek() {
                Some(_) => rules.any(|rule| rule.status_mode(&self.denial) == *mode),
                None => self.denial.status == *mode,
            }
        };
        all.into_iter().filter(of).collect()
    }

    /// The header that holds an API key.
    pub(crate) fn key_header(&self) -> &str {
        self.snapshot.map_or("x-api-key", |gate| gate.policy().credential.key_header.as_str())
    }

    /// Whether API keys are credentials there.
    pub(crate) fn takes_keys(&self) -> bool {
        self.snapshot
            .is_none_or(|gate| gate.policy().takes_keys || gate.policy().issuers.is_empty())
    }
}
