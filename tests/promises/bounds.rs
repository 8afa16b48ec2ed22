//! What a flood of invented clients can spoil: the limit that it fills, and nothing else.

use super::support::{key, trial};

const STORE: &str = "[store]\nmax_buckets = 50\n";

const LIMITS: &str = "[[limit]]\nname = \"per-device\"\nrate = \"5/hour\"\nper = [\"header:x-device\"]\n\
    [[limit]]\nname = \"per-client\"\nrate = \"1/hour\"\nper = [\"client\"]\n";

const RULES: &str = "[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"per-device\"]\n\
    [[rule]]\nname = \"all\"\npath = \"/a\"\nlimits = [\"per-client\"]\n";

#[tokio::test]
async fn a_flood_of_one_limit_costs_failures_and_other_limits_nothing() {
    let clients = ["one", "two", "three"].map(|id| key(id, id, ""));
    let entries = clients.iter().map(|(_, entry)| entry.as_str()).collect::<String>();
    let server = trial(&format!("version = 1\n{STORE}[api_keys]\n{entries}{LIMITS}{RULES}")).await;
    for device in 0..60 {
        let device = device.to_string();
        assert_eq!(server.get("/open", &[("x-device", &device)]).await.status.as_u16(), {
            // Beyond the bound of fifty, five are let in from the bucket that newcomers share.
            if device.parse::<u32>().unwrap() < 55 { 200 } else { 403 }
        });
    }
    let guesser = server.from("127.0.0.2");
    for _ in 0..20 {
        assert_eq!(guesser.get("/a", &[("x-api-key", "bad")]).await.code(), "api_key_malformed");
    }
    assert_eq!(guesser.get("/a", &[("x-api-key", "bad")]).await.code(), "too_many_failures");
    let honest = server.from("127.0.0.3");
    for (secret, _) in &clients {
        let answer = honest.get("/a", &[("x-api-key", secret)]).await;
        assert_eq!(answer.status, 200, "a bucket of its own: {answer:?}");
    }
}

#[tokio::test]
async fn a_limit_may_have_a_bound_of_its_own() {
    let limits = LIMITS.replacen("per = [", "max_buckets = 2\nper = [", 1);
    let rules = RULES;
    let (_, entry) = key("one", "one", "");
    let text = format!("version = 1\n{STORE}[api_keys]\n{entry}{limits}{rules}");
    let server = trial(&text.replace("5/hour", "1/hour")).await;
    let mut admitted = 0;
    for device in 0..10 {
        let device = device.to_string();
        admitted += u32::from(server.get("/open", &[("x-device", &device)]).await.status == 200);
    }
    assert_eq!(admitted, 3, "two with buckets of their own, and one of those that share");
}
