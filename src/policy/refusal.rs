//! Why a rule does not let a caller in, with the evidence.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::address::Address;
use crate::claims::Mismatch;
use crate::scope::Scope;

/// Why the policy does not let a caller do this.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Address(Address),
    /// The rule is bound to addresses, and the header of a trusted proxy could not be read.
    AddressUnread,
    /// The rule is bound to addresses, and the server does not report the peer's.
    AddressUnknown,
    Scope(ScopeGap),
    /// The caller has none of these roles.
    Role(Arc<[Box<str>]>),
    /// This claim is absent, or has another value.
    Claim {
        claim: Arc<str>,
        mismatch: Mismatch,
    },
    /// None of the alternatives is met. This is what the caller lacks for one of them.
    Any(Box<Refusal>),
}

/// The scopes that are needed, and which of them the caller lacks.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ScopeGap {
    /// All of these are needed.
    pub(crate) required: Arc<[Scope]>,
    /// At least one of these is needed, unless there are none.
    pub(crate) any: Arc<[Scope]>,
    /// The places in `required` of those that the caller lacks.
    pub(crate) missing: SmallVec<[u16; 8]>,
    /// Whether the caller has none of `any`, and one is needed.
    pub(crate) lacks_any: bool,
}

impl ScopeGap {
    /// What `held` lacks of these scopes; `None` where it is enough.
    pub(crate) fn of(
        required: &Arc<[Scope]>,
        any: &Arc<[Scope]>,
        held: impl Fn(&Scope) -> bool,
    ) -> Option<Self> {
        let lacks_any = !any.is_empty() && !any.iter().any(&held);
        if !lacks_any && required.iter().all(&held) {
            return None;
        }
        Some(Self::new(required, any, lacks_any, held))
    }

    #[cold]
    fn new(
        required: &Arc<[Scope]>,
        any: &Arc<[Scope]>,
        lacks_any: bool,
        held: impl Fn(&Scope) -> bool,
    ) -> Self {
        let lacking = required.iter().enumerate().filter(|(_, scope)| !held(scope));
        Self {
            required: required.clone(),
            any: any.clone(),
            // Lossless: a rule has far fewer scopes.
            missing: lacking.map(|(at, _)| at as u16).collect(),
            lacks_any,
        }
    }

    /// The required scopes that the caller lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &Scope> {
        self.missing.iter().filter_map(|at| self.required.get(usize::from(*at)))
    }
}
