//! People sign up at the example API: really started, with its keys in memory, in SQLite and in Postgres.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::ManualClock;

use super::support::postgres::Postgres;
use super::support::{Answer, Server, root};

/// Within this time a change counts in other processes.
const STALENESS: Duration = Duration::from_secs(3);

/// The example, as it is built for these tests.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Nothing is to be done where all targets were built; `--test promises` builds no examples.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--all-features", "--example", "orders_api"])
            .current_dir(root())
            .status();
        assert!(built.unwrap().success());
        Path::new(env!("CARGO_BIN_EXE_tollgate")).with_file_name("examples").join("orders_api")
    })
}

/// The example while it runs. It is ended when it is dropped.
struct Api {
    process: Child,
    server: Server,
    log: PathBuf,
}

impl Api {
    /// `store` is what `--store` says; `url` is for the variable that it reads.
    fn start(folder: &Path, name: &str, store: Option<&str>, url: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let mut process = Command::new(example())
            .arg("127.0.0.1:0")
            .args(store.iter().flat_map(|store| ["--store", store]))
            .env("DATABASE_URL", url)
            // All that there is to say.
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        // What it prints is read to the end, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { process, server: Server::at(address, ManualClock::at(0)), log }
    }

    /// Signs up from an address.
    async fn sign_up(&self, from: &str, account: &str) -> Answer {
        let server = self.server.from(from);
        server.post("/signup", "application/json", &json!({"account": account}).to_string()).await
    }

    async fn key_of(&self, from: &str, account: &str) -> String {
        let answer = self.sign_up(from, account).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let said: Value = answer.json();
        assert_eq!(said["key_id"], account);
        said["key"].as_str().unwrap().to_owned()
    }

    /// The status of a request with this key, or the code of the denial.
    async fn orders(&self, key: &str) -> String {
        let answer = self.server.get("/orders", &[("x-api-key", key)]).await;
        if answer.status == 200 { "200".into() } else { answer.code() }
    }

    /// Ends it as a service is ended; its log.
    fn stop(mut self) -> String {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn who_signs_up_calls_at_once_and_while_the_process_lives() {
    let folder = TempDir::new().unwrap();
    let api = Api::start(folder.path(), "memory", None, "");
    let key = api.key_of("127.0.0.1", "acme").await;
    assert_eq!(api.orders(&key).await, "200");
    let written = api.server.call(http::Method::DELETE, "/orders/1", &[("x-api-key", &key)]).await;
    assert_eq!(written.code(), "order_shipped", "the handler was reached: the key may write");

    // Whoever sends what cannot be taken is told what is wrong with it, and nobody is signed up.
    let taken = api.sign_up("127.0.0.2", "acme").await;
    assert_eq!((taken.status.as_u16(), taken.code()), (403, "account_taken".into()));
    let wrong = async |kind: &str, body: &str| {
        // An address of its own each time, so that the limit is not met.
        static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(10);
        let from = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let server = api.server.from(&format!("127.0.0.{from}"));
        let answer = server.post("/signup", kind, body).await;
        assert!(!answer.text.contains("tg_"), "{}", answer.text);
        (answer.status.as_u16(), answer.text)
    };
    for name in ["", "two words", "a\u{7}b", &"x".repeat(65), "naïve"] {
        let (status, text) = wrong("application/json", &json!({"account": name}).to_string()).await;
        assert_eq!(status, 400, "{name:?}: {text}");
        assert!(text.contains("the id of a key has 1 to 64"), "{text}");
    }
    assert_eq!(wrong("application/json", "{\"account\":").await.0, 400);
    assert_eq!(wrong("application/json", "{\"name\":\"acme\"}").await.0, 422);
    assert_eq!(wrong("application/json", "{\"account\":7}").await.0, 422);
    assert_eq!(wrong("text/plain", "{\"account\":\"umbrella\"}").await.0, 415);

    // An address signs up five times an hour, whatever becomes of it; others are not concerned.
    for number in 0..5 {
        api.key_of("127.0.0.3", &format!("many-{number}")).await;
    }
    let limited = api.sign_up("127.0.0.3", "many-5").await;
    assert_eq!(limited.code(), "rate_limited");
    assert_eq!(limited.json()["limits"][0]["limit"], "sign-ups");
    api.key_of("127.0.0.4", "many-5").await;

    // In memory it ends with the process.
    let log = api.stop();
    assert!(log.contains("account_taken") && !log.contains(&key), "{log}");
    let again = Api::start(folder.path(), "memory-again", None, "");
    assert_eq!(again.orders(&key).await, "api_key_unknown");
    again.key_of("127.0.0.1", "acme").await;
}

#[tokio::test]
async fn who_signs_up_with_a_store_is_known_to_all_processes_and_after_a_restart() {
    let postgres = Postgres::start();
    let url = postgres.database("signups");
    for kind in ["sqlite", "postgres"] {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.db");
        let (store, setting) = match kind {
            "sqlite" => (format!("sqlite={}", file.display()), "sqlite = \"keys.db\""),
            _ => ("postgres".into(), "postgres_env = \"DATABASE_URL\""),
        };
        let start = |name: &str| Api::start(folder.path(), name, Some(&store), &url);
        let (one, two) = (start("one"), start("two"));
        let key = one.key_of("127.0.0.1", "acme").await;
        assert_eq!(one.orders(&key).await, "200");
        assert_eq!(two.orders(&key).await, "200", "the other process shares the store");
        assert_eq!(two.sign_up("127.0.0.1", "acme").await.code(), "account_taken");

        let logs = [one.stop(), two.stop()];
        // Nothing of what a process knows of uses is lost when it is ended.
        let policy = format!("version = 1\n[api_keys]\nstore = {{ {setting} }}\n");
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let command = |verb: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_tollgate"))
                .arg("key")
                .args(verb)
                .args(["--policy", "policy.toml"])
                .env("DATABASE_URL", &url)
                .current_dir(folder.path())
                .output()
                .unwrap()
        };
        let listed: Value = serde_json::from_slice(&command(&["list", "--json"]).stdout).unwrap();
        assert_eq!(listed["keys"][0]["id"], "acme");
        assert!(listed["keys"][0]["last_used"].as_str().is_some_and(|at| at.ends_with('Z')));
        let (one, two) = (start("one-again"), start("two-again"));
        assert_eq!([one.orders(&key).await, two.orders(&key).await], ["200", "200"], "{kind}");

        // A third process takes it back.
        assert!(command(&["revoke", "acme"]).status.success());
        let start = Instant::now();
        for api in [&one, &two] {
            while api.orders(&key).await != "api_key_revoked" {
                assert!(start.elapsed() < STALENESS, "{kind}: it is still let in");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        for log in logs.into_iter().chain([one.stop(), two.stop()]) {
            assert!(log.contains("tollgate"), "it was written");
            assert!(!log.contains(&key) && !log.contains(&key[3..40]), "{kind}: a key in the log");
            assert!(!log.contains("hunter2"), "{kind}: a password in the log");
        }
    }
}
