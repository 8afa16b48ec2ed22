//! The page of a code: its prose, and what the tables and the gate know about it.

use super::Api;
use super::example::Example;
use super::sample::{Sample, samples};
use super::text::{plain, prose};
use crate::denial::members::{self, Presence};
use crate::denial::{Challenge, DenialCode};
use crate::policy::Disclosure;

/// All that is told about a code.
#[derive(Debug)]
pub(crate) struct Page<'p> {
    pub(crate) code: &'p DenialCode,
    pub(crate) prose: Prose,
    /// As of [`Api::statuses`].
    pub(crate) statuses: (u16, u16),
    /// `WWW-Authenticate`, in words; empty where none is sent.
    pub(crate) challenge: &'static str,
    /// The members beside those that every denial has.
    pub(crate) members: Vec<Row>,
    pub(crate) example: Option<&'p Example>,
    pub(crate) samples: Vec<Sample>,
}

/// A member, in a table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Its type: `text`, `number`, `list`, ...
    pub(crate) kind: &'static str,
    pub(crate) present: &'static str,
    pub(crate) meaning: &'static str,
}

/// The parts of a page's prose, each Markdown without its heading.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Prose {
    /// What happened: the first paragraph.
    pub(crate) summary: String,
    /// What stands between it and the first heading.
    pub(crate) more: String,
    pub(crate) why: String,
    pub(crate) steps: String,
    pub(crate) retrying: String,
    pub(crate) related: String,
}

/// The headings of the prose, in their order.
pub(crate) const HEADINGS: [&str; 4] =
    ["Why it happens", "What to do now", "Does retrying help?", "Related"];

impl<'p> Page<'p> {
    pub(crate) fn of(api: &'p Api<'_>, code: &'p DenialCode) -> Self {
        let example = api.examples().iter().find(|(of, _)| of == code.code);
        Self {
            code,
            prose: Prose::of(code),
            statuses: api.statuses(code),
            challenge: challenge(code),
            members: if api.denial.disclosure == Disclosure::Minimal {
                Vec::new()
            } else {
                let mut members = rows(code.members);
                members.extend(own_rows(code));
                members
            },
            example: example.map(|(_, example)| example),
            samples: samples(code, api.key_header(), api.takes_keys()),
        }
    }
}

/// The rows of a table of members.
pub(crate) fn rows(members: &[(&'static str, Presence)]) -> Vec<Row> {
    let row = |(name, presence): &(&'static str, Presence)| {
        let member = members::find(name)?;
        Some(Row { name, kind: member.kind(), present: presence.text(), meaning: member.meaning })
    };
    members.iter().filter_map(row).collect()
}

/// The members that handlers of the application add, as its example has them.
fn own_rows(code: &DenialCode) -> impl Iterator<Item = Row> {
    let row = |(name, value): (&'static str, serde_json::Value)| {
        let (kind, present) = (kind(&value), Presence::Sometimes.text());
        Row { name, kind, present, meaning: "Set by the application." }
    };
    code.own_members().into_iter().map(row)
}

/// The type of a value, as JSON Schema names it.
pub(super) fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(number) if number.is_f64() => "number",
        serde_json::Value::Number(_) => "integer",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    }
}

impl Prose {
    /// The prose of a code; for a code of the application what its texts say.
    pub(crate) fn of(code: &DenialCode) -> Self {
        if code.about.is_empty() {
            let retrying = if code.retryable {
                "Yes: the same request may succeed later."
            } else {
                "No: something has to change first."
            };
            let summary = if code.detail.is_empty() { code.title } else { code.detail };
            return Self {
                summary: plain(&prose(summary)),
                steps: format!("1. {}", plain(&prose(code.remedy))),
                retrying: retrying.into(),
                ..Self::default()
            };
        }
        let mut prose = Self::default();
        let mut parts = code.about.split("\n## ");
        let intro = parts.next().unwrap_or_default();
        let (summary, more) = intro.split_once("\n\n").unwrap_or((intro, ""));
        (prose.summary, prose.more) = (summary.trim().into(), more.trim().into());
        for part in parts {
            let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
            let place = match HEADINGS.iter().position(|known| *known == heading.trim()) {
                Some(0) => &mut prose.why,
                Some(1) => &mut prose.steps,
                Some(2) => &mut prose.retrying,
                _ => &mut prose.related,
            };
            *place = text.trim().into();
        }
        prose
    }

    /// The codes that it names as related.
    pub(crate) fn related_codes(&self) -> impl Iterator<Item = &str> {
        let links = self.related.split("](").skip(1);
        links.filter_map(|link| link.split(')').next()).filter(|code| is_name(code))
    }
}

/// Whether a link leads to the page of a code.
pub(crate) fn is_name(link: &str) -> bool {
    !link.is_empty() && link.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn challenge(code: &DenialCode) -> &'static str {
    match code.challenge {
        Challenge::None => "",
        Challenge::Accepted => "one for each kind of credential that is accepted",
        Challenge::ApiKey => "`ApiKey`",
        Challenge::Bearer("invalid_request") => "`Bearer` with `error=\"invalid_request\"`",
        Challenge::Bearer(_) => "`Bearer` with `error=\"invalid_token\"`",
        Challenge::Scope => "`Bearer` with `error=\"insufficient_scope\"` and `scope`, for tokens",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::catalogue;

    /// Each page has the same form, so that readers find their way.
    #[test]
    fn pages_have_one_form() {
        for code in DenialCode::catalogue() {
            let name = code.code;
            let headings: Vec<&str> =
                (code.about.lines()).filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(headings, HEADINGS, "{name}");
            assert!(!code.about.contains("\n# ") && !code.about.contains("\n### "), "{name}");
            let prose = Prose::of(code);
            assert!(prose.summary.ends_with('.') && prose.summary.len() > 40, "{name}");
            assert!(prose.why.starts_with("- "), "{name}: causes are a list");
            assert!(prose.steps.starts_with("1. ") && prose.steps.contains("\n2. "), "{name}");
            assert!(!prose.retrying.is_empty() && prose.related.starts_with("- [`"), "{name}");
            let says_yes = prose.retrying.starts_with("Yes");
            assert!(!says_yes || code.retryable, "{name}: {}", prose.retrying);
            for link in code.about.split("](").skip(1) {
                let target = link.split(')').next().unwrap_or_default();
                assert!(catalogue::find(target).is_some(), "{name} links to {target}");
                assert_ne!(target, name, "{name} links to itself");
            }
            assert!(code.about.lines().all(|line| line.len() <= 100), "{name}: lines are short");
        }
    }

    #[test]
    fn a_code_of_the_application_has_a_page_too() {
        static LOCKED: DenialCode = DenialCode::new("order_locked", crate::Category::Authorization)
            .with_detail("Locked by {locked_by}.")
            .with_remedy("Ask {locked_by}.");
        let prose = Prose::of(&LOCKED);
        assert_eq!(
            (&*prose.summary, &*prose.steps),
            ("Locked by `locked_by`.", "1. Ask `locked_by`.")
        );
    }
}
