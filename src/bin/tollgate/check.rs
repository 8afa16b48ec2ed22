//! `tollgate check`: every fault and every warning of a policy, in one report.

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate::{Fault, OpenError, Severity, Tollgate};

use crate::{Failure, PolicyFile, block_on, say};

#[derive(clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    policy: PolicyFile,
    /// Refuse warnings too; `allow` in the policy silences those that are meant
    #[arg(long)]
    strict: bool,
    /// Need no secrets: those that are not set in the environment are no fault
    #[arg(long)]
    without_secrets: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let warnings = if self.without_secrets {
            let policy = Tollgate::builder().policy_file(&self.policy.path);
            block_on(policy.check_without_secrets())
        } else {
            self.policy.open().map(|gate| gate.warnings())
        };
        let findings = match warnings {
            Ok(warnings) => warnings.to_vec(),
            Err(OpenError::Refused { faults }) => faults,
            Err(error) => return Err(error.into()),
        };
        let count = |severity| findings.iter().filter(|fault| fault.severity() == severity).count();
        let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
        let fine = faults == 0 && (warnings == 0 || !self.strict);
        if self.json {
            let report = json!({
                "policy": self.policy.path.display().to_string(),
                "fine": fine,
                "faults": of(&findings, Severity::Fault),
                "warnings": of(&findings, Severity::Warning),
            });
            say(format_args!("{report:#}\n"))?;
        } else {
            for finding in &findings {
                say(format_args!("{finding}\n\n"))?;
            }
            let verdict = if fine { "fine" } else { "refused" };
            let policy = self.policy.path.display();
            let (faults, warnings) = (plural(faults, "fault"), plural(warnings, "warning"));
            say(format_args!("{policy}: {verdict} ({faults}, {warnings})\n"))?;
        }
        Ok(ExitCode::from(u8::from(!fine)))
    }
}

fn of(findings: &[Fault], severity: Severity) -> Vec<Value> {
    let of_severity = findings.iter().filter(|fault| fault.severity() == severity);
    let json = |fault: &Fault| {
        json!({
            "file": fault.file(), "line": fault.line(), "column": fault.column(),
            "name": fault.name(), "message": fault.message(), "help": fault.help(),
        })
    };
    of_severity.map(json).collect()
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
