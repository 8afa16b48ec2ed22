//! Mounted in an app in each of axum's ways, over a real socket.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::{any, get};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, Method, StatusCode};
use tollgate::{Admission, ManualClock, Principal, Tollgate};
use tower::{Layer as _, ServiceBuilder};
use tower_http::cors::{Any, CorsLayer};
use tower_http::trace::TraceLayer;

use super::support::{self, NOW, Server, key};

async fn gated(rules: &str) -> (Tollgate, ManualClock, String) {
    let (key, entry) = key("key", "billing", "");
    let policy = format!("version = 1\n[api_keys]\n{entry}\n{rules}");
    let (gate, clock) = support::gate(&policy).await;
    (gate, clock, key)
}

const ALL: &str = "[[limit]]\nname = \"few\"\nrate = \"1/hour\"\nburst = 3\nper = [\"client\"]\n\
    [[rule]]\nname = \"api\"\npath = \"/api/{*rest}\"\nlimits = [\"few\"]\n\
    [[rule]]\nname = \"get\"\nmethods = [\"GET\"]\npath = \"/get\"\n";

async fn rule(admission: Admission) -> String {
    admission.rule().to_owned()
}

#[tokio::test]
async fn layer_covers_routes_and_fallback_and_route_layer_leaves_404() {
    let (gate, clock, key) = gated(ALL).await;
    let routes = || Router::new().route("/api/a", get(rule));
    let layered = support::serve(routes().layer(gate.layer()), clock.clone()).await;
    let routed = support::serve(routes().route_layer(gate.layer()), clock).await;
    for server in [&layered, &routed] {
        assert_eq!(server.get("/api/a", &[]).await.code(), "credentials_missing");
        assert_eq!(server.get("/api/a", &[("x-api-key", &key)]).await.text, "api");
    }
    assert_eq!(layered.get("/nowhere", &[]).await.code(), "no_matching_rule");
    assert_eq!(routed.get("/nowhere", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn under_nest_the_original_path_counts() {
    let (gate, clock, key) = gated(ALL).await;
    let inner = Router::new().route("/a", get(rule)).layer(gate.layer());
    let server = support::serve(Router::new().nest("/api", inner), clock).await;
    assert_eq!(server.get("/api/a", &[("x-api-key", &key)]).await.text, "api");
    assert_eq!(server.get("/api/a", &[]).await.code(), "credentials_missing");
}

#[tokio::test]
async fn merged_routers_keep_their_own_gates() {
    let (gate, clock, key) = gated(ALL).await;
    let open = Router::new().route("/open", get(|| async { "open" }));
    let gated = Router::new().route("/api/a", get(rule)).layer(gate.layer());
    let server = support::serve(open.merge(gated), clock).await;
    assert_eq!(server.get("/open", &[]).await.text, "open");
    assert_eq!(server.get("/api/a", &[]).await.code(), "credentials_missing");
    assert_eq!(server.get("/api/a", &[("x-api-key", &key)]).await.text, "api");
}

#[tokio::test]
async fn the_gate_around_a_whole_router_is_a_service() {
    let (gate, clock, key) = gated(ALL).await;
    let app =
        ServiceBuilder::new().layer(gate.layer()).service(Router::new().route("/api/a", get(rule)));
    let server = support::serve(Router::new().fallback_service(app), clock).await;
    assert_eq!(server.get("/api/a", &[("x-api-key", &key)]).await.text, "api");
    assert_eq!(server.get("/api/a", &[]).await.code(), "credentials_missing");
}

#[tokio::test]
async fn head_is_judged_as_get_and_has_no_body() {
    let (gate, clock, key) = gated(ALL).await;
    let app = Router::new().route("/get", get(|| async { "body" })).layer(gate.layer());
    let server = support::serve(app, clock).await;
    let admitted = server.call(Method::HEAD, "/get", &[("x-api-key", &key)]).await;
    assert_eq!((admitted.status, admitted.text.as_str()), (StatusCode::OK, ""));
    let denied = server.call(Method::HEAD, "/get", &[]).await;
    assert_eq!((denied.status, denied.text.as_str()), (StatusCode::FORBIDDEN, ""));
    assert_eq!(denied.line("content-type").unwrap(), "application/problem+json");
    let other = server.call(Method::POST, "/get", &[("x-api-key", &key)]).await;
    assert_eq!(other.code(), "method_not_allowed");
    assert_eq!(other.line("allow").unwrap(), "GET, HEAD");
}

#[tokio::test]
async fn preflights_are_answered_outside_and_denials_have_cors_headers() {
    let (gate, clock, key) = gated(ALL).await;
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_headers([HeaderName::from_static("x-api-key")])
        .expose_headers([HeaderName::from_static("retry-after")]);
    let around =
        ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(cors).layer(gate.layer());
    let server =
        support::serve(Router::new().route("/api/a", get(rule)).layer(around), clock).await;
    let origin = ("origin", "https://app.example.com");
    for _ in 0..5 {
        let asked = [
            origin,
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "x-api-key"),
        ];
        let preflight = server.call(Method::OPTIONS, "/api/a", &asked).await;
        assert_eq!(preflight.status, StatusCode::OK);
        assert_eq!(preflight.line("access-control-allow-headers").unwrap(), "x-api-key");
        assert_eq!(preflight.line("ratelimit"), None);
    }
    let denied = server.get("/api/a", &[origin]).await;
    assert_eq!(denied.code(), "credentials_missing");
    assert_eq!(denied.line("access-control-allow-origin").unwrap(), "*");
    // No preflight cost a token.
    let admitted = server.get("/api/a", &[origin, ("x-api-key", &key)]).await;
    assert!(admitted.line("ratelimit").unwrap().starts_with("\"few\";r=2;"));
    // Without CORS, the preflight is a request like any other.
    let (gate, clock, _) = gated(ALL).await;
    let bare =
        support::serve(Router::new().fallback(any(|| async { "app" })).layer(gate.layer()), clock)
            .await;
    let asked = [origin, ("access-control-request-method", "GET")];
    assert_eq!(bare.call(Method::OPTIONS, "/nowhere", &asked).await.code(), "no_matching_rule");
    for headers in [&asked[..], &[origin], &asked[1..], &[]] {
        assert_eq!(
            bare.call(Method::OPTIONS, "/api/a", headers).await.code(),
            "credentials_missing"
        );
    }
}

#[tokio::test]
async fn http2_is_judged_alike() {
    let (gate, clock, key) = gated(ALL).await;
    let server =
        support::serve(Router::new().route("/api/a", get(rule)).layer(gate.layer()), clock).await;
    assert_eq!(server.get_http2("/api/a", &[("x-api-key", &key)]).await.text, "api");
    let denied = server.get_http2("/api/a", &[]).await;
    assert_eq!((denied.status.as_u16(), denied.code().as_str()), (403, "credentials_missing"));
    assert_eq!(denied.lines("www-authenticate").len(), 1);
}

#[tokio::test]
async fn websocket_upgrades_are_judged_before_they_happen() {
    let (gate, clock, key) = gated(ALL).await;
    let echo = |upgrade: WebSocketUpgrade, caller: Principal| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let _ =
                    socket.send(Message::text(format!("{} says {text}", caller.client()))).await;
            }
        })
    };
    let server =
        support::serve(Router::new().route("/api/ws", any(echo)).layer(gate.layer()), clock).await;
    let connect = |key: Option<&str>| {
        let url = format!("ws://{}/api/ws", server.address);
        let mut request =
            tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(url)
                .unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("x-api-key", key.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request)
    };
    let (mut socket, _) = connect(Some(&key)).await.unwrap();
    socket.send("hello".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "billing says hello");

    let refused = connect(None).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

/// RFC 8441: over HTTP/2 a WebSocket is opened by `CONNECT` with a path. A tunnel has none.
#[tokio::test]
async fn websockets_over_http2_are_judged_by_their_path() {
    let only_get = "[[rule]]\nname = \"get\"\nmethods = [\"GET\"]\npath = \"/get\"\n";
    let named = "[[rule]]\nname = \"named\"\nmethods = [\"CONNECT\"]\npath = \"/named\"\n";
    let any_method = "[[rule]]\nname = \"ws\"\npath = \"/ws\"\n";
    let (gate, clock, key) = gated(&format!("{any_method}{only_get}{named}")).await;
    assert_eq!(gate.warnings().len(), 0, "the method is no warning");
    let echo = |upgrade: WebSocketUpgrade, caller: Principal| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let _ =
                    socket.send(Message::text(format!("{} says {text}", caller.client()))).await;
            }
        })
    };
    let app = Router::new().fallback(any(echo)).layer(gate.layer());
    let server = support::serve(app, clock).await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = |method: Method, target: String| {
        let mut request = http::Request::new(http_body_util::Empty::<bytes::Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    // Its settings have come when the server has answered once.
    let whole = |path: &str| format!("http://{}{path}", server.address);
    sender.send_request(request(Method::GET, whole("/get"))).await.unwrap();
    for (path, expected) in [("/ws", 200), ("/named", 200), ("/get", 403)] {
        let mut connect = request(Method::CONNECT, whole(path));
        connect.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        connect.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        let mut answer = sender.send_request(connect).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{path}");
        if expected != 200 {
            continue;
        }
        let upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
            hyper_util::rt::TokioIo::new(upgraded),
            tokio_tungstenite::tungstenite::protocol::Role::Client,
            None,
        )
        .await;
        socket.send("hello".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "billing says hello");
    }
    let tunnel = request(Method::CONNECT, server.address.to_string());
    let answer = sender.send_request(tunnel).await.unwrap();
    assert_eq!(answer.status().as_u16(), 403, "no rule covers a tunnel");
}

const BY_ADDRESS: &str = "[[limit]]\nname = \"one\"\nrate = \"1/hour\"\nper = [\"address\"]\n\
    [[rule]]\nname = \"limited\"\npath = \"/limited\"\npublic = true\nlimits = [\"one\"]\n\
    [[rule]]\nname = \"inside\"\npath = \"/inside\"\naddresses = [\"127.0.0.0/8\"]\n\
    [[rule]]\nname = \"other\"\npath = \"/other\"\n";

#[tokio::test]
async fn without_the_peer_address_rules_that_need_it_fail_closed() {
    let (gate, clock, key) = gated(BY_ADDRESS).await;
    let app = Router::new().fallback(|| async { "ok" }).layer(gate.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap(), clock);
    tokio::spawn(async move { axum::serve(listener, app).await });
    for path in ["/limited", "/inside"] {
        let answer = server.get(path, &[("x-api-key", &key)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (503, "decision_failed"),
            "{path}"
        );
    }
    assert_eq!(server.get("/other", &[("x-api-key", &key)]).await.text, "ok");
    for _ in 0..25 {
        assert_eq!(server.get("/other", &[("x-api-key", "bad")]).await.code(), "api_key_malformed");
    }
}

#[tokio::test]
async fn mock_connect_info_is_the_peer() {
    let (gate, _, _) = gated(BY_ADDRESS).await;
    let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
    let app =
        Router::new().fallback(|| async { "ok" }).layer(gate.layer()).layer(MockConnectInfo(peer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap(), ManualClock::at(NOW));
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(server.get("/limited", &[]).await.text, "ok");
    assert_eq!(server.get("/limited", &[]).await.code(), "rate_limited");
}

#[tokio::test]
async fn responses_name_the_headers_they_depend_on() {
    let (gate, clock, key) =
        gated(&format!("{ALL}[[rule]]\nname = \"open\"\npath = \"/open\"\npublic = true\n")).await;
    let server =
        support::serve(Router::new().fallback(|| async { "ok" }).layer(gate.layer()), clock).await;
    let guarded = server.get("/api/a", &[("x-api-key", &key)]).await;
    assert_eq!(guarded.line("vary").unwrap(), "authorization, x-api-key");
    assert_eq!(server.get("/open", &[]).await.line("vary"), None);
}

/// axum tells which methods a route has, whoever answers; a gate around the application does not.
#[tokio::test]
async fn around_the_application_a_denial_tells_no_more_than_it_says() {
    let policy = "version = 1\n[denial]\ndisclosure = \"minimal\"\n[failures]\nenabled = false\n\
        [api_keys]\n[[rule]]\nname = \"orders\"\nmethods = [\"GET\"]\npath = \"/orders\"\n";
    let (gate, clock) = support::gate(policy).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = gate.layer().layer(Router::new().route("/orders", get(rule)));
    let app = <_ as axum::ServiceExt<axum::extract::Request>>::into_make_service_with_connect_info::<
        SocketAddr,
    >(app);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let server = Server::at(address, clock);
    let known = server.call(Method::PATCH, "/orders", &[]).await;
    let unknown = server.get("/ordres", &[]).await;
    assert_eq!((known.code(), unknown.code()), ("access_denied".into(), "access_denied".into()));
    assert_eq!(known.line("allow"), None);
    let without_id = |answer: &support::Answer| {
        let mut document = answer.json();
        document["instance"] = "".into();
        document
    };
    assert_eq!(without_id(&known), without_id(&unknown));
}
