//! The catalogue and the handbook in Markdown: as one document, or page by page.

use std::fmt::Write as _;

use super::Api;
use super::handbook::{CountedBy, Entry, Handbook, Occurrence};
use super::json::Json;
use super::page::{HEADINGS, Page, Row, rows};
use super::sample::Sample;
use super::text::{self, prose};
use crate::denial::members::{BASE, ITEMS};
use crate::denial::{Category, DenialCode};
use crate::limit::{Limit, PlanQuota};

/// Where links to codes lead, and how deep headings begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// All codes stand in one document.
    Whole,
    /// Each code has a page of its own.
    Page,
}

/// Everything in one document: index, pages and, with a policy, the handbook.
pub(super) fn document(api: &Api<'_>) -> String {
    let mut text = start(api, Place::Whole);
    for code in &api.codes {
        text += &page(&Page::of(api, code), Place::Whole);
    }
    if let Some(gate) = api.snapshot {
        text += &handbook(&Handbook::of(gate.policy()), Place::Whole);
    }
    text
}

/// The list of codes, and what every denial says.
pub(super) fn index(api: &Api<'_>) -> String {
    start(api, Place::Page)
}

/// The page of a code.
pub(super) fn code(api: &Api<'_>, code: &DenialCode) -> String {
    page(&Page::of(api, code), Place::Page)
}

/// What each rule of the policy asks for; `None` for any API.
pub(super) fn handbook_page(api: &Api<'_>) -> Option<String> {
    api.snapshot.map(|gate| handbook(&Handbook::of(gate.policy()), Place::Page))
}

fn start(api: &Api<'_>, place: Place) -> String {
    let mut text = String::from(
        "# Denials\n\n\
         A request that is denied is answered with one JSON document (RFC 9457) of the media type\n\
         `application/problem+json`, the same whatever the reason. It says what happened, and what\n\
         to do next. Read `code` to tell reasons apart; decide by `category` for a code that you do\n\
         not know, because codes are added in time. Members that have nothing to say are left out.\n\n\
         For your tools: [JSON Schema](denial.schema.json), [OpenAPI](openapi.json),\n\
         [TypeScript](denial.ts); in Rust `tollgate::client`, the feature `client` of the crate.\n\n## Codes\n\n\
         | code | status | retry | what happened |\n| --- | --- | --- | --- |\n",
    );
    for code in &api.codes {
        let link = if place == Place::Whole { "#" } else { "" };
        let retry = if code.retryable { "after waiting" } else { "no" };
        let _ = writeln!(
            text,
            "| [`{0}`]({link}{0}) | {1} | {retry} | {2} |",
            code.code,
            status(api, code),
            cell(&prose(code.title))
        );
    }
    if api.snapshot.is_none() {
        text += "\nWhere two statuses stand, an API sends 403 for every reason, or the one that tells the\n\
             cause, as its provider chose. The document is the same.\n";
    }
    text += "\n## What every denial says\n\n";
    text += &table(&rows(BASE));
    text += "\nIn a browser, scripts of another origin read the document wherever the API allows their\n\
             origin (CORS), and of its headers only those that the API exposes. What the headers say\n\
             stands in the document too, but for the challenge.\n";
    text += "\n## What lists are made of\n";
    for item in ITEMS {
        text += &of_item(item.name, &Json::parse(item.schema));
    }
    text
}

/// 403, and the status that tells the cause where that is another one.
fn status(api: &Api<'_>, code: &DenialCode) -> String {
    let (uniform, standard) = api.statuses(code);
    match standard {
        standard if standard == uniform => standard.to_string(),
        standard => format!("{uniform} or {standard}"),
    }
}

fn of_item(name: &str, schema: &Json) -> String {
    let about = schema.get("description").and_then(Json::text).unwrap_or_default();
    let mut text =
        format!("\n### {name}\n\n{about}\n\n| member | present | meaning |\n| --- | --- | --- |\n");
    let required = schema.get("required").map_or(&[][..], Json::items);
    for (name, schema) in schema.get("properties").map_or(&[][..], Json::members) {
        let is_sure = required.iter().any(|held| held.text() == Some(name));
        let present = if is_sure { "always" } else { "when it applies" };
        let meaning = schema.get("description").and_then(Json::text).unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {present} | {} |", cell(meaning));
    }
    text
}

fn page(page: &Page<'_>, place: Place) -> String {
    let (code, prose) = (page.code, &page.prose);
    let head = if place == Place::Whole { "##" } else { "#" };
    let part = format!("{head}#");
    let prose_of = |text: &str| match place {
        Place::Whole => text.replace("](", "](#"),
        Place::Page => text.to_owned(),
    };
    let mut text = if place == Place::Whole { String::from("\n") } else { String::new() };
    let _ = writeln!(text, "{head} {}\n\n**{}.** {}\n", code.code, code.title, facts(page));
    let _ = writeln!(text, "{}", prose_of(&prose.summary));
    if !prose.more.is_empty() {
        let _ = writeln!(text, "\n{}", prose_of(&prose.more));
    }
    let mut section = |heading: &str, body: &str| {
        if !body.is_empty() {
            let _ = writeln!(text, "\n{part} {heading}\n\n{}", body.trim_end());
        }
    };
    section(HEADINGS[0], &prose_of(&prose.why));
    section(HEADINGS[1], &prose_of(&prose.steps));
    section(HEADINGS[2], &prose_of(&prose.retrying));
    if !page.members.is_empty() {
        section("What the document adds", &table(&page.members));
    }
    if let Some(example) = page.example {
        let request = example.request.as_ref();
        let request = request.map_or(String::new(), |request| fenced("http", request));
        let whose = match example.request {
            Some(_) => {
                "A gate on a small example API was asked, and answered. Its names and numbers are of\nthat API.\n\n"
            }
            None => "",
        };
        section(
            "A real example",
            &format!("{whose}{request}{}", fenced("http", &example.response())),
        );
    }
    section("Handle it in code", &page.samples.iter().map(folded).collect::<String>());
    section(HEADINGS[3], &prose_of(&prose.related));
    text
}

fn facts(page: &Page<'_>) -> String {
    let mut facts = format!("Status {}", page.statuses.0);
    if page.statuses.1 != page.statuses.0 {
        facts += &format!(", or {} where the status tells the cause", page.statuses.1);
    }
    facts += &format!("; category `{}`", page.code.category);
    if !page.challenge.is_empty() {
        facts += &format!("; challenge: {}", page.challenge);
    }
    if page.code.counts_as_failure {
        facts += "; counts as a failed attempt";
    }
    facts + "."
}

fn table(rows: &[Row]) -> String {
    let mut text =
        String::from("| member | type | present | meaning |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.kind,
            row.present,
            cell(row.meaning)
        );
    }
    text
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n\n", text.trim_end())
}

/// A program, shown when it is asked for.
fn folded(sample: &Sample) -> String {
    let Sample { language, slug, text } = sample;
    format!("<details><summary>{language}</summary>\n\n{}</details>\n\n", fenced(slug, text))
}

fn handbook(book: &Handbook<'_>, place: Place) -> String {
    let head = if place == Place::Whole { "##" } else { "#" };
    let mut text = if place == Place::Whole { String::from("\n") } else { String::new() };
    let _ = writeln!(
        text,
        "{head} Handbook\n\nWhat each path asks for, how much it grants, and the remedy for each denial there. Made from the\npolicy in force."
    );
    if !book.credentials.is_empty() {
        let _ = writeln!(
            text,
            "\n{head}# Credentials\n\nSend exactly one, where a path asks for any; a key and a token where it asks for both:\n"
        );
        for form in &book.credentials {
            let _ = writeln!(text, "- {}", text::code(&form.header));
        }
    }
    for issuer in &book.issuers {
        let _ = writeln!(text, "\n{}", issuer.sentence());
    }
    for implied in &book.implied {
        let _ = writeln!(text, "\n{implied}");
    }
    let mut of_credentials: Vec<&Occurrence> = Vec::new();
    for occurring in book.rules.iter().flat_map(|entry| &entry.codes) {
        let is_new = !of_credentials.iter().any(|held| held.code.code == occurring.code.code);
        if is_new && is_of_credentials(occurring) {
            of_credentials.push(occurring);
        }
    }
    if !of_credentials.is_empty() {
        let link = if place == Place::Whole { "#" } else { "" };
        text += &healing(&of_credentials, link);
    }
    for entry in &book.rules {
        text += &rule(entry, place);
    }
    text
}

fn rule(entry: &Entry<'_>, place: Place) -> String {
    let rule = entry.rule;
    let (head, link) = if place == Place::Whole { ("###", "#") } else { ("##", "") };
    let mut text = format!("\n{head} {} {}\n\n", entry.methods, text::code(&rule.path));
    if let Some(description) = &rule.description {
        let _ = writeln!(text, "{}\n", text::prose_of(description));
    }
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "- {name}: {value}");
        }
    };
    row("Rule", text::code(&rule.name));
    if entry.is_on_trial() {
        row("On trial", "what it would deny is counted and logged, and let pass".into());
    }
    match entry.demands {
        None => row("Credential", "none".into()),
        Some(_) if entry.admits_nobody() => {
            row("Credential", "none that anybody has yet: every request is denied".into());
        }
        Some(demands) => {
            row("Credential", entry.credentials(|header| text::code(header)).join(" or "));
            row("Scopes, all of", quoted(&demands.needs.scopes));
            row("Scopes, one of", quoted(&demands.needs.any_scopes));
            row("Roles, one of", quoted(&demands.needs.roles));
        }
    }
    row("Claims of the token", quoted(&entry.claims));
    row("And one of these", entry.any.join("; or "));
    row("Tokens of", entry.issuers.clone());
    row("Networks", entry.networks.clone());
    row("Status of denials", entry.statuses.clone());
    if entry.has_limits() {
        row("Cost", entry.cost(|name| text::code(name)));
    }
    text += &limits("", &entry.limits);
    match entry.anonymous_limits.as_deref() {
        Some([]) => text += "\nRequests without a credential are not counted.\n",
        Some(own) => text += &limits("Requests without a credential are counted by these:", own),
        None => {}
    }
    let (of_credentials, others): (Vec<&Occurrence>, _) =
        entry.codes.iter().partition(|occurring| is_of_credentials(occurring));
    text += &healing(&others, link);
    if !of_credentials.is_empty() {
        let links = of_credentials
            .iter()
            .map(|occurring| format!("[`{0}`]({link}{0})", occurring.code.code));
        let links = links.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "\nWith a credential that is not valid: {links}.");
    }
    text
}

/// A table of limits, below this sentence.
fn limits(about: &str, limits: &[CountedBy<'_>]) -> String {
    if limits.is_empty() {
        return String::new();
    }
    let mut text = if about.is_empty() { String::new() } else { format!("\n{about}\n") };
    text +=
        "\n| limit | counted for | plan | refills | at once |\n| --- | --- | --- | --- | --- |\n";
    for CountedBy { limit, .. } in limits {
        limit.quotas.iter().for_each(|plan| text += &quota(limit, plan));
    }
    text
}

/// A table of what can go wrong.
fn healing(codes: &[&Occurrence], link: &str) -> String {
    let mut text = String::from("\n| what can go wrong | remedy |\n| --- | --- |\n");
    for Occurrence { code, heals } in codes {
        let _ = writeln!(text, "| [`{0}`]({link}{0}) | {1} |", code.code, cell(heals));
    }
    text
}

/// Whether the code is about the credential, whatever the rule.
fn is_of_credentials(occurring: &Occurrence) -> bool {
    matches!(occurring.code.category, Category::Credentials | Category::Token)
}

fn quota(limit: &Limit, plan: &PlanQuota) -> String {
    let unit = limit.other_unit().map_or(String::new(), |unit| format!(", in {unit}"));
    let per: Vec<String> = limit.per.iter().map(|part| part.text()).collect();
    format!(
        "| `{}` | {}{} | {} | {} | {} |\n",
        limit.name,
        per.join(" and "),
        unit,
        plan.plan.as_deref().unwrap_or("any other"),
        plan.rate,
        plan.quota.burst()
    )
}

fn quoted<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(text::code).collect::<Vec<_>>().join(", ")
}
