//! Opens the gate: reads, checks, builds, or says what is wrong.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Tollgate;
use super::pipeline::Gate;
use crate::denial::{DenialCode, Registry, Renderer};
use crate::policy::{Fault, Faults, Policy, Severity, load};
use crate::time::{Clock, MICROS, SystemClock};

/// Opens a [`Tollgate`].
///
/// ```
/// use tollgate::{ManualClock, Tollgate};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let gate = Tollgate::builder()
///     .policy("version = 1\n[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\npublic = true\n")
///     .clock(ManualClock::at(1_800_000_000))
///     .build()
///     .await?;
/// # assert!(gate.warnings().is_empty());
/// # Ok::<_, tollgate::OpenError>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct TollgateBuilder {
    source: Source,
    clock: Option<Box<dyn Clock>>,
    codes: Vec<&'static DenialCode>,
    for_documents: bool,
}

enum Source {
    File(PathBuf),
    Text(String),
}

impl Default for Source {
    fn default() -> Self {
        Self::File("config/tollgate.toml".into())
    }
}

impl TollgateBuilder {
    /// Reads the policy from this file; `config/tollgate.toml` unless it is set.
    pub fn policy_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// Takes this text as the policy. Files that it names are relative to the working directory.
    pub fn policy(mut self, text: impl Into<String>) -> Self {
        self.source = Source::Text(text.into());
        self
    }

    /// Reads the time from this clock, for tests that must not depend on the hour.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Registers a code of the application, so that a clash with the catalogue, or with a code
    /// of the policy, is found now.
    pub fn code(mut self, code: &'static DenialCode) -> Self {
        self.codes.push(code);
        self
    }

    /// Opens a gate that judges nothing: documents are made of its policy, which needs none of
    /// the secrets in the environment for that.
    pub(crate) fn for_documents(mut self) -> Self {
        self.for_documents = true;
        self
    }

    /// Reads and checks the policy, and opens the gate.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub async fn build(self) -> Result<Tollgate, OpenError> {
        let read = self.read()?;
        for warning in &read.warnings {
            tracing::warn!(
                target: "tollgate", warning = warning.name(), file = warning.file(),
                line = warning.line(), help = warning.help(), "{}", warning.message()
            );
        }
        let renderer = Renderer::new(&read.policy, read.registry);
        Ok(Tollgate(Arc::new(Gate::new(read.policy, renderer, read.clock, read.warnings))))
    }

    /// Reads and checks the policy without the environment: a secret that is not set is no fault.
    /// Opens no gate. For checks where no secrets are, such as in continuous integration.
    ///
    /// Returns the warnings, in the order of their places.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let warnings = tollgate::Tollgate::builder()
    ///     .policy_file("config/tollgate.toml")
    ///     .check_without_secrets()
    ///     .await?;
    /// assert!(warnings.is_empty());
    /// # Ok::<_, tollgate::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub async fn check_without_secrets(self) -> Result<Arc<[Fault]>, OpenError> {
        Ok(self.for_documents().read()?.warnings.into())
    }

    /// Reads and checks the policy.
    fn read(self) -> Result<Read, OpenError> {
        let clock = self.clock.unwrap_or_else(|| Box::new(SystemClock::new()));
        let (name, text, folder) = match self.source {
            Source::Text(text) => ("policy".to_owned(), text, PathBuf::from(".")),
            Source::File(path) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| OpenError::Unreadable { path: path.clone(), error })?;
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                (path.display().to_string(), text, folder)
            }
        };
        let faults = if self.for_documents { Faults::of_documents() } else { Faults::default() };
        let faults = faults.at_time(clock.wall() / MICROS);
        let policy = load(&name, &text, &folder, &faults);
        let entries = policy.as_ref().map_or(&[][..], |policy| &policy.codes);
        let registry = Registry::new(entries, &self.codes, &faults);
        let faults = faults.into_sorted();
        let refused = faults.iter().any(|fault| fault.severity() == Severity::Fault);
        let Some(policy) = policy.filter(|_| !refused) else {
            return Err(OpenError::Refused { faults });
        };
        Ok(Read { policy, registry, clock, warnings: faults })
    }
}

/// A policy that was read and found usable.
struct Read {
    policy: Policy,
    registry: Registry,
    clock: Box<dyn Clock>,
    warnings: Vec<Fault>,
}

impl fmt::Debug for TollgateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TollgateBuilder").finish_non_exhaustive()
    }
}

/// Why the gate could not be opened.
///
/// Shown, it holds every fault with its place and help. `{:?}` shows the same, so that a `main`
/// which returns it is readable.
#[non_exhaustive]
pub enum OpenError {
    /// The policy file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The policy is refused.
    Refused {
        /// Every fault and warning, in the order of their places.
        faults: Vec<Fault>,
    },
}

impl OpenError {
    /// Every fault and warning of a refused policy, in the order of their places.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Refused { faults } => faults,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(f, "cannot read the policy `{}`: {error}", path.display())
            }
            Self::Refused { faults } => {
                let count =
                    faults.iter().filter(|fault| fault.severity() == Severity::Fault).count();
                for fault in faults {
                    writeln!(f, "{fault}\n")?;
                }
                let plural = if count == 1 { "" } else { "s" };
                write!(f, "the policy is refused: {count} fault{plural}")
            }
        }
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Refused { .. } => None,
        }
    }
}
