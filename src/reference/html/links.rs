//! Where links lead, from the place that a page has, and prose with such links.

use pulldown_cmark::{CowStr, Event, Parser, Tag, html::push_html};

use crate::reference::page;

/// Where the links of a page lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reference) enum Links {
    /// From `/errors`, a level above the pages.
    Above,
    /// From `/errors/`, and from the pages.
    Beside,
    /// Between files in one folder.
    File,
}

impl Links {
    pub(in crate::reference) fn file(self, name: &str) -> String {
        match self {
            Self::Above => format!("errors/{name}"),
            Self::Beside | Self::File => name.to_owned(),
        }
    }

    pub(in crate::reference) fn page(self, name: &str) -> String {
        match self {
            Self::File => format!("{name}.html"),
            Self::Above | Self::Beside => self.file(name),
        }
    }

    pub(super) fn index(self) -> String {
        match self {
            Self::Above => "errors",
            Self::Beside => "./",
            Self::File => "index.html",
        }
        .to_owned()
    }

    /// Markdown whose links name codes, as HTML.
    pub(super) fn html(self, markdown: &str) -> String {
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
    pub(super) fn inline(self, markdown: &str) -> String {
        let html = self.html(markdown);
        let inner = html.trim_end().strip_prefix("<p>").and_then(|html| html.strip_suffix("</p>"));
        match inner {
            Some(inner) if !inner.contains("<p>") => inner.to_owned(),
            _ => html,
        }
    }
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
}
