//! What limits count: costs, units, those who are exempt, and what clients are told of it.

use axum::Router;
use axum::routing::{get, post};
use http::Method;
use serde_json::{Value, json};
use tollgate::Admission;

use super::support::{Answer, Server, bearer, gate, issuer, key, serve, trial};

/// A limit of two requests and one of ten points, in a policy with an issuer.
const POINTS: &str = r#"
[[limit]]
name = "requests"
rate = "2/hour"
burst = 4
per  = ["client"]

[[limit]]
name = "points"
rate = "10/minute"
per  = ["client"]
unit = "points"

[[rule]]
name    = "read"
methods = ["GET"]
path    = "/issues"
limits  = ["requests", "points"]

[[rule]]
name    = "write"
methods = ["POST"]
path    = "/issues"
limits  = ["requests", { limit = "points", cost = 6 }]
"#;

fn policy(rest: &str) -> String {
    format!("version = 1\n{}{rest}", issuer())
}

async fn call(server: &Server, method: Method, path: &str) -> Answer {
    server.call(method, path, &[("authorization", &bearer(|_| {}))]).await
}

#[tokio::test]
async fn each_limit_has_its_own_cost() {
    let server = trial(&policy(POINTS)).await;
    let write = call(&server, Method::POST, "/issues").await;
    assert_eq!(
        write.line("ratelimit-policy").unwrap(),
        "\"requests\";q=4;w=7200, \"points\";q=10;qu=\"points\";w=60"
    );
    assert_eq!(write.line("ratelimit").unwrap(), "\"requests\";r=3;t=1800, \"points\";r=4;t=12");
    let refused = call(&server, Method::POST, "/issues").await;
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.line("retry-after").unwrap(), "12");
    let document = refused.json();
    assert_eq!(document["cost"], 6, "that of the longest wait");
    let told = |limit: &Value| {
        json!([limit["limit"], limit["unit"], limit["cost"], limit["remaining"], limit["reset"]])
    };
    let limits: Vec<Value> = document["limits"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        limits,
        [json!(["points", "points", 6, 4, 12]), json!(["requests", "requests", 1, 3, 0])]
    );
    // A read takes one point, and there are four.
    let read = call(&server, Method::GET, "/issues").await;
    assert_eq!(read.line("ratelimit").unwrap(), "\"requests\";r=2;t=3600, \"points\";r=3;t=42");
    server.clock.advance(std::time::Duration::from_secs(18));
    assert_eq!(call(&server, Method::POST, "/issues").await.status, 200, "the wait is kept");
}

#[tokio::test]
async fn equal_costs_stand_once() {
    let text = POINTS.replace("{ limit = \"points\", cost = 6 }]", "\"points\"]\ncost = 3");
    let server = trial(&policy(&text)).await;
    assert_eq!(call(&server, Method::POST, "/issues").await.status, 200);
    let document = call(&server, Method::POST, "/issues").await.json();
    assert_eq!(document["cost"], 3);
    assert_eq!(document["limits"][0]["limit"], "requests");
    assert_eq!(document["limits"][0].get("cost"), None);
}

#[tokio::test]
async fn a_cost_of_nothing_asks_for_something() {
    let text = POINTS
        .replace("cost = 6", "cost = 0")
        .replace("rate = \"2/hour\"\nburst = 4", "rate = \"100/hour\"");
    let server = trial(&policy(&text)).await;
    for _ in 0..3 {
        let write = call(&server, Method::POST, "/issues").await;
        assert!(write.line("ratelimit").unwrap().ends_with("\"points\";r=10"), "{write:?}");
    }
    for left in (0..10).rev() {
        let read = call(&server, Method::GET, "/issues").await.line("ratelimit").unwrap();
        assert!(read.contains(&format!("\"points\";r={left}")), "{read}");
    }
    let refused = call(&server, Method::POST, "/issues").await;
    assert_eq!(
        (refused.code(), refused.line("retry-after").unwrap()),
        ("rate_limited".into(), "6".into())
    );
    let document = refused.json();
    assert_eq!(document["cost"], 0);
    assert_eq!(
        document["detail"],
        "The limit points (10/minute) has 0 of 10 points left for your client."
    );
    server.clock.advance(std::time::Duration::from_micros(5_999_999));
    assert_eq!(
        call(&server, Method::POST, "/issues").await.code(),
        "rate_limited",
        "not a whole one"
    );
    server.clock.advance(std::time::Duration::from_micros(1));
    assert_eq!(call(&server, Method::POST, "/issues").await.status, 200);
    assert_eq!(call(&server, Method::GET, "/issues").await.status, 200, "it took nothing");
}

#[tokio::test]
async fn what_the_work_took_is_charged_to_one_limit() {
    let (gate, clock) = gate(&policy(POINTS)).await;
    let write = async |admission: Admission| {
        admission.charge_to("points", 2);
        admission.charge_to("points", 0);
        admission.charge_to("pionts", 2);
        let left = admission
            .limits()
            .map(|limit| (limit.limit.to_owned(), limit.remaining, limit.unit.to_owned()));
        format!("{:?}", left.collect::<Vec<_>>())
    };
    let app = Router::new().route("/issues", post(write).get(write)).layer(gate.layer());
    let server = serve(app, clock).await;
    let answer = call(&server, Method::POST, "/issues").await;
    assert_eq!(answer.text, "[(\"requests\", 3, \"requests\"), (\"points\", 2, \"points\")]");
    assert_eq!(answer.line("ratelimit").unwrap(), "\"requests\";r=3;t=1800, \"points\";r=2;t=24");
    let read = call(&server, Method::GET, "/issues").await;
    assert_eq!(
        read.line("ratelimit").unwrap(),
        "\"requests\";r=2;t=3600, \"points\";r=0;t=12",
        "a debt"
    );
}

#[tokio::test]
async fn who_comes_without_a_credential_is_charged_to_limits_of_its_own() {
    let rule = r#"
[[limit]]
name = "nobody"
rate = "10/hour"
per  = ["address"]

[[rule]]
name        = "open"
path        = "/open"
credentials = ["token", "none"]
limits      = [{ limit = "points", cost = 3 }]
anonymous_limits = ["nobody"]
"#;
    let (gate, clock) = gate(&policy(&format!("{POINTS}{rule}"))).await;
    let work = async |admission: Admission| {
        admission.charge_to("points", 2);
        admission.charge_to("nobody", 4);
    };
    let server = serve(Router::new().route("/open", get(work)).layer(gate.layer()), clock).await;
    let nobody = server.get("/open", &[]).await;
    assert_eq!(nobody.line("ratelimit").unwrap(), "\"nobody\";r=5;t=1800");
    let client = call(&server, Method::GET, "/open").await;
    assert_eq!(client.line("ratelimit").unwrap(), "\"points\";r=5;t=30");
}

const EXEMPT: &str = r#"
[[limit]]
name = "few"
rate = "1/hour"
per  = ["client"]
exempt = ["127.0.0.8/29", "203.0.113.7"]

[[limit]]
name = "many"
rate = "100/hour"
per  = ["client"]

[[rule]]
name   = "all"
path   = "/{*rest}"
limits = ["few", "many"]
"#;

#[tokio::test]
async fn who_is_exempt_is_not_counted() {
    let server = trial(&policy(EXEMPT)).await;
    let token = bearer(|_| {});
    let (inside, outside) = (server.from("127.0.0.9"), server.from("127.0.0.16"));
    let plain = [("authorization", token.as_str())];
    for left in [99, 98, 97] {
        let answer = inside.get("/a", &plain).await;
        assert_eq!(answer.line("ratelimit-policy").unwrap(), "\"many\";q=100;w=3600");
        assert!(answer.line("ratelimit").unwrap().starts_with(&format!("\"many\";r={left};")));
    }
    // A request that names another address comes by a proxy that nobody named: it may be anybody's.
    let forwarded = [plain[0], ("x-forwarded-for", "198.51.100.1")];
    assert_eq!(inside.get("/a", &forwarded).await.status, 200);
    assert_eq!(inside.get("/a", &forwarded).await.code(), "rate_limited");
    assert_eq!(outside.get("/a", &plain).await.code(), "rate_limited", "one bucket of the client");
    assert_eq!(inside.get("/a", &plain).await.status, 200);
}

#[tokio::test]
async fn an_empty_list_for_nobody_takes_no_limit_from_a_public_rule() {
    let server = trial(
        "version = 1\n[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"address\"]\n\
         [[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"one\"]\n\
         anonymous_limits = []\n",
    )
    .await;
    assert_eq!(server.get("/open", &[]).await.status, 200);
    assert_eq!(server.get("/open", &[]).await.code(), "rate_limited");
}

#[tokio::test]
async fn nobody_who_comes_by_a_proxy_is_exempt_as_the_proxy() {
    let policy = "version = 1\n[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"address\"]\n\
         exempt = [\"127.0.0.0/8\"]\n\
         [[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"one\"]\n";
    for header in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-cluster-client-ip",
        "x-azure-clientip",
        "x-envoy-external-address",
        "do-connecting-ip",
        "cf-connecting-ip",
    ] {
        let server = trial(policy).await;
        for _ in 0..2 {
            assert_eq!(server.get("/open", &[]).await.status, 200, "the address itself");
        }
        let by_proxy = [(header, "198.51.100.7")];
        assert_eq!(server.get("/open", &by_proxy).await.status, 200, "{header}");
        assert_eq!(server.get("/open", &by_proxy).await.code(), "rate_limited", "{header}");
    }
}

#[tokio::test]
async fn only_a_proven_address_is_exempt() {
    let address = "[address]\nsource = \"x-forwarded-for\"\ntrusted = [\"127.0.0.1\"]\n";
    let server =
        trial(&policy(&format!("{address}{EXEMPT}").replace("127.0.0.8/29", "127.0.0.0/8"))).await;
    let token = bearer(|_| {});
    let by = |address: &'static str| {
        [("authorization", token.clone()), ("x-forwarded-for", address.into())]
    };
    let get = async |address| {
        let headers = by(address);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.get("/a", &headers).await
    };
    for _ in 0..3 {
        assert_eq!(get("203.0.113.7").await.status, 200);
    }
    // What cannot be read is counted, though the proxy that sent it would be exempt.
    assert_eq!(get("unknown").await.status, 200);
    assert_eq!(get("unknown").await.code(), "rate_limited");
    assert_eq!(get("203.0.113.8").await.code(), "rate_limited");
}

#[tokio::test]
async fn what_is_not_published_is_enforced_and_told_to_nobody() {
    let text = POINTS.replace("unit = \"points\"", "unit = \"points\"\npublished = false");
    let (gate, clock) =
        gate(&policy(&format!("[denial]\nratelimit_headers = \"both\"\n{text}"))).await;
    let limits = async |admission: Admission| {
        let limits = admission.limits().map(|limit| (limit.limit.to_owned(), limit.published));
        format!("{:?}", limits.collect::<Vec<_>>())
    };
    let app = Router::new()
        .route("/issues", get(limits).post(limits))
        .layer(gate.layer())
        .merge(gate.catalogue());
    let server = serve(app, clock).await;
    let write = call(&server, Method::POST, "/issues").await;
    assert_eq!(write.text, "[(\"requests\", true), (\"points\", false)]");
    assert_eq!(write.line("ratelimit-policy").unwrap(), "\"requests\";q=4;w=7200");
    assert_eq!(write.line("ratelimit").unwrap(), "\"requests\";r=3;t=1800");
    assert_eq!(write.line("x-ratelimit-remaining").unwrap(), "3");

    // The points are short alone.
    let refused = call(&server, Method::POST, "/issues").await;
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.line("retry-after").unwrap(), "12");
    assert_eq!(refused.line("ratelimit").unwrap(), "\"requests\";r=3;t=1800");
    let document = refused.json();
    for absent in ["limits", "cost", "address"] {
        assert_eq!(document.get(absent), None, "{document}");
    }
    assert_eq!(document["detail"], "The request takes more than a limit has left.");
    assert_eq!(document["remedy"], "Wait 12 s, then repeat the request. Spread calls over time.");
    assert_eq!(document["retryable"], true);

    // Both are short: the one that is published is told of, and the wait is the longest.
    for _ in 0..3 {
        assert_eq!(call(&server, Method::GET, "/issues").await.status, 200);
    }
    let document = call(&server, Method::POST, "/issues").await.json();
    let names: Vec<&Value> =
        document["limits"].as_array().unwrap().iter().map(|limit| &limit["limit"]).collect();
    assert_eq!((names, &document["cost"]), (vec![&json!("requests")], &json!(1)));
    assert_eq!(document["retry_after"], 1800);
    let read = call(&server, Method::GET, "/issues").await;
    assert_eq!(read.json()["limits"][0].get("cost"), None, "one cost, as far as is told");

    for page in ["/errors/handbook", "/errors/openapi.json", "/errors/rate_limited"] {
        for accept in ["text/html", "text/markdown", "*/*"] {
            let page = server.get(page, &[("accept", accept)]).await;
            assert_eq!(page.status, 200);
            assert!(page.text.contains("rate_limited"), "{}", page.text);
            assert!(!page.text.contains("points"), "{}", page.text);
        }
    }
}

#[tokio::test]
async fn the_handbook_tells_costs_and_units() {
    let (gate, clock) = gate(&policy(POINTS)).await;
    let server = serve(gate.catalogue(), clock).await;
    let html = server.get("/errors/handbook", &[("accept", "text/html")]).await.text;
    for told in [
        "counts as 1 in requests, 6 in points",
        "counts as 1 in each limit",
        "counted in points, for each client",
    ] {
        assert!(html.contains(told), "{told}: {html}");
    }
}

const TENANTS: &str = r#"
[[limit]]
name = "per-tenant"
rate = "1/hour"
per  = ["path:tenant"]

[[rule]]
name   = "orders"
path   = "/t/{tenant}/orders"
limits = ["per-tenant"]
"#;

#[tokio::test]
async fn a_path_parameter_tells_buckets_apart() {
    let server = trial(&policy(TENANTS)).await;
    let get = async |path: &str| {
        let answer = call(&server, Method::GET, path).await;
        if answer.status == 200 { "200".to_owned() } else { answer.code() }
    };
    assert_eq!(get("/t/acme/orders").await, "200");
    assert_eq!(get("/t/acme/orders").await, "rate_limited");
    assert_eq!(get("/t/globex/orders").await, "200");
    // However it is written, it is one tenant.
    assert_eq!(get("/t/%61cme/orders").await, "rate_limited");
    assert_eq!(get("/t/gl%6Fbex/orders").await, "rate_limited");
    assert_eq!(get("/t/a%20b/orders").await, "200");
    assert_eq!(get("/t/%61%20b/orders").await, "rate_limited");
    // Nor does another reading of the path make it another one.
    assert_eq!(get("/t/acme;v=1/orders").await, "no_matching_rule");
    let document = call(&server, Method::GET, "/t/acme/orders").await.json();
    assert_eq!(document["limits"][0]["per"], json!(["path:tenant"]));
}

#[tokio::test]
async fn a_thousand_plans_are_a_thousand_limits() {
    let plan = |n: u32| format!("plans.customer-{n} = {{ rate = \"{}/hour\" }}\n", n + 1);
    let plans: String = (0..1_000).map(plan).collect();
    let limit = EXEMPT.split("[[limit]]\nname = \"many\"").next().unwrap();
    let rule = "[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\nlimits = [\"few\"]\n";
    let keys: Vec<(String, String)> = (0..1_000)
        .map(|n| key(&format!("k{n}"), &format!("c{n}"), &format!("plan = \"customer-{n}\"")))
        .collect();
    let entries: String = keys.iter().map(|(_, entry)| entry.as_str()).collect();
    let server = trial(&format!("version = 1\n[api_keys]\n{entries}{limit}{plans}{rule}")).await;
    for (n, (secret, _)) in keys.iter().enumerate() {
        let answer = server.get("/a", &[("x-api-key", secret)]).await;
        assert_eq!(answer.line("ratelimit-policy").unwrap(), format!("\"few\";q={};w=3600", n + 1));
        assert!(answer.line("ratelimit").unwrap().starts_with(&format!("\"few\";r={n};t=")));
    }
}
