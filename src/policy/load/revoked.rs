//! Reads `[[revoked]]`, of the policy and of the file of `[revocations]`.

use std::sync::Arc;

use memchr::memchr_iter;
use toml::de::DeTable;

use super::checks::{ListHelp, read_list_file, report_syntax};
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
use crate::watch::MOST_BYTES;

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
    let too_large = "remove the entries of tokens and keys that have expired";
    let empty = "where nothing is revoked, write a comment into it: `# nothing is revoked`";
    let help = ListHelp { too_large, empty, missing: "" };
    let text = read_list_file(file.value, &file.place, &help, sources, faults);
    let Some(text) = text else { return };
    let Ok(text) = str::from_utf8(&text) else {
        faults.push(Fault::of(&file.place, &RevokedFault::FileNotUtf8));
        return;
    };
    let Some(parts) = parts(text, "[[revoked]]").or_else(|| {
        // It is read as a whole, which takes many times its size.
        (text.len() as u64 <= MOST_BYTES).then(|| vec![text])
    }) else {
        faults
            .push(Fault::of(&file.place, &RevokedFault::LongStrings { largest: MOST_BYTES >> 20 }));
        return;
    };
    let name = sources.path(file.value).display().to_string();
    let (before, mut begin, mut lines_before) = (faults.len(), 0, 0);
    for part in parts {
        let source = Arc::new(Source::part(&*name, part, begin, lines_before));
        load_part(part, &source, faults, &load);
        begin += part.len();
        lines_before += memchr_iter(b'\n', part.as_bytes()).count();
        if faults.len() - before >= MOST_FAULTS && begin < text.len() {
            faults.push(Fault::of(&file.place, &RevokedFault::TooManyFaults { most: MOST_FAULTS }));
            return;
        }
    }
}

/// A file with more has one cause, which shows in the first ones.
const MOST_FAULTS: usize = 1_000;

fn load_part(text: &str, source: &Arc<Source>, faults: &Faults, load: &impl Fn(Vec<Section<'_>>)) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = report_syntax(&errors, source, faults);
    if lines.is_none_or(|lines| !lines.is_empty()) {
        return;
    }
    let root = Section::new("the file of revocations", table.get_ref(), source, 0..0, faults);
    load(root.sections("revoked", "[[revoked]]"));
    root.finish();
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
        /// Strings of several lines, for which a file must be read as a whole.
        LongStrings { largest: u64 } => {
            message: "a file of revocations above {largest} MiB has strings of one line only",
            label: "has a string of several lines",
            help: "write its strings without `\"\"\"` and `'''`",
        }
        /// More faults than anybody reads.
        TooManyFaults { most: usize } => {
            message: "the file of revocations has more than {most} faults and warnings",
            label: "was not read to its end",
            help: "correct the first ones",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults and warnings of a file, with the lines that they are about, and how many entries it has.
    fn read(text: &str) -> (Vec<(String, usize)>, usize) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("revoked.toml"), text).unwrap();
        let (sources, faults) = (Sources::of_disk(folder.path()), Faults::default());
        let policy = "version = 1\n[revocations]\nfile = \"revoked.toml\"\n";
        let policy = super::super::load("policy", policy, &sources, &faults).unwrap();
        let of_file = |fault: &Fault| fault.file().ends_with("revoked.toml");
        let line = |fault: Fault| (fault.name().unwrap().to_owned(), fault.line());
        let found = faults.into_sorted().into_iter().filter(of_file).map(line).collect();
        (found, policy.revoked.len())
    }

    #[test]
    fn faults_of_a_long_list_have_their_places() {
        let entries: String =
            (0..25_000).map(|n| format!("[[revoked]]\njti = \"t{n}\"\n")).collect();
        assert_eq!(read(&entries), (Vec::new(), 25_000));
        let faulty = format!("{entries}[[revoked]]\njit = \"t\"\n[[revoked]]\njti = \"t\n");
        let (found, _) = read(&faulty);
        assert_eq!(
            found,
            [("not-toml".to_owned(), 50_004)],
            "what is on one part's lines is judged alone"
        );
        let faulty =
            format!("{entries}[[revoked]]\njit = \"t\"\n{entries}[[revoked]]\njti = \"t\n");
        let (found, _) = read(&faulty);
        let expected = [("unknown-key", 50_002), ("not-toml", 100_004)];
        assert_eq!(found, expected.map(|(name, line)| (name.to_owned(), line)));
    }
}
