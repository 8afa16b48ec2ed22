//! Where the keys of a policy are.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate::NewApiKey;
use tollgate::workbench::{KeyEntry, KeyFile, nearest};

use super::document::{KeyDocument, Open};
use super::store::Store;
use crate::{Failure, USUAL_POLICY};

/// A policy or a key file, as the verbs are given it.
#[derive(clap::Args)]
pub(super) struct Keys {
    /// The policy, or a key file alone
    #[arg(long = "policy", value_name = "FILE", default_value = USUAL_POLICY)]
    path: PathBuf,
}

/// Where keys are: a policy and its key file, or a key file alone; and the store that a policy names.
#[derive(Default)]
pub(super) struct Places {
    pub(super) documents: Vec<KeyDocument>,
    has_store: bool,
    policy: PathBuf,
}

impl Keys {
    pub(super) fn read(&self) -> Result<Places, Failure> {
        Places::read(&self.path)
    }
}

impl Places {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let first = KeyDocument::read(path)?;
        let file = first.setting("file").map(|name| {
            path.parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
        });
        let (has_store, policy) = (first.has_setting("store"), path.to_owned());
        let mut documents = vec![first];
        if let Some(file) = file {
            // The first key makes it.
            documents.push(match file.try_exists() {
                Ok(false) => KeyDocument::parse(&file, "")?,
                _ => KeyDocument::read(&file)?,
            });
        }
        Ok(Self { documents, has_store, policy })
    }

    /// The store of the policy, where it names one.
    pub(super) fn store(&self) -> Result<Option<Store>, Failure> {
        if self.has_store { Store::open(&self.policy).map(Some) } else { Ok(None) }
    }

    /// The store of the policy, which has to name one.
    pub(super) fn required_store(&self) -> Result<Store, Failure> {
        self.store()?.ok_or_else(|| {
            Failure::Usage(format!(
                "`{}` names no store of keys\nhelp: write `store = {{ sqlite = \"keys.db\" }}` or \
                 `store = {{ postgres_env = \"DATABASE_URL\" }}` in its [api_keys]",
                self.policy.display()
            ))
        })
    }

    /// Whether a document holds this key.
    pub(super) fn hold(&self, id: &str) -> bool {
        self.documents.iter().any(|document| document.holds(id))
    }

    /// The documents of the usual policy, where there is one.
    pub(super) fn usual() -> Result<Option<Self>, Failure> {
        let usual = Path::new(USUAL_POLICY);
        if usual.exists() { Self::read(usual).map(Some) } else { Ok(None) }
    }

    /// A new key with the prefix of the policy; for a key file alone, that of the usual policy.
    pub(super) fn generate(&self) -> Result<NewApiKey, Failure> {
        let prefix = |places: &Self| {
            let mut settings = places.documents.iter().filter_map(|known| known.setting("prefix"));
            settings.next().map(str::to_owned)
        };
        let is_policy = |known: &KeyDocument| matches!(known.kind, KeyFile::Policy { .. });
        let prefix = match prefix(self) {
            None if !self.documents.iter().any(is_policy) => {
                Self::usual()?.as_ref().and_then(prefix)
            }
            found => found,
        };
        NewApiKey::generate(prefix.as_deref().unwrap_or("tg"))
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// Whether this file is one of them, by whatever name.
    pub(super) fn have_file(&self, path: &Path) -> bool {
        let Ok(path) = fs::canonicalize(path) else { return false };
        self.documents.iter().any(|known| fs::canonicalize(&known.path).is_ok_and(|p| p == path))
    }

    /// Opens the document that holds this key, to change it.
    pub(super) fn open(&self, id: &str) -> Result<Open, Failure> {
        let holds = |document: &&KeyDocument| document.holds(id);
        let unknown = || self.unknown(id);
        let path = &self.documents.iter().find(holds).ok_or_else(unknown)?.path;
        // Somebody may have removed it since.
        Some(Open::new(path)?).filter(|open| holds(&&open.document)).ok_or_else(unknown)
    }

    /// What is said of a key that is nowhere.
    pub(super) fn unknown(&self, id: &str) -> Failure {
        let ids: Vec<Cow<'_, str>> = self.ids().collect();
        let help = match nearest(id, ids.iter().map(AsRef::as_ref)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                format!("`tollgate key list --policy {}` lists the keys", self.policy.display())
            }
        };
        Failure::Usage(format!("there is no key `{}`\nhelp: {help}", id.escape_debug()))
    }

    /// The ids of all keys of documents.
    pub(super) fn ids(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.documents.iter().flat_map(KeyDocument::ids)
    }

    /// The digests of all keys of documents.
    pub(super) fn digests(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.documents.iter().flat_map(KeyDocument::digests)
    }

    /// Every key of documents with the file that it is in, one after the other.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(KeyEntry, Arc<str>), Failure>> {
        self.documents.iter().flat_map(|document| {
            let place: Arc<str> = document.path.display().to_string().into();
            document.entries().map(move |entry| Ok((entry?, place.clone())))
        })
    }
}
