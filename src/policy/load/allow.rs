//! Reads `allow`: the warnings that an operator has read, and silences with a reason.

use super::checks::check_sentence;
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::section::Section;
use crate::policy::suggest::suggest;
use crate::policy::warning::Warning;

pub(super) fn load_allow(entries: Vec<Section<'_>>) {
    for entry in entries {
        load_entry(entry);
    }
}

fn load_entry(entry: Section<'_>) {
    let warning = entry.required_text("warning", "name it: `warning = \"unused-limit\"`");
    entry.required_text("reason", "say why the policy is right: `reason = \"...\"`");
    entry.parse("reason", "reason", check_sentence);
    if let Some(warning) = warning {
        if Warning::names().iter().any(|name| name == warning.value) {
            entry.faults().allow(warning.value, warning.place);
        } else {
            let unknown = AllowFault::UnknownWarning { name: warning.value.to_owned() };
            entry.push(Fault::of(&warning.place, &unknown));
        }
    }
    entry.finish();
}

problems! {
    /// What may be wrong with an entry of `allow`.
    enum AllowFault: Fault {
        /// A name that no warning has.
        UnknownWarning { name: String } => {
            message: ("unknown warning `{}`", name.escape_debug()),
            label: "no warning has this name",
            help: {
                let mut names = Warning::names();
                names.sort();
                suggest(name, "the warnings are", names.iter().map(String::as_str))
            },
        }
    }
}
