//! A client that knows nothing but `action`, `actor` and members, and has two tools: it can send a
//! request, and get a credential. It recovers at the first try from every code that a client can
//! recover from, and stops at the others.
//!
//! `tests/recovery.txt` says what it does about each cause. Run with `UPDATE=1` to write it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http::Method;
use serde_json::Value;
use tollgate::{Action, Denial, DenialCode};

use super::answers::{Cause, cause, causes, provoke};
use super::support::{self, Answer, NOW, Server, bearer, root};

/// The client.
struct Agent<'s> {
    server: Server,
    keys: &'s Value,
    method: Method,
    path: &'static str,
    headers: Vec<(String, String)>,
    did: Vec<String>,
}

/// How it ends.
#[derive(Debug, PartialEq)]
enum End {
    Recovered,
    Stopped,
}

impl Agent<'_> {
    /// The first tool.
    async fn send(&self) -> Answer {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.server.call(self.method.clone(), self.path, &headers).await
    }

    /// The second tool: puts a new credential in the place of those that it has.
    fn get_credential(&mut self, accepted: &Value, scopes: &BTreeSet<String>) {
        let scheme = accepted["scheme"].as_str();
        let is_key = accepted["kind"] == "api_key";
        let credential = if is_key {
            self.keys["good"].as_str().unwrap().to_owned()
        } else {
            // What it is not asked for, an issuer grants as ever.
            let mut granted = scopes.clone();
            granted.insert("orders:read".to_owned());
            let granted: Vec<String> = granted.into_iter().collect();
            let token = bearer(|claims| claims["scope"] = granted.join(" ").into());
            token.trim_start_matches("Bearer ").to_owned()
        };
        let value = scheme.map_or(credential.clone(), |scheme| format!("{scheme} {credential}"));
        let name = accepted["name"].as_str().unwrap().to_owned();
        let with = match scopes.is_empty() {
            true => String::new(),
            false => format!(" with {}", scopes.iter().cloned().collect::<Vec<_>>().join(" ")),
        };
        self.did.push(format!("got {}{with}", if is_key { "a key" } else { "a token" }));
        self.headers.retain(|(held, _)| *held != name);
        self.headers.push((name, value));
    }

    /// Does what one denial says; whether the request is worth sending again.
    fn obey(&mut self, denial: &Value) -> bool {
        let token =
            serde_json::json!({"kind": "token", "name": "authorization", "scheme": "Bearer"});
        let list = |name: &str| -> Vec<String> {
            let items = denial[name].as_array().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        match denial["action"].as_str().unwrap() {
            "wait" => {
                let wait = denial["retry_after"].as_u64().unwrap();
                self.server.clock.advance(Duration::from_secs(wait));
                self.did.push("waited".to_owned());
                true
            }
            "renew" => {
                self.get_credential(&token, &BTreeSet::new());
                true
            }
            "step_up" => {
                let any = list("any_scopes").into_iter().take(1);
                let scopes = list("required_scopes").into_iter().chain(any).collect();
                self.get_credential(&token, &scopes);
                true
            }
            "fix_request" if denial["allowed_methods"].is_array() => {
                let method = list("allowed_methods").swap_remove(0);
                self.did.push(format!("took {method}"));
                self.method = method.parse().unwrap();
                true
            }
            "fix_request" if denial["accepted_credentials"].is_array() => {
                self.headers.clear();
                self.get_credential(&denial["accepted_credentials"][0], &BTreeSet::new());
                true
            }
            "fix_request" if denial["max_bytes"].is_u64() || denial["last_failure"].is_string() => {
                self.headers.clear();
                self.get_credential(&token, &BTreeSet::new());
                true
            }
            _ => false,
        }
    }
}

/// Every cause is provoked, then left to the client.
async fn recover(server: Server, cause: &Cause, keys: &Value) -> (String, End) {
    let mut first = provoke(&server, cause).await;
    let mut agent = Agent {
        server,
        keys,
        method: cause.method.clone(),
        path: cause.path,
        headers: cause
            .headers
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect(),
        did: Vec::new(),
    };
    if cause.name == "too_many_failures: not looked at" {
        // A good token, which cannot be looked at now.
        let unseen = bearer(|claims| claims["exp"] = (NOW + 90_000).into());
        agent.headers = vec![("authorization".into(), unseen)];
        first = agent.send().await;
        assert_eq!(first.code(), "too_many_failures");
    }
    let denial = first.json();
    let goes_on = agent.obey(&denial);
    let end = match goes_on {
        true if agent.send().await.status == 200 => End::Recovered,
        true => panic!("{}: {:?} did not help: {denial:#}", cause.name, agent.did),
        false => End::Stopped,
    };
    let text = |name: &str| denial[name].as_str().unwrap().to_owned();
    let did = match &end {
        End::Recovered => format!("{}: recovered", agent.did.join(", ")),
        End::Stopped => format!("stopped, told the {}", text("actor")),
    };
    let name = format!("{} ({})", text("code"), cause.name);
    (format!("{name:<66} {:<12} {:<9} {did}\n", text("action"), text("actor")), end)
}

/// Codes that no request provokes here: a handler answers the first request with each, and the
/// second one with a success.
const BY_HANDLER: [&str; 8] = [
    "token_key_unknown",
    "token_revoked",
    "key_source_unavailable",
    "limiter_unavailable",
    "invalid_credentials",
    "access_denied",
    "limit_exceeded",
    "temporarily_unavailable",
];

async fn serve(policy: &str) -> Server {
    let asked = AtomicU32::new(0);
    let once = |Path(code): Path<String>, State(asked): State<Arc<AtomicU32>>| async move {
        let row = DenialCode::catalogue().iter().find(|row| row.code() == code).unwrap();
        let denial = Denial::new(row);
        match asked.fetch_add(1, Ordering::Relaxed) {
            0 if row.retryable() => Err(denial.retry_after(Duration::from_secs(5))),
            0 => Err(denial),
            _ => Ok("ok"),
        }
    };
    let (gate, clock) = support::gate(policy).await;
    let forgotten = |_: tollgate::Principal| async { "never" };
    let app = Router::new()
        .route("/once/{code}", get(once))
        .with_state(Arc::new(asked))
        .fallback(async || "ok")
        .layer(gate.layer())
        .route("/forgotten", get(forgotten));
    support::serve(app, clock).await
}

#[tokio::test]
async fn it_recovers_from_what_a_client_can_recover_from_and_stops_at_the_rest() {
    let (policy, causes, keys) = causes();
    let policy = format!(
        "{policy}[[rule]]\nname = \"once\"\npath = \"/once/{{code}}\"\ncredentials = [\"token\"]\n"
    );
    let (mut table, mut stopped, mut recovered) = (String::new(), Vec::new(), BTreeSet::new());
    let token = bearer(|_| {});
    let by_handler = BY_HANDLER.map(|code| {
        let path: &'static str = Box::leak(format!("/once/{code}").into_boxed_str());
        cause(code, path, &[("authorization", &token)])
    });
    // That a path wants a key and a token together is told in words alone.
    let alone = causes.iter().filter(|cause| cause.path != "/both");
    for cause in alone.chain(&by_handler) {
        // Each has a clock of its own, to wait by.
        let (line, end) = recover(serve(&policy).await, cause, &keys).await;
        let code = line.split(' ').next().unwrap().to_owned();
        table += &line;
        match end {
            End::Recovered => drop(recovered.insert(code)),
            End::Stopped => stopped.push(code),
        }
    }
    for code in DenialCode::catalogue() {
        let is_seen = recovered.contains(code.code()) || stopped.iter().any(|c| c == code.code());
        assert!(is_seen, "{} is in the table", code.code());
        let is_for_programs =
            matches!(code.action(), Action::Renew | Action::StepUp | Action::Wait);
        assert!(!is_for_programs || recovered.contains(code.code()), "{}", code.code());
    }
    let _ = writeln!(table, "\n{} codes recovered from", recovered.len());
    let path = root().join("tests/recovery.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == table, "run with UPDATE=1, and read the difference:\n{table}");
}
