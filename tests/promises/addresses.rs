//! Where a client is: proven by the peer or by proxies that are trusted, or not at all.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::support::{Answer, Server, gate, key, serve, trial};

/// Limits, rules and keys that ask for the address. The caller of the tests is the trusted proxy.
fn policy(source: &str, key: &str) -> String {
    format!(
        r#"version = 1
[address]
source = "{source}"
trusted = ["127.0.0.0/8"]
[api_keys]
{key}
[[limit]]
name = "each"
rate = "2/hour"
per = ["address"]
[[rule]]
name = "proxies"
path = "/proxies"
public = true
addresses = ["127.0.0.0/8"]
[[rule]]
name = "partners"
path = "/partners"
public = true
addresses = ["2001:db8:1:2::7/128", "198.51.100.10/32"]
[[rule]]
name = "counted"
path = "/counted"
public = true
limits = ["each"]
[[rule]]
name = "keys"
path = "/keys"
"#
    )
}

async fn get(server: &Server, path: &str, source: &str, lines: &[&str], key: &str) -> Answer {
    let mut headers: Vec<(&str, &str)> = lines.iter().map(|line| (source, *line)).collect();
    if !key.is_empty() {
        headers.push(("x-api-key", key));
    }
    server.get(path, &headers).await
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_no_proof_of_an_address() {
    let table: &[(&str, &[&str])] = &[
        ("x-forwarded-for", &["unknown"]),
        ("x-forwarded-for", &["198.51.100.10, unknown"]),
        ("x-forwarded-for", &["198.51.100.10:99999"]),
        ("forwarded", &["for=_hidden7"]),
        ("forwarded", &["for=unknown"]),
        ("forwarded", &["proto=https"]),
        ("x-real-ip", &["198.51.100.10", "198.51.100.10"]),
        ("x-real-ip", &["198.51.100.10, 198.51.100.10"]),
        ("x-real-ip", &[""]),
        ("x-real-ip", &["2001:db8:1:2::7:46532"]),
        ("cloudfront-viewer-address", &["198.51.100.10"]),
        ("cloudfront-viewer-address", &["2001:db8:1:2::7"]),
    ];
    for (source, lines) in table {
        let (proxy, entry) = key("proxy", "billing", "addresses = [\"127.0.0.0/8\"]");
        let server = trial(&policy(source, &entry)).await;
        for path in ["/proxies", "/partners"] {
            let answer = get(&server, path, source, lines, "").await;
            assert_eq!(answer.code(), "address_not_allowed", "{lines:?}");
            assert!(answer.text.contains("header could not be read"), "{}", answer.text);
            assert_eq!(answer.json().get("address"), None, "{lines:?}");
        }
        let answer = get(&server, "/keys", source, lines, &proxy).await;
        assert_eq!(answer.code(), "api_key_address_not_allowed", "{lines:?}");
        assert!(answer.text.contains("header could not be read"), "{}", answer.text);
        assert_eq!(answer.json().get("address"), None, "{lines:?}");

        // It is counted, as the hop that sent it.
        for (path, expected) in [("/counted", 200), ("/counted", 200), ("/counted", 403)] {
            let answer = get(&server, path, source, lines, "").await;
            assert_eq!(answer.status, expected, "{lines:?}");
        }
        assert_eq!(get(&server, "/counted", source, &[], "").await.status, 403, "the same hop");
    }
}

#[tokio::test]
async fn a_proxy_without_the_header_is_itself_the_client() {
    for source in ["x-forwarded-for", "forwarded", "x-real-ip", "cloudfront-viewer-address"] {
        let (proxy, entry) = key("proxy", "billing", "addresses = [\"127.0.0.0/8\"]");
        let server = trial(&policy(source, &entry)).await;
        assert_eq!(get(&server, "/proxies", source, &[], "").await.status, 200, "{source}");
        assert_eq!(get(&server, "/keys", source, &[], &proxy).await.status, 200, "{source}");
        let answer = get(&server, "/partners", source, &[], "").await;
        assert_eq!(answer.json()["address"], "127.0.0.1", "{source}");
    }
}

#[tokio::test]
async fn addresses_are_read_as_the_proxies_write_them() {
    let table: &[(&str, &[&str])] = &[
        ("x-forwarded-for", &["6.6.6.6, 198.51.100.10"]),
        ("x-forwarded-for", &["198.51.100.10, , 127.0.0.9,"]),
        ("x-forwarded-for", &["[2001:db8:1:2::7]:8443"]),
        ("forwarded", &["for=6.6.6.6, , for=\"[2001:db8:1:2::7]:8443\""]),
        ("x-real-ip", &["2001:db8:1:2::7"]),
        ("x-real-ip", &["[2001:db8:1:2::7]:8443"]),
        ("cloudfront-viewer-address", &["198.51.100.10:46532"]),
        ("cloudfront-viewer-address", &["2001:db8:1:2:0:0:0:7:46532"]),
        ("cloudfront-viewer-address", &["2001:db8:1:2::7:46532"]),
        ("cloudfront-viewer-address", &["2001:db8:1:2::7:8443"]),
    ];
    for (source, lines) in table {
        let server = trial(&policy(source, "")).await;
        assert_eq!(get(&server, "/partners", source, lines, "").await.status, 200, "{lines:?}");
        let answer = get(&server, "/proxies", source, lines, "").await;
        assert_eq!(answer.code(), "address_not_allowed", "{lines:?}");
    }
}

/// Only CloudFront writes a port behind an IPv6 address without brackets.
#[tokio::test]
async fn an_ipv6_address_without_brackets_has_no_port_in_other_headers() {
    for (source, value, address) in [
        ("x-real-ip", "2001:db8::1:1234", "2001:db8::1:1234"),
        ("cf-connecting-ip", "2001:db8::1:1234", "2001:db8::1:1234"),
        ("x-forwarded-for", "2001:db8::1:1234", "2001:db8::1:1234"),
        ("x-real-ip", "[2001:db8::1]:1234", "2001:db8::1"),
        ("x-real-ip", "203.0.113.1:1234", "203.0.113.1"),
        ("cloudfront-viewer-address", "2001:db8::1:1234", "2001:db8::1"),
        ("cloudfront-viewer-address", "[2001:db8::1]:1234", "2001:db8::1"),
        ("cloudfront-viewer-address", "203.0.113.1:1234", "203.0.113.1"),
    ] {
        let server = trial(&policy(source, "")).await;
        let answer = get(&server, "/partners", source, &[value], "").await;
        assert_eq!(answer.json()["address"], address, "{source}: {value}");
    }
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn forwarded_headers_that_are_not_read_are_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // With one subscriber alone, the thread that comes first to a line of code answers for all whether
    // somebody listens to it. With another one, all subscribers are asked.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _default = tracing::subscriber::set_default(subscriber);
    let rules = "[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\n";
    for (source, expected) in [("", 1), ("[address]\nsource = \"x-real-ip\"\ntrusted = []\n", 0)] {
        log.0.lock().unwrap().clear();
        let server = trial(&format!("version = 1\n{source}{rules}")).await;
        for header in ["x-forwarded-for", "forwarded", "cf-connecting-ip"] {
            let answer = server.get("/open", &[(header, "198.51.100.77")]).await;
            assert_eq!(answer.status, 200);
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains("[address]"));
        assert_eq!(lines.filter(|line| line.contains("ERROR")).count(), expected, "{text}");
        assert!(!text.contains("198.51.100.77"), "{text}");
    }
}

#[tokio::test]
async fn the_status_tells_of_forwarded_headers_that_are_not_read() {
    let rules = "[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\n";
    for (source, expected) in
        [("", true), ("[address]\nsource = \"x-real-ip\"\ntrusted = []\n", false)]
    {
        let (gate, clock) = gate(&format!("version = 1\n{source}{rules}")).await;
        let app = axum::Router::new().fallback(async || "ok").layer(gate.layer());
        let server = serve(app, clock).await;
        assert_eq!(server.get("/open", &[]).await.status, 200);
        assert!(!gate.status().forwarded_ignored);
        assert_eq!(server.get("/open", &[("forwarded", "for=198.51.100.77")]).await.status, 200);
        assert_eq!(gate.status().forwarded_ignored, expected);
    }
}
