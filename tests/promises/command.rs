//! The `tollgate` command, run as an operator runs it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::support::{Server, issuer, key, root};

fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    let command =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).current_dir(folder).output();
    command.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder(policy: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    folder
}

/// `tollgate serve`, stopped when it is dropped.
struct Serving {
    process: Child,
    server: Server,
}

impl Serving {
    fn start(folder: &Path) -> Self {
        Self::start_logging(folder, "info")
    }

    fn start_logging(folder: &Path, filter: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["serve", "--policy", "policy.toml", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .env("RUST_LOG", filter)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { process, server: Server::at(address, tollgate::ManualClock::at(0)) }
    }

    /// Stops it, and returns what it logged.
    fn stop(mut self) -> String {
        self.process.kill().unwrap();
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.process.stderr.take().unwrap(), &mut log).unwrap();
        log
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn check_answers_with_its_exit_code() {
    let good = folder("version = 1\n[[rule]]\nname = \"a\"\npath = \"/\"\npublic = true\n");
    let questionable = folder("version = 1\n");
    let faulty = folder("version = 2\n");
    let code = |folder: &TempDir, arguments: &[&str]| {
        let arguments = [&["check", "--policy", "policy.toml"], arguments].concat();
        tollgate(folder.path(), &arguments).status.code()
    };
    assert_eq!((code(&good, &[]), code(&good, &["--strict"])), (Some(0), Some(0)));
    assert_eq!((code(&questionable, &[]), code(&questionable, &["--strict"])), (Some(0), Some(1)));
    assert_eq!((code(&faulty, &[]), code(&faulty, &["--json"])), (Some(1), Some(1)));
    assert_eq!(tollgate(good.path(), &["check", "--policy", "absent.toml"]).status.code(), Some(2));
    assert_eq!(tollgate(good.path(), &["chekc"]).status.code(), Some(2));
    let report = tollgate(faulty.path(), &["check", "--policy", "policy.toml", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["faults"][0]["line"], 1);
    assert_eq!(report["fine"], false);
}

#[test]
fn the_policy_of_the_example_is_fine() {
    let report = tollgate(&root(), &["check", "--strict"]);
    assert_eq!(text(&report.stdout), "config/tollgate.toml: fine (0 faults, 0 warnings)\n");
}

#[test]
fn schemas_are_written_for_one_api_or_for_any() {
    let good = folder(
        "version = 1\n[denial]\ndocs = \"https://developer.example.com/errors\"\n\
         [[denial.code]]\ncode = \"order_locked\"\ntitle = \"Order locked\"\n\
         category = \"authorization\"\nremedy = \"Wait.\"\n\
         [[rule]]\nname = \"read-orders\"\npath = \"/orders\"\npublic = true\n",
    );
    for (format, of_any, of_this) in [
        ("json-schema", "\"token_expired\"", "\"order_locked\""),
        ("openapi", "TokenExpiredDenial", "\"operationId\": \"read-orders-get\""),
        ("typescript", "TokenExpiredDenial", "OrderLockedDenial"),
        ("markdown", "## token_expired", "## Handbook"),
    ] {
        let any = text(&tollgate(good.path(), &["schema", "--format", format]).stdout);
        assert!(any.contains(of_any) && !any.contains(of_this), "{format}");
        let arguments =
            ["schema", "--format", format, "--policy", "policy.toml", "--out", "written"];
        let output = tollgate(good.path(), &arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
        let written = fs::read_to_string(good.path().join("written")).unwrap();
        assert!(written.contains(of_any) && written.contains(of_this), "{format}");
        assert!(written.contains("https://developer.example.com/errors") || format == "typescript");
    }
    let schema = |folder: &TempDir, policy: &str, out: &str| {
        let arguments = ["schema", "--format", "json-schema", "--policy", policy, "--out", out];
        tollgate(folder.path(), &arguments)
    };
    assert_eq!(schema(&good, "absent.toml", "x").status.code(), Some(2));
    assert_eq!(schema(&good, "policy.toml", "no/such/folder").status.code(), Some(2));
    let faulty = folder("version = 2\n");
    let refused = schema(&faulty, "policy.toml", "x");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("version 2 is unknown"));
    assert!(!faulty.path().join("x").exists());
    assert_eq!(tollgate(good.path(), &["schema", "--format", "yaml"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_works() {
    let policy = format!(
        "version = 1\n[api_keys]\nprefix = \"acme\"\nfile = \"keys.toml\"\n{}\n[[rule]]\nname = \"a\"\npath = \"/\"\nscopes = [\"x:y\"]\n",
        issuer()
    );
    let folder = folder(&policy);
    let new = |client: &str, write: &str| {
        let arguments = [
            "key",
            "new",
            "--policy",
            "policy.toml",
            "--client",
            client,
            "--scope",
            "x:y",
            "--plan",
            "gold",
            "--expires",
            "90d",
            "--write",
            write,
        ];
        let output = tollgate(folder.path(), &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let first = new("one \"quoted\"", "keys.toml");
    let second = new("two", "policy.toml");
    for key in [&first, &second] {
        assert!(key.starts_with("acme_") && key.len() == 5 + 49, "{key}");
        for file in ["keys.toml", "policy.toml"] {
            assert!(!fs::read_to_string(folder.path().join(file)).unwrap().contains(key.as_str()));
        }
    }
    let serving = Serving::start(folder.path());
    for (key, client) in [(&first, "one \"quoted\""), (&second, "two")] {
        let body = serving.server.get("/", &[("x-api-key", key)]).await.json();
        assert_eq!(
            (&body["client"], &body["plan"], &body["scopes"][0]),
            (&client.into(), &"gold".into(), &"x:y".into())
        );
    }
    serving.server.get("/", &[("x-api-key", &first[..20])]).await;
    let log = serving.stop();
    assert!(log.contains("api_key_malformed"), "{log}");
    assert!(!log.contains(&first[..20]) && !log.contains(&second), "{log}");

    let shown = text(
        &tollgate(folder.path(), &["key", "new", "--policy", "policy.toml", "--client", "three"])
            .stdout,
    );
    let (key, entry) = shown.split_once('\n').unwrap();
    assert!(key.starts_with("acme_") && entry.contains("[[api_keys.key]]") && !entry.contains(key));
    for wrong in
        [&["--expires", "soon"][..], &["--id", "a b"], &["--plan", "p q"], &["--client", ""]]
    {
        let before = fs::read_to_string(folder.path().join("keys.toml")).unwrap();
        let mut arguments = vec!["key", "new", "--write", "keys.toml"];
        if wrong[0] != "--client" {
            arguments.extend(["--client", "c"]);
        }
        arguments.extend(wrong);
        assert_eq!(tollgate(folder.path(), &arguments).status.code(), Some(2), "{wrong:?}");
        assert_eq!(fs::read_to_string(folder.path().join("keys.toml")).unwrap(), before);
    }
}

/// What is printed for one of them is often pasted into the other.
#[tokio::test]
async fn both_forms_of_a_key_are_taken_in_policies_and_in_key_files() {
    let rule = "[[rule]]\nname = \"a\"\npath = \"/\"\n";
    let entries: Vec<(String, String)> =
        ["a", "b", "c", "d"].into_iter().map(|id| key(id, id, "")).collect();
    let plain = |entry: &str| entry.replace("[[api_keys.key]]", "[[key]]");
    let policy = format!(
        "version = 1\n{}[api_keys]\nfile = \"keys.toml\"\n{}{rule}",
        plain(&entries[0].1),
        entries[1].1
    );
    let folder = folder(&policy);
    let keys = folder.path().join("keys.toml");
    fs::write(&keys, format!("{}{}", plain(&entries[2].1), entries[3].1)).unwrap();
    let more = ["key", "new", "--policy=policy.toml", "--client=e", "--id"];
    for id in ["a", "c", "d"] {
        let write = if id == "a" { "--write=policy.toml" } else { "--write=keys.toml" };
        let taken = tollgate(folder.path(), &[&more[..], &[id, write]].concat());
        assert_eq!(taken.status.code(), Some(2), "{id}");
    }
    let new = tollgate(folder.path(), &[&more[..], &["e", "--write=keys.toml"]].concat());
    assert!(fs::read_to_string(&keys).unwrap().contains("[[key]]\nid      = \"e\""));

    let serving = Serving::start(folder.path());
    let fifth = (text(&new.stdout).trim().to_owned(), String::new());
    for (key, client) in entries.iter().chain([&fifth]).zip(["a", "b", "c", "d", "e"]) {
        let body = serving.server.get("/", &[("x-api-key", &key.0)]).await.json();
        assert_eq!(body["client"], client);
    }

    let alone = self::folder(&format!("version = 1\n{}{rule}", plain(&entries[0].1)));
    let serving = Serving::start(alone.path());
    let body = serving.server.get("/", &[("x-api-key", &entries[0].0)]).await.json();
    assert_eq!(body["client"], "a", "without [api_keys]");
}

#[tokio::test]
async fn a_minted_token_works() {
    let folder = folder(&format!(
        "version = 1\n{}\n[[rule]]\nname = \"a\"\npath = \"/\"\nscopes = [\"x:y\"]\nclaims = {{ tenant = \"acme\" }}\n",
        issuer()
    ));
    let mint = |arguments: &[&str]| {
        let arguments = [
            &[
                "token",
                "new",
                "--policy",
                "policy.toml",
                "--issuer",
                "main",
                "--client",
                "bob",
                "--scope",
                "x:y",
            ],
            arguments,
        ]
        .concat();
        tollgate(folder.path(), &arguments)
    };
    let token =
        text(&mint(&["--claim", "tenant=acme", "--expires", "1h"]).stdout).trim().to_owned();
    let expired = text(&mint(&["--claim", "exp=1000"]).stdout).trim().to_owned();
    let serving = Serving::start(folder.path());
    let bearer = |token: &str| format!("Bearer {token}");
    let body = serving.server.get("/", &[("authorization", &bearer(&token))]).await.json();
    assert_eq!((&body["client"], &body["credential"]), (&"bob".into(), &"token".into()));
    assert_eq!(
        serving.server.get("/", &[("authorization", &bearer(&expired))]).await.code(),
        "token_expired"
    );
    let log = serving.stop();
    assert!(log.contains("token_expired") && !log.contains(&expired), "{log}");
    let unknown = tollgate(
        folder.path(),
        &["token", "new", "--policy", "policy.toml", "--issuer", "mian", "--client", "bob"],
    );
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test]
async fn tokens_are_minted_with_private_keys_of_every_algorithm() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let public = |der: PublicKeyX509Der<'_>| pem("PUBLIC KEY", der.as_ref());
    let private = |der: &[u8]| pem("PRIVATE KEY", der);
    for (algorithms, private, public) in [
        (
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..],
            private(rsa_private.as_ref()),
            public(rsa.public_key().as_der().unwrap()),
        ),
        (
            &["ES256"],
            private(p256.to_pkcs8v1().unwrap().as_ref()),
            public(p256.public_key().as_der().unwrap()),
        ),
        (
            &["ES384"],
            private(p384.to_pkcs8v1().unwrap().as_ref()),
            public(p384.public_key().as_der().unwrap()),
        ),
        (
            &["EdDSA"],
            private(ed25519.to_pkcs8v1().unwrap().as_ref()),
            public(ed25519.public_key().as_der().unwrap()),
        ),
    ] {
        let folder = folder(&format!(
            "version = 1\n[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\n\
             audiences = [\"https://api.example.com\"]\nalgorithms = {algorithms:?}\n\
             keys = {{ pem_file = \"public.pem\" }}\n[[rule]]\nname = \"all\"\npath = \"/\"\n"
        ));
        fs::write(folder.path().join("private.pem"), private).unwrap();
        fs::write(folder.path().join("public.pem"), public).unwrap();
        let serving = Serving::start(folder.path());
        for algorithm in algorithms {
            let output = tollgate(
                folder.path(),
                &[
                    "token",
                    "new",
                    "--policy=policy.toml",
                    "--issuer=main",
                    "--client=bob",
                    "--key-file=private.pem",
                    "--algorithm",
                    algorithm,
                ],
            );
            assert!(output.status.success(), "{algorithm}: {}", text(&output.stderr));
            let bearer = format!("Bearer {}", text(&output.stdout).trim());
            let body = serving.server.get("/", &[("authorization", &bearer)]).await.json();
            assert_eq!(body["client"], "bob", "{algorithm}: {body}");
        }
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn the_trial_server_tells_how_it_judged() {
    let folder = folder(
        "version = 1\n[cors]\npreflights = \"pass\"\n\
         [[limit]]\nname = \"few\"\nrate = \"5/minute\"\nper = [\"address\"]\n\
         [[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\nlimits = [\"few\"]\n\
         [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\n",
    );
    let serving = Serving::start(folder.path());
    let server = &serving.server;
    let open = server.get("/open", &[]).await;
    assert_eq!(
        open.json(),
        serde_json::json!({"scopes": [], "rule": "open", "limits": [{"limit": "few", "remaining": 4}]})
    );
    assert_eq!(server.get("/dark", &[]).await.json()["shadow"], "credentials_missing");
    let asked = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let preflight = async |path| server.call(http::Method::OPTIONS, path, &asked).await;
    for path in ["/open", "/dark"] {
        assert_eq!(preflight(path).await.status.as_u16(), 204, "{path}");
    }
    assert_eq!(preflight("/nowhere").await.code(), "no_matching_rule");
    assert_eq!(server.get_http2("/open", &[]).await.json()["rule"], "open");
}

const OPEN: &str = "version = 1\n[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\n\
    [[rule]]\nname = \"dark\"\npath = \"/dark\"\nmode = \"shadow\"\n";

#[tokio::test]
async fn no_query_is_logged_however_much_is() {
    let folder = folder(OPEN);
    let serving = Serving::start_logging(folder.path(), "tollgate=trace,tower_http=trace");
    let paths = ["/open", "/dark", "/closed", "//open", "/open/%2e%2e"];
    for path in paths {
        let path = format!("{path}?access_token=planted-secret");
        serving.server.get(&path, &[]).await;
        serving.server.get_http2(&path, &[]).await;
    }
    let log = serving.stop();
    assert_eq!(log.matches("started processing request").count(), 2 * paths.len(), "{log}");
    assert!(log.contains("path=\"/open\"") && log.contains("no_matching_rule"), "{log}");
    assert!(!log.contains("planted-secret") && !log.contains("access_token"), "{log}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_signal_to_stop_ends_the_trial_server_beside_open_connections() {
    for signal in ["-TERM", "-INT"] {
        let folder = folder(OPEN);
        let mut serving = Serving::start(folder.path());
        // The client keeps its connections; the third one never says what it wants.
        assert_eq!(serving.server.get("/open", &[]).await.status, 200);
        assert_eq!(serving.server.get_http2("/open", &[]).await.status, 200);
        let _silent = std::net::TcpStream::connect(serving.server.address).unwrap();
        let id = serving.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(serving.process.wait().unwrap().code(), Some(0), "{signal}");
    }
}

/// The lines of the log up to the first that holds `what`, or a failure when the log ends.
#[cfg(unix)]
fn log_until(log: &mut impl std::io::BufRead, what: &str) -> String {
    let mut text = String::new();
    while !text.contains(what) {
        assert!(log.read_line(&mut text).unwrap() > 0, "no `{what}` in the log:\n{text}");
    }
    text
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_trial_server_reads_its_policy_again_at_sighup() {
    let folder = folder(OPEN);
    let mut serving = Serving::start(folder.path());
    let mut log = BufReader::new(serving.process.stderr.take().unwrap());
    let replace = |text: &str| {
        fs::write(folder.path().join("new"), text).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("policy.toml")).unwrap();
    };
    let id = serving.process.id().to_string();
    let hang_up = || assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let status = async |path: &str| serving.server.get(path, &[]).await.status;
    assert_eq!(status("/more").await, 403);

    // The thread of the gate may be the first to see a change: it says the same.
    replace(&format!("{OPEN}[[rule]]\nname = \"more\"\npath = \"/more\"\npublic = true\n"));
    hang_up();
    log_until(&mut log, "rule `more` added");
    assert_eq!(status("/more").await, 200);

    replace("version = 1\nodd = true\n");
    hang_up();
    let said = log_until(&mut log, "the policy is refused: 1 fault");
    assert!(said.contains("SIGHUP: the policy is read again"), "{said}");
    assert!(said.contains("the one before stays in force"), "{said}");
    assert!(said.contains("policy.toml:2:1: unknown key `odd`"), "{said}");
    assert_eq!(status("/more").await, 200);

    replace(OPEN);
    hang_up();
    log_until(&mut log, "rule `more` removed");
    assert_eq!(status("/more").await, 403);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["schema", "--format", "markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn pages_that_an_earlier_policy_left_are_named() {
    let folder = folder("version = 1\n[[rule]]\nname = \"all\"\npath = \"/a\"\npublic = true\n");
    let write = |more: &[&str]| {
        let arguments = [&["schema", "--format", "html", "--out", "site"], more].concat();
        let output = tollgate(folder.path(), &arguments);
        assert!(output.status.success());
        text(&output.stderr)
    };
    let first = write(&["--policy", "policy.toml"]);
    assert!(first.contains("files were written to site") && !first.contains("handbook"), "{first}");
    let second = write(&[]);
    assert!(second.contains("not written now, but there: handbook.html"), "{second}");
}

#[test]
fn documents_are_made_without_the_secrets_of_the_server() {
    let issuer = issuer().replace("TOLLGATE_TEST_SECRET", "TOLLGATE_TEST_ABSENT");
    let folder = folder(&format!(
        "version = 1\n{issuer}[[rule]]\nname = \"all\"\npath = \"/things\"\nscopes = [\"read\"]\n"
    ));
    let run =
        |verb: &[&str]| tollgate(folder.path(), &[verb, &["--policy", "policy.toml"]].concat());
    let document = run(&["schema", "--format", "openapi"]);
    assert_eq!(document.status.code(), Some(0), "{}", text(&document.stderr));
    assert!(text(&document.stdout).contains("\"BearerToken\""));
    assert_eq!(run(&["check"]).status.code(), Some(1), "a server needs them");
}

/// Runs the command, and returns its exit status with what it wrote to both outputs.
fn outcome(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tollgate(folder, arguments);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

const FINE: &str = "version = 1\n[[rule]]\nname = \"a\"\npath = \"/a\"\npublic = true\n";

#[test]
fn what_cannot_be_read_is_named_with_the_reason() {
    let folder = folder(FINE);
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    write("latin.toml", b"version = 1\n# caf\xe9\n");
    let utf16 = FINE.encode_utf16().flat_map(u16::to_le_bytes);
    write("utf16.toml", &[0xff, 0xfe].into_iter().chain(utf16).collect::<Vec<_>>());
    fs::create_dir(folder.path().join("directory")).unwrap();
    let missing = "the file does not exist";
    let verbs: &[&[&str]] = &[
        &["check"],
        &["serve", "--listen", "127.0.0.1:0"],
        &["schema", "--format", "openapi"],
        &["token", "new", "--issuer", "main", "--client", "c"],
        &["key", "list"],
        &["key", "revoke", "k"],
        &["key", "rotate", "k"],
        &["key", "new", "--client", "c"],
    ];
    for verb in verbs {
        for (file, why) in [
            ("none.toml", missing),
            ("directory", "it is a directory, not a file"),
            ("latin.toml", "UTF-8"),
            ("utf16.toml", "UTF-8"),
        ] {
            let arguments = [*verb, &["--policy", file]].concat();
            let (status, told) = outcome(folder.path(), &arguments);
            assert_eq!(status, Some(2), "{arguments:?}: {told}");
            assert!(told.starts_with("error: cannot read "), "{arguments:?}: {told}");
            assert!(
                told.contains(&format!("`{file}`: ")) && told.contains(why),
                "{arguments:?}: {told}"
            );
            assert!(!told.contains("os error"), "{arguments:?}: {told}");
        }
    }
    let (_, told) = outcome(folder.path(), &["check", "--policy", "latin.toml"]);
    assert!(told.contains("line 2 is not UTF-8; save the file as UTF-8"), "{told}");
    let (_, told) = outcome(folder.path(), &["check", "--policy", "utf16.toml"]);
    assert!(told.contains("it is UTF-16; save it as UTF-8"), "{told}");
    // The policy that is looked for where none is named.
    for verb in [&["check"][..], &["key", "list"]] {
        let (status, told) = outcome(folder.path(), verb);
        assert_eq!(status, Some(2));
        assert!(told.contains(missing) && told.contains("`--policy FILE`"), "{told}");
    }
    for arguments in [
        &["key", "import", "--csv", "none.csv", "--policy", "policy.toml"][..],
        &["schema", "--format", "html", "--out", "policy.toml"],
        &["schema", "--format", "openapi", "--out", "none/openapi.json"],
        &["schema", "--format", "openapi", "--out", "directory"],
        &["key", "new", "--client", "c", "--write", "none/keys.toml"],
    ] {
        let (status, told) = outcome(folder.path(), arguments);
        assert_eq!(status, Some(2), "{told}");
        assert!(told.starts_with("error: cannot ") && !told.contains("os error"), "{told}");
    }
}

#[test]
fn bad_usage_says_what_to_write() {
    let folder = folder(FINE);
    for (arguments, expected) in [
        (&["chek"][..], "'check'"),
        (&["check", "--polcy", "p.toml"], "'--policy'"),
        (&["check", "policy.toml"], "'--policy policy.toml'"),
        (&["serve", "policy.toml"], "'--policy policy.toml'"),
        (&["serve", "--listen", "localhost:80"], "`127.0.0.1:8080`, `[::1]:8080`"),
        (&["serve", "--listen", "8080"], "`127.0.0.1:8080`, `[::1]:8080`"),
        (&["key", "new", "--client", "c", "--expires", "90"], "`90d`"),
        (&["key", "new", "--client", "c", "--expires", "0d"], "would expire at once"),
        (&["key", "new", "--client", "c", "--expires", "999ms"], "would expire at once"),
        (&["key", "rotate", "k", "--expires", "0s"], "would expire at once"),
        (&["key", "revoke", "k", "--policy", "policy.toml"], "key list --policy policy.toml`"),
    ] {
        let (status, told) = outcome(folder.path(), arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    let (status, help) = outcome(folder.path(), &["--help"]);
    assert_eq!(status, Some(0));
    assert!(help.contains("0 fine, 1 the policy is refused, 2 bad usage"), "{help}");
}

#[test]
fn ids_that_are_made_from_clients_can_be_named() {
    let folder = folder(FINE);
    for (client, begin) in [
        ("billing", "billing-"),
        ("ä", "key-"),
        ("--force", "force-"),
        ("Müller & Söhne", "M-ller---S-hne-"),
        ("Zoë", "Zo-"),
    ] {
        let arguments =
            ["key", "new", "--policy", "policy.toml", "--write", "policy.toml", "--json"];
        let output =
            tollgate(folder.path(), &[&arguments[..], &[&format!("--client={client}")]].concat());
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with(begin) && id.len() == begin.len() + 8, "{client}: {id}");
        let (status, told) =
            outcome(folder.path(), &["key", "revoke", id, "--policy", "policy.toml"]);
        assert_eq!(status, Some(0), "{client}: {told}");
    }
}

/// What a reader of the outputs does is no fault of the command: it never panics (status 101).
#[test]
fn nobody_has_to_read_what_is_written() {
    let folder = folder(FINE);
    for (arguments, expected) in [
        ("check --policy policy.toml", 0),
        ("check --policy none.toml", 2),
        ("key new --client c --write keys.toml", 2),
        ("key new --client c", 0),
        ("key revoke none --policy policy.toml", 2),
        ("schema --format html --out site", 0),
        ("schema --format html", 0),
        ("--help", 0),
        ("chek", 2),
        ("serve --policy none.toml", 2),
    ] {
        // The reader has gone before anything is written.
        let nobody = || Stdio::from(std::io::pipe().unwrap().1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(arguments.split(' ')).current_dir(folder.path());
        let status = command.stdout(nobody()).stderr(nobody()).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments}");
    }
}

/// A key that nobody could see is not stored: it could never be shown again.
#[cfg(target_os = "linux")]
#[test]
fn a_key_that_cannot_be_shown_is_not_stored() {
    let (_, entry) = key("old", "c", "");
    let policy = format!("version = 1\n[api_keys]\nstore = {{ sqlite = \"keys.db\" }}\n{entry}");
    let folder = folder(&policy);
    let at = |name: &str| folder.path().join(name);
    let stored = || outcome(folder.path(), &["key", "list", "--policy", "policy.toml"]);
    let new = ["key", "new", "--client", "c", "--id", "k", "--policy", "policy.toml", "--store"];
    assert_eq!(outcome(folder.path(), &new).0, Some(0));
    let before = (fs::read_to_string(at("policy.toml")).unwrap(), stored());
    for arguments in [
        "key new --client c --write keys.toml",
        "key new --client c --write policy.toml",
        "key new --client c --policy policy.toml --store",
        "key rotate old --policy policy.toml",
        "key rotate k --policy policy.toml",
    ] {
        for json in [false, true] {
            let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
            let closed = || Stdio::from(std::io::pipe().unwrap().1);
            for out in [full(), closed()] {
                let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
                command.args(arguments.split(' ')).args(json.then_some("--json"));
                let output = command.current_dir(folder.path()).stdout(out).output().unwrap();
                let told = text(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{arguments}: {told}");
                assert!(told.contains("nothing was stored\nhelp: repeat the command"), "{told}");
                let now = (fs::read_to_string(at("policy.toml")).unwrap(), stored());
                assert_eq!(now, before, "{arguments}");
                assert!(!at("keys.toml").exists(), "{arguments}");
            }
        }
    }
}

/// A key that was shown and could not be stored is worth nothing, and the message says so.
#[cfg(unix)]
#[test]
fn a_key_that_was_not_stored_is_to_be_discarded() {
    let (_, entry) = key("old", "c", "");
    let folder = folder(&format!("version = 1\n[api_keys]\n{entry}"));
    // No file of a name so long can be made beside it.
    let long = format!("{}.toml", "k".repeat(245));
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&long, link).unwrap();
    let new = ["key", "new", "--client", "c", "--write", "link.toml"];
    let output = tollgate(folder.path(), &new);
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(shown.starts_with("tg_"), "{shown}");
    assert!(told.starts_with("error: cannot write `link.toml`: "), "{told}");
    assert!(told.contains("help: the key above was not stored: discard it"), "{told}");
}

#[test]
fn check_says_in_json_what_cannot_be_read() {
    let folder = folder(FINE);
    fs::create_dir(folder.path().join("directory")).unwrap();
    fs::write(folder.path().join("latin.toml"), b"version = 1\n# caf\xe9\n").unwrap();
    for (file, why) in [
        ("none.toml", "the file does not exist"),
        ("directory", "it is a directory, not a file"),
        ("latin.toml", "line 2 is not UTF-8; save the file as UTF-8"),
    ] {
        for more in [&["--json"][..], &["--json", "--without-secrets"]] {
            let output = tollgate(folder.path(), &[&["check", "--policy", file], more].concat());
            assert_eq!(output.status.code(), Some(2), "{file}");
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&report["policy"], &report["fine"]), (&file.into(), &false.into()));
            let faults = report["faults"].as_array().unwrap();
            let expected = format!("cannot read the policy `{file}`: {why}");
            assert_eq!((faults.len(), &faults[0]["message"]), (1, &expected.into()));
            assert_eq!((&faults[0]["file"], &faults[0]["line"]), (&file.into(), &().into()));
            assert_eq!(report["warnings"], serde_json::json!([]));
        }
    }
    // With the same members as the report of a policy that was read.
    let members = |file: &str| {
        let output = tollgate(folder.path(), &["check", "--json", "--policy", file]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let report = report.as_object().unwrap();
        report.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(members("none.toml"), members("policy.toml"));
    let usual = tollgate(folder.path(), &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&usual.stdout).unwrap();
    assert_eq!(report["faults"][0]["help"], "name the policy with `--policy FILE`");
}

/// The policy and the commands that the README begins with, as they are printed there.
#[tokio::test]
async fn the_first_steps_of_the_readme_work() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, steps) = readme.split_once("## Say who may, in TOML").unwrap();
    let block = |language: &str| {
        let (_, rest) = steps.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();
    fs::write(folder.path().join("config/tollgate.toml"), block("toml")).unwrap();
    // Without the file of keys the report says how it is made.
    let (status, told) = outcome(folder.path(), &["check"]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("key new --client NAME --write config/keys.toml`"), "{told}");

    let mut key = String::new();
    let mut commands = 0;
    for step in block("console").split("$ ").skip(1) {
        let (command, printed) = step.split_once('\n').unwrap();
        let (command, is_key) = match command.strip_prefix("key=$(") {
            Some(command) => (command.strip_suffix(')').unwrap(), true),
            None => (command, false),
        };
        let Some(arguments) = command.strip_prefix("tollgate ") else { continue };
        if arguments.starts_with("serve") {
            continue;
        }
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = tollgate(folder.path(), &arguments);
        assert!(output.status.success(), "{command}: {output:?}");
        let mut told = text(&output.stderr);
        if is_key {
            key = text(&output.stdout).trim().to_owned();
        } else {
            told += &text(&output.stdout);
        }
        // The name of a key ends with digits of its digest.
        let shown = |text: &str| match text.split_once(' ') {
            Some((first, rest)) if is_key => {
                format!("{} {rest}", first.rsplit_once('-').map_or(first, |(name, _)| name))
            }
            _ => text.to_owned(),
        };
        assert_eq!(shown(&told), shown(printed), "{command}");
        commands += 1;
    }
    assert_eq!(commands, 2);
    fs::rename(folder.path().join("config/tollgate.toml"), folder.path().join("policy.toml"))
        .unwrap();
    fs::rename(folder.path().join("config/keys.toml"), folder.path().join("keys.toml")).unwrap();
    let serving = Serving::start(folder.path());
    let answer = serving.server.get("/orders", &[("x-api-key", &key)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(serving.server.get("/orders", &[]).await.status, 401);
}

#[test]
fn no_report_repeats_a_key_that_was_pasted_into_a_file() {
    let (key, _) = key("a", "c", "");
    let folder = folder(FINE);
    for (text, place) in [
        (format!("[[key]]\nid = \"a\"\nkey = {key}\n"), "keys.toml:3:"),
        (format!("[[key]]\nid = \"{key}\n"), "keys.toml:2:"),
        (format!("{key}\n"), "keys.toml:1:"),
    ] {
        fs::write(folder.path().join("keys.toml"), text).unwrap();
        for arguments in [
            &["key", "list", "--policy", "keys.toml"][..],
            &["key", "revoke", "a", "--policy", "keys.toml"],
            &["key", "new", "--client", "c", "--write", "keys.toml"],
            &["key", "new", "--client", "c", "--policy", "keys.toml"],
        ] {
            let (status, told) = outcome(folder.path(), arguments);
            assert_eq!(status, Some(1), "{arguments:?}: {told}");
            assert!(
                told.starts_with(place) && told.contains(": not TOML: "),
                "{arguments:?}: {told}"
            );
            assert!(!told.contains(&key[3..20]), "{arguments:?}: {told}");
        }
    }
}
