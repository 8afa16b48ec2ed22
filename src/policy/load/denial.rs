//! Reads `[denial]`: how denials are shown.

use super::checks::{STATUS_MODES, check_link, check_quotable};
use super::codes::load_code;
use crate::policy::section::Section;
use crate::policy::{CodeEntry, DenialPolicy, Disclosure, RateLimitHeaders};

pub(super) fn load_denial(section: Option<Section<'_>>) -> (DenialPolicy, Vec<CodeEntry>) {
    let mut denial = DenialPolicy::default();
    let Some(section) = section else { return (denial, Vec::new()) };
    if let Some(status) = section.one_of("status", &STATUS_MODES) {
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
