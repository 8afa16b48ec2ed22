//! `tollgate check`: every fault and every warning of a policy, in one report.

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate::workbench::{Away, Looked, WorstCase, look_at};
use tollgate::{Fault, OpenError, Severity};

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
        let looked = match block_on(look_at(&self.policy.path, self.without_secrets)) {
            Ok(looked) => looked,
            Err(OpenError::Refused { faults }) => Looked { warnings: faults, ..Looked::default() },
            Err(error) => return Err(self.unreadable(error.into())),
        };
        self.report(&looked)
    }

    /// In JSON too, what cannot be read is a fault, without a place in the file.
    fn unreadable(&self, failure: Failure) -> Failure {
        let (Failure::Usage(text) | Failure::Refused(text)) = &failure;
        let (message, help) = match text.split_once("\nhelp: ") {
            Some((message, help)) => (message, Some(help)),
            None => (text.as_str(), None),
        };
        if !self.json {
            return failure;
        }
        let report = json!({
            "policy": self.policy.path.display().to_string(),
            "fine": false,
            "faults": [{
                "file": self.policy.path.display().to_string(), "line": null, "column": null,
                "name": null, "message": message, "help": help,
            }],
            "warnings": [],
            "shared_limits": [],
            "scattered_rules": [],
        });
        say(format_args!("{report:#}\n")).err().unwrap_or(failure)
    }

    fn report(&self, looked: &Looked) -> Result<ExitCode, Failure> {
        let findings = &looked.warnings;
        let count = |severity| findings.iter().filter(|fault| fault.severity() == severity).count();
        let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
        let fine = faults == 0 && (warnings == 0 || !self.strict);
        if self.json {
            let report = json!({
                "policy": self.policy.path.display().to_string(),
                "fine": fine,
                "faults": of(findings, Severity::Fault),
                "warnings": of(findings, Severity::Warning),
                "shared_limits": looked.worst_cases.iter().map(in_json).collect::<Vec<_>>(),
                "scattered_rules": looked.scattered.iter().map(|rule| json!({
                    "rule": *rule.rule, "scripts": rule.scripts,
                })).collect::<Vec<_>>(),
            });
            say(format_args!("{report:#}\n"))?;
        } else {
            for finding in findings {
                say(format_args!("{finding}\n\n"))?;
            }
            for worst in &looked.worst_cases {
                say(format_args!("{worst}\n\n"))?;
            }
            for rule in &looked.scattered {
                say(format_args!("{rule}\n\n"))?;
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

fn in_json(worst: &WorstCase) -> Value {
    let (nodes, each, most_at_once, how) = match worst.away {
        Away::Shares { nodes, each, most_at_once } => {
            (json!(nodes), json!(each), json!(most_at_once), "local_share")
        }
        Away::Closed => (Value::Null, json!(0), json!(0), "closed"),
        Away::Open => (Value::Null, Value::Null, Value::Null, "open"),
    };
    json!({
        "limit": *worst.limit,
        "plan": worst.plan,
        "unit": worst.unit,
        "interval_ms": u64::try_from(worst.interval.as_millis()).unwrap_or(u64::MAX),
        "while_answering": worst.answering,
        "on_store_failure": how,
        "nodes": nodes,
        "more_per_node": each,
        "largest_cost_then": most_at_once,
        "more_per_loss": worst.lost,
        "in_words": worst.to_string(),
    })
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
