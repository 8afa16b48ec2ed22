//! Reads a policy file, table by table.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, Uri};
use ipnet::IpNet;
use toml::de::DeTable;

use super::fault::{Fault, Faults, NOT_TOML, Place, Source, nearest};
use super::load_issuers::load_issuers;
use super::load_keys::{check_word, load_keys};
use super::load_limits::load_limits;
use super::load_rules::{RuleContext, load_rules};
use super::section::{At, Section};
use super::{CodeEntry, DenialPolicy, Disclosure, Policy, RateLimitHeaders, StatusMode};
use crate::address::{AddressPolicy, AddressSource, parse_range};
use crate::limit::{ONE, Quota, parse_rate};

const MAX_BUCKETS: u64 = 1_000_000;
const TOKEN_CACHE: u64 = 100_000;

/// Reads the policy `text`. Files that it names are relative to `folder`.
///
/// What could not be read is reported in `faults`; whoever calls refuses the policy when there are
/// any. `None` where nothing can be made of the text.
pub(crate) fn load(name: &str, text: &str, folder: &Path, faults: &Faults) -> Option<Policy> {
    let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    let start = Place { source: source.clone(), span: 0..0 };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() && table.get_ref().is_empty() {
        return refuse_empty(&start, faults);
    }
    let lines = report_syntax(&errors, &source, faults)?;
    let root = Section::new("the policy", table.get_ref(), &source, 0..0, faults);
    check_version(&root);
    let policy = load_root(&root, folder);
    root.finish();
    if !lines.is_empty() {
        faults.drop_followers(&lines);
    }
    policy
}

fn refuse_empty(start: &Place, faults: &Faults) -> Option<Policy> {
    faults.push(Fault::at(start, "the policy is empty").label("nothing stands here").with_help(
        "begin with `version = 1` and a [[rule]]: without rules every request is denied",
    ));
    None
}

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
        let fault = Fault::at(&place, format!("{NOT_TOML}{}", error.message().replace('\n', ", ")))
            .label("cannot be read")
            .with_help("correct the syntax of TOML: strings stand in quotes, and each pair on a line of its own");
        if !lines.contains(&fault.line()) {
            lines.push(fault.line());
            faults.push(fault);
        }
    }
    (!swallowed).then_some(lines)
}

fn check_version(root: &Section<'_>) {
    let help = "this release reads version 1";
    if !root.has("version") {
        root.push(
            Fault::at(root.place(), "the policy has no `version`")
                .label("`version` belongs here")
                .with_help("begin with `version = 1`, above all tables"),
        );
    }
    if let Some(version) = root.number("version", 0..u64::MAX).filter(|version| version.value != 1)
    {
        root.push(
            Fault::at(&version.place, format!("version {} is unknown", version.value))
                .label("is not 1")
                .with_help(help),
        );
    }
}

fn load_root(root: &Section<'_>, folder: &Path) -> Option<Policy> {
    let (denial, codes) = load_denial(root.section("denial", "[denial]"));
    let address = load_address(root.section("address", "[address]"));
    let failures = load_failures(root.section("failures", "[failures]"));
    let token_cache = load_tokens(root.section("tokens", "[tokens]"));
    let max_buckets = load_store(root.section("store", "[store]"));

    let issuers = load_issuers(root.sections("issuer", "[[issuer]]"), folder);
    let takes_keys = root.has("api_keys");
    let (keys, keys_whole) = whole(root, || {
        let section = root.section("api_keys", "[api_keys]");
        load_keys(section, folder, !issuers.is_empty(), root.faults())
    });
    let sections = root.sections("limit", "[[limit]]");
    let (written, any) = (sections.len(), root.holds("limit"));
    let (limits, limits_whole) = whole(root, || load_limits(sections));
    let limit_names_known = limits.len() == written && (written > 0 || !any);
    let context = RuleContext {
        limits: &limits,
        keys: &keys,
        takes_keys,
        takes_tokens: root.has("issuer"),
        keys_whole,
        limits_whole: limits_whole && limit_names_known,
        limit_names_known,
    };
    let rules = load_rules(root.sections("rule", "[[rule]]"), &context, root);

    Some(Policy {
        denial,
        address,
        credential: keys.credential,
        takes_keys,
        keys: keys.table,
        issuers: crate::verify::Issuers::new(issuers),
        token_cache,
        failures,
        limits: limits.into_iter().map(|limit| limit.limit).collect(),
        rules,
        max_buckets,
        codes,
    })
}

/// What `read` reads, and whether it found no fault.
fn whole<T>(root: &Section<'_>, read: impl FnOnce() -> T) -> (T, bool) {
    let before = root.faults().count();
    let read = read();
    (read, root.faults().count() == before)
}

fn load_denial(section: Option<Section<'_>>) -> (DenialPolicy, Vec<CodeEntry>) {
    let mut denial = DenialPolicy::default();
    let Some(section) = section else { return (denial, Vec::new()) };
    let modes = [("uniform", StatusMode::Uniform), ("standard", StatusMode::Standard)];
    if let Some(status) = section.one_of("status", &modes) {
        denial.status = status;
    }
    let levels = [
        ("minimal", Disclosure::Minimal),
        ("standard", Disclosure::Standard),
        ("detailed", Disclosure::Detailed),
    ];
    if let Some(disclosure) = section.one_of("disclosure", &levels) {
        denial.disclosure = disclosure;
    }
    if let Some(docs) =
        section.parse("docs", "base of URIs", |text| check_link(text, &["https", "http"], true))
    {
        denial.docs = Some(docs.value.strip_suffix('/').unwrap_or(&docs.value).into());
    }
    if let Some(support) = section
        .parse("support", "URI", |text| check_link(text, &["https", "http", "mailto"], false))
    {
        denial.support = Some(support.value.into());
    }
    if let Some(realm) = section.parse("realm", "realm", check_quotable) {
        denial.realm = realm.value.into();
    }
    let headers = [
        ("draft", RateLimitHeaders { draft: true, legacy: false }),
        ("legacy", RateLimitHeaders { draft: false, legacy: true }),
        ("both", RateLimitHeaders { draft: true, legacy: true }),
        ("off", RateLimitHeaders { draft: false, legacy: false }),
    ];
    if let Some(headers) = section.one_of("ratelimit_headers", &headers) {
        denial.ratelimit_headers = headers;
    }
    let codes =
        section.sections("code", "[[denial.code]]").into_iter().filter_map(load_code).collect();
    section.finish();
    (denial, codes)
}

fn load_code(section: Section<'_>) -> Option<CodeEntry> {
    let owned = |at: At<&str>| At { value: at.value.to_owned(), place: at.place };
    let code = section.required_text("code", "name it: `code = \"order_locked\"`").map(owned);
    let title = section
        .required_text("title", "say it in a few words: `title = \"Order locked\"`")
        .and_then(|_| section.parse("title", "title", check_word));
    let category =
        section.required_text("category", "for example `category = \"authorization\"`").map(owned);
    let remedy = section
        .required_text("remedy", "say what the client developer should do next")
        .and_then(|_| section.parse("remedy", "remedy", check_sentence));
    let status = section.number("status", 400..600);
    let detail = section.text("detail").map(|text| text.value.to_owned());
    let retryable = section.flag("retryable").unwrap_or(false);
    section.finish();
    Some(CodeEntry {
        code: code?,
        title: title?.value,
        category: category?,
        status,
        remedy: remedy?.value,
        detail,
        retryable,
    })
}

fn load_address(section: Option<Section<'_>>) -> AddressPolicy {
    let mut address = AddressPolicy::default();
    let Some(section) = section else { return address };
    let source = section.parse("source", "source of addresses", |text| {
        let help = "it is `peer`, `x-forwarded-for`, `forwarded`, or the header with one address that your proxy sets";
        Ok(match text.to_ascii_lowercase().as_str() {
            "peer" => AddressSource::Peer,
            "x-forwarded-for" => AddressSource::XForwardedFor,
            "forwarded" => AddressSource::Forwarded,
            name => AddressSource::Single(parse_header(name).map_err(|_| help.to_owned())?),
        })
    });
    if let Some(At { value: AddressSource::Single(name), place }) = &source
        && let Some(near) = nearest(name.as_str(), ["peer", "x-forwarded-for", "forwarded"])
    {
        section.push(
            Fault::doubt(place, format!("`{name}` is read as a header with one address"))
                .label("is none of the lists that are understood")
                .with_help(format!("did you mean `{near}`?")),
        );
    }
    let trusted_nobody = !section.has("trusted") || section.is_empty("trusted");
    if let Some(trusted) = section.list("trusted", "range of addresses", parse_cidr) {
        for range in &trusted {
            let shortest = if range.value.addr().is_ipv4() { 8 } else { 16 };
            if range.value.prefix_len() < shortest {
                section.push(
                    Fault::at(&range.place, format!("`{}` trusts too many addresses", range.value))
                        .label(format!("is shorter than /{shortest}"))
                        .with_help("name the networks of your proxies: whoever is trusted can claim any address"),
                );
            }
        }
        address.trusted = trusted.into_iter().map(|range| range.value).collect();
    }
    if let Some(prefix) = section.number("ipv6_prefix", 16..129) {
        address.ipv6_prefix = u8::try_from(prefix.value).unwrap_or(64);
    }
    let believes = source.as_ref().is_some_and(|source| source.value != AddressSource::Peer);
    if !believes && !address.trusted.is_empty() {
        section.push(
            Fault::doubt(&section.key_place("trusted"), "`trusted` has no effect")
                .label("only the peer's own address is looked at")
                .with_help(
                    "set `source = \"x-forwarded-for\"`, or the header that your proxies send",
                ),
        );
    }
    if let Some(source) = source {
        if believes && trusted_nobody {
            section.push(
                Fault::doubt(&source.place, "the header is never believed")
                    .label("no proxy is trusted to send it")
                    .with_help("list your proxies: `trusted = [\"10.0.0.0/8\"]`"),
            );
        }
        address.source = source.value;
    }
    section.finish();
    address
}

fn load_failures(section: Option<Section<'_>>) -> Option<Quota> {
    let Some(section) = section else { return quota_of("10/minute", Some(20)) };
    let enabled = section.flag("enabled").unwrap_or(true);
    let rate = section.text("rate");
    let quota =
        load_quota(&section, rate.as_ref().map_or("10/minute", |rate| rate.value), Some(20));
    section.finish();
    quota.filter(|_| enabled)
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
            section.push(
                Fault::at(&rate_place, format!("`{}` is no rate", rate.escape_debug()))
                    .label("is no rate")
                    .with_help(format!("{error}, for example `rate = \"100/minute\"`")),
            );
            return None;
        }
    };
    let burst_tokens = match &burst {
        Some(burst) => u32::try_from(burst.value).ok().and_then(std::num::NonZeroU32::new),
        None if section.has("burst") => return None,
        None => default.and_then(std::num::NonZeroU32::new).or(Some(tokens)),
    };
    match Quota::new(tokens, period, burst_tokens.unwrap_or(ONE)) {
        Ok(quota) => Some(quota),
        Err(error) => {
            let place = burst.map_or(rate_place, |burst| burst.place);
            section.push(
                Fault::at(&place, "the bucket cannot be counted exactly")
                    .label("is out of range")
                    .with_help(error.to_string()),
            );
            None
        }
    }
}

fn quota_of(rate: &str, burst: Option<u32>) -> Option<Quota> {
    let (tokens, period) = parse_rate(rate).ok()?;
    Quota::new(tokens, period, burst.and_then(std::num::NonZeroU32::new).unwrap_or(tokens)).ok()
}

fn load_tokens(section: Option<Section<'_>>) -> usize {
    let cache = section.and_then(|section| {
        let cache = section.number("cache", 0..100_000_001);
        section.finish();
        cache
    });
    usize::try_from(cache.map_or(TOKEN_CACHE, |cache| cache.value)).unwrap_or(0)
}

fn load_store(section: Option<Section<'_>>) -> usize {
    let max_buckets = section.and_then(|section| {
        if section.text("kind").is_some_and(|kind| kind.value == "redis") {
            section.push(
                Fault::at(&section.key_place("kind"), "the store `redis` is not in this release")
                    .label("cannot be used yet")
                    .with_help(
                        "use `kind = \"memory\"`: every process then keeps buckets of its own",
                    ),
            );
        } else {
            section.one_of("kind", &[("memory", ())]);
        }
        let max_buckets = section.number("max_buckets", 1..1 << 40);
        section.finish();
        max_buckets
    });
    let max_buckets = max_buckets.map_or(MAX_BUCKETS, |max_buckets| max_buckets.value);
    usize::try_from(max_buckets).unwrap_or(usize::MAX)
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

pub(super) fn parse_header(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| "a header's name is made of letters, digits and `-`".into())
}

pub(super) fn parse_cidr(text: &str) -> Result<IpNet, String> {
    parse_range(text)
        .ok_or_else(|| "write a range such as `203.0.113.0/24` or `2001:db8::/32`".into())
}

/// Reports a name that is used twice.
pub(super) fn check_unique(faults: &Faults, seen: &mut Vec<String>, name: &At<String>, what: &str) {
    if seen.contains(&name.value) {
        faults.push(
            Fault::at(
                &name.place,
                format!("two {what} are called `{}`", name.value.escape_debug()),
            )
            .label("is used already")
            .with_help("give each a name of its own"),
        );
    }
    seen.push(name.value.clone());
}

/// A name for people and headers.
pub(super) fn check_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',' | b';');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err("a name has 1 to 64 printable ASCII characters, without space, quote, `\\`, `,` and `;`".into());
    }
    Ok(text.to_owned())
}

/// A sentence or two for people.
fn check_sentence(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 1000 {
        return Err("write a sentence of at most 1000 characters".into());
    }
    Ok(text.to_owned())
}
