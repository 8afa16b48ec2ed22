//! The server of `tollgate serve`: HTTP/1.1 and HTTP/2 with prior knowledge on one port, and no
//! connection that stays for nothing.
//!
//! - A connection without a complete head is closed [`HEAD_WITHIN`] after it was opened, or after its
//!   last answer: half a head, a slow one, and none at all.
//! - When it is told to stop, it takes no new connection, closes those that are idle, lets requests
//!   finish for [`STOP_WITHIN`], and ends whatever is still open then.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;

const HEAD_WITHIN: Duration = Duration::from_secs(10);

const STOP_WITHIN: Duration = Duration::from_secs(4);

/// How long a connection may take to say goodbye.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Serves `app` until `stop` is there.
pub(crate) async fn serve(mut listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // It waits where the system gives no more sockets.
            (stream, peer) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, peer, app.clone(), stopped.clone()));
            }
            _ = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    // What is open after that is ended when the set is dropped.
    let _ = timeout(STOP_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let (requests, open) = watch::channel(0_u64);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let open = Open::new(&requests);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let app = app.clone();
        async move {
            let _open = open;
            let answer: Result<_, Infallible> = app.oneshot(request).await;
            answer
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        // That a client went away is not worth a line.
        _ = connection.as_mut() => return,
        () = idle(open) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(CLOSE_WITHIN, connection).await;
            return;
        }
        () = async { let _ = stopped.wait_for(|stopped| *stopped).await; } => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Waits until no request has been open for [`HEAD_WITHIN`].
async fn idle(mut open: watch::Receiver<u64>) {
    loop {
        let came = async {
            let _ = open.wait_for(|open| *open == 0).await;
            timeout(HEAD_WITHIN, open.changed()).await
        };
        if came.await.is_err() {
            return;
        }
    }
}

/// A request whose head is complete, and whose answer is not.
struct Open(watch::Sender<u64>);

impl Open {
    fn new(requests: &watch::Sender<u64>) -> Self {
        requests.send_modify(|open| *open += 1);
        Self(requests.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    /// The preface of HTTP/2 (RFC 9113 section 3.4) and an empty SETTINGS frame.
    const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    struct Trial {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        server: JoinHandle<()>,
    }

    /// A server whose `/` answers at once, and whose `/never` does not.
    async fn trial() -> Trial {
        let app = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/never", get(std::future::pending::<()>));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap() };
        let server = tokio::spawn(serve(listener, app, stopped));
        Trial { address, stop, server }
    }

    async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    const LONG: Duration = Duration::from_secs(60);

    /// How long the server leaves the connection open from now, at most [`LONG`].
    async fn stays(stream: &mut TcpStream) -> Duration {
        let start = Instant::now();
        let _ = timeout(LONG, stream.read_to_end(&mut Vec::new())).await;
        start.elapsed()
    }

    async fn read_answer(stream: &mut TcpStream) {
        let (mut answer, mut bytes) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"\r\n\r\nok") {
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..count]);
        }
    }

    // The clock of these tests stands, and leaps when all wait for it.

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_complete_head_is_closed() {
        let trial = trial().await;
        for begun in [&b""[..], b"G", b"PRI * HT", b"GET / HTTP/1.1\r\nhost: a\r\n", HTTP2] {
            let mut stream = send(trial.address, begun).await;
            let stays = stays(&mut stream).await;
            let label = String::from_utf8_lossy(begun);
            assert!(stays >= HEAD_WITHIN, "{label:?}: {stays:?}");
            assert!(stays <= HEAD_WITHIN + CLOSE_WITHIN, "{label:?}: {stays:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_last_answer_and_not_while_one_is_made() {
        let trial = trial().await;
        let mut stream = send(trial.address, REQUEST).await;
        for _ in 0..3 {
            read_answer(&mut stream).await;
            tokio::time::advance(HEAD_WITHIN - Duration::from_secs(1)).await;
            stream.write_all(REQUEST).await.unwrap();
        }
        read_answer(&mut stream).await;
        let stays = stays(&mut stream).await;
        assert!(stays >= HEAD_WITHIN && stays <= HEAD_WITHIN + CLOSE_WITHIN, "{stays:?}");

        let mut waiting = send(trial.address, b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(self::stays(&mut waiting).await >= LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_at_once_where_nothing_is_under_way() {
        let trial = trial().await;
        let mut idle = send(trial.address, REQUEST).await;
        read_answer(&mut idle).await;
        let _silent = send(trial.address, b"").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        trial.stop.send(()).unwrap();
        trial.server.await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_within_its_time_whatever_is_open() {
        let trial = trial().await;
        let mut open = Vec::new();
        for begun in [
            &b""[..],
            b"GET / HTTP/1.1\r\nhost",
            b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST /never HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nbody",
            HTTP2,
        ] {
            open.push(send(trial.address, begun).await);
        }
        // All of them are taken by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        trial.stop.send(()).unwrap();
        trial.server.await.unwrap();
        assert!(start.elapsed() <= STOP_WITHIN, "{:?}", start.elapsed());
    }
}
