//! The form of a denial's body: the document, or the same words for people (RFC 9110
//! section 12.5.1).
//!
//! Programs get `application/problem+json`, whatever they say that is not clearly something else.
//! A browser that shows the response as a page says that it would rather have HTML, and gets it.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use memchr::memchr2;
use serde_json::{Map, Value};

use super::response::Composed;
use crate::accept::prefers;
use crate::fields::Lines;

/// What a client would rather have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Media {
    /// `application/problem+json`, and whenever in doubt.
    #[default]
    Document,
    Html,
    Text,
}

impl Media {
    /// `text/html` and `text/plain` only where they are strictly preferred to JSON.
    pub(crate) fn of(accept: &Lines<'_>) -> Self {
        // Most clients are programs that name no text: they pay for one look.
        if !accept.iter().any(|line| names_text(line.as_bytes())) {
            return Self::Document;
        }
        const OFFERS: [&str; 4] =
            ["application/problem+json", "application/json", "text/html", "text/plain"];
        match OFFERS[prefers(accept, &OFFERS)] {
            "text/html" => Self::Html,
            "text/plain" => Self::Text,
            _ => Self::Document,
        }
    }
}

/// Whether a range begins with `text/`. What programs send seldom has an `x` at all.
fn names_text(line: &[u8]) -> bool {
    memchr2(b'x', b'X', line).is_some()
        && line.windows(5).any(|part| part.eq_ignore_ascii_case(b"text/"))
}

const STYLE: &str = include_str!("denial.css");

/// The page loads and runs nothing but its own style.
static CSP: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

#[derive(Template)]
#[template(path = "denial.html")]
struct Page<'d> {
    status: u64,
    title: &'d str,
    detail: &'d str,
    remedy: &'d str,
    retry_after: String,
    instance: &'d str,
    type_href: &'d str,
    code: &'d str,
    support: &'d str,
    style: &'static str,
}

impl Composed {
    /// Says the same in another form.
    pub(super) fn in_media(mut self, media: Media) -> Self {
        // INVARIANT: what was written is a JSON object.
        let Ok(document) = serde_json::from_slice::<Map<String, Value>>(&self.written.bytes) else {
            return self;
        };
        let page = Page::of(&document);
        let (body, content_type) = match media {
            Media::Document => return self,
            Media::Html => (page.render().ok(), "text/html; charset=utf-8"),
            Media::Text => (Some(page.plain()), "text/plain; charset=utf-8"),
        };
        let Some(body) = body else { return self };
        self.written.bytes = body.into_bytes();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if media == Media::Html {
            self.headers.insert(CONTENT_SECURITY_POLICY, CSP.clone());
        }
        self
    }
}

impl<'d> Page<'d> {
    fn of(document: &'d Map<String, Value>) -> Self {
        let text = |name| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name| document.get(name).and_then(Value::as_u64);
        Self {
            status: number("status").unwrap_or_default(),
            title: text("title"),
            detail: text("detail"),
            remedy: text("remedy"),
            retry_after: number("retry_after").map(|wait| wait.to_string()).unwrap_or_default(),
            instance: text("instance"),
            type_href: text("type"),
            code: text("code"),
            support: text("support"),
            style: STYLE,
        }
    }

    /// A sentence with code between backticks: whether each part is code, and the part.
    fn parts<'t>(&self, sentence: &'t str) -> impl Iterator<Item = (bool, &'t str)> {
        let last = sentence.matches('`').count();
        // A backtick that is left alone begins nothing.
        sentence.split('`').enumerate().map(move |(at, part)| (at % 2 == 1 && at < last, part))
    }

    fn plain(&self) -> String {
        let lines = [
            ("", self.detail),
            ("What to do now: ", self.remedy),
            ("Wait, in seconds: ", &self.retry_after),
            ("More: ", self.type_href),
            ("Ask for help: ", self.support),
            ("To ask for help, quote: ", self.instance),
        ];
        let mut text = format!("{} {} ({})\n", self.status, self.title, self.code);
        for (label, line) in lines.into_iter().filter(|(_, line)| !line.is_empty()) {
            text += &format!("\n{label}{line}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_the_document_and_browsers_a_page() {
        for (accept, media) in [
            ("", Media::Document),
            ("*/*", Media::Document),
            ("application/json", Media::Document),
            ("application/json, text/plain, */*", Media::Document),
            ("image/png", Media::Document),
            ("text/html, application/json", Media::Document),
            ("text/html;q=0.9, application/json;q=0.8", Media::Html),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Media::Html),
            ("text/html", Media::Html),
            ("TEXT/HTML", Media::Html),
            ("text/html;q=0", Media::Document),
            ("text/*", Media::Html),
            ("text/plain", Media::Text),
            ("text/plain;q=0.5, text/html;q=0.4", Media::Text),
            ("text/event-stream", Media::Document),
            ("text/html;q=x", Media::Document),
        ] {
            let line = HeaderValue::from_static(accept);
            let lines = if accept.is_empty() { Lines::new() } else { Lines::from_iter([&line]) };
            assert_eq!(Media::of(&lines), media, "{accept}");
        }
    }
}
