//! Shared limits over TLS: `rediss://`, with an authority of one's own.

use super::support::redis::{Redis, Tls};
use super::support::shared::{Choices, Node, cluster_of, policy};

fn ca(tls: &Tls) -> String {
    format!("ca_file = \"{}\"", tls.ca().display())
}

#[tokio::test]
async fn a_user_with_a_password_takes_from_buckets_over_tls() {
    let tls = Tls::new();
    let redis = Redis::start_with_tls(&tls, &[]);
    let _: () = redis.run(&["ACL", "SETUSER", "gate", "on", ">hunter2", "~*", "+@all"]);
    let _: () = redis.run(&["ACL", "SETUSER", "default", "-evalsha", "-eval"]);
    let login = "username = \"gate\"\npassword_env = \"PASSWORD\"";
    let store = format!("url = \"{}\"\n{}\n{login}", redis.tls_url(), ca(&tls));
    let (policy, key) = policy(&store, "");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    assert_eq!(nodes[0].admits("/a", 15).await + nodes[1].admits("/a", 15).await, 20);
    assert!(redis.scripts() > 0 && redis.keys().len() == 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_said_and_each_limit_does_what_it_should() {
    let tls = Tls::new();
    let redis = Redis::start_with_tls(&tls, &[]);
    let other = Tls::new();
    let store = format!("url = \"{}\"\n{}", redis.tls_url(), ca(&other));
    let choices = Choices::open_unconnected(&store).await;
    choices.do_without("its certificate is not accepted").await;
    choices.share.is_left_alone("`ca_file`").await;
    assert_eq!(redis.scripts(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_trusted() {
    let tls = Tls::of(&["elsewhere.example"]);
    let redis = Redis::start_with_tls(&tls, &[]);
    let (policy, key) = policy(&format!("url = \"{}\"\n{}", redis.tls_url(), ca(&tls)), "");
    let node = Node::open_unconnected(&policy, &key).await;
    node.is_left_alone("its certificate is not accepted").await;
    node.is_left_alone("elsewhere.example").await;
}

/// Neither side waits for what the other will never say.
#[tokio::test]
async fn tls_at_one_end_alone_is_said() {
    let tls = Tls::new();
    let redis = Redis::start_with_tls(&tls, &[]);
    let plain = format!("url = \"rediss://localhost:{}\"\n{}", redis.port, ca(&tls));
    let (policy_of, key) = policy(&plain, "");
    let node = Node::open_unconnected(&policy_of, &key).await;
    node.is_left_alone("no connection").await;
    assert_eq!(node.admits("/a", 30).await, 5);

    let port = redis.tls_port.unwrap();
    let (policy, key) = policy(&format!("url = \"redis://127.0.0.1:{port}\""), "");
    let node = Node::open_unconnected(&policy, &key).await;
    node.is_left_alone("no connection").await;
    assert_eq!(node.admits("/a", 30).await, 5);
}

#[tokio::test]
async fn a_file_of_an_authority_that_cannot_be_read_is_said() {
    let tls = Tls::new();
    let redis = Redis::start_with_tls(&tls, &[]);
    let pem = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    std::fs::write(tls.ca(), pem).unwrap();
    let (policy, key) = policy(&format!("url = \"{}\"\n{}", redis.tls_url(), ca(&tls)), "");
    let node = Node::open_unconnected(&policy, &key).await;
    node.is_left_alone("`ca_file` cannot be used").await;
    assert_eq!(node.admits("/a", 30).await, 5);
}

#[tokio::test]
async fn a_cluster_is_learnt_over_tls() {
    let tls = Tls::new();
    let servers = cluster_of(Some(&tls));
    let store = format!("cluster = [\"{}\"]\n{}", servers[0].tls_url(), ca(&tls));
    let all = "[[limit]]\nname = \"all\"\nrate = \"1/day\"\nburst = 9\nper = [\"global\"]\n\
               [[rule]]\nname = \"all-of-them\"\npath = \"/all\"\nlimits = [\"all\"]\n";
    let (policy, key) = policy(&store, "");
    let policy = format!("{policy}{all}");
    let nodes = [Node::open(&policy, &key).await, Node::open(&policy, &key).await];
    for node in &nodes {
        node.until(|store| store.is_available && store.version.is_some()).await;
        assert_eq!(node.stores().len(), 3);
    }
    assert_eq!(nodes[0].admits("/a", 15).await + nodes[1].admits("/a", 15).await, 20);
    assert_eq!(nodes[0].admits("/all", 7).await + nodes[1].admits("/all", 7).await, 9);
}
