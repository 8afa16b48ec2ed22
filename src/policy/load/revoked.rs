//! Reads `[[revoked]]`, of the policy and of the file of `[revocations]`.

use std::sync::Arc;

use toml::de::DeTable;

use super::checks::{read_file, report_syntax};
use super::needs::unknown_issuer;
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::parts::parts;
use crate::policy::place::Source;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::warning::Warning;
use crate::verify::{Issuers, Revocation, RevokedSet};

/// The issuers that entries may name.
pub(super) struct KnownIssuers<'a> {
    pub(super) issuers: &'a Issuers,
    /// Whether all of them could be read; otherwise it is not known which names are missing.
    pub(super) are_whole: bool,
}

/// The entries, and the path of the file that holds some of them.
pub(super) fn load_revoked(
    root: &Section<'_>,
    sources: &Sources,
    known: &KnownIssuers<'_>,
) -> (RevokedSet, Option<String>) {
    let revoked = RevokedSet::default();
    let load = |sections: Vec<Section<'_>>| {
        for entry in sections.into_iter().filter_map(|section| load_entry(section, known)) {
            revoked.insert(&entry);
        }
    };
    load(root.sections("revoked", "[[revoked]]"));
    let mut path = None;
    if let Some(section) = root.section("revocations", "[revocations]") {
        if let Some(file) = section.text("file") {
            load_file(&file, sources, root.faults(), load);
            path = Some(sources.path(file.value).display().to_string());
        }
        section.finish();
    }
    (revoked, path)
}

fn load_file(file: &At<&str>, sources: &Sources, faults: &Faults, load: impl Fn(Vec<Section<'_>>)) {
    let Some(text) = read_file(file.value, &file.place, sources, faults) else { return };
    let Ok(text) = str::from_utf8(&text) else {
        faults.push(Fault::of(&file.place, &RevokedFault::FileNotUtf8));
        return;
    };
    // A list without faults is read in parts. Another is read as a whole, so that each fault has its place.
    let parts = parts(text, "[[revoked]]");
    if parts.len() > 1 && parts.into_iter().all(|part| load_part(part, &load)) {
        return;
    }
    let name = sources.path(file.value).display().to_string();
    let source = Arc::new(Source { name, text: text.to_owned() });
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = report_syntax(&errors, &source, faults);
    if lines.is_none_or(|lines| !lines.is_empty()) {
        return;
    }
    let root = Section::new("the file of revocations", table.get_ref(), &source, 0..0, faults);
    load(root.sections("revoked", "[[revoked]]"));
    root.finish();
}

/// Whether a part of a list has neither a fault nor a warning; then its entries are loaded.
fn load_part(text: &str, load: &impl Fn(Vec<Section<'_>>)) -> bool {
    let Ok(table) = DeTable::parse(text) else { return false };
    let faults = Faults::default();
    let source = Arc::new(Source { name: String::new(), text: String::new() });
    let root = Section::new("the file of revocations", table.get_ref(), &source, 0..0, &faults);
    load(root.sections("revoked", "[[revoked]]"));
    root.finish();
    faults.into_sorted().is_empty()
}

fn load_entry(section: Section<'_>, known: &KnownIssuers<'_>) -> Option<Revocation> {
    if section.has_no_keys() {
        section.push(Fault::of(section.place(), &RevokedFault::NoCondition));
        return None;
    }
    let text = |name: &'static str| {
        let parse = |text: &str| match text {
            "" => Err(format!("leave `{name}` out where it does not matter")),
            text => Ok(Box::from(text)),
        };
        section.parse(name, "condition", parse)
    };
    let (issuer, jti, client, key_id) =
        (text("issuer"), text("jti"), text("client"), text("key_id"));
    let issued_before = section.moment_rounded_up("issued_before");
    if let Some(issuer) = issuer.as_ref().filter(|_| known.are_whole)
        && known.issuers.by_name(&issuer.value).is_none()
    {
        section.push(Fault::of(&issuer.place, &unknown_issuer(&issuer.value, known.issuers)));
    }
    let key_place = section.key_place("key_id");
    let faults = section.faults();
    section.finish();
    let revocation = Revocation {
        issuer: issuer.map(|issuer| issuer.value),
        jti: jti.map(|jti| jti.value),
        client: client.map(|client| client.value),
        key_id: key_id.map(|key_id| key_id.value),
        issued_before: issued_before.map(|moment| moment.value),
        ..Revocation::without_conditions()
    };
    if revocation.matches_nothing() {
        faults.push(Fault::warning(&key_place, &Warning::RevokesNothing));
    }
    Some(revocation)
}

problems! {
    /// What may be wrong with `[[revoked]]`.
    enum RevokedFault: Fault {
        /// An entry without anything in it.
        NoCondition => {
            message: "an entry of [[revoked]] has no condition",
            label: "does not say what is revoked",
            help: "write one or more of `issuer`, `jti`, `client`, `key_id` and `issued_before`, or remove it",
        }
        /// A file in another encoding.
        FileNotUtf8 => {
            message: "the file of revocations is not UTF-8",
            label: "cannot be read",
            help: "it is TOML with [[revoked]] tables",
        }
    }
}
