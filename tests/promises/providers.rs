//! The pages of `docs/providers`: each policy that they offer is read from the page, and tried with
//! tokens of the shape that the provider documents, and with their neighbours.
//!
//! The tables of answers in the pages and in `docs/providers/README.md` are what the gate answers here.
//! Run with `UPDATE=1` to write them anew, and read the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use axum::Router;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::{ManualClock, Principal, Tollgate};

use super::support::{Answer, NOW, Server, root, serve};

mod auth0;
mod clerk;
mod cloudflare_access;
mod cognito;
mod entra;
mod firebase;
mod github_actions;
mod google;
mod keycloak;
mod kubernetes;
mod okta;
mod supabase;
mod zitadel;

/// Every policy of the pages, in the order of the table; those with `edits` belong to the policy
/// before them.
fn providers() -> Vec<Provider> {
    [
        auth0::policies(),
        okta::policies(),
        entra::policies(),
        cognito::policies(),
        keycloak::policies(),
        google::policies(),
        firebase::policies(),
        clerk::policies(),
        supabase::policies(),
        zitadel::policies(),
        kubernetes::policies(),
        github_actions::policies(),
        cloudflare_access::policies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A policy of a page, and what is sent to it.
struct Provider {
    /// Its row in the table.
    title: &'static str,
    /// The page's name, without `.md`.
    page: &'static str,
    /// Which of the page's policies.
    block: usize,
    /// Parts of the policy, and what the page offers in their place; behind those that end a line.
    edits: Vec<(&'static str, &'static str)>,
    /// The warnings of the policy, which the page explains.
    warnings: &'static [&'static str],
    algorithm: Algorithm,
    /// The key set as the provider publishes it, of its public key.
    set: fn(Value) -> Value,
    /// The header that holds its tokens.
    header: &'static str,
    cases: Vec<Case>,
}

/// One request, and the answer to it.
struct Case {
    /// What is sent, in words.
    name: &'static str,
    sent: Sent,
    /// Method and path.
    request: &'static str,
    header: Option<&'static str>,
    /// Where the answer stands in the table.
    column: Option<Column>,
    answer: Expected,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Column {
    User,
    Machine,
    Id,
    Foreign,
    Audience,
}

const COLUMNS: [(Column, &str); 5] = [
    (Column::User, "user token"),
    (Column::Machine, "machine token"),
    (Column::Id, "ID token"),
    (Column::Foreign, "foreign token"),
    (Column::Audience, "other audience"),
];

enum Sent {
    Nothing,
    /// A token that is signed with the provider's key.
    Signed(Token),
    /// One that claims to be, and is signed with another.
    Forged(Token),
    Text(&'static str),
}

enum Expected {
    Admitted {
        client: &'static str,
        scopes: &'static [&'static str],
        roles: &'static [&'static str],
    },
    Refused {
        code: &'static str,
        claim: Option<&'static str>,
    },
}

/// Header and claims.
#[derive(Clone)]
struct Token {
    header: Value,
    claims: Value,
}

impl From<Token> for Sent {
    fn from(token: Token) -> Self {
        Self::Signed(token)
    }
}

impl From<&Token> for Sent {
    fn from(token: &Token) -> Self {
        Self::Signed(token.clone())
    }
}

impl From<&'static str> for Sent {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl Token {
    /// One that is valid now; the claims have the times that they name.
    fn new(header: Value, claims: Value) -> Self {
        Self { header, claims }
    }

    /// The same with these claims in place of its own; those that are null are left out.
    fn with(&self, changes: Value) -> Self {
        Self { header: self.header.clone(), claims: changed(&self.claims, &changes) }
    }

    /// The same with these members of the header; those that are null are left out.
    fn headed(&self, changes: Value) -> Self {
        Self { header: changed(&self.header, &changes), claims: self.claims.clone() }
    }

    fn signed(&self, key: &EncodingKey) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&self.header), encode(&self.claims));
        // An algorithm that the key is not for: such a token is refused before its signature is read.
        let algorithm = self.header["alg"].as_str().and_then(|alg| alg.parse().ok());
        let signature = algorithm.and_then(|algorithm| {
            jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).ok()
        });
        format!("{signed}.{}", signature.unwrap_or_else(|| URL_SAFE_NO_PAD.encode("unsigned")))
    }
}

fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    Value::Object(object)
}

/// A request that is admitted as this client, with these scopes and roles.
fn admitted(
    name: &'static str,
    sent: impl Into<Sent>,
    request: &'static str,
    client: &'static str,
    scopes: &'static [&'static str],
    roles: &'static [&'static str],
) -> Case {
    let answer = Expected::Admitted { client, scopes, roles };
    Case { name, sent: sent.into(), request, header: None, column: None, answer }
}

/// A request that is refused with this code.
fn refused(
    name: &'static str,
    sent: impl Into<Sent>,
    request: &'static str,
    code: &'static str,
) -> Case {
    let answer = Expected::Refused { code, claim: None };
    Case { name, sent: sent.into(), request, header: None, column: None, answer }
}

impl Case {
    fn column(mut self, column: Column) -> Self {
        self.column = Some(column);
        self
    }

    fn in_header(mut self, header: &'static str) -> Self {
        self.header = Some(header);
        self
    }

    /// The claim that the denial names.
    fn naming(mut self, named: &'static str) -> Self {
        if let Expected::Refused { claim, .. } = &mut self.answer {
            *claim = Some(named);
        }
        self
    }

    /// The answer as the table shows it.
    fn cell(&self) -> String {
        match &self.answer {
            Expected::Admitted { .. } => "admitted".into(),
            Expected::Refused { code, .. } => format!("`{code}`"),
        }
    }

    /// The answer as the page shows it.
    fn words(&self) -> String {
        let list = |what: &str, items: &[&str]| match items {
            [] => String::new(),
            items => format!(", {what} `{}`", items.join("` `")),
        };
        let words = match &self.answer {
            Expected::Admitted { client, scopes, roles } => {
                format!("admitted as `{client}`{}{}", list("scopes", scopes), list("roles", roles))
            }
            Expected::Refused { code, claim: None } => format!("`{code}`"),
            Expected::Refused { code, claim: Some(claim) } => format!("`{code}`: `{claim}`"),
        };
        words.replace('|', "\\|")
    }

    fn check(&self, answer: &Answer, provider: &Provider) {
        let told = format!("{}, {}: {}", provider.title, self.name, answer.text);
        let texts = |texts: &[&str]| Value::from(texts.to_vec());
        match &self.answer {
            Expected::Admitted { client, scopes, roles } => {
                assert!(answer.status.is_success(), "{told}");
                let found = answer.json();
                assert_eq!(found["client"], *client, "{told}");
                assert_eq!(found["scopes"], texts(scopes), "{told}");
                assert_eq!(found["roles"], texts(roles), "{told}");
            }
            Expected::Refused { code, claim } => {
                assert!(!answer.status.is_success(), "{told}");
                assert_eq!(answer.code(), *code, "{told}");
                if let Some(claim) = claim {
                    assert_eq!(answer.json()["claim"], *claim, "{told}");
                }
            }
        }
    }
}

impl Provider {
    /// The policy of the page, as this test opens it.
    fn policy(&self, page: &str) -> String {
        let mut policy = blocks(page, "toml")[self.block].to_owned();
        for (line, other) in &self.edits {
            assert!(policy.contains(line), "{}: the policy has no `{line}`", self.title);
            assert!(page.contains(&format!("`{other}`")), "{}: nothing of `{other}`", self.title);
            let other = match line.ends_with('\n') {
                true => format!("{line}{other}\n"),
                false => (*other).to_owned(),
            };
            policy = policy.replace(line, &other);
        }
        policy
    }

    /// Opens the gate in a folder of its own, with the keys beside the policy: the policy is checked as
    /// it is, which fetches nothing, and opened with the file that the page offers in place of the network.
    async fn open(&self, page: &str, folder: &TempDir) -> (Tollgate, Server) {
        let policy = self.policy(page);
        let path = folder.path().join("tollgate.toml");
        check(&policy, &path, self.title);
        let (file, in_file) = keys_in_file(page, self.block);
        fs::write(&path, policy.replace(keys_of(&policy), in_file)).unwrap();
        let set = (self.set)(keys(self.algorithm).public.clone());
        fs::write(folder.path().join(file), set.to_string()).unwrap();
        let clock = ManualClock::at(NOW);
        let gate = Tollgate::builder().policy_file(path).watch(false).clock(clock.clone());
        let gate = gate.build().await.unwrap_or_else(|error| panic!("{}: {error}", self.title));
        let warnings: Vec<_> =
            gate.warnings().iter().map(|warning| warning.name().unwrap().to_owned()).collect();
        assert_eq!(warnings, self.warnings, "{}", self.title);
        for warning in self.warnings {
            assert!(page.contains(&format!("`{warning}`")), "{}: {warning}", self.title);
        }
        let whoami = |caller: Principal| async move {
            let scopes: Vec<String> = caller.scopes().iter().map(ToString::to_string).collect();
            let roles: Vec<&str> = caller.roles().collect();
            json!({"client": caller.client(), "scopes": scopes, "roles": roles}).to_string()
        };
        let app = Router::new().fallback(any(whoami)).layer(gate.layer());
        (gate, serve(app, clock).await)
    }

    async fn send(&self, case: &Case, server: &Server) -> Answer {
        let key = &keys(self.algorithm).private;
        let token = match &case.sent {
            Sent::Nothing => None,
            Sent::Signed(token) => Some(token.signed(key)),
            Sent::Forged(token) => Some(token.signed(&stranger().private)),
            Sent::Text(text) => Some((*text).to_owned()),
        };
        let header = case.header.unwrap_or(self.header);
        let value = token.map(|token| match header {
            "authorization" => format!("Bearer {token}"),
            _ => token,
        });
        let headers: Vec<(&str, &str)> =
            value.iter().map(|value| (header, value.as_str())).collect();
        let (method, path) = case.request.split_once(' ').unwrap();
        server.call(method.parse::<Method>().unwrap(), path, &headers).await
    }
}

/// Has the command check a policy, with what pods of Kubernetes have mounted.
fn check(policy: &str, path: &Path, title: &str) {
    const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let folder = path.parent().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    fs::write(path, policy.replace(MOUNTED, folder.to_str().unwrap())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let checked = command.args(["check", "--policy"]).arg(path).output().unwrap();
    assert!(checked.status.success(), "{title}: {}", String::from_utf8_lossy(&checked.stderr));
}

/// `keys` of the issuer of a policy.
fn keys_of(policy: &str) -> &str {
    let line = policy.lines().find(|line| line.starts_with("keys ")).expect("the issuer has keys");
    let (begin, end) = (line.find('{').unwrap(), line.rfind('}').unwrap());
    &line[begin..=end]
}

/// The file that a page offers for the keys of one of its policies, and `keys` with it.
fn keys_in_file(page: &str, block: usize) -> (&str, &str) {
    const BEGIN: &str = "`keys = ";
    let offers = page.split(BEGIN).skip(1).map(|rest| rest.split('`').next().unwrap());
    let mut offers = offers.filter_map(|keys| Some((between(keys, "jwks_file = \"", "\"")?, keys)));
    offers.nth(block).expect("the page offers a file for the keys of each policy")
}

/// The fenced blocks of this language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The metadata of a provider, in their documented shape.
fn metadata(file: &str) -> Value {
    let path = root().join("tests/discovery").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split_once(after).map(|(within, _)| within)
}

/// A key pair: what signs, and the members of the public key.
struct Keys {
    private: EncodingKey,
    public: Value,
}

fn keys(algorithm: Algorithm) -> &'static Keys {
    static RSA: OnceLock<Keys> = OnceLock::new();
    static P256: OnceLock<Keys> = OnceLock::new();
    match algorithm {
        Algorithm::ES256 => P256.get_or_init(p256),
        _ => RSA.get_or_init(rsa),
    }
}

fn stranger() -> &'static Keys {
    static STRANGER: OnceLock<Keys> = OnceLock::new();
    STRANGER.get_or_init(rsa)
}

fn rsa() -> Keys {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = pem(private.as_ref());
    pair(EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), Algorithm::RS256)
}

fn p256() -> Keys {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let pem = pem(key.to_pkcs8v1().unwrap().as_ref());
    pair(EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(), Algorithm::ES256)
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

fn pair(private: EncodingKey, algorithm: Algorithm) -> Keys {
    let jwk = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
    let member = |name: &&str| ["kty", "n", "e", "crv", "x", "y"].contains(name);
    let members = jwk.as_object().unwrap().iter().filter(|(name, _)| member(&name.as_str()));
    let public = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    Keys { private, public: Value::Object(public) }
}

/// The set of one key with these members.
fn set(key: &Value, members: Value) -> Value {
    json!({"keys": [changed(key, &members)]})
}

/// The text between two marks of a page, as this test writes it.
fn marked(page: &str, text: &str) -> String {
    const MARKS: [&str; 2] = ["<!-- answers -->\n", "<!-- end of answers -->"];
    let (before, rest) = page.split_once(MARKS[0]).expect("the page has a place for the answers");
    let (_, after) = rest.split_once(MARKS[1]).expect("the answers have an end");
    format!("{before}{}\n{text}\n{}{after}", MARKS[0], MARKS[1])
}

#[tokio::test]
async fn each_policy_admits_who_it_says_and_nobody_else() {
    let (mut answers, mut rows) = (BTreeMap::<&str, String>::new(), String::new());
    for provider in providers() {
        let path = root().join(format!("docs/providers/{}.md", provider.page));
        let page = fs::read_to_string(&path).unwrap();
        let folder = TempDir::new().unwrap();
        let (_, server) = provider.open(&page, &folder).await;
        let table = answers
            .entry(provider.page)
            .or_insert_with(|| "| sent | request | answer |\n| --- | --- | --- |\n".to_owned());
        for case in &provider.cases {
            let answer = provider.send(case, &server).await;
            case.check(&answer, &provider);
            let of = match (provider.edits.first(), provider.block) {
                (Some((_, line)), _) => format!("with `{line}`: "),
                (None, 0) => String::new(),
                (None, _) => format!("{}: ", provider.title),
            };
            let (name, answer) = (case.name, case.words());
            writeln!(table, "| {of}{name} | `{}` | {answer} |", case.request).unwrap();
        }
        if provider.edits.is_empty() {
            let cell = |column: Column| {
                let case = provider.cases.iter().find(|case| case.column == Some(column));
                case.map_or_else(|| "–".to_owned(), Case::cell)
            };
            let cells: Vec<String> = COLUMNS.iter().map(|(column, _)| cell(*column)).collect();
            let link = format!("[{}]({}.md)", provider.title, provider.page);
            writeln!(rows, "| {link} | {} |", cells.join(" | ")).unwrap();
        }
    }
    let names: Vec<&str> = COLUMNS.iter().map(|(_, name)| *name).collect();
    let rule = "| --- ".repeat(COLUMNS.len() + 1);
    answers.insert("README", format!("| provider | {} |\n{rule}|\n{rows}", names.join(" | ")));
    let update = std::env::var_os("UPDATE").is_some();
    let mut stale = Vec::new();
    for (page, text) in answers {
        let path = root().join(format!("docs/providers/{page}.md"));
        let written = fs::read_to_string(&path).unwrap();
        let current = marked(&written, &text);
        if update {
            fs::write(&path, current).unwrap();
        } else if written != current {
            stale.push(page);
        }
    }
    assert!(
        stale.is_empty(),
        "the answers in docs/providers are stale: {stale:?}. Run `UPDATE=1 cargo test --test \
         promises providers`, read the difference, and commit it"
    );
}

#[test]
fn each_page_says_how_its_keys_are_fetched() {
    let (mut pages, mut discovered) = (Vec::new(), Vec::new());
    for provider in providers() {
        if pages.contains(&provider.page) {
            continue;
        }
        pages.push(provider.page);
        let path = root().join(format!("docs/providers/{}.md", provider.page));
        let page = fs::read_to_string(path).unwrap();
        for (block, policy) in blocks(&page, "toml").into_iter().enumerate() {
            let (file, _) = keys_in_file(&page, block);
            let is_fetched = |line: &&str| {
                (line.starts_with("curl ") || line.starts_with("kubectl ")) && line.contains(file)
            };
            let commands = blocks(&page, "sh").concat();
            let command = commands.lines().find(is_fetched);
            let command = command.unwrap_or_else(|| panic!("{}: {file}", provider.page));
            // Both ways lead to the same set.
            match between(keys_of(policy), "jwks_url = \"", "\"") {
                Some("https://kubernetes.default.svc/openid/v1/jwks") => {
                    assert_eq!(command, format!("kubectl get --raw /openid/v1/jwks > {file}"));
                }
                Some(url) => assert_eq!(command, format!("curl -fsSo {file} {url}")),
                None => {
                    assert_eq!(keys_of(policy), "{ discovery = true }", "{}", provider.page);
                    let metadata = metadata(file);
                    let member = |name: &str| metadata[name].as_str().unwrap().to_owned();
                    let iss = policy.lines().find(|line| line.starts_with("iss ")).unwrap();
                    // The first name that is a URL is looked up.
                    assert_eq!(between(iss, "\"", "\""), Some(&*member("issuer")), "{file}");
                    assert_eq!(command, format!("curl -fsSo {file} {}", member("jwks_uri")));
                    discovered.push(file.to_owned());
                }
            }
        }
    }
    let documents = fs::read_dir(root().join("tests/discovery")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut documents: Vec<_> = documents.filter(|name| name.ends_with(".json")).collect();
    documents.sort();
    discovered.sort();
    assert_eq!(discovered, documents, "the metadata of each that is discovered");
    let readme = fs::read_to_string(root().join("docs/providers/README.md")).unwrap();
    let committed = fs::read_dir(root().join("docs/providers")).unwrap();
    for entry in committed {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = name.strip_suffix(".md").unwrap();
        assert!(page == "README" || pages.contains(&page), "{page} is not tested");
        assert!(page == "README" || readme.contains(&format!("]({name})")), "{page} is not listed");
    }
}

#[tokio::test]
async fn keys_that_are_fetched_again_need_no_restart() {
    let provider = auth0::policies().swap_remove(0);
    let page = fs::read_to_string(root().join("docs/providers/auth0.md")).unwrap();
    let folder = TempDir::new().unwrap();
    let (gate, server) = provider.open(&page, &folder).await;
    let case = |forged: bool| {
        let Sent::Signed(token) = &provider.cases[0].sent else { panic!("a token is sent") };
        // From now on the provider signs with another key.
        let sent =
            if forged { Sent::Forged(token.headed(json!({"kid": "a0-2"}))) } else { token.into() };
        Case { name: "rotated", sent, ..admitted("", "", "GET /orders", "", &[], &[]) }
    };
    let (before, after) = (case(false), case(true));
    assert_eq!(provider.send(&after, &server).await.code(), "token_key_unknown");
    let file = folder.path().join("auth0.json");
    let member = |key: &Keys, kid: &str| changed(&key.public, &json!({"kid": kid, "use": "sig"}));
    let both =
        json!({"keys": [member(keys(Algorithm::RS256), "a0-1"), member(stranger(), "a0-2")]});

    // A fetch that was cut off is not taken, and says so.
    fs::write(&file, &both.to_string()[..300]).unwrap();
    gate.reload().await.unwrap_err();
    assert!(provider.send(&before, &server).await.status.is_success(), "the keys before it stay");

    fs::write(&file, both.to_string()).unwrap();
    gate.reload().await.unwrap();
    for case in [&before, &after] {
        assert!(provider.send(case, &server).await.status.is_success());
    }
    fs::write(&file, json!({"keys": [member(stranger(), "a0-2")]}).to_string()).unwrap();
    gate.reload().await.unwrap();
    assert_eq!(provider.send(&before, &server).await.code(), "token_key_unknown");
}
