//! A real server for tests, on a free port, which ends with the value. `REDIS_SERVER` names another program in
//! place of `redis-server`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Connection};
use tempfile::TempDir;

/// A process of `redis-server`, and a connection to it.
pub(super) struct TestServer {
    process: Child,
    connection: Connection,
    _directory: TempDir,
}

impl TestServer {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(arguments: &[&str]) -> Self {
        let port = free_port();
        let directory = TempDir::new().unwrap();
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let connection = loop {
            match client.get_connection() {
                Ok(connection) => break connection,
                Err(error) => {
                    assert!(Instant::now() < end, "{error}");
                    assert!(process.try_wait().unwrap().is_none(), "it ended");
                    std::thread::yield_now();
                }
            }
        };
        Self { process, connection, _directory: directory }
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for TestServer {
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
