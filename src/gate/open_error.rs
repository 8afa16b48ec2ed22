//! What is wrong with a policy that does not come into force.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::policy::{Fault, Severity};

/// Why the gate could not be opened.
///
/// Shown, it holds every fault with its place and help, then the warnings. `{:?}` shows the same, so that a `main`
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
    /// The keys of an issuer could not be fetched, and the policy says that the gate is not to open
    /// without them (`at_start = "fail"`).
    NoKeys {
        /// The policy's name of the issuer.
        issuer: String,
        /// What was fetched, and why it could not be.
        error: String,
    },
}

impl OpenError {
    /// Every fault and warning of a refused policy, in the order of their places.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } | Self::NoKeys { .. } => &[],
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
            Self::NoKeys { issuer, error } => {
                write!(f, "the keys of the issuer `{issuer}` cannot be fetched: {error}")
            }
            Self::Refused { faults } => {
                let of = |severity| faults.iter().filter(move |fault| fault.severity() == severity);
                let count = of(Severity::Fault).count();
                // A line of a log that is cut keeps what has to be corrected.
                for fault in of(Severity::Fault).chain(of(Severity::Warning)) {
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
            Self::Refused { .. } | Self::NoKeys { .. } => None,
        }
    }
}
