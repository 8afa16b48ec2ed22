//! `docs/limits.md`: each policy of the page does what the table below it says.

use std::fs;
use std::time::Duration;

use axum::Router;
use http::Method;
use tollgate::{Admission, Tollgate};

use super::support::{Answer, NOW, Server, key, root, serve};

/// A row of a table.
struct Row {
    plan: String,
    method: Method,
    path: String,
    /// How many tokens of which limit the handler charges.
    after: Option<(u32, String)>,
    at_once: u32,
    wait: u64,
}

/// A policy of the page, with its table.
struct Known {
    policy: String,
    rows: Vec<Row>,
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [plan, request, after, at_once, wait] = cells[..] else { return None };
    let (method, path) = request.trim_matches('`').split_once(' ')?;
    let after =
        after.split_once(' ').map(|(tokens, limit)| (tokens.parse().unwrap(), limit.into()));
    Some(Row {
        plan: plan.into(),
        method: method.parse().ok()?,
        path: path.into(),
        after,
        at_once: at_once.parse().ok()?,
        wait: wait.strip_suffix(" s")?.parse().ok()?,
    })
}

fn page() -> Vec<Known> {
    let text = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let mut known: Vec<Known> = Vec::new();
    for block in text.split("\n```toml\n").skip(1) {
        let (policy, rest) = block.split_once("\n```\n").unwrap();
        let is_row = |line: &&str| {
            line.starts_with('|') && !line.contains("---") && !line.starts_with("| plan")
        };
        let read = |line| row(line).unwrap_or_else(|| panic!("not a row: {line}"));
        let rows = rest.lines().filter(is_row).map(read).collect();
        known.push(Known { policy: policy.to_owned(), rows });
    }
    known
}

/// A server of this policy, whose handler charges what the row says; and a key with the row's plan.
async fn server(policy: &str, row: &Row) -> (Server, String) {
    let plan = match row.plan.as_str() {
        "" => String::new(),
        plan => format!("plan = \"{plan}\""),
    };
    let (secret, entry) = key("one", "customer", &plan);
    let clock = tollgate::ManualClock::at(NOW);
    let policy = format!("{policy}\n{entry}");
    let gate = Tollgate::builder().policy(policy).clock(clock.clone()).build().await.unwrap();
    let after = row.after.clone();
    let handler = async move |admission: Admission| {
        if let Some((tokens, limit)) = after {
            admission.charge_to(&limit, tokens);
        }
        "ok"
    };
    let app = Router::new().fallback(handler).layer(gate.layer());
    (serve(app, clock).await, secret)
}

async fn call(server: &Server, row: &Row, header: &str, secret: &str) -> Answer {
    server.call(row.method.clone(), &row.path, &[(header, secret)]).await
}

#[tokio::test]
async fn the_next_request_is_refused_with_the_wait_of_the_page() {
    let known = page();
    assert_eq!(known.len(), 5, "GitHub, Stripe, OpenAI, Shopify, Slack");
    for Known { policy, rows } in &known {
        assert!(rows.len() >= 2, "{policy}");
        for row in rows {
            let (server, secret) = server(policy, row).await;
            let (header, secret) = match policy {
                policy if policy.contains("x-shopify-access-token") => {
                    ("x-shopify-access-token", secret)
                }
                policy if policy.contains("bearer  = true") => {
                    ("authorization", format!("Bearer {secret}"))
                }
                _ => ("x-api-key", secret),
            };
            let what = format!("{} {} {:?}", row.method, row.path, row.plan);
            for n in 0..row.at_once {
                let answer = call(&server, row, header, &secret).await;
                assert_eq!(answer.status, 200, "{what}: {n}: {answer:?}");
            }
            let refused = call(&server, row, header, &secret).await;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (429, "rate_limited".into()),
                "{what}"
            );
            assert_eq!(refused.line("retry-after").unwrap(), row.wait.to_string(), "{what}");
            server.clock.advance(Duration::from_secs(row.wait));
            assert_eq!(
                call(&server, row, header, &secret).await.status,
                200,
                "{what}: after the wait"
            );
        }
    }
}

/// Nothing in them is probably not meant, but that only some of their plans have a key yet.
#[tokio::test]
async fn the_policies_of_the_page_give_no_warnings() {
    for Known { policy, .. } in page() {
        let plans: Vec<&str> = policy
            .lines()
            .filter_map(|line| line.strip_prefix("plans."))
            .filter_map(|line| line.split_once(' '))
            .map(|(plan, _)| plan)
            .collect();
        let entries: String = ["", plans.first().copied().unwrap_or_default()]
            .iter()
            .enumerate()
            .map(|(n, plan)| {
                let plan =
                    if plan.is_empty() { String::new() } else { format!("plan = \"{plan}\"") };
                key(&format!("key-{n}"), "customer", &plan).1
            })
            .collect();
        let policy = format!("{policy}\n{entries}");
        let gate = Tollgate::builder().policy(&policy).build().await.unwrap();
        let warnings: Vec<String> = gate.warnings().iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}
