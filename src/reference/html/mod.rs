//! The pages of the catalogue in HTML, and the handbook.
//!
//! A page needs nothing but itself: its style and its script stand in it, and the policy for its
//! content ([`csp`]) names both by their digests.

mod links;
mod views;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Api;
use super::handbook::{self, Entry};
use super::page::{self, HEADINGS, Row, rows};
use super::text;
use crate::denial::members::BASE;
use crate::denial::{Category, DenialCode};
use crate::limit::Limit;

pub(super) use links::Links;
use views::{
    AbsentPage, CodePage, CodeRow, Example, File, Group, HandbookPage, Heal, HealGroup, IndexPage,
    LimitTable, Member, Near, Page, Rule, Section, Site,
};

const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/script.js");

/// The files for tools, and what each is for.
const FILES: [(&str, &str); 3] = [
    ("denial.schema.json", "JSON Schema 2020-12: check denials, or make types from it."),
    ("openapi.json", "OpenAPI 3.1: schemas, responses and credentials, for generators of clients."),
    ("denial.ts", "TypeScript: types, a parser and the wait before a retry, in one module."),
];

/// What a page may load and run (CSP level 3): its own style and script, and nothing else.
pub(super) fn csp() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// Writes the pages of an API, with links of one kind.
pub(super) struct Pages<'a> {
    api: &'a Api<'a>,
    links: Links,
    site: Site,
    /// In the page itself where no header can carry it; else empty.
    csp: String,
}

impl<'a> Pages<'a> {
    pub(super) fn new(api: &'a Api<'a>, links: Links) -> Self {
        let handbook_href = api.snapshot.map(|_| links.page("handbook")).unwrap_or_default();
        let name = match &*api.denial.realm {
            "api" => "Errors of this API".to_owned(),
            realm => format!("Errors of {realm}"),
        };
        let files = FILES.map(|(name, about)| File { name, href: links.file(name), about });
        let site = Site {
            name,
            index_href: links.index(),
            handbook_href,
            files: files.into(),
            support: api.denial.support.as_deref().unwrap_or_default().to_owned(),
        };
        let csp = if links == Links::File { csp() } else { String::new() };
        Self { api, links, site, csp }
    }

    /// All pages as files: names and contents.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![("index.html".to_owned(), self.index())];
        for code in &self.api.codes {
            files.push((self.links.page(code.code), self.code(code)));
        }
        files.extend(self.handbook().map(|page| (self.links.page("handbook"), page)));
        files
    }

    /// The list of codes, and what every denial says.
    pub(super) fn index(&self) -> String {
        let shown = self.api.examples().iter().find(|(code, _)| code == "insufficient_scope");
        written(&IndexPage {
            title: self.site.name.clone(),
            site: &self.site,
            style: STYLE,
            script: SCRIPT,
            csp: self.csp.clone(),
            intro: self.links.html(INTRO),
            groups: Category::ALL.into_iter().filter_map(|of| self.group(of)).collect(),
            members: self.members(&rows(BASE)),
            examples: shown.map(|(_, example)| Example::of(example)),
        })
    }

    fn group(&self, category: Category) -> Option<Group> {
        let codes: Vec<CodeRow> = (self.api.codes.iter())
            .filter(|code| code.category == category)
            .map(|code| self.row(code))
            .collect();
        let (title, about) = titles(category);
        let category = category.as_str();
        (!codes.is_empty()).then_some(Group { category, title, about, codes })
    }

    fn row(&self, code: &DenialCode) -> CodeRow {
        let status = match self.api.statuses(code) {
            (uniform, standard) if uniform == standard => uniform.to_string(),
            (uniform, standard) => format!("{uniform} or {standard}"),
        };
        CodeRow {
            code: code.code.to_owned(),
            title: code.title.to_owned(),
            summary: self.links.inline(&page::Prose::of(code).summary),
            status,
            words: code.standard_status,
            retry: retry(code),
            href: self.links.page(code.code),
        }
    }

    /// The page of a code.
    pub(super) fn code(&self, code: &DenialCode) -> String {
        let page = page::Page::of(self.api, code);
        let prose = &page.prose;
        let why = Section {
            title: HEADINGS[0].to_owned(),
            slug: "why".to_owned(),
            prose: self.links.html(&prose.why),
        };
        let at = self.api.codes.iter().position(|row| row.code == code.code);
        let near = |at: Option<usize>| self.near(at);
        written(&CodePage {
            title: format!("{} ({})", code.title, code.code),
            site: &self.site,
            style: STYLE,
            script: SCRIPT,
            csp: self.csp.clone(),
            page: Page {
                code: code.code.to_owned(),
                title: code.title.to_owned(),
                category: code.category.as_str(),
                status_uniform: page.statuses.0,
                status_standard: page.statuses.1,
                retry: retry(code),
                challenge: self.links.inline(page.challenge),
                counts_as_failure: code.counts_as_failure,
                summary: self.links.html(&prose.summary),
                about: self.links.html(&prose.more),
                steps: self.links.html(&prose.steps),
                retrying: self.links.html(&prose.retrying),
                sections: if prose.why.is_empty() { Vec::new() } else { vec![why] },
                related: self.links.html(&prose.related),
                members: self.members(&page.members),
                examples: page.example.map(Example::of).into_iter().collect(),
                samples: page.samples,
                previous: near(at.and_then(|at| at.checked_sub(1))),
                next: near(at.map(|at| at + 1)),
            },
        })
    }

    fn near(&self, at: Option<usize>) -> Near {
        let code = at.and_then(|at| self.api.codes.get(at)).map_or("", |code| code.code);
        Near { code: code.to_owned(), href: self.links.page(code) }
    }

    fn members(&self, rows: &[Row]) -> Vec<Member> {
        let member = |row: &Row| Member {
            name: row.name,
            kind: row.kind,
            present: row.present,
            meaning: self.links.inline(row.meaning),
        };
        rows.iter().map(member).collect()
    }

    /// What each path asks for; `None` for any API.
    pub(super) fn handbook(&self) -> Option<String> {
        let policy = &self.api.snapshot?.policy();
        let book = handbook::Handbook::of(policy);
        let is_used = |limit: &&Limit| {
            let mut used = book.rules.iter().flat_map(Entry::all_limits);
            used.any(|one| one.limit.name == limit.name)
        };
        let page = HandbookPage {
            title: format!("Handbook: {}", self.site.name),
            site: &self.site,
            style: STYLE,
            script: SCRIPT,
            csp: self.csp.clone(),
            credentials_about: self.links.html(&credentials(&book)),
            shared_limits: policy.limits.iter().filter(is_used).map(LimitTable::of).collect(),
            rules: book.rules.iter().map(|entry| self.rule(entry)).collect(),
        };
        Some(written(&page))
    }

    fn rule(&self, entry: &Entry<'_>) -> Rule {
        let rule = entry.rule;
        let demands = entry.demands;
        Rule {
            name: rule.name.to_string(),
            methods: entry.methods.clone(),
            path: rule.path.to_string(),
            slug: rule.name.to_string(),
            is_public: demands.is_none(),
            admits_nobody: entry.admits_nobody(),
            is_shadow: entry.is_on_trial(),
            credentials: entry.credentials(String::clone),
            scopes: demands.map(|demands| texts(&demands.needs.scopes)).unwrap_or_default(),
            any_scopes: demands.map(|demands| texts(&demands.needs.any_scopes)).unwrap_or_default(),
            roles: demands.map(|demands| texts(&demands.needs.roles)).unwrap_or_default(),
            claims: entry.claims.clone(),
            description: rule.description.as_deref().unwrap_or_default().to_owned(),
            any: entry.any.iter().map(|needs| self.links.inline(needs)).collect(),
            issuers: self.links.inline(&entry.issuers),
            networks: entry.networks.clone(),
            statuses: entry.statuses.clone(),
            cost: entry.cost(str::to_owned),
            limits: entry.limits.iter().map(|counted| LimitTable::of(counted.limit)).collect(),
            anonymous_limits: (entry.anonymous_limits.iter().flatten())
                .map(|counted| LimitTable::of(counted.limit))
                .collect(),
            has_anonymous_limits: entry.anonymous_limits.is_some(),
            has_limits: entry.has_limits(),
            groups: Category::ALL.into_iter().filter_map(|of| self.heals(entry, of)).collect(),
        }
    }

    fn heals(&self, entry: &Entry<'_>, category: Category) -> Option<HealGroup> {
        let codes: Vec<Heal> = (entry.codes.iter())
            .filter(|occurring| occurring.code.category == category)
            .map(|occurring| Heal {
                code: occurring.code.code,
                href: self.links.page(occurring.code.code),
                heals: self.links.inline(&occurring.heals),
            })
            .collect();
        (!codes.is_empty()).then(|| HealGroup {
            category: category.as_str(),
            title: titles(category).0,
            open: matches!(category, Category::Authorization | Category::Limit),
            count: codes.len(),
            codes,
        })
    }

    /// What stands where a page was asked for that there is not.
    pub(super) fn absent(&self) -> String {
        written(&AbsentPage {
            title: "No such code".to_owned(),
            site: &self.site,
            style: STYLE,
            script: SCRIPT,
            csp: self.csp.clone(),
        })
    }
}

const INTRO: &str = "A request that is denied is answered with one JSON document that says what \
    happened and what to do next. Read `code` to tell reasons apart; decide by `category` for a \
    code that you do not know.";

fn titles(category: Category) -> (&'static str, &'static str) {
    match category {
        Category::Credentials => {
            ("Credentials and API keys", "No credential, several, or an API key that is no good.")
        }
        Category::Token => ("Bearer tokens", "A token came, and it is no good."),
        Category::Authorization => {
            ("Permission", "The caller is known and may not do this, or not here.")
        }
        Category::Limit => ("Limits", "Too much in too little time."),
        Category::Server => ("The server", "The fault is not yours."),
    }
}

fn retry(code: &DenialCode) -> &'static str {
    if code.retryable { "wait" } else { "no" }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// How credentials are sent and had, in Markdown.
fn credentials(book: &handbook::Handbook<'_>) -> String {
    if book.rules.is_empty() {
        return "No path of this API is told of here.".to_owned();
    }
    if book.credentials.is_empty() {
        return "No path takes a credential.".to_owned();
    }
    let mut text = String::from(
        "Send exactly one, where a path asks for any; a key and a token where it asks for both:\n\n",
    );
    for form in &book.credentials {
        text += &format!("- {}\n", text::code(&form.header));
    }
    for issuer in &book.issuers {
        text += &format!("\n{}\n", issuer.sentence());
    }
    for implied in &book.implied {
        text += &format!("\n{implied}\n");
    }
    text
}

/// INVARIANT: the templates cannot fail. They write texts and numbers into a string.
fn written(page: &impl Template) -> String {
    page.render().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_file() {
        let api = Api::any();
        let files = Pages::new(&api, Links::File).files();
        assert_eq!(files.len(), DenialCode::catalogue().len() + 1);
        assert!(files.iter().all(|(name, page)| name.ends_with(".html") && page.len() > 9000));
    }
}
