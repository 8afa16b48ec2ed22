//! One row behind a real socket, for a load from another process.

use std::net::SocketAddr;

use axum::ServiceExt;
use axum::extract::Request;

use crate::{Mount, rows};

/// Serves the row on one thread. Prints `<header>: <value>` of a request that it takes.
pub(crate) async fn serve(row: &str, address: &str) {
    let rows = rows::all().await;
    let row = rows.into_iter().find(|candidate| candidate.name == row).expect("a row of this name");
    for (name, value) in row.requests[0].headers() {
        println!("{name}: {}", value.to_str().expect("text"));
    }
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    println!("ready");
    let served = match row.mount {
        Mount::Router(router) => {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await
        }
        Mount::Around(gate) => {
            let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(gate);
            axum::serve(listener, service).await
        }
    };
    served.expect("a server");
}
