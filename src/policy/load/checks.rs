//! What the tables of a policy have in common: how names, links, ranges and rates are read.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use ipnet::IpNet;

use crate::address::parse_range;
use crate::limit::{ONE, Quota, parse_rate};
use crate::policy::StatusMode;
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::{Place, Source};
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::policy::value_fault::SyntaxFault;
use crate::scope::{InvalidScope, Scope};
use crate::verify::key_store::{is_name, is_word};
use crate::watch::{Content, Trouble};

/// Reports the first syntax error of each line: those behind it on the line follow from it.
///
/// The lines with errors; `None` where what follows an error was swallowed by it, and would give
/// rise to faults that are none.
pub(super) fn report_syntax(
    errors: &[toml::de::Error],
    source: &Arc<Source>,
    faults: &Faults,
) -> Option<Vec<usize>> {
    let mut lines = Vec::new();
    let mut swallowed = false;
    let mut errors: Vec<_> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    for error in errors {
        let place = Place { source: source.clone(), span: error.span().unwrap_or(0..0) };
        let swallows = ["unclosed", "missing comma", "unexpected"];
        swallowed |= swallows.iter().any(|word| error.message().contains(word));
        let error = error.message().replace('\n', ", ");
        let fault = Fault::of(&place, &SyntaxFault::NotToml { error });
        if !lines.contains(&fault.line()) {
            lines.push(fault.line());
            faults.push(fault);
        }
    }
    (!swallowed).then_some(lines)
}

/// The words of `status`, of the policy and of a rule.
pub(super) const STATUS_MODES: [(&str, StatusMode); 2] =
    [("uniform", StatusMode::Uniform), ("standard", StatusMode::Standard)];

/// Reads `max_buckets` of a table.
pub(super) fn load_max_buckets(section: &Section<'_>) -> Option<usize> {
    let max_buckets = section.number("max_buckets", 1..1 << 40)?;
    Some(usize::try_from(max_buckets.value).unwrap_or(usize::MAX))
}

/// Reads `rate` and `burst` of a table. Without `burst` it is `default`, or the count of the rate.
pub(super) fn load_quota(section: &Section<'_>, rate: &str, default: Option<u32>) -> Option<Quota> {
    let burst = section.number("burst", 1..1 << 32);
    let rate_place =
        if section.has("rate") { section.key_place("rate") } else { section.place().clone() };
    let rate_place = section.text("rate").map_or(rate_place, |rate| rate.place);
    let (tokens, period) = match parse_rate(rate) {
        Ok(rate) => rate,
        Err(error) => {
            let invalid =
                CommonFault::InvalidRate { rate: rate.to_owned(), error: error.to_string() };
            section.push(Fault::of(&rate_place, &invalid));
            return None;
        }
    };
    let burst_tokens = match &burst {
        Some(burst) => u32::try_from(burst.value).ok().and_then(NonZeroU32::new),
        None if section.has("burst") => return None,
        None => default.and_then(NonZeroU32::new).or(Some(tokens)),
    };
    match Quota::new(tokens, period, burst_tokens.unwrap_or(ONE)) {
        Ok(quota) => Some(quota),
        Err(error) => {
            let place = burst.map_or(rate_place, |burst| burst.place);
            section
                .push(Fault::of(&place, &CommonFault::InexactBucket { error: error.to_string() }));
            None
        }
    }
}

/// Reads a size in bytes: a whole number, or text such as `64MiB`.
pub(super) fn load_size(
    section: &Section<'_>,
    name: &'static str,
    range: std::ops::Range<u64>,
) -> Option<At<u64>> {
    if !section.is_text(name) {
        return section.number(name, range);
    }
    let (least, most) = (range.start, range.end - 1);
    section.parse(name, "size", |text| {
        let size = parse_size(text)
            .ok_or("a size is a whole number of bytes, or such as `64KiB` or `64MiB`")?;
        if range.contains(&size) {
            Ok(size)
        } else {
            Err(format!("it is from {least} to {most} bytes"))
        }
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Checks a link that goes into denials.
pub(super) fn check_link(text: &str, schemes: &[&str], is_base: bool) -> Result<String, String> {
    if is_base && text.contains(['?', '#']) {
        return Err("leave out query and fragment: the code is put behind it".into());
    }
    let names: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}:`")).collect();
    let path = if is_base { " or a path that begins with `/`" } else { "" };
    let help = format!("write a URI that begins with {}{path}", names.join(" or "));
    if text.len() > 512
        || !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
    {
        return Err(
            "a URI has at most 512 characters of printable ASCII, others percent-encoded".into()
        );
    }
    if is_base && text.starts_with('/') && !text.starts_with("//") {
        return Ok(text.to_owned());
    }
    let is_link = match text.split_once(':') {
        Some(("mailto", address)) => schemes.contains(&"mailto") && address.contains('@'),
        Some((scheme, _)) => {
            schemes.contains(&scheme)
                && text
                    .parse::<Uri>()
                    .is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        }
        None => false,
    };
    if is_link { Ok(text.to_owned()) } else { Err(help) }
}

/// Text that stands in a quoted string of a header as it is.
pub(super) fn check_quotable(text: &str) -> Result<String, String> {
    let fits = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    if text.is_empty() || text.len() > 100 || !text.bytes().all(fits) {
        return Err("use 1 to 100 printable ASCII characters, without `\"` and `\\`".into());
    }
    Ok(text.to_owned())
}

pub(crate) fn parse_cidr(text: &str) -> Result<IpNet, String> {
    parse_range(text)
        .ok_or_else(|| "write a range such as `203.0.113.0/24` or `2001:db8::/32`".into())
}

/// Reports a name that is used twice.
pub(super) fn check_unique(
    faults: &Faults,
    seen: &mut HashSet<String>,
    name: &At<String>,
    what: &str,
) {
    if !seen.insert(name.value.clone()) {
        report_twice(faults, name, what);
    }
}

/// Reports a name that another has already.
pub(super) fn report_twice(faults: &Faults, name: &At<String>, what: &str) {
    let twice = CommonFault::NameUsedTwice { name: name.value.clone(), what: what.to_owned() };
    faults.push(Fault::of(&name.place, &twice));
}

/// A name for people and headers.
pub(crate) fn check_name(text: &str) -> Result<String, String> {
    if !is_name(text) {
        return Err("a name has 1 to 64 printable ASCII characters, without space, quote, `\\`, `,` and `;`".into());
    }
    Ok(text.to_owned())
}

/// A sentence or two for people.
pub(super) fn check_sentence(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 1000 {
        return Err("write a sentence of at most 1000 characters".into());
    }
    Ok(text.to_owned())
}

/// Reads a file that the policy names at `place`.
pub(super) fn read_file(
    name: &str,
    place: &Place,
    sources: &Sources,
    faults: &Faults,
) -> Option<Content> {
    let path = sources.path(name);
    let read = sources.read(&path);
    read.map_err(|trouble| report_unreadable(&path, &trouble, "", place, faults)).ok()
}

/// The same for a list, which may be large. An empty file is refused, when the gate opens and later: it may be
/// half written, and its keys, or what is revoked, would be gone.
pub(super) fn read_list_file(
    name: &str,
    place: &Place,
    help: &ListHelp,
    sources: &Sources,
    faults: &Faults,
) -> Option<Content> {
    let path = sources.path(name);
    let read = sources.read_list(&path).and_then(|content| {
        if content.trim_ascii().is_empty() { Err(Trouble::Empty) } else { Ok(content) }
    });
    let read = read.map_err(|trouble| match trouble {
        Trouble::Empty => {
            let path = path.display().to_string();
            let help = help.empty.replace("FILE", &path);
            faults.push(Fault::of(place, &CommonFault::EmptyFile { path, help }));
        }
        Trouble::TooLarge { .. } => {
            let (path, error) = (path.display().to_string(), trouble.to_string());
            let help = help.too_large;
            faults.push(Fault::of(place, &CommonFault::ListTooLarge { path, error, help }));
        }
        trouble => {
            let missing = help.missing.replace("FILE", &path.display().to_string());
            report_unreadable(&path, &trouble, &missing, place, faults);
        }
    });
    read.ok()
}

/// What to do where a list cannot be read.
pub(super) struct ListHelp {
    pub(super) too_large: &'static str,
    /// The help where the file is empty; `FILE` is its path.
    pub(super) empty: &'static str,
    /// Goes on with the help where there is no such file; `FILE` is its path.
    pub(super) missing: &'static str,
}

/// The same for a file that holds a secret.
pub(super) fn read_secret_file(
    name: &str,
    place: &Place,
    sources: &Sources,
    faults: &Faults,
) -> Option<Content> {
    let path = sources.path(name);
    let without = "; `tollgate check --without-secrets` does without";
    let read = sources.read_secret(&path);
    read.map_err(|trouble| report_unreadable(&path, &trouble, without, place, faults)).ok()
}

/// `where_missing` goes on with the help where there is no such file.
fn report_unreadable(
    path: &Path,
    trouble: &Trouble,
    where_missing: &str,
    place: &Place,
    faults: &Faults,
) {
    let help = if *trouble == Trouble::Missing { where_missing.to_owned() } else { String::new() };
    let (path, error) = (path.display().to_string(), trouble.to_string());
    faults.push(Fault::of(place, &CommonFault::UnreadableFile { path, error, help }));
}

pub(crate) fn parse_scope(text: &str) -> Result<Scope, String> {
    if text.len() > 128 {
        return Err("use at most 128 characters".into());
    }
    text.parse().map_err(|error| match error {
        InvalidScope::Empty => "leave it out".into(),
        InvalidScope::Byte { at } => {
            let odd = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
            format!(
                "the character `{}` is not allowed: use printable ASCII without space, `\"` and `\\`",
                odd.escape_debug()
            )
        }
    })
}

/// Text without control characters, not empty and not endless.
pub(crate) fn check_word(text: &str) -> Result<String, String> {
    if !is_word(text) {
        return Err("use 1 to 256 characters, without control characters".into());
    }
    Ok(text.to_owned())
}

problems! {
    /// What may be wrong with what several tables have: rates, names, files.
    enum CommonFault: Fault {
        /// A text that is not a rate.
        InvalidRate { rate: String, error: String } => {
            message: ("`{}` is not a valid rate", rate.escape_debug()),
            label: "is not a valid rate",
            help: "{error}, for example `rate = \"100/minute\"`",
        }
        /// A bucket that is too large for exact integers.
        InexactBucket { error: String } => {
            message: "the bucket cannot be counted exactly",
            label: "is out of range",
            help: "{error}",
        }
        /// A name that another has already.
        NameUsedTwice { name: String, what: String } => {
            message: ("two {what} are called `{}`", name.escape_debug()),
            label: "is used already",
            help: "give each a name of its own",
        }
        /// A file that cannot be read.
        UnreadableFile { path: String, error: String, help: String } => {
            message: "cannot read `{path}`: {error}",
            label: "cannot be read",
            help: "paths are relative to the folder of the policy{help}",
        }
        /// A list without a byte but white space.
        EmptyFile { path: String, help: String } => {
            message: "the file `{path}` is empty",
            label: "may be half written",
            help: "{help}",
        }
        /// A list that is larger than any may be.
        ListTooLarge { path: String, error: String, help: &'static str } => {
            message: "cannot read `{path}`: {error}",
            label: "is too large",
            help: "{help}",
        }
    }
}
