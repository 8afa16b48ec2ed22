//! A server of Postgres of the test's own: really started, stopped, killed and back.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server with data and a port of its own. It is killed when it is dropped.
pub(crate) struct Postgres {
    folder: TempDir,
    pub(crate) port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        if let Some((user, group)) = other_user() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut postgres = Self { folder, port: free_port(), server: None };
        let initialised = postgres
            .command("initdb")
            .args(["--auth=trust", "--username=gate", "--no-sync", "--no-instructions", "-D"])
            .arg(postgres.data())
            .stdout(Stdio::null())
            .status();
        assert!(initialised.unwrap().success());
        postgres.start_again();
        postgres
    }

    /// Starts it again after it was killed.
    pub(crate) fn start_again(&mut self) {
        let start = Instant::now();
        loop {
            let log = fs::File::create(self.folder.path().join("log")).unwrap();
            let mut command = self.command("postgres");
            if self.tls("key.pem").exists() {
                for (setting, file) in
                    [("ssl_cert_file", "certificate.pem"), ("ssl_key_file", "key.pem")]
                {
                    command.arg("-c").arg(format!("{setting}={}", self.tls(file).display()));
                }
                command.args(["-c", "ssl=on"]);
            }
            let mut server = command
                .arg("-D")
                .arg(self.data())
                .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
                .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
                .args(["-c", "shared_buffers=16MB", "-c", "max_connections=60"])
                .stderr(log)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            loop {
                if self.sql("postgres", "SELECT 1").is_ok() {
                    self.server = Some(server);
                    return;
                }
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
                assert!(start.elapsed() < Duration::from_secs(120), "{log}");
                // Processes of the one that was killed may not have ended yet.
                if server.try_wait().unwrap().is_some() {
                    break;
                }
                sleep(Duration::from_millis(50));
            }
        }
    }

    /// Starts it again with TLS, by this certificate and its key; the path of the certificate.
    pub(crate) fn start_again_with_tls(&mut self, certificate: &str, key: &str) -> PathBuf {
        self.kill();
        let path = self.tls("certificate.pem");
        for (path, text) in [(&path, certificate), (&self.tls("key.pem"), key)] {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = other_user() {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        self.start_again();
        path
    }

    fn tls(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new database, and its URL.
    pub(crate) fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        format!("postgres://gate:hunter2@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs statements in a database; their rows, one a line, or what went wrong.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(binary("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "gate",
            ])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Ends it as a machine that loses power does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Stops all of its processes where they are: connections stay, and nobody answers.
    pub(crate) fn stall(&self) {
        let Some(server) = &self.server else { return };
        let server = server.id().to_string();
        // The parent first: then there are no new ones.
        signal("-STOP", &server);
        is_stopped(&server);
        for child in children(&server) {
            signal("-STOP", &child);
            is_stopped(&child);
        }
    }

    /// Stops one of its processes where it is.
    pub(crate) fn stall_process(&self, process: &str) {
        signal("-STOP", process);
        is_stopped(process);
    }

    /// Lets it go on after [`stall`](Self::stall).
    pub(crate) fn go_on(&self) {
        let Some(server) = &self.server else { return };
        let server = server.id().to_string();
        children(&server).iter().for_each(|child| signal("-CONT", child));
        signal("-CONT", &server);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of Postgres, which refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let mut command = match other_user() {
            None => Command::new(binary(name)),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.arg("--clear-groups").arg(binary(name));
                command
            }
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.go_on();
        self.kill();
    }
}

fn children(process: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    children.split_whitespace().map(str::to_owned).collect()
}

/// One that has ended meanwhile needs none.
fn signal(signal: &str, process: &str) {
    let _ = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
}

/// Waits until a process has stopped, or is no more.
fn is_stopped(process: &str) {
    loop {
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return };
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if state.is_none_or(|state| matches!(state, 'T' | 'Z' | 'X')) {
            return;
        }
        sleep(Duration::from_millis(5));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The newest version that is installed.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}

/// Whom the server runs as where the tests run as root: the user `postgres`, with its group.
fn other_user() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().ok()
    };
    if number(&["-u"]) != Some(0) {
        return None;
    }
    Some((number(&["-u", "postgres"]).unwrap(), number(&["-g", "postgres"]).unwrap()))
}
