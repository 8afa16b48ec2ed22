//! Puts another policy in force while the gate runs.
//!
//! 1. A thread of the gate looks at the files once a second ([`crate::watch`]); [`Gate::reload`]
//!    reads them at once.
//! 2. What was read is checked as a whole. A policy that is refused changes nothing: the old one
//!    stays in force, and the log and [`Status`] say why.
//! 3. Otherwise a new [`Snapshot`] takes the place of the old one. Buckets are kept, and restated
//!    where quotas changed. The log says in words what changed.
//! 4. The pages that are served are made anew, in the same thread.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use metrics::{counter, gauge};

use super::gate::Gate;
use super::lasting::Lasting;
use super::open_error::OpenError;
use super::origin::{Loaded, Origin, Reload};
use super::record::Record;
use super::snapshot::Snapshot;
use super::status::{
    LastFault, Revision, RevocationStatus, SourceStatus, Status, StoreStatus, Warnings,
};
use crate::policy::Fault;
use crate::time::rfc3339;
use crate::watch::{Follower, Next, Pace, RealDisk, Taken, Watch};

/// How many changes the log lists.
const MOST_CHANGES: usize = 20;

impl Gate {
    /// Reads the policy, puts it in force, and follows its files if `watches` is set.
    pub(super) fn open(
        origin: Origin,
        lasting: Lasting,
        watches: bool,
    ) -> Result<Arc<Self>, OpenError> {
        let loaded = origin.open().map_err(|(error, _)| error)?;
        let Loaded { policy, registry, warnings, outline, fingerprint, taken } = loaded;
        log_warnings(&warnings);
        if origin.fetches {
            lasting.start_keys(&policy);
        }
        let snapshot = Snapshot::new(policy, registry, warnings, &lasting);
        let record = Record {
            revision: Revision::new(1, fingerprint),
            loaded_at: lasting.clock.wall(),
            last_fault: None,
            outline,
            files: taken.paths(),
        };
        gauge!("tollgate_policy_revision").set(1.0);
        let gate = Arc::new(Self::new(snapshot, lasting, origin, record));
        if watches && !taken.paths().is_empty() {
            let follower = Following { gate: Arc::downgrade(&gate) };
            match Watch::start(&taken, RealDisk::new(), Pace::default(), follower) {
                // INVARIANT: it is set here alone, once.
                Ok(watch) => drop(gate.watch.set(watch)),
                Err(error) => tracing::error!(
                    target: "tollgate", %error,
                    "the files of the policy are not followed: the system gives no thread"
                ),
            }
        }
        Ok(gate)
    }

    /// Reads the policy again, now, and puts it in force.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        let load = || match self.origin.open() {
            Ok(loaded) => {
                let (taken, read) = (loaded.taken.clone(), loaded.taken.paths());
                self.put_in_force(loaded);
                (taken, Next::InForce(read), Ok(()))
            }
            Err((error, taken)) => {
                self.refuse(&error);
                let read = taken.paths();
                (taken, Next::Refused(read), Err(error))
            }
        };
        match self.watch.get() {
            Some(watch) => watch.reload(load),
            None => {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                load().2
            }
        }
    }

    fn put_in_force(&self, loaded: Loaded) {
        let Loaded { policy, registry, warnings, outline, fingerprint, taken } = loaded;
        let mut record = self.record();
        let before = self.current();
        let number = record.revision.number + 1;
        log_warnings(&warnings);
        if self.origin.fetches {
            self.lasting.start_keys(&policy);
        }
        let snapshot = Snapshot::new(policy, registry, warnings, &self.lasting);
        self.handed_out.warn_of_missing(&snapshot);
        self.replace(snapshot);
        // With many keys this takes a while, in which no request is judged by the old policy any more.
        let new = self.current();
        let keys = (&before.policy().keys, &new.policy().keys);
        let changes = outline.changes_since(&record.outline, keys, MOST_CHANGES);
        drop((before, new));
        if let Some(fault) = &mut record.last_fault {
            fault.is_over();
        }
        record.revision = Revision::new(number, fingerprint);
        record.loaded_at = self.lasting.clock.wall();
        record.outline = outline;
        record.files = taken.paths();
        counter!("tollgate_reloads_total", "outcome" => "loaded").increment(1);
        gauge!("tollgate_policy_revision").set(number as f64);
        tracing::info!(target: "tollgate", revision = %record.revision, %changes, "the policy is in force");
        drop(record);
        self.gauge();
        self.tell_followers();
    }

    fn refuse(&self, error: &OpenError) {
        let now = self.lasting.clock.wall();
        let fault = match error.faults() {
            [] => LastFault::of_text(error.to_string(), now),
            faults => LastFault::of_policy(faults, now),
        };
        tracing::error!(
            target: "tollgate", faults = fault.count,
            "the policy that is in the files now is refused, and the one before stays in force: {error}"
        );
        counter!("tollgate_reloads_total", "outcome" => "refused").increment(1);
        self.record().last_fault = Some(fault);
        self.gauge();
    }

    pub(super) fn status(&self) -> Status {
        let snapshot = self.current();
        let record = self.record();
        let mut sources: Vec<SourceStatus> = match self.watch.get() {
            Some(watch) => {
                let seen = watch.seen();
                seen.iter().map(|(seen, age)| SourceStatus::of_file(seen, *age)).collect()
            }
            None => record.files.iter().map(|path| SourceStatus::unwatched(path)).collect(),
        };
        let remote = snapshot.policy().issuers.remote_keys();
        sources.extend(remote.map(|keys| SourceStatus::of_keys(keys.status())));
        let mut stores = self.lasting.store_status();
        if snapshot.policy().takes_keys {
            stores.push(StoreStatus::of_keys(snapshot.grounds.keys.status()));
        }
        Status {
            revision: record.revision.clone(),
            loaded_at: rfc3339(record.loaded_at.seconds()),
            last_fault: record.last_fault.clone(),
            warnings: Warnings::new(snapshot.warnings.iter().filter_map(|warning| warning.name())),
            sources,
            stores,
            forwarded_ignored: (snapshot.policy().address)
                .hides_clients(self.lasting.observer.has_ignored_forwarded()),
            revocations: RevocationStatus {
                listed: snapshot.policy().revoked.len(),
                file: snapshot.policy().revoked_file.clone(),
                told: self.lasting.revocations.len(),
                age_seconds: self.lasting.revocations.age().map(|age| age.as_secs()),
            },
        }
    }

    fn gauge(&self) {
        self.lasting.gauge(self.snapshot().policy().revoked.len());
    }

    /// Waits for the keys of issuers whose settings say so.
    pub(super) async fn started(&self) -> Result<(), OpenError> {
        let snapshot = self.current();
        for issuer in snapshot.policy().issuers.iter() {
            let Some(keys) = issuer.keys.remote() else { continue };
            keys.started()
                .await
                .map_err(|error| OpenError::NoKeys { issuer: issuer.name.to_string(), error })?;
        }
        Ok(())
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads what the watcher took. It keeps no gate alive.
struct Following {
    gate: Weak<Gate>,
}

impl Follower for Following {
    fn changed(&mut self, taken: Taken) -> Next {
        let read = taken.paths();
        let Some(gate) = self.gate.upgrade() else { return Next::Refused(read) };
        let (reload, next) = gate.origin.reload(taken);
        match reload {
            Reload::Incomplete => {}
            Reload::Loaded(loaded) => gate.put_in_force(*loaded),
            Reload::Refused(error) => gate.refuse(&error),
        }
        next
    }

    fn restored(&mut self) {
        let Some(gate) = self.gate.upgrade() else { return };
        if let Some(fault) = &mut gate.record().last_fault {
            fault.is_over();
        }
        tracing::info!(target: "tollgate", "the files hold the policy that is in force again");
    }

    fn looked(&mut self) {
        let Some(gate) = self.gate.upgrade() else { return };
        gate.gauge();
    }
}

fn log_warnings(warnings: &[Fault]) {
    for warning in warnings {
        tracing::warn!(
            target: "tollgate", warning = warning.name(), file = warning.file(),
            line = warning.line(), help = warning.help(), "{}", warning.message()
        );
    }
}
