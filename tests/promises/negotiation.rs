//! Programs get the document, and people who look at a response in a browser a page.

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use tollgate::{Category, Denial, DenialCode};

use super::support::{Answer, Server, gate, serve, trial};

const POLICY: &str = "version = 1\n[denial]\nsupport = \"https://help.example.com/?a=1&b=2\"\n\
    [api_keys]\n[[limit]]\nname = \"slow\"\nrate = \"1/minute\"\nper = [\"global\"]\n\
    [[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"slow\"]\n\
    [[rule]]\nname = \"orders\"\npath = \"/orders\"\n";

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn check_headers(answer: &Answer) {
    assert_eq!(answer.lines("vary"), ["accept"]);
    assert_eq!(answer.lines("cache-control"), ["no-store"]);
    assert_eq!(answer.lines("x-content-type-options"), ["nosniff"]);
    assert_eq!(answer.line("content-length").unwrap(), answer.text.len().to_string());
}

#[tokio::test]
async fn a_browser_gets_a_page_with_the_same_words() {
    let server = trial(POLICY).await;
    let document = server.get("/orders", &[]).await;
    check_headers(&document);
    let page = server.get("/orders", &[("accept", BROWSER)]).await;
    check_headers(&page);
    assert_eq!(page.status, document.status);
    assert_eq!(page.lines("content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(page.lines("www-authenticate"), document.lines("www-authenticate"));
    let facts = document.json();
    for name in ["title", "detail", "type"] {
        assert!(page.text.contains(facts[name].as_str().unwrap()), "{name}: {}", page.text);
    }
    // Placeholders such as `<key>` are text, and so is `&` of an address.
    assert!(!page.text.contains("<key>") && !page.text.contains("1&b"), "{}", page.text);
    assert!(page.text.contains("<code>Authorization: ApiKey ") && !page.text.contains('`'));
    assert!(page.text.contains("urn:uuid:"));
    let style = page.text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    let hash = format!("style-src 'sha256-{}'", STANDARD.encode(digest));
    assert!(page.line("content-security-policy").unwrap().contains(&hash));
    // Without it, browsers ask the API for `/favicon.ico`.
    assert!(page.text.contains("<link rel=\"icon\" href=\"data:,\">"));
    assert!(page.text.len() < 3 * 1024, "{}", page.text.len());
}

#[tokio::test]
async fn plain_text_tells_the_wait_too_and_head_has_the_headers() {
    let server = trial(POLICY).await;
    assert_eq!(server.get("/open", &[]).await.status, 200);
    let text = server.get("/open", &[("accept", "text/plain")]).await;
    check_headers(&text);
    assert_eq!(text.lines("content-type"), ["text/plain; charset=utf-8"]);
    assert!(text.text.starts_with("403 Rate limited (rate_limited)\n"), "{}", text.text);
    assert!(text.text.contains("\nWait, in seconds: 60\n"), "{}", text.text);
    assert_eq!(text.line("retry-after").as_deref(), Some("60"));
    let head = server.call(Method::HEAD, "/open", &[("accept", BROWSER)]).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (403, ""));
    assert_eq!(head.lines("content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(head.line("retry-after").as_deref(), Some("60"));
}

#[tokio::test]
async fn what_is_in_doubt_is_the_document_and_nothing_is_406() {
    let server: Server = trial(POLICY).await;
    for accept in
        ["*/*", "image/png", "application/json, text/html", "text/html;q=nonsense", "", ";,/"]
    {
        let answer = server.get("/orders", &[("accept", accept)]).await;
        assert_eq!(answer.code(), "credentials_missing", "{accept}");
        assert_eq!(answer.lines("content-type"), ["application/problem+json"], "{accept}");
    }
}

static LOCKED: DenialCode =
    DenialCode::new("order_locked", Category::Authorization).with_title("Order <locked>");

#[tokio::test]
async fn a_handlers_denial_is_told_in_the_same_forms() {
    async fn locked() -> ([(&'static str, &'static str); 1], Denial) {
        ([("vary", "origin")], Denial::new(&LOCKED).detail("<script>alert(1)</script>"))
    }
    let (gate, clock) = gate(POLICY).await;
    let app = Router::new().route("/open", get(locked)).layer(gate.layer());
    let server = serve(app, clock).await;
    let page = server.get("/open", &[("accept", BROWSER)]).await;
    assert_eq!(page.lines("content-type"), ["text/html; charset=utf-8"]);
    assert!(!page.text.contains("<script") && !page.text.contains("<locked>"), "{}", page.text);
    let vary = page.lines("vary").join(", ");
    assert!(vary.contains("origin") && vary.contains("accept"), "{vary}");
}
