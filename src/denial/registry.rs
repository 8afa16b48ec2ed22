//! The codes of the application, beside the catalogue.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::catalogue;
use super::code::{Category, DenialCode, is_code};
use crate::policy::{At, CodeEntry, Fault, Faults, Place, Source, list, nearest};

/// Members that every document may have; an application cannot give them another meaning.
const RESERVED: &[&str] = &[
    "type",
    "title",
    "status",
    "code",
    "category",
    "detail",
    "remedy",
    "support",
    "retryable",
    "retry_after",
    "instance",
    "rule",
];

/// Every code of the application.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    codes: Vec<DenialCode>,
}

impl Registry {
    /// Checks the codes that were declared in the policy and in code.
    pub(crate) fn new(
        entries: &[CodeEntry],
        declared: &[&'static DenialCode],
        faults: &Faults,
    ) -> Self {
        let mut registry = Self::default();
        for code in declared {
            let source = Source { name: "code of the application".into(), text: code.code.into() };
            let place = Place { source: Arc::new(source), span: 0..code.code.len() };
            registry.add((*code).clone(), &place, &place, faults);
        }
        for entry in entries {
            if let Some(code) = read(entry, faults) {
                let status =
                    entry.status.as_ref().map_or(&entry.code.place, |status| &status.place);
                registry.add(code, &entry.code.place, status, faults);
            }
        }
        registry
    }

    /// The codes that the application added.
    pub(crate) fn own(&self) -> impl Iterator<Item = &DenialCode> {
        self.codes.iter()
    }

    pub(crate) fn find(&self, code: &str) -> Option<&DenialCode> {
        self.codes.iter().find(|row| row.code == code).or_else(|| catalogue::find(code))
    }

    fn add(&mut self, code: DenialCode, place: &Place, status: &Place, faults: &Faults) {
        let name = code.code.escape_debug();
        if !is_code(code.code) {
            faults.push(
                Fault::at(place, format!("`{name}` cannot be a code"))
                    .label("is no name of a code")
                    .with_help(
                        "a code is a small letter and 2 to 62 small letters, digits and `_`",
                    ),
            );
        } else if self.find(code.code).is_some() {
            faults.push(
                Fault::at(place, format!("the code `{name}` exists already"))
                    .label("is taken")
                    .with_help("choose another name: a code never changes its meaning"),
            );
        }
        let range = if code.category == Category::Server { 500..=599 } else { 400..=499 };
        if !range.contains(&code.standard_status) {
            faults.push(
                Fault::at(
                    status,
                    format!(
                        "the status {} does not go with `{}`",
                        code.standard_status, code.category
                    ),
                )
                .label("is of another class")
                .with_help(format!(
                    "use a status from {} to {}",
                    range.start(),
                    range.end()
                )),
            );
        }
        self.codes.push(code);
    }
}

fn read(entry: &CodeEntry, faults: &Faults) -> Option<DenialCode> {
    let category = category(&entry.category, faults)?;
    let mut code = DenialCode::new(intern(&entry.code.value), category)
        .with_title(intern(&entry.title))
        .with_remedy(intern(&entry.remedy))
        .with_retryable(entry.retryable);
    if let Some(detail) = &entry.detail {
        code = code.with_detail(intern(detail));
    }
    if let Some(status) = &entry.status {
        code = code.with_status(u16::try_from(status.value).unwrap_or(0));
    }
    Some(code)
}

fn category(written: &At<String>, faults: &Faults) -> Option<Category> {
    let found = Category::ALL.into_iter().find(|category| category.as_str() == written.value);
    if found.is_none() {
        let names = Category::ALL.map(Category::as_str);
        let help = match nearest(&written.value, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the categories are {}", list(&names)),
        };
        faults.push(
            Fault::at(&written.place, format!("`{}` is no category", written.value.escape_debug()))
                .label("is no category")
                .with_help(help),
        );
    }
    found
}

/// A text that lives as long as the process, kept once however often a policy is read.
fn intern(text: &str) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = texts.get(text) {
        return kept;
    }
    let kept: &'static str = Box::leak(text.into());
    texts.insert(kept);
    kept
}

/// Whether an application may add a member with this name (RFC 9457 section 4).
pub(super) fn is_member_name(name: &str) -> bool {
    name.len() >= 3
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !RESERVED.contains(&name)
}
