//! The codes of the application, beside the catalogue.

use std::sync::Arc;

use super::catalogue::{self, DenialCode};
use super::code::is_code;
use super::members::is_member_name;
use super::own::{Shown, intern};
use super::properties::{Action, Actor, Category};
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
            let source = Source::new("code of the application", code.code);
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
    let action = word(&entry.action, "action", Action::ALL, Action::as_str, faults);
    let actor = word(&entry.actor, "actor", Actor::ALL, Actor::as_str, faults);
    code.action = action.unwrap_or(code.action);
    code.actor = actor.unwrap_or(code.actor);
    code.example = example(entry, faults);
    Some(code)
}

/// One of the words that the document has for it.
fn word<T: Copy>(
    written: &Option<At<String>>,
    what: &'static str,
    all: &[T],
    as_str: fn(T) -> &'static str,
    faults: &Faults,
) -> Option<T> {
    let written = written.as_ref()?;
    let found = all.iter().find(|word| as_str(**word) == written.value);
    if found.is_none() {
        let known = all.iter().map(|word| as_str(*word)).collect();
        let unknown = CodeFault::UnknownWord { what, word: written.value.clone(), known };
        faults.push(Fault::of(&written.place, &unknown));
    }
    found.copied()
}

/// The members of the example. Those that no denial can have are reported.
fn example(entry: &CodeEntry, faults: &Faults) -> Shown {
    for (name, value) in &entry.example {
        if !is_member_name(&name.value) {
            let member = name.value.clone();
            faults.push(Fault::of(&name.place, &CodeFault::InvalidMember { member }));
        } else if value.is_null() {
            let member = name.value.clone();
            faults.push(Fault::of(&name.place, &CodeFault::NoNumberOfJson { member }));
        }
    }
    if entry.example.is_empty() {
        return Shown::Nothing;
    }
    let members: Vec<_> = entry.example.iter().map(|(name, value)| (&name.value, value)).collect();
    // INVARIANT: texts and values are always JSON.
    Shown::Written(intern(&serde_json::to_string(&members).unwrap_or_default()))
}

fn category(written: &At<String>, faults: &Faults) -> Option<Category> {
    let found = Category::ALL.into_iter().find(|category| category.as_str() == written.value);
    if found.is_none() {
        let unknown = CodeFault::UnknownCategory { category: written.value.clone() };
        faults.push(Fault::of(&written.place, &unknown));
    }
    found
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
        /// A word that is not in the list.
        UnknownWord { what: &'static str, word: String, known: Vec<&'static str> } => {
            message: ("unknown {what} `{}`", word.escape_debug()),
            label: "is not one of the words",
            help: { suggest(word, "the words are", known.iter().copied()) },
        }
        /// A name that no member of the application can have.
        InvalidMember { member: String } => {
            message: ("`{}` cannot be a member of a denial", member.escape_debug()),
            label: "is taken, or is not a valid name",
            help: "a member of your own is a small letter and two or more small letters, digits and `_`, and none of those that every denial has",
        }
        /// Infinity and what is no number, and whole numbers of more than 63 bits.
        NoNumberOfJson { member: String } => {
            message: "JSON has no number for `{member}`",
            label: "cannot be written as JSON",
            help: "write a number that JSON has, or a text",
        }
        /// A category that is not in the list.
        UnknownCategory { category: String } => {
            message: ("unknown category `{}`", category.escape_debug()),
            label: "is not a category",
            help: { suggest(category, "the categories are", Category::ALL.map(Category::as_str)) },
        }
    }
}
