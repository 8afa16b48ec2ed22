//! One row behind a real socket, for a load from another process.

use std::net::SocketAddr;

use axum::ServiceExt;
use axum::extract::Request;
use tollgate_benches::Mount;

use crate::entries;

/// Serves the row on one thread. Prints `<header>: <value>` of a request that it takes.
pub(crate) async fn serve(row: &str, address: &str) {
    let row = entries().into_iter().find(|candidate| candidate.name == row).expect("a row of this name").make().await;
    for (name, value) in row.requests.fields() {
        println!("{name}: {value}");
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
