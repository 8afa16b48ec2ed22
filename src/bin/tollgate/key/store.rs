//! The store of a policy, for the verbs.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tollgate::Wall;
use tollgate::keys::{ApiKeyRecord, KeyFuture, KeyStore, KeyStoreError};
use tollgate::workbench::{KeyEntry, open_key_store};

use crate::Failure;

/// A store, and the runtime that its connections live on.
pub(super) struct Store {
    store: Arc<dyn KeyStore>,
    runtime: Runtime,
}

/// How many keys are read at a time.
const PAGE: usize = 1000;

impl Store {
    pub(super) fn open(policy: &Path) -> Result<Self, Failure> {
        let store = open_key_store(policy)?.ok_or_else(|| {
            Failure::Usage(format!(
                "the store of keys that `{}` names cannot be opened: its variable is not set\n\
                 help: set the variable that `postgres_env` names to the URL of the database",
                policy.display()
            ))
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Usage(format!("no threads: {error}")))?;
        Ok(Self { store, runtime })
    }

    /// What it is called in lists and messages.
    pub(super) fn name(&self) -> String {
        format!("the store ({})", self.store.kind())
    }

    pub(super) fn find(&self, id: &str) -> Result<Option<ApiKeyRecord>, Failure> {
        self.wait(self.store.find(id.into()))
    }

    pub(super) fn insert(&self, entry: &KeyEntry) -> Result<(), Failure> {
        let record = entry.record().map_err(Failure::Usage)?;
        self.wait(self.store.insert(record))
    }

    /// Adds keys: all of them, or none. The places of those whose ids or digests are taken.
    pub(super) fn insert_all(&self, entries: &[KeyEntry]) -> Result<Vec<usize>, Failure> {
        let records = entries.iter().map(|entry| entry.record().map_err(Failure::Usage));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        match self.runtime.block_on(self.store.insert_all(records)) {
            Ok(()) => Ok(Vec::new()),
            Err(KeyStoreError::SomeTaken { at }) => Ok(at),
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) fn revoke(&self, id: &str) -> Result<(), Failure> {
        self.wait(self.store.revoke(id.into())).map(drop)
    }

    pub(super) fn replace(&self, id: &str, new: &KeyEntry, ends: u64) -> Result<(), Failure> {
        let record = new.record().map_err(Failure::Usage)?;
        self.wait(self.store.replace(id.into(), record, Wall::from_seconds(ends))).map(drop)
    }

    /// Every key, in the order of ids.
    pub(super) fn entries(&self) -> Result<Vec<(KeyEntry, Arc<str>)>, Failure> {
        let place: Arc<str> = self.name().into();
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let page = self.wait(self.store.list(after, PAGE))?;
            entries.extend(page.iter().map(|record| (KeyEntry::from(record), place.clone())));
            after = page.last().map(|record| record.id().to_owned());
            if page.len() < PAGE {
                return Ok(entries);
            }
        }
    }

    fn wait<T>(&self, work: KeyFuture<'_, Result<T, KeyStoreError>>) -> Result<T, Failure> {
        self.runtime.block_on(work).map_err(failure)
    }
}

fn failure(error: KeyStoreError) -> Failure {
    Failure::Usage(match error {
        KeyStoreError::Unavailable(cause) => {
            format!(
                "the store of keys does not answer: {cause}\nhelp: nothing is lost, try again when it does"
            )
        }
        KeyStoreError::IdTaken { id } => {
            format!("there is a key `{id}` already\nhelp: choose another id")
        }
        other => other.to_string(),
    })
}
