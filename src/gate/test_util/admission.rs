//! Admissions that no gate decided about.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, Method};

use super::NAME;
use crate::ask::{Ask, Came};
use crate::decision::{Caller, Outcome, Permit};
use crate::denial::{DenialCode, Media};
use crate::gate::admission::Admission;
use crate::gate::lasting::Lasting;
use crate::gate::log_line::Request;
use crate::gate::observe::Observer;
use crate::gate::origin::{KnownKeys, Loaded, Origin, PolicyPlace};
use crate::gate::snapshot::Snapshot;
use crate::gate::voice::Voice;
use crate::limit::{Charges, Settle};
use crate::policy::Rule;
use crate::principal::Principal;
use crate::time::{Clock, ManualClock, Moment, SystemClock};

/// Makes an [`Admission`] that no gate decided about, for tests.
///
/// ```
/// use tollgate::test_util::{TestAdmission, TestPrincipal};
///
/// let caller = TestPrincipal::with_api_key("billing").build();
/// let admission = TestAdmission::of(caller).rule("export").limit("rows", 1_000).build();
/// admission.charge(400); // what a handler does
/// assert_eq!(admission.rule(), "export");
/// assert_eq!(admission.limits().next().unwrap().remaining, 600);
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the admission"]
pub struct TestAdmission {
    caller: Option<Principal>,
    rule: String,
    limits: Vec<(String, u32)>,
    codes: Vec<&'static DenialCode>,
    /// Which declares more codes.
    policy: Option<PathBuf>,
    status: &'static str,
}

impl TestAdmission {
    /// A request of this caller.
    pub fn of(caller: Principal) -> Self {
        Self { caller: Some(caller), ..Self::of_nobody() }
    }

    /// A request without a credential, as rules with `public = true` or `"none"` admit it.
    pub fn of_nobody() -> Self {
        let (caller, limits, codes, policy) = Default::default();
        Self { caller, rule: NAME.into(), limits, codes, policy, status: "uniform" }
    }

    /// The name of the rule that admitted the request; `test` unless it is set.
    pub fn rule(mut self, name: impl Into<String>) -> Self {
        self.rule = name.into();
        self
    }

    /// Denials of handlers have the status that tells the cause, as under a rule with
    /// `status = "standard"`; otherwise they have 403.
    pub fn standard_status(mut self) -> Self {
        self.status = "standard";
        self
    }

    /// One more limit of the rule, whose bucket holds `tokens` and is never refilled. The request
    /// itself takes nothing: only [`Admission::charge`] does.
    pub fn limit(mut self, name: impl Into<String>, tokens: u32) -> Self {
        self.limits.push((name.into(), tokens));
        self
    }

    /// Registers a code of the application, as
    /// [`TollgateBuilder::code`](crate::TollgateBuilder::code) does.
    pub fn code(mut self, code: &'static DenialCode) -> Self {
        self.codes.push(code);
        self
    }

    /// The policy whose `[[denial.code]]` the handlers answer with by name ([`Denial::named`]).
    /// Nothing else of it counts here, and it needs none of its secrets.
    ///
    /// [`Denial::named`]: crate::Denial::named
    pub fn codes_of_policy(mut self, path: impl Into<PathBuf>) -> Self {
        self.policy = Some(path.into());
        self
    }

    /// Makes the admission, with buckets of its own.
    ///
    /// # Panics
    ///
    /// When a name is not one that a policy may have, a limit has no tokens, a code clashes with
    /// another, or the policy of the codes is refused.
    #[must_use]
    pub fn build(self) -> Admission {
        Prepared::new(self).admit(&Method::GET, Media::Document)
    }
}

impl From<Principal> for TestAdmission {
    fn from(caller: Principal) -> Self {
        Self::of(caller)
    }
}

/// What all admissions of one test share.
pub(super) struct Prepared {
    voice: Arc<Voice>,
    rule: Arc<Rule>,
    caller: Caller,
    charges: Charges,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, caller) = (&self.rule.name, &self.caller);
        f.debug_struct("Prepared")
            .field("rule", rule)
            .field("caller", caller)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// The decision of a real gate about a request without a credential, with another caller put in.
    pub(super) fn new(admission: TestAdmission) -> Self {
        let TestAdmission { caller, rule, limits, codes, policy: declaring, status } = admission;
        let mut policy = "version = 1\n".to_owned();
        for (name, tokens) in &limits {
            let name = quoted(name);
            let _infallible = write!(
                policy,
                "[[limit]]\nname = {name}\nrate = \"{tokens}/day\"\nper = [\"global\"]\n"
            );
        }
        let names: Vec<String> = limits.iter().map(|(name, _)| quoted(name)).collect();
        let _infallible = write!(
            policy,
            "[[rule]]\nname = {}\npath = \"/\"\ncredentials = [\"api_key\", \"token\", \"none\"]\nlimits = [{}]\nstatus = \"{status}\"\n",
            quoted(&rule),
            names.join(", ")
        );
        let mut loaded = open(PolicyPlace::Text(policy), codes.clone());
        if let Some(path) = declaring {
            loaded.registry = open(PolicyPlace::File(path), codes).registry;
        }
        // A clock that stands: no bucket is refilled.
        let now = SystemClock::new().wall().seconds();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let observer = Arc::new(Observer::new(HeaderName::from_static("x-request-id")));
        let lasting = Lasting::new(clock.clone(), observer);
        let snapshot = Snapshot::new(loaded.policy, loaded.registry, Vec::new(), &lasting);
        let headers = HeaderMap::new();
        let ask = Ask {
            method: &Method::GET,
            path: "/",
            headers: &headers,
            fields: snapshot.policy().credential.fields(&headers),
            peer: None,
            moment: Moment::of(&*clock),
            came: Came::NOTHING,
        };
        match snapshot.decide(&ask, &mut ()).outcome {
            Outcome::Admitted(Permit { rule, mut charges }) => {
                snapshot.voice.settle(&mut charges, Settle::GiveBack);
                let caller = Caller { address: None, principal: caller };
                Self { voice: snapshot.voice.clone(), rule, caller, charges }
            }
            other => panic!("the admission of a test is not admitted: {other:?}"),
        }
    }

    pub(super) fn admit(&self, method: &Method, media: Media) -> Admission {
        let Self { voice, rule, caller, charges } = self;
        let mut charges = charges.clone();
        voice.settle(&mut charges, Settle::Look);
        let request = Request { method, path: "/", id: None };
        let (rule, caller) = (rule.clone(), caller.clone());
        Admission::new(voice.clone(), rule, request, media, caller, charges, None)
    }
}

/// Reads a policy that judges nothing.
fn open(place: PolicyPlace, codes: Vec<&'static DenialCode>) -> Loaded {
    let origin = Origin {
        place,
        codes,
        secrets: Arc::default(),
        for_documents: true,
        fetches: false,
        clock: Arc::new(SystemClock::new()),
        known_keys: KnownKeys::default(),
    };
    origin.open().unwrap_or_else(|(error, _)| panic!("the admission of a test: {error}"))
}

/// Text as TOML has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
