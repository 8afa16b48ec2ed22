//! The codes of the application, beside the catalogue.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::catalogue::{self, DenialCode};
use super::code::is_code;
use super::properties::Category;
use crate::policy::{At, CodeEntry, Fault, Faults, Place, Source, problems, suggest};

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
        let name = code.code;
        if !is_code(name) {
            faults.push(Fault::of(place, &CodeFault::InvalidCode { code: name }));
        } else if self.find(name).is_some() {
            faults.push(Fault::of(place, &CodeFault::CodeUsedTwice { code: name }));
        }
        let range = if code.category == Category::Server { 500..=599 } else { 400..=499 };
        if !range.contains(&code.standard_status) {
            let other_class = CodeFault::StatusOfAnotherClass {
                status: code.standard_status,
                category: code.category,
                least: *range.start(),
                most: *range.end(),
            };
            faults.push(Fault::of(status, &other_class));
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
        let unknown = CodeFault::UnknownCategory { category: written.value.clone() };
        faults.push(Fault::of(&written.place, &unknown));
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

problems! {
    /// What may be wrong with a code of the application.
    enum CodeFault: Fault {
        /// A name that no code can have.
        InvalidCode { code: &'static str } => {
            message: ("`{}` is not a valid code", code.escape_debug()),
            label: "is not a valid code",
            help: "a code is a small letter and 2 to 62 small letters, digits and `_`",
        }
        /// A code of the catalogue, or one that was added already.
        CodeUsedTwice { code: &'static str } => {
            message: "the code `{code}` exists already",
            label: "is used already",
            help: "choose another name: a code never changes its meaning",
        }
        /// A status that blames the other side.
        StatusOfAnotherClass { status: u16, category: Category, least: u16, most: u16 } => {
            message: "the status {status} does not go with `{category}`",
            label: "is of another class",
            help: "use a status from {least} to {most}",
        }
        /// A category that is not in the list.
        UnknownCategory { category: String } => {
            message: ("unknown category `{}`", category.escape_debug()),
            label: "is not a category",
            help: { suggest(category, "the categories are", Category::ALL.map(Category::as_str)) },
        }
    }
}
