//! The pages of the catalogue in HTML, and the handbook.
//!
//! A page needs nothing but itself: its style and its script stand in it, and the policy for its
//! content ([`csp`]) names both by their digests.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pulldown_cmark::{CowStr, Event, Parser, Tag, html::push_html};

use super::Api;
use super::example;
use super::handbook::{self, Entry};
use super::page::{self, HEADINGS, Row, rows};
use super::sample::Sample;
use super::text;
use crate::denial::members::BASE;
use crate::denial::{Category, DenialCode};
use crate::limit::{KeyPart, Limit};

const STYLE: &str = include_str!("templates/style.css");
const SCRIPT: &str = include_str!("templates/script.js");

/// The files for tools, and what each is for.
const FILES: [(&str, &str); 3] = [
    ("denial.schema.json", "JSON Schema 2020-12: check denials, or make types from it."),
    ("openapi.json", "OpenAPI 3.1: schemas, responses and credentials, for generators of clients."),
    ("denial.ts", "TypeScript: types, a parser and the wait before a retry, in one module."),
];

/// Where the links of a page lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Links {
    /// From `/errors`, a level above the pages.
    Above,
    /// From `/errors/`, and from the pages.
    Beside,
    /// Between files in one folder.
    File,
}

impl Links {
    pub(super) fn file(self, name: &str) -> String {
        match self {
            Self::Above => format!("errors/{name}"),
            Self::Beside | Self::File => name.to_owned(),
        }
    }

    pub(super) fn page(self, name: &str) -> String {
        match self {
            Self::File => format!("{name}.html"),
            Self::Above | Self::Beside => self.file(name),
        }
    }

    fn index(self) -> String {
        match self {
            Self::Above => "errors",
            Self::Beside => "./",
            Self::File => "index.html",
        }
        .to_owned()
    }

    /// Markdown whose links name codes, as HTML.
    fn html(self, markdown: &str) -> String {
        let events = Parser::new(markdown).map(|event| match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id })
                if page::is_name(&dest_url) =>
            {
                let dest_url = CowStr::from(self.page(&dest_url));
                Event::Start(Tag::Link { link_type, dest_url, title, id })
            }
            // Texts of a policy may look like HTML: they are shown as they were written.
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            other => other,
        });
        let mut html = String::with_capacity(markdown.len() * 2);
        push_html(&mut html, events);
        html
    }

    /// One paragraph of Markdown, to stand within another element.
    fn inline(self, markdown: &str) -> String {
        let html = self.html(markdown);
        let inner = html.trim_end().strip_prefix("<p>").and_then(|html| html.strip_suffix("</p>"));
        match inner {
            Some(inner) if !inner.contains("<p>") => inner.to_owned(),
            _ => html,
        }
    }
}

/// What a page may load and run (CSP level 3): its own style and script, and nothing else.
pub(super) fn csp() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
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
        let handbook_href = api.gate.map(|_| links.page("handbook")).unwrap_or_default();
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
        let policy = &self.api.gate?.policy;
        let book = handbook::Handbook::of(policy);
        let is_used = |limit: &&Limit| {
            let mut used = book.rules.iter().flat_map(|entry| &entry.limits);
            used.any(|one| one.name == limit.name)
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
            credentials: entry.forms.iter().map(|form| form.header.clone()).collect(),
            scopes: demands.map(|demands| texts(&demands.scopes)).unwrap_or_default(),
            any_scopes: demands.map(|demands| texts(&demands.any_scopes)).unwrap_or_default(),
            roles: demands.map(|demands| texts(&demands.roles)).unwrap_or_default(),
            claims: entry.claims.clone(),
            networks: entry.networks.clone(),
            cost: rule.cost.get(),
            limits: entry.limits.iter().map(|limit| LimitTable::of(limit)).collect(),
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
    let mut text = String::from("Send exactly one, where a path asks for any:\n\n");
    for form in &book.credentials {
        text += &format!("- {}\n", text::code(&form.header));
    }
    for issuer in &book.issuers {
        let audiences: Vec<String> = issuer.audiences.iter().map(text::code).collect();
        let (iss, audiences) = (text::code(issuer.iss), audiences.join(" or "));
        text += &format!("\nTokens of {iss} are accepted, for the audience {audiences}.");
        if let Some(obtain) = issuer.obtain {
            text += &format!(" They are to be had at <{obtain}>.");
        }
        text.push('\n');
    }
    text
}

/// INVARIANT: the templates cannot fail. They write texts and numbers into a string.
fn written(page: &impl Template) -> String {
    page.render().unwrap_or_default()
}

// What the templates are filled with. Where a template says `safe`, the text is HTML already.

struct Site {
    name: String,
    index_href: String,
    /// Empty where there is none.
    handbook_href: String,
    files: Vec<File>,
    support: String,
}

struct File {
    name: &'static str,
    href: String,
    about: &'static str,
}

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage<'a> {
    title: String,
    site: &'a Site,
    style: &'static str,
    script: &'static str,
    csp: String,
    intro: String,
    groups: Vec<Group>,
    members: Vec<Member>,
    examples: Option<Example>,
}

struct Group {
    category: &'static str,
    title: &'static str,
    about: &'static str,
    codes: Vec<CodeRow>,
}

struct CodeRow {
    code: String,
    title: String,
    summary: String,
    status: String,
    /// What else it is found by: the status that other APIs would send.
    words: u16,
    retry: &'static str,
    href: String,
}

struct Member {
    name: &'static str,
    kind: &'static str,
    present: &'static str,
    meaning: String,
}

struct Example {
    request: String,
    status_line: String,
    headers: Vec<Header>,
    body: String,
}

struct Header {
    name: String,
    value: String,
}

impl Example {
    fn of(example: &example::Example) -> Self {
        let header =
            |(name, value): &(String, String)| Header { name: name.clone(), value: value.clone() };
        Self {
            request: example.request.as_deref().unwrap_or_default().trim_end().to_owned(),
            status_line: format!("HTTP/1.1 {} {}", example.status, example.reason),
            headers: example.headers.iter().map(header).collect(),
            body: example.body.pretty().trim_end().to_owned(),
        }
    }
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    title: String,
    site: &'a Site,
    style: &'static str,
    script: &'static str,
    csp: String,
    page: Page,
}

struct Page {
    code: String,
    title: String,
    category: &'static str,
    status_uniform: u16,
    status_standard: u16,
    retry: &'static str,
    challenge: String,
    summary: String,
    about: String,
    steps: String,
    retrying: String,
    sections: Vec<Section>,
    related: String,
    members: Vec<Member>,
    examples: Vec<Example>,
    samples: Vec<Sample>,
    previous: Near,
    next: Near,
}

struct Section {
    title: String,
    slug: String,
    prose: String,
}

struct Near {
    code: String,
    href: String,
}

#[derive(Template)]
#[template(path = "handbook.html")]
struct HandbookPage<'a> {
    title: String,
    site: &'a Site,
    style: &'static str,
    script: &'static str,
    csp: String,
    rules: Vec<Rule>,
    credentials_about: String,
    shared_limits: Vec<LimitTable>,
}

struct Rule {
    name: String,
    methods: String,
    path: String,
    slug: String,
    is_public: bool,
    admits_nobody: bool,
    is_shadow: bool,
    credentials: Vec<String>,
    scopes: Vec<String>,
    any_scopes: Vec<String>,
    roles: Vec<String>,
    claims: Vec<String>,
    networks: String,
    cost: u32,
    limits: Vec<LimitTable>,
    groups: Vec<HealGroup>,
}

struct LimitTable {
    name: String,
    per: String,
    plans: Vec<PlanRow>,
}

struct PlanRow {
    plan: String,
    rate: String,
    burst: String,
}

impl LimitTable {
    fn of(limit: &Limit) -> Self {
        let per: Vec<String> = limit.per.iter().map(counted_by).collect();
        let others = if limit.quotas.len() == 1 { "everyone" } else { "any other" };
        let plans = limit.quotas.iter().map(|quota| PlanRow {
            plan: quota.plan.as_deref().unwrap_or(others).to_owned(),
            rate: quota.rate.to_string(),
            burst: quota.quota.burst().to_string(),
        });
        Self { name: limit.name.to_string(), per: per.join(", "), plans: plans.collect() }
    }
}

fn counted_by(part: &KeyPart) -> String {
    match part {
        KeyPart::Client => "for each client".into(),
        KeyPart::Address => "for each address".into(),
        KeyPart::Rule => "for each rule".into(),
        KeyPart::Global => "for all together".into(),
        KeyPart::Claim(name) => format!("for each value of the claim {name}"),
        KeyPart::Header(name) => format!("for each value of the header {name}"),
    }
}

struct HealGroup {
    category: &'static str,
    title: &'static str,
    open: bool,
    count: usize,
    codes: Vec<Heal>,
}

struct Heal {
    code: &'static str,
    href: String,
    heals: String,
}

#[derive(Template)]
#[template(path = "absent.html")]
struct AbsentPage<'a> {
    title: String,
    site: &'a Site,
    style: &'static str,
    script: &'static str,
    csp: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_the_place() {
        let text = "[`rate_limited`](rate_limited) <https://a.example> <b>";
        assert_eq!(
            Links::File.inline(text),
            "<a href=\"rate_limited.html\"><code>rate_limited</code></a> \
             <a href=\"https://a.example\">https://a.example</a> &lt;b&gt;"
        );
        assert!(Links::Above.html(text).contains("\"errors/rate_limited\""));
    }

    #[test]
    fn every_code_has_a_file() {
        let api = Api::any();
        let files = Pages::new(&api, Links::File).files();
        assert_eq!(files.len(), DenialCode::catalogue().len() + 1);
        assert!(files.iter().all(|(name, page)| name.ends_with(".html") && page.len() > 9000));
    }
}
