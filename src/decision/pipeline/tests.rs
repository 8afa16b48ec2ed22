use http::{HeaderMap, Method};

use super::super::grounds::Grounds;
use super::*;
use crate::ask::Came;
use crate::limit::{Buckets, Failures, MemoryStore};
use crate::policy::{Faults, Refusal, Sources, load};
use crate::time::{ManualClock, Moment};
use crate::verify::key_store::RuntimeKeys;
use crate::verify::{NewApiKey, Revocations, TokenCache, TokenPolicy};

/// A judge of a small policy, on buckets of its own.
struct Court {
    grounds: Grounds,
    buckets: Buckets,
    failures: Failures,
    clock: ManualClock,
    key: String,
}

impl Court {
    fn new() -> Self {
        let key = NewApiKey::generate("tg").unwrap();
        let text = format!(
            "version = 1\n[api_keys]\n[[api_keys.key]]\nid = \"one\"\nclient = \"billing\"\n\
             digest = \"{}\"\nscopes = [\"read\"]\n\
             [failures]\nrate = \"1/minute\"\nburst = 2\n\
             [[limit]]\nname = \"few\"\nrate = \"1/minute\"\nburst = 2\nper = [\"client\"]\n\
             [[rule]]\nname = \"read\"\npath = \"/read\"\nscopes = [\"read\"]\nlimits = [\"few\"]\n\
             [[rule]]\nname = \"write\"\npath = \"/write\"\nscopes = [\"write\"]\nlimits = [\"few\"]\n\
             [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\nscopes = [\"write\"]\n",
            key.digest()
        );
        let policy = load("policy", &text, &Sources::default(), &Faults::default()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let tables = store.adopt(&policy.limits).tables;
        let buckets = Buckets::Memory(store, tables);
        let failures = Failures::adopt(&Arc::default(), policy.failures.unwrap(), 1000);
        let (clock, key) = (ManualClock::at(1_800_000_000), key.reveal().to_owned());
        let grounds = Grounds {
            policy,
            keys: RuntimeKeys::Memory(Arc::default()),
            tokens: Arc::new(TokenCache::new(&TokenPolicy::default())),
            revocations: Revocations::new(),
        };
        Self { grounds, buckets, failures, clock, key }
    }

    fn decide(&self, path: &str, key: Option<&str>, trace: &mut impl Trace) -> Decision {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("x-api-key", key.parse().unwrap());
        }
        let judge = Judge {
            grounds: &self.grounds,
            buckets: &self.buckets,
            failures: Some(&self.failures),
        };
        let ask = Ask {
            method: &Method::GET,
            path,
            headers: &headers,
            fields: self.grounds.policy.credential.fields(&headers),
            peer: Some(std::net::IpAddr::from([192, 0, 2, 1]).into()),
            moment: Moment::of(&self.clock),
            came: Came::NOTHING,
        };
        judge.decide(&ask, trace)
    }
}

#[test]
fn each_stage_adds_one_step() {
    let court = Court::new();
    let steps = |path: &str, key: Option<&str>| {
        let mut journal = Vec::new();
        court.decide(path, key, &mut journal);
        journal.iter().map(|step: &Step| format!("{step:?}")).collect::<Vec<_>>()
    };
    let names = |steps: &[String]| -> Vec<String> {
        let name = |step: &String| step.split('(').next().unwrap().to_owned();
        steps.iter().map(name).collect()
    };
    let key = Some(&*court.key);
    assert_eq!(names(&steps("/nowhere", key)), [""; 0]);
    assert_eq!(names(&steps("/read", None)), ["Rule", "Address"]);
    assert_eq!(
        names(&steps("/write", key)),
        ["Rule", "Address", "Presented", "Proven"],
        "a scope is missing"
    );
    assert_eq!(
        names(&steps("/read", key)),
        ["Rule", "Address", "Presented", "Proven", "Permitted", "Charged"]
    );
}

#[test]
fn a_refusal_carries_its_evidence_and_takes_nothing() {
    let court = Court::new();
    let decision = court.decide("/write", Some(&court.key), &mut ());
    let Outcome::Refused(_, Refused::Permit(Refusal::Scope(gap))) = &decision.outcome else {
        panic!("{decision:?}")
    };
    let missing: Vec<&str> = gap.missing().map(|scope| scope.as_str()).collect();
    assert_eq!(missing, ["write"]);
    assert_eq!(decision.caller.principal.unwrap().client(), "billing");
    for _ in 0..2 {
        let admitted = court.decide("/read", Some(&court.key), &mut ()).outcome;
        assert!(matches!(admitted, Outcome::Admitted(_)), "the limit is still full");
    }
    let refused = court.decide("/read", Some(&court.key), &mut ()).outcome;
    assert!(matches!(refused, Outcome::Refused(_, Refused::Limits(_))));
}

#[test]
fn a_rule_in_shadow_mode_refuses_nobody_and_says_why_it_would() {
    let court = Court::new();
    let decision = court.decide("/dark", None, &mut ());
    assert!(matches!(
        decision.outcome,
        Outcome::Shadowed(_, Refused::Credential(CredentialError::Missing))
    ));
    assert_eq!(&*decision.rule().unwrap().name, "dark");
}

#[test]
fn an_address_that_waits_is_no_reason_to_refuse_what_proves_itself() {
    let court = Court::new();
    let unknown = NewApiKey::generate("tg").unwrap();
    let guess = || court.decide("/read", Some(unknown.reveal()), &mut ()).outcome;
    for _ in 0..2 {
        assert!(matches!(guess(), Outcome::Refused(_, Refused::Key(_))));
    }
    let Outcome::Refused(_, Refused::TooManyFailures(waits)) = guess() else { panic!() };
    assert_eq!(waits.wait, 60_000_000);
    assert!(
        matches!(waits.cause, WaitCause::Failed(failure) if matches!(*failure, Refused::Key(_)))
    );
    let good = court.decide("/read", Some(&court.key), &mut ()).outcome;
    assert!(matches!(good, Outcome::Admitted(_)));
}
