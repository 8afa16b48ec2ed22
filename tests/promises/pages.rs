//! The pages for client developers: complete, linked, self-contained, and open to everyone.

use std::collections::HashSet;
use std::process::Command;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use tollgate::DenialCode;

use super::support::{Answer, Server, gate, issuer, serve};

const FORMS: [(&str, &str); 3] = [
    ("text/html", "text/html; charset=utf-8"),
    ("text/markdown", "text/markdown; charset=utf-8"),
    ("application/json", "application/json"),
];

fn policy() -> String {
    format!(
        "version = 1\n[denial]\nstatus = \"standard\"\nsupport = \"https://help.example.com/\"\n\
         [[denial.code]]\ncode = \"order_locked\"\ntitle = \"Order <locked>\"\n\
         category = \"authorization\"\nremedy = \"Ask <b>the warehouse</b>.\"\n\
         [api_keys]\n{}\
         [[limit]]\nname = \"per-client\"\nrate = \"60/minute\"\nburst = 20\nper = [\"client\"]\n\
         plans = {{ gold = {{ rate = \"600/minute\", burst = 200 }} }}\n\
         [[rule]]\nname = \"read-orders\"\nmethods = [\"GET\"]\npath = \"/orders\"\n\
         scopes = [\"orders:read\"]\nlimits = [\"per-client\"]\n\
         [[rule]]\nname = \"health\"\npath = \"/health\"\npublic = true\n\
         [[rule]]\nname = \"hush\"\npath = \"/hidden-door\"\nlisted = false\nscopes = [\"hidden:scope\"]\n",
        issuer()
    )
}

async fn server(nested: bool) -> Server {
    let (gate, clock) = gate(&policy()).await;
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let app = match nested {
        true => app.nest("/docs", gate.catalogue()),
        false => gate.catalogue().merge(app),
    };
    serve(app, clock).await
}

/// The values of an attribute that is written in double quotes.
fn values<'t>(html: &'t str, attribute: &str) -> Vec<&'t str> {
    let start = format!(" {attribute}=\"");
    html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The page without what stands in `<style>` and `<script>`.
fn markup(html: &str) -> String {
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (middle, rest) = rest.split_once("<script>").unwrap();
    let (_, after) = rest.split_once("</script>").unwrap();
    format!("{before}{middle}{after}")
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

/// Where a link on this page leads.
fn resolve(page: &str, link: &str) -> String {
    let link = link.split('#').next().unwrap();
    if link.is_empty() {
        return page.to_owned();
    }
    let folder = &page[..=page.rfind('/').unwrap()];
    format!("{folder}{}", link.strip_prefix("./").unwrap_or(link))
}

fn check_page(path: &str, answer: &Answer) {
    let html = &answer.text;
    // Without it, browsers ask the API for `/favicon.ico`.
    const NO_ICON: &str = "<link rel=\"icon\" href=\"data:,\">";
    assert_eq!(html.matches(NO_ICON).count(), 1, "{path}");
    let markup = markup(&html.replace(NO_ICON, ""));
    for unsafe_part in [" style=\"", " on", " src=\"", "<link", "<iframe", "javascript:"] {
        let is_there = match unsafe_part {
            " on" => {
                ["onclick=", "onload=", "oninput=", "onerror="].iter().any(|it| markup.contains(it))
            }
            part => markup.contains(part),
        };
        assert!(!is_there, "{path}: {unsafe_part}");
    }
    assert_eq!((html.matches("<style").count(), html.matches("<script").count()), (1, 1), "{path}");
    let hash = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        STANDARD.encode(digest)
    };
    let style = hash(between(html, "<style>", "</style>"));
    let script = hash(between(html, "<script>", "</script>"));
    let csp = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(answer.lines("content-security-policy"), [csp], "{path}");
    assert!(!html.contains("http-equiv"), "{path}");
    let ids = values(&markup, "id");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{path}: each id once");
    for link in values(&markup, "href").into_iter().filter_map(|link| link.strip_prefix('#')) {
        assert!(ids.contains(&link), "{path} has no place #{link}");
    }
}

/// Every page that can be reached from here, without a credential.
async fn crawl(server: &Server, start: &str) -> HashSet<String> {
    let (mut seen, mut next) = (HashSet::new(), vec![start.to_owned()]);
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = server.get(&path, &[("accept", "text/html,*/*;q=0.8")]).await;
        assert_eq!(answer.status, 200, "{path}");
        if answer.line("content-type").unwrap() != FORMS[0].1 {
            continue;
        }
        check_page(&path, &answer);
        let links = values(&answer.text, "href");
        let inside = links.into_iter().filter(|link| !link.contains(':'));
        next.extend(inside.map(|link| resolve(&path, link)));
    }
    seen
}

#[tokio::test]
async fn every_page_is_linked_and_self_contained() {
    let server = server(false).await;
    for start in ["/errors", "/errors/"] {
        let seen = crawl(&server, start).await;
        for code in DenialCode::catalogue().iter().map(|code| code.code()) {
            assert!(seen.contains(&format!("/errors/{code}")), "{code}");
        }
        for file in ["order_locked", "handbook", "denial.schema.json", "openapi.json", "denial.ts"]
        {
            assert!(seen.contains(&format!("/errors/{file}")), "{file}");
        }
    }
    let own = server.get("/errors/order_locked", &[]).await.text;
    assert!(!own.contains("<locked>") && !own.contains("<b>"), "{own}");
}

#[tokio::test]
async fn two_gates_have_a_catalogue_each() {
    let policy = |place: &str| {
        format!(
            "version = 1\n[denial]\ndocs = \"/{place}/errors\"\nrealm = \"{place}\"\n\
             [[rule]]\nname = \"all\"\npath = \"/{place}/orders\"\n[api_keys]\n"
        )
    };
    let mut app = Router::new();
    let (_, clock) = gate(&policy("any")).await;
    for place in ["partners", "staff"] {
        let (gate, _) = gate(&policy(place)).await;
        let orders = Router::new().route("/orders", axum::routing::get(async || "ok"));
        app = app.nest(&format!("/{place}"), gate.catalogue().merge(orders.layer(gate.layer())));
    }
    let server = serve(app, clock).await;
    for place in ["partners", "staff"] {
        let denial = server.get(&format!("/{place}/orders"), &[]).await.json();
        let page = denial["type"].as_str().unwrap();
        assert_eq!(page, format!("/{place}/errors/credentials_missing"));
        let page = server.get(page, &[("accept", "text/html")]).await;
        assert!(page.text.contains(&format!("Errors of {place}")), "{}", page.text);
    }
}

#[tokio::test]
async fn pages_can_be_nested() {
    let server = server(true).await;
    let seen = crawl(&server, "/docs/errors").await;
    assert!(seen.contains("/docs/errors/rate_limited") && seen.contains("/docs/errors/handbook"));
}

#[tokio::test]
async fn every_page_answers_in_three_forms() {
    let server = server(false).await;
    let mut paths = vec!["/errors".to_owned(), "/errors/handbook".into()];
    paths.extend(DenialCode::catalogue().iter().map(|code| format!("/errors/{}", code.code())));
    for path in &paths {
        let mut tags = HashSet::new();
        for (accept, kind) in FORMS {
            let answer = server.get(path, &[("accept", accept)]).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.line("content-type").unwrap()),
                (200, kind)
            );
            assert_eq!(answer.lines("vary"), ["accept"]);
            assert_eq!(answer.lines("cache-control"), ["public, max-age=300"]);
            assert_eq!(answer.lines("x-content-type-options"), ["nosniff"]);
            assert_eq!(answer.lines("referrer-policy"), ["no-referrer"]);
            tags.insert(answer.line("etag").unwrap());
        }
        assert_eq!(tags.len(), 3, "{path}");
        for doubtful in [&[][..], &[("accept", "image/png")], &[("accept", "*/*")]] {
            let answer = server.get(path, doubtful).await;
            assert_eq!(answer.line("content-type").unwrap(), FORMS[0].1);
        }
    }
    let index = server.get("/errors", &[("accept", "application/json")]).await.json();
    assert_eq!(index["codes"].as_array().unwrap().len(), DenialCode::catalogue().len() + 1);
    assert_eq!(index["codes"][0]["href"], "errors/credentials_missing");
    let page = server.get("/errors/rate_limited", &[("accept", "application/json")]).await.json();
    assert_eq!((&page["code"], &page["status"]), (&"rate_limited".into(), &429.into()));
    assert_eq!(page["example"]["body"]["code"], "rate_limited");
    assert_eq!(page["related"][0], "too_many_failures");
    assert!(page["steps"].as_str().unwrap().starts_with("1. "));
    let markdown = server.get("/errors", &[("accept", "text/markdown")]).await.text;
    assert!(markdown.contains("](errors/rate_limited)"), "{markdown}");
}

#[tokio::test]
async fn what_is_not_listed_is_told_nowhere() {
    let server = server(false).await;
    for path in ["/errors/handbook", "/errors", "/errors/openapi.json"] {
        for (accept, _) in FORMS {
            let text = server.get(path, &[("accept", accept)]).await.text;
            for secret in ["hush", "hidden-door", "hidden:scope"] {
                assert!(!text.contains(secret), "{path} as {accept} tells {secret}");
            }
        }
    }
    let handbook = server.get("/errors/handbook", &[]).await.text;
    for told in ["/orders", "orders:read", "600/minute", "gold", "per-client", "read-orders"] {
        assert!(handbook.contains(told), "{told}");
    }
}

#[tokio::test]
async fn pages_are_not_sent_twice() {
    let server = server(false).await;
    for path in ["/errors", "/errors/rate_limited", "/errors/denial.ts"] {
        let first = server.get(path, &[]).await;
        let tag = first.line("etag").unwrap();
        let many = format!("\"other\", W/{tag}");
        for held in [tag.as_str(), "*", &many] {
            let again = server.get(path, &[("if-none-match", held)]).await;
            assert_eq!((again.status.as_u16(), &*again.text), (304, ""), "{path} {held}");
            assert_eq!(again.line("etag"), Some(tag.clone()));
        }
        assert_eq!(server.get(path, &[("if-none-match", "\"other\"")]).await.status, 200);
        let head = server.call(Method::HEAD, path, &[]).await;
        assert_eq!((head.status.as_u16(), &*head.text), (200, ""), "{path}");
        for name in ["etag", "content-type", "content-length", "vary"] {
            assert_eq!(head.line(name), first.line(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn an_unknown_code_has_a_page_that_says_so() {
    let server = server(false).await;
    for name in ["no_such_code", "%3Cscript%3E", "%ff"] {
        let path = format!("/errors/{name}");
        let answer = server.get(&path, &[]).await;
        assert_eq!(answer.status, 404, "{name}");
        check_page(&path, &answer);
        assert!(answer.text.contains("No such code") && !answer.text.contains(name));
        let answer = server.get(&path, &[("accept", "application/json")]).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (404, &404.into()));
    }
}

#[test]
fn the_command_writes_the_whole_site() {
    let folder = tempfile::TempDir::new().unwrap();
    let out = folder.path().join("site");
    std::fs::write(folder.path().join("policy.toml"), policy()).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["schema", "--format", "html"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    run(&["--policy", "policy.toml", "--out", "site"]);
    let mut pages = 0;
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        pages += 1;
        let html = std::fs::read_to_string(&path).unwrap();
        assert!(html.contains("http-equiv=\"Content-Security-Policy\""), "{path:?}");
        assert!(!html.contains("frame-ancestors"), "{path:?}");
        for link in values(&markup(&html), "href") {
            let file = link.split('#').next().unwrap();
            let is_there = link.contains(':') || file.is_empty() || out.join(file).is_file();
            assert!(is_there, "{path:?} links to {link}");
        }
    }
    assert_eq!(pages, DenialCode::catalogue().len() + 3, "the index, the handbook, one code more");
    let (index, hint) = run(&[]);
    assert!(index.starts_with("<!doctype html>") && hint.contains("--out DIR"), "{hint}");
}

#[tokio::test]
async fn paths_that_nobody_knows_stay_denied_beside_the_catalogue() {
    let (gate, clock) = gate(&policy()).await;
    let app = Router::new().route("/orders", axum::routing::get(|| async { "ok" }));
    let server = serve(gate.catalogue().merge(app.layer(gate.layer())), clock).await;
    assert_eq!(server.get("/ordres", &[]).await.code(), "no_matching_rule");
    assert_eq!(server.get("/orders", &[]).await.code(), "credentials_missing");
    assert_eq!(server.get("/errors/token_expired", &[]).await.status, 200);
}

async fn pages(policy: &str) -> Server {
    let (gate, clock) = gate(policy).await;
    serve(gate.catalogue(), clock).await
}

#[tokio::test]
async fn an_api_that_tells_little_has_pages_of_what_it_tells() {
    let policy = policy().replace("[denial]\n", "[denial]\ndisclosure = \"minimal\"\n");
    let server = pages(&policy).await;
    let index = server.get("/errors", &[("accept", "application/json")]).await.json();
    let codes: Vec<&str> = index["codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "credentials_missing",
            "invalid_credentials",
            "access_denied",
            "limit_exceeded",
            "temporarily_unavailable"
        ]
    );
    let page = server.get("/errors/credentials_missing", &[("accept", "text/markdown")]).await.text;
    assert!(page.contains("\"remedy\"") && !page.contains("\"detail\""), "{page}");
    assert!(!page.contains("\"accepted_credentials\":"), "{page}");
    assert_eq!(server.get("/errors/token_expired", &[]).await.status, 404);
}

#[tokio::test]
async fn programs_send_what_the_api_takes() {
    let policy = format!(
        "version = 1\n{}[[rule]]\nname = \"all\"\npath = \"/things\"\nscopes = [\"read\"]\n",
        issuer()
    );
    let server = pages(&policy).await;
    for code in ["insufficient_scope", "decision_failed", "credentials_missing"] {
        let page =
            server.get(&format!("/errors/{code}"), &[("accept", "text/markdown")]).await.text;
        let programs = page.split_once("Handle it in code").unwrap().1;
        assert!(
            programs.contains("Bearer") && !programs.contains("x-api-key"),
            "{code}: {programs}"
        );
    }
}

/// Nothing of an application or a policy breaks the pages, whatever letters it has.
#[tokio::test]
async fn odd_letters_stay_what_they_are() {
    let policy = "version = 1\n[[denial.code]]\ncode = \"odd_code\"\ntitle = \"A <b> | `c`\"\n\
        category = \"authorization\"\nremedy = \"Ask <script>alert(1)</script>.\"\n[api_keys]\n\
        [[rule]]\nname = \"odd\"\npath = \"/odd\"\nscopes = [\"a`b\"]\nroles = [\"c`d``e\"]\n";
    let server = pages(policy).await;
    let index = server.get("/errors", &[("accept", "text/markdown")]).await.text;
    assert!(index.contains("| A &lt;b> \\| `c` |"), "{index}");
    let page = server.get("/errors/odd_code", &[("accept", "text/markdown")]).await.text;
    assert!(!page.contains("1. Ask <script"), "{page}");
    let handbook = server.get("/errors/handbook", &[("accept", "text/markdown")]).await.text;
    assert!(handbook.contains("`` a`b ``") && handbook.contains("``` c`d``e ```"), "{handbook}");
    let html = server.get("/errors/handbook", &[("accept", "text/html")]).await.text;
    assert!(html.contains("<code>a`b</code>") && html.contains("<code>c`d``e</code>"), "{html}");
}

#[tokio::test]
async fn a_rule_tells_which_methods_it_leaves_to_others() {
    let policy = "version = 1\n[[rule]]\nname = \"rest\"\npath = \"/a\"\npublic = true\n\
        [[rule]]\nname = \"read\"\nmethods = [\"GET\"]\npath = \"/a\"\npublic = true\n\
        [[rule]]\nname = \"all\"\npath = \"/b\"\n";
    let faulty = tollgate::Tollgate::builder().policy(policy).build().await;
    assert!(faulty.is_ok(), "a rule that nobody can meet yet is a warning: {:?}", faulty.err());
    let server = pages(policy).await;
    let handbook = server.get("/errors/handbook", &[("accept", "text/markdown")]).await.text;
    assert!(handbook.contains("any other method `/a`"), "{handbook}");
    assert!(handbook.contains("any method `/b`"), "{handbook}");
    assert!(handbook.contains("Credential: none that anybody has yet"), "{handbook}");
    let openapi = server.get("/errors/openapi.json", &[]).await.json();
    let security = &openapi["paths"]["/b"]["get"]["security"];
    assert_eq!(
        security.as_array().map(Vec::len),
        Some(3),
        "open to nobody, not to all: {security}"
    );
    for scheme in security.as_array().unwrap() {
        let name = scheme.as_object().unwrap().keys().next().unwrap();
        assert!(openapi["components"]["securitySchemes"][name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn a_slash_behind_the_name_of_a_page_leads_to_it() {
    let server = server(true).await;
    for name in ["rate_limited", "handbook"] {
        let answer = server.get(&format!("/docs/errors/{name}/"), &[]).await;
        assert_eq!(answer.status, 308);
        assert_eq!(answer.line("location"), Some(format!("../{name}")));
    }
    assert_eq!(server.get("/docs/errors/no_such_code/", &[]).await.status, 404);
}

#[tokio::test]
async fn plain_text_and_problems_are_what_comes_nearest() {
    let server = server(false).await;
    for (asked, given) in [
        ("text/plain", "text/markdown; charset=utf-8"),
        ("application/problem+json", "application/json"),
        ("*/*", "text/html; charset=utf-8"),
    ] {
        let answer = server.get("/errors/rate_limited", &[("accept", asked)]).await;
        assert_eq!(answer.line("content-type").as_deref(), Some(given), "{asked}");
    }
}
