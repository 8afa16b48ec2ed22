//! A real `redis-server`, on a free port, which ends with the value.
//!
//! `REDIS_SERVER` names another program in its place, such as a `valkey-server`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer as Authority, KeyPair};
use redis::{Client, Connection, FromRedisValue};
use tempfile::TempDir;

/// A server process, and what it is started with.
pub(crate) struct Redis {
    process: Child,
    pub(crate) port: u16,
    /// Where it speaks TLS, if it does.
    pub(crate) tls_port: Option<u16>,
    arguments: Vec<String>,
    directory: TempDir,
}

/// A certificate, and the authority that vouches for it.
pub(crate) struct Tls {
    folder: TempDir,
}

impl Tls {
    pub(crate) fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// For other names.
    pub(crate) fn of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&key).unwrap().pem();
        let authority = Authority::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let server = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        for (name, pem) in
            [("ca.pem", ca), ("server.pem", server.pem()), ("key.pem", key.serialize_pem())]
        {
            fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What a server is started with; the port is added by [`Redis::start_with_tls`].
    fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let pairs = [
            ("--tls-cert-file", path("server.pem")),
            ("--tls-key-file", path("key.pem")),
            ("--tls-ca-cert-file", path("ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_as(arguments, None)
    }

    /// It speaks TLS on a second port.
    pub(crate) fn start_with_tls(tls: &Tls, arguments: &[&str]) -> Self {
        Self::start_as(arguments, Some(tls))
    }

    fn start_as(arguments: &[&str], tls: Option<&Tls>) -> Self {
        let given: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // Another process may take a port that was free.
        for _ in 0..5 {
            let (port, tls_port) = (free_port(), tls.map(|_| free_port()));
            let mut arguments = given.clone();
            if let (Some(tls), Some(port)) = (tls, tls_port) {
                arguments.extend(["--tls-port".to_owned(), port.to_string()]);
                arguments.extend(tls.arguments());
            }
            let directory = tempfile::tempdir().unwrap();
            let process = spawn(port, &arguments, directory.path());
            let mut server = Self { process, port, tls_port, arguments, directory };
            if server.comes_up() {
                return server;
            }
        }
        panic!("no server comes up with {arguments:?}");
    }

    /// Ends the process at once, as if its machine had lost power.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, empty.
    pub(crate) fn restart(&mut self) {
        let _old = fs::remove_file(self.directory.path().join("dump.rdb"));
        self.restart_with_its_data();
        assert!(self.comes_up(), "it ended");
    }

    /// Starts it again, and does not wait until it has read its data.
    pub(crate) fn restart_with_its_data(&mut self) {
        self.process = spawn(self.port, &self.arguments, self.directory.path());
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &process]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The address by TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("rediss://localhost:{}", self.tls_port.unwrap())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_run(command).unwrap()
    }

    pub(crate) fn try_run<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut self.connect()?)
    }

    /// How many calls of scripts the server has answered.
    pub(crate) fn scripts(&self) -> u64 {
        let stats: String = self.run(&["INFO", "commandstats"]);
        let calls = |name: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let calls = line.and_then(|line| line.strip_prefix(":calls=")?.split(',').next());
            calls.map_or(0, |calls| calls.parse().unwrap())
        };
        calls("cmdstat_evalsha") + calls("cmdstat_eval")
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.run(&["KEYS", "*"]);
        keys.retain(|key| !key.contains("{probe"));
        keys
    }

    fn connect(&self) -> redis::RedisResult<Connection> {
        Client::open(self.url())?.get_connection()
    }

    /// Waits until it answers; not where it ended.
    fn comes_up(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = self.try_run::<String>(&["PING"]) {
            assert!(Instant::now() < end, "{error}");
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The bus of a cluster is 10,000 ports higher.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port <= 55_535 {
            return port;
        }
    }
}

fn spawn(port: u16, arguments: &[String], directory: &Path) -> Child {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let port = port.to_string();
    Command::new(program)
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
