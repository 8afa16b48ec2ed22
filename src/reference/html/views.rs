//! What the templates are filled with. Where a template says `safe`, the text is HTML already.

use askama::Template;

use crate::limit::{KeyPart, Limit};
use crate::reference::example;
use crate::reference::sample::Sample;

pub(super) struct Site {
    pub(super) name: String,
    pub(super) index_href: String,
    /// Empty where there is none.
    pub(super) handbook_href: String,
    pub(super) files: Vec<File>,
    pub(super) support: String,
}

pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) about: &'static str,
}

#[derive(Template)]
#[template(path = "index.html")]
pub(super) struct IndexPage<'a> {
    pub(super) title: String,
    pub(super) site: &'a Site,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) csp: String,
    pub(super) intro: String,
    pub(super) groups: Vec<Group>,
    pub(super) members: Vec<Member>,
    pub(super) examples: Option<Example>,
}

pub(super) struct Group {
    pub(super) category: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) codes: Vec<CodeRow>,
}

pub(super) struct CodeRow {
    pub(super) code: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) status: String,
    /// What else it is found by: the status that other APIs would send.
    pub(super) words: u16,
    pub(super) retry: &'static str,
    pub(super) href: String,
}

pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) present: &'static str,
    pub(super) meaning: String,
}

pub(super) struct Example {
    pub(super) request: String,
    pub(super) status_line: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: String,
}

pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

impl Example {
    pub(super) fn of(example: &example::Example) -> Self {
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
pub(super) struct CodePage<'a> {
    pub(super) title: String,
    pub(super) site: &'a Site,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) csp: String,
    pub(super) page: Page,
}

pub(super) struct Page {
    pub(super) code: String,
    pub(super) title: String,
    pub(super) category: &'static str,
    pub(super) status_uniform: u16,
    pub(super) status_standard: u16,
    pub(super) retry: &'static str,
    pub(super) challenge: String,
    pub(super) counts_as_failure: bool,
    pub(super) summary: String,
    pub(super) about: String,
    pub(super) steps: String,
    pub(super) retrying: String,
    pub(super) sections: Vec<Section>,
    pub(super) related: String,
    pub(super) members: Vec<Member>,
    pub(super) examples: Vec<Example>,
    pub(super) samples: Vec<Sample>,
    pub(super) previous: Near,
    pub(super) next: Near,
}

pub(super) struct Section {
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) prose: String,
}

pub(super) struct Near {
    pub(super) code: String,
    pub(super) href: String,
}

#[derive(Template)]
#[template(path = "handbook.html")]
pub(super) struct HandbookPage<'a> {
    pub(super) title: String,
    pub(super) site: &'a Site,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) csp: String,
    pub(super) rules: Vec<Rule>,
    pub(super) credentials_about: String,
    pub(super) shared_limits: Vec<LimitTable>,
}

pub(super) struct Rule {
    pub(super) name: String,
    pub(super) methods: String,
    pub(super) path: String,
    pub(super) slug: String,
    pub(super) is_public: bool,
    pub(super) admits_nobody: bool,
    pub(super) is_shadow: bool,
    pub(super) credentials: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) any_scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) claims: Vec<String>,
    pub(super) description: String,
    /// As HTML.
    pub(super) any: Vec<String>,
    /// As HTML.
    pub(super) issuers: String,
    pub(super) networks: String,
    pub(super) statuses: String,
    pub(super) cost: String,
    pub(super) limits: Vec<LimitTable>,
    pub(super) anonymous_limits: Vec<LimitTable>,
    pub(super) has_anonymous_limits: bool,
    pub(super) has_limits: bool,
    pub(super) groups: Vec<HealGroup>,
}

pub(super) struct LimitTable {
    pub(super) name: String,
    pub(super) per: String,
    pub(super) plans: Vec<PlanRow>,
}

pub(super) struct PlanRow {
    pub(super) plan: String,
    pub(super) rate: String,
    pub(super) burst: String,
}

impl LimitTable {
    pub(super) fn of(limit: &Limit) -> Self {
        let per: Vec<String> = limit.per.iter().map(counted_by).collect();
        let others = if limit.quotas.len() == 1 { "everyone" } else { "any other" };
        let plans = limit.quotas.iter().map(|quota| PlanRow {
            plan: quota.plan.as_deref().unwrap_or(others).to_owned(),
            rate: quota.rate.to_string(),
            burst: quota.quota.burst().to_string(),
        });
        let unit = limit.other_unit().map_or(String::new(), |unit| format!("in {unit}, "));
        let per = format!("{unit}{}", per.join(", "));
        Self { name: limit.name.to_string(), per, plans: plans.collect() }
    }
}

fn counted_by(part: &KeyPart) -> String {
    match part {
        KeyPart::Client => "for each client".into(),
        KeyPart::Address => "for each address".into(),
        KeyPart::Rule => "for each rule".into(),
        KeyPart::Global => "for all together".into(),
        KeyPart::Claim(claim) => format!("for each value of the claim {}", claim.as_str()),
        KeyPart::Header(name) => format!("for each value of the header {name}"),
        KeyPart::Path(name) => format!("for each {name} in the path"),
    }
}

pub(super) struct HealGroup {
    pub(super) category: &'static str,
    pub(super) title: &'static str,
    pub(super) open: bool,
    pub(super) count: usize,
    pub(super) codes: Vec<Heal>,
}

pub(super) struct Heal {
    pub(super) code: &'static str,
    pub(super) href: String,
    pub(super) heals: String,
}

#[derive(Template)]
#[template(path = "absent.html")]
pub(super) struct AbsentPage<'a> {
    pub(super) title: String,
    pub(super) site: &'a Site,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) csp: String,
}
