//! One row behind a real socket, for a load from another process.

use std::net::SocketAddr;

use crate::rows;

/// Serves the row on one thread. Prints `<header>: <value>` of a request that it takes.
pub(crate) async fn serve(row: &str, address: &str) {
    let rows = rows::all().await;
    let row = rows.into_iter().find(|candidate| candidate.name == row).expect("a row of this name");
    for (name, value) in row.requests[0].headers() {
        println!("{name}: {}", value.to_str().expect("text"));
    }
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    let service = row.router.into_make_service_with_connect_info::<SocketAddr>();
    println!("ready");
    axum::serve(listener, service).await.expect("a server");
}
