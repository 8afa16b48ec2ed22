//! `tollgate key revoke`: ends a key before its time.

use std::process::ExitCode;

use super::places::Keys;
use crate::{Failure, tell};

#[derive(clap::Args)]
pub(crate) struct Revoke {
    /// The public name of the key
    id: String,
    #[command(flatten)]
    keys: Keys,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let places = self.keys.read()?;
        if !places.hold(&self.id)
            && let Some(store) = places.store()?
            && store.find(&self.id)?.is_some()
        {
            store.revoke(&self.id)?;
            tell(format_args!(
                "{} was revoked in {}: gates refuse it within 3 s.",
                self.id,
                store.name()
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let open = places.open(&self.id)?;
        let document = &open.document;
        let place = document.path.display();
        if document.is_revoked(&self.id) {
            tell(format_args!("{} was revoked already in {place}.", self.id));
            return Ok(ExitCode::SUCCESS);
        }
        open.replace(&document.with_set(&self.id, "revoked", "true")?)?;
        tell(format_args!(
            "{} was revoked in {place}: a gate that follows the file refuses it within 3 s.",
            self.id
        ));
        Ok(ExitCode::SUCCESS)
    }
}
