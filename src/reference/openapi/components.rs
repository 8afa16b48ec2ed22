//! What OpenAPI documents refer to: schemas, responses with their headers, security schemes.
//!
//! Only such keywords are used as tools of the field read back without a loss: `enum` for what
//! JSON Schema calls `const`, and `oneOf` with a `discriminator` where the code decides. Generators
//! narrow by it: they take the schema that the discriminator does not name, that of other codes, for
//! one with a `code` of its own.

use std::iter;

use crate::credential::Sent;
use crate::denial::members::ITEMS;
use crate::denial::{Challenge, Code, DenialCode};
use crate::policy::RateLimitHeaders;
use crate::reference::Api;
use crate::reference::forms::{Form, all_forms};
use crate::reference::json::{Json, object};
use crate::reference::json_schema::{self, ABOUT};
use crate::reference::text::type_name;

/// All components of an API.
pub(super) fn components(api: &Api<'_>) -> Json {
    object! {
        "schemas" => schemas(api),
        "responses" => responses(api),
        "examples" => examples(api),
        "headers" => headers(api),
        "securitySchemes" => security_schemes(api),
    }
}

/// The name of the schema of a code.
pub(super) fn schema_name(code: &str) -> String {
    type_name(code) + "Denial"
}

fn schemas(api: &Api<'_>) -> Json {
    let mut schemas = Json::Object(Vec::new());
    schemas.set("Denial", denial(api));
    for code in &api.codes {
        schemas.set(&schema_name(code.code), of_code(api, code));
    }
    schemas.set("UnknownDenial", unknown(api));
    for item in ITEMS {
        schemas.set(item.name, Json::parse(item.schema));
    }
    schemas.map_texts(&|text| {
        if let Some(name) = text.strip_prefix("#/$defs/") {
            *text = schema_ref(name);
        }
    });
    schemas
}

fn schema_ref(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

fn denial(api: &Api<'_>) -> Json {
    let mut properties = json_schema::base(api);
    // Generators cannot join a list of codes with the one of a schema that extends this.
    let code = properties.entry("code");
    *code = object! {
        "description" => code.get("description").cloned().unwrap_or(Json::Null),
        "type" => "string",
        "pattern" => "^[a-z][a-z0-9_]{2,62}$",
    };
    object! {
        "title" => "Denial",
        "description" => ABOUT,
        "type" => "object",
        "properties" => properties,
        "required" => json_schema::base_required(),
    }
}

/// A denial of this code: what every denial has, what this one has beside, and an example.
fn of_code(api: &Api<'_>, code: &DenialCode) -> Json {
    let mut own = json_schema::of_code(code);
    let description = own.get("description").cloned().unwrap_or(Json::Null);
    // Generators name types by a title before they do by the name of the schema, which is unique.
    if let Json::Object(members) = &mut own {
        members.retain(|(name, _)| name != "title" && name != "description");
    }
    for (name, schema) in own.entry("properties").members_mut() {
        if let Some(only) = schema.get("const").cloned() {
            *schema = object! { "enum" => vec![only] };
        }
        match name.as_str() {
            "code" | "category" => *schema = typed("string", schema.clone()),
            "status" => *schema = typed("integer", schema.clone()),
            _ => {}
        }
    }
    // Generators take a property that is not required here for one that may be absent.
    let more = own.get("required").map_or(&[][..], Json::items).to_vec();
    let always = ["status", "code", "category"].map(Json::from);
    own.set("required", always.into_iter().chain(more).collect::<Json>());
    let mut schema = object! {
        "description" => description,
        "allOf" => vec![object! { "$ref" => schema_ref("Denial") }, own],
    };
    // In a response, linters hold examples against the discriminator, which knows no other codes.
    if let Some((_, example)) = api.examples().iter().find(|(of, _)| of == code.code) {
        schema.set("examples", vec![example.body.clone()]);
    }
    schema
}

/// A denial of a code that this document does not know.
fn unknown(api: &Api<'_>) -> Json {
    let known = object! { "enum" => api.codes.iter().map(|code| code.code).collect::<Json>() };
    object! {
        "description" => "A code that this document does not know, such as one of a newer release. Fall back on `category`.",
        "allOf" => vec![
            object! { "$ref" => schema_ref("Denial") },
            object! {
                "type" => "object",
                "properties" => object! { "code" => object! { "type" => "string", "not" => known } },
            },
        ],
    }
}

/// Adds the type in front.
fn typed(kind: &str, schema: Json) -> Json {
    let mut typed = object! { "type" => kind };
    for (name, value) in schema.members() {
        typed.set(name, value.clone());
    }
    typed
}

fn examples(api: &Api<'_>) -> Json {
    let mut examples = Json::Object(Vec::new());
    for (code, example) in api.examples() {
        let title = api.codes.iter().find(|row| row.code == code).map_or("", |row| row.title);
        examples.set(code, object! { "summary" => title, "value" => example.body.clone() });
    }
    examples
}

/// The responses by status: those that the rules of the policy say, or of both modes for any API.
fn responses(api: &Api<'_>) -> Json {
    let both = |(one, other): (u16, u16)| [one, other];
    let mut statuses: Vec<u16> =
        api.codes.iter().flat_map(|code| both(api.statuses(code))).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let mut responses = Json::Object(Vec::new());
    for status in statuses {
        let has_status = |code: &DenialCode| both(api.statuses(code)).contains(&status);
        let codes: Vec<&DenialCode> =
            api.codes.iter().copied().filter(|code| has_status(code)).collect();
        responses.set(&format!("Denied{status}"), response(api, &codes, iter::empty()));
    }
    responses
}

/// A response with one of these codes, or with one of `own`, the codes with which handlers answer
/// wherever they like.
pub(super) fn response<'c>(
    api: &Api<'_>,
    codes: &[&'c DenialCode],
    own: impl Iterator<Item = &'c DenialCode>,
) -> Json {
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.code)).collect();
    let codes: Vec<&DenialCode> = codes.iter().copied().chain(own).collect();
    let schema = |code: &&DenialCode| schema_ref(&schema_name(code.code));
    let mut kinds: Vec<Json> =
        codes.iter().map(|code| object! { "$ref" => schema(code) }).collect();
    kinds.push(object! { "$ref" => schema_ref("UnknownDenial") });
    let mut mapping = Json::Object(Vec::new());
    codes.iter().for_each(|code| mapping.set(code.code, schema(code)));
    object! {
        "description" => format!("Denied: {}.", names.join(", ")),
        "headers" => headers_of(api, &codes),
        "content" => object! {
            "application/problem+json" => object! {
                "schema" => object! {
                    "oneOf" => kinds,
                    "discriminator" => object! {
                        "propertyName" => "code",
                        "mapping" => mapping,
                    },
                },
            },
        },
    }
}

fn headers_of(api: &Api<'_>, codes: &[&DenialCode]) -> Json {
    let any = |test: fn(&DenialCode) -> bool| codes.iter().any(|code| test(code));
    let mut headers = Json::Object(Vec::new());
    let mut add = |name: &str| headers.set(name, header(name));
    if any(|code| code.challenge != Challenge::None) {
        add("WWW-Authenticate");
    }
    if any(|code| code.members.iter().any(|(name, _)| *name == "retry_after")) {
        add("Retry-After");
        add("retry-after-ms");
    }
    if any(|code| code.known == Some(Code::MethodNotAllowed)) {
        add("Allow");
    }
    if any(|code| code.known == Some(Code::RateLimited)) {
        limit_headers(api.denial.ratelimit_headers).for_each(&mut add);
    }
    ["x-should-retry", "Cache-Control", "Vary", "X-Content-Type-Options"].into_iter().for_each(add);
    headers
}

/// The component that tells of a header.
pub(super) fn header(name: &str) -> Json {
    object! { "$ref" => format!("#/components/headers/{name}") }
}

/// The headers that tell how the limits stand.
pub(super) fn limit_headers(told: RateLimitHeaders) -> impl Iterator<Item = &'static str> {
    let draft = ["RateLimit-Policy", "RateLimit"].into_iter().filter(move |_| told.draft);
    let legacy = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    draft.chain(legacy.into_iter().filter(move |_| told.legacy))
}

fn headers(api: &Api<'_>) -> Json {
    let text = r#"{"type":"string"}"#;
    let count = r#"{"type":"integer","minimum":0}"#;
    let mut headers = Json::Object(Vec::new());
    let mut add = |name: &str, schema: &str, about: &str, example: Json| {
        headers.set(
            name,
            object! { "description" => about, "schema" => Json::parse(schema), "example" => example },
        );
    };
    add(
        "WWW-Authenticate",
        text,
        "How to authenticate (RFC 9110 section 11.6.1), one challenge to a field line, `Bearer` first; for tokens with `error` (RFC 6750). It is sent whatever the status.",
        "Bearer realm=\"api\", error=\"invalid_token\"".into(),
    );
    add(
        "Retry-After",
        r#"{"type":"integer","minimum":1}"#,
        "Seconds to wait before the same request may succeed; equal to `retry_after`.",
        6_u64.into(),
    );
    add(
        "retry-after-ms",
        r#"{"type":"integer","minimum":1}"#,
        "The same wait in milliseconds.",
        5750_u64.into(),
    );
    add(
        "x-should-retry",
        r#"{"type":"string","enum":["true","false"]}"#,
        "Whether a client should wait and send the request again by itself: `true` where `retryable` is and the wait is at most a minute.",
        "true".into(),
    );
    add(
        "Allow",
        text,
        "The methods that the path is open for; equal to `allowed_methods`.",
        "GET, HEAD, POST".into(),
    );
    let told = api.denial.ratelimit_headers;
    if told.draft {
        add(
            "RateLimit-Policy",
            text,
            "The limits of the request: `q` is what each holds at most, `w` the seconds it takes to fill (draft-ietf-httpapi-ratelimit-headers-10).",
            "\"per-client\";q=200;w=120".into(),
        );
        add(
            "RateLimit",
            text,
            "How the limits stand: `r` is what is left of each, `t` the seconds until there is more (draft-ietf-httpapi-ratelimit-headers-10).",
            "\"per-client\";r=150;t=30".into(),
        );
    }
    if told.legacy {
        add(
            "X-RateLimit-Limit",
            count,
            "How much the tightest limit holds at most.",
            200_u64.into(),
        );
        add("X-RateLimit-Remaining", count, "What is left of the tightest limit.", 150_u64.into());
        add(
            "X-RateLimit-Reset",
            count,
            "The seconds until the tightest limit has more.",
            30_u64.into(),
        );
    }
    add("Cache-Control", text, "Denials are not stored.", "no-store".into());
    add("Vary", text, "The form of a denial depends on these request headers.", "Accept".into());
    add("X-Content-Type-Options", text, "The media type is what it says it is.", "nosniff".into());
    headers
}

fn security_schemes(api: &Api<'_>) -> Json {
    let forms = match api.snapshot {
        Some(gate) => all_forms(gate.policy()),
        None => Form::usual(),
    };
    let mut schemes = Json::Object(Vec::new());
    for form in forms {
        let name = form.header.split(':').next().unwrap_or_default();
        // Tools know the registered schemes of `http` alone: keys with another one before them are
        // described as keys in a header.
        let header = |description: String| {
            object! { "type" => "apiKey", "description" => description, "in" => "header", "name" => name }
        };
        let scheme = match (form.way.scheme.as_deref(), form.way.credential) {
            (None, Sent::ApiKey) if &*form.way.header == "authorization" => {
                header("An API key without a scheme: `Authorization: <key>`.".into())
            }
            (None, Sent::ApiKey) => header("An API key in a header of its own.".into()),
            (None, _) => header("An access token (JWT) in a header of its own.".into()),
            (Some(_), Sent::ApiKeyInBasic) => object! {
                "type" => "http",
                "description" => "An API key as the user name or the password.",
                "scheme" => "basic",
            },
            (Some("Bearer"), Sent::ApiKey) => object! {
                "type" => "http",
                "description" => "An API key: `Authorization: Bearer <key>`.",
                "scheme" => "bearer",
            },
            (Some(scheme), Sent::ApiKey) => header(format!(
                "An API key with its scheme before it: `Authorization: {scheme} <key>`."
            )),
            (Some(_), Sent::Token) => object! {
                "type" => "http",
                "description" => "An access token: `Authorization: Bearer <token>`.",
                "scheme" => "bearer",
                "bearerFormat" => "JWT",
            },
        };
        schemes.set(&form.scheme, scheme);
    }
    schemes
}
