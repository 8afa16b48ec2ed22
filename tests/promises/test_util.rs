//! Handlers are tested without a gate, by callers and admissions that say that they are for tests.

use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate::test_util::{TestAdmission, TestLayer, TestPrincipal};
use tollgate::{
    Admission, ApiKey, Category, Claims, CredentialKind, Denial, DenialCode, ManualClock,
    Principal, Scoped, scope,
};

use super::log::Log;
use super::support::{NOW, serve};

scope!(OrdersWrite = "orders:write");

static ORDER_LOCKED: DenialCode =
    DenialCode::new("order_locked", Category::Authorization).with_title("Order locked");

#[derive(Deserialize)]
struct Tenant {
    tenant: String,
}

fn api() -> Router {
    let whoami = async |caller: Option<Principal>| {
        let roles = |caller: &Principal| caller.roles().map(str::to_owned).collect::<Vec<_>>();
        Json(caller.map(|caller| {
            json!({
                "client": caller.client(), "key": caller.key_id(), "issuer": caller.issuer(),
                "plan": caller.plan(), "roles": roles(&caller), "app": caller.application(),
            })
        }))
    };
    let charge = async |admission: Admission| {
        admission.charge(30);
        Json(
            json!({"rule": admission.rule(), "left": admission.limits().next().map(|l| l.remaining)}),
        )
    };
    Router::new()
        .route("/whoami", get(whoami))
        .route("/principal", get(async |caller: Principal| caller.client().to_owned()))
        .route("/write", post(async |caller: Scoped<OrdersWrite>| caller.client().to_owned()))
        .route("/key", get(async |key: ApiKey| key.id().to_owned()))
        .route("/tenant", get(async |Claims(claims): Claims<Tenant>| claims.tenant))
        .route("/charge", get(charge))
        .route("/locked", get(async || Denial::new(&ORDER_LOCKED)))
        .route("/frozen", get(async || Denial::named("account_frozen")))
}

async fn call(caller: impl Into<TestAdmission>, path: &str) -> super::support::Answer {
    let app = api().layer(TestLayer::danger_admit_all_as(caller));
    let server = serve(app, ManualClock::at(NOW)).await;
    let method = if path == "/write" { "POST" } else { "GET" };
    server.call(method.parse().unwrap(), path, &[]).await
}

#[tokio::test]
async fn a_denial_has_the_status_that_the_test_asks_for() {
    let caller = || TestAdmission::of(TestPrincipal::with_api_key("billing").build());
    assert_eq!(call(caller(), "/tenant").await.status, 403);
    let answer = call(caller().standard_status(), "/tenant").await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (401, "credentials_unsupported"));
}

#[tokio::test]
async fn every_extractor_works_without_a_gate() {
    let shop = || TestPrincipal::with_api_key("shop").key_id("shop-2027").role("buyer").plan("pro");
    let mobile = || TestPrincipal::with_token("mobile").issuer("main").scope("orders:write");
    assert_eq!(
        call(shop().build(), "/whoami").await.json(),
        json!({"client": "shop", "key": "shop-2027", "issuer": null, "plan": "pro",
            "roles": ["buyer"], "app": null})
    );
    assert_eq!(
        call(mobile().build(), "/whoami").await.json(),
        json!({"client": "mobile", "key": null, "issuer": "main", "plan": null, "roles": [], "app": null})
    );
    let both = mobile().application("shop").build();
    assert_eq!(both.credential(), CredentialKind::Both);
    assert_eq!(call(both, "/whoami").await.json()["app"], "shop");

    assert_eq!(call(mobile().build(), "/write").await.text, "mobile");
    let refused = call(shop().build(), "/write").await;
    assert_eq!(refused.code(), "insufficient_scope");
    assert_eq!(refused.json()["missing_scopes"], json!(["orders:write"]));

    assert_eq!(call(shop().build(), "/key").await.text, "shop-2027");
    assert_eq!(call(mobile().build(), "/key").await.code(), "credentials_unsupported");

    let acme = mobile().claims(json!({"tenant": "acme"})).build();
    assert_eq!(call(acme, "/tenant").await.text, "acme");
    assert_eq!(call(mobile().build(), "/tenant").await.code(), "token_claim_missing");

    assert_eq!(call(TestAdmission::of_nobody(), "/whoami").await.json(), Value::Null);
    assert_eq!(call(TestAdmission::of_nobody(), "/principal").await.code(), "decision_failed");
    assert_eq!(call(shop().build(), "/locked").await.code(), "order_locked");
}

#[tokio::test]
async fn only_the_handler_charges() {
    let caller = TestPrincipal::with_api_key("shop").build();
    let admission = TestAdmission::of(caller).rule("export-all");
    let admission = admission.limit("rows", 100);
    let alone = admission.clone().build();
    assert_eq!(alone.limits().next().unwrap().remaining, 100);
    alone.charge(1_000);
    assert_eq!(alone.limits().next().unwrap().remaining, 0);

    // All requests through one layer share the buckets, and none is refused.
    let app = api().layer(TestLayer::danger_admit_all_as(admission));
    let server = serve(app, ManualClock::at(NOW)).await;
    for left in [70, 40, 10, 0, 0] {
        let answer = server.get("/charge", &[]).await;
        assert_eq!(answer.json(), json!({"rule": "export-all", "left": left}));
        assert_eq!(
            answer.line("ratelimit").unwrap().split(";t=").next(),
            Some(&*format!("\"rows\";r={left}"))
        );
    }
}

#[test]
fn a_layer_that_lets_all_pass_says_so() {
    let log = Log::listen();
    let _layer = TestLayer::danger_admit_all_as(TestAdmission::of_nobody());
    let said = log.take();
    assert!(said.contains("WARN") && said.contains("lets every request pass"), "{said}");
}

#[tokio::test]
async fn handlers_answer_with_the_codes_of_the_application_and_of_its_policy() {
    let caller = || TestAdmission::from(TestPrincipal::with_api_key("shop").build());
    let log = Log::listen();
    let said = || log.take().contains("is not registered");
    assert_eq!(call(caller(), "/locked").await.code(), "order_locked");
    assert!(said(), "a code that nobody registered is an error");
    assert_eq!(call(caller().code(&ORDER_LOCKED), "/locked").await.code(), "order_locked");
    assert!(!said());

    assert_eq!(call(caller(), "/frozen").await.code(), "decision_failed");
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let text = "version = 1\n[[denial.code]]\ncode = \"account_frozen\"\n\
                category = \"authorization\"\ntitle = \"Account frozen\"\nremedy = \"Pay the bill.\"\n\
                [[rule]]\nname = \"a\"\npath = \"/a\"\npublic = true\n";
    std::fs::write(&policy, text).unwrap();
    let answer = call(caller().codes_of_policy(&policy), "/frozen").await;
    assert_eq!(answer.code(), "account_frozen");
    assert_eq!(answer.json()["title"], "Account frozen");
}
