//! Keys in a store: one suite for memory, SQLite and Postgres; and what happens while a server of
//! Postgres, really started, is away.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use http::Request;
use tempfile::TempDir;
use tollgate::keys::{KeyDigest, KeyStoreError};
use tollgate::{ManualClock, NewApiKey, Tollgate};
use tower::ServiceExt as _;

use super::support::postgres::Postgres;
use super::support::{Answer, Server, root, serve};

/// How old an answer of a store may be.
const STALENESS: Duration = Duration::from_secs(3);

/// A place of keys that several gates share.
trait Place {
    /// `store = ...`, or nothing.
    fn setting(&self) -> String;
    /// What the variable `KEYS` holds.
    fn url(&self) -> String {
        String::new()
    }
    /// Runs a statement, as others do who write to the table.
    fn sql(&self, sql: &str);
    /// A list, as it is written in SQL.
    fn list(&self, item: &str) -> String;
    fn is_file(&self) -> bool {
        false
    }
}

/// A key file beside the policy, for the verbs.
struct File;

impl Place for File {
    fn setting(&self) -> String {
        "file = \"keys.toml\"".into()
    }

    fn sql(&self, _: &str) {
        unreachable!("it has no tables")
    }

    fn list(&self, _: &str) -> String {
        unreachable!("it has no tables")
    }

    fn is_file(&self) -> bool {
        true
    }
}

struct Sqlite(TempDir);

impl Place for Sqlite {
    fn setting(&self) -> String {
        format!("store = {{ sqlite = \"{}\" }}", self.file().display())
    }

    fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    fn list(&self, item: &str) -> String {
        format!("'[\"{item}\"]'")
    }
}

impl Sqlite {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("keys.db")
    }
}

struct Database<'s>(&'s Postgres, &'static str, String);

impl<'s> Database<'s> {
    fn new(server: &'s Postgres, name: &'static str) -> Self {
        Self(server, name, server.database(name))
    }
}

impl Place for Database<'_> {
    fn setting(&self) -> String {
        "store = { postgres_env = \"KEYS\" }".into()
    }

    fn url(&self) -> String {
        self.2.clone()
    }

    fn sql(&self, sql: &str) {
        self.0.sql(self.1, sql).unwrap();
    }

    fn list(&self, item: &str) -> String {
        format!("'{{{item}}}'")
    }
}

/// A gate with this store, and a server behind it.
async fn open(setting: &str, url: &str) -> (Tollgate, Server) {
    let policy = format!(
        "version = 1\n[api_keys]\n{setting}\n[failures]\nenabled = false\n\
         [[limit]]\nname = \"each\"\nrate = \"1000/hour\"\nper = [\"client\"]\nplans.gold = {{ rate = \"5000/hour\" }}\n\
         [[rule]]\nname = \"all\"\npath = \"/\"\nlimits = [\"each\"]\n\
         [[rule]]\nname = \"writing\"\npath = \"/write\"\nscopes = [\"orders:write\"]\n"
    );
    let gate = Tollgate::builder().policy(policy).secret("KEYS", url.as_bytes().to_vec());
    let gate = gate.build().await.unwrap();
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    (gate, serve(app, ManualClock::at(0)).await)
}

async fn with(place: &dyn Place) -> (Tollgate, Server) {
    open(&place.setting(), &place.url()).await
}

async fn get(server: &Server, key: &str) -> Answer {
    server.get("/", &[("x-api-key", key)]).await
}

/// The status, or the code of the denial.
fn outcome(answer: &Answer) -> String {
    if answer.status == 200 { "200".into() } else { answer.code() }
}

/// Asks until the outcome is as wanted; how long it took.
async fn until(wanted: &str, most: Duration, server: &Server, path: &str, key: &str) -> Duration {
    let start = Instant::now();
    loop {
        let last = outcome(&server.get(path, &[("x-api-key", key)]).await);
        if last == wanted {
            return start.elapsed();
        }
        assert!(start.elapsed() < most, "still {last} and not {wanted} after {most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What holds for every store, in one process.
async fn keys_can_be_handed_out(gate: &Tollgate, server: &Server) {
    let keys = gate.keys();
    let stranger = NewApiKey::generate("tg").unwrap();
    assert_eq!(outcome(&get(server, stranger.reveal()).await), "api_key_unknown");

    let issued = keys.issue("acme-1", "acme", |key| key.plan("gold")).await.unwrap();
    let key = issued.key().reveal();
    assert_eq!(outcome(&get(server, key).await), "200", "at the next request");
    let taken = keys.issue("acme-1", "other", |key| key).await;
    assert!(matches!(taken, Err(KeyStoreError::IdTaken { .. })), "{taken:?}");

    // Another plan and other scopes need no new key.
    assert_eq!(outcome(&server.get("/write", &[("x-api-key", key)]).await), "insufficient_scope");
    let record = keys.find("acme-1").await.unwrap().unwrap();
    let more = record.to_builder().scopes(["orders:write"]).plan(None).build().unwrap();
    keys.update(more).await.unwrap();
    assert_eq!(server.get("/write", &[("x-api-key", key)]).await.status, 200);

    let next = keys.rotate("acme-1", Duration::ZERO).await.unwrap();
    assert_eq!(next.record().id(), "acme-2");
    assert_eq!(outcome(&get(server, next.key().reveal()).await), "200");
    assert_eq!(outcome(&get(server, key).await), "api_key_expired");
    keys.revoke("acme-2").await.unwrap();
    assert_eq!(outcome(&get(server, next.key().reveal()).await), "api_key_revoked");
    let listed = keys.list(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.id()).collect::<Vec<_>>(), ["acme-1", "acme-2"]);
}

/// What holds for every store that others share: another gate, and who writes to its table.
async fn what_others_do_counts_within_three_seconds(place: &dyn Place) {
    let ((here, here_server), (_there, there)) = (with(place).await, with(place).await);
    let issued = here.keys().issue("shared", "acme", |key| key).await.unwrap();
    let key = issued.key().reveal();
    assert_eq!(outcome(&get(&here_server, key).await), "200");
    assert_eq!(outcome(&get(&there, key).await), "200", "the other has never heard of it");
    here.keys().revoke("shared").await.unwrap();
    assert_eq!(outcome(&get(&here_server, key).await), "api_key_revoked", "at once");
    let took = until("api_key_revoked", STALENESS, &there, "/", key).await;
    assert!(took <= STALENESS);

    // By hand. That the key is nobody's is remembered for as long, and no longer.
    let theirs = NewApiKey::generate("tg").unwrap();
    let (key, digest) = (theirs.reveal(), theirs.digest());
    assert_eq!(outcome(&get(&there, key).await), "api_key_unknown");
    place.sql(&format!(
        "INSERT INTO tollgate_api_keys (id, client, digest) VALUES ('theirs', 'acme', '{digest}')"
    ));
    until("200", STALENESS, &there, "/", key).await;
    let scopes = place.list("orders:write");
    place.sql(&format!("UPDATE tollgate_api_keys SET scopes = {scopes} WHERE client = 'acme'"));
    until("200", STALENESS, &there, "/write", key).await;
    place.sql("UPDATE tollgate_api_keys SET revoked = (1 = 1) WHERE id = 'theirs'");
    until("api_key_revoked", STALENESS, &there, "/", key).await;
    place.sql("DELETE FROM tollgate_api_keys WHERE id = 'theirs'");
    until("api_key_unknown", STALENESS, &there, "/", key).await;

    // What is not valid is no key, and does no harm to others.
    let odd = NewApiKey::generate("tg").unwrap();
    place.sql(&format!(
        "INSERT INTO tollgate_api_keys (id, client, digest, scopes) VALUES ('odd', 'acme', '{}', {})",
        odd.digest(),
        place.list("orders read")
    ));
    assert_eq!(outcome(&get(&there, odd.reveal()).await), "api_key_unknown");
    let listed = here.keys().list(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.id()).collect::<Vec<_>>(), ["shared"]);
    let status = serde_json::to_value(here.status()).unwrap().to_string();
    assert!(!status.contains("hunter2"), "{status}");
}

#[tokio::test]
async fn keys_in_memory_can_be_handed_out() {
    let (gate, server) = open("", "").await;
    keys_can_be_handed_out(&gate, &server).await;
}

#[tokio::test]
async fn keys_in_sqlite_can_be_handed_out_and_shared() {
    let place = Sqlite::new();
    let (gate, server) = with(&place).await;
    keys_can_be_handed_out(&gate, &server).await;
    what_others_do_counts_within_three_seconds(&Sqlite::new()).await;
}

#[tokio::test]
async fn keys_in_postgres_can_be_handed_out_and_shared() {
    let postgres = Postgres::start();
    let (gate, server) = with(&Database::new(&postgres, "alone")).await;
    keys_can_be_handed_out(&gate, &server).await;
    what_others_do_counts_within_three_seconds(&Database::new(&postgres, "shared")).await;
}

/// Two processes of their own, and the verbs of the command in a third.
#[tokio::test]
async fn the_verbs_work_on_the_file_and_on_the_stores_that_processes_share() {
    let postgres = Postgres::start();
    let sqlite = Sqlite::new();
    let database = Database::new(&postgres, "verbs");
    let places: [&dyn Place; 3] = [&File, &sqlite, &database];
    for place in places {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("keys.toml"), "# Ours.\n").unwrap();
        let policy = format!(
            "version = 1\n[api_keys]\nprefix = \"acme\"\n{}\n[failures]\nenabled = false\n\
             [[rule]]\nname = \"all\"\npath = \"/\"\n",
            place.setting()
        );
        std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let key = |arguments: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
                .arg("key")
                .args(arguments)
                .args(["--policy", "policy.toml"])
                .env("KEYS", place.url())
                .current_dir(folder.path())
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let (one, two) =
            (Process::serve(folder.path(), place), Process::serve(folder.path(), place));
        let mut new = vec!["new", "--client", "c", "--id", "a", "--expires", "90d"];
        // A file is looked at once a second; a store is asked.
        let newly = if place.is_file() { STALENESS } else { Duration::ZERO };
        new.extend(if place.is_file() { &["--write", "keys.toml"][..] } else { &["--store"] });
        let (code, first, said) = key(&new);
        assert_eq!(code, Some(0), "{said}");
        let named = if place.is_file() { "keys.toml" } else { "the store (" };
        assert!(first.starts_with("acme_") && said.contains(named), "{said}");
        let first = first.trim();
        for process in [&one, &two] {
            until("200", newly, &process.server, "/", first).await;
        }
        let (code, _, said) = key(&new);
        assert!(code == Some(2) && said.contains("there is a key `a` already"), "{said}");

        let (code, second, said) = key(&["rotate", "a", "--overlap", "0s"]);
        assert_eq!(code, Some(0), "{said}");
        let second = second.trim();
        for process in [&one, &two] {
            until("200", newly, &process.server, "/", second).await;
            until("api_key_expired", STALENESS, &process.server, "/", first).await;
        }
        assert_eq!(key(&["revoke", "a-2"]).0, Some(0));
        for process in [&one, &two] {
            until("api_key_revoked", STALENESS, &process.server, "/", second).await;
        }
        let (code, _, said) = key(&["rotate", "a-2"]);
        assert!(code == Some(2) && said.contains("revoked"), "{said}");
        let (code, _, said) = key(&["revoke", "b"]);
        assert!(code == Some(2) && said.contains("there is no key `b`"), "{said}");

        // A table is imported whole or not at all.
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let table = format!("id,client,digest\nb,c,{}\na,c,{}\n", digest("1"), digest("2"));
        std::fs::write(folder.path().join("keys.csv"), &table).unwrap();
        let (code, _, said) = key(&["import", "--csv", "keys.csv"]);
        assert!(code == Some(1) && said.contains(" of: a (line 3)"), "{said}");
        std::fs::write(folder.path().join("keys.csv"), table.replace("\na,", "\nd,")).unwrap();
        assert_eq!(key(&["import", "--csv", "keys.csv"]).0, Some(0));
        let (code, listed, said) = key(&["list", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let states: Vec<_> = listed["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| {
                format!("{} {}", key["id"].as_str().unwrap(), key["state"].as_str().unwrap())
            })
            .collect();
        assert_eq!(states, ["a expired", "a-2 revoked", "b valid", "d valid"]);
        assert!(!listed.to_string().contains("sha256"));
    }

    // Whoever has no store is told what to write, and an absent server is no riddle.
    let folder = TempDir::new().unwrap();
    let run = |policy: &str, url: &str| {
        std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["key", "new", "--store", "--client", "c", "--policy", "policy.toml"])
            .env("KEYS", url)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run("version = 1\n[api_keys]\n", "");
    assert!(said.contains("names no store of keys") && said.contains("sqlite = "), "{said}");
    let policy = format!("version = 1\n[api_keys]\n{}\n", database.setting());
    let said = run(&policy, "postgres://gate:hunter2@127.0.0.1:1/keys");
    assert!(said.contains("does not answer") && !said.contains("hunter2"), "{said}");
}

/// `tollgate serve`, ended when it is dropped.
struct Process {
    process: Child,
    server: Server,
}

impl Process {
    fn serve(folder: &Path, place: &dyn Place) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["serve", "--policy", "policy.toml", "--listen", "127.0.0.1:0"])
            .env("KEYS", place.url())
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { process, server: Server::at(address, ManualClock::at(0)) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What holds while a store does not answer: who is known goes on, and nobody is told a lie.
async fn others_are_told_to_wait(server: &Server, known: &str) {
    assert_eq!(outcome(&get(server, known).await), "200", "it is known");
    let stranger = NewApiKey::generate("tg").unwrap();
    let start = Instant::now();
    let answer = get(server, stranger.reveal()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "key_source_unavailable".into()));
    assert!(answer.line("retry-after").is_some());
    assert!(!answer.text.contains("hunter2") && !answer.text.contains("127.0.0.1"), "{answer:?}");
    // Far more than any deadline here, far less than for ever.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // Not only in the first moment, while what is in memory is still fresh.
    tokio::time::sleep(STALENESS + Duration::from_millis(500)).await;
    assert_eq!(outcome(&get(server, known).await), "200", "it goes on");
}

#[tokio::test]
async fn while_postgres_is_killed_or_stalled_known_keys_go_on() {
    let mut postgres = Postgres::start();
    let place = Database::new(&postgres, "keys");
    let (setting, url) = (place.setting(), place.url());
    let (gate, server) = open(&setting, &url).await;
    let issued = gate.keys().issue("known", "acme", |key| key).await.unwrap();
    let known = issued.key().reveal();
    assert_eq!(outcome(&get(&server, known).await), "200");

    postgres.stall();
    others_are_told_to_wait(&server, known).await;
    let start = Instant::now();
    let refused = gate.keys().issue("late", "acme", |key| key).await;
    assert!(matches!(refused, Err(KeyStoreError::Unavailable(_))), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    postgres.go_on();
    let stranger = NewApiKey::generate("tg").unwrap();
    until("api_key_unknown", Duration::from_secs(30), &server, "/", stranger.reveal()).await;

    postgres.kill();
    others_are_told_to_wait(&server, known).await;

    // A gate that starts meanwhile opens at once, and says what it cannot know.
    let start = Instant::now();
    let (later, later_server) = open(&setting, &url).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(outcome(&get(&later_server, known).await), "key_source_unavailable");

    postgres.start_again();
    until("200", Duration::from_secs(30), &later_server, "/", known).await;
    until("api_key_unknown", Duration::from_secs(30), &server, "/", stranger.reveal()).await;

    // What changes from then on is heard of as before.
    later.keys().revoke("known").await.unwrap();
    until("api_key_revoked", Duration::from_secs(10), &server, "/", known).await;
}

/// The connection that hears of changes falls silent, and nobody closes it.
#[tokio::test]
async fn changes_count_in_time_where_the_server_stops_telling_of_them() {
    let postgres = Postgres::start();
    let place = Database::new(&postgres, "silent");
    let (gate, server) = with(&place).await;
    let mut keys = Vec::new();
    for id in ["first", "second"] {
        let issued = gate.keys().issue(id, "acme", |key| key).await.unwrap();
        let key = issued.key().reveal().to_owned();
        assert_eq!(outcome(&get(&server, &key).await), "200");
        keys.push(key);
    }
    let follower = || {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'silent' \
                   AND query LIKE '%tollgate_key_changes%' AND pid <> pg_backend_pid()";
        postgres.sql("postgres", sql).unwrap()
    };
    let start = Instant::now();
    while follower().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    postgres.stall_process(&follower());
    place.sql("UPDATE tollgate_api_keys SET revoked = true WHERE id = 'first'");
    until("api_key_revoked", STALENESS, &server, "/", &keys[0]).await;
    assert_eq!(outcome(&get(&server, &keys[1]).await), "200", "the store answers");
    // Whatever became of that connection.
    place.sql("UPDATE tollgate_api_keys SET revoked = true WHERE id = 'second'");
    until("api_key_revoked", STALENESS, &server, "/", &keys[1]).await;
}

/// All of a table or nothing, also where the server dies in the middle of it.
#[tokio::test]
async fn an_import_that_is_cut_off_adds_nothing() {
    let mut postgres = Postgres::start();
    let (setting, url) = {
        let place = Database::new(&postgres, "import");
        (place.setting(), place.url())
    };
    let folder = TempDir::new().unwrap();
    std::fs::write(
        folder.path().join("policy.toml"),
        format!("version = 1\n[api_keys]\n{setting}\n"),
    )
    .unwrap();
    let row = |n: u32| {
        format!("k-{n},acme,{},orders:read orders:write\n", KeyDigest::of(&n.to_be_bytes()))
    };
    let table = "id,client,digest,scopes\n".to_owned() + &(0..3000).map(row).collect::<String>();
    std::fs::write(folder.path().join("keys.csv"), table).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("key").args(arguments).args(["--policy", "policy.toml"]).env("KEYS", &url);
        command.current_dir(folder.path()).stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    assert!(command(&["list"]).status().unwrap().success(), "the tables are there");
    postgres
        .sql(
            "import",
            "CREATE FUNCTION hesitate() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
             CREATE TRIGGER hesitate BEFORE INSERT ON tollgate_api_keys
             FOR EACH ROW WHEN (NEW.id = 'k-2500') EXECUTE FUNCTION hesitate()",
        )
        .unwrap();
    let import = command(&["import", "--csv", "keys.csv"]).spawn().unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let start = Instant::now();
    while postgres.sql("postgres", sleeping).unwrap() != "1" {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came so far");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    postgres.kill();
    let ended = import.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(2) && said.contains("does not answer"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    postgres.start_again();
    let count = |postgres: &Postgres| {
        postgres.sql("import", "SELECT count(*) FROM tollgate_api_keys").unwrap()
    };
    assert_eq!(count(&postgres), "0");
    postgres.sql("import", "DROP TRIGGER hesitate ON tollgate_api_keys").unwrap();
    assert!(command(&["import", "--csv", "keys.csv"]).status().unwrap().success());
    assert_eq!(count(&postgres), "3000");
    // Once more: each is there, and the line of each is said.
    let ended = command(&["import", "--csv", "keys.csv"]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("k-0 (line 2), k-1 (line 3)") && said.contains("2980 more"), "{said}");
}

/// What others may write into the table of SQLite, and its types let pass.
#[tokio::test]
async fn odd_rows_let_nobody_in_and_break_nothing() {
    let place = Sqlite::new();
    let (gate, server) = with(&place).await;
    gate.keys().issue("good", "acme", |key| key).await.unwrap();
    let write = |id: &str, columns: &str, values: &str| {
        let key = NewApiKey::generate("tg").unwrap();
        let digest = key.digest();
        place.sql(&format!(
            "INSERT INTO tollgate_api_keys (id, digest, {columns}) VALUES ({id}, '{digest}', {values})"
        ));
        key.reveal().to_owned()
    };
    for (id, columns, values, said) in [
        ("'far'", "client, not_before", "'acme', 9223372036854775807", "api_key_not_yet_valid"),
        ("'past'", "client, expires", "'acme', -9223372036854775808", "api_key_expired"),
        ("'future'", "client, expires", "'acme', 9223372036854775807", "200"),
        ("'plan'", "client, plan", "'acme', 'no-such-plan'", "200"),
        ("'long'", "client", "hex(zeroblob(1048576))", "api_key_unknown"),
        ("'bell'", "client", "'a' || char(7)", "api_key_unknown"),
        ("'empty'", "client", "''", "api_key_unknown"),
        ("hex(zeroblob(1048576))", "client", "'acme'", "api_key_unknown"),
        ("'a' || char(0) || 'b'", "client", "'acme'", "api_key_unknown"),
        ("'numbers'", "client, scopes", "'acme', '[1,2]'", "api_key_unknown"),
        ("'null'", "client, scopes", "'acme', '[null]'", "api_key_unknown"),
        ("'deep'", "client, roles", "'acme', '[[\"a\"]]'", "api_key_unknown"),
        ("'where'", "client, addresses", "'acme', '[\"everywhere\"]'", "api_key_unknown"),
    ] {
        let key = write(id, columns, values);
        assert_eq!(outcome(&get(&server, &key).await), said, "{id} {values:.40}");
    }
    let listed = gate.keys().list(None, 100).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|key| key.id()).collect();
    assert_eq!(ids, ["far", "future", "good", "past", "plan"]);
    let error = gate.keys().find("long").await.unwrap_err();
    assert!(format!("{error:?}").len() < 1000, "{error:?}");
}

#[tokio::test]
async fn a_connection_is_protected_as_the_url_says() {
    let mut postgres = Postgres::start();
    postgres.database("keys");
    let port = postgres.port;
    let write = async |host: &str, query: &str, id: &str| {
        let url = format!("postgres://gate:hunter2@{host}:{port}/keys?{query}");
        let (gate, _server) = open("store = { postgres_env = \"KEYS\" }", &url).await;
        let issued = gate.keys().issue(id, "acme", |key| key).await;
        issued.map(drop).map_err(|error| match error {
            KeyStoreError::Unavailable(cause) => cause.to_string(),
            other => panic!("{other}"),
        })
    };
    assert_eq!(write("127.0.0.1", "", "plain").await, Ok(()));
    let none = write("127.0.0.1", "sslmode=require", "none").await.unwrap_err();
    assert!(none.contains("TLS"), "{none}");

    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let ca = postgres.start_again_with_tls(&certificate, &key);
    let ca = format!("sslrootcert={}", ca.display());
    for (host, query, id) in [
        ("127.0.0.1", "sslmode=disable", "off"),
        ("127.0.0.1", "", "offered"),
        ("localhost", ca.as_str(), "file"),
        ("localhost", &format!("sslmode=verify-full&{ca}"), "full"),
    ] {
        assert_eq!(write(host, query, id).await, Ok(()), "{host} {query}");
    }
    for (host, query) in [
        ("localhost", "sslmode=require"),
        ("127.0.0.1", &*format!("sslmode=require&{ca}")),
        ("127.0.0.1", &*format!("sslmode=verify-ca&{ca}")),
    ] {
        let refused = write(host, query, "never").await.unwrap_err();
        assert!(refused.contains("certificate"), "{host} {query}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let ids = postgres.sql("keys", "SELECT string_agg(id, ' ' ORDER BY id) FROM tollgate_api_keys");
    assert_eq!(ids.unwrap(), "file full off offered plain");
}

#[tokio::test]
async fn while_the_file_of_sqlite_is_gone_known_keys_go_on() {
    let place = Sqlite::new();
    let (gate, server) = with(&place).await;
    let issued = gate.keys().issue("known", "acme", |key| key).await.unwrap();
    let known = issued.key().reveal();
    assert_eq!(outcome(&get(&server, known).await), "200");
    // Checkpointed, so that the file alone holds all.
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let away = place.0.path().join("away");
    std::fs::rename(place.file(), &away).unwrap();
    others_are_told_to_wait(&server, known).await;
    assert!(!Path::new(&place.file()).exists(), "no empty one takes its place");

    // A restored file is another file.
    std::fs::copy(&away, place.file()).unwrap();
    let stranger = NewApiKey::generate("tg").unwrap();
    until("api_key_unknown", Duration::from_secs(30), &server, "/", stranger.reveal()).await;
    gate.keys().revoke("known").await.unwrap();
    assert_eq!(outcome(&get(&server, known).await), "api_key_revoked");
}

#[test]
fn the_page_holds_the_tables_as_they_are_created() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let page = read("docs/key-stores.md");
    for store in ["sqlite", "postgres"] {
        assert!(
            page.contains(&read(&format!("src/verify/key_store/{store}/schema.sql"))),
            "{store}"
        );
    }
}

/// An application in front of a store, called from addresses of its own choice.
#[derive(Clone)]
struct Called(Router);

impl Called {
    async fn of(place: &dyn Place, settings: &str) -> (Tollgate, Self) {
        let policy = format!(
            "version = 1\n[api_keys]\n{}\n{settings}\n[[rule]]\nname = \"all\"\npath = \"/\"\n",
            place.setting()
        );
        let gate = Tollgate::builder().policy(policy).secret("KEYS", place.url().into_bytes());
        let gate = gate.build().await.unwrap();
        let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
        (gate, Self(app))
    }

    /// The status of a request with this key, from an address of this number.
    async fn send(&self, key: &str, address: u64) -> u16 {
        let mut request = Request::new(axum::body::Body::empty());
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        let address = Ipv6Addr::from(u128::from(address) << 64 | 1);
        let peer = SocketAddr::from((address, 1));
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        self.0.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// The same, asked again while it cannot be decided: how many find their turn at once is a matter of how
    /// fast the machine is.
    async fn send_again(&self, key: &str, address: u64) -> u16 {
        for _ in 0..200 {
            let status = self.send(key, address).await;
            if status != 503 {
                return status;
            }
        }
        503
    }

    /// Invented keys, from so many senders without end; each has the address that `address` makes of its
    /// number and of how many it has sent.
    fn flood(&self, senders: u64, address: fn(u64, u64) -> u64) -> Flood {
        let refused = Arc::new(AtomicU64::new(0));
        let send = |sender| {
            let (app, refused) = (self.clone(), refused.clone());
            async move {
                for sent in 0.. {
                    let key = NewApiKey::generate("tg").unwrap();
                    let status = app.send(key.reveal(), address(sender, sent)).await;
                    assert_ne!(status, 200, "an invented key");
                    refused.fetch_add(u64::from(status == 503), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        };
        let tasks = (0..senders).map(|sender| tokio::spawn(send(sender))).collect();
        Flood { tasks, refused }
    }
}

/// It ends when it is dropped.
struct Flood {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// How many of its requests found no turn.
    refused: Arc<AtomicU64>,
}

impl Flood {
    /// Until it is more than the store is asked.
    async fn is_on(&self) {
        while self.refused.load(Ordering::Relaxed) < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// More keys than are remembered, each of which was used before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_flood_keys_that_were_good_before_are_admitted() {
    const KEYS: usize = 600;
    let postgres = Postgres::start();
    let (sqlite, database) = (Sqlite::new(), Database::new(&postgres, "flood"));
    let places: [&dyn Place; 2] = [&sqlite, &database];
    for place in places {
        let (gate, app) =
            Called::of(place, "[api_keys.cache]\nknown = 400\nlook_ups = 100\n").await;
        let mut keys = Vec::new();
        for number in 0..KEYS {
            let issued = gate.keys().issue(format!("k-{number}"), "acme", |key| key).await;
            keys.push(issued.unwrap().key().reveal().to_owned());
        }
        // Each from an address that nothing is known of, so that no address has to wait.
        let flood = app.flood(64, |sender, sent| sender << 32 | sent);
        flood.is_on().await;
        let mut answers = BTreeMap::<u16, usize>::new();
        for key in &keys {
            *answers.entry(app.send_again(key, u64::MAX).await).or_default() += 1;
        }
        assert_eq!(answers, BTreeMap::from([(200, KEYS)]), "{}", place.setting());
        let before = flood.refused.load(Ordering::Relaxed);
        assert!(before > 50, "the flood went on");
    }
}

/// Few addresses, and keys that nothing is known of, from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_few_addresses_leaves_turns_to_others() {
    const KEYS: usize = 100;
    let postgres = Postgres::start();
    let (sqlite, database) = (Sqlite::new(), Database::new(&postgres, "flood"));
    let places: [&dyn Place; 2] = [&sqlite, &database];
    for place in places {
        // The addresses would have to wait: that is another defence.
        let off = "[failures]\nenabled = false\n";
        let (elsewhere, _) = Called::of(place, off).await;
        let mut keys = Vec::new();
        for number in 0..KEYS {
            let issued = elsewhere.keys().issue(format!("k-{number}"), "acme", |key| key).await;
            keys.push(issued.unwrap().key().reveal().to_owned());
        }
        let (_gate, app) = Called::of(place, off).await;
        // Ten addresses, with a hundred requests each under way.
        let flood = app.flood(1000, |sender, _| sender % 10);
        flood.is_on().await;
        let mut answers = BTreeMap::<u16, usize>::new();
        for (key, address) in keys.iter().zip(1000..) {
            *answers.entry(app.send_again(key, address).await).or_default() += 1;
        }
        assert_eq!(answers, BTreeMap::from([(200, KEYS)]), "{}", place.setting());
    }
}

/// On demand, with its numbers: a million keys whose check digits are right, each from an address of its
/// own, so that no address has to wait.
///
/// ```text
/// cargo test --all-features --test promises -- --ignored --nocapture a_flood_of_unknown_keys
/// ```
#[ignore = "it takes minutes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_costs_postgres_a_bounded_number_of_queries() {
    const MOST_PER_SECOND: u64 = 1000;
    let postgres = Postgres::start();
    let (gate, app) = Called::of(&Database::new(&postgres, "flood"), "").await;
    let mut good = Vec::new();
    for number in 0..20 {
        let issued = gate.keys().issue(format!("good-{number}"), "acme", |key| key).await.unwrap();
        good.push(issued.key().reveal().to_owned());
    }
    // By the server's own count: every look-up is a transaction.
    let queries = || {
        let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'flood'";
        postgres.sql("postgres", sql).unwrap().parse::<u64>().unwrap()
    };
    let all: u64 = std::env::var("FLOOD").map_or(1_000_000, |count| count.parse().unwrap());
    let (before, start) = (queries(), Instant::now());
    let next = Arc::new(AtomicU64::new(1));
    // More than may wait, so that the next one never waits for an answer.
    let tasks: Vec<_> = (0..2000)
        .map(|_| {
            let (app, next) = (app.clone(), next.clone());
            tokio::spawn(async move {
                let mut answers = BTreeMap::<u16, u64>::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > all {
                        return answers;
                    }
                    let key = NewApiKey::generate("tg").unwrap();
                    *answers.entry(app.send(key.reveal(), number).await).or_default() += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let (mut served, mut slowest) = (0_u64, Duration::ZERO);
    while next.load(Ordering::Relaxed) <= all {
        for key in &good {
            let asked = Instant::now();
            assert_eq!(app.send(key, u64::MAX).await, 200, "a good key");
            slowest = slowest.max(asked.elapsed());
            served += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answers = BTreeMap::<u16, u64>::new();
    for task in tasks {
        for (status, count) in task.await.unwrap() {
            *answers.entry(status).or_default() += count;
        }
    }
    let took = start.elapsed();
    // The server counts with a delay.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = queries() - before;
    let per_second = asked as f64 / took.as_secs_f64();
    println!(
        "{all} unknown keys in {:.1} s: {asked} queries, {per_second:.0} a second; answers by status: {answers:?}; \
         {served} requests with good keys, all 200, the slowest in {slowest:?}",
        took.as_secs_f64()
    );
    // What is saved up in a second, the looks for changes, and the questions of this test come on top.
    let seconds = took.as_secs() + 4;
    assert!(asked <= MOST_PER_SECOND * seconds + 10 * seconds, "{asked} in {seconds} s");
    assert_eq!(answers.get(&200), None);
}
