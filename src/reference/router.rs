//! Serves the catalogue and the handbook, in every form.
//!
//! All documents are made when the router is, and again by each reload ([`Site`]). A request makes
//! nothing: it is answered from what is there.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use super::html::{Links, Pages, csp};
use super::json::{Json, object};
use super::page::{self, Page};
use super::{Api, Format, markdown};
use crate::accept::prefers;
use crate::denial::DenialCode;
use crate::gate::{Followed, Follower, Snapshot, Tollgate};

impl Tollgate {
    /// What client developers are handed about this API, as routes: the catalogue of codes, the
    /// handbook of the policy in force, and the files for their tools.
    ///
    /// | path | what it is |
    /// | --- | --- |
    /// | `/errors` | the list of codes |
    /// | `/errors/{code}` | the page of a code |
    /// | `/errors/handbook` | what each rule asks for, without those that have `listed = false` |
    /// | `/errors/denial.schema.json` | JSON Schema 2020-12 |
    /// | `/errors/openapi.json` | OpenAPI 3.1 |
    /// | `/errors/denial.ts` | TypeScript |
    ///
    /// Pages are HTML, Markdown or JSON, by `Accept`; HTML when in doubt. All is made in this
    /// call, and again by each reload that puts another policy in force. Requests make nothing.
    ///
    /// Merge the app, with the gate's layer on it, into the catalogue: so nobody needs a credential
    /// to read it, and paths that nobody knows are still denied by the gate. (Of two routers that
    /// are merged, axum keeps what the second one answers on unknown paths.) The `type` of a
    /// denial leads there. To have it elsewhere, nest it, and say so in the policy: under `/docs`
    /// it is `docs = "/docs/errors"` in `[denial]`.
    ///
    /// # Two gates in one application
    ///
    /// Nest the catalogue of each. Merged into one router they would both be `/errors`, and
    /// [`Router::merge`] panics with `Overlapping method route`, as it does for any path that is
    /// there twice.
    ///
    /// ```
    /// # use axum::Router;
    /// # fn app(partners: &tollgate::Tollgate, staff: &tollgate::Tollgate) -> Router {
    /// Router::new()
    ///     .nest("/partners", partners.catalogue()) // docs = "/partners/errors" in its policy
    ///     .nest("/staff", staff.catalogue()) // docs = "/staff/errors"
    /// # }
    /// ```
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tollgate::Tollgate;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let gate = Tollgate::open("config/tollgate.toml").await?;
    /// let app: Router = Router::new()
    ///     .route("/orders", get(|| async { "orders" }))
    ///     .layer(gate.layer());
    /// let app = gate.catalogue().merge(app); // the catalogue is open to everyone
    /// # Ok::<_, tollgate::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn catalogue(&self) -> Router {
        self.gate().serves_handbook();
        let served = Served::new(self);
        let site = served.clone();
        let page = async move |name: Result<Path<String>, _>, headers: HeaderMap| {
            let site = site.load();
            let found = name.ok().and_then(|Path(name): Path<String>| site.pages.get(&name));
            found.unwrap_or(&site.missing).answer(&headers)
        };
        let site = served.clone();
        // With a slash behind its name, the page without it is meant.
        let meant = async move |name: Result<Path<String>, _>, headers: HeaderMap| {
            let site = site.load();
            match name {
                Ok(Path(name)) if site.pages.get(&name).is_some_and(Document::is_page) => {
                    Redirect::permanent(&format!("../{name}")).into_response()
                }
                _ => site.missing.answer(&headers),
            }
        };
        let above = served.clone();
        let above = async move |headers: HeaderMap| above.load().above.answer(&headers);
        let beside = async move |headers: HeaderMap| served.load().beside.answer(&headers);
        Router::new()
            .route("/errors", get(above))
            .route("/errors/", get(beside))
            .route("/errors/{page}", get(page))
            .route("/errors/{page}/", get(meant))
    }
}

/// What the routes answer with now. It keeps the gate, so that the gate follows its files for as
/// long as its pages are served.
#[derive(Clone)]
struct Served {
    site: Arc<ArcSwap<Site>>,
    _gate: Tollgate,
}

impl Served {
    fn new(gate: &Tollgate) -> Self {
        let site = gate.gate().follow(|snapshot| {
            let site = Arc::new(ArcSwap::from_pointee(Site::of(snapshot)));
            let served = Arc::downgrade(&site);
            let follower: Follower = Box::new(move |snapshot| match served.upgrade() {
                Some(site) => {
                    site.store(Arc::new(Site::of(snapshot)));
                    Followed::Still
                }
                None => Followed::NoMore,
            });
            (site, follower)
        });
        Self { site, _gate: gate.clone() }
    }

    fn load(&self) -> Guard<Arc<Site>> {
        self.site.load()
    }
}

/// The documents of one policy.
struct Site {
    /// The index, linked for `/errors`.
    above: Document,
    /// The index, linked for `/errors/`.
    beside: Document,
    /// By name: codes, the handbook, and the files for tools.
    pages: HashMap<String, Document>,
    /// For names that are not there.
    missing: Document,
}

impl Site {
    fn of(snapshot: &Snapshot) -> Self {
        let api = Api::of(snapshot);
        let above = Pages::new(&api, Links::Above);
        let beside = Pages::new(&api, Links::Beside);
        let mut pages: HashMap<String, Document> = (api.codes.iter())
            .map(|code| (code.code.to_owned(), of_code(&api, &beside, code)))
            .collect();
        if let Some(document) = handbook(&api, &beside) {
            pages.insert("handbook".into(), document);
        }
        for (name, format, kind) in [
            ("denial.schema.json", Format::JsonSchema, "application/schema+json"),
            ("openapi.json", Format::OpenApi, "application/json"),
            ("denial.ts", Format::TypeScript, "text/plain; charset=utf-8"),
        ] {
            pages.insert(name.into(), Document::file(kind, api.write(format)));
        }
        let missing = Document::new(
            404,
            beside.absent(),
            "# No such code\n\nAll codes: [index](./)\n".into(),
            object! { "status" => 404_u16, "title" => "No such code" },
        );
        Self {
            above: index(&api, &above, Links::Above),
            beside: index(&api, &beside, Links::Beside),
            pages,
            missing,
        }
    }
}

/// A document in every form that it is offered in.
struct Document {
    status: u16,
    forms: Vec<Form>,
}

struct Form {
    body: Bytes,
    tag: String,
    headers: HeaderMap,
}

/// What a page is offered as, the form for doubtful cases first, and its place among the forms:
/// whoever asks for plain text or for a problem gets what comes nearest.
const OFFERS: [&str; 5] =
    ["text/html", "text/markdown", "application/json", "text/plain", "application/problem+json"];
const FORMS: [usize; 5] = [0, 1, 2, 1, 2];

impl Document {
    /// A page: as HTML, Markdown and JSON.
    fn new(status: u16, html: String, markdown: String, json: Json) -> Self {
        let mut forms = vec![
            Form::new("text/html; charset=utf-8", html),
            Form::new("text/markdown; charset=utf-8", markdown),
            Form::new("application/json", json.pretty()),
        ];
        for form in &mut forms {
            form.headers.insert(header::VARY, HeaderValue::from_static("accept"));
        }
        let csp = format!("{}; frame-ancestors 'none'", csp());
        if let Ok(csp) = HeaderValue::try_from(csp) {
            forms[0].headers.insert(header::CONTENT_SECURITY_POLICY, csp);
        }
        Self { status, forms }
    }

    fn file(kind: &'static str, text: String) -> Self {
        Self { status: 200, forms: vec![Form::new(kind, text)] }
    }

    /// Whether it is a page, and not a file for a tool.
    fn is_page(&self) -> bool {
        self.forms.len() > 1
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let form = match &self.forms[..] {
            [only] => only,
            forms => {
                &forms[FORMS[prefers(&headers.get_all(header::ACCEPT).iter().collect(), &OFFERS)]]
            }
        };
        let is_known = self.status == 200 && form.is_known(headers);
        let (status, body) = match is_known {
            true => (304, Body::empty()),
            false => (self.status, Body::from(form.body.clone())),
        };
        let mut response = Response::new(body);
        *response.headers_mut() = form.headers.clone();
        if let Ok(status) = status.try_into() {
            *response.status_mut() = status;
        }
        response
    }
}

impl Form {
    fn new(kind: &'static str, text: String) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..12]);
        let tag = format!("\"{hash}\"");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "public, max-age=300"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] as [(HeaderName, &'static str); 4]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(tag) = HeaderValue::try_from(&tag) {
            headers.insert(header::ETAG, tag);
        }
        Self { body: text.into(), tag, headers }
    }

    /// Whether the client holds it already (RFC 9110 section 13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag
        })
    }
}

fn index(api: &Api<'_>, pages: &Pages<'_>, links: Links) -> Document {
    let markdown = api.markdown_index().replace("](", &format!("]({}", links.file("")));
    let row = |code: &&DenialCode| {
        object! {
            "code" => code.code,
            "title" => code.title,
            "category" => code.category.as_str(),
            "summary" => line(&page::Prose::of(code).summary),
            "href" => links.page(code.code),
        }
    };
    let json = object! { "codes" => api.codes.iter().map(row).collect::<Json>() };
    Document::new(200, pages.index(), markdown, json)
}

fn of_code(api: &Api<'_>, pages: &Pages<'_>, code: &DenialCode) -> Document {
    let page = Page::of(api, code);
    let member = |row: &page::Row| {
        object! {
            "name" => row.name,
            "type" => row.kind,
            "present" => row.present,
            "meaning" => row.meaning,
        }
    };
    let mut json = object! {
        "code" => code.code,
        "title" => code.title,
        "category" => code.category.as_str(),
        "status" => page.statuses.0,
        "retryable" => code.retryable,
        "action" => code.action.as_str(),
        "actor" => code.actor.as_str(),
        "counts_as_failure" => code.counts_as_failure,
        "summary" => line(&page.prose.summary),
        "steps" => page.prose.steps.as_str(),
        "members" => page.members.iter().map(member).collect::<Json>(),
    };
    if page.statuses.1 != page.statuses.0 {
        json.set("status_by_cause", page.statuses.1);
    }
    if let Some(example) = page.example {
        let mut headers = Json::Object(Vec::new());
        for (name, value) in &example.headers {
            match headers.get(name).and_then(Json::text) {
                Some(first) => headers.set(name, format!("{first}, {value}")),
                None => headers.set(name, value.as_str()),
            }
        }
        let mut shown = object! { "status" => example.status };
        if let Some(request) = &example.request {
            shown.set("request", request.as_str());
        }
        shown.set("headers", headers);
        shown.set("body", example.body.clone());
        json.set("example", shown);
    }
    json.set("related", page.prose.related_codes().collect::<Json>());
    Document::new(200, pages.code(code), markdown::code(api, code), json)
}

/// The handbook; its JSON is the OpenAPI document, which tells the same to machines.
fn handbook(api: &Api<'_>, pages: &Pages<'_>) -> Option<Document> {
    let json = super::openapi::document(api);
    Some(Document::new(200, pages.handbook()?, api.markdown_handbook()?, json))
}

/// A paragraph in one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
